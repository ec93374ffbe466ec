"""The limit: a proxy that only finds where messages begin and end and passes their bytes on. Asyncio protocols, uvloop and
httptools; no JSON, no keys, no accounting. `python -m benchmark.proxy HOST PORT` prints its base URL when it listens.
"""

import asyncio
import sys
from typing import cast

import httptools

from benchmark import process


class Pipe(asyncio.Protocol):
    """What both sides share: writing to the other one no faster than it can take."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.peer: Pipe | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are none by type

    def pause_writing(self) -> None:
        if self.peer:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer:
            self.peer.transport.resume_reading()


class Upstream(Pipe):
    """A pooled connection; goes back into the pool when its answer is complete."""

    def __init__(self, idle: "list[Upstream]") -> None:
        super().__init__()
        self.idle = idle
        self.parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        client = self.peer
        if client is None:
            self.transport.close()  # bytes nobody asked for
            return
        client.transport.write(data)
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self.peer:
            self.peer.peer = None
            self.peer = None
        self.idle.append(self)

    def connection_lost(self, error: Exception | None) -> None:
        if self in self.idle:
            self.idle.remove(self)
        if self.peer:
            self.peer.transport.close()


class Client(Pipe):
    """A client's connection; takes an upstream connection for each request."""

    def __init__(self, host: str, port: int, idle: list[Upstream]) -> None:
        super().__init__()
        self.address = host, port
        self.idle = idle
        self.parser = httptools.HttpRequestParser(self)
        self.waiting: list[bytes] = []
        self.connecting: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)
        if self.peer:
            self.peer.transport.write(data)
        else:
            self.waiting.append(data)

    def on_message_begin(self) -> None:
        if self.idle:
            self.join(self.idle.pop())
        else:
            self.connecting = asyncio.create_task(self.connect())

    async def connect(self) -> None:
        _, upstream = await asyncio.get_running_loop().create_connection(lambda: Upstream(self.idle), *self.address)
        self.join(upstream)
        upstream.transport.writelines(self.waiting)
        self.waiting.clear()

    def join(self, upstream: Upstream) -> None:
        self.peer, upstream.peer = upstream, self

    def connection_lost(self, error: Exception | None) -> None:
        if self.connecting:
            self.connecting.cancel()
        if self.peer:
            self.peer.peer = None
            self.peer.transport.close()


if __name__ == "__main__":
    pool: list[Upstream] = []
    process.serve(lambda: Client(sys.argv[1], int(sys.argv[2]), pool))
