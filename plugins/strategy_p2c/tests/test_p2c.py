import msgspec
import pytest

from omniroute.api import RouteContext, Standing, Target
from omniroute.testing import check_strategy
from omniroute_strategy_p2c import Options, PowerOfTwo, register_strategies

A, B, C, D = TARGETS = tuple(Target(provider="p", model=name) for name in "abcd")
IDLE, BUSY, FULL = Standing(), Standing(in_flight=2), Standing(in_flight=9)
FAILING, FLAKY = Standing(error_rate=1.0), Standing(error_rate=0.1)


def order(targets, draws, options=None, **standing):
    context = RouteContext(
        combo="fast",
        session=None,
        now_s=0.0,
        draw=iter(draws).__next__,
        standing={target: standing.get(target.model, IDLE) for target in targets},
    )
    return list(PowerOfTwo(options or Options()).order(targets, context))


@pytest.mark.parametrize(
    ("draws", "standing", "expected"),
    [
        pytest.param((0.0, 0.0), {}, [A, B, C, D], id="equals: the first drawn"),
        pytest.param((0.99, 0.99), {}, [D, C, A, B], id="the highest draws"),
        pytest.param((0.3, 0.0), {}, [B, A, C, D], id="the second is any but the first, below it"),
        pytest.param((0.3, 0.4), {}, [B, C, A, D], id="the second is any but the first, above it"),
        pytest.param((0.0, 0.7), {"a": BUSY}, [D, A, B, C], id="the idle one of the two"),
        pytest.param((0.0, 0.0), {"a": FULL, "b": BUSY}, [B, A, C, D], id="fewer in flight, though others have none"),
        pytest.param((0.0, 0.0), {"a": FAILING, "b": FULL}, [B, A, C, D], id="nine in flight are better than failing"),
        pytest.param(
            (0.0, 0.0), {"a": FLAKY, "b": BUSY}, [A, B, C, D], id="a failure now and then is better than busy"
        ),
    ],
)
def test_the_better_one_of_two_that_were_drawn_comes_first(draws, standing, expected):
    assert order(TARGETS, draws, **standing) == expected


def test_how_much_failures_weigh_is_an_option():
    assert order([A, B], (0.0, 0.0), Options(failing_weighs=1), a=FAILING, b=BUSY) == [A, B]


def test_a_single_target_needs_no_draw():
    assert order([A], ()) == [A]


@pytest.mark.parametrize("options", [{"failing_weighs": -1}, {"failing": 2}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, Options)


def test_it_is_what_the_kernel_expects_of_a_strategy():
    [strategy] = register_strategies()
    assert strategy.name == "p2c"
    check_strategy(strategy)
