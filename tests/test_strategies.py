"""Every installed strategy against random states, and what a gateway tells them of its requests."""

import asyncio
import itertools
import json
import random
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omniroute.api import RouteContext, Standing, Target, hookimpl
from omniroute.app import build_app
from omniroute.fast import MemoryFast
from omniroute.gateway import Gateway
from omniroute.management.service import Management
from omniroute.plugins import load_plugins
from omniroute.settings import PluginSettings, load
from omniroute.sharing import Shared
from omniroute.standing import Standings
from omniroute.testing import Close, FakeUpstream, Hang, Reply, Stream, sse

STRATEGIES = {kind.name: kind for _, kind in load_plugins(PluginSettings(only=None)).collect("register_strategies")}
SPREADING = {"least-used", "p2c", "random", "round-robin", "weighted"}
POOL = [Target(provider=p, model=m, account=a) for p, m, a in itertools.product("pq", "mn", ("", "a", "b"))]


# --- orders -----------------------------------------------------------------------------------------------------------

maybe = st.none() | st.floats(0, 2000)
share = st.floats(0, 1)
standing = st.builds(
    Standing,
    requests=st.integers(0, 1000),
    in_flight=st.integers(0, 50),
    last_used_s=maybe,
    latency_s=maybe,
    error_rate=share,
    input_usd=maybe,
    output_usd=maybe,
    context_tokens=st.none() | st.integers(1, 2_000_000),
    quota_left=st.none() | share,
    quota_resets_s=maybe,
)
moments = st.tuples(
    st.lists(st.sampled_from(POOL), min_size=1, unique=True),
    st.dictionaries(st.sampled_from(POOL), standing),
    st.floats(0, 2000),
    st.none() | st.integers(0, 3_000_000),
)


def test_those_of_the_project_are_installed():
    assert STRATEGIES.keys() >= {
        *("fill-first", "round-robin", "p2c", "random", "least-used", "cost-optimized", "weighted"),
        *("lowest-latency", "headroom", "context-fit"),
    }


@pytest.mark.parametrize("kind", STRATEGIES.values(), ids=STRATEGIES)
@settings(max_examples=60, deadline=None)
@given(history=st.lists(moments, min_size=1, max_size=5), seed=st.integers())
def test_each_order_has_every_target_once(kind, history, seed):
    strategy = kind(kind.options_type())
    draw = random.Random(seed).random
    for targets, known, now_s, estimate in history:
        context = RouteContext(
            combo="any",
            session=None,
            now_s=now_s,
            draw=draw,
            standing={target: known.get(target, Standing()) for target in POOL},
            input_tokens_estimate=estimate,
        )
        order = strategy.order(tuple(targets), context)
        assert sorted(order, key=str) == sorted(targets, key=str)


@pytest.mark.parametrize("name", sorted(SPREADING & STRATEGIES.keys()))
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(), failing=st.sampled_from([None, *POOL[:4]]))
def test_one_that_spreads_starves_no_target_that_works(name, seed, failing):
    """400 requests, ten of them at a time, in a world where one target may fail always."""
    strategy = STRATEGIES[name](STRATEGIES[name].options_type())
    standings, dice = Standings(lambda target: None), random.Random(seed)
    targets, served, open_ones = tuple(POOL[:4]), dict.fromkeys(POOL[:4], 0), []
    for turn in range(400):
        context = RouteContext(combo="any", session=None, now_s=float(turn), draw=dice.random, standing=standings.view)
        first = strategy.order(targets, context)[0]
        served[first] += 1
        open_ones.append((standings.begin([first], float(turn)), first))
        if len(open_ones) == 10:
            running, target = open_ones.pop(dice.randrange(10))
            running.end(ok=target != failing)
    assert min(count for target, count in served.items() if target != failing) >= 30


# --- what a gateway tells ---------------------------------------------------------------------------------------------

ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "up",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
}
WORD = {**ANSWER, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "hi"}}]}
END = {**WORD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
KEY = "test-client-key-0001"
SETTINGS = """
[[auth.keys]]
name = "tests"
key = "{key}"

[providers.lab]
dialect = "openai-chat"
base_url = "{url}"

[[accounts]]
provider = "lab"
name = "home"
api_key = "test-key-home"

[[accounts]]
provider = "lab"
name = "work"
api_key = "test-key-work"

[routing]
{routing}

[combos.cheap]
strategy = "cost-optimized"
models = ["lab/unknown", "lab/dear", "lab/fair"]

[combos.fair]
strategy = "least-used"
models = ["lab/one", "lab/two", "lab/three"]

[combos.mostly]
strategy = "weighted"
models = ["lab/one", "lab/two"]
weights = {{"lab/one" = 0, "lab/two" = 7}}

[prices]
"lab/dear" = {{ input_usd = 15, output_usd = 75 }}
"lab/fair" = {{ input_usd = 3 }}
"""


class Client:
    """Asks an application in this process, so that a test can look into its gateway."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.standing = gateway.router.standing.view
        self.begun = asyncio.Event()
        """Part of an answer is here."""
        self._app = build_app(gateway)

    async def ask(self, model, *, path="/v1/chat/completions", stream=False, leave=None):
        """The body of the answer; the client leaves when `leave` is set."""
        body = json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}]})
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json", "host": "127.0.0.1"}
        incoming = iter([{"type": "http.request", "body": body.encode(), "more_body": False}])
        sent = []

        async def receive():
            for message in incoming:
                return message
            await (leave or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)
            if message.get("body"):
                self.begun.set()

        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 9),
            "server": ("127.0.0.1", 20128),
            "extensions": {},
            "state": {},
        }
        await self._app(scope, receive, send)
        return b"".join(message.get("body", b"") for message in sent)


@asynccontextmanager
async def opened(tmp_path, upstream, routing="", **plugins):
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "omniroute.toml").write_text(SETTINGS.format(key=KEY, url=upstream.base_url, routing=routing))
    loaded = load(data_dir=tmp_path / "data", environ={}, cwd=tmp_path, config_dir=tmp_path)
    gateway = await Gateway.open(loaded, given=plugins)
    try:
        yield Client(gateway)
    finally:
        await gateway.close()


def models(upstream):
    return [request.json()["model"] for request in upstream.requests]


def keys(upstream):
    return [request.header("authorization").removeprefix("Bearer test-key-") for request in upstream.requests]


HOME, WORK = (Target(provider="lab", model="one", account=name) for name in ("home", "work"))


async def test_prices_of_the_settings_order_a_combo_and_the_unknown_comes_last(tmp_path):
    async with FakeUpstream(answer=lambda _: Reply.json({}, 503)) as upstream, opened(tmp_path, upstream) as client:
        await client.ask("cheap")
        assert models(upstream)[0] == "fair"
        upstream.requests.clear()
    assert client.standing[Target(provider="lab", model="dear")].input_usd == 15


async def test_requests_are_counted_so_that_the_least_used_is_next(tmp_path):
    async with FakeUpstream(answer=lambda _: Reply.json(ANSWER)) as upstream, opened(tmp_path, upstream) as client:
        for _ in range(7):
            await client.ask("fair")
        assert models(upstream) == ["one", "two", "three", "one", "two", "three", "one"]


async def test_counting_tokens_takes_no_turn(tmp_path):
    turns = 'account_strategy = "round-robin"\naccount_options = { sticky = 1 }'
    async with (
        FakeUpstream(answer=lambda _: Reply.json(ANSWER)) as upstream,
        opened(tmp_path, upstream, turns) as client,
    ):
        for _ in range(4):
            await client.ask("lab/one")
            assert b"input_tokens" in await client.ask("lab/one", path="/v1/messages/count_tokens")
        assert keys(upstream) == ["home", "work", "home", "work"]


async def test_weights_go_by_the_names_of_the_list(tmp_path):
    async with FakeUpstream(answer=lambda _: Reply.json(ANSWER)) as upstream, opened(tmp_path, upstream) as client:
        for _ in range(5):
            await client.ask("mostly")
        assert set(models(upstream)) == {"two"}


@pytest.mark.parametrize(
    ("routing", "expected"),
    [
        pytest.param("", ["home"] * 5, id="by priority"),
        pytest.param('account_strategy = "round-robin"', ["home", "home", "home", "work", "work"], id="three in a row"),
        pytest.param(
            'account_strategy = "round-robin"\naccount_options = { sticky = 1 }',
            ["home", "work", "home", "work", "home"],
            id="in turns",
        ),
        pytest.param(
            'account_strategy = "weighted"\naccount_options = { weights = { "lab/home" = 0 } }',
            ["work"] * 5,
            id="weighed",
        ),
    ],
)
async def test_accounts_are_chosen_as_the_settings_say(tmp_path, routing, expected):
    async with (
        FakeUpstream(answer=lambda _: Reply.json(ANSWER)) as upstream,
        opened(tmp_path, upstream, routing) as client,
    ):
        for _ in expected:
            await client.ask("lab/one")
        assert keys(upstream) == expected


async def test_a_whole_answer_is_a_success_with_its_latency(tmp_path):
    async with FakeUpstream(answer=lambda _: Reply.json(ANSWER)) as upstream, opened(tmp_path, upstream) as client:
        await client.ask("lab/one")
        seen = client.standing[HOME]
        assert (seen.requests, seen.failures, seen.in_flight, seen.error_rate) == (1, 0, 0, 0.0)
        assert seen.latency_s > 0


async def test_a_stream_is_in_flight_until_its_end(tmp_path):
    script = Stream([sse([WORD]), Hang(), sse([END, "[DONE]"])])
    async with FakeUpstream(script) as upstream, opened(tmp_path, upstream) as client:
        answer = asyncio.create_task(client.ask("lab/one", stream=True))
        await upstream.received(1)
        assert client.standing[HOME].in_flight == 1
        upstream.release()
        assert b"[DONE]" in await answer
        seen = client.standing[HOME]
        assert (seen.requests, seen.failures, seen.in_flight) == (1, 0, 0)


async def test_a_stream_that_breaks_is_a_failure(tmp_path):
    script = Stream([sse([WORD]), Close()])
    async with FakeUpstream(script) as upstream, opened(tmp_path, upstream) as client:
        await client.ask("lab/one", stream=True)
        seen = client.standing[HOME]
        assert (seen.requests, seen.failures, seen.in_flight) == (1, 1, 0)
        assert seen.latency_s > 0


@pytest.mark.parametrize("in_mid_stream", [False, True], ids=["before an answer", "in mid-stream"])
async def test_a_client_that_leaves_is_not_the_upstreams_fault(tmp_path, in_mid_stream):
    script = Stream([sse([WORD]), Hang()]) if in_mid_stream else Hang()
    async with FakeUpstream(script) as upstream, opened(tmp_path, upstream) as client:
        leave = asyncio.Event()
        answer = asyncio.create_task(client.ask("lab/one", stream=True, leave=leave))
        await upstream.received(1)
        if in_mid_stream:
            await client.begun.wait()
        assert client.standing[HOME].in_flight == 1
        leave.set()
        await answer
        seen = client.standing[HOME]
        assert (seen.requests, seen.failures, seen.in_flight, seen.error_rate) == (1, 0, 0, 0.0)


@pytest.mark.parametrize(
    ("status", "failures"),
    [pytest.param(500, 1, id="the upstream's fault"), pytest.param(400, 0, id="the request's fault")],
)
async def test_a_refusal_counts_when_it_is_the_upstreams_fault(tmp_path, status, failures):
    refusal = Reply.json({"error": {"message": "no", "type": "t"}}, status)
    async with FakeUpstream(answer=lambda _: refusal) as upstream, opened(tmp_path, upstream) as client:
        await client.ask("lab/one")
        seen = client.standing[HOME]
        assert (seen.requests >= 1, min(seen.failures, 1), seen.in_flight) == (True, failures, 0)


# --- several gateways ---------------------------------------------------------------------------------------------------


class Common(MemoryFast):
    """A plugin and the `Fast` it opens: what a server in the network would be."""

    is_shared = True
    works = True

    @hookimpl
    def open_fast(self):
        return self

    async def add(self, key, amount, *, ttl_s):
        if not self.works:
            raise ConnectionError("the server is gone")
        return await super().add(key, amount, ttl_s=ttl_s)

    async def close(self):
        """It outlives each gateway."""


@asynccontextmanager
async def two_gateways(tmp_path, upstream, routing, common):
    async with (
        opened(tmp_path / "here", upstream, routing, common=common) as here,
        opened(tmp_path / "there", upstream, routing, common=common) as there,
    ):
        yield here, there


async def exchanged(*clients):
    """What each has counted is known to all: two beats of a second."""
    for client in (*clients, *clients):
        await client.gateway.sharing.sync()


BY_LOAD = 'account_strategy = "p2c"'
BY_USE = 'account_strategy = "least-used"'


async def test_the_least_used_is_that_of_all_gateways_which_share_a_fast(tmp_path):
    common = Common()
    async with (
        FakeUpstream(answer=lambda _: Reply.json(ANSWER)) as upstream,
        two_gateways(tmp_path, upstream, BY_USE, common) as (here, there),
    ):
        for _ in range(3):
            await here.ask("fair")  # one, two, three
        await here.ask("fair")  # one
        assert models(upstream) == ["one", "two", "three", "one"]
        there.standing[Target(provider="lab", model="one")]
        await exchanged(here, there)
        for _ in range(2):
            await there.ask("fair")
        assert models(upstream)[4:] == ["two", "three"]


async def test_what_another_gateway_has_under_way_weighs_here_until_it_stops(tmp_path):
    common = Common()
    async with (
        FakeUpstream(Stream([sse([WORD]), Hang()]), answer=lambda _: Reply.json(ANSWER)) as upstream,
        opened(tmp_path / "here", upstream, BY_LOAD, common=common) as here,
    ):
        here.standing[HOME], here.standing[WORK]
        async with opened(tmp_path / "there", upstream, BY_LOAD, common=common) as there:
            leave = asyncio.Event()
            running = asyncio.create_task(there.ask("lab/one", stream=True, leave=leave))
            await upstream.received(1)
            busy, idle = (HOME, WORK) if keys(upstream) == ["home"] else (WORK, HOME)
            await exchanged(there, here)
            assert (here.standing[busy].in_flight, here.standing[idle].in_flight) == (1, 0)
            for _ in range(5):
                await here.ask("lab/one")
            assert set(keys(upstream)[1:]) == {idle.account}
            leave.set()
            await running
        await exchanged(here)
        assert (here.standing[busy].in_flight, here.standing[idle].in_flight) == (0, 0)


async def test_a_fast_that_fails_fails_no_request_and_is_shown(tmp_path):
    common = Common()
    async with (
        FakeUpstream(answer=lambda _: Reply.json(ANSWER)) as upstream,
        two_gateways(tmp_path, upstream, BY_USE, common) as (here, there),
    ):
        await exchanged(here, there)
        common.works = False
        for _ in range(4):
            assert b'"hi"' in await here.ask("lab/one")
            await exchanged(here)
        assert keys(upstream) == ["home", "work", "home", "work"]
        status = await Management(here.gateway).status()
        assert (status.ready, status.sharing.on) == (True, True)
        assert status.sharing.failures >= 8  # the gateway's own beat may have tried, too
        common.works = True
        await exchanged(here, there)
        assert (await Management(here.gateway).status()).sharing == Shared(on=True, failures=0)


async def test_a_gateway_without_such_a_plugin_shares_nothing(tmp_path):
    async with FakeUpstream() as upstream, opened(tmp_path, upstream) as client:
        assert (await Management(client.gateway).status()).sharing == Shared(on=False)
