"""A clock on an await: ends it when nothing happened for so long. Cheap to touch, as it is touched per chunk, and cheap to leave
in time, as nearly every request does."""

import asyncio
import math
from types import TracebackType
from typing import Any, ClassVar, Self

import msgspec

__all__ = ["Watch"]


class Watch(msgspec.Struct, eq=False):
    """`with Watch(seconds) as watch:` raises `TimeoutError` inside the block once `seconds` passed since the last `touch()`.

    0 never fires. `pause()` stops the clock until the next `touch()`, `allow(seconds)` goes on with another patience. With
    `limit_s` the block ends that long after it began, whatever happens in it. A touch is one store: the alarm looks for the
    last one when it rings.
    """

    seconds: float
    limit_s: float = 0.0
    task: asyncio.Task[Any] | None = None
    """The one that will be in the block, where that is known: looking for it is a system call before Python 3.12."""
    limit_reached: bool = False
    """It was `limit_s` that ended the block."""
    renewed: bool = False
    """`allow` was called."""
    expired: bool = False
    last_s: float | None = None
    """When it was touched; None while it pauses."""
    until_s: float = math.inf
    alarm: "Alarm | None" = None

    def __enter__(self) -> Self:
        task = self.task = self.task or asyncio.current_task()
        assert task is not None
        loop, alarm = task.get_loop(), Alarm.latest
        if alarm is None or alarm.loop is not loop:
            alarm = Alarm.latest = Alarm(loop)
        self.alarm = alarm
        now_s = self.last_s = loop.time()
        if self.limit_s:
            self.until_s = now_s + self.limit_s
        alarm.watches.add(self)
        due_s = self.due_s(now_s)
        if due_s < alarm.at_s:
            alarm.set(due_s)
        return self

    def touch(self) -> None:
        assert self.alarm is not None
        self.last_s = self.alarm.loop.time()

    def pause(self) -> None:
        self.last_s = None

    def allow(self, seconds: float) -> None:
        """From now on so many seconds may pass between two touches."""
        assert self.alarm is not None
        self.renewed = True
        self.seconds = seconds
        now_s = self.last_s = self.alarm.loop.time()
        due_s = self.due_s(now_s)
        if due_s < self.alarm.at_s:
            self.alarm.set(due_s)

    def due_s(self, now_s: float) -> float:
        """When it fires, unless it is touched before; infinite for never."""
        if not self.seconds:
            return self.until_s
        due_s = (now_s if self.last_s is None else self.last_s) + self.seconds
        if due_s < self.until_s:  # min() would cost as much as all the rest here
            return due_s
        return self.until_s

    def fire(self, now_s: float) -> None:
        assert self.task is not None
        self.expired = True
        self.limit_reached = now_s >= self.until_s
        self.task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.task is not None
        assert self.alarm is not None
        self.alarm.watches.discard(self)
        if self.expired and self.task.uncancel() == 0 and kind is asyncio.CancelledError:
            said = f"it took more than {self.limit_s:g} s" if self.limit_reached else f"nothing for {self.seconds:g} s"
            raise TimeoutError(said) from error


class Alarm:
    """One timer for all watches of a loop: one of its own for each would be made and cancelled with every request.

    It rings when the first of them may be due, and is set again for the first that is left.
    """

    __slots__ = ("_timer", "at_s", "loop", "watches")

    latest: ClassVar["Alarm | None"] = None
    """The one in use: a process has one loop for as long as it serves."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.watches: set[Watch] = set()
        self.at_s = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def set(self, due_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.at_s = due_s
        self._timer = self.loop.call_at(due_s, self._ring)

    def _ring(self) -> None:
        self.at_s, self._timer = math.inf, None
        now_s = self.loop.time()
        first_s = math.inf
        for watch in [*self.watches]:
            due_s = watch.due_s(now_s)
            if due_s > now_s:
                first_s = min(first_s, due_s)
            elif not watch.expired:
                watch.fire(now_s)
        if first_s < math.inf:
            self.set(first_s)
