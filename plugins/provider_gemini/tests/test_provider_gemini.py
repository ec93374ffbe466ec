import msgspec
import pytest

from omniroute.api import (
    Account,
    Credential,
    CredentialPlace,
    CredentialRejected,
    HttpResponse,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    Secret,
    UpstreamRefused,
)
from omniroute.testing import check_provider
from omniroute_provider_gemini import FACTS, register_providers

(PROVIDER,) = register_providers()
KEY_INVALID = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
}
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "33.5s"}


def quota(quota_id):
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota_id}]}


def test_it_passes_the_check_every_provider_must_pass():
    check_provider(PROVIDER)


@pytest.mark.parametrize(
    ("status", "word", "details", "found", "wait"),
    [
        pytest.param(400, "INVALID_ARGUMENT", [KEY_INVALID], CredentialRejected, None, id="a wrong key"),
        pytest.param(400, "INVALID_ARGUMENT", [], UpstreamRefused, None, id="a wrong request"),
        pytest.param(
            429,
            "RESOURCE_EXHAUSTED",
            [quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier"), RETRY],
            RateLimited,
            33.5,
            id="a minute's quota",
        ),
        pytest.param(
            429,
            "RESOURCE_EXHAUSTED",
            [quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier"), RETRY],
            QuotaExhausted,
            None,
            id="a day's quota is not back after the delay that is named",
        ),
        pytest.param(429, "RESOURCE_EXHAUSTED", "nonsense", RateLimited, None, id="without details"),
        pytest.param(503, "UNAVAILABLE", [], Overloaded, None, id="overloaded"),
    ],
)
def test_what_a_failure_means(status, word, details, found, wait):
    body = msgspec.json.encode({"error": {"code": status, "message": "no", "status": word, "details": details}})
    error = PROVIDER.classify(HttpResponse(status=status, body=body))
    assert (type(error), error.status, error.retry_after_s) == (found, status, wait)


def test_models_are_asked_for_with_the_key_in_a_header():
    account = Account(
        provider="gemini", name="a", base_url=FACTS.base_url, credential=Credential(access=Secret("test-key-1"))
    )
    listing = PROVIDER.list_models(account, CredentialPlace(header="x-goog-api-key", prefix=""))
    assert listing.request.url == "https://generativelanguage.googleapis.com/v1beta/models"
    assert listing.request.headers == {"x-goog-api-key": "test-key-1"}


def test_nothing_is_changed_so_that_everything_can_be_relayed():
    assert not any(PROVIDER.adapts(model) for model in FACTS.models)
