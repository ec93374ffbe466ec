"""`round-robin`: work is spread evenly, each request starting further down the list."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from omniroute.api import Outcome, RouteContext, Target, hookimpl

__all__ = ["Options", "RoundRobin", "register_strategies"]

ACCOUNT_STICKY = 3


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    stride: Annotated[int, Meta(ge=1)] = 1
    """Targets between one start and the next."""
    sticky: Annotated[int, Meta(ge=1)] | None = None
    """Requests in a row that start at the same target. If it is not said, 1 for a combo's entries and 3 for accounts, whose
    prompt caches gain by it."""


class RoundRobin:
    """Each request starts `stride` targets after the one before it, or every `sticky`-th one does."""

    name = "round-robin"
    options_type = Options

    def __init__(self, options: Options) -> None:
        self.options = options
        self.turn = 0
        self.starts = 0

    def order(self, targets: Sequence[Target], context: RouteContext) -> Sequence[Target]:
        first = self.turn % len(targets)
        self.starts += 1
        if self.starts % (self.options.sticky or (ACCOUNT_STICKY if targets[0].account else 1)) == 0:
            self.turn += self.options.stride
        return [*targets[first:], *targets[:first]]

    def observe(self, outcome: Outcome) -> None:
        """Ignored: the kernel already leaves out targets that are cooling down."""


@hookimpl
def register_strategies() -> list[type[RoundRobin]]:
    return [RoundRobin]
