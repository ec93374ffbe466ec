import msgspec
import pytest

from omniroute.api import (
    Account,
    AccountBlocked,
    Call,
    Credential,
    CredentialPlace,
    HttpRequest,
    HttpResponse,
    Overloaded,
    QuotaExhausted,
    QuotaWindow,
    RateLimited,
    Secret,
    Sleep,
    UpstreamGarbled,
    UpstreamOperation,
)
from omniroute.testing import check_provider
from omniroute_provider_gemini_cli import FACTS, register_providers

(PROVIDER,) = register_providers()
CREDENTIAL = Credential(access=Secret("test-token-1"), metadata={"email": "a@b.example"})
ACCOUNT = Account(
    provider="gemini-cli",
    name="a",
    base_url=FACTS.base_url,
    credential=msgspec.structs.replace(CREDENTIAL, metadata={"project": "p-1"}),
)
CHAT = UpstreamOperation(
    path="models/{model}:generateContent", stream_path="models/{model}:streamGenerateContent?alt=sse"
)
CALL = Call(
    operation=CHAT,
    account=ACCOUNT,
    model="gemini-2.5-pro",
    stream=True,
    body=b'{ "contents" : [] }',
    headers={},
    credential_place=CredentialPlace(header="authorization"),
    request_id="r-1",
)


def test_it_passes_the_check_every_provider_must_pass():
    check_provider(PROVIDER, metadata={"project": "p-1"})


# --- the envelope -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stream", "verb"), [(False, "generateContent"), (True, "streamGenerateContent?alt=sse")])
def test_a_request_goes_into_the_envelope_with_its_body_untouched(stream, verb):
    request = PROVIDER.prepare(msgspec.structs.replace(CALL, stream=stream))
    assert request.url == f"https://cloudcode-pa.googleapis.com/v1internal:{verb}"
    assert request.headers == {"authorization": "Bearer test-token-1"}
    assert request.body == (
        b'{"model":"gemini-2.5-pro","project":"p-1","user_prompt_id":"r-1","request":{ "contents" : [] }}'
    )


def test_an_account_without_a_project_is_told_to_sign_in_again():
    bare = msgspec.structs.replace(CALL, account=msgspec.structs.replace(ACCOUNT, credential=CREDENTIAL))
    with pytest.raises(AccountBlocked) as caught:
        PROVIDER.prepare(bare)
    assert caught.value.fix == "sign in again: omniroute account login gemini-cli/a"


def test_answers_are_known_to_come_in_an_envelope():
    assert FACTS.envelope == "response"


# --- the project ------------------------------------------------------------------------------------------------------


def play(*replies):
    """What the sign-in ends with, and what it asked for; each reply answers one request."""
    flow, asked, answer, left = PROVIDER.finish_sign_in(CREDENTIAL), [], None, list(replies)
    try:
        while True:
            step = flow.send(answer)
            asked.append(step)
            answer = None
            if isinstance(step, HttpRequest):
                reply = left.pop(0)
                status, body = reply if isinstance(reply, tuple) else (200, reply)
                answer = HttpResponse(
                    status=status, body=body if isinstance(body, bytes) else msgspec.json.encode(body)
                )
    except StopIteration as end:
        return end.value, asked


TIERS = [{"id": "standard-tier"}, {"id": "free-tier", "isDefault": True}]


@pytest.mark.parametrize("project", ["p-1", {"id": "p-1"}], ids=["a name", "an object"])
def test_an_account_that_has_a_project_keeps_it(project):
    credential, asked = play({"cloudaicompanionProject": project, "currentTier": {"id": "free-tier"}})
    assert credential.metadata == {"email": "a@b.example", "project": "p-1"}
    [request] = asked
    assert request.url == "https://cloudcode-pa.googleapis.com/v1internal:loadCodeAssist"
    assert request.headers["authorization"] == "Bearer test-token-1"


def test_an_account_without_one_gets_it_for_its_tier_however_long_that_takes():
    done = {"done": True, "response": {"cloudaicompanionProject": {"id": "p-2"}}}
    credential, asked = play({"allowedTiers": TIERS}, {"done": False}, {"name": "operations/1"}, done)
    assert credential.metadata["project"] == "p-2"
    assert [type(step) for step in asked] == [HttpRequest, HttpRequest, Sleep, HttpRequest, Sleep, HttpRequest]
    assert msgspec.json.decode(asked[1].body)["tierId"] == "free-tier"
    assert asked[2] == Sleep(seconds_s=5)


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        pytest.param([(403, b"{}")], AccountBlocked, id="not let in"),
        pytest.param([{}, {"done": True}], AccountBlocked, id="done without a project"),
        pytest.param([{}, *[{"done": False}] * 10], AccountBlocked, id="never done"),
        pytest.param([b"<html>"], UpstreamGarbled, id="a page"),
        pytest.param([{}, {"done": True, "response": {"cloudaicompanionProject": 5}}], UpstreamGarbled, id="nonsense"),
    ],
)
def test_a_sign_in_without_a_project_fails_and_says_why(replies, error):
    with pytest.raises(error):
        play(*replies)


def test_a_project_that_is_known_is_not_asked_for_again():
    flow = PROVIDER.finish_sign_in(ACCOUNT.credential)
    with pytest.raises(StopIteration) as end:
        next(flow)
    assert end.value.value is ACCOUNT.credential


# --- failures and quota -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason", "found", "wait"),
    [
        (429, "RATE_LIMIT_EXCEEDED", RateLimited, 33.5),
        (429, "QUOTA_EXHAUSTED", QuotaExhausted, 33.5),
        (429, "MODEL_CAPACITY_EXHAUSTED", Overloaded, 33.5),
        (403, "SERVICE_DISABLED", AccountBlocked, 33.5),
    ],
)
def test_what_a_failure_means(status, reason, found, wait):
    details = [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "metadata": {"model": "m"}},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "33.5s"},
    ]
    body = msgspec.json.encode({"error": {"code": status, "message": "no", "status": "X", "details": details}})
    error = PROVIDER.classify(HttpResponse(status=status, body=body))
    assert (type(error), error.retry_after_s) == (found, wait)


def test_each_model_has_its_window():
    asked = PROVIDER.quota(ACCOUNT)
    assert (asked.method, asked.url) == ("POST", "https://cloudcode-pa.googleapis.com/v1internal:retrieveUserQuota")
    assert asked.body == b'{"project":"p-1"}'
    assert PROVIDER.quota(msgspec.structs.replace(ACCOUNT, credential=CREDENTIAL)) is None
    buckets = [
        {
            "modelId": "gemini-2.5-pro",
            "remainingFraction": 0.25,
            "resetTime": "2026-11-23T08:00:00Z",
            "tokenType": "REQUESTS",
        },
        {"modelId": "gemini-2.5-flash"},
    ]
    body = msgspec.json.encode({"buckets": buckets})
    assert PROVIDER.read_quota(HttpResponse(status=200, body=body)) == (
        QuotaWindow(
            name="daily gemini-2.5-pro",
            period="daily",
            bucket="gemini-2.5-pro",
            share_left=0.25,
            resets_at_s=1795420800,
        ),
    )
    with pytest.raises(UpstreamGarbled):
        PROVIDER.read_quota(HttpResponse(status=200, body=b'{"buckets":[{}]}'))
