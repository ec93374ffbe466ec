import itertools

import msgspec
import pytest

from omniroute.api import RouteContext, Target
from omniroute.testing import check_strategy
from omniroute_strategy_random import Options, Random, register_strategies

A, B, C = TARGETS = tuple(Target(provider="p", model=name) for name in "abc")


def order(targets, *draws):
    context = RouteContext(combo="fast", session=None, now_s=0.0, draw=iter(draws).__next__)
    return list(Random(Options()).order(targets, context))


@pytest.mark.parametrize(
    ("draws", "expected"),
    [
        pytest.param((0.0, 0.0), [B, C, A], id="lowest"),
        pytest.param((0.999, 0.999), [A, B, C], id="highest: nothing moves"),
        pytest.param((0.0, 0.999), [C, B, A], id="one exchange"),
    ],
)
def test_draws_decide_the_order(draws, expected):
    assert order(TARGETS, *draws) == expected


def test_each_order_is_as_likely_as_any_other():
    thirds, halves = (1 / 6, 3 / 6, 5 / 6), (1 / 4, 3 / 4)
    orders = {tuple(order(TARGETS, *draws)) for draws in itertools.product(thirds, halves)}
    assert orders == set(itertools.permutations(TARGETS))


def test_a_single_target_needs_no_draw():
    assert order([A]) == [A]


def test_any_option_is_refused():
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"seed": 3}, Options)


def test_it_is_what_the_kernel_expects_of_a_strategy():
    [strategy] = register_strategies()
    assert strategy.name == "random"
    check_strategy(strategy)
