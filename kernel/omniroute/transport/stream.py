"""An answer that is being read from a connection of our own."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Self

import msgspec

from omniroute.transport.inflating import Inflater

if TYPE_CHECKING:
    from omniroute.transport.connection import Connection

__all__ = ["LeanStream"]


class LeanStream(msgspec.Struct, eq=False):
    """One answer. Its connection is free again when the last byte has come, and closed when nobody wants that byte."""

    connection: "Connection | None"
    """None as soon as nothing more will come from it."""
    loop: asyncio.AbstractEventLoop
    status: int = 0
    headers: Mapping[str, str] = {}
    inflater: Inflater | None = None
    ended: bool = False
    """Nothing more will come: the answer is complete, or has failed."""
    error: Exception | None = None
    paused: bool = False
    unread: list[bytes] = []
    unread_bytes: int = 0
    waiter: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"LeanStream({self.status})"  # what it holds is between client and upstream

    def chunks(self) -> AsyncIterator[bytes]:
        """What has come since the last time, in one piece; what came before a failure comes before its error."""
        return self if self.inflater is None else self._inflated(self.inflater)

    def rest(self) -> bytes | None:
        """What was not taken yet, if nothing more will come; None where that must be waited for, or has failed."""
        if not self.ended or self.error is not None or self.inflater is not None:
            return None
        data = b"".join(self.unread)  # one piece is not copied
        self.unread.clear()
        return data

    def close(self) -> None:
        if self.connection is not None:
            self.connection.abort()

    # --- reading: an iterator by itself, for an async generator costs every answer an entry in the loop's books

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self.unread:
            if self.error is not None:
                raise self.error
            if self.ended:
                raise StopAsyncIteration
            try:
                await self.changed()
            except BaseException:
                self.close()
                raise
        return self._taken()

    async def _inflated(self, inflater: Inflater) -> AsyncIterator[bytes]:
        try:
            async for data in self:
                for piece in inflater.feed(data):
                    yield piece
            inflater.close()
        finally:
            self.close()

    def _taken(self) -> bytes:
        data = b"".join(self.unread)
        self.unread.clear()
        self.unread_bytes = 0
        if self.paused and self.connection is not None:
            self.paused = False
            self.connection.resume()
        return data

    # --- for the connection

    def changed(self) -> asyncio.Future[None]:
        """Done with the next news. Whoever is cancelled while he waits for it closes the stream."""
        self.waiter = waiter = self.loop.create_future()
        return waiter

    def wake(self) -> bool:
        """Whether somebody was waiting."""
        if self.waiter is None or self.waiter.done():
            return False
        self.waiter.set_result(None)
        return True

    def finish(self) -> None:
        self.ended, self.connection = True, None

    def fail(self, error: Exception, cause: BaseException | None) -> None:
        error.__cause__ = cause
        self.error = error
        self.finish()
        self.wake()
