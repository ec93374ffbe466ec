"""The scripted upstream: fixed answers on keep-alive connections, as cheap as Python can give them.

`python -m benchmark.upstream` prints its base URL when it listens and ends when its standard input closes.
"""

import asyncio
import functools
import itertools
from time import perf_counter
from typing import cast

import httptools

from benchmark import process, wire

WHOLE = {dialect: wire.json_response(wire.whole_answer(dialect)) for dialect in wire.PATHS}


@functools.cache
def stream(dialect: str, count: int, text: str) -> list[bytes]:
    """What to write, one piece per event."""
    parts = [wire.chunked(event) for event in wire.events(dialect, count, text)]
    return [wire.STREAM_HEAD + parts[0], *parts[1:-1], parts[-1] + wire.STREAM_END]


begun = itertools.count()
"""Slow streams."""
GOLDEN_RATIO = 0.618034


def spread_s(now_s: float) -> float:
    """When a slow stream counts as begun: within the last interval, so that the events of any number of streams are spread
    evenly over it. Left to when they were begun, they come in bunches, in others for the gateway than for the proxy, and
    an event costs less in a bunch (16 µs instead of 25, of the proxy).
    """
    interval_s = 1 / wire.SLOW_EVENTS_PER_S
    return now_s - (now_s - next(begun) * GOLDEN_RATIO * interval_s) % interval_s


class Upstream(asyncio.Protocol):
    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.url = b""
        self.transport: asyncio.Transport
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are none by type

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self.timer:
            self.timer.cancel()

    def on_message_begin(self) -> None:
        self.url = b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_message_complete(self) -> None:
        kind, _, rest = self.url[1:].partition(b"/")
        dialect = wire.MESSAGES if self.url.endswith(b"/messages") else wire.CHAT
        if kind == b"json":
            self.transport.write(WHOLE[dialect])
        elif kind == b"burst":
            self.rush(stream(dialect, wire.STREAM_EVENTS, " lorem"), 0)
        else:
            parts = stream(dialect, int(rest.partition(b"/")[0]), f" lorem {wire.NO_STAMP.decode()}")
            self.dribble(parts, 0, spread_s(asyncio.get_running_loop().time()))

    def rush(self, parts: list[bytes], index: int) -> None:
        """One event per turn of the loop, so that events reach the other side in as many pieces as it can keep up with."""
        self.transport.write(parts[index])
        if index + 1 < len(parts) and not self.transport.is_closing():
            asyncio.get_running_loop().call_soon(self.rush, parts, index + 1)

    def dribble(self, parts: list[bytes], index: int, started_s: float) -> None:
        """Send one event, then the next when it is due, counted from the first so that lateness does not add up."""
        self.transport.write(wire.stamped(parts[index], perf_counter()))
        if index + 1 < len(parts):
            due_s = started_s + (index + 1) / wire.SLOW_EVENTS_PER_S
            self.timer = asyncio.get_running_loop().call_at(due_s, self.dribble, parts, index + 1, started_s)


if __name__ == "__main__":
    process.serve(Upstream)
