"""Failures in this dialect's words, both ways.

With an HTTP status: `{"error": {"message", "type", "param", "code"}}`. In a stream: `response.failed`, or an event `error`.
"""

import math
from typing import Any

import msgspec

from omniroute.api import (
    AccountBlocked,
    ContextTooLong,
    CredentialRejected,
    ErrorBody,
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
)
from omniroute_translator_openai_responses.events import Problem

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
    "usage_limit_reached": QuotaExhausted,
    "rate_limit_exceeded": RateLimited,
    "rate_limit_error": RateLimited,
    "too_many_requests": RateLimited,
    "invalid_api_key": CredentialRejected,
    "authentication_error": CredentialRejected,
    "permission_error": AccountBlocked,
    "model_not_found": UpstreamModelMissing,
    "overloaded": Overloaded,
    "overloaded_error": Overloaded,
    "server_is_overloaded": Overloaded,
    "server_overloaded": Overloaded,
    "service_unavailable": Overloaded,
    "slow_down": Overloaded,
    "timeout": UpstreamTimeout,
    "invalid_encrypted_content": SignatureRejected,
    "invalid_prompt": UpstreamRefused,
    "invalid_request_error": UpstreamRefused,
    "bio_policy": UpstreamRefused,
    "misalignment_policy_violation": UpstreamRefused,
    "image_parse_error": UpstreamRefused,
    "image_content_policy_violation": UpstreamRefused,
    "invalid_image": UpstreamRefused,
    "invalid_image_format": UpstreamRefused,
    "invalid_image_url": UpstreamRefused,
    "invalid_base64_image": UpstreamRefused,
    "image_too_large": UpstreamRefused,
    "image_too_small": UpstreamRefused,
    "image_file_too_large": UpstreamRefused,
    "unsupported_image_media_type": UpstreamRefused,
    "empty_image_file": UpstreamRefused,
    "failed_to_download_image": UpstreamRefused,
    "image_file_not_found": UpstreamRefused,
}


def encode_error(error: GatewayError) -> ErrorBody:
    headers = {} if error.retry_after_s is None else {"retry-after": str(max(1, math.ceil(error.retry_after_s)))}
    kind = TYPES.get(error.status) or ("invalid_request_error" if error.status < 500 else "server_error")
    problem: dict[str, Any] = {"message": error.text, "type": kind, "param": error.param, "code": error.code}
    return ErrorBody(status=error.status, body=msgspec.json.encode({"error": problem}), headers=headers)


def failure_json(error: GatewayError) -> dict[str, Any]:
    """`response.error`; the dialect has few codes for it. `retryable` tells programs whether the request may yet succeed."""
    match error:
        case RateLimited():
            code = "rate_limit_exceeded"
        case UpstreamRefused():
            code = "invalid_prompt"
        case _:
            code = "server_error"
    retryable = isinstance(error, UpstreamError) and (error.try_next or error.try_same)
    return {"code": code, "message": error.text, "retryable": retryable}


def upstream_error(problem: Problem | str | None) -> UpstreamError:
    """What an upstream says went wrong, inside a stream or an answer with status 200."""
    if problem is None or isinstance(problem, str):
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
