"""How long an upstream may take: the nearest statement of model, provider and settings, and what it is called when that is over."""

import msgspec

from omniroute.clock import Watch
from omniroute.contracts import TimeoutFacts
from omniroute.errors import UpstreamStalled, UpstreamTimeout
from omniroute.settings import TimeoutSettings

__all__ = ["Patience", "patience_of", "too_late"]


class Patience(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """With one candidate, in seconds; 0 is without end."""

    connect_s: float = 0.0
    first_byte_s: float = 0.0
    idle_s: float = 0.0
    total_s: float = 0.0
    """From the request's arrival, whoever was asked meanwhile."""

    def left_s(self, elapsed_s: float) -> float:
        """Of the whole request's time; never 0 where there is a limit."""
        return max(self.total_s - elapsed_s, 0.001) if self.total_s else 0.0


def patience_of(facts: TimeoutFacts, settings: TimeoutSettings) -> Patience:
    return Patience(
        connect_s=settings.connect_s if facts.connect_s is None else facts.connect_s,
        first_byte_s=settings.first_byte_s if facts.first_byte_s is None else facts.first_byte_s,
        idle_s=settings.idle_s if facts.idle_s is None else facts.idle_s,
        total_s=settings.total_s if facts.total_s is None else facts.total_s,
    )


def too_late(watch: Watch, error: TimeoutError) -> UpstreamTimeout:
    """What the end of the watch over an upstream means."""
    if watch.limit_reached:
        return UpstreamTimeout("the request took longer than total_s allows", why=str(error))
    if watch.renewed:
        return UpstreamStalled("the upstream fell silent in mid-answer", why=str(error))
    return UpstreamTimeout("the upstream did not begin to answer in time", why=str(error))
