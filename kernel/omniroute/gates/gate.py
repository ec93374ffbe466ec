"""One gate: how much goes through at a time and within a minute. Pure state, on a monotonic clock that is given.

A gate is made only for what has limits. Whoever goes through several takes room in all of them or in none, in one step that
nothing can come between, and hands it back with `Pass.close`.
"""

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

import msgspec

from omniroute.contracts import Limits
from omniroute.gates.window import MINUTE_S, Slot, Window
from omniroute.screening import Skip

if TYPE_CHECKING:
    from omniroute.gates.lines import Waiter

__all__ = ["SOON_S", "Block", "Entry", "Gate", "SavedGate", "Timer", "Why"]

Why: TypeAlias = Literal["busy", "rate_limited"]
SOON_S = 1.0
"""When a place becomes free nobody knows; a client may ask again this soon."""


class Timer(Protocol):
    def cancel(self) -> None: ...


class Block(NamedTuple):
    """Why there is no way through now."""

    gate: "Gate"
    why: Why
    limit: str
    """The field of `Limits`, or `queue`: others wait already."""
    due_s: float
    """Monotonic; a guess where it depends on other requests' ends."""

    @property
    def skip(self) -> Skip:
        return Skip(reason=self.why, detail=f"{self.limit} of {self.gate.name}", due_s=self.due_s)


class SavedGate(msgspec.Struct, frozen=True, kw_only=True):
    """A gate as it is written down. Seconds are Unix time."""

    name: str
    requests: Sequence[tuple[int, int]] = ()
    tokens: Sequence[tuple[int, int]] = ()
    next_at_s: float | None = None

    def is_over(self, wall_s: float) -> bool:
        """Nothing of it counts any more."""
        newest_s = max((second for second, _ in (*self.requests, *self.tokens)), default=0)
        return newest_s + MINUTE_S < wall_s and (self.next_at_s or 0.0) <= wall_s


class Entry(NamedTuple):
    """Room taken in one gate."""

    gate: "Gate"
    request: Slot | None
    tokens: Slot | None
    reserved: int
    before_s: float
    """What `next_s` was, should nothing be sent after all."""
    next_s: float
    """What it has been since."""


class Gate:
    __slots__ = ("_requests", "_running", "_tokens", "limits", "name", "next_s", "timer", "waiting")

    def __init__(self, name: str, limits: Limits) -> None:
        self.name = name
        self._running = 0
        self._requests: Window | None = None
        self._tokens: Window | None = None
        self.next_s = 0.0
        """Not before this, for the sake of the interval between two."""
        self.waiting: deque[Waiter] = deque()
        """In the order they came."""
        self.timer: Timer | None = None
        """What looks at the line again, once time alone opens the gate."""
        self.set_limits(limits)

    def set_limits(self, limits: Limits) -> None:
        """What was counted so far goes on counting."""
        self.limits = limits
        self._requests = _window(self._requests, limits.rpm)
        self._tokens = _window(self._tokens, limits.tpm)
        if limits.min_interval_s is None:
            self.next_s = 0.0

    @property
    def running(self) -> int:
        """Requests that are through and have not come back."""
        return self._running

    def blocked(self, tokens: int, now_s: float) -> Block | None:
        """What keeps a request of about so many tokens out now. Looks and changes nothing."""
        limits = self.limits
        if limits.max_concurrency is not None and self._running >= limits.max_concurrency:
            return Block(self, "busy", "max_concurrency", now_s + SOON_S)
        worst_s, limit = self.next_s, "min_interval_s"
        if self._requests is not None and (due_s := self._requests.when(1, now_s)) > worst_s:
            worst_s, limit = due_s, "rpm"
        if self._tokens is not None and (due_s := self._tokens.when(tokens, now_s)) > worst_s:
            worst_s, limit = due_s, "tpm"
        return Block(self, "rate_limited", limit, worst_s) if worst_s > now_s else None

    def enter(self, tokens: int, now_s: float) -> Entry:
        """Take the room. Only after `blocked` found none in the way."""
        self._running += 1
        before_s = self.next_s
        if self.limits.min_interval_s is not None:
            self.next_s = now_s + self.limits.min_interval_s
        request = None if self._requests is None else self._requests.add(1, now_s)
        reserved = tokens if self._tokens is None else min(tokens, self._tokens.limit)
        held = None if self._tokens is None else self._tokens.add(reserved, now_s)
        return Entry(self, request, held, reserved, before_s, self.next_s)

    def leave(self, entry: Entry, used: int | None, now_s: float, *, sent: bool) -> None:
        """`used` tokens in the end; None is unknown, and the estimate stands. Not `sent`: as if it had never been here."""
        self._running -= 1
        if not sent:
            used = 0
            if self.next_s == entry.next_s:  # nobody came after it
                self.next_s = entry.before_s
            if self._requests is not None and entry.request is not None:
                self._requests.take_back(1, entry.request, now_s)
        if self._tokens is None or entry.tokens is None or used is None:
            return
        if used > entry.reserved:  # it was used up to now, and counts from now
            self._tokens.add(used - entry.reserved, now_s)
        elif used < entry.reserved:
            self._tokens.take_back(entry.reserved - used, entry.tokens, now_s)

    # --- telling ------------------------------------------------------------------------------------------------------

    def left(self, now_s: float) -> dict[str, tuple[int, int, float]]:
        """`requests` and `tokens`, where they are limited: the limit, what is left of it, and the seconds until there is room
        for one more."""
        found = {}
        for unit, window in (("requests", self._requests), ("tokens", self._tokens)):
            if window is not None:
                wait_s = window.when(1, now_s) - now_s
                found[unit] = (window.limit, max(0, window.limit - window.total), wait_s)
        return found

    def dump(self, ahead_s: float) -> SavedGate:
        return SavedGate(
            name=self.name,
            requests=() if self._requests is None else self._requests.dump(ahead_s),
            tokens=() if self._tokens is None else self._tokens.dump(ahead_s),
            next_at_s=self.next_s + ahead_s if self.limits.min_interval_s is not None else None,
        )

    def load(self, saved: SavedGate, ahead_s: float, now_s: float) -> None:
        if self._requests is not None:
            self._requests.load(saved.requests, ahead_s, now_s)
        if self._tokens is not None:
            self._tokens.load(saved.tokens, ahead_s, now_s)
        if saved.next_at_s is not None and self.limits.min_interval_s is not None:
            self.next_s = min(saved.next_at_s - ahead_s, now_s + self.limits.min_interval_s)


def _window(now: Window | None, limit: int | None) -> Window | None:
    if limit is None:
        return None
    if now is None:
        return Window(limit)
    now.limit = limit
    return now
