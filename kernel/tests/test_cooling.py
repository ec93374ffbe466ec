import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omniroute.api import (
    AccountBlocked,
    CredentialRejected,
    FactsProvider,
    ModelFacts,
    Overloaded,
    ProviderFacts,
    QuotaExhausted,
    RateLimited,
    Target,
    UpstreamError,
    UpstreamFailed,
    UpstreamModelMissing,
    UpstreamRefused,
)
from omniroute.cooling import MAX_MARKS, Cooling, SavedMark
from omniroute.testing import FakeClock

CAP_S = 3600.0
HERE = Target(provider="p", account="a", model="m")
SAME_BUCKET = Target(provider="p", account="a", model="m-mini")
OTHER_MODEL = Target(provider="p", account="a", model="n")
OTHER_ACCOUNT = Target(provider="p", account="b", model="m")
OTHER_PROVIDER = Target(provider="q", account="a", model="m")
ALL = {
    "here": HERE,
    "bucket": SAME_BUCKET,
    "model": OTHER_MODEL,
    "account": OTHER_ACCOUNT,
    "provider": OTHER_PROVIDER,
}


def bucket(target):
    return target.model.partition("-")[0]


class World:
    def __init__(self):
        self.clock = FakeClock()
        self.cooling = Cooling(cap_s=CAP_S, clock=self.clock.monotonic)

    def hold(self, target=HERE, **options):
        return self.cooling.hold(target, bucket(target), **options)

    def enter(self, target=HERE):
        return self.cooling.enter(target, bucket(target))

    def fail(self, error, target=HERE):
        ticket = self.enter(target)
        mark = self.cooling.failed(ticket, error)
        self.cooling.leave(ticket)
        return mark

    def succeed(self, target=HERE):
        ticket = self.enter(target)
        self.cooling.succeeded(ticket)
        self.cooling.leave(ticket)

    def left_s(self, target=HERE):
        hold = self.hold(target)
        return None if hold is None else hold.due_s - self.clock.monotonic()


@pytest.fixture
def world():
    return World()


# --- scope ------------------------------------------------------------------------------------------------------------


class OutOfCredit(UpstreamError):
    """A plugin's own."""

    cools = "account"


@pytest.mark.parametrize(
    ("error", "out"),
    [
        (RateLimited, {"here", "bucket"}),
        (QuotaExhausted, {"here", "bucket"}),
        (CredentialRejected, {"here", "bucket", "model"}),
        (AccountBlocked, {"here", "bucket", "model"}),
        (OutOfCredit, {"here", "bucket", "model"}),
        (Overloaded, {"here", "account"}),
        (UpstreamModelMissing, {"here"}),
        (UpstreamRefused, set()),
        (UpstreamFailed, set()),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_failure_takes_out_its_own_scope_and_nothing_else(world, error, out):
    """P25, and P27 for what is the request's own fault."""
    world.fail(error("no"))
    assert {name for name, target in ALL.items() if world.hold(target)} == out


def test_a_bucket_is_the_model_unless_the_provider_says_otherwise():
    facts = ProviderFacts(name="p", dialect="openai-chat", base_url="http://127.0.0.1:1/v1")
    assert FactsProvider(facts).bucket(ModelFacts(id="m")) == "m"


# --- duration ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "durations"),
    [
        (RateLimited, [1, 2, 4, 8, 16, 32, 64, 120, 120]),
        (QuotaExhausted, [3600, 3600]),
        (Overloaded, [15, 30, 60, 120, 240, 300, 300]),
        (CredentialRejected, [120, 240, 480, 960, 1920, 3600, 3600]),
        (AccountBlocked, [3600, 3600]),
        (UpstreamModelMissing, [600, 600]),
        (OutOfCredit, [15, 30]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_without_a_hint_each_failure_in_a_row_cools_for_longer(world, error, durations):
    """P26: the count outlives the cooldowns."""
    seen = []
    for _ in durations:
        world.fail(error("no"))
        seen.append(world.left_s())
        world.clock.advance(seen[-1])
        assert world.hold() is None
    assert seen == durations


@pytest.mark.parametrize(
    ("hint_s", "left_s"),
    [(7, 7), (0.25, 0.25), (3600, 3600), (1_587_827, CAP_S), (0, 1), (None, 1)],
)
def test_p24_the_upstream_s_word_counts_up_to_the_cap(world, hint_s, left_s):
    """18 days are no reason not to look after an hour. 0 would be an endless loop."""
    world.fail(RateLimited("no", retry_after_s=hint_s))
    assert world.left_s() == left_s


def test_p24_a_hint_beyond_the_cap_is_probed_once_per_cap(world):
    world.fail(QuotaExhausted("no", retry_after_s=10_000))
    for _ in range(2):
        world.clock.advance(CAP_S - 1)
        assert world.hold()
        world.clock.advance(1)
        assert world.hold() is None
        probe = world.enter()
        assert not world.hold().may_insist
        world.cooling.failed(probe, QuotaExhausted("no", retry_after_s=10_000))
        world.cooling.leave(probe)


def test_the_thousandth_failure_in_a_row_is_no_overflow(world):
    for _ in range(1100):
        world.fail(RateLimited("no"))
    assert world.left_s() == 120


def test_only_a_success_clears_the_count(world):
    world.fail(RateLimited("no"))
    world.clock.advance(500)
    world.fail(UpstreamRefused("bad request"))
    world.fail(UpstreamFailed("500"))
    world.fail(RateLimited("no"))
    assert world.left_s() == 2
    world.succeed()
    assert world.hold() is None
    world.fail(RateLimited("no"))
    assert world.left_s() == 1


def test_a_success_clears_every_scope_of_its_target(world):
    for error in (RateLimited, CredentialRejected, Overloaded, UpstreamModelMissing):
        world.fail(error("no"))
    world.succeed()
    assert [name for name, target in ALL.items() if world.hold(target)] == []
    assert len(world.cooling) == 0


# --- one mark per failure ---------------------------------------------------------------------------------------------


def test_requests_that_were_under_way_do_not_climb(world):
    tickets = [world.enter() for _ in range(50)]
    marks = [world.cooling.failed(ticket, RateLimited("no")) for ticket in tickets]
    assert sum(mark is not None for mark in marks) == 1
    assert world.left_s() == 1
    assert [cooled.failures for cooled in world.cooling.reasons()] == [1]


def test_a_request_that_was_under_way_may_know_more(world):
    first, second = world.enter(), world.enter()
    world.cooling.failed(first, RateLimited("no"))
    world.cooling.failed(second, QuotaExhausted("used up", retry_after_s=900))
    assert (world.hold().reason, world.left_s()) == ("quota_exhausted", 900)
    assert [cooled.failures for cooled in world.cooling.reasons()] == [1]


def test_the_success_of_a_request_that_was_under_way_clears_nothing(world):
    old = world.enter()
    world.fail(RateLimited("no", retry_after_s=60))
    world.cooling.succeeded(old)
    assert world.left_s() == 60


# --- half-open --------------------------------------------------------------------------------------------------------


def test_when_it_is_due_one_of_fifty_probes(world):
    world.fail(RateLimited("no", retry_after_s=5))
    world.clock.advance(5)
    entered = [world.enter() for _ in range(50) if world.hold() is None]
    assert len(entered) == 1
    assert world.hold().due_s <= world.clock.monotonic()
    world.cooling.succeeded(entered[0])
    world.cooling.leave(entered[0])
    assert world.hold() is None


def test_a_probe_that_ends_without_a_verdict_leaves_the_place_to_the_next(world):
    world.fail(RateLimited("no", retry_after_s=5))
    world.clock.advance(5)
    world.cooling.leave(world.enter())
    assert world.hold() is None
    world.fail(RateLimited("no"))
    assert world.left_s() == 2


def test_probing_one_account_holds_up_no_other(world):
    world.fail(RateLimited("no", retry_after_s=5))
    world.clock.advance(5)
    world.enter()
    assert world.hold()
    assert world.hold(OTHER_ACCOUNT) is None


# --- insisting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "among_others", "alone"),
    [
        (Overloaded, True, True),
        (CredentialRejected, True, True),
        (AccountBlocked, True, True),
        (UpstreamModelMissing, True, True),
        (RateLimited, False, True),
        (QuotaExhausted, False, False),
    ],
)
def test_who_has_nothing_else_may_insist_unless_it_is_known_to_be_in_vain(world, error, among_others, alone):
    world.fail(error("no", retry_after_s=60))
    assert world.hold().may_insist is among_others
    assert world.hold(alone=True).may_insist is alone


def test_only_one_at_a_time_insists(world):
    world.fail(Overloaded("no"))
    ticket = world.enter()
    assert not world.hold().may_insist
    world.cooling.leave(ticket)
    assert world.hold().may_insist


def test_a_used_up_quota_weighs_more_than_anything_else(world):
    world.fail(CredentialRejected("no", retry_after_s=900))
    world.fail(QuotaExhausted("no", retry_after_s=60))
    hold = world.hold(alone=True)
    assert (hold.reason, hold.may_insist) == ("quota_exhausted", False)


# --- telling, forgetting, keeping -------------------------------------------------------------------------------------


def test_reasons_say_what_is_out_and_until_when(world):
    world.fail(RateLimited("no", retry_after_s=30))
    world.fail(CredentialRejected("no"), OTHER_ACCOUNT)
    world.fail(QuotaExhausted("no", retry_after_s=10_000), OTHER_MODEL)
    told = [
        (cooled.scope, cooled.provider, cooled.account, cooled.name, cooled.reason, cooled.left_s, cooled.hinted_s)
        for cooled in world.cooling.reasons()
    ]
    assert told == [
        ("bucket", "p", "a", "n", "quota_exhausted", 3600, 10_000),
        ("account", "p", "b", "", "auth_suspect", 120, None),
        ("bucket", "p", "a", "m", "throttled", 30, 30),
    ]


def test_a_person_can_reset_an_account_or_a_provider(world):
    for target in (HERE, OTHER_ACCOUNT, OTHER_PROVIDER):
        world.fail(QuotaExhausted("no"), target)
    assert world.cooling.forget("p", "a") == 1
    assert [bool(world.hold(target)) for target in (HERE, OTHER_ACCOUNT, OTHER_PROVIDER)] == [False, True, True]
    assert world.cooling.forget("p") == 1
    assert world.cooling.forget("p") == 0


def test_what_is_dumped_can_be_loaded_after_a_restart(world):
    world.fail(RateLimited("no"))
    world.fail(RateLimited("no", retry_after_s=600))
    saved = msgspec.json.decode(msgspec.json.encode(world.cooling.dump(world.clock.wall())), type=list[SavedMark])
    later = World()
    later.clock.advance(100)
    later.cooling.load(saved, world.clock.wall() + 200)
    assert (later.hold().reason, later.left_s()) == ("throttled", pytest.approx(400))
    later.clock.advance(400)
    later.fail(RateLimited("no"))
    assert later.left_s() == 4


def test_a_clock_that_was_set_back_keeps_nothing_out_for_longer_than_the_cap(world):
    world.fail(RateLimited("no", retry_after_s=600))
    saved = world.cooling.dump(world.clock.wall())
    later = World()
    later.cooling.load(saved, world.clock.wall() - 1_000_000)
    assert later.left_s() == CAP_S


def test_marks_do_not_pile_up(world):
    for number in range(MAX_MARKS + 50):
        world.fail(UpstreamModelMissing("no"), Target(provider="p", account="a", model=f"made-up-{number}"))
    assert len(world.cooling) <= MAX_MARKS
    assert world.hold(Target(provider="p", account="a", model=f"made-up-{MAX_MARKS + 49}"))


# --- any order of events ----------------------------------------------------------------------------------------------

ERRORS = (RateLimited, QuotaExhausted, Overloaded, CredentialRejected, UpstreamModelMissing, UpstreamFailed)
TARGETS = st.sampled_from(sorted(ALL))
EVENTS = st.one_of(
    st.tuples(st.just("begin"), TARGETS),
    st.tuples(st.just("fail"), st.sampled_from(ERRORS), st.sampled_from([None, 3.0, 50.0])),
    st.tuples(st.just("succeed")),
    st.tuples(st.just("leave")),
    st.tuples(st.just("advance"), st.sampled_from([0.5, 1.0, 3.0, 50.0, 700.0])),
    st.tuples(st.just("forget"), st.sampled_from(["p", "q"])),
)


@given(st.lists(EVENTS, max_size=40), st.randoms(use_true_random=False))
def test_whatever_happens_each_mark_has_one_probe_and_what_is_remembered_is_true(events, dice):
    world, under_way = World(), []
    for kind, *values in events:
        if kind == "begin":
            under_way.append(world.enter(ALL[values[0]]))
        elif kind == "advance":
            world.clock.advance(values[0])
        elif kind == "forget":
            world.cooling.forget(values[0])
        elif under_way:
            ticket = under_way.pop(dice.randrange(len(under_way)))
            if kind == "fail":
                world.cooling.failed(ticket, values[0]("no", retry_after_s=values[1]))
            elif kind == "succeed":
                world.cooling.succeeded(ticket)
            world.cooling.leave(ticket)
        probed = [id(mark) for ticket in under_way for mark in ticket.probes]
        assert len(probed) == len(set(probed))
        anew = World()
        anew.cooling.marks, anew.clock = world.cooling.marks, world.clock
        anew.cooling._clock = world.clock.monotonic
        assert [world.hold(target) for target in ALL.values()] == [anew.hold(target) for target in ALL.values()]
    world.clock.advance(CAP_S)
    for ticket in under_way:
        world.cooling.leave(ticket)
    assert not any(world.hold(target) for target in ALL.values())


def test_a_quota_that_is_there_again_takes_away_its_own_marks_only():
    cooling = Cooling(cap_s=3600, clock=lambda: 0.0)
    spent, throttled, other = (Target(provider="p", model=name, account=name) for name in "abc")
    cooling.failed(cooling.enter(spent, "x"), QuotaExhausted("used up"))
    cooling.failed(cooling.enter(throttled, "x"), RateLimited("slower"))
    cooling.failed(cooling.enter(other, "x"), QuotaExhausted("used up"))
    assert [cooling.refilled("p", name) for name in "ab"] == [1, 0]
    assert cooling.hold(spent, "x") is None
    assert cooling.hold(throttled, "x") is not None
    assert cooling.hold(other, "x") is not None
