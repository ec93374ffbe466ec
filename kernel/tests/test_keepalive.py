import asyncio
from contextlib import contextmanager

import pytest

from omniroute.contracts import Headers
from omniroute.exchange import Exchange
from omniroute.keepalive import KeepAlive
from omniroute.settings.schema import TimeoutSettings

HEAD = ((b"content-type", b"text/event-stream"),)


class Dialect:
    dialect = "test"


class Client:
    """Takes what is sent; while `reads` is unset it has no room."""

    def __init__(self):
        self.messages = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.came = asyncio.Event()
        self.exchange = Exchange(
            translator=Dialect(),
            operation="chat",
            params={},
            headers=Headers({}),
            request_id="01ARZ3NDEKTSV4RRFFQ69G5FAV",
            client=self.send,
        )

    async def send(self, message):
        if not self.reads.is_set():
            await self.reads.wait()
        self.messages.append(message)
        self.came.set()

    @contextmanager
    def keepalive(self, seconds=0.02):
        keepalive = KeepAlive(self.exchange, seconds, b"sign", HEAD)
        keepalive.start()
        yield
        keepalive.stop()

    @property
    def bodies(self):
        return [message["body"] for message in self.messages if "body" in message]

    async def until(self, reached):
        async with asyncio.timeout(5):
            while not reached():
                self.came.clear()
                await self.came.wait()


async def test_the_first_sign_takes_a_head_along_that_says_nothing_of_who_answers():
    client = Client()
    with client.keepalive():
        await client.until(lambda: len(client.bodies) >= 2)
    head = client.messages[0]
    assert (head["type"], head["status"]) == ("http.response.start", 200)
    assert [name for name, _ in head["headers"]] == [b"x-request-id", b"content-type"]
    assert (client.exchange.started, client.exchange.finished) == (True, False)
    assert client.exchange.response_bytes == len(b"".join(client.bodies))
    assert set(client.bodies) == {b"sign"}


async def test_it_is_quiet_while_there_is_something_to_send_and_after_its_block():
    client = Client()
    loop = asyncio.get_running_loop()
    with client.keepalive(0.1):
        await client.exchange.start(200, HEAD)
        end = loop.time() + 0.3
        while loop.time() < end:
            await client.exchange.send(b"word", more=True)
            await asyncio.sleep(0)
    count = len(client.messages)
    over = asyncio.Event()
    loop.call_later(0.15, over.set)
    await over.wait()
    assert b"sign" not in client.bodies
    assert len(client.messages) == count


@pytest.mark.parametrize("started", [False, True])
async def test_a_client_that_has_no_room_gets_no_sign_and_no_half_of_one(started):
    client = Client()
    if started:
        await client.exchange.start(200, HEAD)
    before = list(client.messages)
    client.reads.clear()
    looked = asyncio.Event()
    with client.keepalive():
        asyncio.get_running_loop().call_later(0.1, looked.set)
        await looked.wait()
        assert client.messages == before
        assert (client.exchange.started, client.exchange.sending) == (started, False)
        client.reads.set()
        await client.until(lambda: b"sign" in client.bodies)


async def test_nothing_gets_between_what_the_request_itself_sends():
    client = Client()
    client.reads.clear()
    looked = asyncio.Event()
    with client.keepalive():
        sending = asyncio.create_task(client.exchange.start(200, HEAD))
        asyncio.get_running_loop().call_later(0.1, looked.set)
        await looked.wait()
        assert client.messages == []
        client.reads.set()
        await sending
    assert [message["type"] for message in client.messages] == ["http.response.start"]


def test_p37_nobody_waits_longer_than_15_s_for_a_sign_unless_somebody_wants_it():
    assert TimeoutSettings().keepalive_s == 15


async def test_0_never_says_anything():
    client = Client()
    looked = asyncio.Event()
    with client.keepalive(0):
        asyncio.get_running_loop().call_later(0.05, looked.set)
        await looked.wait()
    assert client.messages == []
