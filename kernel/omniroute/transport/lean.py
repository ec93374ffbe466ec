"""A transport of our own for the data path: HTTP/1.1 on asyncio protocols and httptools.

It does what a gateway needs and no more: a pool per origin, keep-alive, TLS with the system's roots, back-pressure both
ways, and cancellation that closes the socket at once. No redirects, no cookies, no HTTP/2, no proxies of the environment.
What it costs beside aiohttp, and why there are two: docs/decisions/0005-lean-transport.md.
"""

import asyncio
import select
import ssl
from urllib.parse import quote, urlsplit

from omniroute.contracts import HttpRequest, Transport, UpstreamStream
from omniroute.errors import UpstreamFailed, UpstreamUnreachable
from omniroute.transport.connection import PIECE_BYTES, Connection, StaleConnection
from omniroute.transport.deferred import through_aiohttp
from omniroute.transport.dialing import Dialer, Resolve
from omniroute.transport.reasons import NO_ANSWER, NOT_SENT, UNREACHABLE, unreachable

__all__ = ["LeanTransport"]

KEEP_ALIVE_S = 15.0
"""Idle connections go after this long: upstreams close theirs after 20 s or more, so we are first."""
MAX_AGE_S = 300.0
"""Older connections serve no further request: an origin's address may have changed."""
SURELY_OPEN_S = 1.0
"""A connection that was idle for longer is looked at before it is used; nobody closes one sooner without saying so."""
SWEEP_S = 5.0
URLS_KEPT = 1024
HEADS_KEPT = 1024
NO_CONTENT = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_HEADERS = frozenset({"connection", "content-length", "host", "transfer-encoding"})
"""The transport's to say."""
SAFE = "%!$&'()*+,/:;=?@[]~"
"""What a path or query may hold as it is; the rest is percent-encoded."""
PORTS = {"http": 80, "https": 443}


class Origin:
    """Where connections lead, with those that wait for work there: the last one used is the next one taken."""

    __slots__ = ("_transport", "host", "idle", "is_tls", "port")

    def __init__(self, transport: "LeanTransport", host: str, port: int, *, is_tls: bool) -> None:
        self.host, self.port, self.is_tls = host, port, is_tls
        self.idle: list[Connection] = []
        self._transport = transport

    def take(self, now_s: float) -> Connection | None:
        while self.idle:
            connection = self.idle.pop()
            if connection.may_serve(now_s) and (
                now_s - connection.idle_since_s < SURELY_OPEN_S or _is_quiet(connection.fileno())
            ):
                return connection
            connection.abort()
        return None

    # --- what connections tell

    def opened(self, connection: Connection) -> None:
        self._transport.opened(connection)

    def freed(self, connection: Connection) -> None:
        self.idle.append(connection)
        self._transport.freed()

    def lost(self, connection: Connection, *, was_busy: bool) -> None:
        if was_busy:
            self._transport.freed()
        elif connection in self.idle:
            self.idle.remove(connection)

    def gone(self, connection: Connection) -> None:
        self._transport.gone(connection)


class LeanTransport:
    """`[server] transport = "lean"`."""

    name = "lean"

    def __init__(
        self,
        *,
        max_connections: int = 0,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve | None = None,
        proxied: Transport | None = None,
        keep_alive_s: float = KEEP_ALIVE_S,
        max_age_s: float = MAX_AGE_S,
    ) -> None:
        """`max_connections` under way over all origins; 0 is no limit (the gateway limits by account, not by socket).

        `tls` instead of a context with the system's roots, `resolve` instead of the system's resolver,
        `proxied` for what goes through a proxy, instead of aiohttp.
        """
        self._keep_alive_s = keep_alive_s
        self._max_age_s = max_age_s
        self._slots = asyncio.Semaphore(max_connections) if max_connections else None
        self._dialer = Dialer(tls, resolve)
        self._origins: dict[tuple[str, str, int], Origin] = {}
        self._places: dict[str, tuple[Origin, str]] = {}
        self._heads: dict[tuple[object, ...], tuple[Origin, bytes]] = {}
        """By URL, method and headers: requests of one candidate differ in their length alone."""
        self._open: set[Connection] = set()
        self._all_gone: asyncio.Future[None] | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._proxied = proxied or through_aiohttp()
        self._loop: asyncio.AbstractEventLoop

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()

    async def send(self, request: HttpRequest, *, connect_timeout_s: float | None = None) -> UpstreamStream:
        if request.proxy is not None:
            return await self._proxied.send(request, connect_timeout_s=connect_timeout_s)
        known = (request.url, request.method, *request.headers.items())
        origin, head = self._heads.get(known) or self._head(request, known)
        body = request.body
        if body or request.method not in NO_CONTENT:
            head = b"%bcontent-length: %d\r\n\r\n" % (head, len(body))
        else:
            head += b"\r\n"
        while True:
            if self._slots is not None:
                await self._slots.acquire()
            connection = origin.take(self._loop.time())
            is_fresh = connection is None
            if connection is None:
                connection = await self._connected(origin, connect_timeout_s)
            answer = connection.ask(request.method, head, body)
            try:
                if len(body) > PIECE_BYTES:
                    await connection.upload(answer, body)
                while not answer.status:
                    if answer.error is not None:
                        raise answer.error
                    await answer.changed()
                return answer
            except StaleConnection as error:  # nothing was sent; the slot is free again
                if is_fresh:
                    raise UpstreamFailed(NO_ANSWER, why="the connection was closed") from error
            except BaseException:
                answer.close()
                raise

    async def close(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        await self._proxied.close()
        self._all_gone = asyncio.get_running_loop().create_future()
        for connection in list(self._open):
            connection.abort()
        await self._dialer.close()
        if self._open:
            await self._all_gone

    # --- connections --------------------------------------------------------------------------------------------------

    async def _connected(self, origin: Origin, timeout_s: float | None) -> Connection:
        connection = Connection(origin, self._loop, keep_alive_s=self._keep_alive_s, max_age_s=self._max_age_s)
        try:
            async with asyncio.timeout(timeout_s):
                await self._dialer.dial(origin.host, origin.port, is_tls=origin.is_tls, protocol=connection)
            if self._all_gone is not None:
                connection.abort()
                raise UpstreamUnreachable(UNREACHABLE, why="the transport was closed")
        except BaseException as error:
            self.gone(connection)  # uvloop says nothing of one that was cancelled while it was made
            self.freed()
            if isinstance(error, (OSError, UnicodeError)):
                raise unreachable(error) from error
            raise
        return connection

    def opened(self, connection: Connection) -> None:
        self._open.add(connection)

    def freed(self) -> None:
        """A request has ended, one way or the other."""
        if self._slots is not None:
            self._slots.release()
        if self._sweep is None:
            self._sweep = self._loop.call_later(SWEEP_S, self._sweep_idle)

    def gone(self, connection: Connection) -> None:
        self._open.discard(connection)
        if self._all_gone is not None and not self._open and not self._all_gone.done():
            self._all_gone.set_result(None)

    def _sweep_idle(self) -> None:
        """Close what has been idle for too long. The timer rests while nothing is idle."""
        now_s = self._loop.time()
        for origin in self._origins.values():
            for connection in list(origin.idle):
                if not connection.may_serve(now_s):
                    connection.abort()
        is_needed = any(origin.idle for origin in self._origins.values())
        self._sweep = self._loop.call_later(SWEEP_S, self._sweep_idle) if is_needed else None

    # --- heads --------------------------------------------------------------------------------------------------------

    def _head(self, request: HttpRequest, known: tuple[object, ...]) -> tuple[Origin, bytes]:
        """Where a request leads, and its head but for the length. Remembered as `known`.

        Raises `UpstreamUnreachable` for headers that would be read as more than they are.
        """
        origin, lines_of_url = self._places.get(request.url) or self._place(request.url)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in OWN_HEADERS}
        lines = [f"{request.method} {lines_of_url}", *[f"{name}: {value}" for name, value in headers.items()]]
        text = "\n".join(lines)
        if text.count("\n") != len(lines) or "\r" in text or "\0" in text:  # the first entry is two lines
            raise UpstreamUnreachable(NOT_SENT, why="one of its headers holds a line break")
        if len(self._heads) >= HEADS_KEPT:
            self._heads.clear()
        found = self._heads[known] = origin, f"{text}\n".replace("\n", "\r\n").encode()
        return found

    def _place(self, url: str) -> tuple[Origin, str]:
        """Where a URL leads, and the lines of a request's head that it decides. Remembered, for there are few."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or PORTS[parts.scheme]
        except (KeyError, ValueError) as error:
            raise UpstreamUnreachable(UNREACHABLE, why="its URL is none of http or https") from error
        if not host or parts.username is not None:
            raise UpstreamUnreachable(UNREACHABLE, why="its URL names no host, or a user")
        key = (parts.scheme, host, port)
        if key not in self._origins:
            self._origins[key] = Origin(self, host, port, is_tls=parts.scheme == "https")
        target = quote(parts.path or "/", safe=SAFE) + (f"?{quote(parts.query, safe=SAFE)}" if parts.query else "")
        named = f"[{host}]" if ":" in host else host
        said = named if port == PORTS[parts.scheme] else f"{named}:{port}"
        if len(self._places) >= URLS_KEPT:
            self._places.clear()
        place = self._places[url] = self._origins[key], f"{target} HTTP/1.1\nhost: {said}"
        return place


def _is_quiet(fileno: int) -> bool:
    """Nothing has come over an idle socket: neither a farewell nor a reset that the loop has not seen yet."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(fileno, select.POLLIN)
        return not poll.poll(0)
    return not select.select([fileno], [], [], 0)[0]
