"""Signs of life to a client that waits for a stream, also before any upstream has answered.

Proxies and clients hang up on a connection that is silent while a model thinks. A sign stands between two events and means
nothing; sent before the answer it takes the status 200 and the headers that are known by then along.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from omniroute.exchange import Exchange

__all__ = ["KeepAlive"]


class KeepAlive:
    """From `start` to `stop` it sends `sign` whenever nothing was sent for `seconds`, counted from the request's arrival; 0 never.

    One timer, which looks when something was last sent: a chunk costs it nothing. It needs neither task nor lock, for a sign
    is either sent at once or, to a client that does not read what it has, not at all.
    """

    __slots__ = ("_exchange", "_headers", "_loop", "_seconds", "_sign", "_timer")

    def __init__(self, exchange: Exchange, seconds: float, sign: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """`headers` go out with the first sign, when nothing else has."""
        self._exchange = exchange
        self._seconds = seconds
        self._sign = sign
        self._headers = headers
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._seconds:
            self._loop = asyncio.get_running_loop()
            self._wait(self._exchange.quiet_s)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self, quiet_s: float) -> None:
        self._timer = self._loop.call_later(max(0.0, self._seconds - quiet_s), self._look)

    def _look(self) -> None:
        quiet_s = self._exchange.quiet_s
        if quiet_s < self._seconds:
            self._wait(quiet_s)
            return
        self._say()
        self._wait(0.0)

    def _say(self) -> None:
        exchange = self._exchange
        if exchange.sending or exchange.client_gone:
            return
        if not exchange.started and not _at_once(lambda: exchange.start(200, self._headers, is_final=False)):
            return
        _at_once(lambda: exchange.send(self._sign, more=True))


def _at_once(send: Callable[[], Awaitable[None]]) -> bool:
    """Whether it went through without waiting for anything; else it was given up, and nothing was sent."""
    sending = send().__await__()
    try:
        sending.send(None)
    except StopIteration:
        return True
    sending.close()
    return False
