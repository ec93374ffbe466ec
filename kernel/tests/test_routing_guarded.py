"""A strategy that fails costs its own order only, and is asked no more when it does so again and again."""

import copy

import msgspec
import pytest

from omniroute.api import Outcome, RouteContext, Target
from omniroute.routing.guarded import FAILURES, WINDOW_S, Guarded

TARGETS = tuple(Target(provider="p", model=model) for model in "abc")
CONTEXT = RouteContext(combo="c", session=None, now_s=0.0)


class Fickle:
    """Turns the list round while it is well."""

    name = "fickle"
    options_type = msgspec.Struct

    def __init__(self):
        self.is_well = True
        self.asked = 0

    def order(self, targets, context):
        self.asked += 1
        if not self.is_well:
            raise ZeroDivisionError
        return targets[::-1]

    def observe(self, outcome):
        self.order((), None)


class World:
    def __init__(self):
        self.now_s = 0.0
        self.strategy = Fickle()
        self.guarded = Guarded(self.strategy, "a-plugin")

    def order(self):
        return self.guarded.order(TARGETS, msgspec.structs.replace(CONTEXT, now_s=self.now_s))

    def fail(self, times=1, every_s=0.0):
        self.strategy.is_well = False
        for _ in range(times):
            assert self.order() is TARGETS
            self.now_s += every_s
        self.strategy.is_well = True

    def is_asked(self):
        before = self.strategy.asked
        order = self.order()
        assert (order is TARGETS) != (order == TARGETS[::-1])
        return self.strategy.asked == before + 1


@pytest.fixture
def world():
    return World()


def test_one_that_is_well_is_asked(world):
    assert (world.is_asked(), world.guarded.name, world.guarded.options_type) == (True, "fickle", msgspec.Struct)


def test_the_fifth_failure_in_a_minute_is_the_last(world):
    world.fail(FAILURES - 1)
    assert world.is_asked()
    world.fail()
    assert world.guarded.is_off
    world.now_s += 10 * WINDOW_S
    assert not world.is_asked()


def test_failures_now_and_then_switch_nothing_off(world):
    world.fail(50, every_s=WINDOW_S / (FAILURES - 1) + 0.1)
    assert world.is_asked()


def test_what_it_raises_when_it_is_told_an_outcome_counts_as_well(world):
    world.strategy.is_well = False
    for _ in range(2 * FAILURES):
        world.guarded.observe(Outcome(target=TARGETS[0], ok=True))
    assert world.strategy.asked == FAILURES


def test_a_copy_s_failures_are_its_own(world):
    world.strategy.is_well = False
    rehearsed = copy.deepcopy(world.guarded)
    for _ in range(FAILURES):
        rehearsed.order(TARGETS, CONTEXT)
    assert (rehearsed.is_off, world.guarded.is_off) == (True, False)
