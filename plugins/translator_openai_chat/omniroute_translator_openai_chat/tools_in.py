"""What a client declares about the answer: tools, the choice among them, the response format.

A form this dialect's canonical home has no word for (an allow-list of tools, a grammar) rides along as an extension, so that
an upstream of the same dialect gets it as it was written.
"""

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Raw

from omniroute.api import InvalidRequest, ResponseFormat, Source, Tool, ToolChoice
from omniroute_translator_openai_chat.invalid import check_schema, decode, refusal
from omniroute_translator_openai_chat.parts_in import cache_mark, is_set
from omniroute_translator_openai_chat.wire import (
    DIALECT,
    CustomWire,
    FunctionWire,
    NamedWire,
    RequestWire,
    ResponseFormatWire,
    ToolChoiceWire,
    ToolWire,
)

TOOLS = msgspec.json.Decoder(list[ToolWire])
DECLARATIONS = msgspec.json.Decoder(list[Raw])
FUNCTIONS = msgspec.json.Decoder(list[FunctionWire])
TOOL_CHOICE = msgspec.json.Decoder(str | ToolChoiceWire)
FUNCTION_CHOICE = msgspec.json.Decoder(str | NamedWire)
RESPONSE_FORMAT = msgspec.json.Decoder(ResponseFormatWire)

FUNCTION_FIELDS = {name: f"/function/{name}" for name in FunctionWire.__struct_fields__}
CUSTOM_FIELDS = {"declaration": "", **{name: f"/custom/{name}" for name in CustomWire.__struct_fields__}}
LEGACY_FIELDS = {"legacy": ""}
"""Canonical fields of a tool → where they stand in its declaration."""

Mode: TypeAlias = Literal["auto", "none", "required", "tool"]
MODES: dict[str, Mode] = {"auto": "auto", "none": "none", "required": "required", "any": "required"}


def tools_of(wire: RequestWire) -> tuple[Tool, ...]:
    return (*declared_tools(wire.tools), *legacy_functions(wire.functions))


def declared_tools(tools: Raw) -> Iterator[Tool]:
    if is_set(tools):
        pairs = zip(decode(TOOLS, tools, "/tools"), decode(DECLARATIONS, tools, "/tools"), strict=True)
        for position, (tool, declaration) in enumerate(pairs):
            yield tool_of(tool, declaration, f"/tools/{position}")


def legacy_functions(functions: Raw) -> Iterator[Tool]:
    """`functions` of the time before `tools`; marked, so that the answer takes the form such a client knows."""
    if is_set(functions):
        for position, function in enumerate(decode(FUNCTIONS, functions, "/functions")):
            at = f"/functions/{position}"
            yield function_tool(function, at, {"legacy": True}, Source(at, LEGACY_FIELDS))


def tool_of(tool: ToolWire, declaration: Raw, at: str) -> Tool:
    if tool.type == "function":
        if tool.function is UNSET:
            raise InvalidRequest(f"{at}/function is missing", param=f"{at}/function")
        own = {"cache_control": tool.cache_control} if is_set(tool.cache_control) else {}
        return function_tool(tool.function, f"{at}/function", own, Source(at, FUNCTION_FIELDS))
    metadata = {DIALECT: {"declaration": declaration}}
    if tool.type != "custom":
        return Tool(name=tool.type, kind="builtin", provider_metadata=metadata, source=Source(at))
    if tool.custom is UNSET:
        raise InvalidRequest(f"{at}/custom is missing", param=f"{at}/custom")
    return Tool(
        name=tool.custom.name,
        kind="custom",
        description=tool.custom.description,
        provider_metadata=metadata,
        source=Source(at, CUSTOM_FIELDS),
    )


def function_tool(function: FunctionWire, at: str, own: dict[str, Any], source: Source) -> Tool:
    parameters = function.parameters if is_set(function.parameters) else None
    if parameters is not None:
        check_schema(parameters, f"{at}/parameters")
    return Tool(
        name=function.name,
        description=function.description,
        parameters=parameters,
        strict=function.strict,
        cache=cache_mark(own["cache_control"]) if "cache_control" in own else None,
        provider_metadata={DIALECT: own} if own else {},
        source=source,
    )


def tool_choice_of(wire: RequestWire, extensions: dict[str, Raw]) -> ToolChoice | None:
    parallel = wire.parallel_tool_calls
    if is_set(wire.tool_choice):
        chosen = decode(TOOL_CHOICE, wire.tool_choice, "/tool_choice")
        if isinstance(chosen, ToolChoiceWire) and chosen.type == "allowed_tools":
            extensions["tool_choice"] = wire.tool_choice
        return choice(chosen, parallel, "/tool_choice")
    if is_set(wire.function_call):
        named = decode(FUNCTION_CHOICE, wire.function_call, "/function_call")
        return choice(named, parallel, "/function_call")
    return None if parallel is None else ToolChoice(parallel=parallel)


def choice(chosen: str | ToolChoiceWire | NamedWire, parallel: bool | None, at: str) -> ToolChoice:
    match chosen:
        case str():
            if chosen not in MODES:
                raise refusal(at, f"expected auto, none, required or one tool's name in an object, got {chosen[:80]!r}")
            return ToolChoice(mode=MODES[chosen], parallel=parallel)
        case NamedWire(name=name):
            return ToolChoice(mode="tool", name=name, parallel=parallel)
        case ToolChoiceWire(type="function", function=NamedWire(name=name)):
            return ToolChoice(mode="tool", name=name, parallel=parallel)
        case ToolChoiceWire(type="custom", custom=NamedWire(name=name)):
            return ToolChoice(mode="tool", name=name, parallel=parallel)
        case ToolChoiceWire(type="allowed_tools", allowed_tools=allowed) if allowed is not UNSET:
            return ToolChoice(mode=allowed.mode, parallel=parallel)
        case _:
            raise InvalidRequest(f"{at}/{chosen.type} is missing", param=f"{at}/{chosen.type}")


def response_format_of(raw: Raw, extensions: dict[str, Raw]) -> ResponseFormat | None:
    if not is_set(raw):
        return None
    wire = decode(RESPONSE_FORMAT, raw, "/response_format")
    match wire.type:
        case "text":
            return None
        case "json_object":
            return ResponseFormat(kind="json_object")
        case "json_schema":
            wanted = wire.json_schema
            if wanted is UNSET:
                at = "/response_format/json_schema"
                raise InvalidRequest(f"{at} is missing", fix="give name and schema", param=at)
            schema = wanted.schema if is_set(wanted.schema) else None
            if schema is not None:
                check_schema(schema, "/response_format/json_schema/schema")
            return ResponseFormat(
                kind="json_schema",
                name=wanted.name,
                description=wanted.description,
                schema=schema,
                strict=wanted.strict,
            )
        case _:
            extensions["response_format"] = raw
            return None
