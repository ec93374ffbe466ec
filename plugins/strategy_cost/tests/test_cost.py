import msgspec
import pytest

from omniroute.api import RouteContext, Standing, Target
from omniroute.testing import check_strategy
from omniroute_strategy_cost import CostOptimized, Options, register_strategies

A, B, C = TARGETS = tuple(Target(provider="p", model=name) for name in "abc")


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        pytest.param([(3, 15), (0.5, 2), (1, 4)], [B, C, A], id="ascending input price"),
        pytest.param([(3, 15), (None, None), (1, 4)], [C, A, B], id="unknown is last"),
        pytest.param([(None, 0), (0, 0), (1, 0)], [B, C, A], id="free is first, unknown is not free"),
        pytest.param([(3, 15), (3, 5), (3, None)], [B, A, C], id="equal input: by output"),
        pytest.param([(3, 15), (3, 15), (3, 15)], [A, B, C], id="equal: the list"),
        pytest.param([(None, None)] * 3, [A, B, C], id="nothing known: the list"),
    ],
)
def test_the_cheapest_comes_first(prices, expected):
    standing = {
        target: Standing(input_usd=input_usd, output_usd=output_usd)
        for target, (input_usd, output_usd) in zip(TARGETS, prices, strict=True)
    }
    context = RouteContext(combo="cheap", session=None, now_s=0.0, standing=standing)
    assert list(CostOptimized(Options()).order(TARGETS, context)) == expected


def test_any_option_is_refused():
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"max_usd": 3}, Options)


def test_it_is_what_the_kernel_expects_of_a_strategy():
    [strategy] = register_strategies()
    assert strategy.name == "cost-optimized"
    check_strategy(strategy)
