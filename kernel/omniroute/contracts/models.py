"""What is known of a model, and how it is listed."""

from typing import Literal

import msgspec

__all__ = [
    "ListedModel",
    "ModelFacts",
    "Price",
    "TimeoutFacts",
]


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars per million tokens; None is unknown, 0 is free."""

    input_usd: float | None = None
    output_usd: float | None = None
    cached_usd: float | None = None
    cache_write_usd: float | None = None
    cache_write_1h_usd: float | None = None
    """Of what is kept for an hour, where that has a price of its own."""
    reasoning_usd: float | None = None
    as_of: str | None = None
    """Date or release the figures are from."""


class TimeoutFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Overrides of `[timeouts]`; None leaves the setting as it is, 0 switches the clock off."""

    connect_s: float | None = None
    first_byte_s: float | None = None
    idle_s: float | None = None
    total_s: float | None = None

    def over(self, wider: "TimeoutFacts") -> "TimeoutFacts":
        """These, and where they say nothing those of `wider`."""
        return TimeoutFacts(
            connect_s=wider.connect_s if self.connect_s is None else self.connect_s,
            first_byte_s=wider.first_byte_s if self.first_byte_s is None else self.first_byte_s,
            idle_s=wider.idle_s if self.idle_s is None else self.idle_s,
            total_s=wider.total_s if self.total_s is None else self.total_s,
        )


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
    refuses_system: bool = False
    """It takes no system text: that is put into the user's first turn, under a heading of its own."""
    drops: tuple[str, ...] = ()
    """Canonical sampling fields the upstream refuses for this model: `temperature`, `top_p`, `top_k`, `seed`, …"""
    timeouts: TimeoutFacts = TimeoutFacts()
    """Where they differ from the provider's: a model that thinks for minutes."""


class ListedModel(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `GET /v1/models`. What nobody knows is None and left out of the answer, never guessed."""

    id: str
    """As a client may ask for it: `prefix/model`, or a combo's or alias's name."""
    provider: str
    name: str | None = None
    created_s: int | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    capabilities: tuple[str, ...] = ()
    """As `ModelFacts.capabilities`."""
    price: Price | None = None
    kind: Literal["model", "combo", "alias"] = "model"
