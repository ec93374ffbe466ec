"""`weighted`: the first target by chance, as its weight says; the others follow, the heaviest first."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
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
        self._row: _Row | None = None

    def order(self, targets: Sequence[Target], context: RouteContext) -> Sequence[Target]:
        row = self._row
        if row is None or row.targets is not targets or row.names is not context.names:
            row = self._row = _row_of(targets, context.names, self.options.weights)
        heaviest_first, place = row.heaviest_first, row.place_of(context.draw())
        return [heaviest_first[place], *heaviest_first[:place], *heaviest_first[place + 1 :]]

    def observe(self, outcome: Outcome) -> None:
        """Ignored: the kernel already leaves out targets that are cooling down."""


class _Row(msgspec.Struct, frozen=True):
    """Targets with their weights laid end to end: made once, for a combo's targets are the same for every request."""

    targets: Sequence[Target]
    names: Mapping[Target, str]
    heaviest_first: tuple[Target, ...]
    ends: tuple[float, ...]
    """Where the weight of each ends; those behind the last that has one are left out."""
    places: tuple[int, ...]
    """Of each, among `heaviest_first`."""

    def place_of(self, draw: float) -> int:
        """Of the target that the draw falls on, from 0 to less than 1."""
        found = bisect_right(self.ends, draw * self.ends[-1])
        return self.places[min(found, len(self.ends) - 1)]  # rounding may put it beyond the end


def _row_of(targets: Sequence[Target], names: Mapping[Target, str], said: Mapping[str, Weight]) -> _Row:
    weights = [said.get(_name(target, names), UNSAID) for target in targets]
    order = sorted(range(len(targets)), key=lambda at: -weights[at])
    places = sorted(range(len(targets)), key=order.__getitem__)
    if any(weights):
        while not weights[-1]:
            weights.pop()
    else:
        weights = [UNSAID] * len(targets)
    return _Row(targets, names, tuple(targets[at] for at in order), tuple(accumulate(weights)), tuple(places))


def _name(target: Target, names: Mapping[Target, str]) -> str:
    return f"{target.provider}/{target.account}" if target.account else names.get(target, target.model)


@hookimpl
def register_strategies() -> list[type[Weighted]]:
    return [Weighted]
