"""Failures in this dialect's words, both ways: `{"error": {"message", "type", "param", "code"}}`."""

import math
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
    UpstreamError,
    UpstreamFailed,
    UpstreamModelMissing,
    UpstreamRefused,
    UpstreamTimeout,
)
from omniroute_translator_openai_chat.wire import Problem

REPORTED = "the upstream reported an error"
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
"""Of the statuses that are not simply `invalid_request_error` (4xx) or `server_error` (5xx)."""

BY_STATUS: dict[int, type[UpstreamError]] = {
    401: CredentialRejected,
    402: AccountBlocked,
    403: AccountBlocked,
    404: UpstreamModelMissing,
    408: UpstreamTimeout,
    429: RateLimited,
    503: Overloaded,
    504: UpstreamTimeout,
    529: Overloaded,
}
BY_NAME: dict[str, type[UpstreamError]] = {
    "context_length_exceeded": ContextTooLong,
    "insufficient_quota": QuotaExhausted,
    "quota_exceeded": QuotaExhausted,
    "rate_limit_exceeded": RateLimited,
    "rate_limit_error": RateLimited,
    "too_many_requests": RateLimited,
    "invalid_api_key": CredentialRejected,
    "authentication_error": CredentialRejected,
    "permission_error": AccountBlocked,
    "model_not_found": UpstreamModelMissing,
    "overloaded": Overloaded,
    "overloaded_error": Overloaded,
    "server_overloaded": Overloaded,
    "service_unavailable": Overloaded,
    "timeout": UpstreamTimeout,
    "invalid_request_error": UpstreamRefused,
}


def encode_error(error: GatewayError) -> ErrorBody:
    headers = {} if error.retry_after_s is None else {"retry-after": str(max(1, math.ceil(error.retry_after_s)))}
    return ErrorBody(status=error.status, body=error_json(error), headers=headers)


def error_frame(error: GatewayError) -> Frame:
    """The last frame of a stream that failed. `retryable` tells programs whether the same request may succeed."""
    return Frame(error_json(error, retryable=isinstance(error, UpstreamError) and (error.try_next or error.try_same)))


def error_json(error: GatewayError, **more: bool) -> bytes:
    kind = TYPES.get(error.status) or ("invalid_request_error" if error.status < 500 else "server_error")
    problem: dict[str, Any] = {"message": error.text, "type": kind, "param": error.param, "code": error.code, **more}
    return msgspec.json.encode({"error": problem})


def upstream_error(problem: Problem | str) -> UpstreamError:
    """What an upstream says went wrong, inside a stream or an answer with status 200."""
    if isinstance(problem, str):
        return UpstreamFailed(problem or REPORTED)
    status = status_of(problem.code)
    names = (name for name in (problem.code, problem.type) if isinstance(name, str))
    kind = next((BY_NAME[name] for name in names if name in BY_NAME), None)
    if kind is None and status is not None:
        kind = BY_STATUS.get(status) or (UpstreamRefused if status < 500 else UpstreamFailed)
    message = problem.message if isinstance(problem.message, str) else ""
    param = problem.param if isinstance(problem.param, str) else None
    return (kind or UpstreamFailed)(message or REPORTED, status=status, param=param)


def status_of(code: object) -> int | None:
    """Some servers put the HTTP status they could no longer send into `code`."""
    if isinstance(code, str):
        code = int(code) if len(code) == 3 and code.isascii() and code.isdigit() else None
    return code if isinstance(code, int) and 400 <= code < 600 else None
