"""What a client declares about the answer: tools, the choice among them, the format of text.

Tools come at the top or in `additional_tools` items of the input, alone or in namespaces. Canonically they are one flat list;
each remembers its place. A form that has no canonical home (an allow-list of tools, a grammar) rides along as an extension.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Raw

from omniroute.api import InvalidRequest, Loss, ResponseFormat, Source, Tool, ToolChoice, short_digest
from omniroute_translator_openai_responses.invalid import check_schema, decode, refusal
from omniroute_translator_openai_responses.names import flat_name
from omniroute_translator_openai_responses.parts_in import is_set
from omniroute_translator_openai_responses.wire import DIALECT, FormatWire, Place, RequestWire, ToolChoiceWire, ToolWire

TOOLS = msgspec.json.Decoder(list[Raw])
TOOL = msgspec.json.Decoder(ToolWire)
FIELDS = msgspec.json.Decoder(dict[str, Raw])
TOOL_CHOICE = msgspec.json.Decoder(str | ToolChoiceWire)
FORMAT = msgspec.json.Decoder(FormatWire)

Mode: TypeAlias = Literal["auto", "none", "required"]
MODES: dict[str, Mode] = {"auto": "auto", "none": "none", "required": "required"}
CANONICAL = {
    "function": frozenset({"type", "name", "description", "parameters", "strict"}),
    "custom": frozenset({"type", "name", "description"}),
}
"""Fields of a tool that are not kept as metadata, by type."""


ELSEWHERE = {"namespace": "", "cache_control": "/prompt_cache_breakpoint"}
"""Canonical fields of a tool → where they stand in its declaration; that it is in a namespace is its own matter."""


class Tools:
    """The tools of one request, as they are declared."""

    def __init__(self, losses: list[Loss]) -> None:
        self._losses = losses
        self._tools: list[Tool] = []
        self._names: dict[tuple[str | None, str], str] = {}
        """(namespace, name) → the name it is known by everywhere else."""

    def declare(self, raw: Raw, at: str, *, additional: bool = False) -> None:
        if not is_set(raw):
            return
        for position, declaration in enumerate(decode(TOOLS, raw, at)):
            here = f"{at}/{position}"
            tool = decode(TOOL, declaration, here)
            if tool.type == "namespace":
                self._namespace(tool, here, additional=additional)
            else:
                place = Place(name=tool.name or "", additional=True) if additional else None
                self._add(tool, declaration, place, here)

    def _namespace(self, space: ToolWire, at: str, *, additional: bool) -> None:
        name = named(space, at)
        inner = decode(TOOLS, space.tools, f"{at}/tools") if is_set(space.tools) else []
        for position, declaration in enumerate(inner):
            here = f"{at}/tools/{position}"
            tool = decode(TOOL, declaration, here)
            place = Place(name=named(tool, here), namespace=name, description=space.description, additional=additional)
            self._add(tool, declaration, place, here)

    def _add(self, tool: ToolWire, declaration: Raw, place: Place | None, at: str) -> None:
        if tool.type not in CANONICAL:
            own: dict[str, Any] = {"declaration": declaration, **({"namespace": place} if place else {})}
            self._tools.append(
                Tool(name=tool.type, kind="builtin", provider_metadata={DIALECT: own}, source=Source(at, ELSEWHERE))
            )
            return
        key = (place.namespace if place else None, named(tool, at))
        if key in self._names:
            self._losses.append(Loss(pointer=at, kind="dropped", reason=f"a second tool named {tool.name}"))
            return
        self._names[key] = name = self._unused(*key)
        self._tools.append(callable_tool(tool, declaration, place, name, at))

    def _unused(self, namespace: str | None, name: str) -> str:
        flat = flat_name(namespace, name)
        return flat if flat not in self._names.values() else f"{flat}_{short_digest(f'{namespace} {name}', 8)}"

    def is_declared(self, namespace: str | None, name: str) -> bool:
        return (namespace, name) in self._names

    def name_of(self, namespace: str | None, name: str) -> str:
        """What a tool is called everywhere else, declared or not."""
        return self._names.get((namespace, name)) or flat_name(namespace, name)

    def close(self) -> tuple[Tool, ...]:
        return tuple(self._tools)


def named(tool: ToolWire, at: str) -> str:
    if not tool.name:
        raise InvalidRequest(f"{at}/name is missing", param=f"{at}/name")
    return tool.name


def callable_tool(tool: ToolWire, declaration: Raw, place: Place | None, name: str, at: str) -> Tool:
    """A function or a free-form tool. What has no canonical home (a grammar, deferred loading) is kept as metadata."""
    fields = decode(FIELDS, declaration, at)
    own: dict[str, Any] = {
        field: value for field, value in fields.items() if field not in CANONICAL[tool.type] and is_set(value)
    }
    if place is not None:
        own["namespace"] = place
    metadata = {DIALECT: own} if own else {}
    if tool.type == "custom":
        return Tool(
            name=name,
            kind="custom",
            description=tool.description,
            provider_metadata=metadata,
            source=Source(at, ELSEWHERE),
        )
    parameters = tool.parameters if is_set(tool.parameters) else None
    if parameters is not None:
        check_schema(parameters, f"{at}/parameters")
    return Tool(
        name=name,
        description=tool.description,
        parameters=parameters,
        strict=tool.strict,
        provider_metadata=metadata,
        source=Source(at, ELSEWHERE),
    )


def tool_choice_of(wire: RequestWire, tools: Tools, extensions: dict[str, Raw]) -> ToolChoice | None:
    parallel = wire.parallel_tool_calls
    if not is_set(wire.tool_choice):
        return None if parallel is None else ToolChoice(parallel=parallel)
    at = "/tool_choice"
    chosen = decode(TOOL_CHOICE, wire.tool_choice, at)
    if isinstance(chosen, str):
        if chosen not in MODES:
            raise refusal(at, f"expected auto, none, required or one tool's name in an object, got {chosen[:80]!r}")
        return ToolChoice(mode=MODES[chosen], parallel=parallel)
    if chosen.type in CANONICAL:
        if not chosen.name:
            raise InvalidRequest(f"{at}/name is missing", param=f"{at}/name")
        return ToolChoice(mode="tool", name=tools.name_of(chosen.namespace, chosen.name), parallel=parallel)
    extensions["tool_choice"] = wire.tool_choice
    return ToolChoice(mode=chosen.mode or "auto", parallel=parallel)


def text_of(raw: Raw, extensions: dict[str, Raw]) -> ResponseFormat | None:
    """`text`: its format; the rest of it becomes extensions."""
    if not is_set(raw):
        return None
    fields: Mapping[str, Raw] = decode(FIELDS, raw, "/text")
    extensions.update((f"text/{name}", value) for name, value in fields.items() if name != "format" and is_set(value))
    written = fields.get("format", Raw(b""))
    if not is_set(written):
        return None
    wanted = decode(FORMAT, written, "/text/format")
    match wanted.type:
        case "text":
            return None
        case "json_object":
            return ResponseFormat(kind="json_object")
        case "json_schema":
            schema = wanted.schema if is_set(wanted.schema) else None
            if schema is not None:
                check_schema(schema, "/text/format/schema")
            return ResponseFormat(
                kind="json_schema",
                name=wanted.name,
                description=wanted.description,
                schema=schema,
                strict=wanted.strict,
            )
        case _:
            extensions["text/format"] = written
            return None
