"""A client's request body: the head for routing, the whole as a canonical request, the body under another model name."""

import re

import msgspec
from msgspec import Raw

from omniroute.api import (
    ChatRequest,
    Headers,
    InvalidRequest,
    Loss,
    Reasoning,
    RequestHead,
    Sampling,
    Source,
    with_model,
)
from omniroute_translator_openai_chat.invalid import decode
from omniroute_translator_openai_chat.messages_in import decode_messages
from omniroute_translator_openai_chat.parts_in import is_set
from omniroute_translator_openai_chat.tools_in import response_format_of, tool_choice_of, tools_of
from omniroute_translator_openai_chat.wire import DIALECT, NOTHING, HeadWire, JsonSchemaWire, RequestWire

HEAD = msgspec.json.Decoder(HeadWire)
REQUEST = msgspec.json.Decoder(RequestWire)
FIELDS = msgspec.json.Decoder(dict[str, Raw])

FILLED_LIST = re.compile(rb"\s*\[\s*[^\s\]]")

KEPT = frozenset({"prompt_cache_key", "safety_identifier"})
"""Fields with a canonical home that an upstream of this dialect still wants as they were written."""
FIELDS_ELSEWHERE = {
    "reasoning": "/reasoning_effort",
    "reasoning/effort": "/reasoning_effort",
    "tool_choice/parallel": "/parallel_tool_calls",
    **{f"response_format/{name}": f"/response_format/json_schema/{name}" for name in JsonSchemaWire.__struct_fields__},
}
"""Canonical fields → where they stand in a request."""
CANONICAL = frozenset(RequestWire.__struct_fields__) - KEPT


def read_head(body: bytes, headers: Headers) -> RequestHead:
    head = decode(HEAD, body)
    check(head)
    return RequestHead(
        model=head.model,
        stream=bool(head.stream),
        session=session_of(head, headers),
        max_output_tokens=head.max_completion_tokens or head.max_tokens,
        has_tools=is_filled(head.tools) or is_filled(head.functions),
        opening=(head.tools,),
        turns=head.messages,
    )


def rename_model(body: bytes, model: str) -> bytes:
    renamed = with_model(body, model)
    if renamed is not None:
        return renamed
    fields = decode(FIELDS, body)
    fields["model"] = Raw(msgspec.json.encode(model))
    return msgspec.json.encode(fields)


def decode_request(body: bytes, headers: Headers) -> ChatRequest:
    fields = decode(FIELDS, body)
    large = fields.pop("messages", NOTHING), fields.pop("tools", NOTHING)  # most of the body: looked through once
    wire = decode(REQUEST, msgspec.json.encode(fields))
    wire.messages, wire.tools = large
    check(wire)
    messages, losses = decode_messages(wire.messages)
    extensions = {name: value for name, value in fields.items() if name not in CANONICAL and is_set(value)}
    stops = [wire.stop] if isinstance(wire.stop, str) else wire.stop or ()
    return ChatRequest(
        model=wire.model,
        messages=messages,
        tools=tools_of(wire),
        tool_choice=tool_choice_of(wire, extensions),
        max_output_tokens=max_output_tokens_of(wire, losses),
        sampling=Sampling(
            temperature=wire.temperature,
            top_p=wire.top_p,
            stop=tuple(stop for stop in stops if stop),
            seed=wire.seed,
            presence_penalty=wire.presence_penalty,
            frequency_penalty=wire.frequency_penalty,
        ),
        reasoning=Reasoning(effort=wire.reasoning_effort) if wire.reasoning_effort else None,
        response_format=response_format_of(wire.response_format, extensions),
        stream=bool(wire.stream),
        include_usage=not wire.stream or bool(wire.stream_options and wire.stream_options.include_usage),
        user=wire.user or wire.safety_identifier,
        session=session_of(wire, headers),
        extensions={DIALECT: extensions} if extensions or wire.reasoning_effort == "none" else {},
        losses=tuple(losses),
        source=source_of(wire),
    )


def source_of(wire: RequestWire) -> Source:
    """Where the fields stand that have another name elsewhere."""
    limit = "/max_tokens" if wire.max_completion_tokens is None else "/max_completion_tokens"
    return Source(
        "",
        {
            **FIELDS_ELSEWHERE,
            "max_output_tokens": limit,
            **({} if wire.user else {"user": "/safety_identifier"}),
            **({} if is_set(wire.tool_choice) else {"tool_choice": "/function_call"}),
        },
    )


def check(head: HeadWire) -> None:
    if not is_filled(head.messages):
        what = "not a list with at least one message" if is_set(head.messages) else "missing"
        raise InvalidRequest(f"messages is {what}", fix="send at least one message", param="messages")
    if head.n is not None and head.n > 1:
        raise InvalidRequest(
            f"n is {head.n}: one answer per request is all there is", fix="leave n out, or ask several times", param="n"
        )


def is_filled(raw: Raw) -> bool:
    return raw is not NOTHING and FILLED_LIST.match(raw) is not None


def session_of(head: HeadWire, headers: Headers) -> str | None:
    return headers.get("x-session-id") or headers.get("x-session-affinity") or head.prompt_cache_key or None


def max_output_tokens_of(wire: RequestWire, losses: list[Loss]) -> int | None:
    """Which of the two names the client used is not kept: see `limit_name` in `request_out`."""
    if wire.max_completion_tokens is None:
        return wire.max_tokens
    if wire.max_tokens not in (None, wire.max_completion_tokens):
        losses.append(Loss(pointer="/max_tokens", kind="dropped", reason="max_completion_tokens is given too"))
    return wire.max_completion_tokens
