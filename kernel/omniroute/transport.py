"""The data path's HTTP client. The only module that knows aiohttp; the rest sees `Transport` and `UpstreamStream`.

Why aiohttp and not httpx: httpx's pool leaks a slot for each request cancelled at the wrong moment, and a gateway cancels
whenever a client leaves; see docs/decisions/0002-transport-seam.md and the churn in kernel/tests/test_transport.py.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Mapping

import aiohttp

from omniroute.contracts import HttpRequest, UpstreamStream
from omniroute.errors import UpstreamFailed, UpstreamUnreachable

__all__ = ["AiohttpTransport", "read_whole"]

KEEP_ALIVE_S = 15.0
"""Idle connections go after this long: upstreams close theirs after 20 s or more, so we are first."""
READ_BYTES = 64 * 1024


class AiohttpStream:
    """One answer. The connection goes back to the pool when the body was read to its end, and is closed otherwise."""

    __slots__ = ("_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}

    async def chunks(self) -> AsyncIterator[bytes]:
        read = self._response.content.readany
        try:
            while data := await read():
                yield data
        except (aiohttp.ClientError, OSError) as error:
            self._response.close()
            raise UpstreamFailed("the upstream's connection broke in mid-answer", why=_reason(error)) from error
        self._response.release()

    def close(self) -> None:
        self._response.close()


class AiohttpTransport:
    """`[server] transport = "aiohttp"`: HTTP/1.1 with a pool per origin, system trust store, no redirects, no cookies."""

    name = "aiohttp"

    def __init__(self, *, max_connections: int = 0) -> None:
        """`max_connections` over all origins; 0 is no limit (the gateway limits by account, not by socket)."""
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._max_connections, keepalive_timeout=KEEP_ALIVE_S, enable_cleanup_closed=False
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=READ_BYTES,
            auto_decompress=True,
        )

    async def send(self, request: HttpRequest, *, connect_timeout_s: float | None = None) -> UpstreamStream:
        assert self._session is not None, "start() comes first"
        try:
            response = await self._session.request(
                request.method,
                request.url,
                headers=request.headers,
                data=request.body or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s),
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            raise UpstreamUnreachable("the upstream cannot be reached", why=_reason(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamFailed("the upstream closed the connection without an answer", why=_reason(error)) from error
        return AiohttpStream(response)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(0)  # lets the loop close the sockets
            self._session = None


def _reason(error: BaseException) -> str:
    """The cause in a few words, without the URL (its query may hold what nobody should read)."""
    cause: BaseException = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    if isinstance(cause, ssl.SSLError):
        return f"TLS: {getattr(cause, 'verify_message', None) or cause.reason or 'handshake failed'}"
    if isinstance(cause, asyncio.TimeoutError | TimeoutError):
        return "the connection was not accepted in time"
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno)
    return type(cause).__name__


async def read_whole(stream: UpstreamStream, limit_bytes: int) -> bytes:
    """The whole body, or its first `limit_bytes`; the stream is closed when there is more."""
    parts: list[bytes] = []
    size = 0
    async for data in stream.chunks():
        parts.append(data)
        size += len(data)
        if size > limit_bytes:
            stream.close()
            break
    return parts[0] if len(parts) == 1 else b"".join(parts)
