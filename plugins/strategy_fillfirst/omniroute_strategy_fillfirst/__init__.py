"""`fill-first`: the first target until it fails or cools down, then the next."""

from collections.abc import Sequence

import msgspec

from omniroute.api import Outcome, RouteContext, Target, hookimpl

__all__ = ["FillFirst", "Options", "register_strategies"]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """None; a combo's list is all there is to say."""


class FillFirst:
    """Targets stay in the order of the list."""

    name = "fill-first"
    options_type = Options

    def __init__(self, options: Options) -> None:
        self.options = options

    def order(self, targets: Sequence[Target], context: RouteContext) -> Sequence[Target]:
        return targets

    def observe(self, outcome: Outcome) -> None:
        """Ignored: the kernel already leaves out targets that are cooling down."""


@hookimpl
def register_strategies() -> list[type[FillFirst]]:
    return [FillFirst]
