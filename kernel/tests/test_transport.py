import asyncio
import random
import socket

import pytest

from omniroute.api import HttpRequest, UpstreamFailed, UpstreamUnreachable
from omniroute.transport import AiohttpTransport, read_whole


class Server:
    """A raw server: `script` gets each request's head and body and the writer."""

    def __init__(self, script):
        self.script = script
        self.connections = 0
        self.open = set()
        self.closed = asyncio.Condition()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for writer in list(self.open):
            writer.close()
        async with self.closed:
            await self.closed.wait_for(lambda: not self.open)

    async def serve(self, reader, writer):
        self.connections += 1
        self.open.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
                )
                await self.script(head, await reader.readexactly(length), writer, reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            async with self.closed:
                self.open.discard(writer)
                self.closed.notify_all()


def reply(data):
    async def script(head, body, writer, reader):
        writer.write(data)
        await writer.drain()

    return script


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Thing: a\r\n\r\n{}"


@pytest.fixture
async def transport():
    transport = AiohttpTransport()
    await transport.start()
    yield transport
    await transport.close()


async def test_a_request_arrives_as_it_was_given_and_nothing_is_added(transport):
    seen = []

    async def script(head, body, writer, reader):
        seen.append((head, body))
        writer.write(OK)

    async with Server(script) as server:
        request = HttpRequest(
            url=server.url + "/v1/x?y=1", headers={"authorization": "Bearer test-key"}, body=b'{"a": 1}'
        )
        stream = await transport.send(request)
        assert (stream.status, stream.headers["x-thing"], await read_whole(stream, 100)) == (200, "a", b"{}")
    head, body = seen[0]
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "post /v1/x?y=1 http/1.1"
    assert {line.partition(":")[0] for line in lines[1:] if line} == {"host", "authorization", "content-length"}
    assert body == b'{"a": 1}'


async def test_a_connection_is_used_again_after_the_body_was_read(transport):
    async with Server(reply(OK)) as server:
        for _ in range(3):
            await read_whole(await transport.send(HttpRequest(url=server.url)), 100)
        assert server.connections == 1


async def test_chunks_arrive_as_they_are_sent(transport):
    more = asyncio.Event()

    async def script(head, body, writer, reader):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await more.wait()
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")

    async with Server(script) as server:
        stream = await transport.send(HttpRequest(url=server.url))
        chunks = stream.chunks()
        assert await anext(chunks) == b"one"
        more.set()
        assert [data async for data in chunks] == [b"two"]


async def test_redirects_are_not_followed(transport):
    async with Server(reply(b"HTTP/1.1 307 T\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")) as server:
        stream = await transport.send(HttpRequest(url=server.url, headers={"authorization": "Bearer test-key"}))
        assert stream.status == 307
        stream.close()


async def test_cookies_are_neither_kept_nor_sent(transport):
    heads = []

    async def script(head, body, writer, reader):
        heads.append(head)
        writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")

    async with Server(script) as server:
        for _ in range(2):
            await read_whole(await transport.send(HttpRequest(url=server.url)), 10)
    assert not any(b"cookie" in head.lower() for head in heads)


async def test_a_refused_connection_is_unreachable_and_says_why(transport):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(UpstreamUnreachable) as caught:
            await transport.send(HttpRequest(url=f"http://127.0.0.1:{taken.getsockname()[1]}/secret-path"))
    assert "refused" in caught.value.why.lower()
    assert "secret-path" not in caught.value.text


@pytest.mark.parametrize("cut", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"], ids=["nothing", "half a head"])
async def test_a_connection_that_closes_before_the_head_has_failed(transport, cut):
    async def script(head, body, writer, reader):
        writer.write(cut)
        writer.close()

    async with Server(script) as server:
        with pytest.raises(UpstreamFailed, match="without an answer"):
            await transport.send(HttpRequest(url=server.url, body=b"{}"))


async def test_a_connection_that_breaks_in_the_body_has_failed(transport):
    async def script(head, body, writer, reader):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        writer.close()

    async with Server(script) as server:
        stream = await transport.send(HttpRequest(url=server.url))
        with pytest.raises(UpstreamFailed, match="mid-answer"):
            await read_whole(stream, 100)


async def test_closing_a_stream_closes_its_connection_at_once(transport):
    gone = asyncio.Event()

    async def script(head, body, writer, reader):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await reader.read()
        gone.set()

    async with Server(script) as server:
        stream = await transport.send(HttpRequest(url=server.url))
        stream.close()
        await asyncio.wait_for(gone.wait(), 5)


async def test_cancelling_a_call_that_waits_for_its_head_closes_the_connection(transport):
    asked, gone = asyncio.Event(), asyncio.Event()

    async def script(head, body, writer, reader):
        asked.set()
        await reader.read()
        gone.set()

    async with Server(script) as server:
        call = asyncio.create_task(transport.send(HttpRequest(url=server.url)))
        await asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(gone.wait(), 5)


async def test_a_body_beyond_the_limit_is_cut_and_the_connection_closed(transport):
    async def script(head, body, writer, reader):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000)

    async with Server(script) as server:
        body = await read_whole(await transport.send(HttpRequest(url=server.url)), 1000)
        assert 1000 < len(body) < 1_000_000


async def test_a_server_that_speaks_no_tls_is_unreachable_and_says_why(transport):
    async def plain(reader, writer):
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 no TLS here\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UpstreamUnreachable) as caught:
            await transport.send(HttpRequest(url=f"https://127.0.0.1:{port}/"))
        assert caught.value.why.startswith("TLS: ")


async def test_cancellation_churn_leaks_neither_slots_nor_sockets():
    """10,000 random cancels over a pool of 10; then 20 of 20 requests pass and no socket is left over."""
    rng = random.Random(7)
    transport = AiohttpTransport(max_connections=10)
    await transport.start()

    async def script(head, body, writer, reader):
        await asyncio.sleep(rng.random() * 0.004)
        writer.write(OK)
        await writer.drain()

    async def call():
        await read_whole(await transport.send(HttpRequest(url=server.url, body=b"{}")), 100)

    async def churn(times):
        for _ in range(times):
            task = asyncio.create_task(call())
            await asyncio.sleep(rng.random() * 0.008)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async with Server(script) as server:
        await asyncio.gather(*(churn(334) for _ in range(30)))
        for _ in range(20):
            await asyncio.wait_for(call(), 5)
        await transport.close()
        async with server.closed:
            await asyncio.wait_for(server.closed.wait_for(lambda: not server.open), 5)
