"""What fails goes elsewhere at once, is left alone for as long as it takes, and nobody is blamed for what is not theirs."""

import asyncio
import json
import random
import socket
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from omniroute.testing import Close, FakeUpstream, Hang, Reply, Reset, Stream, sse

PATHS = {"openai-chat": "/v1/chat/completions", "anthropic": "/v1/messages"}
DIALECTS = pytest.mark.parametrize("dialect", PATHS)
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])

CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "up",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


def chunk(finish=None, **delta):
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "up",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


EVENTS = [sse([chunk(role="assistant", content="")]), sse([chunk(content="ok"), chunk(finish="stop"), "[DONE]"])]


def good(request):
    return Stream(EVENTS) if request.json().get("stream") else Reply.json(CHAT)


def refusal(status, message="no", code=None, **headers):
    headers = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    return Reply.json({"error": {"message": message, "type": "x", "param": None, "code": code}}, status, headers)


def provider(name, base_url, *, accounts=0):
    table = f'[providers.{name}]\ndialect = "openai-chat"\nbase_url = "{base_url}"\n'
    return table + "".join(
        f'[[accounts]]\nprovider = "{name}"\nname = "a{number}"\napi_key = "test-key-{number}"\npriority = {number}\n'
        for number in range(1, accounts + 1)
    )


class World:
    def __init__(self, gateway, http):
        self.gateway, self.http = gateway, http

    async def ask(self, model, *, stream=False, dialect="openai-chat", **fields):
        body = {
            "model": model,
            "max_tokens": 9,
            "stream": stream,
            "messages": [{"role": "user", "content": "hi"}],
            **fields,
        }
        headers = {"authorization": f"Bearer {self.gateway.client_key}"}
        return await self.http.post(self.gateway.base_url + PATHS[dialect], json=body, headers=headers)


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


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pair(first, second):
    return provider("first", first) + provider("second", second) + '[combos.pair]\nmodels = ["first/m", "second/m"]\n'


def served(answer):
    return answer.headers.get("x-omniroute-provider"), answer.headers.get("x-omniroute-attempts")


def problem(answer):
    return answer.json()["error"]


# --- elsewhere --------------------------------------------------------------------------------------------------------


@DIALECTS
@STREAMED
async def test_f01_a_refused_connection_is_a_502_at_once_or_goes_elsewhere(start, dialect, stream):
    dead = f"http://127.0.0.1:{free_port()}/v1"
    async with FakeUpstream(answer=good) as second, start(pair(dead, second.base_url)) as world:
        answer = await world.ask("pair", stream=stream, dialect=dialect)
        assert (answer.status_code, served(answer)) == (200, ("second", "2"))
        took = []
        for _ in range(3):
            began = time.perf_counter()
            alone = await world.ask("first/m", stream=stream, dialect=dialect)
            took.append(time.perf_counter() - began)
            assert alone.status_code == 502
            assert "cannot be reached" in problem(alone)["message"]
        assert min(took) < 0.1


FAULTS = {
    "F03 reset": [Reset()],
    "F03 closed": [Close()],
    "F10 truncated JSON": [Reply(200, {"content-type": "application/json"}, b'{"id": "1", "choi')],
    "F28 a page": [Reply(200, {"content-type": "text/html"}, b"<html>log in</html>")],
    "500": [refusal(500)],
    "503": [refusal(503)],
    "a stream without content": [Stream([EVENTS[0], Close()])],
}


@DIALECTS
@STREAMED
async def test_f03_f10_a_fault_before_content_goes_elsewhere(start, dialect, stream):
    async with FakeUpstream() as first, FakeUpstream(answer=good) as second:
        settings = "".join(
            provider(f"first{number}", first.base_url)
            + f'[combos.pair{number}]\nmodels = ["first{number}/m", "second/m"]\n'
            for number in range(len(FAULTS))
        )
        async with start(settings + provider("second", second.base_url)) as world:
            for number, fault in enumerate(FAULTS.values()):
                first.queue(fault)
                answer = await world.ask(f"pair{number}", stream=stream, dialect=dialect)
                assert (answer.status_code, served(answer)) == (200, ("second", "2"))
                assert len(first.requests) == number + 1


@STREAMED
async def test_f03_a_request_that_was_swallowed_is_sent_once_more_and_only_elsewhere(start, stream):
    async with FakeUpstream(answer=Reset()) as first, FakeUpstream(answer=Reset()) as second:
        third = provider("third", first.base_url)
        settings = pair(first.base_url, second.base_url) + third
        settings += '[combos.three]\nmodels = ["first/m", "second/m", "third/m"]\n'
        async with start(settings) as world:
            answer = await world.ask("three", stream=stream)
            assert answer.status_code == 502
            assert (len(first.requests), len(second.requests)) == (1, 1)
            assert "third/m (builtin): not asked, an upstream fell silent" in problem(answer)["message"]
            assert (await world.ask("first/m", stream=stream)).status_code == 502
            assert len(first.requests) == 2


async def test_f10_without_another_candidate_it_is_a_502(start):
    async with (
        FakeUpstream(*FAULTS["F10 truncated JSON"]) as upstream,
        start(provider("p", upstream.base_url)) as world,
    ):
        answer = await world.ask("p/m")
        assert (answer.status_code, problem(answer)["code"], len(upstream.requests)) == (502, "upstream_garbled", 1)


# --- hiccups ----------------------------------------------------------------------------------------------------------


@STREAMED
async def test_a_hiccup_of_the_only_candidate_is_tried_once_more(start, stream):
    async with FakeUpstream(refusal(500), answer=good) as upstream, start(provider("p", upstream.base_url)) as world:
        answer = await world.ask("p/m", stream=stream)
        assert (answer.status_code, served(answer)) == (200, ("p", "2"))
        upstream.queue(refusal(500), refusal(502))
        answer = await world.ask("p/m", stream=stream)
        assert (answer.status_code, len(upstream.requests)) == (502, 4)


async def test_an_upstream_that_wants_time_is_not_asked_again_by_the_same_request(start):
    """P23: nobody sleeps in a request."""
    async with (
        FakeUpstream(answer=refusal(500, retry_after=5)) as upstream,
        start(provider("p", upstream.base_url)) as world,
    ):
        answer = await world.ask("p/m")
        assert (answer.status_code, answer.headers["retry-after"], len(upstream.requests)) == (500, "5", 1)


async def test_f23_with_a_healthy_second_a_third_of_failures_is_not_noticed(start):
    dice = random.Random(4)

    def flaky(request):
        return refusal(dice.choice([500, 502, 504])) if dice.random() < 0.3 else good(request)

    async with (
        FakeUpstream(answer=flaky) as first,
        FakeUpstream(answer=good) as second,
        start(pair(first.base_url, second.base_url)) as world,
    ):
        requests = 300
        gate = asyncio.Semaphore(20)

        async def one():
            async with gate:
                return (await world.ask("pair")).status_code

        codes = await asyncio.gather(*(one() for _ in range(requests)))
        assert codes.count(200) >= 0.99 * requests
        assert len(first.requests) + len(second.requests) <= 1.4 * requests
        assert len(first.requests) > 50


# --- 429 --------------------------------------------------------------------------------------------------------------


def http_date(seconds, now):
    return format_datetime(now + timedelta(seconds=seconds), usegmt=True)


WRONG_CLOCK = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
HINTS = {
    "seconds": ({"retry_after": 30}, 30),
    "a date": ({"retry_after": http_date(40, WRONG_CLOCK), "date": http_date(0, WRONG_CLOCK)}, 40),
    "both": ({"retry_after_ms": 20_500, "retry_after": 60}, 21),
    "zero": ({"retry_after": 0}, 1),
    "negative": ({"retry_after": -5}, 1),
    "no number": ({"retry_after": "abc"}, 1),
    "18 days": ({"retry_after": 1_587_827}, 3600),
    "nothing": ({}, 1),
}


async def test_f20_p24_every_form_of_retry_after_is_understood_and_the_longest_is_capped(start):
    """18 days: to be probed after an hour."""
    async with FakeUpstream() as upstream:
        settings = "".join(provider(f"p{number}", upstream.base_url) for number in range(len(HINTS) + 1))
        async with start(settings) as world:
            for number, (headers, seconds) in enumerate(HINTS.values()):
                upstream.queue(refusal(429, **headers))
                answer = await world.ask(f"p{number}/m")
                assert (answer.status_code, answer.headers["retry-after"]) == (429, str(seconds)), headers
            upstream.queue(Reply.json({"error": {"message": "no", "resets_in_seconds": 77.2}}, 429))
            answer = await world.ask(f"p{len(HINTS)}/m")
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "78")


@DIALECTS
@STREAMED
async def test_f21_p23_when_all_accounts_are_throttled_the_answer_is_a_429_at_once(start, dialect, stream):
    hints = [900, 600, 700]
    async with (
        FakeUpstream(*(refusal(429, retry_after=hint) for hint in hints)) as upstream,
        start(provider("p", upstream.base_url, accounts=3)) as world,
    ):
        answer = await world.ask("p/m", stream=stream, dialect=dialect)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "600")
        assert len(upstream.requests) == 3
        for _ in range(5):
            began = time.perf_counter()
            answer = await world.ask("p/m", stream=stream, dialect=dialect)
            assert time.perf_counter() - began < 0.1
            assert answer.status_code == 429
            assert 590 <= int(answer.headers["retry-after"]) <= 600
            for number in (1, 2, 3):
                assert f"p/m (a{number}): throttled, again in" in problem(answer)["message"]
        assert len(upstream.requests) == 3


async def test_p23_a_throttled_account_is_passed_over_until_it_is_due(start):
    async with (
        FakeUpstream(refusal(429, retry_after=600), answer=good) as upstream,
        start(provider("p", upstream.base_url, accounts=2)) as world,
    ):
        attempts = [served(await world.ask("p/m"))[1] for _ in range(3)]
        assert attempts == ["2", "1", "1"]
        keys = [request.header("authorization") for request in upstream.requests]
        assert keys == ["Bearer test-key-1", *["Bearer test-key-2"] * 3]


async def test_p25_one_model_s_throttle_leaves_the_account_s_other_models_alone(start):
    async with (
        FakeUpstream(refusal(429, retry_after=600), answer=good) as upstream,
        start(provider("p", upstream.base_url, accounts=2)) as world,
    ):
        assert served(await world.ask("p/big"))[1] == "2"
        assert served(await world.ask("p/small"))[1] == "1"
        assert upstream.requests[-1].header("authorization") == "Bearer test-key-1"
        upstream.queue(refusal(401))
        assert served(await world.ask("p/small"))[1] == "2"
        assert served(await world.ask("p/other"))[1] == "1"
        assert upstream.requests[-1].header("authorization") == "Bearer test-key-2"
        assert "account left out" in world.gateway.log


async def test_the_only_candidate_is_asked_all_the_same_but_not_for_a_used_up_quota(start):
    """What an upstream says now is worth more to the client than what we remember."""
    async with FakeUpstream() as upstream, start(provider("p", upstream.base_url, accounts=1)) as world:
        for status in (401, 403, 404, 429, 503):
            upstream.queue(refusal(status, f"says {status}", retry_after=600))
            answer = await world.ask("p/m")
            assert (answer.status_code, answer.headers["retry-after"]) == (status, "600")
            assert f"says {status}" in problem(answer)["message"]
        upstream.queue(refusal(429, code="insufficient_quota", retry_after=900))
        await world.ask("p/m")
        calls = len(upstream.requests)
        answer = await world.ask("p/m")
        assert (answer.status_code, problem(answer)["code"]) == (429, "quota_exhausted")
        assert 890 <= int(answer.headers["retry-after"]) <= 900
        assert len(upstream.requests) == calls


async def test_fifty_requests_at_once_ask_a_throttled_only_account_once(start):
    """And one that hangs in there is no reason for the others to wait."""
    async with (
        FakeUpstream(refusal(429, retry_after=600)) as upstream,
        start(provider("p", upstream.base_url, accounts=1)) as world,
    ):
        assert (await world.ask("p/m")).status_code == 429
        upstream.queue([Hang(), refusal(429, retry_after=600)])
        hanging = asyncio.create_task(world.ask("p/m"))
        await upstream.received(2)
        answers = await asyncio.gather(*(world.ask("p/m") for _ in range(49)))
        assert {answer.status_code for answer in answers} == {429}
        assert len(upstream.requests) == 2
        upstream.release()
        assert (await hanging).status_code == 429


# --- no blame ---------------------------------------------------------------------------------------------------------


@DIALECTS
@pytest.mark.parametrize("status", [400, 413, 422])
async def test_p27_a_bad_request_is_one_call_and_no_cooldown(start, dialect, status):
    async with FakeUpstream(refusal(status, "bad body"), answer=good) as upstream:
        settings = provider("p", upstream.base_url, accounts=3) + provider("q", upstream.base_url)
        async with start(settings + '[combos.c]\nmodels = ["p/m", "q/m"]\n') as world:
            answer = await world.ask("c", dialect=dialect)
            assert (answer.status_code, len(upstream.requests)) == (status, 1)
            assert "bad body" in problem(answer)["message"]
            assert served(await world.ask("c", dialect=dialect)) == ("p", "1")
            assert upstream.requests[-1].header("authorization") == "Bearer test-key-1"


async def test_a_client_that_leaves_blames_nobody(start):
    async with (
        FakeUpstream(Hang(), answer=good) as first,
        FakeUpstream(answer=good) as second,
        start(pair(first.base_url, second.base_url)) as world,
    ):
        leaving = asyncio.create_task(world.ask("pair"))
        await first.received(1)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await first.closed_by_peer(1)
        assert served(await world.ask("pair")) == ("first", "1")


# --- combos -----------------------------------------------------------------------------------------------------------


async def test_p28_dead_legs_cost_no_attempt_and_a_combo_fails_only_when_all_are_dead(start):
    legs = {
        "poor": refusal(402, retry_after=900),
        "busy": refusal(503, retry_after=900),
        "slow": refusal(429, retry_after=900),
    }
    async with FakeUpstream() as dead, FakeUpstream(answer=good) as alive:
        settings = "".join(provider(name, dead.base_url) for name in legs) + provider("alive", alive.base_url)
        settings += '[combos.c]\nmodels = ["poor/m", "busy/m", "slow/m", "alive/m"]\n'
        settings += '[combos.lost]\nmodels = ["slow/m", "used/m"]\n' + provider("used", dead.base_url)
        async with start(settings) as world:
            dead.queue(*legs.values())
            answer = await world.ask("c")
            assert answer.status_code == 429
            assert "not every candidate was asked" in problem(answer)["message"]
            assert "alive/m (builtin): not asked, the limit of 3 attempts is reached" in problem(answer)["message"]
            assert answer.headers["retry-after"] == "1"
            assert served(await world.ask("c")) == ("alive", "1")
            assert len(dead.requests) == 3

            dead.queue(refusal(429, code="quota_exceeded", retry_after=800))
            await world.ask("used/m")
            lost = await world.ask("lost")
            assert lost.status_code == 429
            assert "slow/m (builtin): throttled, again in 9" in problem(lost)["message"]
            assert "used/m (builtin): quota_exhausted, again in 800 s" in problem(lost)["message"]
            assert len(dead.requests) == 4


async def test_when_everything_is_out_for_a_while_the_soonest_is_tried_once(start):
    async with FakeUpstream() as first, FakeUpstream() as second, start(pair(first.base_url, second.base_url)) as world:
        first.queue(refusal(503, retry_after=900))
        second.queue(refusal(401, retry_after=600))
        assert (await world.ask("pair")).status_code == 401
        second.queue(good)
        assert served(await world.ask("pair")) == ("second", "1")
        assert (len(first.requests), len(second.requests)) == (1, 2)


async def test_the_record_says_what_was_passed_over(start):
    async with (
        FakeUpstream(refusal(429, retry_after=600), answer=good) as first,
        FakeUpstream(answer=good) as second,
        start(pair(first.base_url, second.base_url)) as world,
    ):
        await world.ask("pair")
        await world.ask("pair")
        world.gateway.process.terminate()
        await world.gateway.process.wait()
        with sqlite3.connect(world.gateway.directory / "data" / "requests.db") as database:
            rows = [json.loads(row[0]) for row in database.execute("select attempts from requests order by id")]
        database.close()
    told = [[(attempt["provider"], attempt.get("error"), attempt.get("sent", True)) for attempt in row] for row in rows]
    assert told == [
        [("first", "rate_limit_exceeded", True), ("second", None, True)],
        [("first", "cooling", False), ("second", None, True)],
    ]
    assert 590 <= rows[1][0]["retry_after_s"] <= 600


# --- the clock --------------------------------------------------------------------------------------------------------


async def test_all_candidates_together_have_one_deadline(start):
    clocks = "[timeouts]\nfirst_byte_s = 20\nfirst_content_deadline_s = 0.4\n"
    async with (
        FakeUpstream(answer=Hang()) as first,
        FakeUpstream(answer=good) as second,
        start(clocks + pair(first.base_url, second.base_url)) as world,
    ):
        began = time.perf_counter()
        answer = await world.ask("pair")
        assert 0.3 < time.perf_counter() - began < 5
        assert answer.status_code == 504
        assert "second/m (builtin): not asked, 0.4 s have passed" in problem(answer)["message"]
        assert second.requests == []
