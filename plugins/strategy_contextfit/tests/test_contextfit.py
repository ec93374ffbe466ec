import msgspec
import pytest

from omniroute.api import RouteContext, Standing, Target
from omniroute.testing import check_strategy
from omniroute_strategy_contextfit import ContextFit, Options, register_strategies

A, B, C, D = TARGETS = tuple(Target(provider="p", model=name) for name in "abcd")
WINDOWS = dict(zip(TARGETS, (1_000_000, 32_000, None, 200_000), strict=True))


def order(estimate, **options):
    standing = {target: Standing(context_tokens=window) for target, window in WINDOWS.items()}
    context = RouteContext(combo="", session=None, now_s=0.0, standing=standing, input_tokens_estimate=estimate)
    return list(ContextFit(Options(**options)).order(TARGETS, context))


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        pytest.param(1_000, [B, D, A, C], id="all fit: the smallest"),
        pytest.param(27_904, [B, D, A, C], id="just fits with room for the answer"),
        pytest.param(27_905, [D, A, C, B], id="too small is last"),
        pytest.param(500_000, [A, C, D, B], id="of those too small, the largest first"),
        pytest.param(5_000_000, [C, A, D, B], id="nothing fits: the unknown one may"),
        pytest.param(None, [A, B, C, D], id="no estimate: the list"),
    ],
)
def test_the_smallest_window_that_fits_comes_first(estimate, expected):
    assert order(estimate) == expected


def test_the_room_for_the_answer_is_an_option():
    assert order(27_905, reserve_tokens=0) == [B, D, A, C]


@pytest.mark.parametrize("options", [{"reserve_tokens": -1}, {"reserve_tokens": 0.5}, {"reserve": 3}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, Options)


def test_it_is_what_the_kernel_expects_of_a_strategy():
    [strategy] = register_strategies()
    assert strategy.name == "context-fit"
    check_strategy(strategy)
