"""A clock on an await: ends it when nothing happened for so long. Cheap to touch, as it is touched per chunk."""

import asyncio
from types import TracebackType
from typing import Self

__all__ = ["Watch"]


class Watch:
    """`with Watch(seconds) as watch:` raises `TimeoutError` inside the block once `seconds` passed since the last `touch()`.

    0 never fires. `pause()` stops the clock until the next `touch()`. One timer is armed at a time and re-armed when it
    finds that it came too early, so a touch is one store.
    """

    __slots__ = ("_armed", "_expired", "_last_s", "_loop", "_seconds", "_task")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._expired = False
        self._armed: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._last_s: float | None = self._loop.time()
        if self._seconds:
            self._armed = self._loop.call_later(self._seconds, self._look)
        return self

    def touch(self) -> None:
        self._last_s = self._loop.time()

    def pause(self) -> None:
        self._last_s = None

    def _look(self) -> None:
        if self._last_s is None:
            self._armed = self._loop.call_later(self._seconds, self._look)
            return
        due = self._last_s + self._seconds
        if due > self._loop.time():
            self._armed = self._loop.call_at(due, self._look)
            return
        self._armed = None
        self._expired = True
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._armed is not None:
            self._armed.cancel()
        if self._expired and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise TimeoutError(f"nothing happened for {self._seconds:g} s") from error
