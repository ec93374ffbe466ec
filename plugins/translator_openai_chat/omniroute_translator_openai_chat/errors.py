"""Failures in this dialect's words, both ways: `{"error": {"message", "type", "param", "code"}}`."""

from typing import Any

import msgspec

from omniroute.api import ErrorBody, Frame, GatewayError, UpstreamError, is_retryable, reported, retry_headers
from omniroute_translator_openai_chat.wire import Problem

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
"""Of the statuses that are not simply `invalid_request_error` (4xx) or `server_error` (5xx)."""


def encode_error(error: GatewayError) -> ErrorBody:
    return ErrorBody(status=error.status, body=error_json(error), headers=retry_headers(error))


def error_frame(error: GatewayError) -> Frame:
    """The last frame of a stream that failed. `retryable` tells programs whether the same request may succeed."""
    return Frame(error_json(error, retryable=is_retryable(error)))


def error_json(error: GatewayError, **more: bool) -> bytes:
    kind = TYPES.get(error.status) or ("invalid_request_error" if error.status < 500 else "server_error")
    problem: dict[str, Any] = {"message": error.text, "type": kind, "param": error.param, "code": error.code, **more}
    return msgspec.json.encode({"error": problem})


def upstream_error(problem: Problem | str) -> UpstreamError:
    """What an upstream says went wrong, inside a stream or an answer with status 200."""
    if isinstance(problem, str):
        return reported(problem, words=())
    words = (problem.code, problem.type)
    return reported(problem.message, words=words, code=problem.code, param=problem.param)
