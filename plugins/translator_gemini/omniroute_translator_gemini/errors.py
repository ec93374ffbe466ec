"""Errors in the dialect's shape, and the upstream's own errors as types."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from omniroute.api import (
    AccountBlocked,
    ContextTooLong,
    CredentialRejected,
    ErrorBody,
    Frame,
    GatewayError,
    Overloaded,
    QuotaExhausted,
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
from omniroute_translator_gemini.wire import Wire, dump

__all__ = ["WireError", "encode_error", "error_frame", "upstream_error"]

_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"

# --- to the client ----------------------------------------------------------------------------------------------------

_NAMES: Mapping[int, str] = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}
"""Of the statuses that are not simply INVALID_ARGUMENT (4xx) or INTERNAL (5xx)."""
_TOO_LONG = "input token count exceeds the maximum number of tokens allowed"
_SAYS_TOO_LONG = re.compile(r"input token count.*exceeds the maximum", re.IGNORECASE)


def encode_error(error: GatewayError) -> ErrorBody:
    headers = retry_headers(error)
    problem = _problem(error)
    details: list[Wire] = []
    if error.param is not None:
        details.append({"@type": _BAD_REQUEST, "fieldViolations": [{"field": error.param, "description": error.text}]})
    if headers:
        details.append({"@type": _RETRY_INFO, "retryDelay": f"{headers['retry-after']}s"})
    if details:
        problem["details"] = details
    return ErrorBody(status=error.status, body=dump({"error": problem}), headers=headers)


def error_frame(error: GatewayError) -> Frame:
    """The last frame of a stream that failed. `retryable` tells programs whether the same request may succeed."""
    return Frame(dump({"error": {**_problem(error), "retryable": is_retryable(error)}}))


def _problem(error: GatewayError) -> Wire:
    status = error.status
    name = _NAMES.get(status) or ("INVALID_ARGUMENT" if status < 500 else "INTERNAL")
    text = error.text
    if isinstance(error, ContextTooLong) and not _SAYS_TOO_LONG.search(text):
        text = f"The {_TOO_LONG}: {text}"  # the words by which clients know that they have to compact the conversation
    return {"code": status, "message": text, "status": name}


# --- from the upstream ------------------------------------------------------------------------------------------------


class WireError(msgspec.Struct):
    """Nothing is certain about the types: a report of a failure must not fail on them."""

    code: Any = None
    message: Any = None
    status: Any = None
    details: Any = None


_KINDS: Mapping[str, tuple[type[UpstreamError], int]] = {
    "INVALID_ARGUMENT": (UpstreamRefused, 400),
    "FAILED_PRECONDITION": (UpstreamRefused, 400),
    "OUT_OF_RANGE": (UpstreamRefused, 400),
    "UNAUTHENTICATED": (CredentialRejected, 401),
    "PERMISSION_DENIED": (AccountBlocked, 403),
    "NOT_FOUND": (UpstreamModelMissing, 404),
    "RESOURCE_EXHAUSTED": (RateLimited, 429),
    "CANCELLED": (UpstreamFailed, 500),
    "INTERNAL": (UpstreamFailed, 500),
    "UNKNOWN": (UpstreamFailed, 500),
    "UNAVAILABLE": (Overloaded, 503),
    "DEADLINE_EXCEEDED": (UpstreamTimeout, 504),
}
_BY_CODE: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}
_BAD_KEY = "API_KEY_INVALID"
_CONTEXT = re.compile(
    r"token count.*exceeds|exceeds? the maximum number of tokens|context (window|length)", re.IGNORECASE
)
_SIGNATURE = re.compile(
    r"thought.?signature.{0,40}(not valid|invalid|missing|corrupt)|corrupted thought|missing a thought_signature",
    re.IGNORECASE,
)
_PER_DAY = re.compile(r"per day|PerDay|exceeded your current quota", re.IGNORECASE)
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")


def upstream_error(error: WireError) -> UpstreamError:
    """An error the upstream reported inside an answer that had begun with status 200."""
    said = error.message if isinstance(error.message, str) and error.message else "the upstream reported an error"
    code = error.code if isinstance(error.code, int) and 400 <= error.code < 600 else None
    name = (
        error.status if isinstance(error.status, str) and error.status in _KINDS else _BY_CODE.get(code or 0, "UNKNOWN")
    )
    kind, status = _KINDS[name]
    details = (
        [detail for detail in error.details if isinstance(detail, dict)] if isinstance(error.details, list) else []
    )
    if any(detail.get("reason") == _BAD_KEY for detail in details):
        kind = CredentialRejected  # this vendor calls a wrong key an invalid argument
    elif kind is UpstreamRefused and _CONTEXT.search(said):
        kind = ContextTooLong
    elif kind is UpstreamRefused and _SIGNATURE.search(said):
        kind = SignatureRejected
    elif kind is RateLimited and _PER_DAY.search(said):
        kind = QuotaExhausted
    return kind(said, status=code or status, retry_after_s=_retry_delay_s(details))


def _retry_delay_s(details: list[Any]) -> float | None:
    for detail in details:
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and (found := _SECONDS.fullmatch(delay)):
            return float(found[1])
    return None
