"""`Idempotency-Key` for management, always heeded: whoever sends a write again, since its answer got lost, makes nothing twice.

The first answer is given again for a day, byte for byte, also the one that holds a new client key: so it stays in memory alone,
within bounds, and only who shows the management key gets it. Only what came to a good end is kept.
"""

import hashlib
from typing import TYPE_CHECKING, Any, TypeAlias

from omniroute.contracts import Headers
from omniroute.errors import PayloadTooLarge
from omniroute.exchange import Receive, Scope, Send
from omniroute.idempotency import HEADER, MAX_ANSWER_BYTES, OWN_HEADERS, REPLAYED, Answered, Shelf, usable
from omniroute.management.access import holds_key

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Middleware

    from omniroute.keys import ManagementKey

__all__ = ["LOOKS", "repeats"]

LOOKS = "looks"
"""In a handler's `opt`: it changes nothing, so that there is nothing to do twice."""
MAX_KEPT = 1000
MAX_KEPT_BYTES = 4 * 1024 * 1024
MAX_BODY_BYTES = 1024 * 1024
OWNER = "management"
NAME = HEADER.encode()
Message: TypeAlias = Any


def repeats(key: "ManagementKey") -> "Middleware":
    """A Litestar middleware for routers of management handlers.

    A function, for Litestar makes deep copies of a router and all that it holds, and neither a key nor what is kept is copied.
    """
    shelf = Shelf(most=MAX_KEPT, most_bytes=MAX_KEPT_BYTES)

    def middleware(app: "ASGIApp") -> "ASGIApp":
        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            given = _key_of(scope)
            authorization = Headers(dict(scope["headers"])).get("authorization")
            if given is None or not holds_key(authorization, key):  # who does not hold it is refused further in
                await app(scope, receive, send)
            else:
                await _once(app, scope, receive, send, shelf, usable(given))

        return call

    return middleware


def _key_of(scope: Scope) -> str | None:
    """None where the request has none, or needs none."""
    if scope["type"] != "http" or scope["method"] != "POST" or scope["route_handler"].opt.get(LOOKS):
        return None
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == NAME), None)


async def _once(app: "ASGIApp", scope: Scope, receive: Receive, send: Send, shelf: Shelf, key: str) -> None:
    body = await _read(receive)
    place, fingerprint = (OWNER, key), _fingerprint(scope, body)
    kept = shelf.find(place, fingerprint)
    if kept is not None:
        await send(_start(kept.status, (*kept.headers, *REPLAYED)))
        await send({"type": "http.response.body", "body": kept.body, "more_body": False})
        return
    shelf.reserve(place, fingerprint)
    recording = _Recording(send)
    try:
        await app(scope, _again(body, receive), recording.send)
    finally:
        shelf.settle(place, fingerprint, recording.answer())


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            return b"".join(parts)  # nobody is left to be answered
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            raise PayloadTooLarge(f"the body has more than {MAX_BODY_BYTES} bytes")
        if not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more, then whatever comes after it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> Message:
        return waiting.pop() if waiting else await receive()

    return give


class _Recording:
    """What is sent, as long as it is not too much."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message = None
        self._parts: list[bytes] = []
        self._is_whole = False

    async def send(self, message: Message) -> None:
        await self._send(message)
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body":
            self._parts.append(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)

    def answer(self) -> Answered | None:
        """None when it did not come to a good end, or is too long."""
        body = b"".join(self._parts)
        if not self._is_whole or not 200 <= self._start["status"] < 300 or len(body) > MAX_ANSWER_BYTES:
            return None
        headers = tuple((name, value) for name, value in self._start["headers"] if name not in OWN_HEADERS)
        return Answered(status=self._start["status"], headers=headers, body=body)


def _start(status: int, headers: tuple[tuple[bytes, bytes], ...]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers}


def _fingerprint(scope: Scope, body: bytes) -> bytes:
    asked = (scope["method"], scope["path"], scope["query_string"])
    digest = hashlib.sha256(repr(asked).encode("utf-8", "surrogatepass"))
    digest.update(body)
    return digest.digest()
