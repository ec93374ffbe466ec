"""How late the event loop is, and where it stood when it stood still: one slow call in it holds up every request.

The loop beats ten times a second; a thread listens. When a beat is missing for too long the thread writes down the loop's
stack while it still stands there, which no code in the loop could do. Costs two wake-ups per beat and nothing per request.
"""

import asyncio
import itertools
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Self

import msgspec

from omniroute.logs import get_logger

__all__ = ["Lag", "LoopWatch", "shown_stack"]

BEAT_S = 0.1
BOUNDS_S = (0.001, 0.005, 0.02, 0.05, 0.25, 1.0)
"""Upper bounds of the classes lags are counted in; the last class has none."""
MAX_FRAMES = 12

log = get_logger(__name__)


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """How late beats were, since the start."""

    beats: int = 0
    longest_s: float = 0.0
    p99_s: float | None = None
    """At least 99 of 100 beats were no later than this; one of the bounds they are counted by. None: later than all of them."""
    stalls: int = 0
    """How often the loop stood still for longer than the limit."""


class LoopWatch:
    """A context around the life of one event loop, entered in its thread; `stall_s = 0` watches nothing."""

    def __init__(
        self,
        stall_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        report: Callable[[float, list[str]], None] | None = None,
    ) -> None:
        """`report` is called in the watching thread with the seconds passed so far and the loop's stack, innermost last."""
        self._stall_s = stall_s
        self._clock = clock
        self._report = report or _log
        self._due_s = 0.0
        """When the next beat should come."""
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self._longest_s = 0.0
        self._stalls = 0

    @property
    def lag(self) -> Lag:
        beats = sum(self._counts)
        return Lag(beats=beats, longest_s=self._longest_s, p99_s=self._p99(beats), stalls=self._stalls)

    def __enter__(self) -> Self:
        if self._stall_s:
            self._loop = asyncio.get_running_loop()
            self._loop_thread = threading.get_ident()
            self._wait_for_next()
            self._thread = threading.Thread(target=self._listen, name="loop-watch", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._over.set()
            self._thread.join()
            assert self._timer is not None
            self._timer.cancel()

    # --- in the loop

    def _wait_for_next(self) -> None:
        self._due_s = self._clock() + BEAT_S
        self._timer = self._loop.call_later(BEAT_S, self._beat)

    def _beat(self) -> None:
        self.note(self._clock() - self._due_s)
        self._wait_for_next()

    def note(self, lag_s: float) -> None:
        """A beat came so late."""
        self._counts[next((i for i, bound in enumerate(BOUNDS_S) if lag_s <= bound), -1)] += 1
        self._longest_s = max(self._longest_s, lag_s)
        if lag_s > self._stall_s:
            self._stalls += 1

    def _p99(self, beats: int) -> float | None:
        seen = 0
        for bound, count in zip(BOUNDS_S, self._counts, strict=False):
            seen += count
            if seen * 100 >= beats * 99:
                return bound
        return None

    # --- in the thread

    def _listen(self) -> None:
        reported_s = 0.0
        while not self._over.wait(self._stall_s / 2):
            due_s = self._due_s
            late_s = self._clock() - due_s
            if late_s > self._stall_s and due_s != reported_s:
                reported_s = due_s  # once per beat that is missing
                frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - documented, and the only way
                self._report(late_s, shown_stack(frame))


def shown_stack(frame: FrameType | None) -> list[str]:
    """`module:line function` of the innermost frames: a plugin's module has its name. No values: they may be anybody's."""
    stack = itertools.islice(traceback.walk_stack(frame), MAX_FRAMES) if frame is not None else ()
    return [f"{each.f_globals.get('__name__')}:{line} {each.f_code.co_name}" for each, line in stack][::-1]


def _log(late_s: float, stack: list[str]) -> None:
    log.warning("the event loop stands still", for_s=round(late_s, 3), stack=stack)
