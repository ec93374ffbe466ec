"""What a request would cost at most by a model's prices. US dollars; None is unknown, 0 is free."""

import msgspec

from omniroute.contracts import Price

__all__ = ["Predicted", "predicted"]

MILLION = 1_000_000


class Predicted(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt would cost, without any cache."""

    input_usd: float | None
    output_usd: float | None
    """At most: for all the output that the request allows. Unknown when it names no limit."""
    total_usd: float | None
    """At most; only where both are known."""


def predicted(price: Price | None, input_tokens: int, max_output_tokens: int | None) -> Predicted:
    price = price or Price()
    output_tokens = 0 if price.output_usd == 0 else max_output_tokens
    input_usd = _of(input_tokens, price.input_usd)
    output_usd = None if output_tokens is None else _of(output_tokens, price.output_usd)
    total_usd = None if input_usd is None or output_usd is None else input_usd + output_usd
    return Predicted(input_usd=input_usd, output_usd=output_usd, total_usd=total_usd)


def _of(tokens: int, usd: float | None) -> float | None:
    return None if usd is None else tokens * usd / MILLION
