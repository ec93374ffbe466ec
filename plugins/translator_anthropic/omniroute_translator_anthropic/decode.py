"""A Messages request to the canonical one.

Nothing is lost on the way in: what has no canonical home rides under this dialect's name, in the request's extensions or in
the metadata of its part or tool.
"""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import msgspec
from msgspec import Raw

from omniroute.api import (
    ChatRequest,
    Headers,
    Reasoning,
    ReasoningEffort,
    ResponseFormat,
    Sampling,
    Source,
    Tool,
    ToolChoice,
    check_schema,
)
from omniroute_translator_anthropic.carriers import Carriers
from omniroute_translator_anthropic.head import WireHead, check_head, decode_head, invalid, session_of
from omniroute_translator_anthropic.messages import read_messages, read_system
from omniroute_translator_anthropic.plain import (
    PlainRequest,
    PlainTool,
    plain_request,
    rarer_fields,
)
from omniroute_translator_anthropic.wire import (
    BOOL,
    DIALECT,
    ENCODER,
    INTEGER,
    STRING,
    Fields,
    Malformed,
    is_absent,
    read_list,
    read_object,
)

__all__ = ["decode_request"]

_TOOL_FIELDS = {"parameters": "/input_schema"}
_ELSEWHERE = {
    "max_output_tokens": "/max_tokens",
    "stop": "/stop_sequences",
    "user": "/metadata/user_id",
    "tool_choice/parallel": "/tool_choice/disable_parallel_tool_use",
}
"""Canonical fields → where they stand in a tool's declaration, or in a request."""
_EFFORTS: Mapping[str, ReasoningEffort] = {effort: effort for effort in get_args(ReasoningEffort)}


def decode_request(body: bytes, params: Mapping[str, str], headers: Headers) -> ChatRequest:
    """Raises `InvalidRequest` with the JSON pointer to what is wrong."""
    try:
        request = _request(*_read(body, params), headers)
    except Malformed as error:
        raise invalid(error) from None
    is_count = params.get("operation") == "count_tokens"
    return msgspec.structs.replace(request, operation="count_tokens") if is_count else request


def _read(body: bytes, params: Mapping[str, str]) -> tuple[WireHead | PlainRequest, Fields | None]:
    """The fields of every request, and the others, if there are any."""
    plain = plain_request(body)
    if plain is not None:
        check_head(plain, params)
        rarer = rarer_fields(plain)
        return plain, Fields(rarer, "") if rarer else None
    head, fields = decode_head(body, params), Fields(body, "")
    for name in WireHead.__struct_fields__:
        if name != "metadata":
            fields.take_raw(name)
    return head, fields


def _request(head: WireHead | PlainRequest, fields: Fields | None, headers: Headers) -> ChatRequest:
    carriers = Carriers()
    system = () if head.system is None else read_system(head.system)
    messages = [*system, *read_messages(head.messages, carriers)]
    rarer = _NOTHING_RARER if fields is None else _Rarer(fields)
    return ChatRequest(
        model=head.model,
        messages=carriers.close(messages),
        tools=() if head.tools is None else _tools(head.tools),
        tool_choice=rarer.tool_choice,
        max_output_tokens=head.max_tokens,
        sampling=Sampling(
            temperature=head.temperature,
            top_p=head.top_p,
            top_k=head.top_k,
            stop=tuple(head.stop_sequences or ()),
        ),
        reasoning=rarer.reasoning,
        response_format=rarer.format,
        stream=head.stream or False,
        user=head.metadata.user_id if head.metadata else None,
        session=session_of(head, headers),
        extensions={DIALECT: rarer.extensions} if rarer.extensions else {},
        losses=tuple(carriers.losses),
        source=rarer.source,
    )


def _metadata(fields: Fields) -> dict[str, Raw]:
    """`metadata` without its `user_id`, where it holds anything else."""
    raw = fields.take_raw("metadata")
    if raw is None:
        return {}
    metadata = Fields(raw, "/metadata")
    metadata.take_raw("user_id")
    rest = metadata.rest()
    return {"metadata": Raw(ENCODER.encode(rest))} if rest else {}


# --- tools ------------------------------------------------------------------------------------------------------------


def _tools(tools: Raw | Sequence[PlainTool]) -> tuple[Tool, ...]:
    if not isinstance(tools, Raw):
        return tuple([_plain_tool(tool, f"/tools/{at}") for at, tool in enumerate(tools)])
    if is_absent(tools):
        return ()
    return tuple([_tool(tool, Fields(tool, f"/tools/{at}")) for at, tool in enumerate(read_list(tools, "/tools"))])


def _plain_tool(tool: PlainTool, pointer: str) -> Tool:
    """The one that `_tool` makes of the same declaration."""
    schema = None if is_absent(tool.input_schema) else tool.input_schema
    _check_tool(tool.name, schema, pointer)
    kept = rarer_fields(tool)
    return Tool(
        name=tool.name,
        description=tool.description,
        parameters=schema,
        strict=tool.strict,
        cache=tool.cache,
        provider_metadata={DIALECT: kept} if kept else {},
        source=Source(pointer, _TOOL_FIELDS),
    )


def _check_tool(name: str, schema: Raw | None, pointer: str) -> None:
    if not name:
        raise Malformed(f"{pointer}/name", "a tool needs a name")
    if schema is not None:
        check_schema(schema, f"{pointer}/input_schema")


def _tool(raw: Raw, fields: Fields) -> Tool:
    kind = fields.take("type", STRING) or "custom"
    cache = fields.take_cache_mark()
    if kind != "custom":
        declaration = read_object(raw)
        declaration.pop("cache_control", None)
        metadata = {DIALECT: {"declaration": Raw(ENCODER.encode(declaration))}}
        name = fields.take("name", STRING) or kind  # a toolset has no name of its own
        source = Source(fields.pointer)
        return Tool(name=name, kind="builtin", cache=cache, provider_metadata=metadata, source=source)
    name = fields.need("name", STRING)
    schema = fields.take_raw("input_schema")
    _check_tool(name, schema, fields.pointer)
    return Tool(
        name=name,
        description=fields.take("description", STRING),
        parameters=schema,
        strict=fields.take("strict", BOOL),
        cache=cache,
        provider_metadata=fields.metadata(),
        source=Source(fields.pointer, _TOOL_FIELDS),
    )


def _tool_choice(fields: Fields) -> ToolChoice:
    kind = fields.need("type", STRING)
    disabled = fields.take("disable_parallel_tool_use", BOOL)
    parallel = None if disabled is None else not disabled
    match kind:
        case "auto":
            return ToolChoice(mode="auto", parallel=parallel)
        case "any":
            return ToolChoice(mode="required", parallel=parallel)
        case "tool":
            return ToolChoice(mode="tool", name=fields.need("name", STRING), parallel=parallel)
        case "none":
            return ToolChoice(mode="none", parallel=parallel)
        case _:
            raise Malformed("/tool_choice/type", f"{kind!r} is none of auto, any, tool, none")


# --- thinking and output ----------------------------------------------------------------------------------------------


class _Thinking:
    """`thinking`, `output_config` and the older `output_format`, and what of them has no canonical home (`left`)."""

    def __init__(self, fields: Fields) -> None:
        self.left: dict[str, Raw] = {}
        self.places = {
            "reasoning": "/thinking",
            "reasoning/summary": "/thinking/display",
            "response_format": "/output_config/format",
        }
        """Canonical fields → where they stand in the request."""
        raw = fields.take_raw("output_config")
        config = None if raw is None else Fields(raw, "/output_config")
        older = fields.take_raw("output_format")
        wanted = config.take_raw("format") if config else None
        self.format: ResponseFormat | None = None
        if wanted is not None:
            self.format = _format(Fields(wanted, "/output_config/format"))
        elif older is not None:
            self.format = _format(Fields(older, "/output_format"))
            self.places["response_format"] = "/output_format"
        thinking = fields.take_raw("thinking")
        self.places["reasoning/effort"] = "/output_config/effort"
        self.reasoning = None if thinking is None else self._reasoning(thinking, Fields(thinking, "/thinking"), config)
        if config and (rest := config.rest()):
            self.left["output_config"] = Raw(ENCODER.encode(rest))

    def _reasoning(self, raw: Raw, thinking: Fields, config: Fields | None) -> Reasoning | None:
        match thinking.need("type", STRING):
            case "disabled":
                self.places["reasoning/effort"] = "/thinking/type"
                return Reasoning(effort="none")
            case "adaptive":
                return Reasoning(effort=_effort(config), summary=_summary(thinking), adaptive=True)
            case "enabled":
                budget = thinking.need("budget_tokens", INTEGER)
                if budget < 1:
                    raise Malformed("/thinking/budget_tokens", "Expected `int` >= 1")
                return Reasoning(effort=_effort(config), budget_tokens=budget, summary=_summary(thinking))
            case _:
                self.left["thinking"] = raw
                return None


class _Rarer:
    """What comes of the fields that few requests have; those without a canonical home are left (`extensions`)."""

    def __init__(self, fields: Fields) -> None:
        choice = fields.take_raw("tool_choice")
        self.tool_choice = None if choice is None else _tool_choice(Fields(choice, "/tool_choice"))
        metadata = _metadata(fields)
        thinking = _Thinking(fields)
        self.reasoning, self.format = thinking.reasoning, thinking.format
        self.extensions: dict[str, Any] = {**fields.rest(), **metadata, **thinking.left}
        self.source = Source("", {**_ELSEWHERE, **thinking.places})


_NOTHING_RARER = _Rarer(Fields({}, ""))


def _effort(config: Fields | None) -> ReasoningEffort | None:
    value = config.take("effort", STRING) if config else None
    if value is None:
        return None
    if value not in _EFFORTS:
        raise Malformed("/output_config/effort", f"{value!r} is none of low, medium, high, xhigh, max")
    return _EFFORTS[value]


def _summary(thinking: Fields) -> str | None:
    display = thinking.take("display", STRING)
    return "auto" if display == "summarized" else display


def _format(fields: Fields) -> ResponseFormat:
    kind = fields.need("type", STRING)
    if kind != "json_schema":
        raise Malformed(f"{fields.pointer}/type", f"{kind!r} is not 'json_schema', the only kind there is")
    schema = fields.take_raw("schema")
    if schema is None:
        raise Malformed(f"{fields.pointer}/schema", "Field required")
    check_schema(schema, f"{fields.pointer}/schema")
    return ResponseFormat(kind="json_schema", schema=schema)
