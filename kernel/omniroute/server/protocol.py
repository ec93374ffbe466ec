"""uvicorn's HTTP/1.1 protocol with the limits it lacks: nothing doubtful, endless or slow reaches the application.

Left to uvicorn: connections and back-pressure. In `cycle`: ASGI. Left to llhttp (httptools): the grammar, which it reads strictly; what it
lets pass all the same is refused in `_head_fault`. A request that is whole in one read, as nearly all are, starts no clock.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from omniroute.logs import get_logger
from omniroute.outbox import Outbox
from omniroute.server import refusals
from omniroute.server.attendant import ATTENDANT
from omniroute.server.connections import Connections
from omniroute.server.cycle import Cycle
from omniroute.server.hosts import host_is_well_formed
from omniroute.server.outlets import BodyOf
from omniroute.server.refusals import Refusal

__all__ = ["GuardedProtocol"]

log = get_logger("omniroute.server")

# Where in a request the bytes read so far end.
BETWEEN, HEAD, BODY = range(3)

ASGI = {"version": "3.0", "spec_version": "2.3"}
QUERY_MARK, FRAGMENT_MARK = b"?#"

ONCE = {
    b"host": refusals.HOST_DOUBTFUL,
    b"content-length": refusals.MALFORMED,
    b"transfer-encoding": refusals.TRANSFER_CODING,
}
"""Headers that say to whom a request goes and where it ends, and what is answered to two of them."""


class _Stop(Exception):
    """Thrown through the parser to end it; the reason is in `GuardedProtocol._fault`."""


class GuardedProtocol(HttpToolsProtocol):
    """One client connection.

    A refusal is answered here, in no dialect, and ends the connection: the rest of the client's bytes cannot be told
    apart from a second request any more. Answers that are due before it are still given.
    """

    cycle: Cycle  # type: ignore[assignment]  # ours takes the place of uvicorn's; None before the first request
    pipeline: deque[tuple[Cycle, dict[str, Any]]]  # type: ignore[assignment]
    """Requests in line, each with its scope."""

    def __init__(
        self, config: Config, state: Connections, app_state: dict[str, Any], loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(config, state, app_state, loop)
        self.state = state
        self.limits = state.limits
        self.outbox = Outbox.of(loop)
        self._phase = BETWEEN
        self._answering: Cycle | None = None
        """`cycle` is the last in line."""
        self._deaf = False
        """Further bytes are thrown away."""
        self._lingering = False
        self._fault: Refusal | None = None
        self._last_word: Refusal | None = None
        """Due after the answers that are."""
        self._clock: asyncio.TimerHandle | None = None
        self._idle_clock: asyncio.TimerHandle | None = None
        self._idle_from_s = 0.0
        self._write_clock: asyncio.TimerHandle | None = None
        self.stalled = False
        """Closed because the client did not read."""
        self._read_bytes = 0
        """Size of the current read."""
        self._head_bytes = 0
        """Of an unfinished head, without the read it began in; negative during that one."""
        self._body_bytes = 0
        self._paced_bytes = 0
        """`_body_bytes` when the pace was last checked."""
        self._framed_bytes = 0
        """`_body_bytes` after the last read."""
        self._framing_bytes = 0
        """Of reads that brought nothing of the body."""
        self._upgrade_framing: bytes | None = None
        self._keeps_alive = False
        """What the current request's head asks for."""
        self._stranger = ""
        """Where this connection is counted as long as nobody knows its caller; empty when it is not."""

    # --- the connection ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.state.none_left.clear()
        refusal = self._crowded()
        if refusal is None:
            self._start_clock(self.limits.head_s, self._on_clock)
        else:
            self.connections.discard(self)
            self._turn_away(refusal)

    def _crowded(self) -> Refusal | None:
        """Why there is no room for this connection."""
        if len(self.connections) > self.limits.max_connections:
            return refusals.TOO_MANY_CONNECTIONS
        strangers = self.state.strangers
        place = strangers.place(self.client[0]) if self.client else ""
        if place and not strangers.arrive(place):
            return refusals.TOO_MANY_STRANGERS
        self._stranger = place
        return None

    def vouch(self) -> None:
        if self._stranger:
            self.state.strangers.leave(self._stranger)
            self._stranger = ""

    def connection_lost(self, exc: Exception | None) -> None:
        for clock in (self._clock, self._idle_clock, self._write_clock):
            if clock is not None:
                clock.cancel()
        self.connections.discard(self)
        self.vouch()
        for cycle in (self._answering, self.cycle):
            if cycle is not None:
                cycle.leave()
        self.flow.resume_writing()
        self.parser = None  # type: ignore[assignment]  # as uvicorn does: the two hold each other
        self.state.turned_away.discard(self)
        if not self.connections and not self.state.turned_away:
            self.state.none_left.set()

    def _turn_away(self, refusal: Refusal) -> None:
        if len(self.state.turned_away) >= self.limits.max_connections:
            self.transport.abort()  # a flood: telling everybody costs as many sockets again
            return
        self.state.turned_away.add(self)
        self._answer(refusal)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._read_bytes = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            head_end: int = upgrade.args[0]
        except httptools.HttpParserError as error:
            if self._fault is None and isinstance(error, httptools.HttpParserCallbackError):
                self._report(error.__context__)
            self._refuse(self._fault or refusals.MALFORMED)
            return
        else:
            if self._phase != BETWEEN:
                self._watch()
            return
        self._decline_upgrade(data[head_end:])

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.limits.write_s:
            self._write_clock = self.loop.call_later(self.limits.write_s, self._on_write_clock)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_clock is not None:
            self._write_clock.cancel()
            self._write_clock = None

    def send(self, data: bytes) -> None:
        self.outbox.put(self._write, data)

    def _write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def close(self) -> None:
        """Once all that was sent is written."""
        self.outbox.flush()
        self.transport.close()

    def shutdown(self) -> None:
        self.outbox.flush()
        super().shutdown()

    # --- the parser's callbacks ---

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        if self._clock is not None:
            self._stop_clock()
        self._phase = HEAD
        self._head_bytes = -self._read_bytes

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser, headers = self.parser, self.headers
        version = parser.get_http_version()
        found = dict(headers)
        self._fault = self._head_fault(version, found)
        if self._fault is not None:
            raise _Stop
        self.headers = []  # takes the trailers, which nobody looks at: none may pass for a header
        self._keeps_alive = version == "1.1" and self._upgrade_framing is None and parser.should_keep_alive()
        if self._clock is not None:
            self._stop_clock()
        self._body_bytes = self._paced_bytes = self._framed_bytes = self._framing_bytes = 0
        self._phase = BODY
        waiting = self._answering is not None and not self._answering.response_complete
        method = parser.get_method().decode()
        waits_for_100 = b"expect" in found and found[b"expect"].lower() == b"100-continue"
        # Its `keep_alive` is false until the body is here: an answer before that ends the connection, and says so.
        cycle = self.cycle = Cycle(self, method == "HEAD", waits_for_100, found)
        target = self.url
        path, raw_path, query = _parsed(target) if QUERY_MARK in target else _known(target)
        scope = {
            "type": "http",
            "asgi": ASGI,
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
            "method": method,
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": headers,
            "state": self.app_state.copy(),
            ATTENDANT: cycle,
        }
        if waiting:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, scope))
        else:
            self._begin(cycle, scope)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        self.cycle.take(body)

    def on_message_complete(self) -> None:
        if self._upgrade_framing:
            return  # llhttp takes the head for the whole; see _decline_upgrade
        if self._clock is not None:
            self._stop_clock()
        self._phase = BETWEEN
        cycle = self.cycle
        if not cycle.response_started:
            cycle.keep_alive = self._keeps_alive and not self.state.draining
        cycle.end_body()

    def on_response_complete(self) -> None:
        if self._lingering or self.transport.is_closing():
            return
        if self.pipeline:
            self.flow.resume_reading()
            self._begin(*self.pipeline.pop())
        elif self._last_word is not None:
            self._answer(self._last_word)
        elif self._phase == BODY:
            self._linger()  # answered before the body was here, and nobody is going to read it
        else:
            self.flow.resume_reading()
            self._idle_from_s = self.loop.time()
            if self._idle_clock is None and self.limits.idle_s:
                self._on_idle_clock()

    def _begin(self, cycle: Cycle, scope: dict[str, Any]) -> None:
        self._answering = cycle
        self.outbox.coming += 1
        cycle.task = self.loop.create_task(cycle.run(self.app, scope))
        self.tasks.add(cycle.task)  # it takes itself out: a callback costs every request

    @property
    def standing_headers(self) -> list[tuple[bytes, bytes]]:
        return self.state.default_headers

    # --- what is refused ---

    def _head_fault(self, version: str, found: Mapping[bytes, bytes]) -> Refusal | None:
        """`found` has the last value of each header."""
        limits, target, headers = self.limits, self.url, self.headers
        if len(target) > limits.max_target_bytes:
            return refusals.TARGET_TOO_LONG
        if len(headers) > limits.max_headers or self._head_is_too_large():
            return refusals.HEAD_TOO_LARGE
        if not target.startswith(b"/") or FRAGMENT_MARK in target:
            return refusals.TARGET_NOT_A_PATH
        if len(self.pipeline) >= limits.max_pipelined:
            return refusals.TOO_MANY_PIPELINED
        if len(found) != len(headers) and (doubt := _doubt(headers)) is not None:
            return doubt
        length, coding = found.get(b"content-length"), found.get(b"transfer-encoding")
        if length is not None and limits.max_body_bytes is not None and int(length) > limits.max_body_bytes:
            return refusals.BODY_TOO_LARGE
        if coding is not None and (coding.lower() != b"chunked" or version != "1.1"):
            return refusals.TRANSFER_CODING
        host = found.get(b"host")
        if host is None or not host_is_well_formed(host):
            return refusals.HOST_DOUBTFUL
        if self.parser.should_upgrade():
            self._upgrade_framing = _framing(length, coding)
        elif version not in ("1.1", "1.0"):
            return refusals.MALFORMED
        return None

    def _head_is_too_large(self) -> bool:
        maximum = self.limits.max_head_bytes
        if self._read_bytes <= maximum and self._head_bytes < 0:
            return False  # it began in this very read, which is small enough by itself
        lines = sum(len(name) + len(value) + 4 for name, value in self.headers)
        return len(self.url) + lines > maximum

    def _watch(self) -> None:
        """After a read that ended inside a request."""
        limits = self.limits
        if self._phase == HEAD:
            self._head_bytes += self._read_bytes
            if len(self.url) > limits.max_target_bytes:
                self._refuse(refusals.TARGET_TOO_LONG)
            elif self._head_bytes > limits.max_head_bytes:
                self._refuse(refusals.HEAD_TOO_LARGE)
            elif self._clock is None:
                self._start_clock(limits.head_s, self._on_clock)
            return
        if self._body_bytes == self._framed_bytes:
            self._framing_bytes += self._read_bytes
            if self._framing_bytes > limits.max_head_bytes:
                self._refuse(refusals.HEAD_TOO_LARGE)
                return
        self._framed_bytes = self._body_bytes
        if self._clock is None:
            self._start_clock(limits.body_window_s, self._on_clock)

    def _on_clock(self) -> None:
        self._clock = None
        if self._phase == HEAD:
            self._refuse(refusals.HEAD_TOO_SLOW)
        elif self._phase == BODY:
            self._check_pace()
        else:
            self.close()  # connected, and said nothing

    def _on_idle_clock(self) -> None:
        """Runs from the first answer on and looks again when it may be time: cheaper than one clock per answer."""
        busy = self._phase != BETWEEN or (self._answering is not None and not self._answering.response_complete)
        left_s = self.limits.idle_s if busy else self._idle_from_s + self.limits.idle_s - self.loop.time()
        if left_s > 0:
            self._idle_clock = self.loop.call_later(left_s, self._on_idle_clock)
        else:
            self.close()

    def _check_pace(self) -> None:
        limits = self.limits
        came = self._body_bytes - self._paced_bytes
        waits_for_us = self.flow.read_paused or self.cycle.waiting_for_100_continue
        if came < limits.body_min_bytes_s * limits.body_window_s and not waits_for_us:
            self._refuse(refusals.BODY_TOO_SLOW)
            return
        self._paced_bytes = self._body_bytes
        self._start_clock(limits.body_window_s, self._on_clock)

    def _on_write_clock(self) -> None:
        self._write_clock = None
        self.stalled = True
        log.info("connection closed", reason="the client stopped reading", after_s=self.limits.write_s)
        self.transport.abort()

    # --- how it is refused ---

    def _refuse(self, refusal: Refusal) -> None:
        """Take no more from this connection and say why as soon as that cannot be mistaken for another answer."""
        self._deaf = True
        self._stop_clock()
        due = self._answering
        if due is None or due.response_complete:
            self._answer(refusal)
        elif self._phase == BODY and self.cycle is due:
            self._cut(due, refusal)
        else:
            if self._phase == BODY:
                self.pipeline.popleft()  # the last in line is the one that broke off
            self._last_word = refusal

    def _cut(self, cycle: Cycle, refusal: Refusal) -> None:
        """The request being answered broke off: to the application its client is gone."""
        cycle.leave()
        if cycle.response_started:
            self.transport.abort()
        else:
            self._answer(refusal)

    def _answer(self, refusal: Refusal) -> None:
        if self.transport.is_closing():
            return
        self.state.log_refusal(refusal)
        self.send(refusal.encode(self.state.default_headers))
        self._linger()

    def _linger(self) -> None:
        """Close, but listen for a moment: closing with unread bytes resets the connection and may lose the answer."""
        self._deaf = self._lingering = True
        self._stop_clock()
        self.outbox.flush()
        if self.transport.is_closing() or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self.flow.resume_reading()
        self._start_clock(self.limits.linger_s, self.transport.abort)

    def close_gently(self) -> None:
        """The application's answer is out and the connection is not to be kept."""
        if self._phase == BODY and self.cycle is self._answering:
            self._linger()
        else:
            self.close()

    def _report(self, fault: BaseException | None) -> None:
        if isinstance(fault, httptools.HttpParserError):
            return  # of the target
        self._fault = refusals.INTERNAL
        log.error("a request could not be read", exc_info=fault)

    # --- upgrades ---

    def _decline_upgrade(self, rest: bytes) -> None:
        """Ignore an offer to speak another protocol (RFC 9110 §7.8), as Java's client makes with every request.

        llhttp stops after the head of such a request. A second parser reads its body; the connection ends after it.
        """
        framing, self._upgrade_framing = self._upgrade_framing, b""
        if not framing:
            self._deaf = True
            return
        reader = BodyOf(self)
        self.parser = httptools.HttpRequestParser(reader)
        self.data_received(b"POST / HTTP/1.1\r\n" + framing + b"\r\n\r\n" + rest)

    # --- clocks ---

    def _start_clock(self, after_s: float, then: Callable[[], None]) -> None:
        if after_s:
            self._clock = self.loop.call_later(after_s, then)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None


def _framing(length: bytes | None, coding: bytes | None) -> bytes:
    """The header line that says where the body ends; empty when there is none."""
    if coding is not None:
        return b"transfer-encoding: chunked"
    return b"" if length is None else b"content-length: " + length


def _doubt(headers: Iterable[tuple[bytes, bytes]]) -> Refusal | None:
    names = [name for name, _ in headers]
    return next((refusal for name, refusal in ONCE.items() if names.count(name) > 1), None)


def _parsed(target: bytes) -> tuple[str, bytes, bytes]:
    """Path, path as it was sent, and query. Raises httptools' errors and `UnicodeDecodeError`."""
    parsed = httptools.parse_url(target)
    path = parsed.path.decode("ascii")
    return unquote(path) if "%" in path else path, parsed.path, parsed.query or b""


_known = lru_cache(maxsize=512)(_parsed)
"""For targets without a query, which there are few of; and a query may hold a key, which must not stay."""
