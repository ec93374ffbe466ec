"""Tool declarations, choice, names and ids for an upstream of this dialect."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping

from msgspec import Raw

from omniroute.api import ChatRequest, Part, Tool, ToolCallPart, ToolChoice
from omniroute_translator_anthropic.ledger import Ledger
from omniroute_translator_anthropic.schema import FREE_TEXT_SCHEMA, input_schema
from omniroute_translator_anthropic.wire import DIALECT, Malformed, Wire, own, read_object

__all__ = [
    "ToolNames",
    "cache_control",
    "call_input",
    "encode_choice",
    "encode_tools",
    "fitting_id",
    "note_foreign",
    "tool_names",
]

MAX_NAME_CHARS = 128
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")
_HASH_CHARS = 8


# --- ids and names ----------------------------------------------------------------------------------------------------


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARS]


def fitting_id(call_id: str) -> str:
    """The id itself where the dialect allows it, else one made from it: the same for the call and for its result."""
    fitting = _UNFIT.sub("_", call_id)
    return call_id if call_id and fitting == call_id else f"{fitting}_{_digest(call_id)}"


class ToolNames:
    """A bijection between the client's tool names and those that fit `^[a-zA-Z0-9_-]{1,128}$`."""

    def __init__(self, names: Iterable[str]) -> None:
        asked = dict.fromkeys(names)
        taken = {name for name in asked if _fits(name)}
        self._sent = {name: name for name in taken}
        for name in asked:
            if name not in self._sent:
                self._sent[name] = _fitting_name(name, taken)
                taken.add(self._sent[name])

    def sent(self, name: str) -> str:
        return self._sent[name]

    def changed(self) -> Mapping[str, str]:
        """Name sent upstream -> name the client knows, of those that had to change."""
        return {sent: name for name, sent in self._sent.items() if sent != name}


def _fits(name: str) -> bool:
    return 0 < len(name) <= MAX_NAME_CHARS and not _UNFIT.search(name)


def _fitting_name(name: str, taken: set[str]) -> str:
    stem = _UNFIT.sub("_", name)[: MAX_NAME_CHARS - _HASH_CHARS - 1]
    salt = name
    while (candidate := f"{stem}_{_digest(salt)}") in taken:
        salt += "+"
    return candidate


def tool_names(request: ChatRequest) -> ToolNames:
    """Of everything the request names: its tools, its choice, and the calls of its history."""
    names = [tool.name for tool in request.tools]
    if request.tool_choice and request.tool_choice.name:
        names.append(request.tool_choice.name)
    calls = (part for message in request.messages for part in message.parts if isinstance(part, ToolCallPart))
    return ToolNames([*names, *(call.name for call in calls)])


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
    note_foreign(tool, pointer, ledger)
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


def note_foreign(source: Part | Tool, pointer: str, ledger: Ledger) -> None:
    """A loss for each thing another dialect attached, but for what has been read into canonical fields already."""
    known = {"declaration", "cache_control"} if source.cache else {"declaration"}
    for dialect, fields in source.provider_metadata.items():
        if dialect != DIALECT:
            for name in (name for name, value in fields.items() if value and name not in known):
                ledger.dropped(f"{pointer}/{name}", f"only {dialect} knows {name}")


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
