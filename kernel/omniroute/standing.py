"""How targets are doing, as strategies see it: plain counters, updated as attempts begin and end.

O(1), without locks and without a clock: time comes with the call. Bounded: targets that were not used for longest are
forgotten first. Nothing is written down; a start begins anew.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from omniroute.contracts import ModelFacts, Outcome, Price, Standing, Strategy, Target

__all__ = ["Running", "Standings", "priced"]

MAX_TARGETS = 4096
WEIGHT = 0.2
"""Of the newest value in a moving average: the last ten make about nine tenths of it."""


class Standings:
    """The numbers of every target, with an account and without."""

    def __init__(self, facts: Callable[[Target], ModelFacts | None]) -> None:
        """`facts` says what is known of a target's model; None when nothing is."""
        self._facts = facts
        self._counts: dict[Target, _Counts] = {}
        self._copies = _Copies(self._copy)

    @property
    def view(self) -> Mapping[Target, Standing]:
        """For strategies: immutable copies, made when they are looked at and kept until they change. So looking at 200
        targets of which one was used costs 200 look-ups and one copy."""
        return self._copies

    def begin(self, targets: Sequence[Target], now_s: float, observers: Sequence[Strategy] = ()) -> "Running":
        """An attempt is being sent to the first of `targets`; the others are what it is a part of, and count it too.

        `observers` are told the outcome.
        """
        for target in targets:
            counts = self._counts.pop(target, None) or self._new()
            self._counts[target] = counts  # at the end of the line of those that may be forgotten
            counts.requests += 1
            counts.in_flight += 1
            counts.last_used_s = now_s
        self.changed(targets)
        return Running(self, targets, tuple(self._counts[target] for target in targets), observers)

    def set_quota(self, target: Target, left: float | None, resets_s: float | None) -> None:
        """What was last heard of the quota: the share left, and the monotonic time it is full again."""
        counts = self._of(target)
        counts.quota_left, counts.quota_resets_s = left, resets_s
        self.changed((target,))

    def facts_changed(self) -> None:
        """Models or prices may be others now."""
        self._copies.clear()
        for counts in self._counts.values():
            counts.is_described = False

    def changed(self, targets: Sequence[Target]) -> None:
        for target in targets:
            self._copies.pop(target, None)

    def _copy(self, target: Target) -> Standing:
        counts = self._of(target)
        if not counts.is_described:
            counts.model, counts.is_described = self._facts(target), True
        return counts.standing()

    def _of(self, target: Target) -> "_Counts":
        counts = self._counts.get(target)
        if counts is None:
            counts = self._counts[target] = self._new()
        return counts

    def _new(self) -> "_Counts":
        if len(self._counts) >= MAX_TARGETS:
            oldest = next(iter(self._counts))
            del self._counts[oldest]
            self._copies.pop(oldest, None)
        return _Counts()


class _Copies(dict[Target, Standing]):
    """A dict, because nothing is looked up faster; it makes what it lacks."""

    def __init__(self, make: Callable[[Target], Standing]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, target: Target) -> Standing:
        copy = self[target] = self._make(target)
        return copy

    def __contains__(self, target: object) -> bool:
        return isinstance(target, Target)

    def get(self, target: Target, default: object = None) -> Standing:
        return self[target]


class Running:
    """One attempt that was begun. `end` is called once it is over, whatever became of it; only the first call counts."""

    __slots__ = ("_counts", "_is_open", "_latency_s", "_observers", "_standings", "_targets")

    def __init__(
        self,
        standings: Standings,
        targets: Sequence[Target],
        counts: "tuple[_Counts, ...]",
        observers: Sequence[Strategy],
    ) -> None:
        self._standings = standings
        self._targets = targets
        self._counts = counts
        self._observers = observers
        self._latency_s = 0.0
        self._is_open = True

    def answered(self, latency_s: float) -> None:
        """The first content event is here."""
        self._latency_s = latency_s
        for counts in self._counts:
            before = counts.latency_s
            counts.latency_s = latency_s if before is None else before + WEIGHT * (latency_s - before)
        self._standings.changed(self._targets)

    def end(self, *, ok: bool | None, error: str | None = None, after_s: float | None = None) -> None:
        """`ok` is None when the upstream is neither to blame nor to praise: the client left, the gateway stops.

        `after_s` is how long a failure took that came before any content.
        """
        if not self._is_open:
            return
        self._is_open = False
        for counts in self._counts:
            counts.in_flight -= 1
            if ok is not None:
                counts.failures += not ok
                counts.error_rate += WEIGHT * ((not ok) - counts.error_rate)
        self._standings.changed(self._targets)
        if ok is None or not self._observers:
            return
        latency_s = self._latency_s if after_s is None else after_s
        outcome = Outcome(target=self._targets[0], ok=ok, error=error, latency_s=latency_s)
        for observer in self._observers:
            observer.observe(outcome)


class _Counts:
    __slots__ = (
        "error_rate",
        "failures",
        "in_flight",
        "is_described",
        "last_used_s",
        "latency_s",
        "model",
        "quota_left",
        "quota_resets_s",
        "requests",
    )

    def __init__(self) -> None:
        self.requests = 0
        self.failures = 0
        self.in_flight = 0
        self.last_used_s: float | None = None
        self.latency_s: float | None = None
        self.error_rate = 0.0
        self.quota_left: float | None = None
        self.quota_resets_s: float | None = None
        self.model: ModelFacts | None = None
        self.is_described = False
        """`model` is what is known of it now."""

    def standing(self) -> Standing:
        model = self.model
        price = model.price if model is not None else None
        return Standing(
            requests=self.requests,
            failures=self.failures,
            in_flight=self.in_flight,
            last_used_s=self.last_used_s,
            latency_s=self.latency_s,
            error_rate=self.error_rate,
            input_usd=price.input_usd if price is not None else None,
            output_usd=price.output_usd if price is not None else None,
            context_tokens=model.context_tokens if model is not None else None,
            quota_left=self.quota_left,
            quota_resets_s=self.quota_resets_s,
        )


def priced(model: ModelFacts, price: Price | None) -> ModelFacts:
    """The model with what `price` knows over what the facts say, field by field."""
    if price is None:
        return model
    given = {name: value for name, value in msgspec.structs.asdict(price).items() if value is not None}
    return msgspec.structs.replace(model, price=msgspec.structs.replace(model.price or Price(), **given))
