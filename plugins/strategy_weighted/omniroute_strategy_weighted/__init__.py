"""`weighted`: the first target by chance, as its weight says; the others follow, the heaviest first."""

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from omniroute.api import EntryName, Outcome, RouteContext, Target, hookimpl

__all__ = ["Options", "Weighted", "register_strategies"]

Weight: TypeAlias = Annotated[float, Meta(ge=0, le=100)]
UNSAID: Weight = 1.0


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    weights: dict[EntryName, Weight] = {}
    """Entry, as the combo's list has it, or account as `provider/name` → weight. 1 where nothing is said; 0 is never
    chosen, and only tried when others fail. If all are 0, they are equal."""


class Weighted:
    name = "weighted"
    options_type = Options

    def __init__(self, options: Options) -> None:
        self.options = options

    def order(self, targets: Sequence[Target], context: RouteContext) -> Sequence[Target]:
        said = self.options.weights
        weights = [said.get(_name(target, context), UNSAID) for target in targets]
        chosen = _at(context.draw() * (sum(weights) or len(weights)), weights)
        heaviest_first = sorted(range(len(targets)), key=lambda at: -weights[at])
        return [targets[chosen], *(targets[at] for at in heaviest_first if at != chosen)]

    def observe(self, outcome: Outcome) -> None:
        """Ignored: the kernel already leaves out targets that are cooling down."""


def _name(target: Target, context: RouteContext) -> str:
    return f"{target.provider}/{target.account}" if target.account else context.names.get(target, target.model)


def _at(point: float, weights: Sequence[float]) -> int:
    """The index of the weight in which `point` lies when they are laid end to end."""
    if not any(weights):
        return min(int(point), len(weights) - 1)
    for at, weight in enumerate(weights):
        if point < weight:
            return at
        point -= weight
    return max(at for at, weight in enumerate(weights) if weight)  # rounding put it beyond the end


@hookimpl
def register_strategies() -> list[type[Weighted]]:
    return [Weighted]
