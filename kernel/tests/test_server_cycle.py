"""One request and its answer between an application and a connection that keeps what is written."""

import asyncio
import gc
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl

from omniroute.server import running
from omniroute.server.attendant import attendant_of
from omniroute.server.cycle import MAX_LAYOUTS, Cycle, _layouts
from omniroute.server.messages import read_body

SCOPE = {"type": "http", "method": "POST"}
OK = {"type": "http.response.start", "status": 200, "headers": [(b"Content-Length", b"2"), (b"x-own", b"yes")]}
STREAM = {"type": "http.response.start", "status": 200, "headers": []}


class Kept(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.reads = True
        self.closed = False

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


class Connection:
    def __init__(self) -> None:
        self.standing_headers = [(b"date", b"today")]
        self.transport = Kept()
        self.flow = FlowControl(self.transport)
        self.completed = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self.stalled = self.known = False

    def vouch(self) -> None:
        self.known = True

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    def close(self) -> None:
        self.transport.close()

    def on_response_complete(self) -> None:
        self.completed += 1

    def close_gently(self) -> None:
        self.transport.close()

    def cycle(self, method: str = "POST", *, waits_for_100: bool = False) -> Cycle:
        cycle = Cycle(self, is_head=method == "HEAD", waiting_for_100_continue=waits_for_100)
        cycle.keep_alive = True
        return cycle


@pytest.fixture
def connection() -> Connection:
    return Connection()


def body(data: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def answered(cycle: Cycle, *messages: dict[str, Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    await cycle.run(app, SCOPE)


# --- what is written --------------------------------------------------------------------------------------------------


async def test_a_whole_answer_goes_out_in_one_write(connection):
    await answered(connection.cycle(), OK, body(b"hi"))
    assert connection.transport.writes == [
        b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 2\r\nx-own: yes\r\n\r\nhi"
    ]
    assert (connection.completed, connection.transport.closed) == (1, False)


@pytest.mark.parametrize("method", ["POST", "HEAD"])
@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("start", [OK, {**OK, "status": 503}, {**STREAM, "status": 204}, STREAM], ids=repr)
async def test_an_answer_at_once_is_the_one_that_its_messages_make(method, keep_alive, start):
    written, text = [], b"" if start["status"] == 204 else b"hi"
    for at_once in (False, True):
        connection = Connection()
        cycle = connection.cycle(method)
        cycle.keep_alive = keep_alive
        if at_once:
            assert cycle.answer(start["status"], start["headers"], text)
        else:
            await answered(cycle, start, body(text))
        assert (connection.completed, connection.transport.closed) == (1, not keep_alive)
        written.append(connection.transport.writes)
    assert written[0] == written[1]


async def test_the_pieces_of_a_stream_at_once_are_those_that_its_messages_make(connection):
    cycle = connection.cycle()
    await cycle.send(STREAM)
    assert cycle.pass_on(b"one", more=True)
    assert cycle.pass_on(b"three", more=True)
    assert cycle.pass_on(b"", more=False)
    other = Connection()
    await answered(other.cycle(), STREAM, body(b"one", more=True), body(b"three", more=True), body(b""))
    assert connection.transport.writes == other.transport.writes
    assert not cycle.pass_on(b"more", more=False)


async def test_a_piece_is_not_sent_at_once_where_something_has_to_come_before_it(connection):
    unbegun, full, left = connection.cycle(), connection.cycle(), connection.cycle()
    assert not unbegun.pass_on(b"hi", more=True)
    for cycle in (full, left):
        await cycle.send(STREAM)
    left.leave()
    assert not left.pass_on(b"hi", more=True)
    connection.flow.pause_writing()
    assert not full.pass_on(b"hi", more=True)
    assert connection.transport.writes == []


async def test_an_answer_is_not_sent_at_once_where_something_has_to_come_before_it(connection):
    begun, full, left = connection.cycle(), connection.cycle(), connection.cycle()
    await begun.send(STREAM)
    left.leave()
    assert not begun.answer(200, [], b"hi")
    assert not left.answer(200, [], b"hi")
    connection.flow.pause_writing()
    assert not full.answer(200, [], b"hi")
    assert connection.transport.writes == []


async def test_each_piece_of_a_stream_is_one_write_and_the_first_takes_the_head_along(connection):
    await answered(connection.cycle(), STREAM, body(b"one", more=True), body(b"three", more=True), body(b""))
    assert connection.transport.writes == [
        b"HTTP/1.1 200 OK\r\ndate: today\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n",
        b"5\r\nthree\r\n",
        b"0\r\n\r\n",
    ]


async def test_a_head_alone_is_sent_to_who_asked_for_no_more(connection):
    await answered(connection.cycle("HEAD"), OK, body(b"hi"))
    assert connection.transport.writes[0].endswith(b"content-length: 2\r\nx-own: yes\r\n\r\n")


async def test_an_answer_without_a_body_is_not_chunked(connection):
    await answered(connection.cycle(), {**STREAM, "status": 204}, body(b""))
    assert connection.transport.writes == [b"HTTP/1.1 204 No Content\r\ndate: today\r\n\r\n"]


@pytest.mark.parametrize("value", [b"close", b"keep-alive, Close"])
async def test_the_applications_own_close_is_said_once_and_done(connection, value):
    await answered(connection.cycle(), {**STREAM, "headers": [(b"connection", value)]}, body(b""))
    assert connection.transport.writes[0].lower().count(b"connection:") == 1
    assert connection.transport.closed


@pytest.mark.parametrize("values", [(b"close", b"x-own"), (b"x-own", b"close")])
async def test_a_close_counts_wherever_it_is_said(connection, values):
    await answered(connection.cycle(), {**STREAM, "headers": [(b"connection", value) for value in values]}, body(b""))
    assert connection.transport.closed


async def test_a_name_is_sent_in_lower_case_and_means_nothing_else(connection):
    await answered(
        connection.cycle(), {**STREAM, "headers": [(b"X-100%b", b"50%"), (b"Content-Length", b"2")]}, body(b"hi")
    )
    assert connection.transport.writes == [
        b"HTTP/1.1 200 OK\r\ndate: today\r\nx-100%b: 50%\r\ncontent-length: 2\r\n\r\nhi"
    ]


async def test_the_layouts_of_heads_are_not_kept_without_end():
    for number in range(MAX_LAYOUTS + 10):
        one = Connection()
        await answered(one.cycle(), {**STREAM, "headers": [(b"x-%d" % number, b"a")]}, body(b""))
        assert b"x-%d: a\r\n" % number in one.transport.writes[0]
    assert len(_layouts) <= MAX_LAYOUTS


async def test_a_connection_that_is_not_kept_says_so(connection):
    cycle = connection.cycle()
    cycle.keep_alive = False
    await answered(cycle, OK, body(b"hi"))
    assert b"connection: close\r\n" in connection.transport.writes[0]
    assert connection.transport.closed


# --- what an application gets wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x", b"a\r\nset-cookie: b")],
        [(b"x", b"a\nb")],
        [(b"x", b"a\rb")],
        [(b"x", b"a\x00b")],
        [(b"x", b"a\x7fb")],
        [(b"x\r\ny", b"a")],
        [(b"x y", b"a")],
        [(b"x:", b"a")],
    ],
    ids=str,
)
async def test_a_header_that_would_be_more_than_one_becomes_a_500(connection, headers):
    await answered(connection.cycle(), {**STREAM, "headers": headers}, body(b"hi"))
    (written,) = connection.transport.writes
    assert written.startswith(b"HTTP/1.1 500 ")
    assert b"cookie" not in written
    assert connection.transport.closed


@pytest.mark.parametrize("data", [b"h", b"hi!"], ids=["too short", "too long"])
async def test_a_body_of_another_length_than_declared_becomes_a_500(connection, data):
    await answered(connection.cycle(), OK, body(data))
    assert connection.transport.writes[0].startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize(
    "messages",
    [(), (STREAM,), (STREAM, STREAM), (body(b"hi"),), ({"type": "http.response.push"},)],
    ids=["no answer", "a head alone", "two heads", "a body first", "something else"],
)
async def test_an_answer_that_never_began_becomes_a_500(connection, messages):
    await answered(connection.cycle(), *messages)
    assert connection.transport.writes[0].startswith(b"HTTP/1.1 500 ")
    assert connection.transport.closed


async def test_a_stream_that_breaks_off_ends_the_connection(connection):
    await answered(connection.cycle(), STREAM, body(b"one", more=True))
    assert connection.transport.writes[-1].endswith(b"one\r\n")
    assert connection.transport.closed


async def test_nothing_follows_an_answer_that_is_complete(connection):
    await answered(connection.cycle(), OK, body(b"hi"), body(b"more"))
    assert len(connection.transport.writes) == 1


# --- what came --------------------------------------------------------------------------------------------------------


async def test_a_body_in_one_piece_is_the_very_object_that_was_read(connection):
    cycle = connection.cycle()
    came = b"x" * 1000
    cycle.take(came)
    cycle.end_body()
    assert await read_body(None, cycle.receive, 1000) is came


@pytest.mark.parametrize(
    ("pieces", "ended", "limit", "expected"),
    [
        pytest.param((b"all of it",), True, 9, b"all of it", id="in one piece"),
        pytest.param((b"all ", b"of it"), True, 9, b"all of it", id="in two"),
        pytest.param((), True, 9, b"", id="none"),
        pytest.param((b"all of it",), False, 9, None, id="more to come"),
        pytest.param((b"all of it",), True, 8, None, id="too large"),
    ],
)
async def test_a_body_that_has_come_is_taken_without_waiting(connection, pieces, ended, limit, expected):
    cycle = connection.cycle()
    for piece in pieces:
        cycle.take(piece)
    if ended:
        cycle.end_body()
    assert cycle.take_body(limit) == expected
    if expected is None:
        assert (await cycle.receive())["body"] == b"".join(pieces)
    else:
        cycle.leave()
        assert await cycle.receive() == {"type": "http.disconnect"}


async def test_a_client_that_waits_for_100_continue_gets_it_first(connection):
    cycle = connection.cycle(waits_for_100=True)
    cycle.end_body()
    assert cycle.take_body(9) is None


async def test_reading_pauses_while_nobody_takes_the_body(connection):
    cycle = connection.cycle()
    cycle.take(b"x" * HIGH_WATER_LIMIT)
    assert connection.transport.reads
    cycle.take(b"y")
    assert not connection.transport.reads
    message = await cycle.receive()
    assert (len(message["body"]), message["more_body"]) == (HIGH_WATER_LIMIT + 1, True)
    assert connection.transport.reads


async def test_who_waits_for_the_body_is_woken_by_it(connection):
    cycle = connection.cycle(waits_for_100=True)
    waiting = asyncio.create_task(cycle.receive())
    await asyncio.sleep(0)
    assert connection.transport.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    cycle.take(b"here")
    assert (await waiting)["body"] == b"here"


async def test_a_client_that_leaves_is_told_once(connection):
    cycle = connection.cycle()
    calls: list[str] = []
    cycle.watch_leaving(lambda: calls.append("left"))
    cycle.leave()
    cycle.leave()
    assert calls == ["left"]
    assert await cycle.receive() == {"type": "http.disconnect"}
    await cycle.send(OK)
    await cycle.send(body(b"hi"))
    assert connection.transport.writes == []


async def test_who_asks_after_the_client_has_left_is_told_at_once(connection):
    cycle = connection.cycle()
    cycle.leave()
    calls: list[str] = []
    cycle.watch_leaving(lambda: calls.append("left"))
    assert calls == ["left"]


@pytest.mark.parametrize("ending", ["answered", "taken back"])
async def test_who_no_longer_asks_is_not_told(connection, ending):
    cycle = connection.cycle()
    calls: list[str] = []
    cycle.watch_leaving(lambda: calls.append("left"))
    if ending == "answered":
        await answered(cycle, OK, body(b"hi"))
    else:
        cycle.watch_leaving(None)
    cycle.leave()
    assert calls == []


@pytest.mark.parametrize("fails", [False, True])
async def test_an_idle_connection_keeps_nothing_of_the_client_in_its_last_cycle(connection, fails):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert cycle.fields == {b"authorization": b"Bearer test-key-1"}
        cycle.vouch()
        if fails:
            raise ValueError("it fails")
        await send(OK)
        await send(body(b"hi"))

    cycle = Cycle(connection, False, False, {b"authorization": b"Bearer test-key-1"})
    cycle.task = task = asyncio.create_task(cycle.run(app, SCOPE))
    connection.tasks.add(task)
    await task
    assert connection.known
    assert (cycle.fields, cycle.task, connection.tasks) == ({}, None, set())


# --- what is left over ------------------------------------------------------------------------------------------------


async def test_a_request_leaves_nothing_to_the_garbage_collector():
    """A scope holds its cycle, so the cycle must not hold the scope: bodies would stay until somebody looks."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        attendant = attendant_of(scope, receive)
        assert (isinstance(attendant, Cycle), attendant.task) == (True, asyncio.current_task())
        attendant.watch_leaving(lambda: None)
        await read_body(None, receive, 100)
        attendant.watch_leaving(None)
        await send(OK)
        await send(body(b"hi"))

    async with running(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

        async def ask() -> None:
            writer.write(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\nhi")
            await reader.readuntil(b"\r\n\r\nhi")

        await ask()
        gc.collect()
        gc.disable()
        try:
            for _ in range(50):
                await ask()
            assert gc.collect() < 50
        finally:
            gc.enable()
        writer.close()
