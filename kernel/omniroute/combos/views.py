"""What is told of combos. Values only; a command in another process reads them from JSON."""

import msgspec

from omniroute.contracts import Tier
from omniroute.routing.terms import Terms

__all__ = ["ComboMetrics", "ComboTarget", "ComboTest", "ComboView", "Measures", "TargetMetrics", "TargetTest"]


class ComboTarget(msgspec.Struct, frozen=True, kw_only=True):
    """One account at which a combo can be served, or an entry that leads nowhere."""

    name: str
    """As a client may ask for the model alone: `prefix/model`."""
    account: str = ""
    tier: Tier | None = None
    """How its provider is paid for."""
    problem: str | None = None
    """Why nobody serves it."""


class ComboView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    label: str
    strategy: str
    models: tuple[str, ...]
    """As they are written."""
    targets: tuple[ComboTarget, ...]
    """All of them, those of inner combos too, in the order they are written in."""
    terms: Terms


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """What this process has seen; `requests`, `failures` and `in_flight` of all gateways that share a `Fast`."""

    requests: int
    """Attempts that were sent."""
    failures: int
    error_rate: float
    """Share that fails, 0 to 1, the last ones weighing most."""
    in_flight: int
    latency_p50_s: float | None
    """To the first content, of the last 64 that came to one; None when none did."""
    latency_p95_s: float | None
    last_used_s: float | None
    """Seconds ago."""


class TargetMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """A target counts what came through any combo, or none."""

    target: ComboTarget
    measures: Measures
    quota_left: float | None = None
    """Share of the account's quota, 0 to 1."""
    hold: str | None = None
    """Why it is left out now."""


class ComboMetrics(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    strategy: str
    measures: Measures
    """Of requests to this combo."""
    targets: tuple[TargetMetrics, ...]


class TargetTest(msgspec.Struct, frozen=True, kw_only=True):
    target: ComboTarget
    ok: bool
    latency_s: float | None = None
    """To the whole answer; None when nothing was sent."""
    status: int | None = None
    """The upstream's; None when there was no answer."""
    error: str | None = None
    """Its code."""
    message: str | None = None


class ComboTest(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    served_by: str | None
    """The first that answered, in the order they are written in."""
    targets: tuple[TargetTest, ...]
