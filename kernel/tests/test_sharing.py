"""Gateways that share one `Fast`: what each sees of the others, and what becomes of it when one is gone or `Fast` is."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from omniroute.contracts import Standing, Target
from omniroute.fast import MemoryFast
from omniroute.sharing import SLOT_S, TTL_S, Shared, Sharing
from omniroute.standing import MAX_TARGETS, Standings
from omniroute.testing import FakeClock

ONE, TWO = (Target(provider="p", model="vendor/m", account=name) for name in ("one", "two"))
WALL_S = 1000 * SLOT_S
"""The first moment of a slot."""


class Common(MemoryFast):
    """What a server in the network is to several gateways."""

    is_shared = True

    def __init__(self, clock):
        super().__init__(clock.monotonic)
        self.failure = None
        self.fails_at = None
        """Part of the keys that fail."""
        self.hangs = False
        self.keys = []
        """Of each addition, in their order."""

    async def add(self, key, amount, *, ttl_s):
        self.keys.append(key)
        if self.hangs:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure
        if self.fails_at is not None and self.fails_at in key:
            raise ConnectionError("reset")
        return await super().add(key, amount, ttl_s=ttl_s)


class Replica:
    def __init__(self, fast, clock, *, ahead_s=0.0, saved=(), deadline_s=60.0):
        self.standings = Standings(lambda target: None)
        self.standings.load(saved, 0.0, 0.0)
        self.sharing = Sharing(fast, self.standings, wall=lambda: clock.wall() + ahead_s, deadline_s=deadline_s)
        self.sync = self.sharing.sync

    def begin(self, *targets):
        return self.standings.begin(targets or (ONE,), 0.0)

    def sees(self, target=ONE):
        """(requests, failures, in flight), as a strategy sees them."""
        standing = self.standings.view[target]
        return standing.requests, standing.failures, standing.in_flight

    def dump(self):
        return self.standings.dump(0.0, 0.0)


@pytest.fixture
def clock():
    return FakeClock(monotonic_s=0.0, wall_s=WALL_S)


@pytest.fixture
def fast(clock):
    return Common(clock)


@pytest.fixture
def pair(fast, clock):
    return Replica(fast, clock), Replica(fast, clock)


async def tick(*replicas):
    for replica in replicas:
        await replica.sync()


# --- counts -----------------------------------------------------------------------------------------------------------


async def test_each_sees_what_both_have_counted_and_have_under_way(pair):
    here, there = pair
    here.begin().end(ok=False)
    running = here.begin()
    there.begin()
    await tick(here, there, here)
    assert here.sees() == there.sees() == (3, 1, 2)
    running.end(ok=True)
    await tick(here, there)
    assert here.sees() == there.sees() == (3, 1, 1)


async def test_a_target_that_was_only_looked_at_gets_the_others_counts(pair):
    here, there = pair
    there.begin()
    await there.sync()
    assert here.sees() == (0, 0, 0)
    await here.sync()
    assert here.sees() == (1, 0, 1)


async def test_one_that_comes_later_takes_over_what_was_counted_before(fast, clock, pair):
    here, _ = pair
    for _ in range(5):
        here.begin().end(ok=True)
    await here.sync()
    late = Replica(fast, clock)
    late.begin().end(ok=True)
    await tick(late, here)
    assert late.sees() == here.sees() == (6, 0, 0)


async def test_what_is_measured_stays_each_gateways_own(pair):
    here, there = pair
    running = here.begin()
    running.answered(3.0)
    running.end(ok=False)
    await tick(here, there)
    assert there.sees() == (0, 0, 0)  # nothing was looked at there yet
    await there.sync()
    assert there.standings.view[ONE] == Standing(requests=1, failures=1)


async def test_accounts_are_counted_apart(pair):
    here, there = pair
    here.begin(ONE)
    there.begin(TWO)
    await tick(here, there, here)
    assert (here.sees(ONE), here.sees(TWO)) == ((1, 0, 1), (0, 0, 0))
    await here.sync()
    assert here.sees(TWO) == (1, 0, 1)


@settings(max_examples=60, deadline=None)
@given(
    moves=st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from(["begin", "end", "sync", "time"]),
            st.sampled_from([ONE, TWO]),
            st.sampled_from([True, False, None]),
        ),
        max_size=60,
    )
)
async def test_whatever_happens_when_all_agree_in_the_end(moves):
    clock = FakeClock(monotonic_s=0.0, wall_s=WALL_S)
    fast = Common(clock)
    replicas = [Replica(fast, clock, ahead_s=at / 10) for at in range(3)]
    for replica in replicas:
        replica.sees(ONE), replica.sees(TWO)
    open_ = []
    for at, move, target, ok in moves:
        if move == "begin":
            open_.append((target, replicas[at].begin(target)))
        elif move == "end" and open_:
            open_.pop(0)[1].end(ok=ok)
        elif move == "sync":
            await replicas[at].sync()
        elif move == "time":
            clock.advance(SLOT_S / 3)
            await tick(*replicas)
    await tick(*replicas, *replicas)
    for target in (ONE, TWO):
        own = [replica.standings.count(target) for replica in replicas]
        expected = tuple(map(sum, zip(*((each.requests, each.failures, each.in_flight) for each in own), strict=True)))
        assert [replica.sees(target) for replica in replicas] == [expected] * 3
        assert expected[2] == sum(at == target for at, _ in open_)


# --- who is gone, and who comes back ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after_s", "in_flight"),
    [(0.0, 1), (SLOT_S - 1, 1), (SLOT_S, 1), (2 * SLOT_S - 1, 1), (2 * SLOT_S, 0), (1000 * SLOT_S, 0)],
)
async def test_what_a_gateway_that_died_had_under_way_lapses(pair, clock, after_s, in_flight):
    here, gone = pair
    here.sees()
    gone.begin()
    await tick(gone, here)
    clock.advance(after_s)
    await here.sync()
    assert here.sees() == (1, 0, in_flight)


async def test_what_takes_long_stays_for_as_long_as_its_gateway_lives(pair, clock):
    here, there = pair
    here.sees()
    running = there.begin()
    for _ in range(100):
        await tick(there, here)
        assert here.sees() == (1, 0, 1)
        clock.advance(SLOT_S / 4)
    running.end(ok=True)
    await tick(there, here)
    assert here.sees() == (1, 0, 0)


@pytest.mark.parametrize("ahead_s", [-SLOT_S / 2, SLOT_S / 2, SLOT_S - 1])
async def test_clocks_may_differ_by_less_than_a_slot(fast, clock, ahead_s):
    here, there = Replica(fast, clock), Replica(fast, clock, ahead_s=ahead_s)
    here.sees()
    there.begin()
    for _ in range(40):
        await tick(there, here)
        assert here.sees() == (1, 0, 1)
        clock.advance(1)


async def test_a_clock_that_is_set_back_counts_nothing_twice(pair, fast, clock):
    here = Replica(fast, clock)
    here.begin()
    there = Replica(fast, clock)
    there.sees()
    await tick(here, there)
    clock.advance(SLOT_S)
    await tick(here, there)
    clock.jump_wall(-SLOT_S / 2)
    await tick(here, there)
    assert (here.sees(), there.sees()) == ((1, 0, 1), (1, 0, 1))


async def test_a_restart_counts_nothing_twice(pair, fast, clock):
    here, there = pair
    here.begin().end(ok=False)
    there.begin().end(ok=True)
    await tick(here, there, here)
    again = Replica(fast, clock, saved=here.dump())
    again.begin().end(ok=True)
    await tick(again, there, again)
    assert again.sees() == there.sees() == (3, 1, 0)


async def test_counts_from_before_anything_was_shared_are_told_to_nobody(pair, fast, clock):
    alone, there = pair
    for _ in range(7):
        alone.begin().end(ok=True)
    again = Replica(fast, clock, saved=alone.dump())
    there.begin().end(ok=True)
    await tick(again, there)
    assert (again.sees(), there.sees()) == ((7, 0, 0), (1, 0, 0))


async def test_a_counter_that_lapses_takes_nothing_back(pair, clock):
    here, there = pair
    for _ in range(5):
        here.begin().end(ok=True)
    there.begin().end(ok=True)
    await tick(here, there, here)
    clock.advance(TTL_S + 1)
    here.begin().end(ok=True)
    await tick(here, there)
    assert here.sees() == there.sees() == (7, 0, 0)


async def test_a_target_that_was_forgotten_and_is_back_begins_anew(pair):
    here, there = pair
    there.sees()
    here.begin().end(ok=True)
    await tick(here, there)
    for number in range(MAX_TARGETS):
        here.standings.begin([Target(provider="p", model=str(number))], 0.0).end(ok=True)
    assert here.standings.count(ONE) is None
    await here.sync()
    here.begin().end(ok=True)
    await tick(here, there)
    assert here.sees() == (2, 0, 0)
    assert there.sees() == (2, 0, 0)


# --- what it costs ----------------------------------------------------------------------------------------------------


async def test_who_is_alone_asks_nothing(clock):
    fast = Common(clock)
    fast.is_shared = False
    alone = Replica(fast, clock)
    alone.begin()
    await alone.sync()
    assert (alone.sees(), fast.keys, alone.sharing.state) == ((1, 0, 1), [], Shared(on=False))


async def test_the_state_of_this_process_is_not_shared_and_that_of_a_plugin_is_unless_it_says_so():
    class Plain:
        """Has the methods of the contract, and says nothing of itself."""

    assert not Sharing(MemoryFast(), Standings(lambda target: None)).is_on
    assert Sharing(Plain(), Standings(lambda target: None)).is_on


async def test_only_what_changed_is_told_and_only_news_is_fetched(pair, fast):
    here, _ = pair
    for replica in pair:
        for number in range(50):
            replica.sees(Target(provider="p", model=str(number)))
    await tick(*pair, *pair)
    fast.keys.clear()
    await tick(*pair)
    assert fast.keys == ["omniroute:1:standing:news"] * 2
    fast.keys.clear()
    here.begin(Target(provider="p", model="7"))
    await here.sync()
    assert fast.keys == [
        "omniroute:1:standing:requests:p//7",
        "omniroute:1:standing:failures:p//7",
        "omniroute:1:standing:in_flight:1001:p//7",
        "omniroute:1:standing:in_flight:1000:p//7",
        "omniroute:1:standing:news",
    ]


# --- when it cannot be asked ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure", [ConnectionError("refused"), TimeoutError(), RuntimeError("a plugin's own"), ValueError("garbled")]
)
async def test_a_store_that_fails_leaves_the_own_counts_is_logged_once_and_shown(pair, fast, failure):
    here, there = pair
    there.begin()
    here.begin().end(ok=True)
    await tick(there, here)
    fast.failure = failure
    here.begin()
    with capture_logs() as said:
        await tick(here, here, here)
        assert here.sees() == (3, 0, 2)
        assert here.sharing.state == Shared(on=True, failures=3)
        fast.failure = None
        await tick(here, here, there)
    assert here.sees() == there.sees() == (3, 0, 2)
    assert here.sharing.state == Shared(on=True, failures=0)
    errors = [line["reason"] for line in said if line["log_level"] == "error"]
    assert errors == [f"{type(failure).__name__}: {failure}"]


async def test_what_others_have_under_way_lapses_while_nobody_can_tell(pair, fast, clock):
    here, there = pair
    here.begin()
    there.begin()
    await tick(there, here)
    fast.failure = ConnectionError("refused")
    clock.advance(2 * SLOT_S - 1)
    await here.sync()
    assert here.sees() == (2, 0, 2)
    clock.advance(1)
    await here.sync()
    assert here.sees() == (2, 0, 1)


async def test_what_was_under_way_all_the_time_is_known_again_when_it_can_be_asked_again(pair, fast, clock):
    here, there = pair
    here.sees()
    there.begin()
    await tick(there, here)
    fast.failure = ConnectionError("refused")
    clock.advance(2 * SLOT_S)
    await tick(here, there)
    assert here.sees() == (1, 0, 0)
    fast.failure = None
    await tick(there, here)
    assert here.sees() == (1, 0, 1)


async def test_what_was_told_before_the_store_failed_is_news_once_it_works_again(pair, fast):
    here, there = pair
    there.sees()
    await tick(here, there)
    here.begin()
    fast.fails_at = ":news"
    await here.sync()
    assert here.sharing.failures == 1
    fast.fails_at = None
    await tick(here, there)
    assert there.sees() == (1, 0, 1)


async def test_a_store_that_never_answers_is_given_up(fast, clock):
    here = Replica(fast, clock, deadline_s=0.0)
    here.begin()
    fast.hangs = True
    await here.sync()
    assert here.sharing.failures == 1
    fast.hangs = False
    assert here.sees() == (1, 0, 1)


async def test_a_store_that_forgot_everything_is_told_again(pair, fast, clock):
    here, there = pair
    here.begin()
    there.begin()
    await tick(here, there, here)
    await fast.close()
    there.begin()
    for _ in range(4):
        clock.advance(SLOT_S)
        await tick(here, there)
    await here.sync()
    assert here.sees() == there.sees() == (3, 0, 3)
