"""Where a model string leads: a model at a provider on its accounts, or a combo of such. Looked up once, walked per request."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from omniroute.contracts import (
    Account,
    CredentialPlace,
    LossPolicy,
    ModelFacts,
    Provider,
    RouteContext,
    Strategy,
    Target,
    TimeoutFacts,
    Translator,
    Transport,
)
from omniroute.routing.terms import Terms

__all__ = ["Candidate", "Concerned", "Leg", "Overview", "Route", "dead_ends", "legs", "once", "walk"]


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One way to serve a request, with everything looked up that does not depend on the request."""

    target: Target
    provider: Provider
    account: Account
    model: ModelFacts
    translator: Translator
    transport: Transport
    adapts: bool
    """The provider may want the request changed; False allows relaying without decoding."""
    leg: Target
    """Itself without the account."""
    bucket: str | None = None
    """What the provider calls the quota it counts for; None was not looked up."""
    timeouts: TimeoutFacts = TimeoutFacts()
    """The model's, else the provider's; where both say nothing the settings hold."""

    @property
    def place(self) -> CredentialPlace:
        return self.translator.credential


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a route: a model at a provider, on each account that has it."""

    target: Target
    candidates: tuple[Candidate, ...]
    reason: str = ""
    """Why there are none."""
    strategy: Strategy | None = None
    """Chooses among the accounts; None keeps their order."""
    by_target: Mapping[Target, Candidate] = {}
    targets: tuple[Target, ...] = ()

    def ordered(self, context: RouteContext | None) -> Iterable[Candidate]:
        if self.strategy is None or context is None or len(self.targets) < 2:
            return self.candidates
        order = self.strategy.order(self.targets, context)
        return self.candidates if order is self.targets else map(self.by_target.__getitem__, order)


Concerned: TypeAlias = tuple[tuple[Target, ...], tuple[Strategy, ...]]
"""Targets that count an attempt (the candidate itself, its leg, the combos it is in), and strategies that are told its outcome."""


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """What all candidates of a route have and lack, so that a request need not ask each of them."""

    by_target: Mapping[Target, Candidate] = {}
    """Every candidate."""
    lacking: frozenset[str] = frozenset()
    """Words of `ModelFacts.capabilities` that at least one candidate is known to lack."""
    smallest_window: int | None = None
    """Tokens; None where no window is known."""
    is_choosy: bool = False
    """Somebody lacks something, or has a window: what a request needs may leave them out."""
    homes: frozenset[str] = frozenset()
    """API roots: with one alone there is nowhere else to go."""
    concerned: Mapping[Target, Concerned] = {}
    """Whom an attempt at a candidate concerns."""
    cheapest_rate: float | None = None
    """Dollars per million tokens of a prompt nobody has seen yet, at the cheapest; None where no price is known."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model string leads."""

    name: str
    entries: tuple["Leg | Route", ...]
    strategy: Strategy | None = None
    """None keeps the order of `entries`."""
    is_combo: bool = False
    loss: LossPolicy | None = None
    """The combo's word on what translation may lose."""
    by_target: Mapping[Target, "Leg | Route"] = {}
    targets: tuple[Target, ...] = ()
    names: Mapping[Target, str] = {}
    """What the combo's list calls each of `targets`."""
    around: Mapping[Target, tuple[Target, ...]] = {}
    """The combos inside this one that each leg is in."""
    observers: tuple[Strategy, ...] = ()
    """The strategies of this combo and those inside it."""
    terms: Terms = Terms()
    overview: Overview = Overview()
    """Of the route that a model string leads to; empty for what is inside it."""
    last_resort: "Route | None" = None
    """Where a request goes when nothing here could answer it."""
    counted: tuple[Target, ...] = ()
    """The combo itself, where it is one."""

    @property
    def target(self) -> Target:
        return Target(provider="", model=self.name)

    def ordered(self, context: RouteContext | None) -> Iterable["Leg | Route"]:
        if self.strategy is None or context is None:
            return self.entries
        order = self.strategy.order(self.targets, replace(context, combo=self.name, names=self.names))
        return self.entries if order is self.targets else map(self.by_target.__getitem__, order)


def walk(route: Route, context: RouteContext | None) -> Iterator[Candidate]:
    for entry in route.ordered(context):
        if isinstance(entry, Leg):
            yield from entry.ordered(context)
        else:
            yield from walk(entry, context)


def legs(route: Route) -> Iterator[tuple[Target, tuple[Target, ...]]]:
    """Each leg in a combo, with the combos between the two."""
    for target, entry in route.by_target.items():
        if isinstance(entry, Leg):
            yield target, ()
        else:
            yield from ((leg, (target, *inner)) for leg, inner in legs(entry))


def dead_ends(route: Route) -> Iterator[tuple[str, str]]:
    """Each entry that nobody serves, by the name it was asked for, and why."""
    for entry in route.entries:
        if isinstance(entry, Route):
            yield from dead_ends(entry)
        elif not entry.candidates:
            target = entry.target
            yield route.names.get(target) or f"{target.provider}/{target.model}", entry.reason


def once(candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    seen: set[Target] = set()
    for candidate in candidates:
        if candidate.target not in seen:
            seen.add(candidate.target)
            yield candidate
