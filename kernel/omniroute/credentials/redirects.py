"""The browser's way back: a listener on this machine that takes one redirect, and text that a person pasted instead.

The listener binds 127.0.0.1 and nothing else, answers exactly one path under the names of this machine, lets through what
carries the sign-in's own state, once, and is gone. Its page shows no code. What was pasted is never logged.
"""

import asyncio
import contextlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from omniroute.contracts import OpenRedirect
from omniroute.errors import InvalidRequest

__all__ = ["Listener", "read_pasted", "uri_of"]

ADDRESS = "127.0.0.1"
NAMES = ("localhost", ADDRESS)
MAX_HEAD_BYTES = 16 * 1024
MAX_PASTE_CHARS = 16 * 1024
HEAD_TIMEOUT_S = 5.0
PAGE = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>OmniRoute</title>"
    "<style>body{{font:16px/1.5 system-ui;margin:15vh auto;max-width:30em;padding:0 1em}}</style>"
    "<h1>{head}</h1><p>{text}</p>"
)
DONE = ("You are signed in", "OmniRoute has what it needs. You can close this page.")
NOT_OURS = ("This is not a sign-in that waits here", "Begin again with <code>omniroute account add</code>.")


class Listener:
    """Made by `open`. `uri` is what the vendor is to send the browser to."""

    def __init__(self, step: OpenRedirect) -> None:
        self.uri = ""
        self._step = step
        self._hosts: frozenset[str] = frozenset()
        self._state: str | None = None
        self._server: asyncio.Server | None = None
        self._found: asyncio.Future[Mapping[str, str]] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls, step: OpenRedirect) -> "Listener | None":
        """On the first port that is free; None when all of them are taken."""
        listener = cls(step)
        for port in step.ports or (0,):
            with contextlib.suppress(OSError):
                await listener._bind(port)
                return listener
        return None

    async def _bind(self, port: int) -> None:
        self._server = await asyncio.start_server(self._serve, ADDRESS, port, limit=MAX_HEAD_BYTES)
        port = self._server.sockets[0].getsockname()[1]
        self.uri = uri_of(self._step, port)
        self._hosts = frozenset(f"{name}:{port}" for name in NAMES)

    def expect(self, state: str) -> "asyncio.Future[Mapping[str, str]]":
        """Let the redirect with this state through from now on; the future has its query."""
        self._state = state
        return self._found

    async def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        if not self._found.done():
            self._found.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                status, page = self._answer(head)
                writer.write(_response(status, page))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # no browser
        finally:
            writer.close()

    def _answer(self, head: bytes) -> tuple[str, tuple[str, str]]:
        lines = head.decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        hosts = [
            value.strip().lower()
            for name, _, value in (line.partition(":") for line in lines[1:])
            if name.lower() == "host"
        ]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return "421 Misdirected Request", NOT_OURS
        if len(words) != 3 or words[0] != "GET":
            return "405 Method Not Allowed", NOT_OURS
        target = urlsplit(words[1])
        if target.path != self._step.path:
            return "404 Not Found", NOT_OURS
        query = dict(parse_qsl(target.query, keep_blank_values=True))
        if self._server is None or self._found.done():
            return "410 Gone", NOT_OURS
        if self._state is None or not _same(query.get("state", ""), self._state):
            return "400 Bad Request", NOT_OURS
        self._found.set_result(query)
        self._server.close()  # one redirect, and no more
        return "200 OK", DONE if "error" not in query else ("You are not signed in", "The sign-in was refused.")


def uri_of(step: OpenRedirect, port: int) -> str:
    return f"http://{step.host}:{port}{step.path}"


def _response(status: str, page: tuple[str, str]) -> bytes:
    body = PAGE.format(head=page[0], text=page[1]).encode()
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {len(body)}\r\n"
        "cache-control: no-store\r\nreferrer-policy: no-referrer\r\nx-content-type-options: nosniff\r\n"
        "content-security-policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode() + body


def read_pasted(text: str, redirect_uri: str, state: str) -> Mapping[str, str]:
    """The query of the redirect that somebody pasted: the whole URL, its query, `code#state`, or the bare code.

    Raises `InvalidRequest` for a URL that leads elsewhere, and for the state of another sign-in.
    """
    text = text.strip()
    if not text or len(text) > MAX_PASTE_CHARS or not text.isprintable() or " " in text:
        raise _bad("it is neither a URL nor a code")
    if "://" in text:
        query = _query_of(text, redirect_uri)
    elif "code=" in text and "=" in text:
        query = dict(parse_qsl(text.lstrip("?#"), keep_blank_values=True))
    else:
        code, _, told = text.partition("#")
        query = {"code": code, "state": told or state}
    if not _same(query.get("state", ""), state):
        raise _bad("it belongs to another sign-in: only paste what you produced yourself, just now")
    if not query.get("code") and not query.get("error"):
        raise _bad("it has no code")
    return query


def _query_of(text: str, redirect_uri: str) -> dict[str, str]:
    try:
        pasted, wanted = urlsplit(text), urlsplit(redirect_uri)
        same = (pasted.scheme, _host(pasted.hostname), pasted.port, pasted.path.rstrip("/")) == (
            wanted.scheme,
            _host(wanted.hostname),
            wanted.port,
            wanted.path.rstrip("/"),
        )
    except ValueError:
        same = False
    if not same or "@" in pasted.netloc:
        raise _bad(f"the browser was to be sent to {redirect_uri}, and this is another address")
    return dict(parse_qsl(pasted.query, keep_blank_values=True)) | dict(parse_qsl(pasted.fragment))


def _host(name: str | None) -> str | None:
    return "localhost" if name in NAMES else name


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _bad(why: str) -> InvalidRequest:
    return InvalidRequest(
        "what was pasted is not the redirect of this sign-in",
        why=why,
        fix="paste the whole address that the browser shows after signing in, or the code it shows",
        param="text",
    )
