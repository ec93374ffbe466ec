import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from omniroute.breaker import CONSECUTIVE, INSIST_S, JITTER, LONGEST_OPEN_S, MAX_CIRCUITS, OPEN_S, Breaker
from omniroute.testing import FakeClock

HERE = ("p", "http://127.0.0.1:1/v1", "m")
OTHERS = [("q", *HERE[1:]), (HERE[0], "http://127.0.0.1:2/v1", HERE[2]), (*HERE[:2], "n")]


class World:
    def __init__(self, draw=0.5):
        self.clock = FakeClock()
        self.draw = draw
        self.breaker = Breaker(clock=self.clock.monotonic, draw=lambda: self.draw)

    def is_open(self, key=HERE):
        return self.breaker.holding(key) is not None

    def fail(self, key=HERE):
        ticket = self.breaker.enter(key)
        opened = self.breaker.failed(ticket)
        self.breaker.leave(ticket)
        return opened

    def succeed(self, key=HERE):
        ticket = self.breaker.enter(key)
        self.breaker.succeeded(ticket)
        self.breaker.leave(ticket)

    def open(self):
        assert [self.fail() for _ in range(CONSECUTIVE)][-1]

    def left_s(self):
        return self.breaker.holding(HERE).due_s - self.clock.monotonic()


@pytest.fixture
def world():
    return World()


# --- opening ----------------------------------------------------------------------------------------------------------


def test_the_fifth_failure_in_a_row_opens_this_circuit_and_no_other(world):
    assert [world.fail() for _ in range(5)] == [False] * 4 + [True]
    assert world.is_open()
    assert not any(world.is_open(key) for key in OTHERS)


def test_a_success_in_between_starts_the_row_anew(world):
    for _ in range(3):
        assert not any(world.fail() for _ in range(4))
        for _ in range(8):
            world.succeed()
    assert not world.is_open()


@pytest.mark.parametrize(
    ("outcomes", "pause_s", "opens"),
    [
        ("FFS" * 6 + "F", 0, False),
        ("FFS" * 6 + "FF", 0, True),
        ("FSS" * 20, 0, False),
        ("FFS" * 30, 2, False),
        ("FFS" * 30, 1, True),
    ],
    ids=["19 requests", "20 requests", "a third of them", "too slow to be 20 in 30 s", "all in 30 s"],
)
def test_more_than_half_of_twenty_in_thirty_seconds_open_it(world, outcomes, pause_s, opens):
    for outcome in outcomes:
        (world.fail if outcome == "F" else world.succeed)()
        if world.is_open():
            break
        world.clock.advance(pause_s)
    assert world.is_open() is opens


def test_what_was_under_way_when_it_opened_opens_it_no_second_time(world):
    tickets = [world.breaker.enter(HERE) for _ in range(50)]
    assert sum(world.breaker.failed(ticket) for ticket in tickets) == 1
    assert world.left_s() == OPEN_S


def test_what_was_under_way_when_it_opened_does_not_close_it_either(world):
    old = world.breaker.enter(HERE)
    world.open()
    world.breaker.succeeded(old)
    assert world.is_open()


# --- how long ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("draw", "factor"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)])
def test_each_time_in_a_row_it_stays_open_for_longer(draw, factor):
    world = World(draw)
    world.open()
    seen = []
    for _ in range(12):
        seen.append(world.left_s())
        world.clock.advance(seen[-1])
        assert not world.is_open()
        assert world.fail()
    assert seen == pytest.approx([min(30 * n, 300) * factor for n in range(1, 13)])


def test_a_success_closes_it_and_forgets_how_often_it_opened(world):
    world.open()
    world.clock.advance(OPEN_S)
    world.fail()
    world.clock.advance(2 * OPEN_S)
    world.succeed()
    assert not world.is_open()
    assert len(world.breaker) == 0
    world.open()
    assert world.left_s() == OPEN_S


# --- half-open --------------------------------------------------------------------------------------------------------


def test_half_open_lets_one_of_fifty_through(world):
    world.open()
    world.clock.advance(OPEN_S)
    entered = [world.breaker.enter(HERE) for _ in range(50) if not world.is_open()]
    assert len(entered) == 1
    world.breaker.succeeded(entered[0])
    world.breaker.leave(entered[0])
    assert not world.is_open()


def test_a_probe_that_ends_without_a_verdict_leaves_the_place_to_the_next(world):
    world.open()
    world.clock.advance(OPEN_S)
    world.breaker.leave(world.breaker.enter(HERE))
    assert not world.is_open()


def test_who_has_nothing_else_may_insist_now_and_then(world):
    """P29: a dead port is not asked in a tight loop."""
    world.open()
    tries = 0
    for _ in range(290):
        if world.breaker.may_insist(world.breaker.holding(HERE)):
            tries += 1
            world.fail()
        world.clock.advance(0.1)
    assert tries == 29 // INSIST_S
    assert world.is_open()
    world.clock.advance(1.1)
    assert not world.is_open()


def test_an_insisting_request_that_succeeds_closes_it_early(world):
    world.open()
    world.clock.advance(INSIST_S)
    assert world.breaker.may_insist(world.breaker.holding(HERE))
    world.succeed()
    assert not world.is_open()


# --- streams, whose end comes later -----------------------------------------------------------------------------------


def begin_stream(world):
    ticket = world.breaker.enter(HERE)
    world.breaker.answered(ticket)
    world.breaker.leave(ticket)
    return ticket


def test_streams_that_break_after_they_began_are_failures_in_a_row(world):
    seen = [world.breaker.failed(begin_stream(world)) for _ in range(CONSECUTIVE)]
    assert seen == [False] * (CONSECUTIVE - 1) + [True]


def test_a_stream_that_ends_well_starts_the_row_anew(world):
    for _ in range(3):
        for _ in range(CONSECUTIVE - 1):
            assert not world.breaker.failed(begin_stream(world))
        world.breaker.succeeded(begin_stream(world))
    assert not world.is_open()


def test_a_probe_s_first_content_lets_others_pass_and_its_bad_end_opens_it_for_longer(world):
    world.open()
    world.clock.advance(OPEN_S)
    probe = begin_stream(world)
    assert not world.is_open()
    assert world.breaker.failed(probe)
    assert world.left_s() == 2 * OPEN_S
    world.clock.advance(2 * OPEN_S)
    world.breaker.succeeded(begin_stream(world))
    assert len(world.breaker) == 0


def test_a_stream_that_its_client_left_says_nothing(world):
    world.open()
    world.clock.advance(OPEN_S)
    begin_stream(world)
    assert not world.is_open()
    assert world.fail()


def test_what_began_before_it_opened_neither_opens_nor_closes_it_at_its_end(world):
    old = [begin_stream(world) for _ in range(2)]
    world.open()
    assert not world.breaker.failed(old[0])
    world.breaker.succeeded(old[1])
    world.breaker.answered(old[1])
    assert world.is_open()


# --- memory -----------------------------------------------------------------------------------------------------------


def test_successes_alone_are_not_remembered(world):
    world.succeed()
    assert len(world.breaker) == 0


def test_a_circuit_that_is_well_again_is_forgotten(world):
    world.fail()
    world.clock.advance(31)
    world.succeed()
    assert len(world.breaker) == 0


def test_circuits_do_not_pile_up(world):
    for number in range(MAX_CIRCUITS + 50):
        world.fail(("p", "u", f"made-up-{number}"))
    assert len(world.breaker) <= MAX_CIRCUITS


# --- any order of events ----------------------------------------------------------------------------------------------


class AnyOrder(RuleBasedStateMachine):
    """Requests that begin, end and overlap as they like, and time that passes."""

    def __init__(self):
        super().__init__()
        self.world = World()
        self.under_way = []
        self.in_a_row = 0
        self.fresh_failures = 0

    @property
    def breaker(self):
        return self.world.breaker

    @rule(seconds=st.sampled_from([0.5, 5.0, 29.0, 30.0, 90.0, 301.0]))
    def time_passes(self, seconds):
        self.world.clock.advance(seconds)

    @precondition(lambda self: not self.world.is_open())
    @rule()
    def begin(self):
        self.under_way.append(self.breaker.enter(HERE))

    @precondition(lambda self: self.world.is_open())
    @rule()
    def insist(self):
        if self.breaker.may_insist(self.breaker.holding(HERE)):
            self.under_way.append(self.breaker.enter(HERE))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def answer(self, data):
        self.breaker.answered(data.draw(st.sampled_from(self.under_way)))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), outcome=st.sampled_from(["ok", "failed", "left"]))
    def end(self, data, outcome):
        ticket = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        was_open = self.world.is_open()
        if outcome == "ok":
            self.breaker.succeeded(ticket)
        elif outcome == "failed":
            opened = self.breaker.failed(ticket)
            assert not (opened and was_open and not ticket.is_probe)
        self.breaker.leave(ticket)
        if ticket.is_probe and outcome == "ok" and not self.has_opened_since(ticket):
            assert not self.world.is_open()

    def has_opened_since(self, ticket):
        """Its answer had begun and let others pass, and one of them failed."""
        circuit = self.breaker.circuits.get(HERE)
        return circuit is not None and circuit.opened > ticket.opened

    @precondition(lambda self: not self.under_way and not self.world.is_open())
    @rule()
    def a_row_of_failures_always_opens_it(self):
        for _ in range(CONSECUTIVE):
            if not self.world.is_open():
                self.world.fail()
        assert self.world.is_open()

    @invariant()
    def at_most_one_probe_is_under_way(self):
        assert sum(ticket.is_probe for ticket in self.under_way) <= 1

    @invariant()
    def it_is_never_open_for_longer_than_the_longest(self):
        circuit = self.breaker.holding(HERE)
        if circuit is not None:
            assert circuit.due_s - self.world.clock.monotonic() <= LONGEST_OPEN_S * (1 + JITTER)

    @invariant()
    def with_nothing_under_way_it_is_open_only_until_it_is_due(self):
        circuit = self.breaker.holding(HERE)
        if circuit is not None and not self.under_way:
            assert circuit.due_s > self.world.clock.monotonic()


AnyOrder.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestAnyOrder = AnyOrder.TestCase
