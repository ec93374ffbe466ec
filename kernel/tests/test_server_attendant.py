"""What a server of ours does beyond ASGI, and what stands in for it behind another one."""

import asyncio
from typing import Any

import pytest

from omniroute.server.attendant import ATTENDANT, Unattended, attendant_of, fields_of, vouch

HEADERS = [(b"host", b"localhost"), (b"x-twice", b"1"), (b"x-twice", b"2")]
FIELDS = {b"host": b"localhost", b"x-twice": b"2"}


class Asked:
    """A client of another server that sends its body and leaves when it is told to."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()
        self.waits = asyncio.Event()
        self.is_asked = True
        self._body = [{"type": "http.request", "body": b"hi", "more_body": False}]

    async def receive(self) -> Any:
        if self._body:
            return self._body.pop()
        self.waits.set()
        try:
            await self.leaves.wait()
        except asyncio.CancelledError:
            self.is_asked = False
            raise
        return {"type": "http.disconnect"}


class Known(Unattended):
    known = False

    def vouch(self) -> None:
        self.known = True


async def test_behind_another_server_the_long_ways_are_taken():
    scope = {"headers": HEADERS}
    attendant = attendant_of(scope, Asked().receive)
    assert attendant.fields == fields_of(scope) == FIELDS
    assert attendant.task is asyncio.current_task()
    assert attendant.take_body(1000) is None
    assert not attendant.answer(200, [], b"hi")
    assert not attendant.pass_on(b"hi", more=True)
    assert not attendant.has_stalled()
    vouch(scope)
    attendant.vouch()


async def test_behind_another_server_a_task_asks_whether_the_client_has_left():
    client, told = Asked(), asyncio.Event()
    attendant_of({"headers": HEADERS}, client.receive).watch_leaving(told.set)
    await client.waits.wait()
    assert not told.is_set()
    client.leaves.set()
    await asyncio.wait_for(told.wait(), 5)


@pytest.mark.parametrize("has_asked", [True, False])
async def test_it_asks_no_longer_than_somebody_wants_to_know(has_asked):
    client, told = Asked(), asyncio.Event()
    attendant = Unattended({"headers": HEADERS}, client.receive)
    attendant.watch_leaving(told.set)
    if has_asked:
        await client.waits.wait()
    attendant.watch_leaving(None)
    while len(asyncio.all_tasks()) > 1:
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
    assert (client.is_asked, client.waits.is_set()) == (not has_asked, has_asked)
    assert not told.is_set()


async def test_the_attendant_of_a_scope_is_asked_instead():
    client = Asked()
    scope: dict[str, Any] = {"headers": HEADERS}
    attendant = scope[ATTENDANT] = Known(scope, client.receive)
    assert attendant_of(scope, client.receive) is attendant
    assert fields_of(scope) is attendant.fields
    vouch(scope)
    assert attendant.known
