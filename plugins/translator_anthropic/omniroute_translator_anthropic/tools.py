"""Tool declarations, choice, names and ids for an upstream of this dialect."""

import re
from collections.abc import Collection

from msgspec import Raw

from omniroute.api import ChatRequest, Ledger, NameRule, Part, Tool, ToolCallPart, ToolChoice, ToolNames, short_digest
from omniroute_translator_anthropic.schema import FREE_TEXT_SCHEMA, input_schema
from omniroute_translator_anthropic.wire import DIALECT, Malformed, Wire, own, read_object

__all__ = [
    "cache_control",
    "call_input",
    "encode_choice",
    "encode_tools",
    "fitting_id",
    "tool_names",
]

NAMES = NameRule(max_chars=128)
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")


# --- ids and names ----------------------------------------------------------------------------------------------------


def fitting_id(call_id: str) -> str:
    """The id itself where the dialect allows it, else one made from it: the same for the call and for its result."""
    fitting = _UNFIT.sub("_", call_id)
    return call_id if call_id and fitting == call_id else f"{fitting}_{short_digest(call_id)}"


def tool_names(request: ChatRequest) -> ToolNames:
    """Of everything the request names: its tools, its choice, and the calls of its history."""
    names = [tool.name for tool in request.tools]
    if request.tool_choice and request.tool_choice.name:
        names.append(request.tool_choice.name)
    calls = (part for message in request.messages for part in message.parts if isinstance(part, ToolCallPart))
    return ToolNames([*names, *(call.name for call in calls)], NAMES)


# --- declarations -----------------------------------------------------------------------------------------------------


def encode_tools(request: ChatRequest, names: ToolNames, ledger: Ledger) -> dict[str, tuple[str, Wire]]:
    """The client's name of each tool -> pointer and declaration. Of two with one name the first is kept: no more is taken."""
    declared: dict[str, tuple[str, Wire]] = {}
    for at, tool in enumerate(request.tools):
        pointer = f"/tools/{at}"
        wire = _declaration(tool, pointer, names, ledger)
        if wire is None:
            continue
        is_second = tool.name in declared
        if is_second and tool.kind != "builtin":
            ledger.dropped(pointer, f"a second tool named {tool.name!r}")
            continue
        if tool.cache:
            wire["cache_control"] = cache_control(tool)
        declared[pointer if is_second else tool.name] = pointer, wire  # toolsets have no names to tell them apart
    return declared


def _declaration(tool: Tool, pointer: str, names: ToolNames, ledger: Ledger) -> Wire | None:
    mine = own(tool.provider_metadata)
    if tool.kind == "builtin":
        if "declaration" in mine:
            return dict(read_object(mine["declaration"], pointer))
        ledger.dropped(pointer, f"{tool.name!r} runs at an upstream of another dialect")
        return None
    ledger.foreign(tool, pointer, DIALECT)
    wire: Wire = {"name": names.sent(tool.name)}
    if tool.description is not None:
        wire["description"] = tool.description
    if tool.kind == "custom":
        ledger.approximated(pointer, "a tool that takes free text was declared with one text argument, `input`")
        wire["input_schema"] = FREE_TEXT_SCHEMA
    else:
        wire["input_schema"] = input_schema(tool.parameters, f"{pointer}/parameters", ledger)
    if tool.strict:
        wire["strict"] = True
    wire.update(mine)
    return wire


def cache_control(marked: Part | Tool) -> Wire:
    ttl = marked.cache.ttl if marked.cache else None
    return {"type": "ephemeral", "ttl": ttl} if ttl else {"type": "ephemeral"}


# --- choice -----------------------------------------------------------------------------------------------------------


def encode_choice(
    choice: ToolChoice | None, names: ToolNames, declared: Collection[str], ledger: Ledger
) -> Wire | None:
    """`tool_choice`; None when there are no tools. `declared`: their names as the client knows them."""
    if choice is None:
        return None
    if not declared:
        if choice.mode in ("required", "tool"):
            ledger.dropped("/tool_choice", "there are no tools to choose from")
        return None
    wire: Wire
    match choice.mode:
        case "none":
            return {"type": "none"}
        case "required":
            wire = {"type": "any"}
        case "tool" if choice.name is not None and choice.name in declared:
            wire = {"type": "tool", "name": names.sent(choice.name)}
        case "tool":
            ledger.dropped("/tool_choice", f"the chosen tool {choice.name!r} is not declared")
            wire = {"type": "auto"}
        case _:
            wire = {"type": "auto"}
    if choice.parallel is False:
        wire["disable_parallel_tool_use"] = True
    return wire


# --- calls ------------------------------------------------------------------------------------------------------------


def call_input(arguments: str, pointer: str, ledger: Ledger | None = None) -> Raw | Wire:
    """The `input` object of a call: the model's own text where it is a JSON object, an object around it elsewhere."""
    if not arguments.strip():
        return {}
    try:
        read_object(arguments, pointer)
    except Malformed:
        if arguments.strip() == "null":
            return {}
        if ledger:
            ledger.approximated(pointer, "the arguments are no JSON object and were wrapped in one")
        return {"input": arguments}
    return Raw(arguments.encode())
