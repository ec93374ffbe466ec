"""Circuit breakers for failures that name no account: no connection, no TLS, 5xx, garbage. Pure state, clock and dice given.

One circuit per provider, base URL and model, made by its first failure. Closed: requests pass, outcomes are counted. Open:
nothing passes until it is due. Then half-open: one request passes, and what becomes of it closes the circuit or opens it for
longer. A stream that has begun to answer lets others pass; whether it is a success is known at its end.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import msgspec

__all__ = ["USUAL", "Breaker", "Circuit", "Profile", "SavedCircuit", "Ticket"]

Key: TypeAlias = tuple[str, str, str]
"""Provider, base URL, model."""

CONSECUTIVE = 5
WINDOW_S = 30.0
WINDOW_REQUESTS = 20
WINDOW_SHARE = 0.5
"""More than this share of at least so many requests in that time."""
OPEN_S = 30.0
"""Times how often it opened in a row."""
LONGEST_OPEN_S = 300.0
JITTER = 0.2
INSIST_S = 5.0
"""A circuit that is all a request has may be tried so often while it is open: a dead port is not hammered."""
SLOTS_S = 1.0
MAX_CIRCUITS = 10_000


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """When a provider's circuits open, and for how long."""

    failures: int = CONSECUTIVE
    """In a row."""
    open_s: float = OPEN_S


USUAL = Profile()


class SavedCircuit(msgspec.Struct, frozen=True, kw_only=True):
    """A circuit as it is written down."""

    key: Key
    consecutive: int
    opened_in_a_row: int
    due_at_s: float | None
    """Unix time; None while it is closed."""


class Ticket(msgspec.Struct, frozen=True):
    """One attempt that is under way. Hand it back with `leave`, whatever became of it."""

    key: Key
    opened: int
    """How often the circuit had opened, when the attempt began: what began before tells nothing of what is now."""
    is_probe: bool


class Circuit:
    __slots__ = ("_counts", "consecutive", "due_s", "opened", "opened_in_a_row", "opened_s", "probing", "tried_s")

    def __init__(self) -> None:
        self.consecutive = 0
        """Failures since the last success."""
        self.due_s: float | None = None
        """None while it is closed."""
        self.opened_s = 0.0
        self.opened = 0
        """How often, ever."""
        self.opened_in_a_row = 0
        self.probing = False
        self.tried_s = 0.0
        self._counts: deque[list[float]] = deque()
        """Per second: when, requests, failures."""

    def count(self, now: float, *, failed: bool) -> None:
        self._expire(now)
        if not self._counts or now - self._counts[-1][0] >= SLOTS_S:
            self._counts.append([now, 0, 0])
        slot = self._counts[-1]
        slot[1] += 1
        slot[2] += failed
        self.consecutive = self.consecutive + 1 if failed else 0

    def is_failing(self, profile: Profile) -> bool:
        requests = sum(slot[1] for slot in self._counts)
        failures = sum(slot[2] for slot in self._counts)
        too_many = requests >= WINDOW_REQUESTS and failures > WINDOW_SHARE * requests
        return self.consecutive >= profile.failures or too_many

    def is_blank(self, now: float) -> bool:
        """It tells no more than a new one would."""
        self._expire(now)
        return self.due_s is None and not self.consecutive and not any(slot[2] for slot in self._counts)

    def open(self, now: float, due_s: float) -> None:
        self.opened += 1
        self.opened_in_a_row += 1
        self.opened_s = self.tried_s = now
        self.due_s = due_s

    def close(self) -> None:
        self.let_pass()
        self.opened_in_a_row = self.consecutive = 0

    def let_pass(self) -> None:
        """Closed on probation: the next failure in the row opens it for longer."""
        self.due_s = None
        self._counts.clear()

    def _expire(self, now: float) -> None:
        while self._counts and now - self._counts[0][0] >= WINDOW_S:
            self._counts.popleft()


class Breaker:
    def __init__(self, *, clock: Callable[[], float], draw: Callable[[], float]) -> None:
        """`draw` gives a number from 0 to 1."""
        self._clock = clock
        self._draw = draw
        self.circuits: dict[Key, Circuit] = {}
        """Those that have seen a failure lately: mostly none, and then there is nothing to ask."""
        self.changes = 0
        """Rises with whatever is worth keeping over a restart."""

    def __len__(self) -> int:
        """Circuits that have seen a failure lately."""
        return len(self.circuits)

    # --- asking -------------------------------------------------------------------------------------------------------

    def holding(self, key: Key) -> Circuit | None:
        """The circuit that lets nothing through now; None when a request may pass."""
        circuit = self.circuits.get(key) if self.circuits else None
        if circuit is None or circuit.due_s is None:
            return None
        return circuit if circuit.probing or circuit.due_s > self._clock() else None

    def may_insist(self, circuit: Circuit) -> bool:
        """Whether a request that has nothing else may pass all the same."""
        return not circuit.probing and self._clock() - circuit.tried_s >= INSIST_S

    def enter(self, key: Key) -> Ticket:
        """An attempt begins; while the circuit is not closed it is the one that is let through."""
        circuit = self.circuits.get(key) if self.circuits else None
        if circuit is None:
            return Ticket(key, 0, is_probe=False)
        is_probe = circuit.due_s is not None and not circuit.probing
        if is_probe:
            circuit.probing, circuit.tried_s = True, self._clock()
        return Ticket(key, circuit.opened, is_probe)

    def leave(self, ticket: Ticket) -> None:
        if ticket.is_probe and (circuit := self.circuits.get(ticket.key)) is not None:
            circuit.probing = False
            self._drop(ticket.key, circuit)

    # --- what became of it --------------------------------------------------------------------------------------------

    def succeeded(self, ticket: Ticket) -> None:
        """The upstream answered, if only with a refusal."""
        circuit = self.circuits.get(ticket.key) if self.circuits else None
        if circuit is None or ticket.opened < circuit.opened:
            return
        now = self._clock()
        self.changes += bool(circuit.consecutive) or circuit.due_s is not None
        if circuit.due_s is not None:
            circuit.close()
        else:
            circuit.opened_in_a_row = 0
            circuit.count(now, failed=False)
        self._drop(ticket.key, circuit)

    def answered(self, ticket: Ticket) -> None:
        """A stream has begun. `succeeded` or `failed` comes at its end, unless its client leaves before that."""
        circuit = self.circuits.get(ticket.key) if self.circuits else None
        if circuit is not None and circuit.due_s is not None and ticket.opened == circuit.opened:
            self.changes += 1
            circuit.let_pass()

    def failed(self, ticket: Ticket, profile: Profile = USUAL) -> bool:
        """Whether this opened the circuit."""
        circuit = self.circuits.get(ticket.key)
        if circuit is None:
            self._make_room()
            circuit = self.circuits[ticket.key] = Circuit()
        elif ticket.opened < circuit.opened:
            return False
        now = self._clock()
        self.changes += 1
        circuit.count(now, failed=True)
        if circuit.due_s is None and not circuit.is_failing(profile):
            return False
        if circuit.due_s is not None and not ticket.is_probe:
            return False
        if now < (circuit.due_s or 0.0):  # somebody insisted before it was due, in vain: nothing new
            return False
        wait_s = min(profile.open_s * (circuit.opened_in_a_row + 1), LONGEST_OPEN_S)
        circuit.open(now, now + wait_s * (1 + JITTER * (2 * self._draw() - 1)))
        return True

    # --- forgetting and keeping ---------------------------------------------------------------------------------------

    def forget(self, provider: str) -> int:
        """Close a provider's circuits: a person knows better. Returns how many had seen failures."""
        gone = [key for key in self.circuits if key[0] == provider]
        for key in gone:
            del self.circuits[key]
        self.changes += bool(gone)
        return len(gone)

    def dump(self, wall_s: float) -> Sequence[SavedCircuit]:
        """`wall_s` is the Unix time now, here and in `load`. The counts of the last seconds are not worth keeping."""
        ahead_s = wall_s - self._clock()
        return [
            SavedCircuit(
                key=key,
                consecutive=circuit.consecutive,
                opened_in_a_row=circuit.opened_in_a_row,
                due_at_s=None if circuit.due_s is None else circuit.due_s + ahead_s,
            )
            for key, circuit in self.circuits.items()
            if circuit.consecutive or circuit.due_s is not None
        ]

    def load(self, saved: Iterable[SavedCircuit], wall_s: float) -> None:
        """Add what was dumped. A clock that was set meanwhile keeps no circuit open for longer than usual."""
        now = self._clock()
        for entry in saved:
            left_s = None if entry.due_at_s is None else entry.due_at_s - wall_s
            if left_s is not None and left_s < -LONGEST_OPEN_S:
                continue
            circuit = self.circuits[entry.key] = Circuit()
            circuit.consecutive = entry.consecutive
            circuit.opened_in_a_row = entry.opened_in_a_row
            circuit.opened_s = circuit.tried_s = now
            circuit.due_s = None if left_s is None else now + min(left_s, LONGEST_OPEN_S * (1 + JITTER))

    def _drop(self, key: Key, circuit: Circuit) -> None:
        if circuit.is_blank(self._clock()) and not circuit.probing:
            del self.circuits[key]

    def _make_room(self) -> None:
        if len(self.circuits) < MAX_CIRCUITS:
            return
        now = self._clock()
        blank = [key for key, circuit in self.circuits.items() if circuit.is_blank(now)]
        for key in blank or list(self.circuits)[: MAX_CIRCUITS // 10]:
            del self.circuits[key]
