"""What a scripted upstream does with a request: whole answers, streams, and raw steps for everything that is not HTTP."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

__all__ = ["Close", "Hang", "Pause", "Reply", "Reset", "Script", "Send", "Step", "Stream", "WaitFor"]

REASONS = {200: "OK", 301: "Moved Permanently", 400: "Bad Request", 404: "Not Found", 429: "Too Many Requests"}

HeaderPairs: TypeAlias = Mapping[str, str] | Sequence[tuple[str, str]]
"""A sequence of pairs where one name comes twice."""


class Send(msgspec.Struct, frozen=True):
    """These very bytes; done when the kernel's socket has taken them."""

    data: bytes


class Hang(msgspec.Struct, frozen=True):
    """Nothing, until the peer closes or the test calls `FakeUpstream.release()`."""


class Close(msgspec.Struct, frozen=True):
    """End the connection in order (FIN)."""


class Reset(msgspec.Struct, frozen=True):
    """Break the connection (RST)."""


class Pause(msgspec.Struct, frozen=True):
    """Nothing, for so long: an upstream that is slow by itself. For facts to wait for there is `WaitFor`."""

    seconds: float


class WaitFor(msgspec.Struct, frozen=True):
    """Nothing, until the test sets the event."""

    event: asyncio.Event


class Reply(msgspec.Struct, frozen=True):
    """A whole answer with its `content-length`."""

    status: int = 200
    headers: HeaderPairs = {}
    body: bytes = b""

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: HeaderPairs = {}) -> "Reply":  # noqa: B006 - never changed
        pairs = [("content-type", "application/json"), *_pairs(headers)]
        return cls(status, pairs, msgspec.json.encode(value))


class Stream(msgspec.Struct, frozen=True):
    """An answer in pieces. Steps between the pieces say where it pauses or breaks; `chunks` may be endless.

    `framing` is how HTTP marks its end: `chunked`, or `close` for the end of the connection. Without `end` neither is sent,
    so the connection stays open in mid-answer until a step or the peer closes it.
    """

    chunks: "Iterable[bytes | Step]"
    content_type: str = "text/event-stream"
    status: int = 200
    headers: HeaderPairs = {}
    framing: Literal["chunked", "close"] = "chunked"
    end: bool = True


Step: TypeAlias = Send | Hang | Close | Pause | Reset | WaitFor
Script: TypeAlias = Reply | Stream | Step | Sequence[Reply | Stream | Step]


def steps(script: Script) -> Iterator[Step]:
    """The script as raw steps, made as they are needed."""
    if isinstance(script, Reply):
        head = _head(script.status, [*_pairs(script.headers), ("content-length", str(len(script.body)))])
        yield Send(head + script.body)
    elif isinstance(script, Stream):
        yield from _stream(script)
    elif isinstance(script, Sequence):
        for part in script:
            yield from steps(part)
    else:
        yield script


def _stream(stream: Stream) -> Iterator[Step]:
    chunked = stream.framing == "chunked"
    how = ("transfer-encoding", "chunked") if chunked else ("connection", "close")
    yield Send(_head(stream.status, [("content-type", stream.content_type), *_pairs(stream.headers), how]))
    for chunk in stream.chunks:
        if not isinstance(chunk, bytes):
            yield chunk
        elif chunk:  # an empty chunk would be the end
            yield Send(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
    if stream.end:
        yield Send(b"0\r\n\r\n") if chunked else Close()


def _head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _pairs(headers: HeaderPairs) -> Iterable[tuple[str, str]]:
    return headers.items() if isinstance(headers, Mapping) else headers
