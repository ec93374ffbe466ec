import msgspec
import pytest

from omniroute.api import RouteContext, Standing, Target
from omniroute.testing import check_strategy
from omniroute_strategy_latency import LowestLatency, Options, register_strategies

A, B, C = TARGETS = tuple(Target(provider="p", model=name) for name in "abc")
NOW_S = 1000.0
NEW = Standing()
ASKED = Standing(requests=1, in_flight=1, last_used_s=999.0)
DEAD = Standing(requests=4, failures=4, last_used_s=990.0, error_rate=0.6)
FAST = Standing(requests=9, last_used_s=995.0, latency_s=0.3)
SLOW = Standing(requests=9, last_used_s=995.0, latency_s=4.0)
LONG_AGO = Standing(requests=9, last_used_s=600.0, latency_s=9.0)


def order(*standing, retry_s=300.0):
    context = RouteContext(combo="fast", session=None, now_s=NOW_S, standing=dict(zip(TARGETS, standing, strict=True)))
    return list(LowestLatency(Options(retry_s=retry_s)).order(TARGETS, context))


@pytest.mark.parametrize(
    ("standing", "expected"),
    [
        pytest.param((NEW, NEW, NEW), [A, B, C], id="nothing known: the list"),
        pytest.param((SLOW, FAST, SLOW), [B, A, C], id="the fastest"),
        pytest.param((FAST, SLOW, NEW), [C, A, B], id="an untried one first"),
        pytest.param((ASKED, SLOW, FAST), [C, B, A], id="once: it was asked, and has not answered yet"),
        pytest.param((DEAD, ASKED, SLOW), [C, A, B], id="of those without an answer, the one asked longest ago"),
        pytest.param((FAST, SLOW, LONG_AGO), [C, A, B], id="what was slow long ago is tried again"),
    ],
)
def test_the_fastest_comes_first_and_the_unknown_is_tried_once(standing, expected):
    assert order(*standing) == expected


def test_trying_again_can_be_switched_off():
    assert order(FAST, LONG_AGO, SLOW, retry_s=0.0) == [A, C, B]


@pytest.mark.parametrize("options", [{"retry_s": -1}, {"retry": 3}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, Options)


def test_it_is_what_the_kernel_expects_of_a_strategy():
    [strategy] = register_strategies()
    assert strategy.name == "lowest-latency"
    check_strategy(strategy)
