import msgspec
import pytest
from anthropic.types import ErrorResponse

from omniroute.api import (
    AccountBlocked,
    AuthenticationFailed,
    Conflict,
    ContextTooLong,
    InternalError,
    InvalidRequest,
    ModelNotFound,
    NoCandidate,
    Overloaded,
    PayloadTooLarge,
    PermissionDenied,
    RateLimited,
    UnsupportedMediaType,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InvalidRequest("no"), 400, "invalid_request_error"),
        (UpstreamRefused("no", status=422), 422, "invalid_request_error"),
        (AuthenticationFailed("no"), 401, "authentication_error"),
        (AccountBlocked("no", status=402), 402, "billing_error"),
        (PermissionDenied("no"), 403, "permission_error"),
        (ModelNotFound("no"), 404, "not_found_error"),
        (Conflict("no"), 409, "invalid_request_error"),
        (PayloadTooLarge("no"), 413, "request_too_large"),
        (UnsupportedMediaType("no"), 415, "invalid_request_error"),
        (RateLimited("no"), 429, "rate_limit_error"),
        (InternalError("no"), 500, "api_error"),
        (UpstreamFailed("no"), 502, "api_error"),
        (NoCandidate("no"), 503, "overloaded_error"),
        (UpstreamTimeout("no"), 504, "timeout_error"),
        (Overloaded("no", status=529), 529, "overloaded_error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_an_error_has_the_vendors_form(translator, error, status, kind):
    answer = translator.encode_error(error, "req-1")
    assert answer.status == status
    assert msgspec.json.decode(answer.body) == {
        "type": "error",
        "error": {"type": kind, "message": error.text},
        "request_id": "req-1",
    }
    if kind != "request_too_large":  # documented, but not in the SDK's types
        ErrorResponse.model_validate_json(answer.body)


def test_the_message_says_what_why_and_what_to_do(translator):
    error = InvalidRequest("it is wrong", why="it is upside down", fix="turn it")
    body = msgspec.json.decode(translator.encode_error(error, "r").body)
    assert body["error"]["message"] == "it is wrong · it is upside down · turn it"


@pytest.mark.parametrize(
    ("seconds", "header"), [(None, {}), (0.2, {"retry-after": "1"}), (12.1, {"retry-after": "13"})]
)
def test_when_to_come_back_is_in_whole_seconds(translator, seconds, header):
    assert translator.encode_error(RateLimited("slow", retry_after_s=seconds), "r").headers == header


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        pytest.param(
            "prompt is too long: 210000 tokens > 200000 maximum",
            "prompt is too long: 210000 tokens > 200000 maximum",
            id="the vendor's own words",
        ),
        pytest.param(
            "This model's maximum context length is 128,000 tokens, but you sent 130042.",
            "prompt is too long: 130042 tokens > 128000 maximum · "
            "This model's maximum context length is 128,000 tokens, but you sent 130042.",
            id="numbers in other words",
        ),
        pytest.param("the context window is full", "prompt is too long: the context window is full", id="no numbers"),
    ],
)
def test_too_long_a_prompt_is_told_so_that_clients_compact(translator, message, shown):
    answer = translator.encode_error(ContextTooLong(message, status=400), "r")
    assert answer.status == 400
    assert msgspec.json.decode(answer.body)["error"]["message"] == shown
