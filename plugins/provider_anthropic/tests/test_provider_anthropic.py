import pytest

from omniroute.api import AccountBlocked, ContextTooLong, HttpResponse, Overloaded, RateLimited, UpstreamRefused
from omniroute.testing import check_provider
from omniroute_provider_anthropic import FACTS, register_providers

(PROVIDER,) = register_providers()


def test_it_passes_the_check_every_provider_must_pass():
    check_provider(PROVIDER)


def error(kind, message):
    return b'{"type":"error","error":{"type":"%s","message":"%s"}}' % (kind.encode(), message.encode())


@pytest.mark.parametrize(
    ("status", "kind", "message", "found"),
    [
        (400, "invalid_request_error", "Your credit balance is too low to access the API.", AccountBlocked),
        (400, "invalid_request_error", "max_tokens: Field required", UpstreamRefused),
        (400, "invalid_request_error", "prompt is too long: 3 tokens > 2 maximum", ContextTooLong),
        (429, "rate_limit_error", "Your credit balance is too low", RateLimited),
        (529, "overloaded_error", "Overloaded", Overloaded),
    ],
)
def test_an_empty_balance_is_told_from_a_bad_request(status, kind, message, found):
    result = PROVIDER.classify(HttpResponse(status=status, body=error(kind, message)))
    assert (type(result), result.message, result.upstream_status) == (found, message, status)


def test_nothing_is_changed_so_that_everything_can_be_relayed():
    assert not any(PROVIDER.adapts(model) for model in FACTS.models)


def test_the_version_header_is_left_to_the_dialect_and_the_client():
    assert FACTS.headers == {}
