"""What the transport of our own promises besides."""

import asyncio
import contextlib
import gzip
import socket
import subprocess
import sys
import zlib

import pytest

from omniroute.api import HttpRequest, UpstreamFailed, UpstreamUnreachable
from omniroute.outbox import MOST_WAITING, Outbox
from omniroute.transport import LeanTransport, own_transports, read_at_once, read_whole
from omniroute.transport.connection import HIGH_WATER_BYTES
from omniroute.transport.dialing import Dialer
from omniroute.transport.inflating import STEP_BYTES, inflater
from omniroute.transport.lean import HEADS_KEPT

HEAD = b"HTTP/1.1 200 OK\r\n"
OK = HEAD + b"Content-Length: 2\r\n\r\n{}"


async def ask(transport, url, **more):
    return await read_whole(await transport.send(HttpRequest(url=url, **more)), 2**26)


def idle(transport):
    return [connection for origin in transport._origins.values() for connection in origin.idle]


# --- the pool ---------------------------------------------------------------------------------------------------------


async def test_the_connection_used_last_is_used_next(lean, serve, reply):
    async with serve(reply(OK)) as server:
        await asyncio.gather(*(ask(lean, server.url) for _ in range(3)))
        for _ in range(5):
            last = idle(lean)[-1]
            await ask(lean, server.url)
            assert idle(lean)[-1] is last
        assert server.connections == 3


async def test_origins_do_not_share_connections(lean, serve, reply):
    async with serve(reply(OK)) as server:
        await ask(lean, server.url)
        await ask(lean, server.url.replace("127.0.0.1", "localhost"))
        assert server.connections == 2


@pytest.mark.parametrize(
    ("limits", "shown"),
    [({"keep_alive_s": 0.0}, b""), ({"max_age_s": 0.0}, b""), ({}, b"Keep-Alive: timeout=1, max=9\r\n")],
    ids=["idle for too long", "too old", "the upstream said so"],
)
async def test_a_connection_past_its_time_is_not_used_again(opened, serve, reply, limits, shown):
    transport = await opened(LeanTransport(**limits))
    async with serve(reply(HEAD + shown + b"Content-Length: 2\r\n\r\n{}")) as server:
        for _ in range(2):
            await ask(transport, server.url)
        assert server.connections == 2


async def test_what_has_been_idle_for_too_long_is_closed_without_being_asked_for(opened, serve, reply):
    transport = await opened(LeanTransport(keep_alive_s=0.0))
    async with serve(reply(OK)) as server:
        await ask(transport, server.url)
        assert len(idle(transport)) == 1
        transport._sweep_idle()
        assert idle(transport) == []
        assert transport._sweep is None
        await server.until_closed()


async def test_a_farewell_that_the_loop_has_not_seen_is_found_before_anything_is_sent(lean):
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"

        async def accept_and_answer():
            peer, _ = await loop.sock_accept(listener)
            await loop.sock_recv(peer, 10_000)
            await loop.sock_sendall(peer, OK)
            return peer

        peer, _ = await asyncio.gather(accept_and_answer(), ask(lean, url, body=b"{}"))
        idle(lean)[0].idle_since_s -= 2.0
        call = asyncio.create_task(ask(lean, url, body=b"{}"))
        peer.close()  # the loop has had no turn since
        peer, body = await asyncio.gather(accept_and_answer(), call)
        assert body == b"{}"
        peer.close()


@contextlib.contextmanager
def held():
    """What is sent waits for others, and goes when this is over."""
    outbox = Outbox.of(asyncio.get_running_loop())
    outbox.coming, outbox._is_ending = 9, True
    yield
    outbox._end()


@pytest.mark.parametrize(
    "lose",
    [
        lambda connection: connection._transport.abort(),
        lambda connection: connection.data_received(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"),
    ],
    ids=["closed", "a farewell"],
)
async def test_a_request_whose_connection_is_lost_before_it_was_written_takes_another(lean, serve, reply, lose):
    async with serve(reply(OK)) as server:
        await ask(lean, server.url)
        (connection,) = idle(lean)
        with held():
            call = asyncio.create_task(ask(lean, server.url, body=b"{}"))
            await asyncio.sleep(0)
            assert idle(lean) == []
            lose(connection)
        assert await call == b"{}"
        assert (server.connections, server.requests) == (2, 2)


async def test_a_request_that_was_cancelled_before_it_was_written_never_is(lean, serve, reply):
    async with serve(reply(OK)) as server:
        await ask(lean, server.url)
        with held():
            call = asyncio.create_task(ask(lean, server.url, body=b"{}"))
            await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        await server.until_closed()
        assert server.requests == 1


async def test_requests_of_one_turn_reach_their_upstream_whole(lean, serve):
    async def script(head, body, writer, reader):
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    async with serve(script) as server:
        bodies = [bytes([letter]) * letter * 100 for letter in range(60, 60 + 3 * MOST_WAITING)]
        for _ in range(2):
            Outbox.of(asyncio.get_running_loop()).coming = len(bodies)
            assert await asyncio.gather(*(ask(lean, server.url, body=body) for body in bodies)) == bodies


async def test_what_an_idle_connection_says_unasked_closes_it(lean, serve):
    async def script(head, body, writer, reader):
        writer.write(OK)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")

    async with serve(script) as server:
        await ask(lean, server.url)
        await server.until_closed()
        assert idle(lean) == []


async def test_requests_wait_for_a_slot_and_a_cancelled_one_leaves_the_line(opened, serve):
    transport, more, order = await opened(LeanTransport(max_connections=1)), asyncio.Event(), []

    async def script(head, body, writer, reader):
        order.append(body)
        await more.wait()
        writer.write(OK)

    async with serve(script) as server:
        first, second, third = (
            asyncio.create_task(ask(transport, server.url, body=name)) for name in (b"1", b"2", b"3")
        )
        while not order:
            await asyncio.sleep(0)
        second.cancel()
        more.set()
        assert [await first, await third] == [b"{}", b"{}"]
        with pytest.raises(asyncio.CancelledError):
            await second
        assert order == [b"1", b"3"]


async def test_a_transport_that_was_closed_opens_nothing_more(lean, serve, reply):
    async with serve(reply(OK)) as server:
        await lean.close()
        with pytest.raises(UpstreamUnreachable):
            await ask(lean, server.url)
        await server.until_closed()


# --- reading ----------------------------------------------------------------------------------------------------------


async def test_what_came_in_one_read_comes_in_one_piece(lean, serve, reply):
    chunks = b"".join(b"3\r\n%03d\r\n" % number for number in range(100))
    async with serve(reply(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")) as server:
        stream = await lean.send(HttpRequest(url=server.url))
        assert [piece async for piece in stream.chunks()] == [b"".join(b"%03d" % number for number in range(100))]


async def test_what_came_with_its_head_is_there_at_once_and_nothing_else_is(lean, serve):
    forms = {
        b"whole": OK,
        b"empty": HEAD + b"Content-Length: 0\r\n\r\n",
        b"half": HEAD + b"Content-Length: 3\r\n\r\n{}",
        b"zipped": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        b"until close": HEAD + b"\r\n{}",
    }

    async def script(head, body, writer, reader):
        writer.write(forms[body])

    async with serve(script) as server:
        found = {}
        for form in forms:
            stream = await lean.send(HttpRequest(url=server.url, body=form))
            found[form] = read_at_once(stream)
            stream.close()
    assert found == {b"whole": b"{}", b"empty": b"", b"half": None, b"zipped": None, b"until close": None}


async def test_what_broke_off_is_not_there_at_once(lean, serve, reply):
    async with serve(reply(HEAD + b"Content-Length: 3\r\n\r\n{}", close=True)) as server:
        stream = await lean.send(HttpRequest(url=server.url))
        while not stream.ended:
            await asyncio.sleep(0)
        assert read_at_once(stream) is None
        with pytest.raises(UpstreamFailed, match="mid-answer"):
            await read_whole(stream, 100)


async def test_whoever_is_cancelled_while_he_reads_closes_the_connection(lean, serve, reply):
    async with serve(reply(HEAD + b"Content-Length: 3\r\n\r\n{}")) as server:
        chunks = (await lean.send(HttpRequest(url=server.url))).chunks()
        assert await anext(chunks) == b"{}"
        reading = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await server.until_closed()


async def test_a_head_that_is_remembered_has_each_requests_own_length_method_and_headers(opened, serve):
    transport, heads = await opened(LeanTransport()), []

    async def script(head, body, writer, reader):
        heads.append((head, body))
        writer.write(OK)

    requests = [
        {"body": b"{}"},
        {"body": b"{}  "},
        {"headers": {"x-a": "1"}, "body": b"{}"},
        {"headers": {"x-a": "2"}, "body": b"{}"},
        {"method": "GET"},
        {"method": "GET", "body": b"{}"},
        {"method": "POST"},
    ]
    async with serve(script) as server:
        for request in requests * 2:
            assert await ask(transport, server.url, **request) == b"{}"
    assert heads[: len(requests)] == heads[len(requests) :]
    for (head, body), request in zip(heads, requests * 2, strict=True):
        lines = head.decode().split("\r\n")
        sent = request.get("body", b"")
        assert body == sent
        assert lines[0] == f"{request.get('method', 'POST')} / HTTP/1.1"
        assert [line for line in lines if line.startswith("x-a")] == [
            f"{name}: {value}" for name, value in request.get("headers", {}).items()
        ]
        length = [] if request == {"method": "GET"} else [f"content-length: {len(sent)}"]
        assert [line for line in lines if line.startswith("content-length")] == length


async def test_few_heads_are_remembered(lean, serve, reply):
    async with serve(reply(OK)) as server:
        for number in range(HEADS_KEPT + 2):
            lean._head(HttpRequest(url=server.url), (number,))
        assert len(lean._heads) == 2
        assert await ask(lean, server.url) == b"{}"


async def test_what_came_before_a_failure_comes_before_its_error(lean, serve, reply):
    async with serve(reply(HEAD + b"Content-Length: 10\r\n\r\nhalf", close=True)) as server:
        chunks = (await lean.send(HttpRequest(url=server.url))).chunks()
        assert await anext(chunks) == b"half"
        with pytest.raises(UpstreamFailed, match="mid-answer"):
            await anext(chunks)


async def test_a_reader_that_does_not_read_stops_the_upstream(lean, serve):
    sent = 0

    async def script(head, body, writer, reader):
        nonlocal sent
        writer.write(HEAD + b"Content-Length: 50000000\r\n\r\n")
        for _ in range(500):
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000

    async with serve(script) as server:
        stream = await lean.send(HttpRequest(url=server.url))
        while not stream.paused:
            await asyncio.sleep(0)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert HIGH_WATER_BYTES < stream.unread_bytes <= HIGH_WATER_BYTES + 256 * 1024
        assert sent < 50_000_000
        assert sum([len(piece) async for piece in stream.chunks()]) == 50_000_000
        assert len(idle(lean)) == 1


@pytest.mark.parametrize(
    "flood",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 300_000,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" + b"X-A: aaaa\r\n" * 30_000,
    ],
    ids=["1xx", "a chunk's extension", "trailers"],
)
async def test_framing_without_content_has_an_end(lean, serve, reply, flood):
    async with serve(reply(flood)) as server:
        with pytest.raises(Exception, match="upstream") as caught:
            await ask(lean, server.url)
        assert "too long" in caught.value.why or "too many" in caught.value.why
        await server.until_closed()


# --- inflating --------------------------------------------------------------------------------------------------------

TEXT = bytes(range(256)) * 2000


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        pytest.param("gzip", gzip.compress(TEXT), id="gzip"),
        pytest.param("GZIP", gzip.compress(TEXT[:1000]) + gzip.compress(TEXT[1000:]), id="two members"),
        pytest.param("deflate", zlib.compress(TEXT), id="zlib"),
        pytest.param("deflate", zlib.compress(TEXT)[2:-4], id="bare"),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 10**9])
def test_an_inflater_reads_data_however_it_is_cut_and_gives_a_little_at_a_time(encoding, data, step):
    machine = inflater(encoding)
    pieces = [piece for at in range(0, len(data), step) for piece in machine.feed(data[at : at + step])]
    machine.close()
    assert b"".join(pieces) == TEXT
    assert max(map(len, pieces)) <= STEP_BYTES


@pytest.mark.parametrize("said", ["identity", "", " Identity "])
def test_what_is_not_encoded_needs_no_inflater(said):
    assert inflater(said) is None


# --- dialing ----------------------------------------------------------------------------------------------------------


def answering(*addresses):
    """A resolver that counts how often it was asked."""
    asked = []

    async def resolve(host, port):
        asked.append(host)
        await asyncio.sleep(0)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port)) for address in addresses]

    return resolve, asked


async def test_a_name_is_resolved_once_for_all_who_wait(opened, serve, reply):
    resolve, asked = answering("127.0.0.1")
    transport = await opened(LeanTransport(resolve=resolve))
    async with serve(reply(OK)) as server:
        url = f"http://upstream.example:{server.port}/"
        await asyncio.gather(*(ask(transport, url) for _ in range(5)))
        assert asked == ["upstream.example"]


async def test_a_name_that_is_not_found_is_unreachable_and_asked_for_again(opened):
    resolve, asked = answering()
    transport = await opened(LeanTransport(resolve=resolve))
    for _ in range(2):
        with pytest.raises(UpstreamUnreachable) as caught:
            await ask(transport, "http://upstream.example/")
        assert "not found" in caught.value.why
    assert len(asked) == 2


async def test_a_resolver_that_hangs_ends_with_the_connect_clock(opened):
    async def resolve(host, port):
        await asyncio.Event().wait()

    transport = await opened(LeanTransport(resolve=resolve))
    with pytest.raises(UpstreamUnreachable):
        await transport.send(HttpRequest(url="http://upstream.example/"), connect_timeout_s=0.02)


@pytest.mark.skipif(sys.platform == "darwin", reason="127.0.0.2 is not configured")
async def test_the_next_address_is_tried_when_one_refuses(opened, serve, reply):
    resolve, _ = answering("127.0.0.2", "127.0.0.3", "127.0.0.1")
    transport = await opened(LeanTransport(resolve=resolve))
    async with serve(reply(OK)) as server:
        assert await ask(transport, f"http://upstream.example:{server.port}/") == b"{}"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full backlog refuses")
async def test_the_next_address_is_tried_when_one_is_slow(opened, serve, reply):
    async with serve(reply(OK)) as server:
        with socket.socket() as listener:
            listener.bind(("127.0.0.2", server.port))
            listener.listen(0)
            crowd = [socket.socket() for _ in range(3)]
            try:
                for sock in crowd:
                    sock.setblocking(False)
                    sock.connect_ex(listener.getsockname())
                resolve, _ = answering("127.0.0.2", "127.0.0.1")
                transport = await opened(LeanTransport(resolve=resolve))
                assert await ask(transport, f"http://upstream.example:{server.port}/") == b"{}"
            finally:
                for sock in crowd:
                    sock.close()


async def test_sockets_notice_that_their_peer_is_gone(serve, reply):
    async with serve(reply(OK)) as server:
        dialer = Dialer()
        protocol = Kept()
        await dialer.dial("127.0.0.1", server.port, is_tls=False, protocol=protocol)
        sock = protocol.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        if sys.platform == "linux":
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
        protocol.transport.abort()
        await dialer.close()
        await server.until_closed()


class Kept(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport


# --- handing over -----------------------------------------------------------------------------------------------------


def test_aiohttp_is_not_loaded_unless_it_is_used():
    program = "import sys, omniroute.gateway; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("default", ["aiohttp", "lean"])
async def test_both_transports_are_there_whichever_is_the_default(opened, serve, reply, default):
    transports = own_transports(default)
    assert [transport.name for transport in transports] == ["aiohttp", "lean"]
    async with serve(reply(OK)) as server:
        for transport in transports:
            await opened(transport)
            assert await asyncio.gather(*(ask(transport, server.url) for _ in range(3))) == [b"{}"] * 3
