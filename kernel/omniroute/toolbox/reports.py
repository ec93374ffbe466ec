"""Failures as upstreams report them once an answer has begun, and what a client is told of one besides its words."""

import math
from collections.abc import Iterable, Mapping

from omniroute.errors import (
    AccountBlocked,
    ContextTooLong,
    CredentialRejected,
    GatewayError,
    OutOfCredit,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    UpstreamError,
    UpstreamFailed,
    UpstreamModelMissing,
    UpstreamRefused,
    UpstreamTimeout,
)

__all__ = ["ERROR_WORDS", "is_retryable", "reported", "retry_headers"]

BY_STATUS: Mapping[int, type[UpstreamError]] = {
    401: CredentialRejected,
    402: OutOfCredit,
    403: AccountBlocked,
    404: UpstreamModelMissing,
    408: UpstreamTimeout,
    429: RateLimited,
    503: Overloaded,
    504: UpstreamTimeout,
    529: Overloaded,
}
ERROR_WORDS: Mapping[str, type[UpstreamError]] = {
    "authentication_error": CredentialRejected,
    "context_length_exceeded": ContextTooLong,
    "insufficient_quota": QuotaExhausted,
    "invalid_api_key": CredentialRejected,
    "invalid_request_error": UpstreamRefused,
    "model_not_found": UpstreamModelMissing,
    "overloaded": Overloaded,
    "overloaded_error": Overloaded,
    "permission_error": AccountBlocked,
    "quota_exceeded": QuotaExhausted,
    "rate_limit_error": RateLimited,
    "rate_limit_exceeded": RateLimited,
    "server_overloaded": Overloaded,
    "service_unavailable": Overloaded,
    "timeout": UpstreamTimeout,
    "too_many_requests": RateLimited,
}
"""What the codes and types of errors mean that many vendors use alike."""


def reported(
    message: object,
    *,
    words: Iterable[object],
    code: object = None,
    param: object = None,
    meanings: Mapping[str, type[UpstreamError]] = ERROR_WORDS,
) -> UpstreamError:
    """The error that an upstream reports within an answer, fields of any type as they came.

    The first of `words` that is in `meanings` decides, else the HTTP status that some servers put into `code` when they can no
    longer send it.
    """
    status = _status_in(code)
    kind = next((meanings[word] for word in words if isinstance(word, str) and word in meanings), None)
    if kind is None and status is not None:
        kind = BY_STATUS.get(status) or (UpstreamRefused if status < 500 else UpstreamFailed)
    said = message if isinstance(message, str) and message else "the upstream reported an error"
    return (kind or UpstreamFailed)(said, status=status, param=param if isinstance(param, str) else None)


def _status_in(code: object) -> int | None:
    if isinstance(code, str):
        code = int(code) if len(code) == 3 and code.isascii() and code.isdigit() else None
    return code if isinstance(code, int) and 400 <= code < 600 else None


def retry_headers(error: GatewayError) -> dict[str, str]:
    """`retry-after`, where it is known: whole seconds, at least 1."""
    return {} if error.retry_after_s is None else {"retry-after": str(max(1, math.ceil(error.retry_after_s)))}


def is_retryable(error: GatewayError) -> bool:
    """Whether the same request may succeed yet, for the last event of a stream that failed."""
    if error.retry_after_s is not None:
        return True
    return isinstance(error, UpstreamError) and (error.try_next or error.try_same)
