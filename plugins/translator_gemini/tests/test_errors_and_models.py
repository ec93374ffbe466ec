import msgspec
import pytest
from google.genai import errors as sdk_errors
from google.genai.types import Model

from omniroute.api import (
    AccountBlocked,
    ContextTooLong,
    CredentialRejected,
    InvalidRequest,
    ListedModel,
    ModelFacts,
    NoCandidate,
    Overloaded,
    PayloadTooLarge,
    QuotaExhausted,
    RateLimited,
    SignatureRejected,
    StreamBroken,
    UpstreamFailed,
    UpstreamGarbled,
    UpstreamModelMissing,
    UpstreamRefused,
    UpstreamTimeout,
)
from omniroute_translator_gemini.errors import error_frame

# --- to the client ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (InvalidRequest("x"), 400, "INVALID_ARGUMENT"),
        (UpstreamRefused("x", status=422), 422, "INVALID_ARGUMENT"),
        (PayloadTooLarge("x"), 413, "INVALID_ARGUMENT"),
        (CredentialRejected("x"), 401, "UNAUTHENTICATED"),
        (AccountBlocked("x"), 403, "PERMISSION_DENIED"),
        (UpstreamModelMissing("x"), 404, "NOT_FOUND"),
        (RateLimited("x"), 429, "RESOURCE_EXHAUSTED"),
        (UpstreamFailed("x", status=500), 500, "INTERNAL"),
        (UpstreamGarbled("x"), 502, "INTERNAL"),
        (NoCandidate("x"), 503, "UNAVAILABLE"),
        (Overloaded("x", status=529), 529, "UNAVAILABLE"),
        (UpstreamTimeout("x"), 504, "DEADLINE_EXCEEDED"),
    ],
)
def test_errors_have_the_vendors_form(translator, error, status, name):
    answer = translator.encode_error(error, "request-1")
    assert (answer.status, msgspec.json.decode(answer.body)) == (
        status,
        {"error": {"code": status, "message": "x", "status": name}},
    )
    raised = sdk_errors.APIError(answer.status, msgspec.json.decode(answer.body))
    assert (raised.code, raised.status, raised.message) == (status, name, "x")


def test_an_error_says_where_and_when_in_the_vendors_words(translator):
    error = InvalidRequest("/contents/0: no", fix="say more", param="/contents/0", retry_after_s=2.2)
    answer = translator.encode_error(error, "request-1")
    assert answer.headers == {"retry-after": "3"}
    assert msgspec.json.decode(answer.body)["error"]["details"] == [
        {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": "/contents/0", "description": "/contents/0: no · say more"}],
        },
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3s"},
    ]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("too much", "The input token count exceeds the maximum number of tokens allowed: too much"),
        (
            "The input token count (9) exceeds the maximum number of tokens allowed (8).",
            "The input token count (9) exceeds the maximum number of tokens allowed (8).",
        ),
    ],
)
def test_clients_are_told_that_a_prompt_is_too_long_in_the_words_they_know(translator, said, told):
    body = translator.encode_error(ContextTooLong(said), "request-1").body
    assert msgspec.json.decode(body)["error"]["message"] == told


@pytest.mark.parametrize(("error", "retryable"), [(StreamBroken("x"), True), (UpstreamRefused("x"), False)])
def test_an_error_in_a_stream_says_whether_another_try_may_help(error, retryable):
    problem = msgspec.json.decode(error_frame(error).data)["error"]
    assert problem == {
        "code": error.status,
        "message": "x",
        "status": "INTERNAL" if retryable else "INVALID_ARGUMENT",
        "retryable": retryable,
    }


# --- from the upstream ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "kind", "status", "retry_after_s"),
    [
        ({"status": "INVALID_ARGUMENT"}, UpstreamRefused, 400, None),
        ({"code": 400, "status": "FAILED_PRECONDITION"}, UpstreamRefused, 400, None),
        (
            {"code": 400, "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]},
            CredentialRejected,
            400,
            None,
        ),
        (
            {"code": 400, "message": "The input token count (9) exceeds the maximum number of tokens allowed (8)."},
            ContextTooLong,
            400,
            None,
        ),
        ({"code": 400, "message": "Thought signature is not valid"}, SignatureRejected, 400, None),
        ({"code": 400, "message": "Function call is missing a thought_signature in"}, SignatureRejected, 400, None),
        ({"code": 401}, CredentialRejected, 401, None),
        ({"code": 403, "status": "PERMISSION_DENIED"}, AccountBlocked, 403, None),
        ({"code": 404}, UpstreamModelMissing, 404, None),
        (
            {"code": 429, "details": [{"@type": "x"}, {"retryDelay": "37.5s"}]},
            RateLimited,
            429,
            37.5,
        ),
        ({"code": 429, "message": "You exceeded your current quota"}, QuotaExhausted, 429, None),
        ({"code": 500}, UpstreamFailed, 500, None),
        ({"status": "INTERNAL"}, UpstreamFailed, 500, None),
        ({"code": 503}, Overloaded, 503, None),
        ({"code": 529}, Overloaded, 529, None),
        ({"status": "DEADLINE_EXCEEDED"}, UpstreamTimeout, 504, None),
        ({"code": 499, "status": "CANCELLED"}, UpstreamFailed, 499, None),
        ({}, UpstreamFailed, 500, None),
        ({"code": "x", "message": [], "status": 5, "details": {}}, UpstreamFailed, 500, None),
    ],
)
def test_an_error_inside_an_answer_becomes_the_fitting_type(translator, problem, kind, status, retry_after_s):
    body = msgspec.json.encode({"error": problem})
    with pytest.raises(kind) as caught:
        translator.decode_response(body)
    assert type(caught.value) is kind
    assert (caught.value.upstream_status, caught.value.retry_after_s) == (status, retry_after_s)
    if isinstance(problem.get("message"), str):
        assert caught.value.message == problem["message"]


# --- models -----------------------------------------------------------------------------------------------------------

METHODS = ["generateContent", "streamGenerateContent", "countTokens"]


def test_models_have_the_vendors_form(translator):
    listed = [
        ListedModel(id="acme/small", provider="acme", name="Small", context_tokens=9, max_output_tokens=8, created_s=5),
        ListedModel(id="fast", provider="omniroute", kind="combo"),
    ]
    models = msgspec.json.decode(translator.encode_models(listed))["models"]
    assert models == [
        {
            "name": "models/acme/small",
            "displayName": "Small",
            "inputTokenLimit": 9,
            "outputTokenLimit": 8,
            "supportedGenerationMethods": METHODS,
        },
        {"name": "models/fast", "displayName": "fast", "supportedGenerationMethods": METHODS},
    ]
    assert [msgspec.json.decode(translator.encode_model(model)) for model in listed] == models
    for model in models:
        known = {name: value for name, value in model.items() if name != "supportedGenerationMethods"}
        assert Model.model_validate(known).name == model["name"]  # the SDK gives that one field another name


def test_an_upstreams_models_are_read(translator):
    body = msgspec.json.encode(
        {
            "models": [
                {
                    "name": "models/gemini-2.5-pro",
                    "displayName": "Pro",
                    "inputTokenLimit": 9,
                    "outputTokenLimit": 8,
                    "thinking": True,
                    "supportedGenerationMethods": METHODS,
                },
                {"name": "models/embedding-1", "supportedGenerationMethods": ["embedContent"]},
                {"name": "tunedModels/mine", "inputTokenLimit": 0},
            ],
            "nextPageToken": "x",
        }
    )
    assert translator.decode_models(body) == (
        ModelFacts(id="gemini-2.5-pro", name="Pro", context_tokens=9, max_output_tokens=8, capabilities=("reasoning",)),
        ModelFacts(id="tunedModels/mine"),
    )


@pytest.mark.parametrize("body", [b"", b"[]", b'{"models":[{}]}', b'{"models":5}', b"<html>"])
def test_a_list_that_cannot_be_read_is_garbled(translator, body):
    with pytest.raises(UpstreamGarbled):
        translator.decode_models(body)


@pytest.mark.parametrize(
    ("ends", "query"),
    [
        pytest.param({"nextPageToken": "x"}, {"pageToken": "x"}, id="more"),
        pytest.param({"nextPageToken": ""}, None, id="an empty token"),
        pytest.param({}, None, id="the end"),
        pytest.param({"nextPageToken": 5}, None, id="nonsense"),
    ],
)
def test_a_list_says_where_it_goes_on(translator, ends, query):
    assert translator.next_models_page(msgspec.json.encode({"models": [], **ends})) == query
