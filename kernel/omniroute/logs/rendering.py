"""Events to lines: JSON for machines, columns for people. Text from outside cannot forge a line or drive a terminal."""

import asyncio
import json
import sys
import threading
import time
from collections.abc import MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, BinaryIO, TypeAlias

import msgspec

__all__ = ["Lines", "add_time", "encode", "escape_values", "json_line", "now", "render_json"]

EventDict: TypeAlias = MutableMapping[str, Any]

_JSON = msgspec.json.Encoder(enc_hook=repr)


def now() -> str:
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
    return f"{_second(seconds)}.{milliseconds:03}Z"


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def add_time(logger: object, method: str, event: EventDict) -> EventDict:
    event["time"] = now()
    return event


def render_json(logger: object, method: str, event: EventDict) -> bytes:
    return json_line({"time": event.pop("time"), "level": event.pop("level"), "event": event.pop("event"), **event})


def json_line(line: dict[str, Any] | msgspec.Struct) -> bytes:
    try:
        return _JSON.encode(line)
    except (UnicodeEncodeError, OverflowError, msgspec.MsgspecError):  # lone surrogates, integers beyond 64 bits
        fields = msgspec.structs.asdict(line) if isinstance(line, msgspec.Struct) else line
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
    """Writes rendered lines. What cannot be written is dropped: the disk is full, or nobody reads stderr any more."""

    def __init__(self, stream: BinaryIO | None) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._kept: list[bytes] = []

    def soon(self, line: bytes) -> None:
        """Write it, with others, at the end of the event loop's turn, and before any line that comes after it.

        A busy gateway ends several requests in one turn, and a write is a system call.
        """
        with self._lock:
            self._kept.append(line)
            if len(self._kept) > 1:
                return  # somebody writes it already
        try:
            asyncio.get_running_loop().call_soon(self._write)
        except RuntimeError:
            self._write()

    def msg(self, line: bytes) -> None:
        self._write(line)

    def _write(self, *last: bytes) -> None:
        stream = self._stream or getattr(sys.stderr, "buffer", None)  # looked up each time: it may be replaced
        with self._lock:
            lines, self._kept = (*self._kept, *last), []
            if stream is None or not lines:
                return  # a program without a console
            try:
                stream.write(b"\n".join((*lines, b"")))
                stream.flush()
            except (OSError, ValueError):
                return

    debug = info = warning = error = critical = msg
