"""HTTP as values, and who sends it."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import msgspec

__all__ = [
    "HEADER_NAMES",
    "Headers",
    "HttpRequest",
    "HttpResponse",
    "Transport",
    "UpstreamStream",
]


class _Names(dict[bytes, str]):
    """Names of headers as lower-case text: the same few come with every request and every answer."""

    LIMIT = 512
    LONGEST = 64
    """Anybody can send a name, and what is kept stays."""

    def __missing__(self, name: bytes) -> str:
        text = name.decode("latin-1").lower()
        if len(self) < self.LIMIT and len(name) <= self.LONGEST:
            self[name] = text
        return text


HEADER_NAMES = _Names()


class Headers(dict[str, str]):
    """The client's request headers by lower-case name, made of the bytes that came."""

    __slots__ = ()

    def __init__(self, raw: Mapping[bytes, bytes]) -> None:
        for name, value in raw.items():
            self[HEADER_NAMES[name]] = value.decode("latin-1")

    def __repr__(self) -> str:
        return f"Headers({sorted(self)})"  # values may be credentials


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request the kernel is asked to send. `url` is absolute; credentials belong in `headers`, never in `url`."""

    method: str = "POST"
    url: str
    headers: Mapping[str, str] = {}
    body: bytes = b""
    proxy: str | None = None
    """URL of the HTTP proxy to go through, perhaps with a password. The kernel sets it, from the account; not in the repr."""

    def __repr__(self) -> str:
        return f"HttpRequest({self.method} {self.url}, {len(self.body)} bytes)"


class HttpResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer. Header names are lower case; `body` may be cut at 64 kB when the status is an error."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""


class UpstreamStream(Protocol):
    """An answer whose head is here and whose body is still coming.

    `chunks()` yields bytes as they arrive and raises `UpstreamUnreachable` when the connection breaks;
    `close()` may be called at any time, from any state, and frees the connection at once.
    """

    status: int
    headers: Mapping[str, str]

    def chunks(self) -> AsyncIterator[bytes]: ...
    def close(self) -> None: ...


class Transport(Protocol):
    """Sends requests of the data path. Async. Cancelling `send` or an iteration must free what it held at once."""

    name: str

    async def start(self) -> None:
        """Called in the event loop before the first `send`."""

    async def send(self, request: HttpRequest, *, connect_timeout_s: float | None = None) -> UpstreamStream:
        """Return when the response's head is here. Redirects are never followed. Raises `UpstreamUnreachable`."""
        ...

    async def close(self) -> None:
        """Called once, after the last request."""
