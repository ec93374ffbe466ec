import pytest

from omniroute.api import HttpResponse, RateLimited, UpstreamFailed
from omniroute.testing import check_provider
from omniroute_provider_acme import FACTS, register_providers

(ACME,) = register_providers()


def test_it_passes_the_check_every_provider_must_pass():
    check_provider(ACME)


@pytest.mark.parametrize(
    ("status", "error", "wait"),
    [
        pytest.param(402, RateLimited, 3600, id="out of credit until the hour"),
        pytest.param(500, UpstreamFailed, None, id="anything else as usual"),
    ],
)
def test_what_a_failure_means(status, error, wait):
    found = ACME.classify(HttpResponse(status=status))
    assert (type(found), found.upstream_status, found.retry_after_s) == (error, status, wait)


def test_large_refuses_a_temperature_and_small_does_not():
    assert [ACME.adapts(model) for model in FACTS.models] == [False, True]
