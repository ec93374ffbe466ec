"""Framing: bytes in, frames out. Knows nothing of JSON.

A frame may span reads, and a cut may fall inside a line end or a character. Lines end in LF, CRLF or CR and in nothing
else (U+2028 and U+0085 are text). `close()` gives the last event even without its blank line, as browsers do not but
upstreams need. Source: WHATWG HTML, "Server-sent events", 9.2.6 (read 2026-11-22).
"""

import re
from collections.abc import Mapping, Sequence

from omniroute.contracts import Frame, Framing, Translator, Writer
from omniroute.errors import UpstreamGarbled

__all__ = ["FRAMINGS", "MAX_FRAME_BYTES", "JsonArray", "Ndjson", "Sse", "WholeJson", "keepalive"]

_BOM = b"\xef\xbb\xbf"
CR, LF = b"\r\n"
"""As numbers: to look for a byte that is written as bytes costs ten times as much in a short text."""
MAX_FRAME_BYTES = 4 * 1024 * 1024
"""One event may not be longer; a longer one is an upstream gone wrong."""

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?![\n]|\Z)){2}")  # a CR at the very end may be half of a CRLF


def _too_long() -> UpstreamGarbled:
    return UpstreamGarbled(f"the upstream sent one event of more than {MAX_FRAME_BYTES} bytes")


class SseSplitter:
    """Events of a text/event-stream. Comments and events without data are no frames; `id` and `retry` are ignored."""

    __slots__ = ("_rest", "complete")

    def __init__(self) -> None:
        self._rest = b""
        self.complete = b""

    def feed(self, data: bytes) -> Sequence[Frame]:
        if self._rest:
            data = self._rest + data
        has_cr = CR in data
        end = _last_blank_line(data) if has_cr else data.rfind(b"\n\n") + 2
        if end < 2:
            self.complete, self._rest = b"", data
            if len(data) > MAX_FRAME_BYTES:
                raise _too_long()
            return ()
        if end == len(data):
            self.complete, self._rest = data, b""
        else:
            self.complete, self._rest = data[:end], data[end:]
        text = _LINE_END.sub(b"\n", self.complete) if has_cr else self.complete
        return [frame for block in text[:-2].split(b"\n\n") if (frame := _parse(block)) is not None]

    def close(self) -> Sequence[Frame]:
        self.complete, self._rest = self._rest, b""
        frame = _parse(_LINE_END.sub(b"\n", self.complete))
        return () if frame is None else (frame,)

    @property
    def pending(self) -> bool:
        return bool(self._rest.strip(b"\r\n"))


def _last_blank_line(data: bytes) -> int:
    """Where the last complete event ends; 0 when none does."""
    end = 0
    for found in _BLANK_LINE.finditer(data):
        end = found.end()
    return end


def _parse(block: bytes) -> Frame | None:
    """One event whose lines end in LF; None when it carries no data."""
    if block.startswith(b"data: ") and LF not in block:  # by far the commonest
        return Frame(block[6:])
    data: bytes | None = None
    event: str | None = None
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name.removeprefix(_BOM) == b"data":
            data = value if data is None else data + b"\n" + value
        elif name == b"event":
            event = value.decode("utf-8", "replace")
    return None if data is None else Frame(data, event)


class Bare:
    """A framing whose stream is nothing but its frames, so that it can be its own writer."""

    keepalive = b"\n"

    def encode(self, frame: Frame) -> bytes:
        return frame.data

    def writer(self) -> Writer:
        return self

    def close(self) -> bytes:
        return b""


class Sse(Bare):
    name = "sse"
    content_type = "text/event-stream"
    keepalive = b": keep-alive\n\n"

    def splitter(self) -> SseSplitter:
        return SseSplitter()

    def encode(self, frame: Frame) -> bytes:
        data = frame.data
        if LF in data:
            data = data.replace(b"\n", b"\ndata: ")
        if frame.event is None:
            return b"data: %b\n\n" % data
        return b"event: %b\ndata: %b\n\n" % (frame.event.encode(), data)


class LineSplitter:
    __slots__ = ("_rest", "complete")

    def __init__(self) -> None:
        self._rest = b""
        self.complete = b""

    def feed(self, data: bytes) -> Sequence[Frame]:
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        self.complete, self._rest = data[:end], data[end:]
        if len(self._rest) > MAX_FRAME_BYTES:
            raise _too_long()
        return [Frame(line) for line in map(bytes.strip, self.complete.split(b"\n")) if line]

    def close(self) -> Sequence[Frame]:
        self.complete, self._rest = self._rest, b""
        rest = self.complete.strip()
        return (Frame(rest),) if rest else ()

    @property
    def pending(self) -> bool:
        return bool(self._rest.strip())


class Ndjson(Bare):
    name = "ndjson"
    content_type = "application/x-ndjson"

    def splitter(self) -> LineSplitter:
        return LineSplitter()

    def encode(self, frame: Frame) -> bytes:
        return frame.data + b"\n"


class WholeSplitter:
    """The whole body is one frame."""

    __slots__ = ("_parts", "complete")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.complete = b""

    def feed(self, data: bytes) -> Sequence[Frame]:
        self._parts.append(data)
        return ()

    def close(self) -> Sequence[Frame]:
        self.complete = b"".join(self._parts)
        self._parts.clear()
        return (Frame(self.complete),) if self.complete else ()

    @property
    def pending(self) -> bool:
        return bool(self._parts)


class WholeJson(Bare):
    name = "json"
    content_type = "application/json"

    def splitter(self) -> WholeSplitter:
        return WholeSplitter()


class JsonArray:
    """A stream as one JSON list with an item per frame, for clients that ask for it. Written only: read, it is one frame."""

    name = "json-array"
    content_type = "application/json"
    keepalive = b"\n"

    def splitter(self) -> WholeSplitter:
        return WholeSplitter()

    def encode(self, frame: Frame) -> bytes:
        return frame.data

    def writer(self) -> "ArrayWriter":
        return ArrayWriter()


class ArrayWriter:
    __slots__ = ("_before",)

    def __init__(self) -> None:
        self._before = b"["

    def encode(self, frame: Frame) -> bytes:
        before, self._before = self._before, b",\n"
        return before + frame.data

    def close(self) -> bytes:
        return b"[]" if self._before == b"[" else b"]"


def keepalive(translator: Translator, client: Framing) -> bytes:
    """What a waiting client whose stream has this framing is sent: the dialect's own form, else the framing's."""
    return (translator.keepalive if client.name == translator.framing else b"") or client.keepalive


FRAMINGS: Mapping[str, Framing] = {framing.name: framing for framing in (Sse(), Ndjson(), WholeJson(), JsonArray())}
