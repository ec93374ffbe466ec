"""The bounds of what is kept; tests/test_idempotency.py has what clients see."""

import asyncio

import pytest

from omniroute import idempotency
from omniroute.api import Headers, IdempotencyConflict, Principal, RequestHead, UpstreamFailed
from omniroute.exchange import Exchange
from omniroute.idempotency import KEPT_S, Repeats
from omniroute.testing import FakeClock


class Dialect:
    dialect = "test"

    def request_headers(self, headers):
        return {"beta": beta} if (beta := headers.get("beta")) else {}


class World:
    def __init__(self, **options):
        self.clock = FakeClock()
        self.repeats = Repeats(**{"keyed": True, "window_s": 5, "clock": self.clock.monotonic} | options)
        self.worked = 0

    async def ask(self, key=None, body=b"{}", *, work=None, client="k", **headers):
        sent = []
        headers = {name.encode(): value.encode() for name, value in headers.items()}
        if key is not None:
            headers[b"idempotency-key"] = key.encode("latin-1")

        async def send(message):
            sent.append(message)

        exchange = Exchange(
            translator=Dialect(), operation="chat", params={}, headers=Headers(headers), request_id="r", client=send
        )
        exchange.principal = Principal(key_id=client, name=client)
        exchange.head = RequestHead(model="m")
        exchange.body = body
        await self.repeats.serve(exchange, work or self.work)
        return b"".join(message["body"] for message in sent if "body" in message)

    async def work(self, exchange):
        self.worked += 1
        await exchange.answer(200, b"%d" % self.worked)
        exchange.outcome = "ok"


async def test_a_key_is_kept_for_a_day():
    world = World()
    assert [await world.ask("a"), await world.ask("a")] == [b"1", b"1"]
    world.clock.advance(KEPT_S - 1)
    assert await world.ask("a") == b"1"
    world.clock.advance(1)
    assert await world.ask("a") == b"2"


async def test_beyond_so_many_the_oldest_go(monkeypatch):
    monkeypatch.setattr(idempotency, "MAX_KEPT", 3)
    world = World()
    for key in "abcd":
        await world.ask(key)
    assert [await world.ask(key) for key in "bcd"] == [b"2", b"3", b"4"]
    assert await world.ask("a") == b"5"


async def test_beyond_so_many_bytes_the_oldest_go(monkeypatch):
    monkeypatch.setattr(idempotency, "MAX_KEPT_BYTES", 250)

    async def long(exchange):
        await exchange.answer(200, b"x" * 100)
        exchange.outcome = "ok"

    world = World()
    for key in "abc":
        await world.ask(key, work=long)
    assert await world.ask("b") == await world.ask("c") == b"x" * 100
    assert await world.ask("a") == b"1"


async def test_a_stream_whose_end_was_not_sent_is_not_kept():
    async def cut(exchange):
        await exchange.start(200, ())
        await exchange.send(b"half", more=True)
        exchange.outcome = "ok"

    world = World()
    assert await world.ask("a", work=cut) == b"half"
    assert await world.ask("a") == b"1"


async def test_headers_that_go_upstream_are_part_of_the_request():
    world = World()
    await world.ask("a", beta="x")
    assert await world.ask("a", beta="x") == b"1"
    with pytest.raises(IdempotencyConflict):
        await world.ask("a", beta="y")
    assert await world.ask(beta="x") == b"2"
    assert await world.ask(beta="y") == b"3"


async def test_a_shared_answer_is_forgotten_when_its_window_is_over():
    world = World()
    assert [await world.ask(), await world.ask()] == [b"1", b"1"]
    world.clock.advance(5)
    assert await world.ask() == b"2"


async def test_what_outlasts_the_window_is_not_joined_any_more():
    world, go = World(), asyncio.Event()

    async def slow(exchange):
        await go.wait()
        await world.work(exchange)

    first = asyncio.create_task(world.ask(work=slow))
    await asyncio.sleep(0)
    world.clock.advance(6)
    assert await world.ask() == b"1"
    go.set()
    assert await first == b"2"
    assert await world.ask() == b"1"


async def test_every_follower_gets_an_error_of_its_own():
    world, go = World(), asyncio.Event()

    async def failing(exchange):
        await go.wait()
        raise UpstreamFailed("no")

    tasks = [asyncio.create_task(world.ask(work=failing)) for _ in range(3)]
    await asyncio.sleep(0)
    go.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [error.message for error in errors] == ["no"] * 3
    assert len({id(error) for error in errors}) == 3
