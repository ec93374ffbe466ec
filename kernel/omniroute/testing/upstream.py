"""A scripted upstream on a loopback socket, on raw asyncio: it says exactly what its script says, valid HTTP or not.

It records every request and what became of every connection, so that a test can assert both sides of a fault: what the
client saw, and what the upstream saw. Nothing here sleeps; tests wait for facts (`await upstream.closed_by_peer(1)`).
"""

import asyncio
import contextlib
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self, TypeAlias, cast

import msgspec

from omniroute.testing.received import MalformedRequest, ReceivedRequest, parse
from omniroute.testing.scripts import Close, Hang, Pause, Reply, Reset, Script, Send, Step, WaitFor, steps

__all__ = ["Answer", "Connection", "FakeUpstream", "Validator"]

Answer: TypeAlias = Script | Callable[[ReceivedRequest], Script]
Validator: TypeAlias = Callable[[ReceivedRequest], Reply | None]
"""Looks at each request first. None lets it pass; a reply is the refusal the real service would give."""

LINGER_NOTHING = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class FakeUpstream:
    """An upstream that follows a script.

        async with FakeUpstream(Reply.json({"id": "1"}), Stream([b"data: {}", Hang()])) as upstream:
            ...  # point the gateway at upstream.base_url
            await upstream.closed_by_peer(1)
            assert upstream.requests[0].path == "/v1/chat/completions"

    Each request takes the next of `scripts`, then `answer` for ever (a script, or a function of the request). A request
    that finds neither is answered with 500, and leaving the block raises `AssertionError`, as it does when something
    arrived that is no HTTP or an `answer` function failed.
    """

    def __init__(self, *scripts: Answer, answer: Answer | None = None, validate: Validator | None = None) -> None:
        self.requests: list[ReceivedRequest] = []
        """In the order in which they were complete."""
        self.connections: list[Connection] = []
        """In the order in which they were accepted."""
        self.refused: list[tuple[ReceivedRequest, Reply]] = []
        """What `validate` did not let pass."""
        self._scripts = deque(scripts)
        self._answer = answer
        self._validate = validate
        self._problems: list[str] = []
        self._changed = asyncio.Event()
        self._released = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._port = 0

    # --- where it is --------------------------------------------------------------------------------------------------

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def base_url(self) -> str:
        """The API root as providers and accounts give it, version segment included: `<origin>/v1`."""
        return f"{self.origin}/v1"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        if kind is None and self._problems:
            raise AssertionError("FakeUpstream: " + "; ".join(self._problems))

    async def stop(self) -> None:
        """Stop listening and break every connection: from here on the upstream is down."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in self.connections:
            connection.abort()
        await asyncio.gather(*(connection.finished() for connection in self.connections))

    # --- what it does -------------------------------------------------------------------------------------------------

    def queue(self, *scripts: Answer) -> None:
        """Add scripts for the requests to come."""
        self._scripts.extend(scripts)

    def release(self) -> None:
        """Let every `Hang` go on, also those to come."""
        self._released.set()

    # --- what it saw --------------------------------------------------------------------------------------------------

    async def received(self, count: int, *, timeout_s: float = 5.0) -> None:
        """Wait until so many requests have arrived in all."""
        await self._until(lambda: len(self.requests) >= count, f"{count} requests", timeout_s)

    async def opened(self, count: int, *, timeout_s: float = 5.0) -> None:
        """Wait until so many connections have been accepted in all."""
        await self._until(lambda: len(self.connections) >= count, f"{count} connections", timeout_s)

    async def closed_by_peer(self, count: int, *, timeout_s: float = 5.0) -> None:
        """Wait until the other side has closed so many connections in all."""
        await self._until(
            lambda: sum(connection.closed_by == "peer" for connection in self.connections) >= count,
            f"{count} connections closed by the peer",
            timeout_s,
        )

    async def all_closed(self, *, timeout_s: float = 5.0) -> None:
        """Wait until no connection is open, whoever closed it."""
        await self._until(
            lambda: all(connection.closed_by for connection in self.connections), "every connection to close", timeout_s
        )

    async def _until(self, reached: Callable[[], bool], what: str, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not reached():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(
                f"FakeUpstream: waited {timeout_s:g} s for {what}; saw {len(self.requests)} requests on"
                f" {[connection.state for connection in self.connections]}"
            ) from None

    # --- for its connections ------------------------------------------------------------------------------------------

    def _accept(self) -> "Connection":
        return Connection(self)

    def join(self, connection: "Connection") -> int | None:
        """Its number; None when the upstream has stopped meanwhile."""
        if self._server is None:
            return None
        self.connections.append(connection)
        self.note()
        return len(self.connections)

    def note(self) -> None:
        """Something happened that somebody may be waiting for."""
        self._changed.set()

    def problem(self, text: str) -> None:
        self._problems.append(text)

    async def wait_for_release(self) -> None:
        await self._released.wait()

    def script_for(self, request: ReceivedRequest) -> Script:
        if self._validate is not None and (refusal := self._validate(request)) is not None:
            self.refused.append((request, refusal))
            return refusal
        answer = self._scripts.popleft() if self._scripts else self._answer
        if answer is None:
            self.problem(f"no script left for request {len(self.requests)}, {request.method} {request.target}")
            return Reply(500, {"content-type": "text/plain"}, b"FakeUpstream: no script left")
        return answer(request) if callable(answer) else answer


class Connection(asyncio.Protocol):
    """One accepted connection. The attributes are facts for tests to read."""

    def __init__(self, upstream: FakeUpstream) -> None:
        self.number = 0
        """From 1, in the order of acceptance."""
        self.requests: list[ReceivedRequest] = []
        self.received_bytes = 0
        self.sent_bytes = 0
        """What the kernel's socket has taken, HTTP framing included."""
        self.closed_by: Literal["peer", "upstream"] | None = None
        """None while it is open."""
        self.reset_by_peer = False
        self._upstream = upstream
        self._buffer = bytearray()
        self._pending: asyncio.Queue[ReceivedRequest] = asyncio.Queue()
        self._writable = asyncio.Event()
        self._lost = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def closed(self) -> bool:
        return self.closed_by is not None

    @property
    def state(self) -> str:
        end = f"closed by {self.closed_by}" if self.closed_by else "open"
        return f"connection {self.number} ({len(self.requests)} requests, {self.sent_bytes} bytes sent, {end})"

    def abort(self) -> None:
        """Break the connection now, from this side."""
        if self._transport is not None and self.closed_by is None:
            self._closed("upstream")
            self._transport.abort()

    async def finished(self) -> None:
        """Wait until the socket and the script are gone."""
        await self._lost.wait()
        if self._serving is not None:
            await asyncio.wait([self._serving])

    # --- asyncio's side -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        number = self._upstream.join(self)
        if number is None:
            self._transport.abort()
            return
        self.number = number
        self._transport.set_write_buffer_limits(0)  # `Send` is done when the socket has taken it
        self._writable.set()
        self._serving = asyncio.get_running_loop().create_task(self._serve(self._transport))

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        self._buffer += data
        try:
            while self._buffer and (found := parse(self._buffer)) is not None:
                request, consumed = found
                del self._buffer[:consumed]
                self._arrived(request)
        except MalformedRequest as error:
            self._upstream.problem(f"connection {self.number}: {error}")
            self.abort()

    def eof_received(self) -> bool:
        self._closed("peer")
        if self._transport is not None:
            self._transport.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.reset_by_peer = self.closed_by is None and isinstance(exc, ConnectionError)
        self._closed("peer")
        self._lost.set()
        if self._serving is not None:
            self._serving.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # --- the script's side --------------------------------------------------------------------------------------------

    def _arrived(self, request: ReceivedRequest) -> None:
        request = msgspec.structs.replace(request, connection=self.number, at_s=asyncio.get_running_loop().time())
        self.requests.append(request)
        self._upstream.requests.append(request)
        self._pending.put_nowait(request)
        self._upstream.note()

    def _closed(self, by: Literal["peer", "upstream"]) -> None:
        if self.closed_by is None:
            self.closed_by = by
            self._upstream.note()

    async def _serve(self, transport: asyncio.Transport) -> None:
        """One request after the other, until `connection_lost` cancels this."""
        while True:
            request = await self._pending.get()
            await self._play(request, transport)

    async def _play(self, request: ReceivedRequest, transport: asyncio.Transport) -> None:
        try:
            for step in steps(self._upstream.script_for(request)):
                if self.closed:
                    return
                await self._do(step, transport)
        except Exception as error:  # a test's own function; told at the end of the block
            self._upstream.problem(f"the script for {request.method} {request.target} failed: {error!r}")
            self.abort()
        if not self.closed and (request.header("connection") or "").lower() == "close":
            await self._do(Close(), transport)

    async def _do(self, step: Step, transport: asyncio.Transport) -> None:
        match step:
            case Send(data):
                transport.write(data)
                await asyncio.sleep(0)  # an endless script must not keep the loop from hearing that the peer has gone
                await self._writable.wait()
                self.sent_bytes += len(data)
            case Hang():
                await self._upstream.wait_for_release()
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case WaitFor(event):
                await event.wait()
            case Close():
                self._closed("upstream")
                transport.close()
            case Reset():
                self._closed("upstream")
                with contextlib.suppress(OSError):
                    sock = transport.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOTHING)
                transport.abort()
