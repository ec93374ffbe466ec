"""What every transport makes of what goes wrong."""

import asyncio
import contextlib
import gzip
import socket
import sys

import pytest

from omniroute.api import HttpRequest, UpstreamFailed, UpstreamGarbled, UpstreamUnreachable
from omniroute.transport import read_whole

HEAD = b"HTTP/1.1 200 OK\r\n"
OK = HEAD + b"Content-Length: 2\r\n\r\n{}"


# --- not sent ---------------------------------------------------------------------------------------------------------


async def test_a_refused_connection_is_unreachable_and_says_why(transport):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(UpstreamUnreachable) as caught:
            await transport.send(HttpRequest(url=f"http://127.0.0.1:{taken.getsockname()[1]}/secret-path"))
    assert "refused" in caught.value.why.lower()
    assert "secret-path" not in caught.value.text


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "http:///x", "127.0.0.1:80", "http://127.0.0.1:99999/", f"http://{'a' * 64}.example/"]
)
async def test_a_url_that_leads_nowhere_is_unreachable(transport, url):
    with pytest.raises(UpstreamUnreachable):
        await transport.send(HttpRequest(url=url))


@pytest.mark.parametrize("value", ["a\r\nx-more: b", "a\nb", "a\rb", "a\0b"])
async def test_a_header_that_would_be_read_as_two_is_not_sent(transport, serve, reply, value):
    async with serve(reply(OK)) as server:
        with pytest.raises(UpstreamUnreachable, match="cannot be sent"):
            await transport.send(HttpRequest(url=server.url, headers={"x-name": value}))
        assert server.requests == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full backlog refuses")
async def test_a_connection_that_nobody_accepts_is_given_up_in_time(transport):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        crowd = [socket.socket() for _ in range(3)]
        try:
            for sock in crowd:
                sock.setblocking(False)
                sock.connect_ex(listener.getsockname())
            with pytest.raises(UpstreamUnreachable) as caught:
                url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
                await transport.send(HttpRequest(url=url), connect_timeout_s=0.05)
            assert "not accepted in time" in caught.value.why
        finally:
            for sock in crowd:
                sock.close()


# --- sent, nothing back -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"], ids=["nothing", "half a head"])
async def test_a_connection_that_closes_before_the_head_has_failed(transport, serve, reply, cut):
    async with serve(reply(cut, close=True)) as server:
        with pytest.raises(UpstreamFailed, match="without an answer"):
            await transport.send(HttpRequest(url=server.url, body=b"{}"))
        assert server.requests == 1  # it is for others to decide whether the request may be sent again


async def test_a_used_connection_that_closes_before_the_head_has_failed_too(transport, serve):
    """The upstream has read the request: it may have acted on it."""

    async def script(head, body, writer, reader):
        if server.requests == 1:
            writer.write(OK)
        else:
            writer.close()

    async with serve(script) as server:
        await read_whole(await transport.send(HttpRequest(url=server.url, body=b"{}")), 10)
        with pytest.raises(UpstreamFailed, match="without an answer"):
            await transport.send(HttpRequest(url=server.url, body=b"{}"))
        assert (server.requests, server.connections) == (2, 1)


async def test_a_reset_is_named(transport, serve):
    async def script(head, body, writer, reader):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async with serve(script) as server:
        with pytest.raises(UpstreamFailed, match="without an answer") as caught:
            await transport.send(HttpRequest(url=server.url, body=b"{}"))
        assert "reset" in caught.value.why.lower()


GARBAGE = {
    "no HTTP": b"hello\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "binary": bytes(range(256)),
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a negative length": HEAD + b"Content-Length: -2\r\n\r\n{}",
    "a length in words": HEAD + b"Content-Length: two\r\n\r\n{}",
    "a length and chunks": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a space before the colon": HEAD + b"Content-Length : 2\r\n\r\n{}",
    "no colon": HEAD + b"Content-Length\r\n\r\n{}",
    "a NUL": HEAD + b"X-A: a\0b\r\nContent-Length: 2\r\n\r\n{}",
    "a header of 100 kB": HEAD + b"X-A: " + b"a" * 100_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
    "10,000 headers": HEAD + b"X-A: aaaa\r\n" * 10_000 + b"Content-Length: 2\r\n\r\n{}",
    "a header without end": HEAD + b"X-A: " + b"a" * 400_000,
}


@pytest.mark.parametrize("what", GARBAGE)
async def test_what_is_no_answer_is_garbled_and_its_connection_closed(transport, serve, reply, what):
    if what == "a space before the colon" and transport.name == "aiohttp":
        pytest.skip("aiohttp takes it")
    async with serve(reply(GARBAGE[what])) as server:
        with pytest.raises(UpstreamGarbled) as caught:
            await transport.send(HttpRequest(url=server.url, body=b"{}"))
        assert caught.value.why
        await server.until_closed()


# --- an answer that breaks --------------------------------------------------------------------------------------------

BROKEN = {
    "a short body": HEAD + b"Content-Length: 10\r\n\r\nhalf",
    "a cut chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhal",
    "no last chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    "a chunk size that is none": HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nxyz\r\n",
    "a chunk that is longer than it says": HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalfmore\r\n",
    "cut gzip": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + gzip.compress(b"hello" * 1000)[:20],
    "damaged gzip": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + b"x" * 20,
}

AIOHTTP_MISSES = {
    "a chunk size that is none": "aiohttp 3.14 waits for more; the idle clock ends it",
    "a chunk that is longer than it says": "likewise",
    "cut gzip": "aiohttp takes what there is for the whole",
}


@pytest.mark.parametrize("what", BROKEN)
async def test_a_connection_that_breaks_in_the_body_has_failed(transport, serve, what):
    if transport.name == "aiohttp" and what in AIOHTTP_MISSES:
        pytest.skip(AIOHTTP_MISSES[what])

    async def script(head, body, writer, reader):
        answer_head, separator, rest = BROKEN[what].partition(b"\r\n\r\n")
        writer.write(answer_head + separator)
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # read by now
        writer.write(rest)
        writer.close()

    async with serve(script) as server:
        stream = await transport.send(HttpRequest(url=server.url))
        with pytest.raises(UpstreamFailed, match="mid-answer") as caught:
            await read_whole(stream, 10_000)
        assert caught.value.why
        await server.until_closed()


async def test_an_encoding_nobody_knows_is_garbled(transport, serve, reply):
    if transport.name == "aiohttp":
        pytest.skip("aiohttp passes on what it does not know")
    async with serve(reply(HEAD + b"Content-Encoding: snappy\r\nContent-Length: 2\r\n\r\n{}")) as server:
        with pytest.raises(UpstreamGarbled, match="encoded"):
            await read_whole(await transport.send(HttpRequest(url=server.url)), 100)


@pytest.mark.parametrize("junk", [b"junk", OK, b"\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_what_follows_an_answer_never_reaches_the_next_request(transport, serve, junk):
    async def script(head, body, writer, reader):
        writer.write(OK + junk if server.requests == 1 else HEAD + b"Content-Length: 4\r\n\r\nmine")

    async with serve(script) as server:
        with contextlib.suppress(UpstreamGarbled):  # or it may be taken for what it is
            assert await read_whole(await transport.send(HttpRequest(url=server.url)), 10) == b"{}"
        assert await read_whole(await transport.send(HttpRequest(url=server.url)), 10) == b"mine"


async def test_an_upstream_that_closes_an_idle_connection_is_asked_on_another(transport, serve):
    async def script(head, body, writer, reader):
        writer.write(OK)
        writer.close()

    async with serve(script) as server:
        for _ in range(3):
            assert await read_whole(await transport.send(HttpRequest(url=server.url, body=b"{}")), 10) == b"{}"
            await server.until_closed()
        assert (server.requests, server.connections) == (3, 3)


# --- leaving ----------------------------------------------------------------------------------------------------------


async def test_closing_a_stream_closes_its_connection_at_once(transport, serve, reply):
    async with serve(reply(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n")) as server:
        stream = await transport.send(HttpRequest(url=server.url))
        stream.close()
        stream.close()
        await server.until_closed()


async def test_closing_a_stream_that_is_over_leaves_the_connection_to_others(transport, serve, reply):
    async with serve(reply(OK)) as server:
        stream = await transport.send(HttpRequest(url=server.url))
        await read_whole(stream, 10)
        stream.close()
        await read_whole(await transport.send(HttpRequest(url=server.url)), 10)
        assert server.connections == 1


async def test_cancelling_a_call_that_waits_for_its_head_closes_the_connection(transport, serve):
    asked = asyncio.Event()

    async def script(head, body, writer, reader):
        asked.set()

    async with serve(script) as server:
        call = asyncio.create_task(transport.send(HttpRequest(url=server.url)))
        await asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await server.until_closed()


async def test_cancelling_a_call_in_its_upload_closes_the_connection(transport, serve):
    asked = asyncio.Event()

    async def script(head, body, writer, reader):
        asked.set()
        writer.transport.pause_reading()
        await reader.read()

    async with serve(script) as server:
        call = asyncio.create_task(transport.send(HttpRequest(url=server.url, body=b"x" * 50_000_000)))
        await asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        for writer in server.open:
            writer.transport.resume_reading()
        await server.until_closed()


async def test_an_upstream_that_refuses_before_it_has_read_all_is_heard(transport, serve):
    async def script(head, body, writer, reader):
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nlong")
        await reader.read()

    async with serve(script) as server:
        stream = await transport.send(HttpRequest(url=server.url, body=b"x" * 20_000_000))
        assert (stream.status, await read_whole(stream, 10)) == (413, b"long")
        await server.until_closed()


async def test_a_body_beyond_the_limit_is_cut_and_the_connection_closed(transport, serve, reply):
    async with serve(reply(HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 1_000_000)) as server:
        body = await read_whole(await transport.send(HttpRequest(url=server.url)), 1000)
        assert 1000 < len(body) < 1_000_000
        await server.until_closed()


async def test_a_bomb_stays_small(transport, serve, reply):
    bomb = gzip.compress(b"\0" * 100_000_000)
    head = HEAD + f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    async with serve(reply(head + bomb)) as server:
        body = await read_whole(await transport.send(HttpRequest(url=server.url)), 1_000_000)
        assert 1_000_000 < len(body) < 20_000_000


async def test_closing_the_transport_ends_what_is_under_way(transport, serve, reply):
    if transport.name == "aiohttp":
        pytest.skip("aiohttp 3.14 closes the socket and tells nobody")
    async with serve(reply(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n")) as server:
        stream = await transport.send(HttpRequest(url=server.url))
        chunks = stream.chunks()
        assert await anext(chunks) == b"a"
        rest = asyncio.create_task(anext(chunks))
        await asyncio.sleep(0)
        await transport.close()
        with pytest.raises(UpstreamFailed, match="mid-answer"):
            await asyncio.wait_for(rest, 5)
        await server.until_closed()
