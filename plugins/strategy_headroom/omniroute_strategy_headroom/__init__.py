"""`headroom`: quota that lapses soonest is spent first, and nearly empty accounts are spared.

What counts is the rate at which the rest of a quota could be spent until it is full again: 20 % for the next ten minutes are
more than 80 % for the next five days.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from omniroute.api import Outcome, RouteContext, Standing, Target, hookimpl

__all__ = ["Headroom", "Options", "register_strategies"]

RESET_UNKNOWN_S = 7 * 24 * 3600.0
"""The longest window plans commonly have."""
SOON_S = 1.0
PLENTY, UNKNOWN, LITTLE = range(3)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    threshold: Annotated[float, Meta(ge=0, le=1)] = 0.05
    """With this share of its quota or less, a target comes last until the quota is full again."""


class Headroom:
    """Above the threshold by rate, then those without a known quota, then those at the threshold, the first to reset first."""

    name = "headroom"
    options_type = Options

    def __init__(self, options: Options) -> None:
        self.options = options

    def order(self, targets: Sequence[Target], context: RouteContext) -> Sequence[Target]:
        def rank(target: Target) -> tuple[int, float]:
            return self._rank(context.standing[target], context.now_s)

        return sorted(targets, key=rank)

    def _rank(self, standing: Standing, now_s: float) -> tuple[int, float]:
        left, resets_s = standing.quota_left, standing.quota_resets_s
        if left is None:
            return (UNKNOWN, 0.0)
        wait_s = RESET_UNKNOWN_S if resets_s is None else resets_s - now_s
        if wait_s <= 0:
            left, wait_s = 1.0, RESET_UNKNOWN_S  # full again, until somebody says how full
        if left <= self.options.threshold:
            return (LITTLE, wait_s)
        return (PLENTY, -left / max(wait_s, SOON_S))

    def observe(self, outcome: Outcome) -> None:
        """Ignored: `context.standing` has it all."""


@hookimpl
def register_strategies() -> list[type[Headroom]]:
    return [Headroom]
