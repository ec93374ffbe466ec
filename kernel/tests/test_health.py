import contextlib

import msgspec
import pytest

from omniroute.api import (
    Account,
    BreakerFacts,
    CredentialRejected,
    FactsProvider,
    ModelFacts,
    Overloaded,
    ProviderFacts,
    ProxyUnreachable,
    RateLimited,
    StreamBroken,
    Target,
    UpstreamFailed,
    UpstreamGarbled,
    UpstreamRefused,
    UpstreamStalled,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from omniroute.breaker import CONSECUTIVE, INSIST_S
from omniroute.health import Health, RetryBudget
from omniroute.routing import Candidate
from omniroute.testing import FakeClock

FACTS = ProviderFacts(name="p", dialect="openai-chat", base_url="http://127.0.0.1:1/v1")


class OneQuota(FactsProvider):
    """All models of an account share a quota."""

    def bucket(self, model):
        return "all"


def candidate(account="a", model="m", provider=None):
    target = Target(provider="p", model=model, account=account)
    return Candidate(
        target=target,
        leg=target,
        provider=provider or FactsProvider(FACTS),
        account=Account(provider="p", name=account, base_url=FACTS.base_url),
        model=ModelFacts(id=model),
        translator=None,
        transport=None,
        adapts=False,
    )


class World:
    def __init__(self):
        self.clock = FakeClock()
        self.health = Health(cap_s=3600, clock=self.clock.monotonic, draw=lambda: 0.5)

    def fail(self, error, at=None):
        with self.health.visit(at or candidate()) as visit:
            return self.health.failed(visit, error)

    def reason(self, at=None, **options):
        hold = self.health.hold(at or candidate(), **options)
        return hold and hold.reason


@pytest.fixture
def world():
    return World()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UpstreamFailed, "breaker_open"),
        (UpstreamUnreachable, "breaker_open"),
        (UpstreamTimeout, "breaker_open"),
        (UpstreamGarbled, "breaker_open"),
        (StreamBroken, "breaker_open"),
        (UpstreamRefused, None),
        (RateLimited, "throttled"),
        (CredentialRejected, "auth_suspect"),
        (Overloaded, "overloaded"),
    ],
)
def test_a_failure_counts_for_the_breaker_or_cools_but_not_both(world, error, reason):
    for _ in range(CONSECUTIVE):
        world.fail(error("no"))
    assert world.reason() == reason
    assert (len(world.health.breaker) > 0) is (reason == "breaker_open")


def test_an_open_circuit_is_open_for_every_account(world):
    for _ in range(CONSECUTIVE):
        world.fail(UpstreamFailed("500"))
    assert world.reason(candidate("b")) == "breaker_open"
    assert world.reason(candidate(model="n")) is None


def test_an_upstream_that_refuses_is_alive(world):
    for _ in range(3):
        for _ in range(CONSECUTIVE - 1):
            world.fail(UpstreamFailed("500"))
        world.fail(UpstreamRefused("400"))
    assert world.reason() is None


def end_stream(world, error=None):
    with world.health.visit(candidate()) as visit:
        world.health.answered(visit)
    visit.ended(error)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UpstreamStalled("silence"), "breaker_open"),
        (StreamBroken("cut"), "breaker_open"),
        (UpstreamGarbled("garbage"), "breaker_open"),
        (UpstreamTimeout("longer than total_s"), None),
        (Overloaded("in mid-stream"), "overloaded"),
        (UpstreamRefused("the content"), None),
        (None, None),
    ],
)
def test_p35_streams_that_end_badly_again_and_again_are_found_out(world, error, reason):
    for _ in range(CONSECUTIVE - 1):
        end_stream(world, error)
        assert world.reason() in {None, "overloaded"}
    end_stream(world, error)
    assert world.reason() == reason


def test_a_stream_that_has_begun_shows_that_its_account_is_well(world):
    world.fail(RateLimited("no", retry_after_s=1))
    world.clock.advance(1)
    with world.health.visit(candidate()) as visit:
        world.health.answered(visit)
    assert len(world.health.cooling) == 0


def test_what_is_out_for_longest_is_what_is_told(world):
    world.fail(RateLimited("no", retry_after_s=600))
    for _ in range(CONSECUTIVE):
        world.fail(UpstreamFailed("500"))
    assert world.reason() == "throttled"
    world.clock.advance(INSIST_S)
    assert not world.health.hold(candidate()).may_insist
    world.health.cooling.forget("p")
    assert world.health.hold(candidate()).may_insist


def test_models_that_share_a_bucket_cool_together(world):
    shared = OneQuota(FACTS)
    world.fail(RateLimited("no"), candidate(provider=shared))
    assert world.reason(candidate(model="n", provider=shared)) == "throttled"
    assert world.reason(candidate("b", provider=shared)) is None


def test_a_visit_that_fails_in_any_way_gives_the_probe_back(world):
    world.fail(Overloaded("no", retry_after_s=1))
    world.clock.advance(1)
    with contextlib.suppress(ZeroDivisionError), world.health.visit(candidate()):
        assert world.reason() == "overloaded"
        raise ZeroDivisionError
    assert world.reason() is None


@pytest.mark.parametrize(("requests", "retries"), [(1, 3), (15, 3), (16, 4), (20, 4), (100, 20)])
def test_retries_are_a_fifth_of_what_runs_but_three_at_least(requests, retries):
    budget = RetryBudget()
    budget.requests = requests
    while budget.allows():
        budget.retries += 1
    assert budget.retries == retries
    budget.retries -= 1
    assert budget.allows()


# --- whose numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "failures", "open_s"),
    [
        pytest.param({"auth": "api-key"}, 5, 30, id="a key"),
        pytest.param({"auth": "none"}, 5, 30, id="keyless"),
        pytest.param({"auth": "oauth"}, 3, 60, id="signed in"),
        pytest.param({"auth": "oauth", "breaker": BreakerFacts(failures=9)}, 9, 60, id="one of two stated"),
        pytest.param({"breaker": BreakerFacts(failures=1, open_s=4)}, 1, 4, id="stated"),
    ],
)
def test_how_soon_a_circuit_opens_and_for_how_long_follows_from_the_provider(facts, failures, open_s):
    world = World()
    at = candidate(provider=FactsProvider(msgspec.structs.replace(FACTS, **facts)))
    for _ in range(failures):
        assert world.reason(at) is None
        world.fail(UpstreamFailed("no"), at)
    assert world.health.hold(at).due_s - world.clock.monotonic() == pytest.approx(open_s)


def test_a_proxy_that_is_not_there_is_its_account_s_trouble_and_says_nothing_of_the_upstream():
    world = World()
    for _ in range(CONSECUTIVE - 1):
        world.fail(UpstreamFailed("no"))
    world.fail(ProxyUnreachable("no"))
    assert world.reason() == "failing"
    assert world.reason(candidate("b")) is None
    world.fail(UpstreamFailed("no"), candidate("b"))
    assert world.reason(candidate("b")) == "breaker_open"


def test_a_person_who_says_that_an_account_is_well_opens_every_way_to_it():
    world = World()
    world.fail(RateLimited("no", retry_after_s=600))
    world.fail(Overloaded("no"))
    world.fail(RateLimited("no", retry_after_s=600), candidate("b"))
    for _ in range(CONSECUTIVE):
        world.fail(UpstreamFailed("no"), candidate(model="n"))
    assert world.health.forget("p", "a") == 3
    assert (world.reason(), world.reason(candidate(model="n"))) == (None, None)
    assert world.reason(candidate("b")) == "throttled"
