import pytest

from omniroute.api import RouteContext, Standing, Target
from omniroute.testing import check_strategy
from omniroute_strategy_canary import Canary, Options

OLD, NEW = (Target(provider="p", model=name) for name in ("old", "new"))


def test_it_passes_the_check_every_strategy_must_pass():
    check_strategy(Canary)


@pytest.mark.parametrize(
    ("drawn", "error_rate", "first"),
    [
        pytest.param(0.04, 0.0, NEW, id="within the share"),
        pytest.param(0.05, 0.0, OLD, id="beyond it"),
        pytest.param(0.04, 0.3, OLD, id="it fails too often"),
    ],
)
def test_the_canary_gets_its_share_while_it_does_well(drawn, error_rate, first):
    standing = {OLD: Standing(), NEW: Standing(error_rate=error_rate)}
    context = RouteContext(combo="c", session=None, now_s=0.0, draw=lambda: drawn, standing=standing)
    assert Canary(Options()).order([OLD, NEW], context)[0] == first
