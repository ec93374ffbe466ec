"""Answers that come in one piece."""

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from omniroute.api import ChatResponse, Part, TextPart, ToolCallPart, UpstreamFailed, UpstreamGarbled, Usage
from omniroute_translator_anthropic.answer import message, whole_blocks
from omniroute_translator_anthropic.blocks import read_answer_block
from omniroute_translator_anthropic.errors import WireError, upstream_error
from omniroute_translator_anthropic.stream_decoder import answer_extensions, unique_call
from omniroute_translator_anthropic.usage import UsageTally, WireUsage, finish_reason, stop_reason
from omniroute_translator_anthropic.wire import DIALECT, ENCODER, Malformed, own, read

__all__ = ["decode_response", "decode_token_count", "decode_usage", "encode_response", "encode_token_count"]


class WireMessage(msgspec.Struct):
    type: str = "message"
    id: str = ""
    model: str = ""
    content: list[Raw] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: WireUsage | None = None
    error: WireError | None = None


class _Counted(msgspec.Struct):
    usage: WireUsage | None = None


class _TokenCount(msgspec.Struct):
    input_tokens: int


_MESSAGE = msgspec.json.Decoder(WireMessage)
_COUNTED = msgspec.json.Decoder(_Counted)
_TOKEN_COUNT = msgspec.json.Decoder(_TokenCount)


def decode_response(body: bytes) -> ChatResponse:
    """Raises `UpstreamGarbled`, and the fitting `UpstreamError` for an error that came with status 200."""
    try:
        wire = read(_MESSAGE, body)
        if wire.type == "error" or wire.error is not None:
            raise upstream_error(wire.error)
        if wire.content is None:
            raise Malformed("/content", "Field required")
        parts = _parts(wire.id, wire.content)
    except Malformed as error:
        raise _garbled(error) from None
    has_calls = any(isinstance(part, ToolCallPart) for part in parts)
    extensions = answer_extensions(body)
    return ChatResponse(
        id=wire.id,
        model=wire.model,
        parts=tuple(parts),
        finish_reason=finish_reason(wire.stop_reason, has_calls=has_calls),
        stop_sequence=wire.stop_sequence,
        usage=None if wire.usage is None else UsageTally().update(wire.usage),
        extensions={DIALECT: extensions} if extensions else {},
    )


def _parts(answer_id: str, content: Sequence[Raw]) -> list[Part]:
    parts: list[Part] = []
    call_ids: set[str] = set()
    for at, raw in enumerate(content):
        part = read_answer_block(raw, f"/content/{at}")
        if isinstance(part, ToolCallPart):
            part = unique_call(part, answer_id, call_ids)
        if not isinstance(part, TextPart) or part.text or "block" in own(part.provider_metadata):
            parts.append(part)
    return parts


def encode_response(response: ChatResponse, model: str) -> bytes:
    """`model` is named where the upstream did not say which one it was."""
    if response.finish_reason == "error":
        raise UpstreamFailed("the upstream broke off its answer with an error")
    has_calls = ToolCallPart in map(type, response.parts)
    wire = message(response.id, response.model or model, response.usage)
    content = wire["content"]
    for part in response.parts:
        content += whole_blocks(part)
    wire.update(stop_reason(response.finish_reason, response.stop_sequence, has_calls=has_calls))
    if response.extensions:
        wire.update(response.extensions.get(DIALECT, {}))
    return ENCODER.encode(wire)


def decode_usage(body: bytes) -> Usage | None:
    try:
        usage = read(_COUNTED, body).usage
    except Malformed as error:
        raise _garbled(error) from None
    return None if usage is None else UsageTally().update(usage)


def decode_token_count(body: bytes) -> int:
    try:
        return read(_TOKEN_COUNT, body).input_tokens
    except Malformed as error:
        raise _garbled(error) from None


def encode_token_count(input_tokens: int) -> bytes:
    return ENCODER.encode({"input_tokens": input_tokens})


def _garbled(error: Malformed) -> UpstreamGarbled:
    return UpstreamGarbled(f"the upstream's answer cannot be read: {error}")
