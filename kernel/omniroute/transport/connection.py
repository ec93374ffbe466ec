"""One HTTP/1.1 connection to an upstream, and the answer that is being read from it.

asyncio calls the protocol, the protocol feeds httptools, and what httptools finds goes to the `LeanStream` of the one
request under way. llhttp, which httptools wraps, refuses framing that two parties could read in two ways (two lengths, a
length beside `chunked`, folded lines, bare line feeds); what is refused here besides is refused in `on_headers_complete`.
"""

import asyncio
from typing import Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from omniroute.contracts.http import HEADER_NAMES
from omniroute.errors import UpstreamFailed, UpstreamGarbled
from omniroute.outbox import Outbox
from omniroute.transport.inflating import inflater
from omniroute.transport.reasons import BROKEN, NO_ANSWER, NOT_HTTP, reason
from omniroute.transport.stream import LeanStream

__all__ = ["PIECE_BYTES", "Connection", "Owner", "StaleConnection"]

MAX_HEADERS = 256
MAX_HEAD_BYTES = 64 * 1024
"""Of a head, of trailers, and of framing that brings no content."""
HIGH_WATER_BYTES = 64 * 1024
"""More than this unread, and the socket is not read until somebody takes it. One read is at most 256 kB."""
PIECE_BYTES = 256 * 1024
"""A longer body is written in pieces, each when the one before it has nearly gone: 50 bodies of 10 MB are not copied."""


class StaleConnection(Exception):
    """The upstream had closed the idle connection before anything was sent. Seen by nobody outside this package."""


class Owner(Protocol):
    """Who keeps connections."""

    def opened(self, connection: "Connection") -> None: ...
    def freed(self, connection: "Connection") -> None:
        """Its exchange is over, and it may serve another."""

    def lost(self, connection: "Connection", *, was_busy: bool) -> None:
        """It serves nobody any more. Told at once, perhaps twice; `was_busy` once at most."""

    def gone(self, connection: "Connection") -> None:
        """Its socket is closed."""


class Connection(asyncio.Protocol):
    """Not made by hand but by `loop.create_connection`. One exchange at a time, `ask` begins it."""

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop, *, keep_alive_s: float, max_age_s: float) -> None:
        """After `keep_alive_s` of idleness, or what the upstream says in `Keep-Alive: timeout=…`, and in any case after
        `max_age_s`, it serves no further request."""
        self.idle_since_s = loop.time()
        self._old_at_s = self.idle_since_s + max_age_s
        self._keep_alive_s = self._longest_s = keep_alive_s
        self._owner = owner
        self._loop = loop
        self._outbox = Outbox.of(loop)
        self._body: list[bytes] = []
        """Of what is being fed to the parser, which calls no code of ours for it: a read may hold hundreds of chunks."""
        self.on_body = self._body.append
        self._parser = HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._answer: LeanStream | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._barren_bytes = 0
        """Since the last byte of a body: heads, chunk extensions, trailers."""
        self._busy = False
        self._over = self._keeps = self._until_close = False
        self._is_full = False
        self._waits = False
        """Nothing of the request has been written yet."""
        self._sent = True
        """False from the first piece of a long body to the last."""
        self._bodyless = False
        """The answer to a HEAD, which is the last on its connection."""

    # --- asking -------------------------------------------------------------------------------------------------------

    def ask(self, method: str, head: bytes, body: bytes) -> LeanStream:
        """Send a request. Its answer has a status as soon as its head is here, which whoever asks waits for (`changed`); he closes
        it when he gives up. The connection was taken from its owner before.

        Fails with `UpstreamError`, and with `StaleConnection` when nothing was sent. What is longer than `PIECE_BYTES` has to be
        uploaded besides.
        """
        answer = self._answer = LeanStream(self, self._loop)
        self._headers, self._barren_bytes = [], 0
        self._busy = True
        self._over = self._until_close = False
        if method == "HEAD":
            self._bodyless = True
        self._waits = True
        self._sent = len(body) <= PIECE_BYTES
        self._outbox.put(self._write, (head, body) if self._sent else (head,))
        return answer

    def _write(self, pieces: tuple[bytes, ...]) -> None:
        if not self._waits:  # nobody does any more
            return
        if not self._transport.is_closing():
            self._transport.writelines(pieces)
        if self._transport.is_closing():
            self._lose(None)
        self._waits = False

    async def upload(self, answer: LeanStream, body: bytes) -> None:
        """In pieces, unless the upstream refuses before it has read all: then the rest stays here."""
        self._outbox.flush()
        pieces = memoryview(body)
        for start in range(0, len(body), PIECE_BYTES):
            if answer.ended or answer.status >= 400:
                return
            self._transport.write(pieces[start : start + PIECE_BYTES])
            while self._is_full and not answer.ended and answer.status < 400:
                await answer.changed()
        self._sent = True

    def may_serve(self, now_s: float) -> bool:
        """It is neither closed nor past its time."""
        return (
            now_s - self.idle_since_s < self._keep_alive_s
            and now_s < self._old_at_s
            and not self._transport.is_closing()
        )

    def fileno(self) -> int:
        number: int = self._transport.get_extra_info("socket").fileno()
        return number

    def abort(self) -> None:
        """Close the socket now. What waits for an answer is told."""
        self._transport.abort()
        self._lose(None)

    def resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _lose(self, error: BaseException | None) -> None:
        was_busy, self._busy = self._busy, False
        self._owner.lost(self, was_busy=was_busy)
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if self._waits:
            self._waits = False
            answer.fail(StaleConnection(), error)
        else:
            answer.fail(_broken(answer, reason(error) if error else "the connection was closed"), error)

    # --- asyncio's calls ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by type
        self._transport.set_write_buffer_limits(high=PIECE_BYTES)
        self._owner.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._lose(error)
        self._owner.gone(self)
        del self._parser  # and with it a cycle

    def eof_received(self) -> None:
        answer = self._answer
        if answer is not None and answer.status and self._until_close:
            self._over, self._keeps = True, False
            self._finish(answer)
            answer.wake()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        if self._answer is not None:
            self._answer.wake()

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None or self._waits:  # nothing was asked: junk, or the upstream's farewell
            self.abort()
            return
        self._barren_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._keeps = False
            if not self._over:
                answer.unread += self._body
                self._refuse(str(error), error)
        if self._over:
            self._body.clear()  # of more than was asked for
            self._finish(answer)
        elif self._body:
            self._hand_over(answer)
            if answer.unread_bytes > HIGH_WATER_BYTES:
                answer.paused = True
                self._transport.pause_reading()
        elif self._barren_bytes > MAX_HEAD_BYTES:
            self._refuse("its head, or its framing, is too long")
        if answer.wake():
            self._outbox.coming += 1

    def _hand_over(self, answer: LeanStream) -> None:
        data = b"".join(self._body)  # one piece is not copied
        self._body.clear()
        self._barren_bytes = 0
        answer.unread.append(data)
        answer.unread_bytes += len(data)

    def _finish(self, answer: LeanStream) -> None:
        """The whole answer is here, though perhaps not taken yet."""
        if self._answer is None:  # refused
            return
        self._answer = None
        answer.ended, answer.connection = True, None
        if self._keeps and self._sent and not self._transport.is_closing():
            self._busy, self.idle_since_s = False, self._loop.time()
            self._owner.freed(self)
        else:
            self.abort()

    def _refuse(self, why: str, cause: Exception | None = None) -> None:
        answer, self._answer = self._answer, None
        self._over = True
        if answer is not None:
            answer.fail(_broken(answer, why) if answer.status else UpstreamGarbled(NOT_HTTP, why=why), cause)
        self.abort()

    # --- httptools' calls ---------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._over:  # more than was asked for
            self._keeps = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        answer = self._answer
        if answer is None or self._over:
            return
        if status < 200:
            self._headers.clear()
            if status == 101:
                self._refuse("it switched to a protocol that nobody asked for")
            return
        if len(self._headers) > MAX_HEADERS or (self._barren_bytes > MAX_HEAD_BYTES and self._has_long_head()):
            self._refuse("it has too many headers or too long ones")
            return
        headers: dict[str, str] = {}
        for name, value in self._headers:  # no comprehension: before Python 3.12 that is a call
            headers[HEADER_NAMES[name]] = value.decode("utf-8", "surrogateescape")
        self._keeps = self._parser.should_keep_alive()
        if "transfer-encoding" in headers:
            said = [value.lower() for name, value in self._headers if name.lower() == b"transfer-encoding"]
            if said != [b"chunked"]:
                self._refuse("its transfer encoding is not just chunked")
                return
        elif "content-length" not in headers:
            self._until_close = True
        if "keep-alive" in headers:
            self._keep_alive_s = min(self._longest_s, _said_timeout_s(headers["keep-alive"]) - 1.0)
        if "content-encoding" in headers:
            answer.inflater = inflater(headers["content-encoding"])
        answer.status, answer.headers = status, headers
        if self._bodyless:
            self._over, self._keeps = True, False

    def _has_long_head(self) -> bool:
        """Asked only where all that came is too long, of which the head may be a part."""
        return sum(len(name) + len(value) for name, value in self._headers) > MAX_HEAD_BYTES

    def on_message_complete(self) -> None:
        answer = self._answer
        if answer is not None and answer.status and not self._over:  # else it was a 1xx, or is more than was asked for
            answer.unread += self._body  # uncounted, as nothing more comes
            self._body.clear()
            self._over = True


def _broken(answer: LeanStream, why: str) -> UpstreamFailed:
    if answer.status:
        return UpstreamFailed(BROKEN, why=why)
    return UpstreamFailed(NO_ANSWER, why=why)


def _said_timeout_s(value: str) -> float:
    """Of `timeout=5, max=100`; infinite when it does not say."""
    for part in value.split(","):
        name, _, number = part.strip().partition("=")
        if name.lower() == "timeout" and number.isdecimal():
            return float(number)
    return float("inf")
