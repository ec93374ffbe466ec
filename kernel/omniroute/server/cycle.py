"""One request of a connection and its answer, as ASGI sees them.

The head waits for the first piece of the body: an answer that is whole goes out in one write, and a failure before anything
was written can still be answered. Header values with control characters are refused; lengths are held to.
"""

import asyncio
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HEADER_RE, STATUS_LINE

from omniroute.logs import get_logger
from omniroute.server.asgi import Application, Scope

__all__ = ["Cycle"]

log = get_logger("omniroute.server")

CONTROLS = bytes(sorted({*range(0x20), 0x7F} - {0x09}))
BODILESS = (204, 304)
FAILED = b"Internal Server Error"
FAILED_HEADERS = (
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", str(len(FAILED)).encode()),
    (b"connection", b"close"),
)
GONE = {"type": "http.disconnect"}


class Connection(Protocol):
    """What a cycle needs of its connection."""

    transport: asyncio.Transport
    flow: FlowControl

    @property
    def standing_headers(self) -> list[tuple[bytes, bytes]]: ...
    def on_response_complete(self) -> None: ...
    def close_gently(self) -> None: ...


class Cycle:
    """`receive` and `send` are the application's."""

    __slots__ = (
        "_connection",
        "_is_head",
        "_left_bytes",
        "_news",
        "_on_leave",
        "_pieces",
        "_start",
        "_unread_bytes",
        "_waiting",
        "disconnected",
        "keep_alive",
        "more_body",
        "response_complete",
        "response_started",
        "waiting_for_100_continue",
    )

    def __init__(self, connection: Connection, *, is_head: bool, waits_for_100: bool) -> None:
        """Keeps no scope: that holds the cycle, and the two would be left to the garbage collector, each with its body."""
        self.keep_alive = False
        self.waiting_for_100_continue = waits_for_100
        self.disconnected = False
        self.more_body = True
        self.response_started = False
        """The head has been written."""
        self.response_complete = False
        self._connection = connection
        self._is_head = is_head
        self._pieces: list[bytes] = []
        self._unread_bytes = 0
        self._news = False
        """There is something that `receive` has not told yet."""
        self._waiting: asyncio.Event | None = None
        """Made when `receive` has to wait: most bodies are here before they are asked for."""
        self._on_leave: Callable[[], None] | None = None
        self._start: Any = None
        """The message with the head."""
        self._left_bytes: int | None = None
        """Of the declared length; None: the body is chunked."""

    # --- the server's side

    def take(self, body: bytes) -> None:
        """A piece of the request's body."""
        if self.response_complete:
            return
        self._pieces.append(body)
        self._unread_bytes += len(body)
        if self._unread_bytes > HIGH_WATER_LIMIT:
            self._connection.flow.pause_reading()
        self._tell()

    def end_body(self) -> None:
        self.more_body = False
        self._tell()

    def leave(self) -> None:
        """The client has gone, or counts as gone."""
        if self.response_complete:
            return
        self.disconnected = True
        self._tell()
        on_leave, self._on_leave = self._on_leave, None
        if on_leave is not None:
            on_leave()

    def watch_leaving(self, on_leave: Callable[[], None] | None) -> None:
        """Call this once when the client leaves before it has its answer, at once when it has; None: nothing any more."""
        self._on_leave = on_leave
        if on_leave is not None and self.disconnected:
            self.leave()

    def _tell(self) -> None:
        self._news = True
        if self._waiting is not None:
            self._waiting.set()

    async def run(self, app: Application, scope: Scope) -> None:
        """Never raises: whatever the application does, the connection is left in order."""
        try:
            await app(scope, self.receive, self.send)
        except asyncio.CancelledError:  # at the server's end
            await self._fail()
        except BaseException as error:
            log.exception("the application failed", exc_info=error)
            await self._fail()
        else:
            if not self.response_complete and not self.disconnected:
                log.error("the application did not answer to the end")
                await self._fail()

    async def _fail(self) -> None:
        if self.response_started:
            self._connection.transport.close()
            return
        self._start = None
        await self.send({"type": "http.response.start", "status": 500, "headers": FAILED_HEADERS})
        await self.send({"type": "http.response.body", "body": FAILED})

    # --- the application's side

    async def receive(self) -> Any:
        connection = self._connection
        if self.waiting_for_100_continue and not connection.transport.is_closing():
            connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        while not (self._news or self.disconnected or self.response_complete):
            connection.flow.resume_reading()
            if self._waiting is None:
                self._waiting = asyncio.Event()
            self._waiting.clear()
            await self._waiting.wait()
        self._news = False
        if self.disconnected or self.response_complete:
            return GONE
        connection.flow.resume_reading()
        pieces, self._pieces, self._unread_bytes = self._pieces, [], 0
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Any) -> None:
        flow = self._connection.flow
        if flow.write_paused and not self.disconnected:
            await flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if kind == "http.response.start" and self._start is None:
            self._start = message
        elif kind == "http.response.body" and self._start is not None and not self.response_complete:
            self._write(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"the ASGI message {kind!r} is out of turn")

    # --- what is written

    def _write(self, body: bytes, *, more: bool) -> None:
        pieces = [] if self.response_started else [self._head()]
        if self._is_head:
            pass
        elif self._left_bytes is None:
            if body:
                pieces += (b"%x\r\n" % len(body), body, b"\r\n")
            if not more:
                pieces.append(b"0\r\n\r\n")
        else:
            self._left_bytes -= len(body)
            if self._left_bytes < 0 or (self._left_bytes and not more):
                raise RuntimeError("the body is not as long as its Content-Length")
            pieces.append(body)
        self.response_started, self.waiting_for_100_continue = True, False
        connection = self._connection
        connection.transport.write(b"".join(pieces))
        if more:
            return
        self.response_complete = True
        if self._waiting is not None:
            self._waiting.set()
        if not self.keep_alive:
            connection.close_gently()
        connection.on_response_complete()

    def _head(self) -> bytes:
        status = self._start["status"]
        lines = [STATUS_LINE[status]]
        closes = False
        is_chunked = True
        for name, value in (*self._connection.standing_headers, *self._start.get("headers", ())):
            name, beginning = _field(name)  # noqa: PLW2901 - in lower case from here on
            lines += (beginning, value, b"\r\n")
            if name == b"content-length":
                self._left_bytes = int(value)
                is_chunked = False
            elif name == b"connection" and b"close" in [token.strip() for token in value.lower().split(b",")]:
                closes = True
        count = len(lines) // 3 + 2
        if closes:
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close\r\n")
            count += 1
        if is_chunked and not self._is_head and status not in BODILESS:
            lines.append(b"transfer-encoding: chunked\r\n")
            count += 1
        elif is_chunked:
            self._left_bytes = 0
        lines.append(b"\r\n")
        head = b"".join(lines)
        if len(head) - len(head.translate(None, CONTROLS)) != 2 * count:  # beyond our own line ends
            raise RuntimeError("a header's value holds a control character")
        return head


@lru_cache(maxsize=256)
def _field(name: bytes) -> tuple[bytes, bytes]:
    """The name in lower case, and how its line begins."""
    if HEADER_RE.search(name):
        raise RuntimeError(f"{name!r} is no name for a header")
    name = name.lower()
    return name, name + b": "
