"""How targets are doing, as strategies see it: plain counters, updated as attempts begin and end.

O(1), without locks and without a clock: time comes with the call. Bounded: targets that were not used for longest are
forgotten first. `keeping` writes them down, so that a start does not begin anew; `sharing` adds what other gateways count.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from omniroute.contracts import ModelFacts, Outcome, Price, Standing, Strategy, Target

__all__ = ["Counted", "Running", "SavedStanding", "Standings", "fresh_usd", "priced"]

MAX_TARGETS = 4096
LATENCIES = 64
"""The last ones of a target that are kept, for percentiles."""
WEIGHT = 0.2
"""Of the newest value in a moving average: the last ten make about nine tenths of it."""


class SavedStanding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A target's numbers as they are written down. Moments are Unix time."""

    target: Target
    requests: int = 0
    failures: int = 0
    last_used_at_s: float | None = None
    latency_s: float | None = None
    error_rate: float = 0.0
    quota_left: float | None = None
    quota_resets_at_s: float | None = None


class Counted(NamedTuple):
    """A target's counters: what this process has counted since it began, and beside that what is known in all."""

    requests: int
    failures: int
    in_flight: int
    requests_known: int
    failures_known: int
    in_flight_elsewhere: int


class Standings:
    """The numbers of every target, with an account and without."""

    def __init__(self, facts: Callable[[Target], ModelFacts | None]) -> None:
        """`facts` says what is known of a target's model; None when nothing is."""
        self._facts = facts
        self._counts: dict[Target, _Counts] = {}
        self._copies = _Copies(self._copy)
        self.changes = 0
        """Rises with every number."""
        self.quota_of: Callable[[Target], tuple[float, float | None] | None] = lambda target: None
        """What is known of a target's quota by now, over what was set: the share left, and the monotonic time it is full."""

    @property
    def view(self) -> Mapping[Target, Standing]:
        """For strategies: immutable copies, made when they are looked at and kept until they change. So looking at 200
        targets of which one was used costs 200 look-ups and one copy."""
        return self._copies

    @property
    def seen(self) -> Mapping[Target, Standing]:
        """The same for whoever only looks: nothing is kept of the look."""
        return _Seen(self._peek)

    def begin(self, targets: Sequence[Target], now_s: float, observers: Sequence[Strategy] = ()) -> "Running":
        """An attempt is being sent to the first of `targets`; the others are what it is a part of, and count it too.

        `observers` are told the outcome.
        """
        counted = []
        for target in targets:
            counts = self._counts.pop(target, None) or self._new()
            self._counts[target] = counts  # at the end of the line of those that may be forgotten
            counts.requests += 1
            counts.in_flight += 1
            counts.last_used_s = now_s
            counted.append(counts)
        self.changed(targets)
        return Running(self, targets, counted, observers)

    def set_quota(self, target: Target, left: float | None, resets_s: float | None) -> None:
        """What was last heard of the quota: the share left, and the monotonic time it is full again."""
        counts = self._of(target)
        counts.quota_left, counts.quota_resets_s = left, resets_s
        self.changed((target,))

    def dump(self, wall_s: float, now_s: float) -> Sequence[SavedStanding]:
        """`wall_s` is the Unix time and `now_s` the monotonic time now, here and in `load`."""
        ahead_s = wall_s - now_s
        return [
            SavedStanding(
                target=target,
                requests=counts.requests,
                failures=counts.failures,
                last_used_at_s=None if counts.last_used_s is None else counts.last_used_s + ahead_s,
                latency_s=counts.latency_s,
                error_rate=counts.error_rate,
                quota_left=counts.quota_left,
                quota_resets_at_s=None if counts.quota_resets_s is None else counts.quota_resets_s + ahead_s,
            )
            for target, counts in self._counts.items()
        ]

    def load(self, saved: Iterable[SavedStanding], wall_s: float, now_s: float) -> None:
        """Add what was dumped. A quota that has been reset since is not known any more."""
        ahead_s = wall_s - now_s
        for entry in saved:
            counts = self._of(entry.target)
            counts.requests = counts.requests_elsewhere = entry.requests
            counts.failures = counts.failures_elsewhere = entry.failures
            counts.latency_s, counts.error_rate = entry.latency_s, entry.error_rate
            if entry.last_used_at_s is not None:
                counts.last_used_s = min(entry.last_used_at_s - ahead_s, now_s)
            resets_at_s = entry.quota_resets_at_s
            if resets_at_s is None or resets_at_s > wall_s:
                counts.quota_left = entry.quota_left
                counts.quota_resets_s = None if resets_at_s is None else resets_at_s - ahead_s
            self._copies.pop(entry.target, None)

    def targets(self) -> Sequence[Target]:
        """Each that was asked or looked at."""
        return tuple(self._counts)

    def count(self, target: Target) -> Counted | None:
        counts = self._counts.get(target)
        return None if counts is None else counts.counted()

    def hear(self, target: Target, *, requests: int = 0, failures: int = 0, in_flight: int | None = None) -> None:
        """Other gateways have counted so much more than was known, and have so much under way (None: as was known)."""
        counts = self._counts.get(target)
        if counts is None:
            return
        begun = 0 if in_flight is None else in_flight - counts.in_flight_elsewhere
        if requests or failures or begun:
            counts.requests += requests
            counts.requests_elsewhere += requests
            counts.failures += failures
            counts.failures_elsewhere += failures
            counts.in_flight += begun
            counts.in_flight_elsewhere += begun
            self.changed((target,))

    def facts_changed(self) -> None:
        """Models or prices may be others now."""
        self._copies.clear()
        for counts in self._counts.values():
            counts.is_described = False

    def latencies(self, target: Target) -> Sequence[float]:
        """Of the target's last answers, in seconds to the first content."""
        counts = self._counts.get(target)
        return () if counts is None else tuple(counts.latencies)

    def changed(self, targets: Sequence[Target]) -> None:
        self.changes += 1
        if self._copies:
            for target in targets:
                self._copies.pop(target, None)

    def _copy(self, target: Target) -> Standing:
        counts = self._of(target)
        if not counts.is_described:
            counts.model, counts.is_described = self._facts(target), True
        return self._with_quota(target, counts.standing())

    def _peek(self, target: Target) -> Standing:
        counts = self._counts.get(target)
        if counts is not None and counts.is_described:
            return self._with_quota(target, counts.standing())
        return self._with_quota(target, (counts or _Counts()).standing(self._facts(target)))

    def _with_quota(self, target: Target, standing: Standing) -> Standing:
        known = self.quota_of(target)
        return (
            standing
            if known is None
            else msgspec.structs.replace(standing, quota_left=known[0], quota_resets_s=known[1])
        )

    def quota_changed(self, provider: str, account: str) -> None:
        """`quota_of` has something else to say of this account's targets."""
        accounts = (account, "")
        for target in [t for t in self._copies if t.provider == provider and t.account in accounts]:
            del self._copies[target]

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


class _Seen(Mapping[Target, Standing]):
    """Has every target."""

    def __init__(self, look: Callable[[Target], Standing]) -> None:
        self._look = look

    def __getitem__(self, target: Target) -> Standing:
        return self._look(target)

    def __iter__(self) -> Iterator[Target]:
        return iter(())

    def __len__(self) -> int:
        return 0


class Running(msgspec.Struct):
    """One attempt that was begun. `end` is called once it is over, whatever became of it; only the first call counts."""

    standings: Standings
    targets: Sequence[Target]
    counts: "Sequence[_Counts]"
    observers: Sequence[Strategy]
    latency_s: float = 0.0
    is_open: bool = True

    def answered(self, latency_s: float) -> None:
        """The first content event is here."""
        self.latency_s = latency_s
        for counts in self.counts:
            before = counts.latency_s
            counts.latency_s = latency_s if before is None else before + WEIGHT * (latency_s - before)
            counts.latencies.append(latency_s)
        self.standings.changed(self.targets)

    def end(self, *, ok: bool | None, error: str | None = None, after_s: float | None = None) -> None:
        """`ok` is None when the upstream is neither to blame nor to praise: the client left, the gateway stops.

        `after_s` is how long a failure took that came before any content.
        """
        if not self.is_open:
            return
        self.is_open = False
        for counts in self.counts:
            counts.in_flight -= 1
            if ok:
                counts.error_rate -= WEIGHT * counts.error_rate
            elif ok is not None:
                counts.failures += 1
                counts.error_rate += WEIGHT * (1 - counts.error_rate)
        self.standings.changed(self.targets)
        if ok is None or not self.observers:
            return
        latency_s = self.latency_s if after_s is None else after_s
        outcome = Outcome(target=self.targets[0], ok=ok, error=error, latency_s=latency_s)
        for observer in self.observers:
            observer.observe(outcome)


class _Counts:
    __slots__ = (
        "error_rate",
        "failures",
        "failures_elsewhere",
        "in_flight",
        "in_flight_elsewhere",
        "is_described",
        "last_used_s",
        "latencies",
        "latency_s",
        "model",
        "quota_left",
        "quota_resets_s",
        "requests",
        "requests_elsewhere",
    )

    def __init__(self) -> None:
        self.requests = 0
        self.failures = 0
        self.in_flight = 0
        self.requests_elsewhere = 0
        """How many of `requests` others have counted, or this process before it was started; and so on."""
        self.failures_elsewhere = 0
        self.in_flight_elsewhere = 0
        self.last_used_s: float | None = None
        self.latency_s: float | None = None
        self.latencies: deque[float] = deque(maxlen=LATENCIES)
        self.error_rate = 0.0
        self.quota_left: float | None = None
        self.quota_resets_s: float | None = None
        self.model: ModelFacts | None = None
        self.is_described = False
        """`model` is what is known of it now."""

    def counted(self) -> Counted:
        return Counted(
            requests=self.requests - self.requests_elsewhere,
            failures=self.failures - self.failures_elsewhere,
            in_flight=self.in_flight - self.in_flight_elsewhere,
            requests_known=self.requests,
            failures_known=self.failures,
            in_flight_elsewhere=self.in_flight_elsewhere,
        )

    def standing(self, model: ModelFacts | None = None) -> Standing:
        """`model` is instead of what is kept."""
        model = model or self.model
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


def fresh_usd(price: Price | None) -> float | None:
    """Per million tokens of a prompt the upstream sees for the first time: written to its cache, where that has a price."""
    if price is None:
        return None
    return price.input_usd if price.cache_write_usd is None else price.cache_write_usd
