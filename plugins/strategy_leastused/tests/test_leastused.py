import msgspec
import pytest

from omniroute.api import RouteContext, Standing, Target
from omniroute.testing import check_strategy
from omniroute_strategy_leastused import LeastUsed, Options, register_strategies

A, B, C = TARGETS = tuple(Target(provider="p", model=name) for name in "abc")


def order(options, *standing):
    context = RouteContext(combo="fast", session=None, now_s=100.0, standing=dict(zip(TARGETS, standing, strict=True)))
    return list(LeastUsed(options).order(TARGETS, context))


NEW = Standing()


def used(requests, last_used_s):
    return Standing(requests=requests, last_used_s=last_used_s)


@pytest.mark.parametrize(
    ("by", "standing", "expected"),
    [
        pytest.param("requests", (NEW, NEW, NEW), [A, B, C], id="nothing used: the list"),
        pytest.param("requests", (used(3, 1), used(1, 9), used(2, 5)), [B, C, A], id="fewest requests"),
        pytest.param("requests", (used(2, 9), used(2, 1), NEW), [C, B, A], id="as many: the one not used for longest"),
        pytest.param("time", (used(3, 1), used(1, 9), used(2, 5)), [A, C, B], id="longest ago"),
        pytest.param("time", (used(3, 1), NEW, used(2, 5)), [B, A, C], id="never is longest ago"),
    ],
)
def test_what_was_used_least_comes_first(by, standing, expected):
    assert order(Options(by=by), *standing) == expected


@pytest.mark.parametrize("options", [{"by": "tokens"}, {"bye": "time"}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, Options)


def test_it_is_what_the_kernel_expects_of_a_strategy():
    [strategy] = register_strategies()
    assert strategy.name == "least-used"
    check_strategy(strategy)
    check_strategy(strategy, Options(by="time"))
