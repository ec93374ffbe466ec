"""The control plane's HTTP client: sign-in, model lists, quotas, looks at local servers, the command line's own calls.

The only module that imports httpx, and it does so at the first request, for the import takes longer than `omniroute
--help` may. Redirects are never followed, cookies never kept, answers never read beyond a cap, proxies of the environment
never used for this machine itself. Nothing of a request but its host is named in an error.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from omniroute import __version__
from omniroute.addresses import is_loopback_url
from omniroute.contracts import HttpRequest, HttpResponse
from omniroute.errors import UpstreamGarbled, UpstreamTimeout, UpstreamUnreachable

if TYPE_CHECKING:
    import httpx

__all__ = ["ControlClient"]

TIMEOUT_S = 20.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024
AGENT = {"user-agent": f"omniroute/{__version__}", "accept-encoding": "identity"}


class ControlClient:
    """Opened and closed with the gateway; connects at the first request."""

    def __init__(self, *, timeout_s: float = TIMEOUT_S, max_answer_bytes: int = MAX_ANSWER_BYTES) -> None:
        self._timeout_s = timeout_s
        self._max_answer_bytes = max_answer_bytes
        self._clients: dict[tuple[bool, str | None], httpx.AsyncClient] = {}
        """By whether they stay on this machine, and by proxy."""
        self._opening = asyncio.Lock()

    async def send(self, request: HttpRequest, *, timeout_s: float | None = None) -> HttpResponse:
        """Return the whole answer, whatever its status.

        `timeout_s` is for everything from connecting to the last byte. Raises `UpstreamUnreachable`, `UpstreamTimeout`
        and, for an answer beyond the cap, `UpstreamGarbled`.
        """
        async with self._exchange(request, self._timeout_s if timeout_s is None else timeout_s) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > self._max_answer_bytes:
                    raise UpstreamGarbled(
                        f"{_host(request)} answered more than {self._max_answer_bytes} bytes",
                        why="no model list or token answer is that long",
                    )
            return HttpResponse(status=response.status_code, headers=_headers(response), body=bytes(body))

    async def close(self) -> None:
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()

    @asynccontextmanager
    async def _exchange(self, request: HttpRequest, timeout_s: float) -> AsyncIterator["httpx.Response"]:
        client = await self._client(request)
        import httpx

        try:
            async with (
                asyncio.timeout(timeout_s),
                client.stream(
                    request.method,
                    request.url,
                    headers={**AGENT, **request.headers},
                    content=request.body,
                    timeout=None,  # the one clock above counts the whole exchange
                ) as response,
            ):
                yield response
        except TimeoutError as error:
            raise UpstreamTimeout(f"{_host(request)} did not answer within {timeout_s:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # httpx's own texts may hold the whole URL.
            raise UpstreamUnreachable(f"{_host(request)} cannot be reached", why=type(error).__name__) from error

    async def _client(self, request: HttpRequest) -> "httpx.AsyncClient":
        kind = is_loopback_url(request.url), request.proxy
        async with self._opening:
            if kind not in self._clients:  # in a thread: importing httpx and reading certificates takes 100 ms
                use_environment = not kind[0] and request.proxy is None
                self._clients[kind] = await asyncio.to_thread(_open_client, request.proxy, use_environment)
            return self._clients[kind]


def _open_client(proxy: str | None, use_environment: bool) -> "httpx.AsyncClient":
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    import httpx

    for name in ("httpx", "httpcore"):  # they log whole URLs, and httpcore's DEBUG lines hold headers
        logging.getLogger(name).setLevel(logging.WARNING)
    return httpx.AsyncClient(
        timeout=TIMEOUT_S,
        follow_redirects=False,
        trust_env=use_environment,
        proxy=proxy,
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=())),
        limits=httpx.Limits(max_connections=32, max_keepalive_connections=4, keepalive_expiry=15.0),
    )


def _host(request: HttpRequest) -> str:
    try:
        parts = urlsplit(request.url)
        return f"{parts.hostname}:{parts.port}" if parts.port else f"{parts.hostname}"
    except ValueError:
        return "the upstream"


def _headers(response: "httpx.Response") -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}
