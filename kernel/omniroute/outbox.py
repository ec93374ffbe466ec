"""What is written in one turn of the event loop leaves together, so that whoever it goes to is woken once.

A write to somebody who sleeps is the dearest thing in a request: the kernel wakes a process on another core, at several times the
cost of the write itself. Requests that came in together are therefore read, one after the other, and written at the end. One that
came alone waits for nothing.
"""

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from omniroute.logs import get_logger

__all__ = ["Outbox"]

log = get_logger(__name__)

MOST_WAITING = 16
"""Writes that leave together: so many share one waking, and the first has not waited long for the last."""

T = TypeVar("T")


class Outbox:
    """One per event loop, for its clients and its upstreams alike."""

    __slots__ = ("_is_ending", "_left", "_waiting", "coming", "loop")

    latest: ClassVar["Outbox | None"] = None
    """The one in use: a process has one loop for as long as it serves."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.coming = 0
        """Raised by whoever reads, for each piece of work that is to be resumed by it: most will write something."""
        self._left = 0
        """How many of those of this turn have not written yet."""
        self._waiting: list[tuple[Callable[[Any], None], Any]] = []
        self._is_ending = False
        """The end of the turn is in the loop's line."""

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> "Outbox":
        if cls.latest is None or cls.latest.loop is not loop:
            cls.latest = cls(loop)
        return cls.latest

    def put(self, write: Callable[[T], None], data: T) -> None:
        """Call `write` with `data`: now if nothing else is on its way, otherwise with the others of this turn. In order, always."""
        left = self._left
        if not left:  # the first of this turn
            left, self.coming = self.coming, 0
            if left <= 1 and not self._waiting:
                write(data)
                return
        self._waiting.append((write, data))
        self._left = left - 1
        if left <= 1 or len(self._waiting) >= MOST_WAITING:
            self.flush()
        elif not self._is_ending:
            self._is_ending = True
            self.loop.call_soon(self._end)

    def flush(self) -> None:
        """Write all that waits: before a connection is closed, above all."""
        waiting, self._waiting = self._waiting, []
        for write, data in waiting:
            try:
                write(data)
            except Exception as error:  # the others' writes are none of its business
                log.exception("a write failed", exc_info=error)

    def _end(self) -> None:
        """Of a turn in which somebody had nothing to write, or not yet."""
        self._is_ending, self._left = False, 0
        self.flush()
