"""The top level of a request: what routing needs, without a look into messages, tools or system.

Ranges are the ones the service documents; a bad value is refused here and never forwarded.
"""

import re
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from omniroute.api import Headers, InvalidRequest, RequestHead, with_model
from omniroute_translator_anthropic.wire import ENCODER, Malformed, read, read_object

__all__ = [
    "HeadFields",
    "WireHead",
    "WireMetadata",
    "check_head",
    "decode_head",
    "invalid",
    "read_head",
    "rename_model",
    "session_of",
]

MAX_INT = 2**31 - 1
"""No model writes, and no sampler looks at, more tokens than this; larger numbers are typing errors."""

_SESSION_IN_USER_ID = re.compile(r"_session_(?P<id>[0-9A-Za-z-]+)")
_FILLED_LIST = re.compile(rb"\[\s*[^\s\]]")
_NOTHING = Raw()

FIXES = {
    "/model": "name the model to use, for example one that GET /v1/models lists",
    "/max_tokens": "send the most tokens the answer may have, an integer of at least 1",
    "/messages": "send at least one message with a role and content",
    "/temperature": "send a number from 0 to 1, or leave it out",
    "/top_p": "send a number from 0 to 1, or leave it out",
    "/top_k": "send an integer of at least 0, or leave it out",
    "/stream": "send true or false",
}


class WireMetadata(msgspec.Struct):
    user_id: str | None = None


class HeadFields(msgspec.Struct, kw_only=True):
    """Those that are small."""

    model: Annotated[str, Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=1, le=MAX_INT)] | None = None
    stream: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=MAX_INT)] | None = None
    stop_sequences: list[str] | None = None
    metadata: WireMetadata | None = None


class WireHead(HeadFields, kw_only=True):
    messages: Raw
    system: Raw = _NOTHING
    tools: Raw = _NOTHING


class _Claim(msgspec.Struct):
    """`metadata.user_id` as some clients send it: JSON in a string."""

    session_id: str | None = None


_HEAD = msgspec.json.Decoder(WireHead)
_CLAIM = msgspec.json.Decoder(_Claim)


def invalid(error: Malformed) -> InvalidRequest:
    """The client's fault, with the pointer to it."""
    pointer = error.pointer
    return InvalidRequest(str(error), param=pointer or None, fix=error.fix or FIXES.get(pointer))


def decode_head(body: bytes, params: Mapping[str, str]) -> WireHead:
    """Raises `Malformed`."""
    head = read(_HEAD, body)
    check_head(head, params)
    if not _is_filled_list(head.messages):
        raise Malformed("/messages", "Expected a list of at least one message")
    return head


def check_head(head: HeadFields, params: Mapping[str, str]) -> None:
    """Raises `Malformed`."""
    if head.max_tokens is None and params.get("operation", "chat") == "chat":
        raise Malformed("/max_tokens", "Field required")


def read_head(body: bytes, params: Mapping[str, str], headers: Headers) -> RequestHead:
    try:
        head = decode_head(body, params)
    except Malformed as error:
        raise invalid(error) from None
    return RequestHead(
        model=head.model,
        stream=head.stream or False,
        session=session_of(head, headers),
        max_output_tokens=head.max_tokens,
        has_tools=_is_filled_list(head.tools),
        opening=(head.system, head.tools),
        turns=head.messages,
    )


def _is_filled_list(raw: Raw) -> bool:
    return raw is not _NOTHING and _FILLED_LIST.match(raw) is not None


def session_of(head: HeadFields, headers: Headers) -> str | None:
    """The client's name for this conversation: from a header, else the session part of `metadata.user_id`."""
    named = headers.get("x-claude-code-session-id") or headers.get("x-session-id") or headers.get("x-session-affinity")
    if named:
        return named
    user_id = head.metadata.user_id if head.metadata else None
    if not user_id:
        return None
    if user_id.startswith("{"):
        try:
            return _CLAIM.decode(user_id).session_id or None
        except (msgspec.DecodeError, RecursionError):
            return None
    found = _SESSION_IN_USER_ID.search(user_id)
    return found["id"] if found else None


def rename_model(body: bytes, model: str) -> bytes:
    """The same body for another model: order and all other values stay as they are."""
    renamed = with_model(body, model)
    if renamed is not None:
        return renamed
    try:
        fields = read_object(body)
    except Malformed as error:
        raise invalid(error) from None
    fields["model"] = Raw(ENCODER.encode(model))
    return ENCODER.encode(fields)
