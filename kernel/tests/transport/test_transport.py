"""What every transport does with what is well."""

import asyncio
import gzip
import random
import zlib

import pytest

from omniroute.api import HttpRequest, UpstreamFailed
from omniroute.transport import read_whole

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Thing: a\r\n\r\n{}"
HEAD = b"HTTP/1.1 200 OK\r\n"


async def asked(transport, url, **more):
    """(status, headers, body)"""
    stream = await transport.send(HttpRequest(url=url, **more))
    return stream.status, stream.headers, await read_whole(stream, 2**26)


async def test_a_request_arrives_as_it_was_given_and_nothing_is_added(transport, serve):
    seen = []

    async def script(head, body, writer, reader):
        seen.append((head, body))
        writer.write(OK)

    async with serve(script) as server:
        request = HttpRequest(
            url=server.url + "/v1/x?y=1", headers={"authorization": "Bearer test-key"}, body=b'{"a": 1}'
        )
        stream = await transport.send(request)
        assert (stream.status, stream.headers["x-thing"], await read_whole(stream, 100)) == (200, "a", b"{}")
    head, body = seen[0]
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "post /v1/x?y=1 http/1.1"
    assert {line.partition(":")[0] for line in lines[1:] if line} == {"host", "authorization", "content-length"}
    assert f"host: 127.0.0.1:{server.port}" in lines
    assert body == b'{"a": 1}'


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("", "/"),
        ("/a b/ü?q=ü 1", "/a%20b/%C3%BC?q=%C3%BC"),
        ("/v1/models/org/name:free:generateContent?alt=sse", "/v1/models/org/name:free:generateContent?alt=sse"),
        ("/a%2Fb#fragment", "/a%2Fb"),
    ],
)
async def test_a_target_is_encoded_once_and_without_a_fragment(transport, serve, path, target):
    seen = []

    async def script(head, body, writer, reader):
        seen.append(head.split(b" ")[1].decode())
        writer.write(OK)

    async with serve(script) as server:
        await asked(transport, server.url + path)
    assert seen[0].startswith(target)


@pytest.mark.parametrize(
    ("method", "body", "length"), [("POST", b"", b"0"), ("GET", b"", None), ("PUT", b"x", b"1"), ("DELETE", b"", b"0")]
)
async def test_a_request_says_its_length_where_it_could_have_a_body(transport, serve, method, body, length):
    seen = []

    async def script(head, body, writer, reader):
        seen.append(head)
        writer.write(OK)

    async with serve(script) as server:
        await asked(transport, server.url, method=method, body=body)
    lengths = [line[16:] for line in seen[0].lower().split(b"\r\n") if line.startswith(b"content-length: ")]
    assert lengths == ([] if length is None else [length])


async def test_header_values_may_be_any_unicode(transport, serve):
    seen = []

    async def script(head, body, writer, reader):
        seen.append(head)
        writer.write(HEAD + b"Content-Length: 0\r\nX-Name: caf\xc3\xa9\r\n\r\n")

    async with serve(script) as server:
        _, headers, _ = await asked(transport, server.url, headers={"x-name": "café"})
    assert b"x-name: caf\xc3\xa9" in seen[0].lower()
    assert headers["x-name"] == "café"


# --- answers ----------------------------------------------------------------------------------------------------------

FORMS = {
    "length": (HEAD + b"Content-Length: 5\r\n\r\nhello", 200, b"hello"),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", 200, b"hello"),
    "extensions and trailers": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;x=1\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
        200,
        b"hello",
    ),
    "an upper-case encoding": (HEAD + b"TRANSFER-ENCODING: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, b"hello"),
    "nothing": (HEAD + b"Content-Length: 0\r\n\r\n", 200, b""),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b""),
    "no reason": (b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\n{}", 200, b"{}"),
    "continue": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"{}"),
    "early hints": (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Wait\r\n\r\n" + OK, 200, b"{}"),
    "an error": (b"HTTP/1.1 429 Slow\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\n{}", 429, b"{}"),
}
UNTIL_CLOSE = {
    "until close": (HEAD + b"\r\nhello", 200, b"hello"),
    "until close, said": (HEAD + b"Connection: close\r\n\r\nhello", 200, b"hello"),
    "1.0": (b"HTTP/1.0 200 OK\r\n\r\nhello", 200, b"hello"),
    "nothing until close": (HEAD + b"\r\n", 200, b""),
}


@pytest.mark.parametrize("form", FORMS)
async def test_an_answer_is_read_in_every_form_and_the_connection_kept(transport, serve, reply, form):
    data, status, body = FORMS[form]
    async with serve(reply(data)) as server:
        for _ in range(3):
            got = await asked(transport, server.url)
            assert (got[0], got[2]) == (status, body)
            assert "link" not in got[1]
        assert server.connections == 1


@pytest.mark.parametrize("form", UNTIL_CLOSE)
async def test_an_answer_may_end_with_the_connection(transport, serve, reply, form):
    data, status, body = UNTIL_CLOSE[form]
    async with serve(reply(data, close=True)) as server:
        for _ in range(2):
            got = await asked(transport, server.url)
            assert (got[0], got[2]) == (status, body)
        assert server.connections == 2


@pytest.mark.parametrize("form", FORMS | UNTIL_CLOSE)
async def test_an_answer_may_be_cut_anywhere(transport, serve, form):
    """Every single cut, then a byte at a time."""
    data, status, body = (FORMS | UNTIL_CLOSE)[form]
    cuts = [[data[:at], data[at:]] for at in range(1, len(data))] + [[bytes([byte]) for byte in data]]
    turns = iter(cuts)

    async def script(head, _, writer, reader):
        for part in next(turns):
            writer.write(part)
            await asyncio.sleep(0)  # the other side's turn to see that the socket can be read,
            await asyncio.sleep(0)  # and to read it
        if form in UNTIL_CLOSE:
            writer.close()

    async with serve(script) as server:
        for _ in cuts:
            got = await asked(transport, server.url)
            assert (got[0], got[2]) == (status, body)


async def test_an_answer_that_breaks_off_is_not_whole_because_one_before_it_had_no_body(transport, serve):
    cut = HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhal"
    turns = iter([b"HTTP/1.1 204 No Content\r\n\r\n", cut])

    async def script(head, body, writer, reader):
        writer.write(data := next(turns))
        if data is cut:
            writer.close()

    async with serve(script) as server:
        assert (await asked(transport, server.url))[0] == 204
        with pytest.raises(UpstreamFailed, match="mid-answer"):
            await asked(transport, server.url)
        assert server.connections == 1


@pytest.mark.parametrize("closing", [b"HTTP/1.1 200 OK\r\nConnection: close\r\n", b"HTTP/1.0 200 OK\r\n"])
async def test_a_connection_that_the_upstream_will_close_is_not_used_again(transport, serve, reply, closing):
    async with serve(reply(closing + b"Content-Length: 2\r\n\r\n{}")) as server:
        for _ in range(2):
            assert (await asked(transport, server.url))[2] == b"{}"
        assert server.connections == 2


async def test_an_answer_to_head_has_no_body_whatever_it_says(transport, serve, reply):
    async with serve(reply(HEAD + b"Content-Length: 5\r\n\r\n")) as server:
        for _ in range(2):
            assert (await asked(transport, server.url, method="HEAD"))[2] == b""


async def test_chunks_arrive_as_they_are_sent(transport, serve):
    more = asyncio.Event()

    async def script(head, body, writer, reader):
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await more.wait()
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")

    async with serve(script) as server:
        stream = await transport.send(HttpRequest(url=server.url))
        chunks = stream.chunks()
        assert await anext(chunks) == b"one"
        more.set()
        assert [data async for data in chunks] == [b"two"]


async def test_redirects_are_not_followed(transport, serve, reply):
    async with serve(reply(b"HTTP/1.1 307 T\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")) as server:
        stream = await transport.send(HttpRequest(url=server.url, headers={"authorization": "Bearer test-key"}))
        assert stream.status == 307
        stream.close()


async def test_cookies_are_neither_kept_nor_sent(transport, serve):
    heads = []

    async def script(head, body, writer, reader):
        heads.append(head)
        writer.write(HEAD + b"Set-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")

    async with serve(script) as server:
        for _ in range(2):
            await asked(transport, server.url)
    assert not any(b"cookie" in head.lower() for head in heads)


async def test_a_proxy_of_the_environment_is_not_used(transport, serve, reply, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    async with serve(reply(OK)) as server:
        assert (await asked(transport, server.url))[0] == 200


async def test_a_proxy_of_the_request_is_used(transport, serve, reply):
    seen = []

    async def script(head, body, writer, reader):
        seen.append(head.split(b"\r\n")[0])
        writer.write(OK)

    async with serve(script) as server:
        got = await asked(transport, "http://upstream.example/v1", proxy=server.url, body=b"{}")
    assert (got[2], seen) == (b"{}", [b"POST http://upstream.example/v1 HTTP/1.1"])


# --- large and many ---------------------------------------------------------------------------------------------------


async def test_large_bodies_arrive_whole_both_ways(transport, serve):
    body = random.Random(1).randbytes(5_000_000)

    async def script(head, _, writer, reader):
        writer.write(HEAD + b"Content-Length: 5000000\r\n\r\n" + await reader.readexactly(5_000_000))

    async with serve(script) as server:
        for _ in range(2):
            assert (await asked(transport, server.url, body=body))[2] == body
        assert server.connections == 1


async def test_requests_side_by_side_get_their_own_answers(transport, serve):
    async def script(head, body, writer, reader):
        await asyncio.sleep(0)
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    async with serve(script) as server:

        async def user(number):
            for turn in range(20):
                body = f"{number}:{turn}".encode() * 50
                assert (await asked(transport, server.url, body=body))[2] == body

        await asyncio.gather(*(user(number) for number in range(50)))
        assert server.connections <= 50


PACKED = {
    "gzip": gzip.compress(b"hello" * 1000),
    "x-gzip": gzip.compress(b"hello" * 1000),
    "deflate": zlib.compress(b"hello" * 1000),
}


@pytest.mark.parametrize("encoding", PACKED)
async def test_what_comes_compressed_all_the_same_is_read(transport, serve, reply, encoding):
    if encoding == "x-gzip" and transport.name == "aiohttp":
        pytest.skip("aiohttp knows only the newer name")
    data = PACKED[encoding]
    head = HEAD + f"Content-Encoding: {encoding}\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    async with serve(reply(head + data)) as server:
        assert (await asked(transport, server.url))[2] == b"hello" * 1000


async def test_f17_p45b_cancellation_churn_leaks_neither_slots_nor_sockets(kind, opened, serve):
    """10,000 random cancels over a pool of 10; then 20 of 20 requests pass and no socket is left over."""
    rng = random.Random(7)
    transport = await opened(kind(max_connections=10))

    async def script(head, body, writer, reader):
        await asyncio.sleep(rng.random() * 0.004)
        writer.write(OK)
        await writer.drain()

    async def churn(times):
        for _ in range(times):
            task = asyncio.create_task(asked(transport, server.url, body=b"{}"))
            await asyncio.sleep(rng.random() * 0.008)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async with serve(script) as server:
        await asyncio.gather(*(churn(334) for _ in range(30)))
        for _ in range(20):
            await asyncio.wait_for(asked(transport, server.url, body=b"{}"), 5)
        assert server.connections > 100
        await asyncio.wait_for(transport.close(), 5)
        await server.until_closed()
