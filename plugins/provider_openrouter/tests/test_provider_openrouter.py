import msgspec
import pytest

from omniroute.api import (
    Account,
    AccountBlocked,
    ChatRequest,
    Credential,
    HttpResponse,
    Message,
    ModelFacts,
    OutOfCredit,
    QuotaExhausted,
    QuotaWindow,
    RateLimited,
    Raw,
    Reasoning,
    Secret,
    TextPart,
    UpstreamGarbled,
    UpstreamRefused,
)
from omniroute.testing import check_provider
from omniroute_provider_openrouter import FACTS, register_providers

(PROVIDER,) = register_providers()
MODEL = ModelFacts(id="vendor/model")
REQUEST = ChatRequest(model="m", messages=(Message(role="user", parts=(TextPart(text="hi"),)),))
ACCOUNT = Account(
    provider="openrouter", name="a", base_url=FACTS.base_url, credential=Credential(access=Secret("test-key-1"))
)


def test_it_passes_the_check_every_provider_must_pass():
    check_provider(PROVIDER)


def test_the_ranking_headers_are_facts_that_settings_replace():
    assert set(FACTS.headers) == {"http-referer", "x-title"}
    assert FACTS.aliases == ("or",)


@pytest.mark.parametrize(
    ("reasoning", "sent"),
    [
        pytest.param(Reasoning(budget_tokens=2048), Raw(b'{"max_tokens":2048}'), id="a budget"),
        pytest.param(
            Reasoning(budget_tokens=2048, effort="high"), Raw(b'{"max_tokens":2048}'), id="the budget is closer"
        ),
        pytest.param(Reasoning(effort="high"), None, id="an effort is the dialect's"),
        pytest.param(Reasoning(budget_tokens=0), None, id="switched off"),
        pytest.param(Reasoning(budget_tokens=-1), None, id="as much as it likes"),
        pytest.param(None, None, id="not said"),
    ],
)
def test_a_thinking_budget_is_sent_as_one(reasoning, sent):
    request = msgspec.structs.replace(
        REQUEST, reasoning=reasoning, extensions={"openai-chat": {"transforms": Raw(b"[]")}}
    )
    adapted = PROVIDER.adapt(request, MODEL)
    if sent is None:
        assert adapted is request
    else:
        assert adapted.reasoning is None
        assert adapted.extensions == {"openai-chat": {"transforms": Raw(b"[]"), "reasoning": sent}}


@pytest.mark.parametrize(
    ("status", "message", "metadata", "found"),
    [
        pytest.param(402, "Insufficient credits", None, OutOfCredit, id="no credit"),
        pytest.param(403, "Key limit exceeded", None, AccountBlocked, id="the key's limit"),
        pytest.param(403, "flagged", {"reasons": ["violence"], "flagged_input": "…"}, UpstreamRefused, id="moderation"),
        pytest.param(403, "flagged", {"reasons": 5}, AccountBlocked, id="reasons that are none"),
        pytest.param(429, "Rate limit exceeded: free-models-per-min", None, RateLimited, id="a minute's"),
        pytest.param(429, "Rate limit exceeded: free-models-per-day", None, QuotaExhausted, id="a day's"),
    ],
)
def test_what_a_failure_means(status, message, metadata, found):
    body = msgspec.json.encode({"error": {"code": status, "message": message, "metadata": metadata}})
    error = PROVIDER.classify(HttpResponse(status=status, body=body))
    assert (type(error), error.status, error.message) == (found, status, message)


def test_free_models_share_one_limit():
    assert PROVIDER.bucket(ModelFacts(id="a/b:free")) == PROVIDER.bucket(ModelFacts(id="c/d:free")) != "a/b:free"
    assert PROVIDER.bucket(MODEL) == "vendor/model"


@pytest.mark.parametrize(
    ("key", "windows"),
    [
        pytest.param({"usage": 25.5, "limit": None, "limit_remaining": None}, (), id="no limit"),
        pytest.param(
            {"usage": 25.5, "limit": 100, "limit_remaining": 74.5, "limit_reset": "monthly"},
            (QuotaWindow(name="credits", period="monthly", share_left=0.745, used=25.5, limit=100),),
            id="so much a month",
        ),
        pytest.param(
            {"limit": 5, "limit_remaining": -0.1},
            (QuotaWindow(name="credits", share_left=0, used=5.1, limit=5),),
            id="used up for good",
        ),
    ],
)
def test_the_keys_limit_is_a_window(key, windows):
    request = PROVIDER.quota(ACCOUNT)
    assert (request.method, request.url) == ("GET", "https://openrouter.ai/api/v1/key")
    assert PROVIDER.read_quota(HttpResponse(status=200, body=msgspec.json.encode({"data": key}))) == windows


@pytest.mark.parametrize("body", [b"", b"{}", b'{"data":{"limit":"5"}}', b"[" * 100_000])
def test_an_answer_about_the_key_that_is_none_is_garbled(body):
    with pytest.raises(UpstreamGarbled):
        PROVIDER.read_quota(HttpResponse(status=200, body=body))
