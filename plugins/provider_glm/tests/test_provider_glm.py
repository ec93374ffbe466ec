import msgspec
import pytest

from omniroute.api import (
    Account,
    AccountBlocked,
    Call,
    Credential,
    CredentialPlace,
    CredentialRejected,
    HttpResponse,
    OutOfCredit,
    Overloaded,
    QuotaExhausted,
    QuotaWindow,
    RateLimited,
    Secret,
    UpstreamGarbled,
    UpstreamModelMissing,
    UpstreamOperation,
    UpstreamRefused,
)
from omniroute.testing import check_provider
from omniroute_provider_glm import FACTS, register_providers

(PROVIDER,) = register_providers()
ACCOUNT = Account(provider="glm", name="a", base_url=FACTS.base_url, credential=Credential(access=Secret("test-key-1")))


def test_it_passes_the_check_every_provider_must_pass():
    check_provider(PROVIDER)


def test_a_request_goes_where_coding_tools_send_theirs():
    call = Call(
        operation=UpstreamOperation(path="messages"),
        account=ACCOUNT,
        model="glm-4.7",
        stream=True,
        body=b"{}",
        headers={"anthropic-version": "2023-06-01"},
        credential_place=CredentialPlace(header="x-api-key", prefix=""),
    )
    request = PROVIDER.prepare(call)
    assert request.url == "https://api.z.ai/api/anthropic/v1/messages?beta=true"
    assert request.headers == {"anthropic-version": "2023-06-01", "x-api-key": "test-key-1"}


@pytest.mark.parametrize(
    ("status", "code", "found"),
    [
        pytest.param(401, "1002", CredentialRejected, id="key"),
        pytest.param(429, "1113", OutOfCredit, id="in arrears, said as 429"),
        pytest.param(429, "1112", AccountBlocked, id="locked"),
        pytest.param(429, "1302", RateLimited, id="too many at a time"),
        pytest.param(429, "1308", QuotaExhausted, id="the five hours are used up"),
        pytest.param(429, "1310", QuotaExhausted, id="the week is used up"),
        pytest.param(429, "1305", Overloaded, id="overloaded, said as 429"),
        pytest.param(400, "1211", UpstreamModelMissing, id="no such model, said as 400"),
        pytest.param(400, "1210", UpstreamRefused, id="a wrong request"),
        pytest.param(529, "overloaded_error", Overloaded, id="the dialect's own"),
    ],
)
def test_the_vendors_codes_say_more_than_its_statuses(status, code, found):
    body = msgspec.json.encode({"type": "error", "error": {"type": "api_error", "code": code, "message": "no"}})
    error = PROVIDER.classify(HttpResponse(status=status, body=body))
    assert (type(error), error.status) == (found, status)


def test_the_usage_is_asked_for_on_the_accounts_own_host():
    request = PROVIDER.quota(ACCOUNT)
    assert (request.method, request.url) == ("GET", "https://api.z.ai/api/monitor/usage/quota/limit")
    assert request.headers == {"authorization": "Bearer test-key-1"}
    mainland = msgspec.structs.replace(ACCOUNT, base_url="https://open.bigmodel.cn/api/anthropic/v1")
    assert PROVIDER.quota(mainland).url == "https://open.bigmodel.cn/api/monitor/usage/quota/limit"
    assert PROVIDER.quota(msgspec.structs.replace(ACCOUNT, credential=None)) is None


WEEK = {"type": "TOKENS_LIMIT", "unit": 6, "number": 1, "percentage": 100, "nextResetTime": 1_800_000_000_000}


@pytest.mark.parametrize(
    ("limits", "windows"),
    [
        pytest.param([], (), id="none"),
        pytest.param(
            [{"type": "TOKENS_LIMIT", "percentage": 25}],
            (QuotaWindow(name="5h", period="5h", share_left=0.75),),
            id="one",
        ),
        pytest.param(
            [
                {"type": "TOKENS_LIMIT", "unit": 3, "number": 5, "percentage": 110},
                WEEK,
                {"type": "TIME_LIMIT", "percentage": 9},
            ],
            (
                QuotaWindow(name="5h", period="5h", share_left=0),
                QuotaWindow(name="weekly", period="weekly", share_left=0, resets_at_s=1_800_000_000),
            ),
            id="both, and one that is not of tokens",
        ),
    ],
)
def test_limits_become_windows(limits, windows):
    body = msgspec.json.encode({"code": 200, "data": {"level": "pro", "limits": limits}})
    assert PROVIDER.read_quota(HttpResponse(status=200, body=body)) == windows


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"data":5}', b'{"data":{"limits":[{"type":1}]}}'])
def test_a_usage_answer_that_is_none_is_garbled(body):
    with pytest.raises(UpstreamGarbled):
        PROVIDER.read_quota(HttpResponse(status=200, body=body))


def test_nothing_is_changed_so_that_coding_tools_are_relayed():
    assert not any(PROVIDER.adapts(model) for model in FACTS.models)
