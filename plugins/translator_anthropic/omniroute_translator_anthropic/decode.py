"""A Messages request to the canonical one.

Nothing is lost on the way in: what has no canonical home rides under this dialect's name, in the request's extensions or in
the metadata of its part or tool.
"""

from collections.abc import Collection, Mapping
from typing import Any, get_args

import msgspec
from msgspec import Raw

from omniroute.api import (
    ChatRequest,
    FilePart,
    Headers,
    ImagePart,
    Message,
    Part,
    Reasoning,
    ReasoningEffort,
    ReasoningPart,
    ResponseFormat,
    Role,
    Sampling,
    Source,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
    check_schema,
)
from omniroute_translator_anthropic.blocks import read_content
from omniroute_translator_anthropic.carriers import Carriers
from omniroute_translator_anthropic.head import WireHead, decode_head, invalid, session_of
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

NOT_TEXT = (FilePart, ImagePart, ReasoningPart, ToolCallPart, ToolResultPart)
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
        request = _request(decode_head(body, params), Fields(body, ""), headers)
    except Malformed as error:
        raise invalid(error) from None
    is_count = params.get("operation") == "count_tokens"
    return msgspec.structs.replace(request, operation="count_tokens") if is_count else request


def _request(head: WireHead, fields: Fields, headers: Headers) -> ChatRequest:
    for name in WireHead.__struct_fields__:
        if name not in ("metadata", "system"):
            fields.take_raw(name)
    carriers = Carriers()
    messages = [*_system(fields.take_raw("system")), *_messages(head.messages, carriers)]
    choice = fields.take_raw("tool_choice")
    user, metadata = _user(fields)
    thinking = _Thinking(fields)
    extensions: dict[str, Any] = {**fields.rest(), **metadata, **thinking.left}
    return ChatRequest(
        model=head.model,
        messages=carriers.close(messages),
        tools=_tools(head.tools),
        tool_choice=None if choice is None else _tool_choice(Fields(choice, "/tool_choice")),
        max_output_tokens=head.max_tokens,
        sampling=Sampling(
            temperature=head.temperature,
            top_p=head.top_p,
            top_k=head.top_k,
            stop=tuple(head.stop_sequences or ()),
        ),
        reasoning=thinking.reasoning,
        response_format=thinking.format,
        stream=head.stream or False,
        user=user,
        session=session_of(head, headers),
        extensions={DIALECT: extensions} if extensions else {},
        losses=tuple(carriers.losses),
        source=Source("", {**_ELSEWHERE, **thinking.places}),
    )


def _user(fields: Fields) -> tuple[str | None, dict[str, Raw]]:
    """`metadata.user_id`, and what else `metadata` holds."""
    raw = fields.take_raw("metadata")
    if raw is None:
        return None, {}
    metadata = Fields(raw, "/metadata")
    user = metadata.take("user_id", STRING)
    rest = metadata.rest()
    return user, {"metadata": Raw(ENCODER.encode(rest))} if rest else {}


# --- messages ---------------------------------------------------------------------------------------------------------


def _system(raw: Raw | None) -> list[Message]:
    parts = _allow(read_content(raw, "/system"), "system text", refuse=NOT_TEXT)
    return [Message(role="system", parts=parts, source=Source("/system"))] if parts else []


def _messages(raw: Raw, carriers: Carriers) -> list[Message]:
    messages: list[Message] = []
    called: set[str] = set()
    for at, message in enumerate(read_list(raw, "/messages")):
        fields = Fields(message, f"/messages/{at}")
        role = fields.need("role", STRING)
        content = read_content(fields.take_raw("content"), f"/messages/{at}/content")
        source = Source(fields.pointer)
        match role:
            case "user":
                _check_answers(content, called)
                messages.extend(_user_turn(content, source))
            case "assistant":
                content = carriers.open(content)
                parts = _allow(content, "an assistant turn", refuse=(ImagePart, ToolResultPart))
                called.update(part.id for part in parts if isinstance(part, ToolCallPart))
                messages.append(Message(role="assistant", parts=parts, source=source))
            case "system":
                parts = _allow(content, "a system turn", refuse=NOT_TEXT)
                messages.append(Message(role="system", parts=parts, source=source))
            case _:
                raise Malformed(f"/messages/{at}/role", f"{role!r} is none of user, assistant, system")
    return messages


def _check_answers(content: list[tuple[str, Part]], called: Collection[str]) -> None:
    """The service wants a result's call in the very turn before. Here any turn before will do: encoders bring them together."""
    for pointer, part in content:
        if isinstance(part, ToolResultPart) and part.call_id not in called:
            raise Malformed(
                f"{pointer}/tool_use_id",
                f"answers no call: {part.call_id[:80]!r} is the id of no tool_use before it",
                fix="send the assistant's turn that made the call, or leave the result out",
            )


def _user_turn(content: list[tuple[str, Part]], source: Source) -> list[Message]:
    """Tool results first, in a message of their own, then the user's words."""
    parts = _allow(content, "a user turn", refuse=(ToolCallPart, ReasoningPart))
    results = tuple(part for part in parts if isinstance(part, ToolResultPart))
    words = tuple(part for part in parts if not isinstance(part, ToolResultPart))
    turns: list[tuple[Role, tuple[Part, ...]]] = [("tool", results), ("user", words)]
    said = [Message(role=role, parts=parts, source=source) for role, parts in turns if parts]
    return said or [Message(role="user", parts=(), source=source)]


def _allow(content: list[tuple[str, Part]], where: str, *, refuse: tuple[type[Part], ...]) -> tuple[Part, ...]:
    for pointer, part in content:
        if isinstance(part, refuse):
            raise Malformed(f"{pointer}/type", f"this block has no place in {where}")
    return tuple(part for _, part in content)


# --- tools ------------------------------------------------------------------------------------------------------------


def _tools(raw: Raw) -> tuple[Tool, ...]:
    if is_absent(raw):
        return ()
    tools = read_list(raw, "/tools")
    return tuple(_tool(tool, Fields(tool, f"/tools/{at}")) for at, tool in enumerate(tools))


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
    if not name:
        raise Malformed(f"{fields.pointer}/name", "a tool needs a name")
    schema = fields.take_raw("input_schema")
    if schema is not None:
        check_schema(schema, f"{fields.pointer}/input_schema")
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
