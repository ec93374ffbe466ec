import msgspec
import pytest

from omniroute.api import (
    Account,
    AccountBlocked,
    Call,
    ChatRequest,
    Credential,
    CredentialPlace,
    CredentialRejected,
    HttpResponse,
    InvalidRequest,
    Message,
    ModelFacts,
    QuotaExhausted,
    QuotaWindow,
    RateLimited,
    Raw,
    Sampling,
    Secret,
    TextPart,
    UpstreamGarbled,
    UpstreamOperation,
)
from omniroute.testing import check_provider
from omniroute_provider_codex import FACTS, register_providers

(PROVIDER,) = register_providers()
MODEL = ModelFacts(id="gpt-5.3-codex")
ACCOUNT = Account(
    provider="codex",
    name="a",
    base_url=FACTS.base_url,
    credential=Credential(access=Secret("test-token-1"), metadata={"account_id": "w-1"}),
)
OWN, SISTER = "openai-responses", "openai-chat"
USER = Message(role="user", parts=(TextPart(text="hi"),))
SYSTEM = Message(role="system", parts=(TextPart(text="Be brief."),))
NATIVE = ChatRequest(
    model="m",
    messages=(Message(role="developer", parts=(TextPart(text="Code."),)), USER),
    stream=True,
    extensions={OWN: {"store": Raw(b"false"), "prompt_cache_key": Raw(b'"k"'), "include": Raw(b"[]")}},
)


def test_it_passes_the_check_every_provider_must_pass():
    check_provider(PROVIDER)


# --- requests ---------------------------------------------------------------------------------------------------------


def test_the_vendors_own_program_is_left_as_it_is():
    assert PROVIDER.adapt(NATIVE, MODEL) is NATIVE


def test_what_the_backend_refuses_is_left_out_and_said():
    request = ChatRequest(
        model="m",
        messages=(SYSTEM, USER),
        max_output_tokens=100,
        user="u",
        sampling=Sampling(temperature=0.2, top_p=0.5, seed=1),
        extensions={OWN: {"metadata": Raw(b"{}"), "truncation": Raw(b'"auto"'), "verbosity": Raw(b'"low"')}},
    )
    adapted = PROVIDER.adapt(request, MODEL)
    assert (adapted.max_output_tokens, adapted.user, adapted.sampling) == (None, None, Sampling())
    assert adapted.extensions == {OWN: {"verbosity": Raw(b'"low"'), "store": Raw(b"false")}}
    assert {loss.pointer for loss in adapted.losses} == {
        "/temperature",
        "/top_p",
        "/seed",
        "/metadata",
        "/truncation",
        "/max_output_tokens",
        "/user",
    }
    assert PROVIDER.adapt(adapted, MODEL) is adapted


@pytest.mark.parametrize(
    ("dialect", "fields", "sent"),
    [
        pytest.param(OWN, {"store": Raw(b"true")}, {"store": Raw(b"false")}, id="its own dialect"),
        pytest.param(SISTER, {"store": Raw(b"true")}, {"store": Raw(b"false")}, id="the sister"),
        pytest.param(
            SISTER,
            {"service_tier": Raw(b'"flex"'), "metadata": Raw(b"{}")},
            {"store": Raw(b"false")},
            id="a tier it does not have",
        ),
        pytest.param(
            OWN,
            {"service_tier": Raw(b'"priority"')},
            {"service_tier": Raw(b'"priority"'), "store": Raw(b"false")},
            id="one it has",
        ),
    ],
)
def test_nothing_is_ever_asked_to_be_stored(dialect, fields, sent):
    request = ChatRequest(model="m", messages=(SYSTEM, USER), extensions={dialect: fields})
    assert PROVIDER.adapt(request, MODEL).extensions == {dialect: sent}


def test_a_request_without_instructions_gets_some():
    adapted = PROVIDER.adapt(ChatRequest(model="m", messages=(USER,)), MODEL)
    assert [message.role for message in adapted.messages] == ["system", "user"]


def test_an_answer_that_was_stored_elsewhere_cannot_be_continued():
    with pytest.raises(InvalidRequest) as caught:
        PROVIDER.adapt(ChatRequest(model="m", messages=(USER,), previous_response_id="r"), MODEL)
    assert caught.value.param == "/previous_response_id"


def sent(body=b'{"model":"gpt-5.3-codex"}', model="gpt-5.3-codex", headers=None, session=None, account=ACCOUNT):
    return PROVIDER.prepare(
        Call(
            operation=UpstreamOperation(path="responses"),
            account=account,
            model=model,
            stream=True,
            body=body,
            headers=headers or {},
            credential_place=CredentialPlace(),
            session=session,
        )
    )


def test_the_request_says_whose_workspace_pays_and_names_our_program():
    request = sent()
    assert request.url == "https://chatgpt.com/backend-api/codex/responses"
    assert request.headers == {
        "accept": "text/event-stream",
        "authorization": "Bearer test-token-1",
        "chatgpt-account-id": "w-1",
        "originator": "omniroute",
    }
    plain = msgspec.structs.replace(ACCOUNT, credential=Credential(access=Secret("test-token-1")))
    assert "chatgpt-account-id" not in sent(account=plain).headers


def test_a_conversation_keeps_its_session():
    first, again, other = (sent(session=name).headers["session_id"] for name in ("s", "s", "t"))
    assert first == again != other
    own = sent(session="s", headers={"session-id": "its-own", "originator": "codex_exec"}).headers
    assert ("session_id" in own, own["session-id"], own["originator"]) == (False, "its-own", "codex_exec")


@pytest.mark.parametrize(
    ("model", "body", "expected"),
    [
        pytest.param("gpt-5.5-high", {"input": []}, {"reasoning": {"effort": "high"}}, id="by name"),
        pytest.param(
            "gpt-5.5-low",
            {"reasoning": {"summary": "auto"}},
            {"reasoning": {"effort": "low", "summary": "auto"}},
            id="beside a summary",
        ),
        pytest.param(
            "gpt-5.5-low",
            {"reasoning": {"effort": "high"}},
            {"reasoning": {"effort": "high"}},
            id="the client says more",
        ),
        pytest.param("gpt-5.5-none", {"reasoning": None}, {"reasoning": {"effort": "none"}}, id="null"),
    ],
)
def test_a_models_suffix_is_its_effort(model, body, expected):
    request = sent(msgspec.json.encode({"model": model, "tools": [{"a": 1.0}], **body}), model=model)
    found = msgspec.json.decode(request.body)
    assert found["model"] == "gpt-5.5"
    assert {"reasoning": found["reasoning"]} == expected
    assert b'[{"a":1.0}]' in request.body


@pytest.mark.parametrize("model", ["gpt-5.1-codex-max", "gpt-5.1-codex-mini", "gpt-5.3-codex"])
def test_other_names_and_bodies_stay_as_they_are(model):
    body = b'{ "model" : "x" }'
    assert sent(body, model=model).body is body


# --- answers and usage ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error", "found", "wait"),
    [
        pytest.param(401, {"code": "token_expired"}, CredentialRejected, None, id="token"),
        pytest.param(429, {"type": "usage_limit_reached", "resets_in_seconds": 7200}, QuotaExhausted, 7200, id="plan"),
        pytest.param(429, {"type": "usage_not_included", "plan_type": "free"}, AccountBlocked, None, id="no plan"),
        pytest.param(429, {"code": "rate_limit_exceeded"}, RateLimited, None, id="throttled"),
    ],
)
def test_what_a_failure_means(status, error, found, wait):
    body = msgspec.json.encode({"error": {"message": "no", **error}})
    result = PROVIDER.classify(HttpResponse(status=status, body=body))
    assert (type(result), result.status, result.retry_after_s) == (found, status, wait)


def test_two_pools():
    assert PROVIDER.bucket(ModelFacts(id="gpt-5.3-codex-spark")) != PROVIDER.bucket(MODEL)
    assert PROVIDER.bucket(ModelFacts(id="gpt-5.5-high")) == PROVIDER.bucket(MODEL)


def test_usage_is_asked_for_and_becomes_windows():
    asked = PROVIDER.quota(ACCOUNT)
    assert (asked.method, asked.url) == ("GET", "https://chatgpt.com/backend-api/wham/usage")
    assert asked.headers == {"authorization": "Bearer test-token-1", "chatgpt-account-id": "w-1"}
    body = msgspec.json.encode(
        {
            "plan_type": "plus",
            "rate_limit": {
                "limit_reached": False,
                "primary_window": {"used_percent": 25, "reset_at": 1_800_000_000, "reset_after_seconds": 60},
                "secondary_window": {"used_percent": 100.5},
            },
            "code_review_rate_limit": {"primary_window": {"used_percent": 1}},
        }
    )
    assert PROVIDER.read_quota(HttpResponse(status=200, body=body)) == (
        QuotaWindow(name="5h", period="5h", bucket="codex", share_left=0.75, resets_at_s=1_800_000_000),
        QuotaWindow(name="weekly", period="weekly", bucket="codex", share_left=0),
    )
    assert PROVIDER.read_quota(HttpResponse(status=200, body=b'{"plan_type":"free","rate_limit":null}')) == ()
    with pytest.raises(UpstreamGarbled):
        PROVIDER.read_quota(HttpResponse(status=200, body=b'{"rate_limit":5}'))


@pytest.mark.parametrize(
    ("headers", "windows"),
    [
        pytest.param({}, (), id="none"),
        pytest.param(
            {"x-codex-primary-used-percent": "25", "x-codex-primary-reset-at": "1800000000"},
            (QuotaWindow(name="5h", period="5h", bucket="codex", share_left=0.75, resets_at_s=1_800_000_000),),
            id="percents",
        ),
        pytest.param(
            {"x-codex-7d-usage": "3", "x-codex-7d-limit": "4", "x-codex-5h-usage": "1", "x-codex-5h-limit": "0"},
            (QuotaWindow(name="weekly", period="weekly", bucket="codex", share_left=0.25, used=3, limit=4),),
            id="counts",
        ),
    ],
)
def test_the_headers_of_every_answer_say_how_much_is_left(headers, windows):
    assert PROVIDER.read_rate_headers(headers) == windows
