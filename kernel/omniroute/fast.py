"""`Fast` in this process: values and counters with a time to live, and messages between tasks. Gone with the process.

No task and no timer per key: each write also throws out a few keys whose time is over.
"""

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Callable

__all__ = ["MemoryFast"]

SWEEP = 16
"""Deadlines looked at per write. A write adds at most one, so what has expired never piles up."""
BACKLOG = 1024
"""Messages kept for a subscriber that does not read; then the oldest are lost."""


class MemoryFast:
    is_shared = False

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._deadlines: list[tuple[float, str]] = []
        """A heap; the deadline of an entry whose value was replaced meanwhile is looked at again when it is due."""
        self._subscribers: dict[str, set[asyncio.Queue[bytes | None]]] = {}

    async def get(self, key: str) -> bytes | None:
        entry = self._live(key, self._clock())
        return None if entry is None else entry.value

    async def set(self, key: str, value: bytes, *, ttl_s: float, only_if_absent: bool = False) -> bool:
        now = self._clock()
        if only_if_absent and self._live(key, now) is not None:
            return False
        self._write(key, value, now + ttl_s, now)
        return True

    async def delete(self, key: str) -> bool:
        found = self._live(key, self._clock()) is not None
        self._entries.pop(key, None)
        return found

    async def add(self, key: str, amount: int, *, ttl_s: float) -> int:
        now = self._clock()
        entry = self._live(key, now)
        total = amount if entry is None else int(entry.value) + amount
        self._write(key, b"%d" % total, now + ttl_s if entry is None else entry.until, now)
        return total

    async def publish(self, channel: str, message: bytes) -> None:
        for queue in self._subscribers.get(channel, ()):
            _push(queue, message)

    async def subscribe(self, channel: str) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(BACKLOG)
        readers = self._subscribers.setdefault(channel, set())
        readers.add(queue)
        try:
            while (message := await queue.get()) is not None:
                yield message
        finally:
            readers.discard(queue)
            if not readers and self._subscribers.get(channel) is readers:
                del self._subscribers[channel]

    async def close(self) -> None:
        """Forget everything; subscriptions end."""
        for readers in self._subscribers.values():
            for queue in readers:
                _push(queue, None)
        self._entries.clear()
        self._deadlines.clear()

    def _live(self, key: str, now: float) -> "_Entry | None":
        entry = self._entries.get(key)
        return entry if entry is not None and entry.until > now else None

    def _write(self, key: str, value: bytes, until: float, now: float) -> None:
        entry = self._entries.get(key)
        if entry is None:
            self._entries[key] = _Entry(value, until, until)
            heapq.heappush(self._deadlines, (until, key))
        else:
            entry.value, entry.until = value, until
        self._sweep(now)

    def _sweep(self, now: float) -> None:
        for _ in range(SWEEP):
            if not self._deadlines or self._deadlines[0][0] > now:
                return
            due, key = heapq.heappop(self._deadlines)
            entry = self._entries.get(key)
            if entry is None or entry.due != due:
                continue  # deleted since, perhaps written anew with a deadline of its own
            if entry.until > now:
                entry.due = entry.until
                heapq.heappush(self._deadlines, (entry.due, key))
            else:
                del self._entries[key]


class _Entry:
    __slots__ = ("due", "until", "value")

    def __init__(self, value: bytes, until: float, due: float) -> None:
        self.value = value
        self.until = until
        self.due = due
        """When the heap has it looked at: `until` of its first value, or later."""


def _push(queue: asyncio.Queue[bytes | None], message: bytes | None) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(message)
