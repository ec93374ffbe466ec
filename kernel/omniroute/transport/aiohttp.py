"""The transport on aiohttp. The only module that knows it; the rest sees `Transport` and `UpstreamStream`.

Why aiohttp and not httpx: httpx's pool leaks a slot for each request cancelled at the wrong moment, and a gateway cancels
whenever a client leaves; see docs/decisions/0002-transport-seam.md and the churn in kernel/tests/transport.
"""

import asyncio
import io
import math
import socket
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp

from omniroute.contracts import HttpRequest, UpstreamStream
from omniroute.errors import ProxyUnreachable, UpstreamFailed, UpstreamGarbled, UpstreamUnreachable
from omniroute.transport.dialing import keep_alive
from omniroute.transport.reasons import BROKEN, NO_ANSWER, NOT_HTTP, NOT_SENT, reason, unreachable

__all__ = ["AiohttpTransport"]

KEEP_ALIVE_S = 15.0
"""Idle connections go after this long: upstreams close theirs after 20 s or more, so we are first."""
MAX_AGE_S = 300.0
"""Older connections serve no further request: an origin's address may have changed."""
READ_BYTES = 64 * 1024
PROXY_REFUSES = 407
NO_WAY_THROUGH = "the account's proxy does not let the request through"
AT_ONCE_BYTES = 1024 * 1024
"""A longer body is written in pieces."""


class _Connector(aiohttp.TCPConnector):
    """aiohttp's pool, stricter: it would give what came unasked on an idle connection to the next request as its answer
    (seen with 3.14.5), and keep a connection in use for ever."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, socket_factory=_socket)
        self._opened_s: WeakKeyDictionary[Any, float] = WeakKeyDictionary()

    async def _create_connection(self, *arguments: Any) -> Any:
        protocol = await super()._create_connection(*arguments)
        self._opened_s[protocol] = time.monotonic()
        return protocol

    async def _get(self, key: Any, traces: Any) -> Any:
        eldest_s = time.monotonic() - MAX_AGE_S
        for protocol, _ in self._conns.get(key, ()):
            if protocol.should_close or self._opened_s.get(protocol, eldest_s) <= eldest_s:
                protocol.close()
        return await super()._get(key, traces)


def _socket(address: Any) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    keep_alive(made)
    return made


def _payload(body: bytes) -> bytes | io.BytesIO | None:
    if not body:
        return None
    return body if len(body) <= AT_ONCE_BYTES else io.BytesIO(body)


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
            raise UpstreamFailed(BROKEN, why=reason(error)) from error
        self._response.release()

    def close(self) -> None:
        self._response.close()


class AiohttpTransport:
    """`[server] transport = "aiohttp"`: HTTP/1.1 with a pool per origin, system trust store, no redirects, no cookies."""

    name = "aiohttp"

    def __init__(self, *, max_connections: int = 0, tls: ssl.SSLContext | None = None) -> None:
        """`max_connections` over all origins; 0 is no limit (the gateway limits by account, not by socket).

        `tls` instead of a context with the system's roots.
        """
        self._max_connections = max_connections
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                limit=self._max_connections,
                keepalive_timeout=KEEP_ALIVE_S,
                enable_cleanup_closed=False,
                ssl=self._tls or True,
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
                data=_payload(request.body),
                allow_redirects=False,
                proxy=request.proxy,
                timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout_s, ceil_threshold=math.inf),
            )
        except (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError) as error:
            why = _answered(error.status) if isinstance(error, aiohttp.ClientHttpProxyError) else reason(error)
            raise ProxyUnreachable(NO_WAY_THROUGH, why=why) from error
        except (
            aiohttp.ClientConnectorError,
            aiohttp.ConnectionTimeoutError,
            aiohttp.InvalidURL,
            aiohttp.NonHttpUrlClientError,
        ) as error:
            raise unreachable(error) from error
        except ValueError as error:  # a header with a line break
            raise UpstreamUnreachable(NOT_SENT, why=str(error)) from error
        except aiohttp.ClientResponseError as error:
            raise UpstreamGarbled(NOT_HTTP, why=error.message) from error
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamFailed(NO_ANSWER, why=reason(error)) from error
        if response.status == PROXY_REFUSES and request.proxy is not None:
            response.close()
            raise ProxyUnreachable(NO_WAY_THROUGH, why=_answered(PROXY_REFUSES))
        return AiohttpStream(response)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(0)  # lets the loop close the sockets
            self._session = None


def _answered(status: int) -> str:
    return f"it answered {status}"
