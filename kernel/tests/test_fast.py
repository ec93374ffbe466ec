import asyncio

from omniroute.fast import BACKLOG, MemoryFast
from omniroute.testing.check_store import check_fast


class Clock:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s

    async def advance(self, seconds_s):
        self.now_s += seconds_s


async def test_it_keeps_the_contract():
    clock = Clock()
    await check_fast(lambda: MemoryFast(clock), advance=clock.advance)


async def test_expired_keys_are_thrown_out_by_later_writes():
    clock = Clock()
    fast = MemoryFast(clock)
    for number in range(1000):
        await fast.set(f"old-{number}", b"x", ttl_s=1)
    await clock.advance(2)
    for number in range(100):
        await fast.set(f"new-{number}", b"x", ttl_s=1)
    assert len(fast._entries) == 100
    assert len(fast._deadlines) == 100


async def test_writing_one_key_over_and_over_does_not_grow_the_heap():
    clock = Clock()
    fast = MemoryFast(clock)
    for _ in range(1000):
        await fast.set("refreshed", b"x", ttl_s=10)
        await fast.set("lock", b"x", ttl_s=10)
        await fast.delete("lock")
        await clock.advance(1)
    assert len(fast._deadlines) <= 25
    assert await fast.get("refreshed") == b"x"


async def test_a_subscriber_that_does_not_read_loses_the_oldest_messages():
    fast = MemoryFast()
    stream = fast.subscribe("channel")
    first = asyncio.ensure_future(anext(stream))
    await asyncio.wait({first}, timeout=0)
    for number in range(BACKLOG + 10):
        await fast.publish("channel", b"%d" % number)
    assert [await first, await anext(stream)] == [b"10", b"11"]
    await stream.aclose()


async def test_closing_ends_subscriptions():
    fast = MemoryFast()
    received = asyncio.ensure_future(_all(fast.subscribe("channel")))
    await asyncio.wait({received}, timeout=0)
    await fast.publish("channel", b"last")
    await fast.close()
    assert await received == [b"last"]
    assert not fast._subscribers


async def _all(stream):
    return [message async for message in stream]
