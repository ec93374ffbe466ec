"""Opening connections: names resolved off the loop, addresses tried side by side (RFC 8305), TLS with the system's roots."""

import asyncio
import contextlib
import socket
import ssl
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

__all__ = ["Dialer", "Resolve", "keep_alive"]

NAMES_KEPT_S = 10.0
NEXT_ADDRESS_S = 0.25
KEEP_ALIVE = (
    ("TCP_KEEPALIVE" if sys.platform == "darwin" else "TCP_KEEPIDLE", 30),
    ("TCP_KEEPINTVL", 10),
    ("TCP_KEEPCNT", 3),
)
"""Seconds, seconds, times: a peer that is gone without a word is noticed after a minute."""

AddressInfo = tuple[int, int, int, str, Any]
Resolve = Callable[[str, int], Coroutine[Any, Any, Sequence[AddressInfo]]]


class Dialer:
    """One per transport. `tls` is the context to use instead of one with the system's roots, `resolve` another resolver."""

    def __init__(self, tls: ssl.SSLContext | None = None, resolve: Resolve | None = None) -> None:
        self._tls = tls
        self._resolve = resolve or _resolve
        self._context: asyncio.Future[ssl.SSLContext] | None = None
        self._names: dict[tuple[str, int], tuple[float, asyncio.Task[list[AddressInfo]]]] = {}

    async def dial(self, host: str, port: int, *, is_tls: bool, protocol: asyncio.BaseProtocol) -> None:
        """Raises `OSError` (`ssl.SSLError` is one) or `UnicodeError` for a name that cannot be."""
        loop = asyncio.get_running_loop()
        context = await self._tls_context(loop) if is_tls else None
        sock = await _first_open(loop, await self._addresses(loop, host, port))
        try:
            await loop.create_connection(
                lambda: protocol, sock=sock, ssl=context, server_hostname=host if is_tls else None
            )
        except BaseException:
            sock.close()
            raise

    async def close(self) -> None:
        tasks = [task for _, task in self._names.values()]
        self._names.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tls_context(self, loop: asyncio.AbstractEventLoop) -> ssl.SSLContext:
        """Loading the roots takes tens of milliseconds: once, when TLS is first needed, in a thread."""
        if self._tls is None:
            if self._context is None:
                self._context = loop.run_in_executor(None, _context)
            self._tls = await asyncio.shield(self._context)
        return self._tls

    async def _addresses(self, loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[AddressInfo]:
        """Asked once for all who wait for it, and kept for a while; failures are not."""
        known = self._names.get((host, port))
        if known is None or (known[1].done() and loop.time() - known[0] > NAMES_KEPT_S):
            task = loop.create_task(self._in_turns(host, port))
            self._names[host, port] = known = loop.time(), task
            task.add_done_callback(lambda task: self._forget_failed(host, port, task))
        return await asyncio.shield(known[1])

    async def _in_turns(self, host: str, port: int) -> list[AddressInfo]:
        """The addresses with families in turn, the resolver's first choice first."""
        found = await self._resolve(host, port)
        first = [info for info in found if info[0] == found[0][0]]
        others = [info for info in found if info[0] != found[0][0]]
        turns = [info for pair in zip(first, others, strict=False) for info in pair]
        return turns + first[len(others) :] + others[len(first) :]

    def _forget_failed(self, host: str, port: int, task: "asyncio.Task[list[AddressInfo]]") -> None:
        if (task.cancelled() or task.exception()) and self._names.get((host, port), (0.0, None))[1] is task:
            del self._names[host, port]


def keep_alive(sock: Any) -> None:
    """So that a peer that vanished is noticed, and nothing waits for small packets to fill."""
    with contextlib.suppress(OSError):  # a socket that is no TCP
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEP_ALIVE:
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


async def _resolve(host: str, port: int) -> Sequence[AddressInfo]:
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def _first_open(loop: asyncio.AbstractEventLoop, addresses: Sequence[AddressInfo]) -> socket.socket:
    """The socket that connects first; another address is tried when one has failed or is slow."""
    if len(addresses) == 1:
        return await _open(loop, addresses[0])
    left, running, problem = deque(addresses), set[asyncio.Task[socket.socket]](), OSError("no address")
    try:
        while left or running:
            if left:
                running.add(loop.create_task(_open(loop, left.popleft())))
            done, _ = await asyncio.wait(
                running, timeout=NEXT_ADDRESS_S if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                running.discard(task)
                try:
                    return task.result()
                except OSError as error:
                    problem = error
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(_discard)
    raise problem


async def _open(loop: asyncio.AbstractEventLoop, address: AddressInfo) -> socket.socket:
    sock = socket.socket(*address[:3])
    try:
        sock.setblocking(False)
        keep_alive(sock)
        await loop.sock_connect(sock, address[4])
    except BaseException:
        sock.close()
        raise
    return sock


def _discard(task: "asyncio.Task[socket.socket]") -> None:
    """The one that came second."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
