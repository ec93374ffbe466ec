"""Events to lines: JSON for machines, columns for people. Text from outside cannot forge a line or drive a terminal."""

import asyncio
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, BinaryIO, TypeAlias, TypeVar

import msgspec

__all__ = ["Lines", "add_time", "encode", "escape_values", "json_line", "render_json", "stamp"]

EventDict: TypeAlias = MutableMapping[str, Any]
T = TypeVar("T")

MILLISECONDS = tuple(f".{number:03}Z" for number in range(1000))

PAUSE_S = 0.025
"""Between two writes of lines that may wait: nobody who reads along notices."""
MOST_WAITING = 16
"""Lines that are rendered in one go, while which no request is served; a hundred would take a millisecond."""

_JSON = msgspec.json.Encoder(enc_hook=repr)


def stamp(at_s: float) -> str:
    """Unix time to the millisecond, as it stands in a line."""
    second = int(at_s)
    return _second(second) + MILLISECONDS[int((at_s - second) * 1000)]


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def add_time(logger: object, method: str, event: EventDict) -> EventDict:
    event["time"] = stamp(time.time())
    return event


def render_json(logger: object, method: str, event: EventDict) -> bytes:
    return json_line({"time": event.pop("time"), "level": event.pop("level"), "event": event.pop("event"), **event})


def json_line(line: dict[str, Any] | msgspec.Struct) -> bytes:
    try:
        return _JSON.encode(line)
    except (UnicodeEncodeError, OverflowError, msgspec.MsgspecError):  # lone surrogates, integers beyond 64 bits
        fields = line
        if isinstance(line, msgspec.Struct):
            fields = {name: value for name, value in msgspec.structs.asdict(line).items() if value is not None}
        return json.dumps(fields, default=repr).encode()


def _escape(text: str) -> str:
    """Control, format and separator characters (line ends, terminal sequences, text direction) as `\\x1b`."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def escape_values(logger: object, method: str, event: EventDict) -> EventDict:
    """Console only: JSON escapes by itself. A traceback keeps its lines, indented so that none can pass for an event."""
    trace = event.pop("exception", None)
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = _escape(value)
        elif not isinstance(value, int | float | None):
            event[name] = _escape(repr(value))
    if trace is not None:
        event["exception"] = "\n".join("    " + _escape(line) for line in str(trace).split("\n"))
    return event


def encode(logger: object, method: str, line: Any) -> bytes:
    return str(line).encode("utf-8", "backslashreplace")


class Lines:
    """Writes lines. What cannot be written is dropped: the disk is full, or nobody reads stderr any more."""

    def __init__(self, stream: BinaryIO | None) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Callable[[Any], bytes], Any]] = deque()
        self._pausing: asyncio.AbstractEventLoop | None = None
        """Where a timer runs since the last write of lines that may wait."""

    def later(self, render: Callable[[T], bytes], event: T) -> None:
        """Write what `render` makes of the event: at the end of the event loop's turn after a quiet time; of a busy gateway's many
        together, for the tenth costs a fraction of the first and a write is a system call. It waits for `PAUSE_S` at most, and is
        written before any line that comes after it and, unless the process is killed, before that ends.
        """
        self._waiting.append((render, event))
        # That is where we are: to ask for the running loop is a system call before Python 3.12.
        if self._pausing is not None and self._pausing.is_running():
            if len(self._waiting) >= MOST_WAITING:
                self.flush()
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        loop.call_soon(self.flush)
        self._pause(loop)

    def _pause(self, loop: asyncio.AbstractEventLoop) -> None:
        self._pausing = loop
        loop.call_later(PAUSE_S, self._go_on, loop)

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiting:
            self.flush()
            self._pause(loop)
        else:
            self._pausing = None

    def flush(self) -> None:
        """Write all that waits."""
        self._write()

    def msg(self, line: bytes) -> None:
        self._write(line)

    def _write(self, *last: bytes) -> None:
        stream = self._stream or getattr(sys.stderr, "buffer", None)  # looked up each time: it may be replaced
        with self._lock:
            lines = []
            while self._waiting:
                render, event = self._waiting.popleft()
                lines.append(render(event))
            lines += last
            if stream is None or not lines:
                return  # a program without a console
            try:
                stream.write(b"\n".join((*lines, b"")))
                stream.flush()
            except (OSError, ValueError):
                return

    debug = info = warning = error = critical = msg
