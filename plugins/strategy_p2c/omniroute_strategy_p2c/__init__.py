"""`p2c`: power of two choices. Of two targets drawn by chance the less busy, healthier one comes first.

Nearly as even as asking everybody, at the cost of two looks; and unlike "the least busy of all" it does not send every request
of a moment to the same target.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from omniroute.api import Outcome, RouteContext, Standing, Target, hookimpl

__all__ = ["Options", "PowerOfTwo", "register_strategies"]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    failing_weighs: Annotated[float, Meta(ge=0)] = 10.0
    """A target that always fails counts as if it had so many more requests in flight, one that fails at times a part of them."""


class PowerOfTwo:
    """The better of the two, the other one, then the rest in the order of the list."""

    name = "p2c"
    options_type = Options

    def __init__(self, options: Options) -> None:
        self.options = options

    def order(self, targets: Sequence[Target], context: RouteContext) -> Sequence[Target]:
        if len(targets) < 2:
            return targets
        first = int(context.draw() * len(targets))
        second = int(context.draw() * (len(targets) - 1))
        second += second >= first  # any but the first
        if self._load(context.standing[targets[second]]) < self._load(context.standing[targets[first]]):
            first, second = second, first
        rest = (target for at, target in enumerate(targets) if at not in (first, second))
        return [targets[first], targets[second], *rest]

    def _load(self, standing: Standing) -> float:
        return standing.in_flight + self.options.failing_weighs * standing.error_rate

    def observe(self, outcome: Outcome) -> None:
        """Ignored: `context.standing` has it all."""


@hookimpl
def register_strategies() -> list[type[PowerOfTwo]]:
    return [PowerOfTwo]
