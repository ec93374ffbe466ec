"""An answer that is being read from a connection of our own."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from omniroute.errors import UpstreamError
from omniroute.transport.inflating import Inflater

if TYPE_CHECKING:
    from omniroute.transport.connection import Connection

__all__ = ["LeanStream"]


class LeanStream:
    """One answer. Its connection is free again when the last byte has come, and closed when nobody wants that byte."""

    __slots__ = (
        "_connection",
        "_error",
        "_loop",
        "_parts",
        "_waiter",
        "ended",
        "headers",
        "inflater",
        "paused",
        "status",
        "unread_bytes",
    )

    def __init__(self, connection: "Connection", loop: asyncio.AbstractEventLoop) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.inflater: Inflater | None = None
        self.ended = False
        """Nothing more will come: the answer is complete, or has failed."""
        self.paused = False
        self.unread_bytes = 0
        self._connection: Connection | None = connection
        self._loop = loop
        self._parts: list[bytes] = []
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """What has come since the last time, in one piece; what came before a failure comes before its error."""
        try:
            while True:
                if self._parts:
                    data = self._taken()
                    if self.inflater is None:
                        yield data
                    else:
                        for piece in self.inflater.feed(data):
                            yield piece
                elif not self.ended:
                    await self.changed()
                elif self._error is not None:
                    raise self._error
                else:
                    break
            if self.inflater is not None:
                self.inflater.close()
        finally:
            self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.abort()

    # --- for the connection

    async def head(self) -> None:
        while not self.status and not self.ended:
            await self.changed()
        if not self.status and self._error is not None:
            raise self._error

    async def changed(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def take_in(self, data: bytes) -> None:
        self._parts.append(data)
        self.unread_bytes += len(data)

    def finish(self) -> None:
        self.ended, self._connection = True, None

    def fail(self, error: UpstreamError, cause: BaseException | None) -> None:
        error.__cause__ = cause
        self._error = error
        self.finish()
        self.wake()

    def _taken(self) -> bytes:
        parts, self._parts = self._parts, []
        self.unread_bytes = 0
        if self.paused and self._connection is not None:
            self.paused = False
            self._connection.resume()
        return parts[0] if len(parts) == 1 else b"".join(parts)
