"""Raw sockets against a real server: what a client may send, and what becomes of it when it may not."""

import asyncio
import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Self

import pytest

from omniroute import logs
from omniroute.contracts import Headers
from omniroute.errors import PayloadTooLarge
from omniroute.outbox import Outbox
from omniroute.server import ClientDisconnected, Server, ServerLimits, loop_factory, read_body, running
from omniroute.server.attendant import vouch
from omniroute.server.connections import Connections
from omniroute.server.refusals import MALFORMED as MALFORMED_REFUSAL

GOOD = b"GET /fine HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
READ_LIMIT = 100_000


# --- a server in a thread, and a client --------------------------------------------------------------------------------


class Recorder:
    """The application: says `METHOD path body` back, and keeps what it was called with."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.headers: list[dict[bytes, bytes]] = []
        self.bodies: list[bytes] = []
        self.gone = threading.Event()
        self.let_go = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        self.calls.append(f"{scope['method']} {scope['path']}")
        self.headers.append(dict(scope["headers"]))
        try:
            await getattr(self, scope["path"].strip("/").partition("/")[0], self.echo)(scope, receive, send)
        except ClientDisconnected:
            self.gone.set()
        except PayloadTooLarge as error:
            await answer(send, error.status, error.code.encode())

    async def echo(self, scope: Any, receive: Any, send: Any) -> None:
        body = await read_body(declared(scope), receive, READ_LIMIT)
        self.bodies.append(body)
        await answer(send, 200, f"{scope['method']} {scope['path']} ".encode() + body)

    async def known(self, scope: Any, receive: Any, send: Any) -> None:
        vouch(scope)
        await answer(send, 200, b"hello again")

    async def unread(self, scope: Any, receive: Any, send: Any) -> None:
        await answer(send, 401, b"who are you")

    async def wait(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone.set()

    async def gated(self, scope: Any, receive: Any, send: Any) -> None:
        await read_body(declared(scope), receive, READ_LIMIT)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        while not self.let_go.is_set():
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"then."})

    async def endless(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        left = asyncio.create_task(self.wait(scope, receive, send))
        while not self.gone.is_set():
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
            await asyncio.sleep(0)
        await left


def declared(scope: Any) -> str | None:
    return Headers(dict(scope["headers"])).get("content-length")


async def answer(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class SteppedLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock can be put forward."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s


class Served:
    """A running server and its application."""

    def __init__(self, limits: ServerLimits, factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.app = Recorder()
        self._limits = limits
        self._factory = factory
        self._ready: Future[tuple[Server, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        self.server, self.loop, self._over = self._ready.result(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.app.let_go.set()
        self.app.gone.set()
        self.loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=self._factory) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        over = asyncio.Event()
        async with running(self.app, limits=self._limits) as server:
            self._ready.set_result((server, asyncio.get_running_loop(), over))
            await over.wait()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=10)

    def settle(self) -> None:
        """Until the server has done all it can with what was sent."""

        async def turns() -> None:
            for _ in range(30):
                await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(turns(), self.loop).result(10)

    def advance(self, seconds: float) -> None:
        self.settle()

        async def forward() -> None:
            self.loop.ahead_s += seconds  # type: ignore[attr-defined]

        asyncio.run_coroutine_threadsafe(forward(), self.loop).result(10)
        self.settle()

    def ask(self, *pieces: bytes) -> list["Reply"]:
        """Send, and read until the server closes."""
        with self.connect() as client:
            for piece in pieces:
                client.sendall(piece)
            return replies(client)

    def still_works(self) -> bool:
        before = len(self.app.calls)
        return [reply.body for reply in self.ask(LAST)] == [b"GET /last "] and len(self.app.calls) == before + 1


class Reply:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["error"]["code"])


def replies(client: socket.socket) -> list[Reply]:
    """Every response on this connection; returns only when the server has closed it."""
    data = b""
    while piece := client.recv(65536):
        data += piece
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        size = int(headers.get("content-length", 0))
        assert len(data) >= size
        found.append(Reply(int(status.split()[1]), headers, data[:size]))
        data = data[size:]
    return found


FACTORIES = {"asyncio": asyncio.SelectorEventLoop} | ({"uvloop": factory} if (factory := loop_factory()) else {})


@pytest.fixture(params=list(FACTORIES), scope="module")
def shared(request: pytest.FixtureRequest) -> Iterator[Served]:
    with Served(ServerLimits(), FACTORIES[request.param]) as served:
        yield served


@pytest.fixture
def served(shared: Served) -> Served:
    """With the limits as they are by default."""
    shared.app.calls.clear()
    shared.app.headers.clear()
    shared.app.bodies.clear()
    shared.app.gone.clear()
    shared.app.let_go.clear()
    return shared


@pytest.fixture
def stepped() -> Iterator[Served]:
    """The same with a clock in our hands."""
    with Served(ServerLimits(), SteppedLoop) as served:
        yield served


# --- refused before the application is asked ----------------------------------------------------------------------------


def head(*lines: bytes, target: bytes = b"/", version: bytes = b"HTTP/1.1") -> bytes:
    return b"\r\n".join([b"POST " + target + b" " + version, b"Host: localhost", *lines, b"", b""])


MALFORMED = {
    "content-length and transfer-encoding": head(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "transfer-encoding and content-length": head(b"Transfer-Encoding: chunked", b"Content-Length: 5") + b"0\r\n\r\n",
    "two content-lengths": head(b"Content-Length: 5", b"Content-Length: 6") + b"hello",
    "two equal content-lengths": head(b"Content-Length: 5", b"Content-Length: 5") + b"hello",
    "a list of content-lengths": head(b"Content-Length: 5, 5") + b"hello",
    "a signed content-length": head(b"Content-Length: +5") + b"hello",
    "a negative content-length": head(b"Content-Length: -1"),
    "an empty content-length": head(b"Content-Length:"),
    "a content-length beyond 64 bits": head(b"Content-Length: 99999999999999999999"),
    "xchunked": head(b"Transfer-Encoding: xchunked") + b"0\r\n\r\n",
    "identity": head(b"Transfer-Encoding: identity"),
    "gzip, chunked": head(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
    "chunked twice": head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "quoted chunked": head(b'Transfer-Encoding: "chunked"') + b"0\r\n\r\n",
    "vertical tab before chunked": head(b"Transfer-Encoding:\x0bchunked") + b"0\r\n\r\n",
    "chunked in http/1.0": head(b"Transfer-Encoding: chunked", version=b"HTTP/1.0") + b"0\r\n\r\n",
    "folded header": head(b"X-A: b", b" c"),
    "header folded with a tab": head(b"X-A: b", b"\tc"),
    "fold after the request line": b"GET / HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "space before the colon": head(b"X-A : b"),
    "space in a name": head(b"X A: b"),
    "no name": head(b": b"),
    "no colon": head(b"nonsense"),
    "bare line feeds": b"GET / HTTP/1.1\nHost: localhost\n\n",
    "one bare line feed": b"GET / HTTP/1.1\r\nHost: localhost\nX-A: b\r\n\r\n",
    "bare line feed at the end": b"GET / HTTP/1.1\r\nHost: localhost\r\n\n",
    "carriage return in a value": head(b"X-A: b\rc"),
    "nul in a value": head(b"X-A: b\x00c"),
    "escape in a value": head(b"X-A: b\x1bc"),
    "a name beyond ascii": head(b"X\xff: b"),
    "absolute target": head(target=b"http://localhost/"),
    "absolute target elsewhere": head(target=b"http://evil.test/"),
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "connect": b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n",
    "fragment": head(target=b"/a#b"),
    "nul in the target": head(target=b"/\x00"),
    "target beyond ascii": head(target=b"/\xff"),
    "space in the target": head(target=b"/a b"),
    "http/0.9": head(version=b"HTTP/0.9"),
    "http/2.0": head(version=b"HTTP/2.0"),
    "http/1.2": head(version=b"HTTP/1.2"),
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "lower-case method": b"get / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "garbage": b"\xde\xad\xbe\xef" * 4,
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "no host in http/1.0": b"GET / HTTP/1.0\r\n\r\n",
    "two hosts": head(b"Host: localhost"),
    "empty host": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "space in the host": b"GET / HTTP/1.1\r\nHost: local host\r\n\r\n",
    "user in the host": b"GET / HTTP/1.1\r\nHost: evil.test@localhost\r\n\r\n",
    "path in the host": b"GET / HTTP/1.1\r\nHost: localhost/evil\r\n\r\n",
    "list of hosts": b"GET / HTTP/1.1\r\nHost: localhost, evil.test\r\n\r\n",
    "port that is none": b"GET / HTTP/1.1\r\nHost: localhost:80x\r\n\r\n",
}  # fmt: skip
TOO_MUCH = {
    "101 headers": (431, "headers_too_large", head(*(b"X-%d: b" % n for n in range(100)))),
    "1,000 headers": (431, "headers_too_large", head(*(b"X-%d: b" % n for n in range(1000)))),
    "one header of 64 KB": (431, "headers_too_large", head(b"X-A: " + b"b" * 65_536)),
    "64 KB in 32 headers": (431, "headers_too_large", head(*(b"X-A: " + b"b" * 2048 for _ in range(32)))),
    "headers without end": (431, "headers_too_large", head(b"X-A: " + b"b" * 400_000)[:-4]),
    "a target of 16 KB": (414, "uri_too_long", head(target=b"/" + b"a" * 16_384)),
    "a target of 100 KB": (414, "uri_too_long", head(target=b"/" + b"a" * 100_000)),
    "a target without end": (414, "uri_too_long", b"GET /" + b"a" * 400_000),
    "a body of 33 MB": (413, "payload_too_large", head(b"Content-Length: 33554433")),
    "a body of 33 MB, asked for first": (
        413, "payload_too_large", head(b"Expect: 100-continue", b"Content-Length: 33554433"),
    ),
}  # fmt: skip
REFUSED = [
    *(pytest.param(400, "invalid_request", data, id=name) for name, data in MALFORMED.items()),
    *(pytest.param(*case, id=name) for name, case in TOO_MUCH.items()),
]


@pytest.mark.parametrize(("status", "code", "data"), REFUSED)
def test_a_doubtful_request_is_refused_and_ends_its_connection_only(served, status, code, data):
    (reply,) = served.ask(data)
    assert (reply.status, reply.code) == (status, code)
    assert reply.headers["connection"] == "close"
    assert "date" in reply.headers
    assert "server" not in reply.headers
    assert served.app.calls == []
    assert served.still_works()


@pytest.mark.parametrize("name", ["content-length and transfer-encoding", "xchunked", "bare line feeds", "two hosts"])
def test_it_makes_no_difference_how_the_bytes_are_cut(served, name):
    with served.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for byte in MALFORMED[name]:
                client.sendall(bytes([byte]))
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before it was all out
        (reply,) = replies(client)
    assert reply.status == 400
    assert served.app.calls == []


def test_a_head_that_comes_in_pieces_is_measured_whole(served):
    data = head(b"X-A: " + b"b" * 65_536)
    with served.connect() as client:
        client.sendall(data[:60_000])
        served.settle()
        client.sendall(data[60_000:])
        assert [reply.status for reply in replies(client)] == [431]
    assert served.app.calls == []


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(LAST, id="plain"),
        pytest.param(b"\r\n\r\n" + LAST, id="after empty lines"),
        pytest.param(LAST.replace(b"localhost", b"[::1]:20128"), id="ipv6 host"),
        pytest.param(LAST.replace(b"localhost", b"LOCALHOST:1"), id="another port and case"),
        pytest.param(LAST.replace(b"/last", b"/last?a=%00&b=http://x/"), id="anything in the query"),
        pytest.param(LAST.replace(b"Conn", b"X-A: caf\xe9\r\nConn"), id="latin-1 in a value"),
        pytest.param(LAST.replace(b"Conn", b"\r\n".join(b"X-%d: b" % n for n in range(98)) + b"\r\nConn"), id="100 headers"),
        pytest.param(LAST.replace(b"Conn", b"X-A: " + b"b" * 65_000 + b"\r\nConn"), id="almost 64 KB of headers"),
        pytest.param(LAST.replace(b"/last", b"/last?" + b"a" * 16_000), id="almost 16 KB of target"),
    ],
)  # fmt: skip
def test_what_is_within_the_rules_is_served(served, data):
    (reply,) = served.ask(data)
    assert (reply.status, reply.body) == (200, b"GET /last ")


def test_a_refusal_is_logged_without_what_the_client_sent(stepped, request):
    stream = io.BytesIO()
    logs.configure("info", as_json=True, stream=stream)
    request.addfinalizer(logs.reset)
    stepped.ask(head(b"Authorization: Bearer test-key-canary", b"X-A : canary", target=b"/canary"))
    (event,) = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (event["event"], event["status"], event["code"]) == ("request refused", 400, "invalid_request")
    assert b"canary" not in stream.getvalue()


def test_a_flood_of_refusals_does_not_fill_the_log(request):
    stream = io.BytesIO()
    logs.configure("info", as_json=True, stream=stream)
    request.addfinalizer(logs.reset)
    connections = Connections(ServerLimits())
    for count in (50, 1):
        for _ in range(count):
            connections.log_refusal(MALFORMED_REFUSAL)
        connections.next_second()
    *first, summary, last = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in [*first, last]] == ["request refused"] * 21
    assert (summary["event"], summary["requests"]) == ("more requests refused", 30)


# --- bodies ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"zz\r\n", id="no size"),
        pytest.param(b"1\r\nxyz\r\n0\r\n\r\n", id="longer than its size"),
        pytest.param(b"1\nx\n0\n\n", id="bare line feeds"),
        pytest.param(b"1 \r\nx\r\n0\r\n\r\n", id="space after the size"),
        pytest.param(b"-1\r\nx\r\n0\r\n\r\n", id="negative size"),
        pytest.param(b"fffffffffffffffff\r\nx\r\n", id="size beyond 64 bits"),
        pytest.param(b"1;a\nb\r\nx\r\n0\r\n\r\n", id="line feed in an extension"),
        pytest.param(b"0\r\nX-A : b\r\n\r\n", id="space before a trailer's colon"),
    ],
)
def test_bad_chunks_are_refused_and_the_application_gets_no_body(served, body):
    (reply,) = served.ask(CHUNKED + body)
    assert (reply.status, reply.code) == (400, "invalid_request")
    assert served.app.gone.wait(5)
    assert served.app.bodies == []
    assert served.still_works()


@pytest.mark.parametrize(
    ("data", "body"),
    [
        pytest.param(POST + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello", b"hello", id="content-length"),
        pytest.param(
            CHUNKED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + b"2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            b"hello", id="chunked",
        ),
        pytest.param(
            POST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello",
            b"hello", id="an upgrade offered, as java does",
        ),
        pytest.param(
            POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"hello", id="an upgrade offered, chunked",
        ),
        pytest.param(POST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", b"", id="an upgrade offered, no body"),
        pytest.param(
            POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello" + CHUNKED + b"1\r\nx\r\n",
            b"hello", id="an upgrade offered, and more behind it",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("cut", [False, True], ids=["in one piece", "byte by byte"])
def test_a_body_arrives_as_it_was_sent(served, data, body, cut):
    (reply,) = served.ask(*([bytes([byte]) for byte in data] if cut and b"1\r\nx" not in data else [data]))
    assert (reply.status, reply.body) == (200, b"POST /p " + body)


def test_trailers_do_not_become_headers(served):
    served.ask(CHUNKED + b"1\r\nx\r\n0\r\nAuthorization: Bearer test-key-1\r\nX-Trailer: t\r\n\r\n" + LAST)
    assert served.app.bodies[0] == b"x"
    assert set(served.app.headers[0]) == {b"host", b"transfer-encoding"}


def test_trailers_and_extensions_without_end_are_refused(served):
    flood = b"X-A: " + b"b" * 400_000
    (reply,) = served.ask(CHUNKED + b"1\r\nx\r\n0\r\n", flood)
    assert reply.status == 431
    assert served.still_works()


def test_a_client_that_sends_50_mb_all_the_same_reads_why_not(served):
    (reply,) = served.ask(POST + b"Content-Length: 50000000\r\n\r\n", bytes(50_000_000))
    assert (reply.status, reply.code) == (413, "payload_too_large")
    assert served.app.calls == []
    assert served.still_works()


def test_a_chunked_body_is_refused_by_the_application_when_it_passes_the_limit(served):
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    (reply,) = served.ask(CHUNKED, *[chunk] * 100)
    assert (reply.status, reply.body) == (413, b"payload_too_large")
    assert served.app.bodies == []
    assert served.still_works()


@pytest.mark.parametrize("connection", [b"keep-alive", b"close"])
def test_an_answer_given_without_reading_the_body_is_not_lost(served, connection):
    data = POST.replace(b"/p", b"/unread") + b"Connection: " + connection + b"\r\nContent-Length: 3000000\r\n\r\n"
    (reply,) = served.ask(data, bytes(3_000_000))
    assert (reply.status, reply.body) == (401, b"who are you")


def test_an_answer_before_the_body_is_here_says_that_the_connection_ends(served):
    unread = POST.replace(b"/p", b"/unread") + b"Content-Length: 4\r\n\r\n"
    with served.connect() as client:
        client.sendall(unread)
        served.settle()
        client.sendall(b"body" + LAST)
        (reply,) = replies(client)
    assert (reply.status, reply.headers["connection"]) == (401, "close")
    together, last = served.ask(unread + b"body" + LAST)
    assert (together.status, "connection" in together.headers) == (401, False)
    assert last.body == b"GET /last "


def test_a_client_that_asks_first_is_told_to_continue_only_when_somebody_reads(served):
    expecting = POST + b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: 5\r\n\r\n"
    with served.connect() as client:
        client.sendall(expecting)
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hello")
        assert [reply.body for reply in replies(client)] == [b"POST /p hello"]
    (reply,) = served.ask(expecting.replace(b"/p", b"/unread"))
    assert reply.status == 401
    (reply,) = served.ask(expecting.replace(b": 5", b": 200000"))
    assert (reply.status, reply.body) == (413, b"payload_too_large")


# --- several requests on one connection -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "bodies"),
    [
        (LAST, [b"GET /last "]),
        (GOOD + GOOD + LAST, [b"GET /fine ", b"GET /fine ", b"GET /last "]),
        (POST.replace(b"/p", b"/unread") + b"Content-Length: 9\r\n\r\nno", [b"who are you"]),
        (GOOD + b"\0", [b"GET /fine ", None]),
    ],
    ids=["asked to close", "pipelined", "unread body", "garbage behind it"],
)
def test_what_waits_for_others_is_written_before_its_connection_ends(served, data, bodies):
    async def hold() -> None:
        Outbox.of(served.loop).coming = 9  # as if eight more had come

    asyncio.run_coroutine_threadsafe(hold(), served.loop).result(10)
    found = [reply.body for reply in served.ask(data)]
    assert [body and reply for body, reply in zip(bodies, found, strict=True)] == bodies


def test_pipelined_requests_are_answered_in_order(served):
    bodies = [reply.body for reply in served.ask(GOOD + GOOD.replace(b"fine", b"two") + LAST)]
    assert bodies == [b"GET /fine ", b"GET /two ", b"GET /last "]


@pytest.mark.parametrize("garbage", [b"\x00\x01\x02", b"GET http://evil/ HTTP/1.1\r\n", CHUNKED + b"zz\r\n"])
def test_garbage_behind_a_request_waits_for_its_answer(served, garbage):
    first, second = served.ask(GOOD + garbage + b"\r\n\r\n")
    assert (first.status, first.body) == (200, b"GET /fine ")
    assert second.status == 400
    assert served.app.calls == ["GET /fine"]
    assert served.still_works()


def test_garbage_does_not_get_into_an_answer_that_is_under_way(served):
    with served.connect() as client:
        client.sendall(GOOD.replace(b"/fine", b"/gated"))
        begun = b""
        while not begun.endswith(b"first"):
            begun += client.recv(1000)
        client.sendall(b"\x00garbage")
        served.settle()
        served.app.let_go.set()
        rest = b""
        while piece := client.recv(1000):
            rest += piece
    assert rest.startswith(b"then.HTTP/1.1 400 ")


def test_a_long_line_of_requests_is_cut(served):
    statuses = [reply.status for reply in served.ask(GOOD * 40)]
    assert statuses == [200] * 9 + [400]


# --- clocks -------------------------------------------------------------------------------------------------------------------


def test_half_a_request_line_and_silence_ends_after_ten_seconds(stepped):
    with stepped.connect() as client:
        client.sendall(b"GET / HT")
        stepped.advance(9.9)
        client.sendall(b"TP/1.1\r\nHo")
        stepped.advance(0.2)
        (reply,) = replies(client)
    assert (reply.status, reply.code) == (408, "request_timeout")
    assert stepped.app.calls == []
    assert stepped.still_works()


def test_headers_may_take_almost_ten_seconds(stepped):
    with stepped.connect() as client:
        stepped.advance(9)
        client.sendall(LAST[:10])
        stepped.advance(9)
        client.sendall(LAST[10:])
        assert [reply.status for reply in replies(client)] == [200]


@pytest.mark.parametrize("noise", [b"", b"\r\n"])
def test_a_connection_that_asks_nothing_is_closed_without_a_word(stepped, noise):
    with stepped.connect() as client:
        for _ in range(4):
            client.sendall(noise)
            stepped.advance(2.6)
        assert replies(client) == []


def test_a_body_that_dribbles_is_refused(stepped):
    with stepped.connect() as client:
        client.sendall(POST + b"Content-Length: 100\r\n\r\n")
        stepped.advance(5)
        client.sendall(b"x")
        stepped.advance(5.1)
        (reply,) = replies(client)
        stepped.settle()
        assert stepped.app.gone.is_set()  # without waiting for the client to close
    assert (reply.status, reply.code) == (408, "request_timeout")
    assert stepped.app.bodies == []
    assert stepped.still_works()


def test_a_body_at_more_than_a_kilobyte_a_second_is_waited_for(stepped):
    with stepped.connect() as client:
        client.sendall(POST + b"Connection: close\r\nContent-Length: 50000\r\n\r\n")
        for _ in range(4):
            client.sendall(bytes(12_500))
            stepped.advance(9)
        assert [reply.status for reply in replies(client)] == [200]


def test_a_body_that_came_fast_at_first_must_not_stop(stepped):
    with stepped.connect() as client:
        client.sendall(POST + b"Content-Length: 60000\r\n\r\n" + bytes(50_000))
        stepped.advance(10.1)
        stepped.advance(10.1)
        assert [reply.status for reply in replies(client)] == [408]


def test_a_slow_second_request_does_not_disturb_the_first_answer(stepped):
    with stepped.connect() as client:
        client.sendall(GOOD.replace(b"/fine", b"/gated") + b"GET /sl")
        stepped.advance(11)
        stepped.app.let_go.set()
        first, second = replies(client)
    assert (first.body, second.status) == (b"firstthen.", 408)


def test_an_idle_connection_is_kept_for_75_seconds(stepped):
    with stepped.connect() as client:
        for wait_s in (70, 70, 76):
            client.sendall(GOOD)
            stepped.settle()
            stepped.advance(wait_s)
        assert [reply.status for reply in replies(client)] == [200, 200, 200]


def test_an_answer_may_take_as_long_as_it_likes(stepped):
    with stepped.connect() as client:
        client.sendall(GOOD)
        stepped.settle()
        client.sendall(LAST.replace(b"/last", b"/gated"))
        stepped.advance(1000)
        stepped.app.let_go.set()
        assert [reply.body for reply in replies(client)] == [b"GET /fine ", b"firstthen."]


@pytest.mark.parametrize("behind", [b"", GOOD], ids=["alone", "with another in line"])
def test_a_client_that_stops_reading_is_cut_after_a_minute(stepped, behind):
    with stepped.connect() as client:
        client.sendall(GOOD.replace(b"/fine", b"/endless") + behind)
        assert client.recv(10)
        asyncio.run_coroutine_threadsafe(_until_stalled(stepped.server), stepped.loop).result(10)
        stepped.advance(59)
        assert not stepped.app.gone.is_set()
        stepped.advance(2)
        assert stepped.app.gone.wait(5)


async def _until_stalled(server: Server) -> None:
    (connection,) = server.connections.connections
    while not connection.flow.write_paused:
        await asyncio.sleep(0)


@pytest.mark.parametrize("name", list(FACTORIES))
def test_the_clocks_run_by_themselves(name):
    limits = ServerLimits(head_s=0.05, body_window_s=0.05, linger_s=0.05)
    with Served(limits, FACTORIES[name]) as served:
        assert [reply.status for reply in served.ask(b"GET / HT")] == [408]
        assert [reply.status for reply in served.ask(POST + b"Content-Length: 9\r\n\r\nx")] == [408]
        assert served.ask(b"") == []
        assert served.still_works()


# --- connections ---------------------------------------------------------------------------------------------------------------


def test_connections_beyond_the_limit_are_told_so():
    with Served(ServerLimits(max_connections=2), asyncio.SelectorEventLoop) as served:
        with served.connect() as one, served.connect():
            served.settle()
            assert [(reply.status, reply.code) for reply in served.ask(GOOD)] == [(503, "too_many_connections")]
            one.sendall(LAST)
            assert [reply.status for reply in replies(one)] == [200]
        served.settle()
        assert served.still_works()
        assert "GET /fine" not in served.app.calls


def test_an_address_has_room_for_so_many_connections_that_showed_no_key():
    limits = ServerLimits(max_strangers=2, trusts_loopback=False)
    with Served(limits, asyncio.SelectorEventLoop) as served:
        with served.connect() as one, served.connect() as two:
            served.settle()
            assert [(reply.status, reply.code) for reply in served.ask(GOOD)] == [(429, "too_many_connections")]
            one.sendall(GOOD.replace(b"/fine", b"/known"))
            served.settle()
            assert [reply.status for reply in served.ask(LAST)] == [
                200
            ]  # a known connection leaves its place to others
            one.sendall(LAST)
            two.sendall(LAST)
            assert [reply.status for client in (one, two) for reply in replies(client)] == [200, 200, 200]
        served.settle()
        assert len(served.server.connections.strangers) == 0
        assert "GET /fine" not in served.app.calls


def test_connections_of_this_machine_are_not_counted():
    limits = ServerLimits(max_strangers=1)
    with Served(limits, asyncio.SelectorEventLoop) as served, served.connect(), served.connect():
        served.settle()
        assert [reply.status for reply in served.ask(LAST)] == [200]


def test_the_application_hears_at_once_that_its_client_is_gone(served):
    with served.connect() as client:
        client.sendall(GOOD.replace(b"/fine", b"/wait"))
        served.settle()
        assert not served.app.gone.is_set()
    assert served.app.gone.wait(1)


def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing_behind(served):
    with served.connect() as client:
        client.sendall(POST + b"Content-Length: 100\r\n\r\nhalf")
        served.settle()
    assert served.app.gone.wait(1)
    assert served.app.bodies == []
    served.settle()
    assert not served.server.connections.connections
    assert not served.server.connections.tasks
