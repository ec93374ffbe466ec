"""What is known of a model, and how it is listed."""

from typing import Literal

import msgspec

__all__ = [
    "ListedModel",
    "ModelFacts",
    "Price",
]


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars per million tokens; None is unknown, 0 is free."""

    input_usd: float | None = None
    output_usd: float | None = None
    cached_usd: float | None = None
    cache_write_usd: float | None = None
    reasoning_usd: float | None = None
    as_of: str | None = None
    """Date or release the figures are from."""


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one model. None and empty mean unknown."""

    id: str
    """As the upstream spells it."""
    name: str | None = None
    created_s: int | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    capabilities: tuple[str, ...] = ()
    """Of `tools`, `vision`, `reasoning`, `json_schema`, …; empty when unknown."""
    price: Price | None = None
    dialect: str | None = None
    """Where it differs from the provider's."""
    streams: Literal["asked", "always", "never"] | None = None
    """Where it differs from the provider's."""
    drops: tuple[str, ...] = ()
    """Canonical sampling fields the upstream refuses for this model: `temperature`, `top_p`, `top_k`, `seed`, …"""


class ListedModel(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `GET /v1/models`. What nobody knows is None and left out of the answer, never guessed."""

    id: str
    """As a client may ask for it: `prefix/model`, or a combo's or alias's name."""
    provider: str
    name: str | None = None
    created_s: int | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    kind: Literal["model", "combo", "alias"] = "model"
