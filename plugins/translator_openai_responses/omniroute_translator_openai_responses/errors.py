"""Failures in this dialect's words, both ways.

With an HTTP status: `{"error": {"message", "type", "param", "code"}}`. In a stream: `response.failed`, or an event `error`.
"""

from typing import Any

import msgspec

from omniroute.api import (
    ERROR_WORDS,
    ErrorBody,
    GatewayError,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    SignatureRejected,
    UpstreamError,
    UpstreamRefused,
    is_retryable,
    reported,
    retry_headers,
)
from omniroute_translator_openai_responses.events import Problem

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
"""Of the statuses that are not simply `invalid_request_error` (4xx) or `server_error` (5xx)."""

MEANINGS: dict[str, type[UpstreamError]] = {
    **ERROR_WORDS,
    "usage_limit_reached": QuotaExhausted,
    "server_is_overloaded": Overloaded,
    "slow_down": Overloaded,
    "invalid_encrypted_content": SignatureRejected,
    "invalid_prompt": UpstreamRefused,
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
    kind = TYPES.get(error.status) or ("invalid_request_error" if error.status < 500 else "server_error")
    problem: dict[str, Any] = {"message": error.text, "type": kind, "param": error.param, "code": error.code}
    return ErrorBody(status=error.status, body=msgspec.json.encode({"error": problem}), headers=retry_headers(error))


def failure_json(error: GatewayError) -> dict[str, Any]:
    """`response.error`; the dialect has few codes for it. `retryable` tells programs whether the request may yet succeed."""
    match error:
        case RateLimited():
            code = "rate_limit_exceeded"
        case UpstreamRefused():
            code = "invalid_prompt"
        case _:
            code = "server_error"
    return {"code": code, "message": error.text, "retryable": is_retryable(error)}


def upstream_error(problem: Problem | str | None) -> UpstreamError:
    """What an upstream says went wrong, inside a stream or an answer with status 200."""
    if problem is None or isinstance(problem, str):
        return reported(problem, words=())
    words = (problem.code, problem.type)
    return reported(problem.message, words=words, code=problem.code, param=problem.param, meanings=MEANINGS)
