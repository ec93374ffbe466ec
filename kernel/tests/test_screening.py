"""One question with one answer: the first screen that objects. `incapable` and the gates have tests of their own."""

import pytest

from omniroute.api import (
    Account,
    FactsProvider,
    ModelFacts,
    Overloaded,
    ProviderFacts,
    QuotaExhausted,
    RateLimited,
    Target,
    UpstreamUnreachable,
)
from omniroute.breaker import CONSECUTIVE
from omniroute.health import Health
from omniroute.routing import Candidate
from omniroute.screening import Needs, Screening, Skip, resting
from omniroute.testing import FakeClock

FACTS = ProviderFacts(name="p", dialect="openai-chat", base_url="http://127.0.0.1:1/v1")
TARGET = Target(provider="p", model="m", account="a")
CANDIDATE = Candidate(
    target=TARGET,
    leg=TARGET,
    provider=FactsProvider(FACTS),
    account=Account(provider="p", name="a", base_url=FACTS.base_url),
    model=ModelFacts(id="m"),
    translator=None,
    transport=None,
    adapts=False,
)
CHAT, COUNT = Needs(), Needs(cools=False)


def objects(reason):
    return lambda candidate, needs: Skip(reason=reason)


def passes(candidate, needs):
    return None


@pytest.mark.parametrize(
    ("screens", "reason"),
    [
        ([], None),
        ([passes, passes], None),
        ([passes, objects("second")], "second"),
        ([objects("first"), objects("second")], "first"),
    ],
)
def test_the_first_screen_that_objects_is_the_answer(screens, reason):
    skip = Screening(screens).skip(CANDIDATE, CHAT)
    assert (skip and skip.reason) == reason


@pytest.mark.parametrize(
    ("errors", "reason", "detail"),
    [
        ([], None, None),
        ([RateLimited("no", retry_after_s=9)], "cooling", "throttled"),
        ([Overloaded("no")], "cooling", "overloaded"),
        ([QuotaExhausted("no")], "quota_exhausted", "quota_exhausted"),
        ([UpstreamUnreachable("no")] * CONSECUTIVE, "breaker_open", "breaker_open"),
    ],
)
def test_what_is_resting_is_skipped_until_it_is_due(errors, reason, detail):
    clock = FakeClock()
    health = Health(cap_s=3600, clock=clock.monotonic, draw=lambda: 0.5)
    screening = Screening([resting(health)])
    for error in errors:
        with health.visit(CANDIDATE) as visit:
            health.failed(visit, error)
    skip = screening.skip(CANDIDATE, CHAT)
    assert (skip and (skip.reason, skip.detail)) == (reason and (reason, detail))
    if skip is not None:
        assert skip.due_s == skip.hold.due_s > clock.monotonic()
        assert screening.skip(CANDIDATE, COUNT) is None
        clock.advance(skip.due_s - clock.monotonic())
        assert screening.skip(CANDIDATE, CHAT) is None
