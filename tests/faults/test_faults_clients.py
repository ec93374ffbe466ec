"""Clients that stop reading, leave, or pack what they send; and gateways that are told to stop.

F14, F15, F16, F31 and B16 over real sockets.
"""

import asyncio
import contextlib
import gzip
import socket
import sys
import time
from pathlib import Path

import pytest

from omniroute.server import ServerLimits
from omniroute.testing import FakeUpstream, Hang, Reply, Stream
from tests.faults.conftest import CHAT, OPENING, STREAM, codes, good, pair, provider, word

STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
BUFFERED_BYTES = 256 * 1024
"""Of a stream whose client does not read, in the gateway itself."""


@contextlib.contextmanager
def client(world, data):
    """A client that has sent `data`, with a receive buffer as small as it gets."""
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.connect(("127.0.0.1", world.server.port))
        made.sendall(data)
        made.setblocking(False)
        yield made


async def read_until(made, mark):
    data = b""
    while mark not in data:
        piece = await asyncio.get_running_loop().sock_recv(made, 65536)
        assert piece, data
        data += piece
    return data


async def recorded(world, request_id="raw-1"):
    async with asyncio.timeout(5):
        while not (found := await world.records(request_id)):
            await asyncio.sleep(0)
    return found[0]


# --- F14 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["head", "body"])
async def test_f14_a_client_that_dribbles_gets_a_408(start, part):
    limits = ServerLimits(head_s=0.1, body_window_s=0.1, body_min_bytes_s=1024)
    async with FakeUpstream() as upstream, start(provider("p", upstream), limits=limits) as world:
        whole = world.raw("p/m")
        with client(world, whole[:40] if part == "head" else whole[:-5]) as slow:
            assert b" 408 " in await read_until(slow, b"\r\n\r\n")
        assert upstream.requests == []


# --- F15 --------------------------------------------------------------------------------------------------------------


def endless():
    yield OPENING
    while True:
        yield word("x" * 8000)


def queued(port):
    """Bytes that Linux holds for TCP sockets of this port, to be sent or to be read."""
    total = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, queues, *_ = line.split()
        if state != "0A" and f"{port:04X}" in (local.rpartition(":")[2], remote.rpartition(":")[2]):
            total += sum(int(size, 16) for size in queues.split(":"))
    return total


@pytest.mark.skipif(sys.platform != "linux", reason="looks into the system's socket queues")
@pytest.mark.parametrize("transport", ["aiohttp", "lean"])
@pytest.mark.parametrize("dialect", ["openai-chat", "anthropic"], ids=["relayed", "translated"])
async def test_f15_a_client_that_stops_reading_is_held_back_and_then_cut(start, dialect, transport):
    settings = f'[server]\ntransport = "{transport}"\n'
    async with FakeUpstream(Stream(endless())) as upstream:
        limits = ServerLimits(write_s=1.0)
        async with start(settings + provider("p", upstream), limits=limits) as world:
            with client(world, world.raw("p/m", stream=True, dialect=dialect)):
                await upstream.received(1)
                sent = await at_rest(upstream.connections[0])
                ports = (int(upstream.origin.rpartition(":")[2]), world.server.port)
                held = sent - sum(map(queued, ports))
                if dialect == "openai-chat":  # else the two sides differ in length
                    assert held <= BUFFERED_BYTES
                assert sent < 16 * 2**20
                await upstream.closed_by_peer(1)
            record = await recorded(world)
            assert (record.outcome, record.error) == ("client_closed", "client_stopped_reading")
            assert codes(record) == [None]


async def at_rest(connection):
    """How much was sent once no more is taken."""
    before, same = -1, 0
    while same < 200:
        await asyncio.sleep(0.001)
        same = same + 1 if connection.sent_bytes == before and before > 0 else 0
        before = connection.sent_bytes
    return before


# --- F16 --------------------------------------------------------------------------------------------------------------

WAITING = {
    "awaiting the first byte": Hang(),
    "awaiting content": Stream([OPENING, Hang()]),
    "in mid-stream": Stream([*STREAM[:2], Hang()]),
}


AT_ONCE_S = 0.25


async def standing_in_line(world, people):
    """Until so many wait at all gates together."""
    async with asyncio.timeout(5):
        while sum(len(gate.waiting) for gate in world.gateway.gates._gates.values()) != people:
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def within(seconds, took):
    """Notes how long it took; the quickest of several is the gateway's own time, whatever else the machine does."""
    began_s = time.perf_counter()
    yield
    took.append(time.perf_counter() - began_s)
    assert len(took) < 3 or min(took) <= seconds


@STREAMED
@pytest.mark.parametrize("when", WAITING)
async def test_f16_p38_an_upstream_is_closed_within_250_ms_of_its_client_s_leaving(start, when, stream):
    took = []
    async with FakeUpstream() as upstream, start(provider("p", upstream)) as world:
        for turn in range(1, 4):
            upstream.queue(WAITING[when])
            with client(world, world.raw("p/m", stream=stream)) as leaving:
                await upstream.received(turn)
                if when == "in mid-stream" and stream:
                    await read_until(leaving, b"fine")
            async with within(AT_ONCE_S, took):
                await upstream.closed_by_peer(turn)


@STREAMED
@pytest.mark.parametrize("limit", ["at the account", "at the gateway"])
async def test_f16_p38_who_leaves_while_queued_is_not_sent_and_gone_within_250_ms(start, limit, stream):
    took = []
    settings = (
        "[providers.p.limits]\nmax_concurrency = 1\n"
        if limit == "at the account"
        else "[limits]\nmax_concurrency = 1\n"
    )
    async with FakeUpstream(Hang(), answer=good) as upstream, start(provider("p", upstream) + settings) as world:
        with client(world, world.raw("p/m")):
            await upstream.received(1)
            for turn in range(3):
                waiting = world.raw("p/m", stream=stream).replace(b"raw-1", b"queued-%d" % turn)
                with client(world, waiting):
                    await standing_in_line(world, 1)
                async with within(AT_ONCE_S, took):
                    record = await recorded(world, f"queued-{turn}")
                await standing_in_line(world, 0)
                assert (record.outcome, record.error, codes(record)) == ("client_closed", None, [])
        await upstream.closed_by_peer(1)
        assert (await world.ask("p/m")).status_code == 200
        assert len(upstream.requests) == 2


@STREAMED
@pytest.mark.parametrize("when", WAITING)
async def test_f16_p38_a_client_that_leaves_closes_its_upstream_and_blames_nobody(start, when, stream):
    async with (
        FakeUpstream(WAITING[when], answer=good) as first,
        FakeUpstream(answer=good) as second,
        start(pair(first, second)) as world,
    ):
        with client(world, world.raw("pair", stream=stream)) as leaving:
            await first.received(1)
            if when == "in mid-stream" and stream:
                await read_until(leaving, b"fine")
        await first.closed_by_peer(1, timeout_s=0.5)
        record = await recorded(world)
        assert (record.outcome, record.error, second.requests) == ("client_closed", None, [])
        assert (await world.ask("pair")).headers["x-omniroute-provider"] == "first"


async def test_f16_a_client_that_leaves_between_keepalives_is_noticed_too(start):
    clocks = "[timeouts]\nkeepalive_s = 0.05\n"
    async with FakeUpstream(Hang()) as upstream, start(clocks + provider("p", upstream)) as world:
        with client(world, world.raw("p/m", stream=True)) as leaving:
            await read_until(leaving, b": keep-alive")
        await upstream.closed_by_peer(1, timeout_s=0.5)
        record = await recorded(world)
        assert (record.status, record.outcome) == (200, "client_closed")


# --- B16 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd", "gzip, identity", "GZIP"])
async def test_b16_a_packed_body_is_a_415_and_nothing_is_unpacked(start, coding):
    bomb = gzip.compress(b" " * 30_000_000)
    async with FakeUpstream(answer=good) as upstream, start(provider("p", upstream)) as world:
        headers = {"content-type": "application/json", "content-encoding": coding}
        answer = await world.http.post(world.server.base_url + "/v1/messages", content=bomb, headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (415, "error")
        plain = {"content-type": "application/json", "content-encoding": "identity"}
        _, body = world.request("p/m")
        kept = await world.http.post(world.server.base_url + "/v1/chat/completions", json=body, headers=plain)
        assert (kept.status_code, len(upstream.requests)) == (200, 1)


# --- F31 --------------------------------------------------------------------------------------------------------------


async def test_f31_while_it_drains_readiness_is_gone_and_new_requests_are_refused(start):
    """What the whole process does on a signal is in test_draining.py."""
    async with FakeUpstream(answer=lambda _: Reply.json(CHAT)) as upstream, start(provider("p", upstream)) as world:
        for _ in range(2):
            assert (await world.ask("p/m")).status_code == 200
        world.gateway.draining = True
        assert (await world.http.get(world.server.base_url + "/readyz")).status_code == 503
        assert (await world.http.get(world.server.base_url + "/healthz")).status_code == 200
        refused = await world.ask("p/m")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
        assert refused.headers["retry-after"] == "1"
        world.gateway.draining = False
