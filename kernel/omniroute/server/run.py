"""The server's life: listen, start the application, answer, drain, stop.

uvicorn supplies the protocol and its configuration; its `Server` is not used, since draining here goes by the gateway's
rules: readiness is withdrawn at once, the listener closes a little later, streams may finish, and a second signal ends it.
"""

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import formatdate

from uvicorn.config import Config

from omniroute.addresses import is_loopback
from omniroute.logs import get_logger
from omniroute.server.asgi import Application
from omniroute.server.connections import Connections
from omniroute.server.lifespan import Lifespan
from omniroute.server.limits import ServerLimits
from omniroute.server.listen import BACKLOG, base_url, bind, raise_file_limit
from omniroute.server.protocol import GuardedProtocol
from omniroute.server.signals import Signals

__all__ = ["LoopFactory", "Server", "loop_factory", "running", "serve"]

log = get_logger("omniroute.server")

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

FAREWELL_S = 1.0
"""For what is cut off to say so in-band, and for the application's end when nobody wants to wait."""
SHUTDOWN_S = 10.0


def loop_factory() -> LoopFactory | None:
    """For `asyncio.Runner`: uvloop where it exists, else None, the platform's own."""
    if sys.platform == "win32":
        return None
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class Server:
    """One application on some sockets. `start` and `stop` are called once each, in one event loop.

    `on_drain` is called when draining begins.
    """

    def __init__(
        self,
        app: Application,
        host: str,
        sockets: list[socket.socket],
        *,
        limits: ServerLimits | None = None,
        on_drain: Callable[[], None] | None = None,
    ) -> None:
        self.base_url = base_url(host, sockets)
        self.port: int = sockets[0].getsockname()[1]
        self.connections = Connections(limits or ServerLimits())
        self._local = is_loopback(host)
        self._sockets = sockets
        self._on_drain = on_drain
        self._lifespan = Lifespan(app)
        self._listeners: list[asyncio.Server] = []
        self._second: asyncio.TimerHandle | None = None
        self._config = Config(
            app, http=GuardedProtocol, ws="none", lifespan="off", interface="asgi3", log_config=None,
            log_level="warning", access_log=False, proxy_headers=False, server_header=False,
        )  # fmt: skip
        self._config.load()

    @property
    def draining(self) -> bool:
        return self.connections.draining

    async def start(self) -> None:
        """Start the application, then answer. Raises what the application raises; the sockets are closed then."""
        try:
            await self._lifespan.startup()
            loop = asyncio.get_running_loop()
            self._each_second(loop)
            for listener in self._sockets:
                self._listeners.append(await loop.create_server(self._protocol, sock=listener, backlog=BACKLOG))
        except BaseException:
            await self._lifespan.cancel()
            self._stop_listening()
            self._stop_ticking()
            raise

    async def stop(self, *, drain_s: float = 0.0, listen_on_s: float = 0.0, hurry: asyncio.Event | None = None) -> None:
        """Finish what is being answered, within `drain_s`, and cut off the rest; then end the application.

        New connections are accepted for the first `listen_on_s` of that, so that a load balancer can be told that we are
        not ready; on loopback no longer than something is being answered. `hurry` ends the waiting when it is set.
        """
        hurry = hurry or asyncio.Event()
        loop = asyncio.get_running_loop()
        until_s = loop.time() + drain_s
        self.connections.draining = True
        if self._on_drain is not None:
            self._on_drain()
        if listen_on_s:
            condition = self._no_tasks() if self._local else asyncio.Event().wait()
            await _wait(condition, min(listen_on_s, drain_s), hurry)
        self._stop_listening()
        for connection in list(self.connections.connections):
            connection.shutdown()
        if not await _wait(self._nobody_left(), until_s - loop.time(), hurry):
            await self._cut()
        await self._end_application(FAREWELL_S if hurry.is_set() else SHUTDOWN_S)
        self._stop_ticking()

    def _protocol(self) -> GuardedProtocol:
        return GuardedProtocol(self._config, self.connections, self._lifespan.state, asyncio.get_running_loop())

    def _each_second(self, loop: asyncio.AbstractEventLoop) -> None:
        self.connections.default_headers = [(b"date", formatdate(time.time(), usegmt=True).encode())]
        self.connections.next_second()
        self._second = loop.call_later(1.0, self._each_second, loop)

    def _stop_ticking(self) -> None:
        if self._second is not None:
            self._second.cancel()

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()
        for unused in self._sockets[len(self._listeners) :]:
            unused.close()

    async def _no_tasks(self) -> None:
        while tasks := self.connections.tasks:
            await asyncio.wait(set(tasks))

    async def _nobody_left(self) -> None:
        while self.connections.tasks or not self.connections.none_left.is_set():
            await self._no_tasks()
            await self.connections.none_left.wait()

    async def _cut(self) -> None:
        tasks = set(self.connections.tasks)
        if tasks:
            log.warning("requests cut off", requests=len(tasks))
            for task in tasks:
                task.add_done_callback(self.connections.tasks.discard)  # one that has not begun cannot take itself out
                task.cancel("the gateway is shutting down")
            await asyncio.wait(tasks, timeout=FAREWELL_S / 2)
        for connection in [*self.connections.connections, *self.connections.turned_away]:
            connection.transport.abort()
        await _wait(self._nobody_left(), FAREWELL_S / 2, asyncio.Event())

    async def _end_application(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._lifespan.shutdown()
        except TimeoutError:
            log.error("the application did not end in time", after_s=timeout_s)
            await self._lifespan.cancel()
        except Exception:
            log.exception("the application failed while it ended")


async def _wait(condition: Awaitable[object], timeout_s: float, hurry: asyncio.Event) -> bool:
    """True when `condition` came about, False when the time was up or somebody was in a hurry."""
    wanted = asyncio.ensure_future(condition)
    hurried = asyncio.create_task(hurry.wait())
    try:
        await asyncio.wait({wanted, hurried}, timeout=max(timeout_s, 0), return_when=asyncio.FIRST_COMPLETED)
        return wanted.done()
    finally:
        wanted.cancel()
        hurried.cancel()


async def serve(
    app: Application,
    *,
    host: str = "127.0.0.1",
    port: int = 20128,
    limits: ServerLimits | None = None,
    on_ready: Callable[[str], None],
    on_drain: Callable[[], None] | None = None,
    on_stopped: Callable[[], Awaitable[None]] | None = None,
    drain_s: float = 120.0,
    listen_on_s: float = 5.0,
) -> int:
    """Serve until SIGTERM or SIGINT (Ctrl-C), and return the exit code: 0, or 128 + N when a second signal N cut it short.

    `on_ready` gets the base URL when requests are being answered. A request that is cut off after `drain_s` is
    cancelled and has half a second to say so to its client. `on_stopped` closes what has to be closed whole: a further signal
    does not end the process meanwhile, and they often come in twos (to a process and, once more, by whoever started it).
    Raises `StartError` when it cannot start, and what the application's own start raises.
    """
    limits = limits or ServerLimits()
    sockets = bind(host, port)
    raise_file_limit(4 * limits.max_connections)
    server = Server(app, host, sockets, limits=limits, on_drain=on_drain)
    with Signals() as signals:
        await server.start()
        try:
            on_ready(server.base_url)
            await signals.first.wait()
            log.info("draining", at_most_s=drain_s)
        except BaseException:
            await server.stop()
            raise
        await server.stop(drain_s=drain_s, listen_on_s=listen_on_s, hurry=signals.second)
        code = 128 + signals.last if signals.second.is_set() else 0
        if on_stopped is not None:
            await on_stopped()
    return code


@contextlib.asynccontextmanager
async def running(
    app: Application,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    limits: ServerLimits | None = None,
    drain_s: float = 0.0,
) -> AsyncIterator[Server]:
    """The same inside a running loop, without signals: `async with running(app) as server: … server.base_url`."""
    server = Server(app, host, bind(host, port), limits=limits)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(drain_s=drain_s)
