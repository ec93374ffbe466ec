import msgspec
import pytest

from omniroute.api import RouteContext, Standing, Target
from omniroute.testing import check_strategy
from omniroute_strategy_headroom import Headroom, Options, register_strategies

A, B, C = TARGETS = tuple(Target(provider="p", model="m", account=name) for name in "abc")
NOW_S = 1000.0
MINUTE_S, DAY_S = 60.0, 86_400.0


def quota(left, resets_in_s=None):
    return Standing(quota_left=left, quota_resets_s=None if resets_in_s is None else NOW_S + resets_in_s)


@pytest.mark.parametrize(
    ("standing", "expected"),
    [
        pytest.param(
            (quota(0.8, 5 * DAY_S), quota(0.2, 10 * MINUTE_S), quota(0.5, DAY_S)), [B, C, A], id="lapses soonest"
        ),
        pytest.param((quota(0.3, DAY_S), quota(0.9, DAY_S), quota(0.5, DAY_S)), [B, C, A], id="same day: most left"),
        pytest.param((Standing(), quota(0.1, 5 * DAY_S), quota(0.0, DAY_S)), [B, A, C], id="known, unknown, empty"),
        pytest.param((quota(0.0, DAY_S), quota(0.05, MINUTE_S), quota(0.06, DAY_S)), [C, B, A], id="threshold"),
        pytest.param(
            (quota(0.5, DAY_S), quota(0.0, -1), quota(0.0, DAY_S)), [A, B, C], id="a reset that is past fills it"
        ),
        pytest.param((quota(0.5), quota(0.4, DAY_S), quota(0.6)), [B, C, A], id="no word of a reset is a week"),
        pytest.param((quota(0.9, 0.001), quota(1.0, 0.5), quota(0.5, 0.2)), [B, A, C], id="within a second: most left"),
        pytest.param((Standing(), Standing(), Standing()), [A, B, C], id="nothing known: the list"),
    ],
)
def test_quota_that_lapses_soonest_is_spent_first(standing, expected):
    context = RouteContext(combo="", session=None, now_s=NOW_S, standing=dict(zip(TARGETS, standing, strict=True)))
    assert list(Headroom(Options()).order(TARGETS, context)) == expected


def test_the_threshold_is_an_option():
    standing = {A: quota(0.3, MINUTE_S), B: quota(0.5, DAY_S)}
    context = RouteContext(combo="", session=None, now_s=NOW_S, standing=standing)
    assert list(Headroom(Options(threshold=0.4)).order([A, B], context)) == [B, A]


@pytest.mark.parametrize("options", [{"threshold": -0.1}, {"threshold": 5}, {"treshold": 0.1}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, Options)


def test_it_is_what_the_kernel_expects_of_a_strategy():
    [strategy] = register_strategies()
    assert strategy.name == "headroom"
    check_strategy(strategy)
