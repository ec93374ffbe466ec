import pytest

from omniroute.api import Price, Usage
from omniroute.pricing import cost_usd

PRICE = Price(input_usd=3, output_usd=15, cached_usd=0.3, cache_write_usd=3.75, cache_write_1h_usd=6)
BARE = Price(input_usd=3, output_usd=15)
K = 1_000


@pytest.mark.parametrize(
    ("price", "usage", "usd"),
    [
        pytest.param(PRICE, Usage(input_tokens=100 * K, output_tokens=10 * K), 0.30 + 0.15, id="plain"),
        pytest.param(
            PRICE, Usage(input_tokens=100 * K, cached_tokens=90 * K), 0.03 + 0.027, id="a read is not fresh input"
        ),
        pytest.param(
            PRICE, Usage(input_tokens=100 * K, cache_write_tokens=100 * K), 0.375, id="a write is billed once"
        ),
        pytest.param(
            PRICE,
            Usage(input_tokens=100 * K, cache_write_tokens=100 * K, cache_write_1h_tokens=40 * K),
            0.225 + 0.24,
            id="an hour has its own price",
        ),
        pytest.param(PRICE, Usage(output_tokens=10 * K, reasoning_tokens=8 * K), 0.15, id="thinking is output"),
        pytest.param(
            Price(input_usd=1, output_usd=2, reasoning_usd=4),
            Usage(output_tokens=10 * K, reasoning_tokens=8 * K),
            0.004 + 0.032,
            id="thinking with a price of its own",
        ),
        pytest.param(BARE, Usage(input_tokens=100 * K), 0.30, id="what was not used needs no price"),
        pytest.param(BARE, Usage(input_tokens=100 * K, cached_tokens=1), None, id="a read nobody knows the price of"),
        pytest.param(BARE, Usage(input_tokens=100 * K, cache_write_tokens=1), None, id="a write of unknown price"),
        pytest.param(
            Price(input_usd=3, output_usd=15, cache_write_usd=3.75),
            Usage(input_tokens=10, cache_write_tokens=10, cache_write_1h_tokens=1),
            None,
            id="an hour is not billed as five minutes",
        ),
        pytest.param(Price(), Usage(input_tokens=1), None, id="no price"),
        pytest.param(None, Usage(input_tokens=1), None, id="nothing known"),
        pytest.param(PRICE, None, None, id="no usage"),
        pytest.param(Price(input_usd=0, output_usd=0), Usage(input_tokens=9, output_tokens=9), 0.0, id="free"),
    ],
)
def test_each_share_costs_its_own_price(price, usage, usd):
    assert cost_usd(price, usage) == (None if usd is None else pytest.approx(usd, abs=1e-12))
