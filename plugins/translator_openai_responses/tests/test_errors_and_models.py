"""Errors and model lists in the dialect's shapes, both ways; usage of relayed answers; what the translator declares."""

import json

import pytest

from omniroute.api import (
    AuthenticationFailed,
    CredentialRejected,
    GatewayError,
    InternalError,
    InvalidRequest,
    ListedModel,
    ModelNotFound,
    NoCandidate,
    Overloaded,
    PayloadTooLarge,
    PermissionDenied,
    RateLimited,
    StreamBroken,
    UpstreamGarbled,
    Usage,
    encode_model_list,
    encode_model_list_entry,
)
from omniroute_translator_openai_responses import OpenAIResponses

TRANSLATOR = OpenAIResponses()


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (InvalidRequest("x"), 400, "invalid_request_error", "invalid_request"),
        (AuthenticationFailed("x"), 401, "authentication_error", "invalid_api_key"),
        (CredentialRejected("x", status=401), 401, "authentication_error", "upstream_credential_rejected"),
        (PermissionDenied("x"), 403, "permission_error", "permission_denied"),
        (ModelNotFound("x"), 404, "invalid_request_error", "model_not_found"),
        (PayloadTooLarge("x"), 413, "invalid_request_error", "payload_too_large"),
        (RateLimited("x"), 429, "rate_limit_error", "rate_limit_exceeded"),
        (InternalError("x"), 500, "server_error", "internal_error"),
        (StreamBroken("x"), 502, "server_error", "stream_truncated"),
        (Overloaded("x", status=529), 529, "server_error", "overloaded"),
        (NoCandidate("x"), 503, "server_error", "no_candidate"),
    ],
)
def test_an_error_has_the_dialects_shape(error, status, kind, code):
    encoded = TRANSLATOR.encode_error(error, "req-1")
    assert encoded.status == status
    assert json.loads(encoded.body) == {"error": {"message": error.text, "type": kind, "param": None, "code": code}}
    assert encoded.headers == {}


def test_an_error_says_why_and_what_to_do_and_where():
    error = InvalidRequest("n is 3", why="one answer is all there is", fix="leave n out", param="n")
    told = json.loads(TRANSLATOR.encode_error(error, "").body)["error"]
    assert told["message"] == "n is 3 · one answer is all there is · leave n out"
    assert told["param"] == "n"


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.1, "2"), (60.0, "60")])
def test_retry_after_is_whole_seconds_and_at_least_one(seconds, header):
    error: GatewayError = RateLimited("x", retry_after_s=seconds)
    assert TRANSLATOR.encode_error(error, "").headers == {"retry-after": header}


def test_models_are_listed_and_read_as_most_services_do_it():
    models = [
        ListedModel(id="p/big", provider="p", context_tokens=128_000),
        ListedModel(id="always-on", provider="omniroute", kind="combo"),
    ]
    assert TRANSLATOR.encode_models(models) == encode_model_list(models)
    assert TRANSLATOR.encode_model(models[0]) == encode_model_list_entry(models[0])
    read = TRANSLATOR.decode_models(TRANSLATOR.encode_models(models))
    assert [(model.id, model.context_tokens) for model in read] == [("p/big", 128_000), ("always-on", None)]


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b'{"id":"x","usage":{"input_tokens":3,"output_tokens":2}}', Usage(input_tokens=3, output_tokens=2)),
        (
            b'{"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":4,"cache_write_tokens":2}}}',
            Usage(input_tokens=9, cached_tokens=4, cache_write_tokens=2),
        ),
        (
            b'{"usage":{"output_tokens":9,"output_tokens_details":{"reasoning_tokens":4}}}',
            Usage(output_tokens=9, reasoning_tokens=4),
        ),
        (b'{"usage":{"input_tokens":null,"input_tokens_details":null}}', Usage()),
        (b'{"usage":null}', None),
        (b"{}", None),
    ],
)
def test_usage_of_a_relayed_answer_is_read(body, usage):
    assert TRANSLATOR.decode_usage(body) == usage


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"usage":5}', b"\xff"])
def test_usage_of_what_is_no_object_is_garbled(body):
    with pytest.raises(UpstreamGarbled):
        TRANSLATOR.decode_usage(body)
