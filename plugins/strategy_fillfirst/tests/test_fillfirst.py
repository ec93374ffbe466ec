import msgspec
import pytest

from omniroute.api import Outcome, RouteContext, Target
from omniroute.testing import check_strategy
from omniroute_strategy_fillfirst import FillFirst, Options, register_strategies

A, B, C = (Target(provider="p", model="m", account=name) for name in "abc")
CONTEXT = RouteContext(combo="fast", session=None, now_s=0.0)


@pytest.mark.parametrize("targets", [[A], [A, B, C], [C, A, B]])
def test_order_is_the_list_every_time(targets):
    strategy = FillFirst(Options())
    assert [list(strategy.order(targets, CONTEXT)) for _ in range(3)] == [targets] * 3


def test_a_failure_moves_nothing_because_the_kernel_leaves_cooling_targets_out():
    strategy = FillFirst(Options())
    strategy.observe(Outcome(target=A, ok=False, error="rate_limit_exceeded"))
    assert list(strategy.order([A, B], CONTEXT)) == [A, B]


def test_any_option_is_refused():
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"sticky": 3}, Options)


def test_it_is_what_the_kernel_expects_of_a_strategy():
    [strategy] = register_strategies()
    assert strategy.name == "fill-first"
    check_strategy(strategy)
