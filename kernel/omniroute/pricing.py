"""What an answer has cost: its tokens, each share at its own price. US dollars; None is unknown, never a guess, 0 is free."""

from omniroute.contracts import Price
from omniroute.model import Usage

__all__ = ["cost_usd"]

MILLION = 1_000_000


def cost_usd(price: Price | None, usage: Usage | None) -> float | None:
    """None when tokens were used that nobody knows the price of: what a cache held costs less than the rest, and what is
    written to it more, by how much is the vendor's to say. Thinking without a price of its own is charged as output."""
    if price is None or usage is None:
        return None
    fresh = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
    thinking_usd = price.output_usd if price.reasoning_usd is None else price.reasoning_usd
    shares = (
        (fresh, price.input_usd),
        (usage.cached_tokens, price.cached_usd),
        (usage.cache_write_tokens - usage.cache_write_1h_tokens, price.cache_write_usd),
        (usage.cache_write_1h_tokens, price.cache_write_1h_usd),
        (usage.output_tokens - usage.reasoning_tokens, price.output_usd),
        (usage.reasoning_tokens, thinking_usd),
    )
    total = 0.0
    for tokens, usd in shares:
        if tokens > 0:
            if usd is None:
                return None
            total += tokens * usd
    return total / MILLION
