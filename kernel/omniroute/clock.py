"""A clock on an await: ends it when nothing happened for so long. Cheap to touch, as it is touched per chunk."""

import asyncio
import math
from types import TracebackType
from typing import Any, Self

__all__ = ["Watch"]


class Watch:
    """`with Watch(seconds) as watch:` raises `TimeoutError` inside the block once `seconds` passed since the last `touch()`.

    0 never fires. `pause()` stops the clock until the next `touch()`, `allow(seconds)` goes on with another patience. With
    `limit_s` the block ends that long after it began, whatever happens in it. One timer is armed at a time and re-armed when
    it finds that it came too early, so a touch is one store.
    """

    __slots__ = ("_armed", "_expired", "_last_s", "_limit_s", "_loop", "_seconds", "_task", "_until_s", "limit_reached", "renewed")  # fmt: skip

    def __init__(self, seconds: float, *, limit_s: float = 0.0, task: asyncio.Task[Any] | None = None) -> None:
        """`task` is the one that will be in the block, where that is known: looking for it is a system call before Python 3.12."""
        self._task = task
        self._seconds = seconds
        self._limit_s = limit_s
        self._expired = False
        self._armed: asyncio.TimerHandle | None = None
        self.limit_reached = False
        """It was `limit_s` that ended the block."""
        self.renewed = False
        """`allow` was called."""

    def __enter__(self) -> Self:
        task = self._task or asyncio.current_task()
        assert task is not None
        self._task = task
        self._loop = task.get_loop()
        self._last_s: float | None = self._loop.time()
        self._until_s = self._last_s + self._limit_s if self._limit_s else math.inf
        self._arm(self._due_s(self._last_s))
        return self

    def touch(self) -> None:
        self._last_s = self._loop.time()

    def pause(self) -> None:
        self._last_s = None

    def allow(self, seconds: float) -> None:
        """From now on so many seconds may pass between two touches."""
        self.renewed = True
        self._seconds = seconds
        self._last_s = self._loop.time()
        due_s = self._due_s(self._last_s)
        if self._armed is None or due_s < self._armed.when():  # else it comes too early, and looks again
            self._cancel()
            self._arm(due_s)

    def _due_s(self, last_s: float) -> float:
        return min(last_s + self._seconds, self._until_s) if self._seconds else self._until_s

    def _arm(self, due_s: float) -> None:
        self._armed = None if due_s == math.inf else self._loop.call_at(due_s, self._look)

    def _cancel(self) -> None:
        if self._armed is not None:
            self._armed.cancel()

    def _look(self) -> None:
        now_s = self._loop.time()
        due_s = self._due_s(now_s if self._last_s is None else self._last_s)
        if due_s > now_s:
            self._arm(due_s)
            return
        self._armed = None
        self._expired = True
        self.limit_reached = now_s >= self._until_s
        assert self._task is not None
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cancel()
        assert self._task is not None
        if self._expired and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            said = (
                f"it took more than {self._limit_s:g} s" if self.limit_reached else f"nothing for {self._seconds:g} s"
            )
            raise TimeoutError(said) from error
