"""SIGTERM and SIGINT as events of the running loop, on every platform."""

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

__all__ = ["Signals"]

STOPPING = [signal.SIGINT, signal.SIGTERM]
if hasattr(signal, "SIGBREAK"):  # Windows: Ctrl-Break
    STOPPING.append(signal.SIGBREAK)


class Signals:
    """A context in which the first stopping signal sets `first` and any other one `second`. Main thread only, else inert."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self.last = 0
        """Number of the latest signal."""
        self._undo: list[Callable[[], object]] = []

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                self._install(number)
        return self

    def __exit__(self, *_: object) -> None:
        for undo in self._undo:
            undo()

    def _install(self, number: signal.Signals) -> None:
        loop = asyncio.get_running_loop()
        before: Any = signal.getsignal(number)
        try:
            loop.add_signal_handler(number, self._arrived, number)
        except NotImplementedError:  # Windows

            def handler(_: int, __: FrameType | None) -> None:
                loop.call_soon_threadsafe(self._arrived, number)

            signal.signal(number, handler)
        else:
            self._undo.append(lambda: loop.remove_signal_handler(number))
        if before is not None:  # set by something other than Python
            self._undo.append(lambda: signal.signal(number, before))

    def _arrived(self, number: int) -> None:
        self.last = int(number)
        (self.second if self.first.is_set() else self.first).set()
