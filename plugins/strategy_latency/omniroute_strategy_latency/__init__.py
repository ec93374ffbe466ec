"""`lowest-latency`: the target whose first content comes soonest. One that nobody has tried yet is tried first, once."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from omniroute.api import Outcome, RouteContext, Standing, Target, hookimpl

__all__ = ["LowestLatency", "Options", "register_strategies"]

UNTRIED = (0, 0.0)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    retry_s: Annotated[float, Meta(ge=0)] = 300.0
    """A target not used for so long gets one request again, for what was slow may be fast by now. 0: never."""


class LowestLatency:
    """Untried ones, those measured by their latency, and last those that were tried and have not answered yet."""

    name = "lowest-latency"
    options_type = Options

    def __init__(self, options: Options) -> None:
        self.options = options

    def order(self, targets: Sequence[Target], context: RouteContext) -> Sequence[Target]:
        oldest_s = context.now_s - self.options.retry_s if self.options.retry_s else float("-inf")

        def rank(target: Target) -> tuple[int, float]:
            return _rank(context.standing[target], oldest_s)

        return sorted(targets, key=rank)

    def observe(self, outcome: Outcome) -> None:
        """Ignored: `context.standing` has it all."""


def _rank(standing: Standing, oldest_s: float) -> tuple[int, float]:
    if standing.last_used_s is None or standing.last_used_s < oldest_s:
        return UNTRIED
    if standing.latency_s is None:
        return (2, standing.last_used_s)
    return (1, standing.latency_s)


@hookimpl
def register_strategies() -> list[type[LowestLatency]]:
    return [LowestLatency]
