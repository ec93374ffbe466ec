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
    Message,
    ModelFacts,
    QuotaExhausted,
    QuotaWindow,
    RateLimited,
    ResponseFormat,
    Sampling,
    Secret,
    TextPart,
    UpstreamGarbled,
    UpstreamModelMissing,
    UpstreamOperation,
)
from omniroute.testing import check_provider
from omniroute_provider_copilot import FACTS, register_providers

(PROVIDER,) = register_providers()
ACCOUNT = Account(
    provider="github",
    name="a",
    base_url=FACTS.base_url,
    credential=Credential(access=Secret("test-token-1"), secrets={"grant": Secret("test-grant-1")}),
)


def test_it_passes_the_check_every_provider_must_pass():
    check_provider(PROVIDER)


def test_models_speak_one_of_two_dialects():
    dialects = {model.id: model.dialect or FACTS.dialect for model in FACTS.models}
    assert dialects["gpt-5.3-codex"] == "openai-responses"
    assert dialects["claude-sonnet-4.5"] == dialects["gpt-4.1"] == "openai-chat"


def sent(body, path="chat/completions", model="gpt-4.1", headers=None):
    return PROVIDER.prepare(
        Call(
            operation=UpstreamOperation(path=path),
            account=ACCOUNT,
            model=model,
            stream=True,
            body=body if isinstance(body, bytes) else msgspec.json.encode(body),
            headers=headers or {},
            credential_place=CredentialPlace(),
            request_id="r-1",
        )
    )


def test_a_request_names_an_editor_and_itself():
    request = sent({"messages": [{"role": "user", "content": "hi"}]})
    assert request.url == "https://api.githubcopilot.com/chat/completions"
    assert request.headers["authorization"] == "Bearer test-token-1"
    assert request.headers["x-request-id"] == "r-1"
    assert {"editor-version", "copilot-integration-id"} <= set(request.headers)


@pytest.mark.parametrize(
    ("body", "initiator"),
    [
        pytest.param({"messages": [{"role": "user", "content": "hi"}]}, "user", id="a person"),
        pytest.param({"messages": [{"role": "user"}, {"role": "tool", "content": "x"}]}, "agent", id="a tool"),
        pytest.param({"messages": [{"role": "user"}, {"role": "assistant"}]}, "agent", id="the model"),
        pytest.param({"input": [{"role": "user", "content": "hi"}]}, "user", id="a person, in the other dialect"),
        pytest.param({"input": [{"type": "function_call_output"}]}, "agent", id="a tool, in the other dialect"),
        pytest.param({"input": "hi"}, "user", id="a text"),
        pytest.param({}, "user", id="nobody"),
        pytest.param(b"<html>", "user", id="no JSON"),
    ],
)
def test_only_a_persons_turn_is_counted(body, initiator):
    assert sent(body).headers["x-initiator"] == initiator


def test_a_client_that_says_who_began_a_turn_is_believed():
    request = sent({"messages": [{"role": "user", "content": "go on"}]}, headers={"x-initiator": "agent"})
    assert request.headers["x-initiator"] == "agent"


@pytest.mark.parametrize(
    ("called", "asked_for"),
    [
        ("claude-4.5-opus", "claude-opus-4-5-20251101"),
        ("claude-opus-4.5", "claude-opus-4-5-20251101"),
        ("gemini-3-flash", "gemini-3-flash-preview"),
        ("gemini-3-pro", "gemini-3-pro-preview"),
        ("raptor-mini", "oswe-vscode-prime"),
        ("gpt-4.1", "gpt-4.1"),
    ],
)
def test_a_model_may_be_asked_for_by_the_name_it_had(called, asked_for):
    body = {"model": called, "messages": [{"role": "user", "content": "hi"}]}
    assert msgspec.json.decode(sent(body, model=called).body) == {**body, "model": asked_for}


def test_a_pool_goes_by_the_model_whatever_it_is_called():
    assert PROVIDER.bucket(ModelFacts(id="raptor-mini")) == "chat"
    assert PROVIDER.bucket(ModelFacts(id="gemini-3-pro")) == "premium"


def test_models_made_for_codex_get_no_temperature():
    message = Message(role="user", parts=(TextPart(text="hi"),))
    request = ChatRequest(model="m", messages=(message,), sampling=Sampling(temperature=0.2))
    codex = [model for model in FACTS.models if "codex" in model.id]
    assert len(codex) == 6
    for model in codex:
        adapted = PROVIDER.adapt(request, model)
        assert (adapted.sampling, [loss.pointer for loss in adapted.losses]) == (Sampling(), ["/temperature"])


@pytest.mark.parametrize(
    ("content", "has_pictures"),
    [
        ([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}], True),
        ([{"type": "input_image", "image_url": "data:image/png;base64,AA=="}], True),
        ('say "image_url" and "input_image"', False),
    ],
)
def test_pictures_are_announced(content, has_pictures):
    headers = sent({"messages": [{"role": "user", "content": content}]}).headers
    assert (headers.get("copilot-vision-request") == "true") is has_pictures


def test_a_schema_is_not_sent_to_models_that_refuse_it():
    message = Message(role="user", parts=(TextPart(text="hi"),))
    request = ChatRequest(model="m", messages=(message,), response_format=ResponseFormat(kind="json_object"))
    adapted = PROVIDER.adapt(request, ModelFacts(id="claude-sonnet-4.5"))
    assert (adapted.response_format, [loss.pointer for loss in adapted.losses]) == (None, ["/response_format"])
    assert PROVIDER.adapt(request, ModelFacts(id="gpt-4.1")) is request


@pytest.mark.parametrize(
    ("status", "code", "found"),
    [
        (400, "model_not_supported", UpstreamModelMissing),
        (400, "unsupported_api_for_model", UpstreamModelMissing),
        (401, "unauthorized", CredentialRejected),
        (402, "quota_exceeded", QuotaExhausted),
        (403, "access_denied", AccountBlocked),
        (429, "rate_limited", RateLimited),
    ],
)
def test_what_a_failure_means(status, code, found):
    body = msgspec.json.encode({"error": {"code": code, "message": "no"}})
    assert type(PROVIDER.classify(HttpResponse(status=status, body=body))) is found


# --- usage ------------------------------------------------------------------------------------------------------------


def test_github_is_asked_with_its_own_token():
    request = PROVIDER.quota(ACCOUNT)
    assert (request.method, request.url) == ("GET", "https://api.github.com/copilot_internal/user")
    assert request.headers["authorization"] == "token test-grant-1"
    bare = msgspec.structs.replace(ACCOUNT, credential=Credential(access=Secret("test-token-1")))
    assert PROVIDER.quota(bare) is None


@pytest.mark.parametrize(
    ("base_url", "asked"),
    [
        ("https://api.business.githubcopilot.com", "https://api.github.com/copilot_internal/user"),
        ("http://127.0.0.1:9/v1", "http://127.0.0.1:9/copilot_internal/user"),
        ("https://githubcopilot.com.evil.example", "https://githubcopilot.com.evil.example/copilot_internal/user"),
    ],
)
def test_an_account_that_goes_elsewhere_asks_nobody_else(base_url, asked):
    assert PROVIDER.quota(msgspec.structs.replace(ACCOUNT, base_url=base_url)).url == asked


PAID = {
    "copilot_plan": "individual",
    "quota_reset_date": "2026-12-01",
    "quota_snapshots": {
        "chat": {"unlimited": True, "entitlement": 0, "remaining": 0, "percent_remaining": 100},
        "completions": {"unlimited": True},
        "premium_interactions": {"entitlement": 300, "remaining": 75, "unlimited": False, "percent_remaining": 25.0},
    },
}
FREE = {
    "access_type_sku": "free_limited_copilot",
    "monthly_quotas": {"chat": 50, "completions": 2000},
    "limited_user_quotas": {"chat": 10, "completions": 2000},
    "limited_user_reset_date": "2026-12-15",
}


@pytest.mark.parametrize(
    ("answer", "windows"),
    [
        pytest.param(
            PAID,
            (
                QuotaWindow(
                    name="monthly premium",
                    period="monthly",
                    bucket="premium",
                    share_left=0.25,
                    used=225,
                    limit=300,
                    resets_at_s=1796083200,
                ),
                QuotaWindow(name="monthly chat", period="monthly", bucket="chat", share_left=1),
            ),
            id="paid",
        ),
        pytest.param(
            FREE,
            (
                QuotaWindow(
                    name="monthly chat",
                    period="monthly",
                    bucket="chat",
                    share_left=0.2,
                    used=40,
                    limit=50,
                    resets_at_s=1797292800,
                ),
            ),
            id="free",
        ),
        pytest.param(
            {"quota_snapshots": {"chat": {}}, "quota_reset_date": "soon"},
            (QuotaWindow(name="monthly chat", period="monthly", bucket="chat"),),
            id="unknown",
        ),
    ],
)
def test_a_months_requests_become_windows(answer, windows):
    assert PROVIDER.read_quota(HttpResponse(status=200, body=msgspec.json.encode(answer))) == windows


def test_a_usage_answer_that_is_none_is_garbled():
    with pytest.raises(UpstreamGarbled):
        PROVIDER.read_quota(HttpResponse(status=200, body=b'{"quota_snapshots":[]}'))


def test_models_that_cost_nothing_extra_have_a_pool_of_their_own():
    assert PROVIDER.bucket(ModelFacts(id="gpt-4.1")) == "chat"
    assert PROVIDER.bucket(ModelFacts(id="claude-opus-4.7")) == "premium"
