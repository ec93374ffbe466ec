"""FakeUpstream says what its script says, and records what the other side did. The other side here is a bare socket."""

import asyncio
import itertools

import pytest

from omniroute.testing import (
    Close,
    FakeUpstream,
    Hang,
    ReceivedRequest,
    Reply,
    Reset,
    Send,
    Stream,
    WaitFor,
    sse,
)

REQUEST = (
    b"POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: x\r\nX-Key: one\r\nx-key: two\r\nContent-Length: 2\r\n\r\n{}"
)


class Peer:
    """The other side: a plain connection."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, upstream):
        return cls(*await asyncio.open_connection("127.0.0.1", int(upstream.origin.rsplit(":", 1)[1])))

    def send(self, data=REQUEST):
        self.writer.write(data)

    async def answer(self):
        """One answer with content-length: (head, body)."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1]) for line in head.lower().split("\r\n") if line.startswith("content-length")
        )
        return head, await self.reader.readexactly(length)

    async def leave(self):
        self.writer.close()
        await self.writer.wait_closed()


async def test_answers_follow_the_scripts_in_order_on_one_connection():
    async with FakeUpstream(Reply(200, {}, b"one"), Reply(503, {"retry-after": "1"}, b"two")) as upstream:
        peer = await Peer.connect(upstream)
        peer.send()
        peer.send()
        first, second = await peer.answer(), await peer.answer()
        assert (first[0].split("\r\n")[0], first[1]) == ("HTTP/1.1 200 OK", b"one")
        assert "retry-after: 1" in second[0]
        assert second[1] == b"two"
        assert [len(connection.requests) for connection in upstream.connections] == [2]
        await peer.leave()
        await upstream.closed_by_peer(1)


async def test_a_request_is_recorded_as_it_came():
    async with FakeUpstream(answer=Reply()) as upstream:
        peer = await Peer.connect(upstream)
        peer.send()
        await upstream.received(1)
        (request,) = upstream.requests
        assert (request.method, request.target, request.path) == (
            "POST",
            "/v1/chat/completions?a=b",
            "/v1/chat/completions",
        )
        assert request.headers == (("Host", "x"), ("X-Key", "one"), ("x-key", "two"), ("Content-Length", "2"))
        assert (request.header("X-KEY"), request.header("absent"), request.json()) == ("two", None, {})
        assert (request.connection, upstream.connections[0].received_bytes) == (1, len(REQUEST))
        await peer.leave()


@pytest.mark.parametrize("cut", range(1, 90, 7))
async def test_a_chunked_body_is_put_together_wherever_it_is_cut(cut):
    sent = b'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n5;x=y\r\n: 12}\r\n0\r\n\r\n' + REQUEST
    async with FakeUpstream(answer=Reply()) as upstream:
        peer = await Peer.connect(upstream)
        peer.send(sent[:cut])
        await peer.writer.drain()
        peer.send(sent[cut:])
        await upstream.received(2)
        assert [request.json() for request in upstream.requests] == [{"a": 12}, {}]
        await peer.leave()


@pytest.mark.parametrize(
    ("stream", "body"),
    [
        pytest.param(Stream([b"ab", b"", b"c"]), b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", id="chunked"),
        pytest.param(Stream([b"ab", b"c"], framing="close"), b"abc", id="until the connection ends"),
        pytest.param(Stream([b"ab", Close(), b"c"]), b"2\r\nab\r\n", id="closed in the middle"),
        pytest.param(
            [Stream([sse([{"x": 1}])], end=False), Send(b"zz"), Close()], b'f\r\ndata: {"x":1}\n\n\r\nzz', id="raw end"
        ),
    ],
)
async def test_a_stream_is_framed_as_it_says(stream, body):
    async with FakeUpstream(stream) as upstream:
        peer = await Peer.connect(upstream)
        peer.send(REQUEST.replace(b"Host: x", b"Connection: close"))
        head, _, rest = (await peer.reader.read()).partition(b"\r\n\r\n")
        assert b"content-type: text/event-stream" in head
        assert rest == body
        assert upstream.connections[0].closed_by == "upstream"
        await peer.leave()


async def test_a_hanging_script_notices_that_the_peer_has_gone():
    async with FakeUpstream(Stream([b"x", Hang()])) as upstream:
        peer = await Peer.connect(upstream)
        peer.send()
        await peer.reader.readuntil(b"x\r\n")
        assert upstream.connections[0].closed_by is None
        await peer.leave()
        await upstream.closed_by_peer(1)
        assert not upstream.connections[0].reset_by_peer


async def test_a_hanging_script_goes_on_when_released():
    async with FakeUpstream([Hang(), Reply(200, {}, b"late")]) as upstream:
        peer = await Peer.connect(upstream)
        peer.send()
        await upstream.received(1)
        upstream.release()
        assert (await peer.answer())[1] == b"late"
        await peer.leave()


async def test_a_step_waits_for_the_tests_event():
    event = asyncio.Event()
    async with FakeUpstream([WaitFor(event), Reply(200, {}, b"now")]) as upstream:
        peer = await Peer.connect(upstream)
        peer.send()
        await upstream.received(1)
        assert upstream.connections[0].sent_bytes == 0
        event.set()
        assert (await peer.answer())[1] == b"now"
        await peer.leave()


async def test_reset_breaks_the_connection():
    async with FakeUpstream([Send(b"HTTP/1.1 200 OK\r\n"), Reset()]) as upstream:
        peer = await Peer.connect(upstream)
        peer.send()
        with pytest.raises(ConnectionResetError):
            await peer.reader.read()
        await upstream.all_closed()
        assert upstream.connections[0].closed_by == "upstream"
        peer.writer.close()


async def test_an_endless_stream_waits_for_a_peer_that_does_not_read():
    async with FakeUpstream(Stream(itertools.repeat(b"x" * 65536))) as upstream:
        peer = await Peer.connect(upstream)
        peer.writer.transport.pause_reading()
        peer.send()
        await upstream.received(1)
        before = -1
        while upstream.connections[0].sent_bytes != before:  # until the sockets' buffers are full
            before = upstream.connections[0].sent_bytes
            for _ in range(100):
                await asyncio.sleep(0)
        assert 0 < before < 64 * 1024 * 1024
        peer.writer.transport.abort()
        await upstream.all_closed()


async def test_a_function_answers_by_request():
    def answer(request: ReceivedRequest) -> Reply:
        return Reply.json({"you sent": request.json()})

    async with FakeUpstream(answer=answer) as upstream:
        peer = await Peer.connect(upstream)
        peer.send()
        assert await peer.answer() == (
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n",
            b'{"you sent":{}}',
        )
        await peer.leave()


async def test_what_the_validator_refuses_is_answered_with_its_reply_and_uses_up_no_script():
    def no_query(request):
        return Reply(400, {}, b"no") if "?" in request.target else None

    async with FakeUpstream(Reply(200, {}, b"yes"), validate=no_query) as upstream:
        peer = await Peer.connect(upstream)
        peer.send()
        assert (await peer.answer())[1] == b"no"
        peer.send(REQUEST.replace(b"?a=b", b""))
        assert (await peer.answer())[1] == b"yes"
        assert [request.target for request, _ in upstream.refused] == ["/v1/chat/completions?a=b"]
        await peer.leave()


@pytest.mark.parametrize(
    ("sent", "upstream", "told"),
    [
        pytest.param(REQUEST, FakeUpstream(), "no script left for request 1, POST /v1/chat", id="no script"),
        pytest.param(b"hello\r\n\r\n", FakeUpstream(), "not a request line: 'hello'", id="no HTTP"),
        pytest.param(
            REQUEST.replace(b"Host: x", b"Content-Length: 2"), FakeUpstream(), "more than one length", id="two lengths"
        ),
        pytest.param(b"GET / HTTP/1.1\r\nno colon\r\n\r\n", FakeUpstream(), "not a header line", id="no header"),
        pytest.param(
            b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            FakeUpstream(),
            "not a chunk size",
            id="chunk",
        ),
        pytest.param(
            REQUEST, FakeUpstream(lambda request: request.nothing), "AttributeError", id="a bug in the script"
        ),
    ],
)
async def test_what_went_wrong_is_told_at_the_end_of_the_block(sent, upstream, told):
    with pytest.raises(AssertionError, match=told):
        async with upstream:
            peer = await Peer.connect(upstream)
            peer.send(sent)
            await peer.reader.read(1)
            await peer.leave()


async def test_waiting_in_vain_says_what_was_seen():
    async with FakeUpstream() as upstream:
        peer = await Peer.connect(upstream)
        await upstream.opened(1)
        with pytest.raises(AssertionError, match=r"waited 0.01 s for 1 connections closed .* open\)"):
            await upstream.closed_by_peer(1, timeout_s=0.01)
        await peer.leave()


async def test_after_the_block_nothing_listens_and_nothing_is_open():
    async with FakeUpstream(Hang()) as upstream:
        peer = await Peer.connect(upstream)
        peer.send()
        await upstream.received(1)
    assert await peer.reader.read() == b""
    with pytest.raises(ConnectionRefusedError):
        await Peer.connect(upstream)
    await peer.leave()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
