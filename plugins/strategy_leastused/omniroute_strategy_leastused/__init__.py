"""`least-used`: the target that had the fewest requests since the start, or the one not used for longest."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from omniroute.api import Outcome, RouteContext, Target, hookimpl

__all__ = ["LeastUsed", "Options", "register_strategies"]

NEVER = float("-inf")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    by: Literal["requests", "time"] = "requests"
    """`requests`: how many it had. `time`: how long ago the last one was; an account that is new is then not flooded."""


class LeastUsed:
    """Ties are settled by the other measure, then by the order of the list."""

    name = "least-used"
    options_type = Options

    def __init__(self, options: Options) -> None:
        self.options = options

    def order(self, targets: Sequence[Target], context: RouteContext) -> Sequence[Target]:
        by_time = self.options.by == "time"

        def used(target: Target) -> tuple[float, float]:
            standing = context.standing[target]
            last_s = NEVER if standing.last_used_s is None else standing.last_used_s
            return (last_s, standing.requests) if by_time else (standing.requests, last_s)

        return sorted(targets, key=used)

    def observe(self, outcome: Outcome) -> None:
        """Ignored: `context.standing` has it all."""


@hookimpl
def register_strategies() -> list[type[LeastUsed]]:
    return [LeastUsed]
