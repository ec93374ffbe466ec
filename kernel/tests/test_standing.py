import pytest
from hypothesis import given
from hypothesis import strategies as st

from omniroute.contracts import ModelFacts, Outcome, Price, Standing, Target
from omniroute.standing import MAX_TARGETS, Standings, priced

LEG = Target(provider="p", model="m")
ONE, TWO = (Target(provider="p", model="m", account=name) for name in ("one", "two"))
NEW = Standing()


class Observer:
    def __init__(self):
        self.seen = []

    def observe(self, outcome):
        self.seen.append(outcome)


@pytest.fixture
def standings():
    return Standings(lambda target: None)


def test_what_nobody_has_seen_is_there_with_nothing_known(standings):
    assert standings.view[ONE] == NEW
    assert standings.view.get(TWO) == NEW
    assert LEG in standings.view


def test_an_attempt_counts_for_its_target_and_for_what_it_is_a_part_of(standings):
    standings.begin([ONE, LEG], 10.0)
    standings.begin([TWO, LEG], 11.0)
    assert standings.view[ONE] == Standing(requests=1, in_flight=1, last_used_s=10.0)
    assert standings.view[LEG] == Standing(requests=2, in_flight=2, last_used_s=11.0)


@pytest.mark.parametrize(
    ("ok", "failures", "error_rate"),
    [
        pytest.param(True, 0, 0.0, id="answered"),
        pytest.param(False, 1, 0.2, id="failed"),
        pytest.param(None, 0, 0.0, id="the client left: nobody is to blame"),
    ],
)
def test_the_end_of_an_attempt_says_who_is_to_blame(standings, ok, failures, error_rate):
    standings.begin([ONE], 1.0).end(ok=ok)
    assert standings.view[ONE] == Standing(requests=1, last_used_s=1.0, failures=failures, error_rate=error_rate)


def test_only_the_first_end_of_an_attempt_counts(standings):
    running = standings.begin([ONE], 1.0)
    running.end(ok=False)
    running.end(ok=True)
    running.end(ok=False)
    assert standings.view[ONE] == Standing(requests=1, last_used_s=1.0, failures=1, error_rate=0.2)


def test_a_client_that_leaves_does_not_soften_what_failed_before(standings):
    standings.begin([ONE], 1.0).end(ok=False)
    standings.begin([ONE], 2.0).end(ok=None)
    assert standings.view[ONE].error_rate == 0.2


def test_averages_follow_the_last_values(standings):
    for latency_s in (1.0, 2.0):
        running = standings.begin([ONE], 1.0)
        running.answered(latency_s)
        running.end(ok=True)
    assert standings.view[ONE].latency_s == pytest.approx(1.2)
    for _ in range(40):
        standings.begin([ONE], 1.0).end(ok=False)
    assert standings.view[ONE].error_rate == pytest.approx(1.0, abs=0.001)
    assert standings.view[ONE].latency_s == pytest.approx(1.2), "failures say nothing of how fast it answers"


def test_a_copy_stays_as_it_was_and_is_kept_until_something_changes(standings):
    before = standings.view[ONE]
    running = standings.begin([TWO], 1.0)
    assert standings.view[ONE] is before
    busy = standings.view[TWO]
    running.answered(0.5)
    running.end(ok=True)
    assert (busy.in_flight, busy.latency_s) == (1, None)
    assert standings.view[TWO] == Standing(requests=1, last_used_s=1.0, latency_s=0.5)


def test_observers_are_told_each_outcome_once():
    observer, standings = Observer(), Standings(lambda target: None)
    answered = standings.begin([ONE, LEG], 1.0, [observer])
    answered.answered(0.5)
    answered.end(ok=True)
    answered.end(ok=False)
    standings.begin([TWO, LEG], 1.0, [observer]).end(ok=False, error="overloaded", after_s=0.1)
    broken = standings.begin([ONE, LEG], 2.0, [observer])
    broken.answered(0.7)
    broken.end(ok=False, error="stream_broken")
    standings.begin([ONE, LEG], 3.0, [observer]).end(ok=None)
    assert observer.seen == [
        Outcome(target=ONE, ok=True, latency_s=0.5),
        Outcome(target=TWO, ok=False, error="overloaded", latency_s=0.1),
        Outcome(target=ONE, ok=False, error="stream_broken", latency_s=0.7),
    ]


def test_facts_are_asked_for_once_until_they_change():
    asked = []
    facts = {ONE: ModelFacts(id="m", context_tokens=1000, price=Price(input_usd=3, output_usd=15))}

    def find(target):
        asked.append(target)
        return facts.get(target)

    standings = Standings(find)
    assert standings.view[ONE] == Standing(context_tokens=1000, input_usd=3, output_usd=15)
    standings.begin([ONE], 1.0)
    assert standings.view[ONE].input_usd == 3
    assert asked == [ONE]
    facts[ONE] = ModelFacts(id="m")
    standings.facts_changed()
    assert standings.view[ONE] == Standing(requests=1, in_flight=1, last_used_s=1.0)


def test_a_quota_is_kept_as_it_was_last_heard(standings):
    standings.set_quota(ONE, 0.4, 500.0)
    assert standings.view[ONE] == Standing(quota_left=0.4, quota_resets_s=500.0)
    standings.set_quota(ONE, None, None)
    assert standings.view[ONE] == NEW


def test_what_was_not_used_for_longest_is_forgotten_first(standings):
    models = [Target(provider="p", model=str(at)) for at in range(MAX_TARGETS)]
    for target in models:
        standings.begin([target], 1.0)
    standings.begin([models[0]], 2.0)
    late = standings.begin([ONE], 3.0)
    assert standings.view[models[0]].requests == 2
    assert standings.view[ONE].requests == 1
    assert standings.view[models[1]] == NEW
    for target in models:
        standings.begin([target], 4.0)
    late.end(ok=True)
    assert standings.view[ONE] == NEW, "an attempt that outlives what is known of its target harms nothing"


@given(st.lists(st.tuples(st.sampled_from([ONE, TWO]), st.sampled_from([True, False, None])), max_size=60))
def test_counts_add_up_whatever_happens(history):
    standings = Standings(lambda target: None)
    running = [standings.begin([target, LEG], float(at)) for at, (target, _) in enumerate(history)]
    assert standings.view[LEG].in_flight == len(history)
    for attempt, (_, ok) in zip(running, history, strict=True):
        attempt.end(ok=ok)
    one, two, both = (standings.view[target] for target in (ONE, TWO, LEG))
    assert (both.requests, both.in_flight) == (one.requests + two.requests, 0) == (len(history), 0)
    assert both.failures == one.failures + two.failures == [ok for _, ok in history].count(False)
    assert 0 <= both.error_rate <= 1


@pytest.mark.parametrize(
    ("known", "said", "expected"),
    [
        pytest.param(Price(input_usd=3), None, Price(input_usd=3), id="nothing said"),
        pytest.param(
            Price(input_usd=3, output_usd=15, as_of="2026"),
            Price(input_usd=0),
            Price(input_usd=0, output_usd=15, as_of="2026"),
            id="field by field, and 0 is said",
        ),
        pytest.param(None, Price(output_usd=2), Price(output_usd=2), id="nothing known"),
    ],
)
def test_a_price_that_was_said_goes_before_the_facts(known, said, expected):
    assert priced(ModelFacts(id="m", price=known), said) == ModelFacts(id="m", price=expected)


def test_what_is_known_of_a_quota_by_now_counts_more_and_changes_when_that_is_said(standings):
    known = {}
    standings.quota_of = known.get
    standings.set_quota(ONE, 0.4, 500.0)
    assert standings.view[ONE].quota_left == 0.4
    known[ONE] = (0.2, None)
    standings.quota_changed(ONE.provider, "nobody")
    assert standings.view[ONE].quota_left == 0.4
    standings.quota_changed(ONE.provider, ONE.account)
    assert (standings.view[ONE].quota_left, standings.view[ONE].quota_resets_s) == (0.2, None)
    assert standings.seen[ONE].quota_left == 0.2
