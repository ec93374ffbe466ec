"""Where a quota leads: the rate at which it was used, and the moment it is gone, with a band of confidence. Pure.

A straight line through what was read, least squares; the band is two standard errors of its slope. Nothing is said of a quota
that is not being used, or that was looked at too seldom.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

__all__ = ["Forecast", "Sample", "forecast"]

Sample: TypeAlias = tuple[float, float]
"""Unix time, share left."""
FEWEST = 3
SHORTEST_S = 300.0
"""What was seen of less time says nothing of hours."""
ERRORS = 2.0
HOUR_S = 3600.0


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """Times are Unix time."""

    burn_per_hour: float
    """Share of the whole quota, as it was used lately."""
    empty_at_s: float
    earliest_s: float
    latest_s: float | None
    """None: it may well last for ever."""
    lasts: bool
    """It is full again before that."""

    @property
    def margin_s(self) -> float | None:
        """Half of the band, for "± 12 min"; None when it has no end."""
        return (
            None if self.latest_s is None else max(self.latest_s - self.empty_at_s, self.empty_at_s - self.earliest_s)
        )


def forecast(samples: Sequence[Sample], now_s: float, resets_at_s: float | None) -> Forecast | None:
    """`samples` in order of time, since the quota was last full. None when nothing can be said."""
    if len(samples) < FEWEST or samples[-1][0] - samples[0][0] < SHORTEST_S:
        return None
    slope, error = _line(samples)
    left = samples[-1][1]
    if slope >= 0 or left <= 0:
        return None
    rate, fastest, slowest = -slope, -slope + ERRORS * error, -slope - ERRORS * error
    since_s = samples[-1][0]
    empty_at_s = since_s + left / rate
    return Forecast(
        burn_per_hour=rate * HOUR_S,
        empty_at_s=max(empty_at_s, now_s),
        earliest_s=max(since_s + left / fastest, now_s),
        latest_s=since_s + left / slowest if slowest > 0 else None,
        lasts=resets_at_s is not None and resets_at_s <= empty_at_s,
    )


def _line(samples: Sequence[Sample]) -> tuple[float, float]:
    """Slope of the line through them, and its standard error."""
    count = len(samples)
    middle_s = sum(at_s for at_s, _ in samples) / count
    middle = sum(left for _, left in samples) / count
    spread = sum((at_s - middle_s) ** 2 for at_s, _ in samples)
    slope = sum((at_s - middle_s) * (left - middle) for at_s, left in samples) / spread
    missed = sum((left - middle - slope * (at_s - middle_s)) ** 2 for at_s, left in samples)
    return slope, math.sqrt(missed / (count - 2) / spread)
