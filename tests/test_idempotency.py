"""A request that is sent twice is answered once: by its Idempotency-Key, or because it equals one that was just begun."""

import asyncio
import json
import sqlite3

import httpx
import pytest

from omniroute.testing import Close, FakeUpstream, Reply, Stream, WaitFor, sse

PATHS = {"openai-chat": "/v1/chat/completions", "anthropic": "/v1/messages"}
DIALECTS = pytest.mark.parametrize("dialect", PATHS)
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
OTHER_KEY = "test-other-key-00001"
OTHER = f'[[auth.keys]]\nname = "other"\nkey = "{OTHER_KEY}"\n'
WINDOW = "[routing]\ndedup_window_s = 30\n"


def chat(text):
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "up",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def chunk(finish=None, **delta):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [choice]}


class Counting:
    """Every answer says which it is."""

    def __init__(self):
        self.count = 0

    def __call__(self, request):
        self.count += 1
        text = f"answer {self.count}"
        if request.json().get("stream"):
            return Stream([sse([chunk(content=text)]), sse([chunk(finish="stop"), "[DONE]"])])
        return Reply.json(chat(text))


def provider(base_url):
    return (
        f'[providers.p]\ndialect = "openai-chat"\nbase_url = "{base_url}"\n'
        '[[accounts]]\nprovider = "p"\napi_key = "test-key-1"\n'
    )


class World:
    def __init__(self, gateway, http):
        self.gateway, self.http = gateway, http

    async def ask(self, *, idempotency=None, stream=False, dialect="openai-chat", key=None, content="hi", **fields):
        body = {"model": "p/m", "max_tokens": 9, "stream": stream, "messages": [{"role": "user", "content": content}]}
        headers = {"authorization": f"Bearer {key or self.gateway.client_key}"}
        if idempotency is not None:
            headers["idempotency-key"] = idempotency
        return await self.http.post(self.gateway.base_url + PATHS[dialect], json={**body, **fields}, headers=headers)

    def rows(self):
        with sqlite3.connect(self.gateway.directory / "data" / "requests.db") as database:
            query = "select status, outcome, input_tokens, attempts from requests order by id"
            rows = [(*row[:3], len(json.loads(row[3]))) for row in database.execute(query)]
        database.close()
        return rows


@pytest.fixture
def start(start_gateway):
    """`async with start(settings) as world:`"""

    class Started:
        def __init__(self, settings):
            self.gateway = start_gateway(settings)

        async def __aenter__(self):
            self.http = await httpx.AsyncClient(timeout=30).__aenter__()
            return World(await self.gateway.__aenter__(), self.http)

        async def __aexit__(self, *error):
            await self.http.__aexit__(*error)
            await self.gateway.__aexit__(*error)

    return Started


@pytest.fixture
async def upstream():
    async with FakeUpstream(answer=Counting()) as upstream:
        yield upstream


# --- by key -----------------------------------------------------------------------------------------------------------


@DIALECTS
@STREAMED
async def test_the_same_key_gets_the_same_answer_byte_for_byte(start, upstream, dialect, stream):
    async with start(provider(upstream.base_url)) as world:
        first = await world.ask(idempotency="k1", stream=stream, dialect=dialect)
        again = await world.ask(idempotency="k1", stream=stream, dialect=dialect)
        assert "answer 1" in first.text
        assert again.content == first.content
        assert again.headers["content-type"] == first.headers["content-type"]
        assert (first.headers.get("x-omniroute-cache"), again.headers["x-omniroute-cache"]) == (None, "replay")
        assert first.headers["x-request-id"] != again.headers["x-request-id"]
        assert "answer 2" in (await world.ask(idempotency="k2", stream=stream, dialect=dialect)).text
        assert "answer 3" in (await world.ask(stream=stream, dialect=dialect)).text
        assert len(upstream.requests) == 3
    assert [(row[0], row[1], row[3]) for row in world.rows()][:2] == [(200, "ok", 1), (200, "ok", 0)]


async def test_a_key_is_one_client_s_own(start, upstream):
    async with start(OTHER + provider(upstream.base_url)) as world:
        assert "answer 1" in (await world.ask(idempotency="k1")).text
        assert "answer 2" in (await world.ask(idempotency="k1", key=OTHER_KEY)).text
        assert "answer 1" in (await world.ask(idempotency="k1")).text


@pytest.mark.parametrize(
    "other", [{"content": "ho"}, {"max_tokens": 10}, {"stream": True}, {"dialect": "anthropic"}], ids=str
)
async def test_a_key_that_was_used_for_another_request_is_a_409(start, upstream, other):
    async with start(provider(upstream.base_url)) as world:
        await world.ask(idempotency="k1")
        answer = await world.ask(idempotency="k1", **other)
        assert answer.status_code == 409
        assert "another request" in answer.json()["error"]["message"]
        assert len(upstream.requests) == 1


async def test_a_key_whose_request_is_under_way_is_a_409_with_when_to_come_back(start, upstream):
    go = asyncio.Event()
    upstream.queue([WaitFor(go), Reply.json(chat("late"))])
    async with start(provider(upstream.base_url)) as world:
        first = asyncio.create_task(world.ask(idempotency="k1"))
        await upstream.received(1)
        answer = await world.ask(idempotency="k1")
        assert (answer.status_code, answer.headers["retry-after"]) == (409, "1")
        go.set()
        assert "late" in (await first).text
        assert "late" in (await world.ask(idempotency="k1")).text
        assert len(upstream.requests) == 1


REFUSED = Reply.json({"error": {"message": "no", "type": "x", "param": None, "code": None}}, 400)
BROKEN = Stream([sse([chunk(content="half")]), Close()])


@pytest.mark.parametrize(
    ("script", "request_"),
    [
        pytest.param(REFUSED, {}, id="refused upstream"),
        pytest.param(BROKEN, {"stream": True}, id="broken off"),
        pytest.param(None, {"model": "p/../m"}, id="not valid"),
        pytest.param(None, {"model": "nobody/has-it"}, id="no such model"),
    ],
)
async def test_after_a_failure_the_key_is_free(start, upstream, script, request_):
    """So that a client that tries again, with what it sent or with what it has mended, gets an answer."""
    if script is not None:
        upstream.queue(script)
    async with start(provider(upstream.base_url)) as world:
        await world.ask(idempotency="k1", **request_)
        request_ = {} if script is None else request_
        assert "answer 1" in (await world.ask(idempotency="k1", **request_)).text
        assert "answer 1" in (await world.ask(idempotency="k1", **request_)).text


async def test_a_client_that_left_finds_its_key_free(start, upstream):
    go = asyncio.Event()
    upstream.queue([WaitFor(go), Reply.json(chat("late"))])
    async with start(provider(upstream.base_url)) as world:
        leaving = asyncio.create_task(world.ask(idempotency="k1"))
        await upstream.received(1)
        leaving.cancel()
        await upstream.closed_by_peer(1)
        assert "answer 1" in (await world.ask(idempotency="k1")).text


async def test_what_is_too_long_is_not_kept(start, upstream):
    upstream.queue(Reply.json(chat("x" * 1_100_000)))
    async with start(provider(upstream.base_url)) as world:
        assert len((await world.ask(idempotency="k1")).content) > 1_100_000
        assert "answer 1" in (await world.ask(idempotency="k1")).text


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"], ids=["empty", "too long", "with a tab"])
async def test_a_key_that_is_none_is_a_400(start, upstream, key):
    async with start(provider(upstream.base_url)) as world:
        answer = await world.ask(idempotency=key)
        assert answer.status_code == 400
        assert not upstream.requests


async def test_switched_off_a_key_means_nothing(start, upstream):
    async with start("[routing]\nidempotency = false\n" + provider(upstream.base_url)) as world:
        texts = [(await world.ask(idempotency="k1")).text for _ in range(2)]
        assert ["answer 1" in texts[0], "answer 2" in texts[1]] == [True, True]


# --- at once ----------------------------------------------------------------------------------------------------------


@DIALECTS
async def test_equal_requests_at_once_are_one_call(start, upstream, dialect):
    go = asyncio.Event()
    upstream.queue([WaitFor(go), Reply.json(chat("one for all"))])
    async with start(WINDOW + provider(upstream.base_url)) as world:
        asking = [asyncio.create_task(world.ask(dialect=dialect)) for _ in range(10)]
        await upstream.received(1)
        other = await world.ask(dialect=dialect, content="ho")
        go.set()
        answers = await asyncio.gather(*asking)
        assert len({answer.content for answer in answers}) == 1
        assert "one for all" in answers[0].text
        assert "answer 1" in other.text
        assert sorted(answer.headers.get("x-omniroute-cache", "") for answer in answers) == [""] + ["replay"] * 9
        assert len(upstream.requests) == 2
        assert "one for all" in (await world.ask(dialect=dialect)).text  # begun within the window of the first
    assert sum(row[2] or 0 for row in world.rows()) == 2  # each answer is accounted for once


async def test_equal_requests_of_different_client_keys_are_two_calls(start, upstream):
    async with start(OTHER + WINDOW + provider(upstream.base_url)) as world:
        texts = [(await world.ask()).text, (await world.ask(key=OTHER_KEY)).text]
        assert ["answer 1" in texts[0], "answer 2" in texts[1]] == [True, True]


async def test_without_a_window_and_for_streams_every_request_is_its_own(start, upstream):
    async with start(provider(upstream.base_url)) as world:
        await asyncio.gather(*(world.ask() for _ in range(3)))
        assert len(upstream.requests) == 3
    async with start(WINDOW + provider(upstream.base_url)) as world:
        await asyncio.gather(*(world.ask(stream=True) for _ in range(3)))
        assert len(upstream.requests) == 6


async def test_when_the_first_leaves_one_of_the_others_asks_in_its_place(start, upstream):
    first, second = asyncio.Event(), asyncio.Event()
    upstream.queue([WaitFor(first), Reply.json(chat("never"))], [WaitFor(second), Reply.json(chat("second"))])
    async with start(WINDOW + provider(upstream.base_url)) as world:
        leading = asyncio.create_task(world.ask())
        await upstream.received(1)
        others = [asyncio.create_task(world.ask()) for _ in range(5)]
        await asyncio.wait(others, timeout=0.3)
        leading.cancel()
        await upstream.received(2)
        second.set()
        answers = await asyncio.gather(*others)
        assert {"second" in answer.text for answer in answers} == {True}
        assert len(upstream.requests) == 2


async def test_a_follower_that_leaves_disturbs_nobody(start, upstream):
    go = asyncio.Event()
    upstream.queue([WaitFor(go), Reply.json(chat("for those who stayed"))])
    async with start(WINDOW + provider(upstream.base_url)) as world:
        leading = asyncio.create_task(world.ask())
        await upstream.received(1)
        leaving, staying = (asyncio.create_task(world.ask()) for _ in range(2))
        await asyncio.wait([leaving, staying], timeout=0.3)
        leaving.cancel()
        go.set()
        for task in (leading, staying):
            assert "for those who stayed" in (await task).text


async def test_those_who_waited_share_a_failure_and_the_next_one_does_not(start, upstream):
    go = asyncio.Event()
    upstream.queue([WaitFor(go), REFUSED])
    async with start(WINDOW + provider(upstream.base_url)) as world:
        asking = [asyncio.create_task(world.ask()) for _ in range(5)]
        await upstream.received(1)
        await asyncio.wait(asking, timeout=0.3)
        go.set()
        assert {answer.status_code for answer in await asyncio.gather(*asking)} == {400}
        assert len(upstream.requests) == 1
        assert (await world.ask()).status_code == 200
