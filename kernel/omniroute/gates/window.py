"""What was counted within the last minute. Pure; time comes with the call."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TypeAlias

__all__ = ["MINUTE_S", "Slot", "Window"]

MINUTE_S = 60
Slot: TypeAlias = list[int]
"""Second and amount. Mutable: what was reserved in it may be corrected."""


class Window:
    """A sum over the last minute that is kept at or below `limit`.

    It is kept per second, and a second counts until it is over for a whole minute: so no 60 s, wherever they begin, hold more
    than the limit, at the price of room that comes back up to a second late.
    """

    __slots__ = ("_slots", "limit", "total")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.total = 0
        self._slots: deque[Slot] = deque()

    def when(self, amount: int, now_s: float) -> float:
        """From when on there is room for `amount`; `now_s` if there is now. What is larger than the limit has room in an empty
        window: it would never have any otherwise."""
        self.expire(now_s)
        missing = self.total + min(amount, self.limit) - self.limit
        if missing <= 0:
            return now_s
        for second, held in self._slots:
            missing -= held
            if missing <= 0:
                return float(second + MINUTE_S + 1)
        return now_s

    def add(self, amount: int, now_s: float) -> Slot:
        """The slot that has it now."""
        second = int(now_s)
        if not self._slots or self._slots[-1][0] != second:
            self._slots.append([second, 0])
        slot = self._slots[-1]
        slot[1] += amount
        self.total += amount
        return slot

    def take_back(self, amount: int, slot: Slot, now_s: float) -> None:
        """Less was used than `slot` has reserved. What has left the window by now is not there any more."""
        self.expire(now_s)
        if self._slots and slot[0] >= self._slots[0][0]:
            slot[1] -= amount
            self.total -= amount

    def expire(self, now_s: float) -> None:
        slots, oldest = self._slots, int(now_s) - MINUTE_S
        while slots and slots[0][0] < oldest:
            self.total -= slots.popleft()[1]

    # --- keeping ------------------------------------------------------------------------------------------------------

    def dump(self, ahead_s: float) -> Sequence[tuple[int, int]]:
        """Seconds and amounts, with `ahead_s` added to the seconds."""
        return [(second + int(ahead_s), held) for second, held in self._slots if held]

    def load(self, saved: Iterable[tuple[int, int]], ahead_s: float, now_s: float) -> None:
        """What was dumped, as far as it is not over. What a clock that was set back puts into the future counts from now."""
        for second, held in sorted(saved):
            self.add(held, min(second - int(ahead_s), int(now_s)))
        self.expire(now_s)
