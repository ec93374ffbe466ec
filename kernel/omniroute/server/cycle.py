"""One request of a connection and its answer, as ASGI sees them.

The head waits for the first piece of the body: an answer that is whole goes out in one write, and a failure before anything
was written can still be answered. Header values with control characters are refused; lengths are held to.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HEADER_RE, STATUS_LINE

from omniroute.logs import get_logger
from omniroute.server.asgi import Application, Scope
from omniroute.server.attendant import OnLeave

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
    tasks: set[asyncio.Task[None]]
    stalled: bool

    @property
    def standing_headers(self) -> list[tuple[bytes, bytes]]: ...
    def vouch(self) -> None: ...
    def send(self, data: bytes) -> None: ...
    def on_response_complete(self) -> None: ...
    def close(self) -> None: ...
    def close_gently(self) -> None: ...


class Cycle(msgspec.Struct, eq=False):
    """`receive` and `send` are the application's, and what an `Attendant` has.

    Keeps no scope: that holds the cycle, and the two would be left to the garbage collector, each with its body.
    """

    connection: Connection
    is_head: bool
    waiting_for_100_continue: bool
    fields: Mapping[bytes, bytes] = {}
    task: asyncio.Task[None] | None = None
    """While it runs."""
    keep_alive: bool = False
    disconnected: bool = False
    more_body: bool = True
    response_started: bool = False
    """The head has been written."""
    response_complete: bool = False
    _pieces: list[bytes] = []
    _unread_bytes: int = 0
    _news: bool = False
    """There is something that `receive` has not told yet."""
    _waiting: asyncio.Event | None = None
    """Made when `receive` has to wait: most bodies are here before they are asked for."""
    _on_leave: OnLeave | None = None
    _start: Any = None
    """The message with the head."""
    _left_bytes: int | None = None
    """Of the declared length; None: the body is chunked."""

    def __repr__(self) -> str:
        return f"Cycle({self.connection!r})"  # what else it holds is the client's

    # --- the server's side

    def take(self, body: bytes) -> None:
        """A piece of the request's body."""
        if self.response_complete:
            return
        self._pieces.append(body)
        self._unread_bytes += len(body)
        if self._unread_bytes > HIGH_WATER_LIMIT:
            self.connection.flow.pause_reading()
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

    def _tell(self) -> None:
        self._news = True
        if self._waiting is not None:
            self._waiting.set()

    async def run(self, app: Application, scope: Scope) -> None:
        """As `task`. Never raises: whatever the application does, the connection is left in order."""
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
        finally:
            if self.task is not None:
                self.connection.tasks.discard(self.task)
            self.fields, self.task = {}, None  # an idle connection keeps its last cycle

    async def _fail(self) -> None:
        if self.response_started:
            self.connection.close()
            return
        self._start = None
        await self.send({"type": "http.response.start", "status": 500, "headers": FAILED_HEADERS})
        await self.send({"type": "http.response.body", "body": FAILED})

    # --- the application's side

    def vouch(self) -> None:
        self.connection.vouch()

    def has_stalled(self) -> bool:
        return self.connection.stalled

    def watch_leaving(self, on_leave: OnLeave | None) -> None:
        self._on_leave = on_leave
        if on_leave is not None and self.disconnected:
            self.leave()

    def take_body(self, limit: int) -> bytes | None:
        is_whole = not (self.more_body or self.disconnected or self.response_complete or self.waiting_for_100_continue)
        if not is_whole or self._unread_bytes > limit:
            return None
        self._news = False
        self.connection.flow.resume_reading()
        body = b"".join(self._pieces)  # one piece is not copied
        self._pieces, self._unread_bytes = [], 0
        return body

    def answer(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
        if self._start is not None or self.disconnected or self.connection.flow.write_paused:
            return False
        self._start = {"status": status, "headers": headers}
        self._write(body, more=False)
        return True

    def pass_on(self, body: bytes, *, more: bool) -> bool:
        if self._start is None or self.response_complete or self.disconnected or self.connection.flow.write_paused:
            return False
        self._write(body, more=more)
        return True

    async def receive(self) -> Any:
        connection = self.connection
        if self.waiting_for_100_continue and not connection.transport.is_closing():
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
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
        kind = message["type"]
        if kind == "http.response.start" and self._start is None:
            self._start = message  # written with the first piece of the body
            return
        flow = self.connection.flow
        if flow.write_paused and not self.disconnected:
            await flow.drain()
        if self.disconnected:
            return
        if kind == "http.response.body" and self._start is not None and not self.response_complete:
            self._write(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"the ASGI message {kind!r} is out of turn")

    # --- what is written

    def _write(self, body: bytes, *, more: bool) -> None:
        head = b"" if self.response_started else self._head()
        if self.is_head:
            data = head
        elif self._left_bytes is not None:
            self._left_bytes -= len(body)
            if self._left_bytes < 0 or (self._left_bytes and not more):
                raise RuntimeError("the body is not as long as its Content-Length")
            data = head + body
        else:
            chunk = (b"%x\r\n" % len(body), body, b"\r\n") if body else ()
            data = b"".join((head, *chunk, b"" if more else b"0\r\n\r\n"))
        self.response_started, self.waiting_for_100_continue = True, False
        connection = self.connection
        connection.send(data)
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
        fields = (*self.connection.standing_headers, *self._start.get("headers", ()))
        names, values = zip(*fields, strict=True) if fields else ((), ())
        layout = _layouts.get(names) or _layout(names)
        end = b"\r\n"
        count = len(fields) + 2
        if layout.connection_at and any(_says_close(values[at]) for at in layout.connection_at):
            self.keep_alive = False
        elif not self.keep_alive:
            end = b"connection: close\r\n\r\n"
            count += 1
        if layout.length_at is not None:
            self._left_bytes = int(values[layout.length_at])
        elif self.is_head or status in BODILESS:
            self._left_bytes = 0
        else:
            end = b"transfer-encoding: chunked\r\n" + end
            count += 1
        head = b"".join((STATUS_LINE[status], layout.form % values, end))
        if len(head) - len(head.translate(None, CONTROLS)) != 2 * count:  # beyond our own line ends
            raise RuntimeError("a header's value holds a control character")
        return head


class _Layout(msgspec.Struct, frozen=True):
    """How the headers of certain names are written."""

    form: bytes
    """With `%b` for each value."""
    length_at: int | None
    """Which value is that of `Content-Length`."""
    connection_at: tuple[int, ...]


_layouts: dict[tuple[bytes, ...], _Layout] = {}
MAX_LAYOUTS = 256


def _layout(names: tuple[bytes, ...]) -> _Layout:
    """Raises `RuntimeError` for what is no header's name."""
    for name in names:
        if HEADER_RE.search(name):
            raise RuntimeError(f"{name!r} is no name for a header")
    lower = [name.lower() for name in names]
    form = b"".join(name.replace(b"%", b"%%") + b": %b\r\n" for name in lower)
    lengths = [at for at, name in enumerate(lower) if name == b"content-length"]
    connections = tuple(at for at, name in enumerate(lower) if name == b"connection")
    layout = _Layout(form, lengths[-1] if lengths else None, connections)
    if len(_layouts) < MAX_LAYOUTS:
        _layouts[names] = layout
    return layout


def _says_close(connection: bytes) -> bool:
    return b"close" in [token.strip() for token in connection.lower().split(b",")]
