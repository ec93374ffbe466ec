import msgspec
import pytest

from omniroute.api import RouteContext, Target
from omniroute.testing import check_strategy
from omniroute_strategy_roundrobin import Options, RoundRobin, register_strategies

A, B, C = (Target(provider="p", model=name) for name in "abc")
CONTEXT = RouteContext(combo="fast", session=None, now_s=0.0)


@pytest.mark.parametrize(
    ("options", "starts"),
    [
        pytest.param(Options(), [A, B, C, A], id="one step"),
        pytest.param(Options(stride=2), [A, C, B, A], id="two steps"),
        pytest.param(Options(stride=3), [A, A, A, A], id="a full turn stays put"),
        pytest.param(Options(sticky=2), [A, A, B, B, C, C, A], id="two in a row"),
        pytest.param(Options(stride=2, sticky=3), [A, A, A, C, C, C, B], id="three in a row, two steps"),
    ],
)
def test_order_starts_where_the_last_turn_left_off(options, starts):
    strategy = RoundRobin(options)
    assert [strategy.order([A, B, C], CONTEXT)[0] for _ in starts] == starts


def test_accounts_are_kept_for_three_requests_unless_the_options_say_otherwise():
    one, two = (Target(provider="p", model="m", account=name) for name in ("one", "two"))
    by_default, told = RoundRobin(Options()), RoundRobin(Options(sticky=1))
    assert [by_default.order([one, two], CONTEXT)[0] for _ in range(7)] == [one, one, one, two, two, two, one]
    assert [told.order([one, two], CONTEXT)[0] for _ in range(3)] == [one, two, one]


def test_the_rest_follows_in_the_order_of_the_list():
    strategy = RoundRobin(Options())
    assert [strategy.order([A, B, C], CONTEXT) for _ in range(3)] == [[A, B, C], [B, C, A], [C, A, B]]


def test_turns_go_on_when_targets_come_and_go():
    strategy = RoundRobin(Options())
    assert [strategy.order(targets, CONTEXT)[0] for targets in ([A, B, C], [A, C], [A, B, C], [B])] == [A, C, C, B]


def test_two_combos_take_turns_of_their_own():
    one, other = RoundRobin(Options()), RoundRobin(Options())
    one.order([A, B], CONTEXT)
    assert other.order([A, B], CONTEXT) == [A, B]


@pytest.mark.parametrize("options", [{"sticky": 0}, {"stride": 0}, {"sticky": 1.5}, {"stick": 2}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, Options)


def test_it_is_what_the_kernel_expects_of_a_strategy():
    [strategy] = register_strategies()
    assert strategy.name == "round-robin"
    check_strategy(strategy)
