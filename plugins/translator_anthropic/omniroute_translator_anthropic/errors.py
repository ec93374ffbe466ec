"""Errors in the dialect's shape, and the upstream's own errors as types."""

import re
from collections.abc import Mapping

import msgspec

from omniroute.api import (
    AccountBlocked,
    ContextTooLong,
    CredentialRejected,
    ErrorBody,
    Frame,
    GatewayError,
    Overloaded,
    RateLimited,
    SignatureRejected,
    UpstreamError,
    UpstreamFailed,
    UpstreamModelMissing,
    UpstreamRefused,
    UpstreamTimeout,
    is_retryable,
    retry_headers,
)
from omniroute_translator_anthropic.wire import ENCODER, Wire

__all__ = ["WireError", "encode_error", "error_frame", "upstream_error"]

# --- to the client ----------------------------------------------------------------------------------------------------

_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_TOO_LONG = "prompt is too long"
_TOKENS = re.compile(r"\d{1,3}(?:,\d{3})+|\d{4,}")


def encode_error(error: GatewayError, request_id: str) -> ErrorBody:
    body = {"type": "error", "error": _problem(error), "request_id": request_id}
    return ErrorBody(status=error.status, body=ENCODER.encode(body), headers=retry_headers(error))


def error_frame(error: GatewayError) -> Frame:
    """The last frame of a stream that failed. `retryable` tells programs whether the same request may succeed."""
    body = {"type": "error", "error": {**_problem(error), "retryable": is_retryable(error)}}
    return Frame(ENCODER.encode(body), "error")


def _problem(error: GatewayError) -> Wire:
    status = error.status
    kind = _TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")
    return {"type": kind, "message": _too_long(error.text) if isinstance(error, ContextTooLong) else error.text}


def _too_long(text: str) -> str:
    """In the words by which clients of this dialect know that they have to compact the conversation."""
    if _TOO_LONG in text.lower():
        return text
    counts = sorted({int(found.replace(",", "")) for found in _TOKENS.findall(text)})
    if len(counts) < 2:
        return f"{_TOO_LONG}: {text}"
    return f"{_TOO_LONG}: {counts[-1]} tokens > {counts[0]} maximum · {text}"


# --- from the upstream ------------------------------------------------------------------------------------------------


class WireError(msgspec.Struct):
    type: str | None = None
    message: str | None = None


_KINDS: Mapping[str, tuple[type[UpstreamError], int]] = {
    "invalid_request_error": (UpstreamRefused, 400),
    "authentication_error": (CredentialRejected, 401),
    "billing_error": (AccountBlocked, 402),
    "permission_error": (AccountBlocked, 403),
    "not_found_error": (UpstreamModelMissing, 404),
    "request_too_large": (UpstreamRefused, 413),
    "rate_limit_error": (RateLimited, 429),
    "api_error": (UpstreamFailed, 500),
    "timeout_error": (UpstreamTimeout, 504),
    "overloaded_error": (Overloaded, 529),
}
_CONTEXT = re.compile(r"prompt is too long|exceed(s|ed)? (the )?context|context (window|length|limit)", re.IGNORECASE)
_SIGNATURE = re.compile(r"invalid.{0,20}signature|signature.{0,40}(invalid|verif)", re.IGNORECASE)


def upstream_error(error: WireError | None) -> UpstreamError:
    """An error the upstream reported inside an answer that had begun with status 200."""
    said = (error and error.message) or "the upstream reported an error and did not say which"
    kind, status = _KINDS.get((error and error.type) or "", (UpstreamFailed, 500))
    if kind is UpstreamRefused and _CONTEXT.search(said):
        kind = ContextTooLong
    elif kind is UpstreamRefused and _SIGNATURE.search(said):
        kind = SignatureRejected
    return kind(said, status=status)
