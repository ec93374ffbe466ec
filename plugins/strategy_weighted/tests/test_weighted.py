import msgspec
import pytest

from omniroute.api import RouteContext, Target
from omniroute.testing import check_strategy
from omniroute_strategy_weighted import Options, Weighted, register_strategies

A, B, C = TARGETS = tuple(Target(provider="vendor", model=name) for name in "abc")
NAMES = {A: "v/a", B: "v/b", C: "alias"}
BELOW_ONE = 1 - 2**-53


def order(weights, draw, targets=TARGETS, names=NAMES):
    context = RouteContext(combo="fast", session=None, now_s=0.0, draw=lambda: draw, names=names)
    return list(Weighted(Options(weights=weights)).order(targets, context))


@pytest.mark.parametrize(
    ("weights", "draw", "expected"),
    [
        pytest.param({"v/a": 6, "v/b": 3, "alias": 1}, 0.0, [A, B, C], id="the first six tenths"),
        pytest.param({"v/a": 6, "v/b": 3, "alias": 1}, 0.59, [A, B, C], id="their end"),
        pytest.param({"v/a": 6, "v/b": 3, "alias": 1}, 0.61, [B, A, C], id="the next three"),
        pytest.param({"v/a": 6, "v/b": 3, "alias": 1}, 0.95, [C, A, B], id="the last one"),
        pytest.param({"v/a": 1, "v/b": 3, "alias": 6}, 0.05, [A, C, B], id="the others follow, the heaviest first"),
        pytest.param({"v/a": 8}, 0.85, [B, A, C], id="1 where nothing is said"),
        pytest.param({"v/a": 0, "v/b": 1, "alias": 0}, 0.0, [B, A, C], id="0 is never chosen"),
        pytest.param(
            {"v/a": 0, "v/b": 1, "alias": 0}, BELOW_ONE, [B, A, C], id="0 is never chosen, not even at the end"
        ),
        pytest.param({"v/a": 0, "v/b": 0, "alias": 0}, 0.5, [B, A, C], id="all 0 are equal"),
        pytest.param({"v/a": 0, "v/b": 0, "alias": 0}, BELOW_ONE, [C, A, B], id="all 0 are equal, up to the end"),
        pytest.param({"v/a": 0.1, "v/b": 0.1, "alias": 0.1}, BELOW_ONE, [C, A, B], id="fractions"),
    ],
)
def test_the_draw_falls_into_a_weight(weights, draw, expected):
    assert order(weights, draw) == expected


def test_accounts_are_weighed_by_their_id():
    accounts = [Target(provider="vendor", model="a", account=name) for name in ("home", "work")]
    assert order({"vendor/work": 100, "vendor/home": 0}, 0.0, accounts, names={}) == [accounts[1], accounts[0]]


def test_chances_are_as_the_weights_say():
    hundredths = [(at + 0.5) / 100 for at in range(100)]
    firsts = [order({"v/a": 6, "v/b": 3, "alias": 1}, draw)[0] for draw in hundredths]
    assert [firsts.count(target) for target in TARGETS] == [60, 30, 10]


@pytest.mark.parametrize("options", [{"weights": {"v/a": 101}}, {"weights": {"v/a": -1}}, {"weight": {}}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, Options)


def test_it_is_what_the_kernel_expects_of_a_strategy():
    [strategy] = register_strategies()
    assert strategy.name == "weighted"
    check_strategy(strategy)
    check_strategy(strategy, Options(weights={"p/m": 3, "q/m": 0}))
