"""Errors and model lists in the dialect's shapes, both ways; usage of relayed answers; what the translator declares."""

import json

import pytest
from openai.types import Model

from omniroute.api import (
    AuthenticationFailed,
    CredentialRejected,
    GatewayError,
    Headers,
    Ingress,
    InternalError,
    InvalidRequest,
    ListedModel,
    ModelFacts,
    ModelNotFound,
    NoCandidate,
    Overloaded,
    PayloadTooLarge,
    PermissionDenied,
    Price,
    RateLimited,
    StreamBroken,
    Translator,
    UpstreamGarbled,
    Usage,
)
from omniroute.testing import check_translator
from omniroute_translator_openai_chat import OpenAIChat, register_translators

TRANSLATOR = OpenAIChat()


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


FULL = ListedModel(
    id="p/big",
    provider="p",
    name="Big",
    created_s=7,
    context_tokens=128_000,
    max_output_tokens=16_000,
    capabilities=("tools", "vision"),
    price=Price(input_usd=0.15, output_usd=3, cached_usd=0),
)
FULL_WIRE = {
    "id": "p/big",
    "object": "model",
    "created": 7,
    "owned_by": "p",
    "name": "Big",
    "context_window": 128_000,
    "context_length": 128_000,
    "max_output_tokens": 16_000,
    "capabilities": ["tools", "vision"],
    "pricing": {"prompt": "0.00000015", "completion": "0.000003", "input_cache_read": "0"},
}
BARE = ListedModel(id="always-on", provider="omniroute", kind="combo")
BARE_WIRE = {"id": "always-on", "object": "model", "created": 0, "owned_by": "omniroute"}


def test_models_are_listed_with_what_is_known():
    listed = json.loads(TRANSLATOR.encode_models([FULL, BARE]))
    assert listed == {"object": "list", "data": [FULL_WIRE, BARE_WIRE]}
    for model in listed["data"]:
        Model.model_validate(model, strict=True)
    assert json.loads(TRANSLATOR.encode_model(FULL)) == FULL_WIRE


@pytest.mark.parametrize(
    ("entry", "facts"),
    [
        pytest.param({}, {}, id="an id alone"),
        pytest.param({"object": "model", "created": 7, "owned_by": "x"}, {"created_s": 7}, id="the official form"),
        pytest.param({"context_length": 8192, "name": "M"}, {"context_tokens": 8192, "name": "M"}, id="context_length"),
        pytest.param({"max_model_len": 4096}, {"context_tokens": 4096}, id="max_model_len"),
        pytest.param(
            {"context_window": 1, "max_output_tokens": 2}, {"context_tokens": 1, "max_output_tokens": 2}, id="our own"
        ),
        pytest.param({"top_provider": {"max_completion_tokens": 9}}, {"max_output_tokens": 9}, id="nested"),
        pytest.param(
            {"created": 7.9, "context_length": None, "max_output_tokens": 0}, {"created_s": 7}, id="odd numbers"
        ),
        pytest.param(
            {"pricing": {"prompt": "0.0000025", "completion": 0, "image": "9", "input_cache_read": None}},
            {"price": Price(input_usd=2.5, output_usd=0)},
            id="prices per token",
        ),
        pytest.param({"pricing": {"prompt": "-1", "completion": "n/a"}}, {}, id="prices that are none"),
        pytest.param({"pricing": {"prompt": "inf"}}, {}, id="an endless price"),
        pytest.param(
            {"supported_parameters": ["tools", "seed", "reasoning"], "architecture": {"input_modalities": ["image"]}},
            {"capabilities": ("tools", "reasoning", "vision")},
            id="what it takes",
        ),
        pytest.param(
            {
                "pricing": "free",
                "architecture": "moe",
                "supported_parameters": {"a": 1},
                "capabilities": {"type": "chat"},
            },
            {},
            id="in forms of its own",
        ),
        pytest.param({"description": "x", "architecture": {"modality": "text"}}, {}, id="anything else"),
    ],
)
def test_an_upstreams_models_are_read_whatever_they_carry(entry, facts):
    expected = (ModelFacts(id="m", **facts),)
    assert (
        tuple(TRANSLATOR.decode_models(json.dumps({"object": "list", "data": [{"id": "m", **entry}]}).encode()))
        == expected
    )
    assert tuple(TRANSLATOR.decode_models(json.dumps([{"id": "m", **entry}]).encode())) == expected


def test_our_own_list_reads_back():
    assert tuple(TRANSLATOR.decode_models(TRANSLATOR.encode_models([FULL]))) == (
        ModelFacts(
            id="p/big",
            name="Big",
            created_s=7,
            context_tokens=128_000,
            max_output_tokens=16_000,
            capabilities=("tools", "vision"),
            price=FULL.price,
        ),
    )


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"5", b"{}", b'{"data":[{}]}', b'{"data":[{"id":5}]}', b'[{"id":"\xff"}]']
)
def test_a_list_that_is_none_is_garbled(body):
    with pytest.raises(UpstreamGarbled):
        TRANSLATOR.decode_models(body)


def test_a_list_that_is_an_error_is_that_error():
    with pytest.raises(CredentialRejected):
        TRANSLATOR.decode_models(b'{"error":{"message":"x","code":"invalid_api_key"}}')


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b'{"id":"x","usage":{"prompt_tokens":3,"completion_tokens":2}}', Usage(input_tokens=3, output_tokens=2)),
        (
            b'{"usage":{"prompt_tokens":9,"prompt_tokens_details":{"cache_creation_tokens":4}}}',
            Usage(input_tokens=9, cache_write_tokens=4),
        ),
        (b'{"usage":null}', None),
        (b"{}", None),
    ],
)
def test_usage_of_a_relayed_answer_is_read(body, usage):
    assert TRANSLATOR.decode_usage(body) == usage


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"usage":5}', b'{"id":"\xff"'])
def test_usage_of_what_is_no_object_is_garbled(body):
    with pytest.raises(UpstreamGarbled):
        TRANSLATOR.decode_usage(body)


def test_the_plugin_registers_the_chat_translator_with_its_paths():
    translator = register_translators()[0]
    assert translator.dialect == "openai-chat"
    assert translator.framing == "sse"
    assert translator.ingress == (
        Ingress(path="/v1/chat/completions", operation="chat"),
        Ingress(path="/chat/completions", operation="chat"),
    )
    assert {name: (operation.method, operation.path) for name, operation in translator.operations.items()} == {
        "chat": ("POST", "chat/completions"),
        "models": ("GET", "models"),
    }
    assert (translator.credential.header, translator.credential.prefix) == ("authorization", "Bearer ")
    assert translator.is_default_form
    assert translator.request_headers(Headers({b"openai-beta": b"x"})) == {}


def test_every_method_of_the_contract_is_answered():
    defaults = {"request_headers", "default_headers", "decode_token_count", "encode_token_count", "stream_framing"}
    defaults |= {"next_models_page"}
    methods = {name for name, value in vars(Translator).items() if callable(value) and not name.startswith("_")}
    assert methods - set(vars(OpenAIChat)) <= defaults


def test_the_shared_checks_pass():
    check_translator(OpenAIChat(now=lambda: 0.0, new_id=lambda: "fresh"))
