"""Answers to clients that come in one piece, and the figures of those that are passed on."""

import msgspec

from omniroute.api import ChatResponse, UpstreamFailed, UpstreamGarbled, Usage
from omniroute_translator_gemini.answer import identity, whole_parts
from omniroute_translator_gemini.usage import UsageTally, WireUsage, finish_name, wire_usage
from omniroute_translator_gemini.wire import DIALECT, Malformed, Wire, dump, read

__all__ = ["decode_token_count", "decode_usage", "encode_response", "encode_token_count"]


class _Counted(msgspec.Struct, rename="camel"):
    usage_metadata: WireUsage | None = None


class _TokenCount(msgspec.Struct, rename="camel"):
    total_tokens: int


_COUNTED = msgspec.json.Decoder(_Counted)
_TOKEN_COUNT = msgspec.json.Decoder(_TokenCount)


def encode_response(response: ChatResponse, model: str) -> bytes:
    """`model` is named where the upstream did not say which one it was."""
    if response.finish_reason == "error":
        raise UpstreamFailed("the upstream broke off its answer with an error")
    candidate: Wire = {
        "content": {"parts": whole_parts(response.parts), "role": "model"},
        "finishReason": finish_name(response.finish_reason),
        "index": 0,
        **response.extensions.get(DIALECT, {}),
    }
    usage = {} if response.usage is None else {"usageMetadata": wire_usage(response.usage)}
    return dump({"candidates": [candidate], **usage, **identity(response.id, response.model or model)})


def decode_usage(body: bytes) -> Usage | None:
    try:
        usage = read(_COUNTED, body).usage_metadata
    except Malformed as error:
        raise _garbled(error) from None
    return None if usage is None else UsageTally().update(usage)


def decode_token_count(body: bytes) -> int:
    try:
        return read(_TOKEN_COUNT, body).total_tokens
    except Malformed as error:
        raise _garbled(error) from None


def encode_token_count(input_tokens: int) -> bytes:
    return dump({"totalTokens": input_tokens})


def _garbled(error: Malformed) -> UpstreamGarbled:
    return UpstreamGarbled(f"the upstream's answer cannot be read: {error}")
