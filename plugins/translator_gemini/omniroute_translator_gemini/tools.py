"""Tool declarations, choice and names for an upstream of this dialect."""

from collections.abc import Collection, Sequence

from msgspec import Raw

from omniroute.api import ChatRequest, Ledger, NameRule, Tool, ToolCallPart, ToolChoice, ToolNames
from omniroute_translator_gemini.schema import FREE_TEXT_SCHEMA, Note, fit
from omniroute_translator_gemini.wire import DIALECT, Malformed, Wire, own, read_object

__all__ = ["call_arguments", "encode_choice", "encode_tools", "report", "tool_names"]

NAMES = NameRule(max_chars=128, characters="a-zA-Z0-9_.:-", first="a-zA-Z_")
_EQUALS = {"web_search": "googleSearch", "code_execution": "codeExecution", "code_interpreter": "codeExecution"}
"""How the name of another vendor's tool begins -> the tool of this one that does the same."""


# --- names ------------------------------------------------------------------------------------------------------------


def tool_names(request: ChatRequest) -> ToolNames:
    """Of everything the request names: its tools, its choice, and the calls of its history."""
    names = [tool.name for tool in request.tools if tool.kind != "builtin"]
    if request.tool_choice and request.tool_choice.name:
        names.append(request.tool_choice.name)
    calls = (part for message in request.messages for part in message.parts if isinstance(part, ToolCallPart))
    return ToolNames([*names, *(call.name for call in calls)], NAMES)


# --- declarations -----------------------------------------------------------------------------------------------------


def encode_tools(request: ChatRequest, names: ToolNames, ledger: Ledger) -> tuple[list[Wire | Raw], frozenset[str]]:
    """`tools`, and the client's names of the functions among them. Of two with one name the first is kept: no more is taken."""
    builtin: list[Wire | Raw] = []
    functions: dict[str, Wire] = {}
    has_functions = any(tool.kind != "builtin" for tool in request.tools)
    for at, tool in enumerate(request.tools):
        pointer = f"/tools/{at}"
        if tool.cache:
            ledger.dropped(f"{pointer}/cache_control", "the dialect has no cache marks")
        if tool.kind == "builtin":
            if (declaration := _builtin(tool, pointer, has_functions, ledger)) is not None:
                builtin.append(declaration)
        elif tool.name in functions:
            ledger.dropped(pointer, f"a second tool named {tool.name!r}")
        else:
            functions[tool.name] = _declaration(tool, pointer, names, ledger)
    declared: list[Wire | Raw] = [{"functionDeclarations": list(functions.values())}] if functions else []
    return [*builtin, *declared], frozenset(functions)


def _builtin(tool: Tool, pointer: str, has_functions: bool, ledger: Ledger) -> Wire | Raw | None:
    mine: Raw | None = own(tool.provider_metadata).get("declaration")
    if mine is not None:
        return mine
    equal = next((ours for theirs, ours in _EQUALS.items() if tool.name.startswith(theirs)), None)
    if equal is None:
        ledger.dropped(pointer, f"{tool.name!r} runs at an upstream of another dialect")
        return None
    if has_functions:
        ledger.dropped(pointer, f"{equal}, which does the same as {tool.name!r}, is not taken along with functions")
        return None
    ledger.approximated(pointer, f"{equal} was sent, which does the same")
    return {equal: {}}


def _declaration(tool: Tool, pointer: str, names: ToolNames, ledger: Ledger) -> Wire:
    ledger.foreign(tool, pointer, DIALECT)
    if tool.strict:
        ledger.dropped(f"{pointer}/strict", "the dialect has no such field")
    wire: Wire = {"name": names.sent(tool.name)}
    if tool.description is not None:
        wire["description"] = tool.description
    if tool.kind == "custom":
        ledger.approximated(pointer, "a tool that takes free text was declared with one text argument, `input`")
        wire["parametersJsonSchema"] = FREE_TEXT_SCHEMA
    elif tool.parameters is not None:
        wire.update(_parameters(tool.parameters, f"{pointer}/parameters", ledger))
    return {**wire, **own(tool.provider_metadata)}


def _parameters(parameters: Raw, pointer: str, ledger: Ledger) -> Wire:
    """The schema, in the field that can say it; nothing for an object without properties."""
    fitted = fit(parameters, pointer, is_object_schema=True)
    report(fitted.notes, pointer, ledger)
    if fitted.is_json_schema:
        return {"parametersJsonSchema": fitted.schema}
    return {"parameters": fitted.schema} if isinstance(fitted.schema, dict) and "properties" in fitted.schema else {}


def report(notes: Sequence[Note], pointer: str, ledger: Ledger) -> None:
    """What a schema no longer says, as losses."""
    for note in notes:
        ledger.add(f"{pointer}{note.pointer}", note.kind, note.reason)


# --- choice -----------------------------------------------------------------------------------------------------------


def encode_choice(choice: ToolChoice | None, names: ToolNames, declared: Collection[str], ledger: Ledger) -> Wire:
    """`functionCallingConfig`; empty when there is nothing to choose. `declared`: the functions as the client knows them."""
    if choice is None:
        return {}
    if choice.parallel is False:
        ledger.dropped("/tool_choice/parallel", "several calls in one turn cannot be forbidden")
    if not declared:
        if choice.mode in ("required", "tool"):
            ledger.dropped("/tool_choice", "there are no tools to choose from")
        return {}
    match choice.mode:
        case "none":
            return {"mode": "NONE"}
        case "required":
            return {"mode": "ANY"}
        case "tool" if choice.name is not None and choice.name in declared:
            return {"mode": "ANY", "allowedFunctionNames": [names.sent(choice.name)]}
        case "tool":
            ledger.dropped("/tool_choice", f"the chosen tool {choice.name!r} is not declared")
            return {"mode": "AUTO"}
        case _:
            return {"mode": "AUTO"}


# --- calls ------------------------------------------------------------------------------------------------------------


def call_arguments(arguments: str, pointer: str, ledger: Ledger | None = None) -> Raw | Wire:
    """The `args` object of a call: the model's own text where it is a JSON object, an object around it elsewhere."""
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
