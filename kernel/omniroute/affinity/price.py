"""Is it worth leaving a warm prompt cache? Arithmetic on what both ways are expected to cost; a pure function."""

import msgspec

from omniroute.contracts import Price
from omniroute.standing import fresh_usd

__all__ = ["Side", "Weighed", "weigh"]

TOKENS = 1_000_000
"""Prices are per so many."""
SCARCE_QUOTA = 0.05
"""Below this share of its quota an account is ever less likely to serve the next request."""
LEAST_CHANCE = 0.01
"""Keeps the expected cost a number."""


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of two ways, as far as it is known."""

    price: Price | None
    error_rate: float = 0.0
    """Share of attempts that fail, 0 to 1."""
    quota_left: float | None = None
    """Share of the account's quota, 0 to 1."""


class Weighed(msgspec.Struct, frozen=True, kw_only=True):
    stays: bool
    reason: str
    warm_usd: float | None = None
    """Expected cost of the prompt where the conversation is; None is unknown."""
    cold_usd: float | None = None
    """Expected cost of the prompt at the other place, which has nothing of it in its cache."""


def weigh(here: Side, there: Side, *, input_tokens: int, warm_tokens: int) -> Weighed:
    """`warm_tokens` of the `input_tokens` were sent `here` before. Where a price is unknown the conversation stays.

    A prompt that fails is paid for again elsewhere, so what each way costs is divided by its chance to work: an account that
    mostly fails, or is about to run out, is no bargain.
    """
    warm_usd = _warm(here, input_tokens, min(warm_tokens, input_tokens))
    cold_usd = _cold(there, input_tokens)
    if warm_usd is None or cold_usd is None:
        return Weighed(stays=True, reason="a price is unknown", warm_usd=warm_usd, cold_usd=cold_usd)
    stays = warm_usd <= cold_usd
    reason = "staying costs no more" if stays else "leaving costs less"
    return Weighed(stays=stays, reason=reason, warm_usd=warm_usd, cold_usd=cold_usd)


def _warm(side: Side, input_tokens: int, warm_tokens: int) -> float | None:
    rate = fresh_usd(side.price)
    if rate is None or side.price is None or side.price.cached_usd is None:
        return None
    return _expected(side, (input_tokens - warm_tokens) * rate + warm_tokens * side.price.cached_usd)


def _cold(side: Side, input_tokens: int) -> float | None:
    rate = fresh_usd(side.price)
    return None if rate is None else _expected(side, input_tokens * rate)


def _expected(side: Side, token_dollars: float) -> float:
    headroom = 1.0 if side.quota_left is None else min(1.0, side.quota_left / SCARCE_QUOTA)
    return token_dollars / TOKENS / max(LEAST_CHANCE, (1.0 - side.error_rate) * headroom)
