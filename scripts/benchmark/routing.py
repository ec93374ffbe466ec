"""What choosing costs: routing, affinity, screening, breaker and limits of one request, in this process and without a socket.

Three requests, each with 10 and with 200 candidates: one that begins a conversation, so that the strategies are asked; a later
one of a conversation that has a place; and one for which everybody but the last is cooling down.
"""

import time
from collections.abc import Iterator
from typing import Any

from benchmark.results import Row, figure
from omniroute.affinity import Affinity
from omniroute.api import Account, FactsProvider, Headers, ModelFacts, Principal, ProviderFacts, RateLimited
from omniroute.contracts import Price
from omniroute.exchange import Exchange
from omniroute.gates import Gates, gated
from omniroute.health import Health
from omniroute.planning import Planner
from omniroute.registry.tables import Combo
from omniroute.routing import Candidate, Router
from omniroute.screening import Screening, incapable, needs_of, resting
from omniroute.settings import Settings
from omniroute_strategy_weighted import Options, Weighted
from omniroute_translator_openai_chat import OpenAIChat

REQUESTS = 2000
MODELS = 10
BODY = (
    b'{"model":"c","max_tokens":100,"messages":[{"role":"system","content":"'
    + b"be brief; " * 40
    + b'"},{"role":"user","content":"'
    + b"hello there " * 40
    + b'"}%b]}'
)
ANSWERED = b',{"role":"assistant","content":"hi"},{"role":"user","content":"and now?"}'


def rows(rounds: int) -> Iterator[Row]:
    for count in (10, 200):
        for kind, label in KINDS.items():
            taken = [figured(World(count), kind) for _ in range(rounds)]
            yield Row(name=f"routing-{kind}-{count}", label=f"choosing among {count} candidates, {label}",
                      unit="µs CPU per request", gateway=figure(taken))  # fmt: skip


KINDS = {"new": "a new conversation", "known": "a known conversation", "cooling": "all but the last cooling down"}


def figured(world: "World", kind: str) -> float:
    if kind == "cooling":
        world.cool()
    body = BODY % (ANSWERED if kind == "known" else b"")
    for _ in range(100):
        world.choose(world.exchange(body))
    exchanges = [world.exchange(body) for _ in range(REQUESTS)]
    began_s = time.process_time()
    for exchange in exchanges:
        world.choose(exchange)
    return (time.process_time() - began_s) / REQUESTS * 1e6


class World:
    """A combo of ten models, each on a tenth of the accounts."""

    def __init__(self, count: int) -> None:
        self.health = Health(cap_s=3600)
        self.gates = Gates()
        self.screening = Screening([incapable, resting(self.health), gated(self.gates)])
        self.translator = OpenAIChat()
        models = tuple(
            ModelFacts(id=f"m{number}", context_tokens=200_000, capabilities=("tools", "vision"),
                       price=Price(input_usd=number + 1, output_usd=5, cached_usd=0.1))
            for number in range(MODELS)
        )  # fmt: skip
        facts = ProviderFacts(name="p", dialect="openai-chat", base_url="http://127.0.0.1:9/v1", models=models)
        self.accounts = tuple(
            Account(provider="p", name=f"a{number}", base_url=facts.base_url) for number in range(count // MODELS)
        )
        names = tuple(f"p/{model.id}" for model in models)
        strategy: Any = Weighted(Options())
        combo = Combo(name="c", models=names, strategy=strategy, label="c")
        transports: Any = {"none": _Nothing()}
        registry: Any = _Tables(FactsProvider(facts), combo, self.translator)
        self.router = Router(registry, self, aliases={}, transports=transports, default_transport="none")
        self.planner = Planner(Settings(), self.router, affinity=Affinity(self.health))

    def of(self, provider: str) -> tuple[Account, ...]:
        return self.accounts

    def why_none(self, provider: str) -> str:
        return "never asked"

    def exchange(self, body: bytes) -> Exchange:
        """Read, so that what is measured begins with the choice."""
        exchange = Exchange(translator=self.translator, operation="chat", params={}, headers=Headers({}),
                            request_id="r", client=_nobody)  # fmt: skip
        exchange.body = body
        exchange.principal = Principal(key_id="k", name="k")
        self.planner.read(exchange)
        return exchange

    def cool(self) -> None:
        for candidate in list(self.router.resolve("c").overview.by_target.values())[:-1]:
            with self.health.visit(candidate) as visit:
                self.health.failed(visit, RateLimited("slow down", retry_after_s=600))

    def choose(self, exchange: Exchange) -> Candidate:
        """What a request goes through before it is sent, and after it was answered."""
        needs = needs_of(exchange)
        for candidate in self.planner.candidates(exchange, self.health.clock()):
            if self.screening.skip(candidate, needs) is not None:
                continue
            permit = self.gates.enter(candidate, needs)
            assert exchange.route is not None
            running = self.router.begin(exchange.route, candidate, 1.0)
            with self.health.visit(candidate) as visit:
                self.health.succeeded(visit)
            running.answered(0.1)
            exchange.served_by = candidate
            self.planner.served(exchange, b"")
            running.end(ok=True)
            assert permit is None
            return candidate
        raise SystemExit("nobody is left")


class _Tables:
    """As much of a registry as routing looks at."""

    def __init__(self, provider: FactsProvider, combo: Combo, translator: OpenAIChat) -> None:
        self.providers = {"p": provider}
        self.prefixes = {"p": "p"}
        self.combos = {"c": combo}
        self.translators = {"openai-chat": translator}
        self.account_strategies: dict[str, Any] = {}
        self.prices: dict[Any, Any] = {}
        self.origin_of: dict[Any, str] = {}


class _Nothing:
    """A transport that is never used."""

    name = "none"

    async def start(self) -> None: ...
    async def send(self, request: Any, *, connect_timeout_s: float | None) -> Any: ...
    async def close(self) -> None: ...


async def _nobody(message: Any) -> None: ...


if __name__ == "__main__":
    for row in rows(5):
        print(f"{row.label:60} {row.gateway.median:8.1f} {row.unit}")
