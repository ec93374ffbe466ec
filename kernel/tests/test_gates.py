import asyncio
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omniroute.api import Limits
from omniroute.gates import Block, Gate, Lines, Pass, SavedGate
from omniroute.gates.window import MINUTE_S, Window
from omniroute.testing import FakeClock


class Timer:
    def __init__(self, due_s, call):
        self.due_s, self.call, self.cancelled = due_s, call, False

    def cancel(self):
        self.cancelled = True


class World:
    """Lines on a clock that stands still; `pass_time` also rings the timers that are due."""

    def __init__(self, **options):
        self.clock = FakeClock()
        self.timers = []
        self.lines = Lines(clock=self.clock.monotonic, later=self._later, **options)

    def _later(self, seconds, call):
        self.timers.append(Timer(self.clock.monotonic() + seconds, call))
        return self.timers[-1]

    def pass_time(self, seconds):
        self.clock.advance(seconds)
        due = [timer for timer in self.timers if timer.due_s <= self.clock.monotonic()]
        self.timers = [timer for timer in self.timers if timer not in due]
        for timer in due:
            if not timer.cancelled:
                timer.call()

    def enter(self, *gates, tokens=0):
        return self.lines.enter(gates, tokens)

    def left_s(self, block):
        return block.due_s - self.clock.monotonic()

    def wait(self, *ways, tokens=0, timeout_s=1000.0):
        return asyncio.create_task(self.lines.wait(ways, tokens, timeout_s))


@pytest.fixture
def world():
    return World()


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


def gate(**limits):
    return Gate("account:p/a", Limits(**limits))


# --- the window -------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(1, 7)), max_size=80), st.integers(1, 20))
def test_no_minute_wherever_it_begins_holds_more_than_the_limit(steps, limit):
    window, now_s, taken = Window(limit), 1000.0, []
    for pause_s, amount in steps:
        now_s += pause_s
        if window.when(amount, now_s) <= now_s:
            window.add(min(amount, limit), now_s)
            taken.append((now_s, min(amount, limit)))
    for start_s, _ in taken:
        assert sum(amount for at, amount in taken if start_s <= at < start_s + MINUTE_S) <= limit


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(1, 7)), min_size=1, max_size=60), st.integers(1, 20))
def test_when_room_is_promised_there_is_room_and_not_before(steps, limit):
    window, now_s = Window(limit), 1000.0
    for pause_s, amount in steps:
        now_s += pause_s
        due_s = window.when(amount, now_s)
        assert now_s <= due_s <= now_s + MINUTE_S + 1
        if due_s > now_s:
            assert window.when(amount, math.nextafter(due_s, 0)) == due_s
        now_s = due_s
        assert window.when(amount, now_s) == now_s
        window.add(min(amount, limit), now_s)


def test_what_is_larger_than_the_limit_has_room_once_the_window_is_empty():
    window = Window(10)
    assert window.when(50, 0.0) == 0.0
    window.add(1, 0.0)
    assert window.when(50, 1.0) == 61.0


# --- one gate ---------------------------------------------------------------------------------------------------------


def test_only_so_many_are_through_at_a_time(world):
    narrow = gate(max_concurrency=2)
    first, _ = world.enter(narrow), world.enter(narrow)
    block = world.enter(narrow)
    assert (block.why, block.limit) == ("busy", "max_concurrency")
    first.close()
    first.close()
    assert isinstance(world.enter(narrow), Pass)
    assert narrow.running == 2


@pytest.mark.parametrize(
    ("limits", "tokens", "through", "limit", "left_s"),
    [
        pytest.param({"rpm": 3}, 0, 3, "rpm", 61, id="requests"),
        pytest.param({"tpm": 1000}, 400, 2, "tpm", 61, id="tokens"),
        pytest.param({"min_interval_s": 0.5}, 0, 1, "min_interval_s", 0.5, id="spacing"),
        pytest.param({"rpm": 5, "tpm": 100}, 50, 2, "tpm", 61, id="the tighter of two"),
        pytest.param({"min_interval_s": 0.5, "rpm": 1}, 0, 1, "rpm", 61, id="the later of two"),
    ],
)
def test_a_minute_holds_so_much_and_says_when_there_is_room_again(world, limits, tokens, through, limit, left_s):
    limited = gate(**limits)
    taken = [world.enter(limited, tokens=tokens) for _ in range(through)]
    assert all(isinstance(one, Pass) for one in taken)
    block = world.enter(limited, tokens=tokens)
    assert (block.why, block.limit, world.left_s(block)) == ("rate_limited", limit, left_s)
    world.clock.advance(left_s)
    assert isinstance(world.enter(limited, tokens=tokens), Pass)


def test_p63_a_burst_does_not_get_past_a_budget_that_is_only_known_at_the_end(world):
    """Each takes an estimate with it before it is sent."""
    requests, tokens = gate(rpm=10), gate(tpm=1000)
    assert sum(isinstance(world.enter(requests), Pass) for _ in range(100)) == 10
    assert sum(isinstance(world.enter(tokens, tokens=100), Pass) for _ in range(100)) == 10


def test_what_was_used_in_the_end_takes_the_place_of_the_estimate(world):
    limited = gate(tpm=1000)
    cheap, dear, failed = (world.enter(limited, tokens=300) for _ in range(3))
    cheap.close(100)
    failed.close(0)
    one = world.enter(limited, tokens=600)
    assert isinstance(one, Pass)
    one.close(0)
    dear.close(890)
    assert isinstance(world.enter(limited, tokens=11), Block)
    assert isinstance(world.enter(limited, tokens=10), Pass)


def test_what_is_used_late_counts_from_when_it_is_known(world):
    limited = gate(tpm=1000)
    long = world.enter(limited, tokens=100)
    world.clock.advance(120)
    long.close(1000)
    assert world.left_s(world.enter(limited, tokens=200)) == 61
    world.clock.advance(61)
    assert isinstance(world.enter(limited, tokens=200), Pass)


def test_an_unknown_use_is_what_was_estimated(world):
    limited = gate(tpm=100)
    world.enter(limited, tokens=100).close(None)
    assert isinstance(world.enter(limited, tokens=1), Block)


def test_what_was_never_sent_leaves_no_trace(world):
    limited = gate(rpm=1, tpm=10, min_interval_s=5, max_concurrency=1)
    world.enter(limited, tokens=10).close(sent=False)
    assert isinstance(world.enter(limited, tokens=10), Pass)


def test_one_that_was_not_sent_after_all_does_not_bring_the_next_one_forward(world):
    paced = gate(min_interval_s=5)
    given_up = world.enter(paced)
    world.clock.advance(5)
    world.enter(paced)
    given_up.close(sent=False)
    assert world.left_s(world.enter(paced)) == 5


def test_spacing_that_is_not_wanted_any_more_keeps_nobody_waiting(world):
    paced = gate(min_interval_s=3600)
    world.enter(paced)
    paced.set_limits(Limits(rpm=9))
    assert isinstance(world.enter(paced), Pass)


def test_several_gates_are_passed_all_or_none(world):
    account, provider = gate(max_concurrency=5), Gate("provider:p", Limits(rpm=1))
    assert isinstance(world.enter(account, provider), Pass)
    block = world.enter(account, provider)
    assert (block.gate, account.running) == (provider, 1)


def test_wider_limits_hold_from_now_on_and_counts_go_on(world):
    limited = gate(rpm=2)
    assert [isinstance(world.enter(limited), Pass) for _ in range(3)] == [True, True, False]
    limited.set_limits(Limits(rpm=3))
    assert [isinstance(world.enter(limited), Pass) for _ in range(2)] == [True, False]
    limited.set_limits(Limits(max_concurrency=9))
    assert isinstance(world.enter(limited), Pass)


# --- in line ----------------------------------------------------------------------------------------------------------


async def test_whoever_came_first_goes_first_and_nobody_overtakes(world):
    narrow = gate(max_concurrency=1)
    inside = world.enter(narrow)
    order = []
    tasks = []
    for number in range(3):
        tasks.append(task := world.wait((narrow,)))
        task.add_done_callback(lambda _, number=number: order.append(number))
        await settle()
    assert world.enter(narrow).limit == "max_concurrency"
    for number in range(3):
        inside.close()
        assert isinstance(world.enter(narrow), Block)  # the place is somebody's already
        inside = (await tasks[number])[1]
        await settle()
    assert order == [0, 1, 2]
    inside.close()
    assert isinstance(world.enter(narrow), Pass)


async def test_while_somebody_waits_a_newcomer_does_not_slip_through(world):
    """The one in line needs more than there is; less would fit."""
    limited = gate(tpm=100)
    world.enter(limited, tokens=60)
    waiting = world.wait((limited,), tokens=80)
    await settle()
    assert world.enter(limited, tokens=10).limit == "queue"
    world.pass_time(61)
    assert (await waiting)[0] == 0
    assert isinstance(world.enter(limited, tokens=10), Pass)


async def test_time_alone_lets_those_in_line_go_on_one_by_one(world):
    paced = gate(min_interval_s=2)
    world.enter(paced)
    tasks = [world.wait((paced,)) for _ in range(3)]
    await settle()
    for done in range(3):
        assert [task.done() for task in tasks] == [True] * done + [False] * (3 - done)
        world.pass_time(2)
        await settle()
    assert all(isinstance(task.result()[1], Pass) for task in tasks)


async def test_one_who_leaves_the_line_lets_the_next_move_up(world):
    narrow = gate(max_concurrency=1)
    inside = world.enter(narrow)
    first, second = world.wait((narrow,)), world.wait((narrow,))
    await settle()
    first.cancel()
    await settle()
    inside.close()
    assert isinstance((await second)[1], Pass)
    assert narrow.running == 1
    assert not narrow.waiting


async def test_one_who_leaves_in_the_moment_of_being_let_in_gives_the_place_back(world):
    narrow = gate(max_concurrency=1, rpm=2)
    inside = world.enter(narrow)
    leaving, next_ = world.wait((narrow,)), world.wait((narrow,))
    await settle()
    inside.close()  # `leaving` has the place, and does not know yet
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert isinstance((await next_)[1], Pass)
    assert narrow.running == 1


async def test_a_wait_has_an_end(world):
    narrow = gate(max_concurrency=1)
    world.enter(narrow)
    block = await world.lines.wait([(narrow,)], 0, 0.01)
    assert (block.why, narrow.running) == ("busy", 1)
    assert not narrow.waiting


async def test_nobody_waits_for_what_does_not_come_in_time(world):
    limited = gate(rpm=1)
    world.enter(limited)
    block = await world.lines.wait([(limited,)], 0, 30)
    assert world.left_s(block) == 61
    assert world.timers == []


async def test_a_line_has_a_longest_length():
    world = World(longest=2)
    narrow = gate(max_concurrency=1)
    world.enter(narrow)
    tasks = [world.wait((narrow,)) for _ in range(2)]
    await settle()
    assert isinstance(await world.lines.wait([(narrow,)], 0, 1000), Block)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_may_go_several_ways_takes_the_first_that_opens(world):
    ways = [gate(max_concurrency=1) for _ in range(3)]
    inside = [world.enter(way) for way in ways]
    task = world.wait(*((way,) for way in ways))
    await settle()
    inside[1].close()
    assert (await task)[0] == 1
    assert [way.running for way in ways] == [1, 1, 1]
    assert not any(way.waiting for way in ways)


async def test_a_way_that_is_open_is_taken_without_waiting(world):
    shut, open_ = gate(max_concurrency=1), gate(max_concurrency=1)
    world.enter(shut)
    assert (await world.lines.wait([(shut,), (open_,)], 0, 1000))[0] == 1
    assert not shut.waiting


async def test_with_the_first_gate_open_the_line_goes_on_at_the_second(world):
    account, provider = gate(max_concurrency=1), Gate("provider:p", Limits(max_concurrency=1))
    at_account, at_provider = world.enter(account), world.enter(provider)
    task = world.wait((account, provider))
    await settle()
    at_account.close()
    await settle()
    assert not task.done()
    assert (len(account.waiting), len(provider.waiting)) == (0, 1)
    assert isinstance(world.enter(account), Pass)  # nobody waits there any more
    at_provider.close()
    await settle()
    assert not task.done()
    assert (len(account.waiting), len(provider.waiting)) == (1, 0)
    task.cancel()


@given(st.lists(st.sampled_from(["come", "go", "leave", "time"]), max_size=60), st.integers(1, 3))
def test_whatever_happens_the_places_add_up(steps, places):
    async def run():
        world = World()
        narrow = gate(max_concurrency=places, min_interval_s=1)
        inside, tasks = [], []
        for step in steps:
            if step == "come":
                tasks.append(world.wait((narrow,)))
            elif step == "go" and inside:
                inside.pop().close()
            elif step == "leave" and tasks:
                tasks[-1].cancel()
            elif step == "time":
                world.pass_time(1)
            await settle()
            for task in [task for task in tasks if task.done()]:
                tasks.remove(task)
                if not task.cancelled():
                    inside.append(task.result()[1])
            assert narrow.running == len(inside) <= places
            assert len(narrow.waiting) == len(tasks)
        for one in inside:
            one.close()
        for _ in tasks:
            world.pass_time(1)
            await settle()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())


# --- over a restart ---------------------------------------------------------------------------------------------------


def reloaded(saved, limits, *, after_s=0.0):
    saved = msgspec.json.decode(msgspec.json.encode(saved), type=SavedGate)
    world = World()
    world.clock.advance(123_456.5)  # another boot
    fresh = Gate("account:p/a", limits)
    fresh.load(saved, 1_800_000_000.0 + after_s - world.clock.monotonic(), world.clock.monotonic())
    return world, fresh


@pytest.mark.parametrize(
    ("limits", "after_s", "is_open"),
    [
        (Limits(rpm=3), 10, False),
        (Limits(rpm=3), 62, True),
        (Limits(tpm=90), 10, False),
        (Limits(tpm=90), 62, True),
        (Limits(min_interval_s=20), 10, False),
        (Limits(min_interval_s=20), 21, True),
        pytest.param(Limits(rpm=3), -86_400, False, id="clock set back a day"),
        pytest.param(Limits(min_interval_s=20), -86_400, False, id="clock set back a day, spacing"),
        pytest.param(Limits(rpm=3), 86_400, True, id="clock set forward a day"),
    ],
)
def test_what_was_counted_before_a_restart_counts_after_it(world, limits, after_s, is_open):
    before = gate(rpm=3, tpm=90, min_interval_s=0)
    before.set_limits(limits)
    for _ in range(3 if limits.rpm or limits.tpm else 1):
        world.enter(before, tokens=30)
    saved = before.dump(1_800_000_000.0 - world.clock.monotonic())
    again, fresh = reloaded(saved, limits, after_s=after_s)
    assert isinstance(again.enter(fresh, tokens=30), Pass) is is_open


def test_a_clock_set_back_keeps_nothing_shut_for_longer_than_usual(world):
    before = gate(rpm=1, min_interval_s=10)
    world.enter(before)
    saved = before.dump(1_800_000_000.0 - world.clock.monotonic())
    again, fresh = reloaded(saved, Limits(rpm=1, min_interval_s=10), after_s=-1e6)
    assert again.left_s(again.enter(fresh)) <= 61
