"""What our server does for the application beyond ASGI, one object per request: asking `receive` for it costs a task each.

Behind another server the scope has none and `Unattended` takes the long ways.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from omniroute.server.asgi import Receive, Scope

__all__ = ["ATTENDANT", "Attendant", "OnLeave", "Unattended", "attendant_of", "fields_of", "vouch"]

ATTENDANT = "omniroute.attendant"
"""Under which a scope has it."""
OnLeave: TypeAlias = Callable[[], None]


class Attendant(Protocol):
    @property
    def fields(self) -> Mapping[bytes, bytes]:
        """What `fields_of` gives."""
        ...

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """The running one, which answers the request. Asking asyncio for it is a system call before Python 3.12."""
        ...

    def take_body(self, limit: int) -> bytes | None:
        """The request's body where all of it has come by now, as nearly always, instead of `receive`. None where
        `read_body` has to be awaited: there is more to come, or more than `limit` bytes."""

    def answer(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
        """Send a whole answer, without a message for its head and one for its body. False where it has to be those: the server is
        not ours, something has been sent, or the client has to read first."""

    def pass_on(self, body: bytes, *, more: bool) -> bool:
        """The same for a further piece of an answer that has begun."""

    def watch_leaving(self, on_leave: OnLeave | None) -> None:
        """Call this once when the client leaves before it has its answer, at once when it has; None: nothing any more."""

    def has_stalled(self) -> bool:
        """The client has gone because it was cut off: it left a full connection unread for too long."""
        ...

    def vouch(self) -> None:
        """The caller of this request has shown a valid key: its connection is no stranger's."""


class Unattended:
    """Stands in for the attendant behind a server that is not ours.

    Nothing notices in time there that a client leaves: such a server tells only those who ask it (measured: an abandoned
    upstream call stayed open for more than 8 s). So a task asks, which costs 25 µs a request.
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.fields = dict(scope["headers"])
        self._receive = receive
        self._listening: asyncio.Task[None] | None = None

    @property
    def task(self) -> asyncio.Task[Any] | None:
        return asyncio.current_task()

    def take_body(self, limit: int) -> bytes | None:
        del limit
        return None

    def answer(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
        del status, headers, body
        return False

    def pass_on(self, body: bytes, *, more: bool) -> bool:
        del body, more
        return False

    def watch_leaving(self, on_leave: OnLeave | None) -> None:
        if self._listening is not None:
            self._listening.cancel()
        if on_leave is not None:
            self._listening = asyncio.create_task(self._listen(on_leave))

    async def _listen(self, on_leave: OnLeave) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        on_leave()

    def has_stalled(self) -> bool:
        return False

    def vouch(self) -> None:
        """There is nobody to tell."""


def attendant_of(scope: Scope, receive: Receive) -> Attendant:
    return scope.get(ATTENDANT) or Unattended(scope, receive)


def fields_of(scope: Scope) -> Mapping[bytes, bytes]:
    """The headers by name, with the last value of each. There are fewer than in the scope when one came twice."""
    attendant: Attendant | None = scope.get(ATTENDANT)
    return dict(scope["headers"]) if attendant is None else attendant.fields


def vouch(scope: Scope) -> None:
    """The caller of this request has shown a valid key."""
    attendant: Attendant | None = scope.get(ATTENDANT)
    if attendant is not None:
        attendant.vouch()
