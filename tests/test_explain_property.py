"""What is explained is what is done: for random states the candidate that is named first is the one that is then served."""

import asyncio
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from omniroute.affinity import Affinity
from omniroute.answers import Answers
from omniroute.api import (
    CredentialRejected,
    GatewayError,
    Overloaded,
    Principal,
    QuotaExhausted,
    RateLimited,
    UpstreamFailed,
    UpstreamUnreachable,
)
from omniroute.attempts import Attempts
from omniroute.drilling.stage import own_strategies
from omniroute.explaining import Question
from omniroute.explaining.explainer import Explainer
from omniroute.explaining.question import asked
from omniroute.gateway import Gateway
from omniroute.health import Health
from omniroute.passport import Passports
from omniroute.planning import Planner
from omniroute.screening import Screening, incapable, resting
from omniroute.settings import load
from omniroute.testing import FakeClock

STRATEGIES = (
    *("fill-first", "round-robin", "p2c", "random", "least-used", "cost-optimized", "weighted"),
    *("lowest-latency", "headroom", "context-fit"),
)
MODELS = ("left/echo", "left/coder", "right/echo", "lone/coder")
FAILURES = (
    RateLimited,
    QuotaExhausted,
    Overloaded,
    CredentialRejected,
    UpstreamFailed,
    UpstreamUnreachable,
    None,  # it answers
)
PLUGINS = (
    *("auth-apikey", "provider-demo", "translator-openai-chat"),
    *(f"strategy-{name}" for name in ("fillfirst", "roundrobin", "p2c", "random", "leastused", "cost", "weighted")),
    *(f"strategy-{name}" for name in ("latency", "headroom", "contextfit")),
)
ME = Principal(key_id="me", name="me")


def provider(name, accounts):
    table = f'[providers.{name}]\ndialect = "openai-chat"\nbase_url = "http://{name}.invalid/v1"\ntransport = "demo"\n'
    return table + "".join(
        f'[[accounts]]\nprovider = "{name}"\nname = "{account}"\napi_key = "test-key-{account}"\n'
        for account in accounts
    )


def toml(account_strategy):
    combos = "".join(
        f'[combos.by-{strategy}]\nstrategy = "{strategy}"\nmodels = {json.dumps(list(MODELS))}\n'
        for strategy in STRATEGIES
    )
    nested = '[combos.nested]\nstrategy = "round-robin"\nmodels = ["by-random", "lone/echo", "by-round-robin"]\n'
    pools = f'[routing]\naccount_strategy = "{account_strategy}"\n'
    if account_strategy == "p2c":
        pools += 'last_resort = "spare/coder"\n'
    return (
        pools
        + combos
        + nested
        + provider("left", "abc")
        + provider("right", "ab")
        + provider("lone", "a")
        + provider("spare", "a")
    )


@pytest.fixture(scope="module", params=["round-robin", "p2c", "fill-first"])
def gateway(request, tmp_path_factory):
    """Real settings, plugins and accounts. Its providers answer through the demo's transport."""
    directory = tmp_path_factory.mktemp(request.param)
    (directory / "omniroute.toml").write_text(toml(request.param))
    only = {"OMNIROUTE_PLUGINS": ",".join(PLUGINS)}
    loaded = load(config=directory / "omniroute.toml", data_dir=directory / "data", environ=only, cwd=directory)
    runner = asyncio.Runner()
    opened = runner.run(Gateway.open(loaded, serving=False))
    opened.run = runner.run
    yield opened
    runner.run(opened.close())
    runner.close()


class World:
    """The way of a request, from its body to who is asked, in a state of its own."""

    def __init__(self, gateway, chances):
        self.clock, self.chances = FakeClock(), chances
        registry = own_strategies(gateway.registry)
        settings = self.settings = gateway.settings
        self.translators = registry.translators
        self.router = gateway.new_router(registry)
        self.health = Health(cap_s=3600, clock=self.clock.monotonic, draw=lambda: 0.5)
        screening = Screening([incapable, resting(self.health)])
        passports = Passports(self.translators.values())
        affinity = Affinity(self.health)
        self.planner = Planner(settings, self.router, affinity=affinity, draw=lambda: next(self.dice))
        self.explainer = Explainer(
            settings,
            translators=self.translators,
            router=self.router,
            planner=self.planner,
            screening=screening,
            health=self.health,
            passports=passports,
        )
        self.attempts = Attempts(
            settings,
            self.router,
            Answers(registry.framings, passports),
            passports,
            self.translators,
            "tests",
            health=self.health,
            screening=screening,
        )
        every = self.router.resolve("by-fill-first")
        self.candidates = list(self.router.candidates(every, None))
        self.route = every

    @property
    def now_s(self):
        return self.clock.monotonic()

    def happen(self, index, failure, latency_s, later_s):
        """An attempt at a candidate, with what it does to its health and standing."""
        candidate = self.candidates[index % len(self.candidates)]
        running = self.router.begin(self.route, candidate, self.now_s)
        with self.health.visit(candidate) as visit:
            if failure is None:
                running.answered(latency_s)
                self.health.succeeded(visit)
            else:
                self.health.failed(visit, failure("no"))
        if latency_s < 2:  # others are not at their end
            running.end(ok=failure is None)
        self.clock.advance(later_s)

    def explained(self, question):
        self.dice = itertools.cycle(self.chances)
        return self.explainer.explain(question, ME, self.now_s, draw=lambda: next(self.dice))

    async def served(self, question):
        """The target that is asked first, or the code of the error."""
        self.dice = itertools.cycle(self.chances)
        exchange = asked(question, self.translators, ME, max_depth=64)
        self.planner.read(exchange)
        try:
            await self.attempts.first(exchange, self.planner.candidates(exchange, self.now_s))
        except GatewayError as error:
            return error.code
        self.planner.served(exchange, b"")
        sent = next(attempt for attempt in exchange.attempts if attempt.sent)
        return sent.provider, sent.model, sent.account


def told(explanation):
    first = next((choice for choice in explanation.choices if choice.turn == 1), None)
    return (first.provider, first.model, first.account) if first else explanation.refusal.code


def turn(model, topic):
    """Of a conversation that goes on: there is somebody to stay with once one was served."""
    said = [("user", f"Tell me of {topic}."), ("assistant", "So be it."), ("user", "And?")]
    messages = [{"role": role, "content": text} for role, text in said]
    return Question(body=json.dumps({"model": model, "messages": messages}).encode())


happenings = st.lists(
    st.tuples(
        st.integers(0, 8),
        st.sampled_from(FAILURES),
        st.floats(0, 4),
        st.sampled_from([0.0, 0.5, 2.0, 20.0, 200.0, 4000.0]),
    ),
    max_size=40,
)
models = st.sampled_from([*(f"by-{strategy}" for strategy in STRATEGIES), "nested", "left/echo", "lone/coder"])
topics = st.sampled_from(["ships", "shoes"])
chance = st.floats(0, 1, exclude_max=True)


@examples(max_examples=60, deadline=None)
@given(
    happened=happenings,
    wanted=st.lists(st.tuples(models, topics), min_size=1, max_size=5),
    chances=st.lists(chance, min_size=1),
)
def test_who_is_explained_to_be_first_is_then_served(gateway, happened, wanted, chances):
    async def play():
        world = World(gateway, chances)
        for each in happened:
            world.happen(*each)
        for model, topic in wanted:
            question = turn(model, topic)
            said = told(world.explained(question))
            assert told(world.explained(question)) == said, "asking has changed the answer"
            assert await world.served(question) == said

    gateway.run(play())


ALL = range(6)


@pytest.mark.parametrize(
    ("failure", "reason", "refusal"),
    [
        (QuotaExhausted, "quota_exhausted", "quota_exhausted"),
        (RateLimited, "cooling", "rate_limit_exceeded"),
        (Overloaded, "cooling", None),
        (CredentialRejected, "cooling", None),
    ],
)
def test_when_everything_is_out_it_is_explained_who_is_tried_all_the_same(gateway, failure, reason, refusal):
    async def play():
        world = World(gateway, [0.5])
        for index, _ in enumerate(world.candidates):
            world.happen(index, failure, 0.0, 0.0)
        question = Question(body=b'{"model":"by-fill-first","messages":[{"role":"user","content":"hi"}]}')
        found = world.explained(question)
        assert await world.served(question) == told(found)
        assert {choice.reason for choice in found.choices if not choice.is_last_resort} == {reason}
        if refusal is not None and gateway.settings.routing.last_resort is not None:
            assert told(found) == ("spare", "coder", "a")
            return
        assert (found.refusal.code if found.refusal else None) == refusal
        assert ("asked all the same" in found.decision) is (refusal is None)

    gateway.run(play())
