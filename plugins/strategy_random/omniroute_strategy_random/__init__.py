"""`random`: a new order by chance for each request, each as likely as any other."""

from collections.abc import Sequence

import msgspec

from omniroute.api import Outcome, RouteContext, Target, hookimpl

__all__ = ["Options", "Random", "register_strategies"]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """None."""


class Random:
    """Shuffles (Fisher and Yates), one draw less than there are targets."""

    name = "random"
    options_type = Options

    def __init__(self, options: Options) -> None:
        self.options = options

    def order(self, targets: Sequence[Target], context: RouteContext) -> Sequence[Target]:
        order, draw = list(targets), context.draw
        for left in range(len(order), 1, -1):
            chosen = int(draw() * left)
            order[chosen], order[left - 1] = order[left - 1], order[chosen]
        return order

    def observe(self, outcome: Outcome) -> None:
        """Ignored: the kernel already leaves out targets that are cooling down."""


@hookimpl
def register_strategies() -> list[type[Random]]:
    return [Random]
