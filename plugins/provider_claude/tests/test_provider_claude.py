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
    Overloaded,
    QuotaExhausted,
    QuotaWindow,
    RateLimited,
    Secret,
    TextPart,
    UpstreamGarbled,
    UpstreamOperation,
)
from omniroute.testing import check_provider
from omniroute_provider_claude import FACTS, PlanExhausted, register_providers

(PROVIDER,) = register_providers()
MODEL = ModelFacts(id="claude-opus-4-6")
IDENTITY = "You are Claude Code, Anthropic's official CLI for Claude."
ACCOUNT = Account(
    provider="claude", name="a", base_url=FACTS.base_url, credential=Credential(access=Secret("test-token-1"))
)


def said(role, *texts):
    return Message(role=role, parts=tuple(TextPart(text=text) for text in texts))


def request(*messages):
    return ChatRequest(model="m", messages=messages)


def test_it_passes_the_check_every_provider_must_pass():
    check_provider(PROVIDER)


# --- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param((said("system", IDENTITY), said("user", "hi")), id="the CLI of old"),
        pytest.param(
            (said("system", "x-anthropic-billing-header: cc_version=2;", f"{IDENTITY} More."), said("user", "hi")),
            id="the CLI of today",
        ),
        pytest.param(
            (said("system", "You are a Claude agent, built on Anthropic's Claude Agent SDK."), said("user", "hi")),
            id="the SDK",
        ),
    ],
)
def test_the_vendors_own_programs_are_left_as_they_are(messages):
    asked = request(*messages)
    assert PROVIDER.adapt(asked, MODEL) is asked


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param((said("user", "hi"),), id="no system text"),
        pytest.param((said("system", "Be brief."), said("user", "hi")), id="its own"),
        pytest.param((said("user", IDENTITY),), id="said by the user"),
    ],
)
def test_other_clients_get_the_text_the_api_insists_on_before_their_own(messages):
    adapted = PROVIDER.adapt(request(*messages), MODEL)
    assert adapted.messages == (said("system", IDENTITY), *messages)
    assert PROVIDER.adapt(adapted, MODEL) is adapted


@pytest.mark.parametrize(
    ("headers", "flags"),
    [
        ({}, "oauth-2025-04-20,claude-code-20250219"),
        ({"anthropic-beta": "a-1, b-2"}, "a-1,b-2,oauth-2025-04-20,claude-code-20250219"),
        ({"anthropic-beta": "claude-code-20250219,a-1"}, "claude-code-20250219,a-1,oauth-2025-04-20"),
    ],
)
def test_the_clients_flags_go_along_with_those_of_the_token(headers, flags):
    call = Call(
        operation=UpstreamOperation(path="messages"),
        account=ACCOUNT,
        model="claude-opus-4-6",
        stream=True,
        body=b"{}",
        headers=headers,
        credential_place=CredentialPlace(header="x-api-key", prefix=""),
    )
    sent = PROVIDER.prepare(call)
    assert sent.url == "https://api.anthropic.com/v1/messages?beta=true"
    assert sent.headers == {"anthropic-beta": flags, "authorization": "Bearer test-token-1"}


@pytest.mark.parametrize(
    ("system", "sent"),
    [
        (IDENTITY, [{"type": "text", "text": IDENTITY}]),
        (f"{IDENTITY} More.", f"{IDENTITY} More."),
        ([{"type": "text", "text": IDENTITY}], [{"type": "text", "text": IDENTITY}]),
    ],
)
def test_the_text_stands_in_a_list_also_when_it_is_alone(system, sent):
    body = {"model": "m", "system": system, "messages": [{"role": "user", "content": f'"system":"{IDENTITY}"'}]}
    call = Call(
        operation=UpstreamOperation(path="messages"),
        account=ACCOUNT,
        model="m",
        stream=False,
        body=msgspec.json.encode(body),
        headers={},
        credential_place=CredentialPlace(),
    )
    assert msgspec.json.decode(PROVIDER.prepare(call).body) == {**body, "system": sent}


def test_nothing_that_only_proves_the_vendors_own_program_is_made_up():
    """Such headers go along when the vendor's program sends them, and are never a fact of ours."""
    assert set(FACTS.headers) == {"anthropic-beta"}
    assert {"user-agent", "x-app", "x-stainless-lang"} <= set(FACTS.forwards)


# --- answers ----------------------------------------------------------------------------------------------------------

UNIFIED = "anthropic-ratelimit-unified-"


def refusal(status, kind, headers=None):
    body = msgspec.json.encode({"type": "error", "error": {"type": kind, "message": "no"}})
    return PROVIDER.classify(HttpResponse(status=status, headers=headers or {}, body=body))


@pytest.mark.parametrize(
    ("status", "kind", "headers", "found", "cools"),
    [
        pytest.param(401, "authentication_error", {}, CredentialRejected, "account", id="token"),
        pytest.param(403, "permission_error", {}, AccountBlocked, "account", id="revoked"),
        pytest.param(429, "rate_limit_error", {}, RateLimited, "bucket", id="throttled"),
        pytest.param(
            429, "rate_limit_error", {f"{UNIFIED}status": "allowed"}, RateLimited, "bucket", id="within limits"
        ),
        pytest.param(
            429,
            "rate_limit_error",
            {f"{UNIFIED}status": "rejected", f"{UNIFIED}representative-claim": "five_hour"},
            PlanExhausted,
            "account",
            id="five hours",
        ),
        pytest.param(
            429,
            "rate_limit_error",
            {f"{UNIFIED}status": "rejected", f"{UNIFIED}representative-claim": "seven_day_opus"},
            QuotaExhausted,
            "bucket",
            id="a family's week",
        ),
        pytest.param(529, "overloaded_error", {}, Overloaded, "model", id="overloaded"),
    ],
)
def test_what_a_failure_means_and_cools(status, kind, headers, found, cools):
    error = refusal(status, kind, headers)
    assert (type(error), error.cools, error.status) == (found, cools, status)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        pytest.param({"retry-after": "7999"}, 7999, id="said"),
        pytest.param(
            {f"{UNIFIED}reset": "1795341600", "date": "Sun, 22 Nov 2026 09:00:00 GMT"},
            1795341600 - 1795338000,
            id="reset",
        ),
        pytest.param({f"{UNIFIED}reset": "1795341600"}, None, id="without a date"),
        pytest.param({f"{UNIFIED}reset": "soon", "date": "Sun, 22 Nov 2026 09:00:00 GMT"}, None, id="nonsense"),
    ],
)
def test_an_exhausted_plan_says_until_when(headers, wait):
    assert refusal(429, "rate_limit_error", {f"{UNIFIED}status": "rejected", **headers}).retry_after_s == wait


def test_families_have_quotas_of_their_own():
    assert (
        PROVIDER.bucket(ModelFacts(id="claude-opus-4-6")) == PROVIDER.bucket(ModelFacts(id="claude-opus-4-7")) == "opus"
    )
    assert PROVIDER.bucket(ModelFacts(id="claude-new-5")) == "claude-new-5"


# --- usage ------------------------------------------------------------------------------------------------------------


def test_usage_is_asked_for_with_the_token():
    asked = PROVIDER.quota(ACCOUNT)
    assert (asked.method, asked.url) == ("GET", "https://api.anthropic.com/api/oauth/usage")
    assert asked.headers["authorization"] == "Bearer test-token-1"
    assert "oauth-2025-04-20" in asked.headers["anthropic-beta"]


def test_usage_becomes_windows():
    body = msgspec.json.encode(
        {
            "five_hour": {"utilization": 42.5, "resets_at": "2026-11-22T09:00:00.5+00:00"},
            "seven_day": {"utilization": 130, "resets_at": None},
            "seven_day_opus": {"utilization": 0.0, "resets_at": "2026-11-25T00:00:00Z"},
            "seven_day_sonnet": None,
            "seven_day_oauth_apps": {"utilization": 9.0, "resets_at": None},
            "extra_usage": {"is_enabled": False},
            "tier": "max",
        }
    )
    assert PROVIDER.read_quota(HttpResponse(status=200, body=body)) == (
        QuotaWindow(name="5h", period="5h", share_left=0.575, resets_at_s=1795338000.5),
        QuotaWindow(name="weekly", period="weekly", share_left=0),
        QuotaWindow(name="weekly opus", period="weekly", bucket="opus", share_left=1, resets_at_s=1795564800),
    )


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"five_hour":5}', b'{"five_hour":{"utilization":"x"}}'])
def test_a_usage_answer_that_is_none_is_garbled(body):
    with pytest.raises(UpstreamGarbled):
        PROVIDER.read_quota(HttpResponse(status=200, body=body))


@pytest.mark.parametrize(
    ("headers", "windows"),
    [
        pytest.param({}, (), id="none"),
        pytest.param(
            {f"{UNIFIED}5h-utilization": "0.25", f"{UNIFIED}5h-reset": "1795338000", f"{UNIFIED}7d-utilization": "0.5"},
            (
                QuotaWindow(name="5h", period="5h", share_left=0.75, resets_at_s=1795338000),
                QuotaWindow(name="weekly", period="weekly", share_left=0.5),
            ),
            id="both",
        ),
        pytest.param(
            {f"{UNIFIED}7d-utilization": "1.2", f"{UNIFIED}7d-reset": "2026-11-22T09:00:00Z"},
            (QuotaWindow(name="weekly", period="weekly", share_left=0, resets_at_s=1795338000),),
            id="a date, and more than all",
        ),
        pytest.param({f"{UNIFIED}5h-utilization": "n/a"}, (), id="nonsense"),
    ],
)
def test_the_headers_of_every_answer_say_how_much_is_left(headers, windows):
    assert PROVIDER.read_rate_headers(headers) == windows
