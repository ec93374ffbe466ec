"""Where each conversation was served last: a table of limited size, on a monotonic clock that is given. Pure state.

`dump` and `load` are the seam for keeping it: deadlines as Unix time there, monotonic here.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import msgspec

from omniroute.contracts import Target

__all__ = ["Binding", "Bindings", "SavedBinding"]

TTL_S = 300.0
"""As long as upstreams keep a prompt, if not told otherwise. Each use begins it anew."""
LONG_TTL_S = 3600.0
NOTED_EVERY_S = 60.0
"""A restart may cut a conversation's time by as much; a busy one is not written down with every request."""
MAX_DUMPED = 1000
"""The ones used last: a restart costs the others one cold start."""
MAX_BINDINGS = 20_000
"""About 10 MB when full; then the one that was used longest ago goes."""


class Binding:
    """Mutable, one per conversation."""

    __slots__ = ("due_s", "escapes", "noted_s", "target", "tokens")

    def __init__(self, target: Target) -> None:
        self.target = target
        """With the account."""
        self.due_s = 0.0
        self.noted_s = 0.0
        """`due_s` as it was last worth writing down."""
        self.escapes = 0
        """Requests in a row that somebody else served."""
        self.tokens = 0
        """Of the last prompt it served, estimated: what its upstream has in its cache."""


class SavedBinding(msgspec.Struct, frozen=True, kw_only=True):
    """A binding as it is written down."""

    key: bytes
    """A digest."""
    target: Target
    due_at_s: float
    """Unix time."""
    escapes: int = 0
    tokens: int = 0


class Bindings:
    def __init__(self, *, clock: Callable[[], float], limit: int = MAX_BINDINGS) -> None:
        self._clock = clock
        self._limit = limit
        self._found: dict[bytes, Binding] = {}
        """Used longest ago first."""
        self.changes = 0
        """Rises when there is something worth writing down."""

    def __len__(self) -> int:
        return len(self._found)

    def of(self, key: bytes) -> Binding | None:
        binding = self._found.get(key)
        if binding is not None and binding.due_s <= self._clock():
            del self._found[key]
            return None
        return binding

    def bind(self, key: bytes, target: Target, *, tokens: int, long: bool) -> None:
        """The conversation is served there from now on."""
        binding = self._found.pop(key, None)
        if binding is None or binding.target != target:
            binding = Binding(target)
        binding.escapes = 0
        binding.tokens = tokens
        self._keep(key, binding, long=long)

    def escape(self, key: bytes, binding: Binding, *, long: bool) -> None:
        """Somebody else served it this once."""
        self._found.pop(key, None)
        binding.escapes += 1
        self._keep(key, binding, long=long)

    def _keep(self, key: bytes, binding: Binding, *, long: bool) -> None:
        if len(self._found) >= self._limit:
            del self._found[next(iter(self._found))]
        binding.due_s = self._clock() + (LONG_TTL_S if long else TTL_S)
        self._found[key] = binding
        if binding.due_s - binding.noted_s > NOTED_EVERY_S:
            binding.noted_s = binding.due_s
            self.changes += 1

    # --- for keeping it

    def dump(self, wall_s: float) -> Sequence[SavedBinding]:
        """Those that still count, used longest ago first. `wall_s` is the Unix time now, here and in `load`."""
        now = self._clock()
        latest = [pair for pair in islice(reversed(self._found.items()), MAX_DUMPED) if pair[1].due_s > now]
        return [
            SavedBinding(
                key=key,
                target=binding.target,
                due_at_s=binding.due_s - now + wall_s,
                escapes=binding.escapes,
                tokens=binding.tokens,
            )
            for key, binding in reversed(latest)
        ]

    def load(self, saved: Iterable[SavedBinding], wall_s: float) -> None:
        """Add what was dumped. A clock that was set back meanwhile makes nothing last longer than it ever would."""
        now = self._clock()
        for entry in saved:
            left_s = min(entry.due_at_s - wall_s, LONG_TTL_S)
            if left_s > 0 and len(self._found) < self._limit:
                binding = self._found[entry.key] = Binding(entry.target)
                binding.due_s, binding.escapes, binding.tokens = now + left_s, entry.escapes, entry.tokens
