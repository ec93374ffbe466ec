"""`cost-optimized`: the lowest price of input first. Agents send far more than they get; what costs alike goes by output."""

from collections.abc import Sequence

import msgspec

from omniroute.api import Outcome, RouteContext, Target, hookimpl

__all__ = ["CostOptimized", "Options", "register_strategies"]

UNKNOWN = float("inf")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """None; prices are facts of the models, and `[prices]` corrects them."""


class CostOptimized:
    """A price nobody knows comes last: it may be any."""

    name = "cost-optimized"
    options_type = Options

    def __init__(self, options: Options) -> None:
        self.options = options

    def order(self, targets: Sequence[Target], context: RouteContext) -> Sequence[Target]:
        def price(target: Target) -> tuple[float, float]:
            standing = context.standing[target]
            return (
                UNKNOWN if standing.input_usd is None else standing.input_usd,
                UNKNOWN if standing.output_usd is None else standing.output_usd,
            )

        return sorted(targets, key=price)

    def observe(self, outcome: Outcome) -> None:
        """Ignored: outcomes change no price."""


@hookimpl
def register_strategies() -> list[type[CostOptimized]]:
    return [CostOptimized]
