"""`canary`: a small share of the requests tries the last entry first, for as long as it does well."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from omniroute.api import Outcome, RouteContext, Target, hookimpl


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    share: Annotated[float, Meta(ge=0, le=1)] = 0.05
    max_error_rate: Annotated[float, Meta(ge=0, le=1)] = 0.2


class Canary:
    """The list as it is, or its last entry before all others."""

    name = "canary"
    options_type = Options

    def __init__(self, options: Options) -> None:
        self.options = options

    def order(self, targets: Sequence[Target], context: RouteContext) -> Sequence[Target]:
        *others, canary = targets
        does_well = context.standing[canary].error_rate <= self.options.max_error_rate
        if does_well and context.draw() < self.options.share:
            return [canary, *others]
        return targets

    def observe(self, outcome: Outcome) -> None:
        """Ignored: `context.standing` has it all."""


@hookimpl
def register_strategies() -> list[type[Canary]]:
    return [Canary]
