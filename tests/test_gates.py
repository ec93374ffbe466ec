"""Limits per client key, account, provider and gateway, on real sockets: what is refused, what goes elsewhere, what waits."""

import asyncio
import itertools
import json
import sqlite3
import sys

import httpx
import pytest

from omniroute.testing import FakeUpstream, Hang, Reply, Reset, Stream, WaitFor, sse

PATHS = {"openai-chat": "/v1/chat/completions", "anthropic": "/v1/messages"}
CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "up",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 40, "completion_tokens": 10, "total_tokens": 50},
}
LIMITED_KEY = "test-limited-key-0001"


def chunk(finish=None, **delta):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [choice]}


END = sse([chunk(finish="stop"), "[DONE]"])


def good(request):
    return Stream([sse([chunk(content="ok")]), END]) if request.json().get("stream") else Reply.json(CHAT)


def provider(name, base_url, *accounts, table=""):
    """`accounts` are the limits of each, as TOML."""
    return f'[providers.{name}]\ndialect = "openai-chat"\nbase_url = "{base_url}"\n{table}' + "".join(
        f'[[accounts]]\nprovider = "{name}"\nname = "a{number}"\napi_key = "test-key-{number}"\npriority = {number}\n'
        f"{limits}\n"
        for number, limits in enumerate(accounts, 1)
    )


def limited_key(limits):
    return f'[[auth.keys]]\nname = "limited"\nkey = "{LIMITED_KEY}"\n{limits}\n'


class World:
    def __init__(self, gateway, http):
        self.gateway, self.http = gateway, http

    async def ask(self, model="p/m", *, stream=False, dialect="openai-chat", key=None, content="hi", **fields):
        body = {"model": model, "max_tokens": 9, "stream": stream, "messages": [{"role": "user", "content": content}]}
        headers = {"authorization": f"Bearer {key or self.gateway.client_key}"}
        return await self.http.post(self.gateway.base_url + PATHS[dialect], json={**body, **fields}, headers=headers)

    def rows(self):
        with sqlite3.connect(self.gateway.directory / "data" / "requests.db") as database:
            rows = database.execute("select status, attempts from requests order by id").fetchall()
        database.close()
        return [(status, [(one["account"], one.get("error")) for one in json.loads(found)]) for status, found in rows]


@pytest.fixture
def start(start_gateway):
    """`async with start(settings) as world:`"""

    class Started:
        def __init__(self, settings):
            self.gateway = start_gateway(settings)

        async def __aenter__(self):
            self.http = await httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=None)).__aenter__()
            return World(await self.gateway.__aenter__(), self.http)

        async def __aexit__(self, *error):
            await self.http.__aexit__(*error)
            await self.gateway.__aexit__(*error)

    return Started


def used(upstream):
    return [request.header("authorization").rpartition("-")[2] for request in upstream.requests]


# --- client keys ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", PATHS)
async def test_a_client_key_over_its_limit_is_a_429_in_its_own_dialect_and_nothing_goes_upstream(start, dialect):
    async with (
        FakeUpstream(answer=good) as upstream,
        start(limited_key("rpm = 2") + provider("p", upstream.base_url, "")) as world,
    ):
        for left in ("1", "0"):
            answer = await world.ask(dialect=dialect, key=LIMITED_KEY)
            assert (answer.status_code, answer.headers["x-ratelimit-remaining-requests"]) == (200, left)
        answer = await world.ask(dialect=dialect, key=LIMITED_KEY)
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 61
        assert answer.headers["x-ratelimit-limit-requests"] == "2"
        kind = {"openai-chat": "code", "anthropic": "type"}[dialect]
        assert "rate_limit" in answer.json()["error"][kind]
        assert "limited" in answer.json()["error"]["message"]
        assert len(upstream.requests) == 2
        assert (await world.ask(dialect=dialect)).status_code == 200  # another key's requests are its own


async def test_p63_of_a_hundred_at_once_a_budget_of_ten_lets_ten_through(start):
    async with (
        FakeUpstream(answer=good) as upstream,
        start(limited_key("rpm = 10") + provider("p", upstream.base_url, "")) as world,
    ):
        answers = await asyncio.gather(*(world.ask(key=LIMITED_KEY) for _ in range(100)))
        assert sorted(answer.status_code for answer in answers) == [200] * 10 + [429] * 90
        assert len(upstream.requests) == 10


async def test_p63_tokens_are_reserved_before_and_settled_after(start):
    """A request of 400 bytes and 9 tokens of answer reserves some 130 tokens; it used 50."""
    async with (
        FakeUpstream(answer=good) as upstream,
        start(limited_key("tpm = 500") + provider("p", upstream.base_url, "")) as world,
    ):
        at_once = await asyncio.gather(*(world.ask(key=LIMITED_KEY, content="x" * 400) for _ in range(20)))
        through = sum(answer.status_code == 200 for answer in at_once)
        assert 2 <= through <= 9  # those that had ended by then gave back what they did not use
        await asyncio.gather(*(world.ask(key=LIMITED_KEY, content="x" * 400) for _ in range(9 - through)))
        while (answer := await world.ask(key=LIMITED_KEY, content="x")).status_code == 200:
            through += 1
        assert answer.headers["x-ratelimit-limit-tokens"] == "500"
        assert len(upstream.requests) * 50 <= 500
        assert len(upstream.requests) >= 7


async def test_a_key_s_requests_at_a_time_end_with_the_stream_or_with_the_client(start):
    script = Stream([sse([chunk(content="half")]), Hang()])
    async with (
        FakeUpstream(script, script, answer=good) as upstream,
        start(limited_key("max_concurrency = 2") + provider("p", upstream.base_url, "")) as world,
    ):
        running = [asyncio.create_task(world.ask(key=LIMITED_KEY, stream=True)) for _ in range(2)]
        await upstream.received(2)
        refused = await world.ask(key=LIMITED_KEY)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        running[0].cancel()
        await upstream.closed_by_peer(1)
        assert (await world.ask(key=LIMITED_KEY)).status_code == 200
        running[1].cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def test_a_failed_request_gives_its_tokens_back(start):
    refused = Reply.json({"error": {"message": "no", "type": "x", "param": None, "code": None}}, 400)
    async with (
        FakeUpstream(*[refused] * 5, answer=good) as upstream,
        start(limited_key("tpm = 300") + provider("p", upstream.base_url, "")) as world,
    ):
        for _ in range(5):
            assert (await world.ask(key=LIMITED_KEY, content="x" * 600)).status_code == 400
        assert (await world.ask(key=LIMITED_KEY, content="x" * 600)).status_code == 200


# --- accounts ---------------------------------------------------------------------------------------------------------


async def test_what_is_at_its_limit_is_passed_over_at_once(start):
    accounts = ["rpm = 1", "max_concurrency = 1", ""]
    async with (
        FakeUpstream(answer=good) as upstream,
        start(provider("p", upstream.base_url, *accounts)) as world,
    ):
        await world.ask()
        assert used(upstream) == ["1"]
        go = asyncio.Event()
        hanging = Stream([sse([chunk(content="half")]), WaitFor(go), END])
        upstream.queue([hanging])
        streaming = asyncio.create_task(world.ask(stream=True))
        await upstream.received(2)
        answer = await world.ask()
        assert answer.headers["x-omniroute-attempts"] == "1"
        assert used(upstream) == ["1", "2", "3"]
        go.set()
        assert (await streaming).status_code == 200
        await world.ask()
        assert used(upstream)[-1] == "2"
    assert [attempts for _, attempts in world.rows()][2] == [("a1", "rate_limited"), ("a2", "busy"), ("a3", None)]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_with_nowhere_else_to_go_requests_wait_in_line_and_go_one_after_the_other(start, stream):
    async with (
        FakeUpstream(answer=good) as upstream,
        start(provider("p", upstream.base_url, "max_concurrency = 1")) as world,
    ):
        upstream.queue([Hang()])
        first = asyncio.create_task(world.ask())
        await upstream.received(1)
        others = [asyncio.create_task(world.ask(stream=stream)) for _ in range(10)]
        done, _ = await asyncio.wait(others, timeout=0.3)
        assert not done
        assert len(upstream.requests) == 1
        first.cancel()
        assert {answer.status_code for answer in await asyncio.gather(*others)} == {200}
        assert len(upstream.requests) == 11


async def test_a_wait_in_line_ends_in_a_429_that_names_what_was_waited_for(start):
    settings = "[limits]\nqueue_timeout_s = 0.2\n"
    async with (
        FakeUpstream(Hang()) as upstream,
        start(settings + provider("p", upstream.base_url, "max_concurrency = 1")) as world,
    ):
        hanging = asyncio.create_task(world.ask())
        await upstream.received(1)
        answer = await world.ask()
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert "p/m (a1): busy (max_concurrency of account:p/a1)" in answer.json()["error"]["message"]
        assert len(upstream.requests) == 1
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)


async def test_what_will_not_be_free_in_time_is_refused_at_once_with_when(start):
    async with (
        FakeUpstream(answer=good) as upstream,
        start(provider("p", upstream.base_url, "rpm = 1", "rpm = 1")) as world,
    ):
        await world.ask()
        await world.ask()
        answer = await asyncio.wait_for(world.ask(), 5)
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 61
        assert used(upstream) == ["1", "2"]


async def test_who_leaves_the_line_is_not_sent(start):
    async with (
        FakeUpstream(Hang(), answer=good) as upstream,
        start(provider("p", upstream.base_url, "max_concurrency = 1")) as world,
    ):
        first = asyncio.create_task(world.ask())
        await upstream.received(1)
        leaving = asyncio.create_task(world.ask())
        await asyncio.wait([leaving], timeout=0.2)
        leaving.cancel()
        staying = asyncio.create_task(world.ask(content="staying"))
        await asyncio.wait([staying], timeout=0.2)
        first.cancel()
        assert (await staying).status_code == 200
        assert len(upstream.requests) == 2
        assert "staying" in upstream.requests[1].body.decode()


async def test_what_became_ill_while_somebody_waited_is_not_asked_again(start):
    """The account's one place becomes free because its quota is used up."""
    spent = Reply.json(
        {"error": {"message": "spent", "type": "x", "param": None, "code": "insufficient_quota"}},
        429,
        {"retry-after": "600"},
    )
    async with (
        FakeUpstream(answer=good) as upstream,
        start(provider("p", upstream.base_url, "max_concurrency = 1")) as world,
    ):
        go = asyncio.Event()
        upstream.queue([WaitFor(go), spent])
        first = asyncio.create_task(world.ask())
        await upstream.received(1)
        waiting = [asyncio.create_task(world.ask()) for _ in range(5)]
        await asyncio.wait(waiting, timeout=0.3)
        go.set()
        answers = await asyncio.gather(first, *waiting)
        assert {answer.status_code for answer in answers} == {429}
        assert len(upstream.requests) == 1


async def test_requests_to_an_account_are_spaced(start):
    times = []

    def timed(request):
        times.append(asyncio.get_running_loop().time())
        return good(request)

    async with (
        FakeUpstream(answer=timed) as upstream,
        start(provider("p", upstream.base_url, "min_interval_s = 0.2")) as world,
    ):
        answers = await asyncio.gather(*(world.ask() for _ in range(4)))
        assert {answer.status_code for answer in answers} == {200}
        assert min(later - earlier for earlier, later in itertools.pairwise(times)) > 0.15


# --- providers and the gateway ----------------------------------------------------------------------------------------


async def test_a_provider_s_limit_is_over_all_its_accounts(start):
    table = "[providers.p.limits]\nrpm = 2\n"
    async with (
        FakeUpstream(answer=good) as upstream,
        start(provider("p", upstream.base_url, "", "", table=table)) as world,
    ):
        assert [(await world.ask()).status_code for _ in range(3)] == [200, 200, 429]


async def test_at_the_gateway_s_limit_requests_wait_and_then_get_a_429(start):
    settings = "[limits]\nmax_concurrency = 1\nqueue_timeout_s = 0.3\n"
    async with FakeUpstream(answer=good) as upstream, start(settings + provider("p", upstream.base_url, "")) as world:
        go = asyncio.Event()
        upstream.queue([WaitFor(go), Reply.json(CHAT)])
        first = asyncio.create_task(world.ask())
        await upstream.received(1)
        late = await world.ask()
        assert (late.status_code, late.headers["retry-after"]) == (429, "1")
        assert "the gateway is at its limit" in late.json()["error"]["message"]
        waiting = asyncio.create_task(world.ask())
        await asyncio.wait([waiting], timeout=0.1)
        go.set()
        assert [(await task).status_code for task in (first, waiting)] == [200, 200]


# --- herds ------------------------------------------------------------------------------------------------------------


async def test_fifty_requests_at_once_cost_a_cooling_account_one_probe(start):
    """Whoever probes it waits; all others go to the next account meanwhile."""
    throttled = Reply.json(
        {"error": {"message": "no", "type": "x", "param": None, "code": None}}, 429, {"retry-after-ms": "300"}
    )
    async with (
        FakeUpstream(throttled, answer=good) as upstream,
        start(provider("p", upstream.base_url, "", "")) as world,
    ):
        await world.ask()
        assert used(upstream) == ["1", "2"]
        asked = 0
        go = asyncio.Event()

        def slow_first_account(request):
            return [WaitFor(go), throttled] if request.header("authorization").endswith("1") else good(request)

        upstream.queue(*[slow_first_account] * 1000)
        tasks = []
        while used(upstream).count("1") == 1 and asked < 900:
            tasks += [asyncio.create_task(world.ask()) for _ in range(50)]
            asked += 50
            await asyncio.wait(tasks, timeout=0.5)
        more = await asyncio.gather(*(world.ask() for _ in range(50)))
        assert {answer.status_code for answer in more} == {200}
        assert used(upstream).count("1") == 2
        go.set()
        assert {answer.status_code for answer in await asyncio.gather(*tasks)} == {200}


async def test_p29_a_dead_upstream_is_asked_once_in_five_seconds_whoever_calls(start):
    async with FakeUpstream(answer=Reset()) as upstream, start(provider("p", upstream.base_url, "")) as world:
        while len(upstream.requests) < 5:
            assert (await world.ask()).status_code == 502
        calls = len(upstream.requests)
        answers = await asyncio.gather(*(world.ask() for _ in range(50)))
        assert {answer.status_code for answer in answers} <= {502, 503}
        assert len(upstream.requests) - calls <= 1


@pytest.mark.parametrize(("table", "failures"), [("", 5), ("[providers.p.breaker]\nfailures = 2\n", 2)])
async def test_how_many_failures_open_a_circuit_is_the_provider_s_to_say(start, table, failures):
    failed = Reply.json({"error": {"message": "no", "type": "x", "param": None, "code": None}}, 500)
    settings = provider("p", "{}", "", table=table) + "[routing]\nmax_attempts = 1\n"
    async with FakeUpstream(answer=failed) as upstream, start(settings.format(upstream.base_url)) as world:
        for _ in range(10):
            await world.ask()
        assert failures <= len(upstream.requests) <= failures + 1  # one may be a probe, on a slow machine


# --- without a settings file ------------------------------------------------------------------------------------------


async def command(world, *words):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "omniroute", *words, "--data-dir", str(world.gateway.directory / "data"),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, said = await process.communicate(b"test-key-9\n")
    assert process.returncode == 0, said.decode()
    return out.decode()


async def test_keys_and_accounts_take_their_limits_on_the_command_line_too(start):
    table = 'auth = "api-key"\n'
    async with FakeUpstream(answer=good) as upstream, start(provider("p", upstream.base_url, table=table)) as world:
        key = (await command(world, "key", "create", "ci", "--rpm", "2", "--tpm", "90000")).strip()
        await command(world, "account", "add", "p", "--api-key-stdin", "--rpm", "1", "--min-interval", "0.5")
        assert "2 rpm, 90000 tpm" in await command(world, "key", "list")
        assert "1 rpm, 0.5 s apart" in await command(world, "account", "list")
        answers = [await world.ask(key=key) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 429, 429]
        why = [answer.json()["error"]["message"] for answer in answers[1:]]
        assert ["rpm of account:p/default" in why[0], "the client key 'ci' is over its limit" in why[1]] == [True, True]
        assert len(upstream.requests) == 1


@pytest.mark.parametrize("limits", [{"rpm": 0}, {"rps": 5}, {"tpm": "many"}, {"min_interval_s": -1}], ids=str)
async def test_limits_that_are_none_are_refused(start, limits):
    async with start("") as world:
        key = (world.gateway.directory / "data" / "management.key").read_text().strip()
        answer = await world.http.post(
            f"{world.gateway.base_url}/api/keys",
            json={"name": "x", "limits": limits},
            headers={"authorization": f"Bearer {key}"},
        )
        assert answer.status_code == 400
