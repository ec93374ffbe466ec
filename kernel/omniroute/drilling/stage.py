"""A fire drill: a real request through a private copy of the way requests take, with stand-ins for the upstreams.

Whoever would be asked is played by a provider that fails on purpose (`ProviderFacts.drills`), everybody else by one that is
well, under the names of the real ones. So the order, the waiting and the falling back are the user's own, while no account is
used, no token spent, and nothing cools down afterwards. A drill starts from a clean slate: whatever is out at the moment is
back for it.
"""

import asyncio
import functools
import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from omniroute import __version__
from omniroute.answers import Answers
from omniroute.attempts import Attempts
from omniroute.contracts import (
    Account,
    Headers,
    ModelFacts,
    Principal,
    Provider,
    RequestRecord,
    Strategy,
    Target,
    TimeoutFacts,
)
from omniroute.drilling import Drill, DrillOrder
from omniroute.errors import InvalidRequest, NotFound
from omniroute.exchange import Exchange
from omniroute.ids import new_ulid
from omniroute.model import ChatRequest, Message, TextPart
from omniroute.passport import Passports
from omniroute.patience import patience_of
from omniroute.pipeline import Pipeline
from omniroute.planning import Planner, copied
from omniroute.routing import Candidate, Router
from omniroute.settings import Settings
from omniroute.settings.paths import did_you_mean
from omniroute.telemetry import Telemetry
from omniroute.tokens import TokenCounts
from omniroute.translating import chat_params

if TYPE_CHECKING:
    from omniroute.gateway import Gateway
    from omniroute.registry import Registry

__all__ = ["drill", "own_strategies"]

PATIENCE_S = 1.0
"""The clocks of a drill: nobody wants to watch a stall for two minutes."""
WELL = "well"
SHOWN_CHARS = 1000
SEED = 0


async def drill(gateway: "Gateway", order: DrillOrder, *, patience_s: float = PATIENCE_S) -> Drill:
    """Raises `ModelNotFound`, `InvalidRequest` for a target there is not, `NotFound` when nobody can play the fault."""
    actor = _actor(gateway, order.fault)
    stage = _Stage(gateway, actor, patience_s)
    failing = _failing(stage.candidates(order), order)
    await gateway.use(stage.transports())
    record, seen = await stage.play(order, failing.target)
    usual_s = patience_of(failing.timeouts, gateway.settings.timeouts).first_byte_s
    names = gateway.router.name_of
    served = Target(provider=record.provider, model=record.model or "") if record.provider else None
    return Drill(
        model=order.model,
        fault=order.fault,
        failing=f"{names(failing.target)} ({failing.target.account})",
        attempts=record.attempts,
        status=record.status,
        error=record.error,
        served_by=f"{names(served)} ({record.account})" if served and record.outcome == "ok" else None,
        content_s=record.first_content_s,
        duration_s=record.duration_s,
        ending=seen.decode("utf-8", "replace")[-SHOWN_CHARS:],
        patience_s=patience_s,
        usual_patience_s=usual_s,
        decision=_in_words(record, failing.target),
    )


class _Stage:
    """Everything a request meets, built once more around stand-ins."""

    def __init__(self, gateway: "Gateway", actor: "_Actor", patience_s: float) -> None:
        self._gateway = gateway
        self._actor = actor
        self._settings = _hurried(gateway.settings, patience_s)
        translators = gateway.registry.translators.values()
        self._client = next((each for each in translators if each.is_default_form), next(iter(translators)))

    def transports(self) -> list[str]:
        facts = self._actor.provider.facts
        return [facts.transport or self._settings.server.transport]

    def candidates(self, order: DrillOrder) -> list[Candidate]:
        """In the order in which they would be asked; the real ones."""
        router = self._gateway.new_router(own_strategies(self._gateway.registry))
        planner = Planner(self._settings, router, draw=random.Random(SEED).random)
        exchange, _ = self._exchange(order)
        exchange.principal = CALLER
        planner.read(exchange)
        return list(planner.candidates(exchange, asyncio.get_running_loop().time()))

    async def play(self, order: DrillOrder, failing: Target) -> tuple[RequestRecord, bytes]:
        """The request's record, and the bytes its client saw."""
        gateway, settings = self._gateway, self._settings
        registry = own_strategies(gateway.registry)
        play = functools.partial(self._actor.play, failing=failing, fault=order.fault)
        router = gateway.new_router(registry, functools.partial(_StandIns, play=play))
        passports = Passports(registry.translators.values())
        telemetry = Telemetry(())
        pipeline = Pipeline(
            settings=settings,
            authenticators=[_Caller()],
            router=router,
            planner=Planner(settings, router, draw=random.Random(SEED).random),
            attempts=Attempts(
                settings,
                router,
                Answers(registry.framings, passports),
                passports,
                registry.translators,
                agent=f"omniroute/{__version__}",
            ),
            telemetry=telemetry,
            framings=registry.framings,
            token_counts=TokenCounts(registry.token_counters.values()),
            redactor=gateway.redactor,
            is_draining=lambda: False,
        )
        exchange, client = self._exchange(order)
        await pipeline.run(exchange, {"type": "http", "headers": [], "client": None}, client.receive)
        (record,) = await telemetry.find(exchange.request_id)
        return record, client.seen

    def _exchange(self, order: DrillOrder) -> "tuple[Exchange, _Client]":
        words = TextPart(text="This is a drill. Say something in a few lines.")
        request = ChatRequest(model=order.model, messages=(Message(role="user", parts=(words,)),), stream=order.stream)
        body = self._client.encode_request(request).body
        client = _Client(body)
        exchange = Exchange(
            translator=self._client,
            operation="chat",
            params=chat_params(self._client, order.model),
            headers=Headers({b"content-type": b"application/json", b"user-agent": b"omniroute drill"}),
            request_id=new_ulid(clock=time.time),
            client=client.send,
        )
        exchange.body = body
        return exchange, client


# --- who plays whom ---------------------------------------------------------------------------------------------------


class _Actor(msgspec.Struct, frozen=True, kw_only=True):
    """The provider that can play every part."""

    provider: Provider
    gateway: Any

    def play(self, candidate: Candidate, *, failing: Target, fault: str) -> Candidate:
        """The candidate as everybody knows it, with somebody else behind it."""
        facts = self.provider.facts
        wanted = facts.drills[fault if candidate.target == failing else WELL]
        model = next((each for each in facts.models if each.id == wanted), None) or ModelFacts(id=wanted)
        registry = self.gateway.registry
        return replace(
            candidate,
            provider=self.provider,
            # an account of its own, so that one circuit breaker does not stand for all
            account=Account(
                provider=facts.name, name=candidate.account.name, base_url=facts.base_url, origin="builtin"
            ),
            model=replace(model, price=candidate.model.price, context_tokens=candidate.model.context_tokens),
            translator=registry.translators[model.dialect or facts.dialect],
            transport=registry.transports[facts.transport or self.gateway.settings.server.transport],
            adapts=self.provider.adapts(model),
            timeouts=TimeoutFacts(),
        )


class _StandIns(Router):
    """Routes as the real one does, to stand-ins."""

    def __init__(self, *arguments: Any, play: Callable[[Candidate], Candidate], **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._play = play

    def _candidate(self, *arguments: Any) -> Candidate | None:
        real = super()._candidate(*arguments)
        return None if real is None else self._play(real)


def _actor(gateway: "Gateway", fault: str) -> _Actor:
    faults: set[str] = set()
    for provider in gateway.registry.providers.values():
        drills = provider.facts.drills
        if WELL in drills and fault in drills and fault != WELL:
            return _Actor(provider=provider, gateway=gateway)
        faults |= drills.keys() - {WELL}
    hint = did_you_mean(fault, faults) if faults else ""
    raise NotFound(
        f"no installed provider can play the fault {fault!a}{hint}",
        fix=None if faults else "install a provider for drills: omniroute-provider-demo",
    )


def _failing(candidates: list[Candidate], order: DrillOrder) -> Candidate:
    if not 1 <= order.target <= len(candidates):
        have = "no candidate" if not candidates else f"{len(candidates)} candidate{'s' if len(candidates) > 1 else ''}"
        raise InvalidRequest(f"{order.model!a} has {have}; there is no {order.target}", param="target")
    return candidates[order.target - 1]


def own_strategies(registry: "Registry") -> "Registry":
    copies: dict[int, Strategy] = {}
    combos = {name: replace(combo, strategy=copied(combo.strategy, copies)) for name, combo in registry.combos.items()}
    pools = {name: copy for name, each in registry.account_strategies.items() if (copy := copied(each, copies))}
    return replace(registry, combos=combos, account_strategies=pools)


def _hurried(settings: Settings, patience_s: float) -> Settings:
    clocks = settings.timeouts
    hurried = {
        name: min(patience_s, getattr(clocks, name) or patience_s) for name in ("first_byte_s", "idle_s", "connect_s")
    }
    return replace(settings, timeouts=replace(clocks, **hurried))


# --- who calls --------------------------------------------------------------------------------------------------------

CALLER = Principal(key_id="drill", name="drill")


class _Caller:
    async def authenticate(self, headers: Headers, query: Mapping[str, str], peer: str) -> Principal:
        return CALLER


class _Client:
    """Sends one body, then listens for as long as there is something to hear."""

    def __init__(self, body: bytes) -> None:
        self._messages = [{"type": "http.request", "body": body, "more_body": False}]
        self.seen = b""

    async def receive(self) -> Mapping[str, Any]:
        if self._messages:
            return self._messages.pop()
        await asyncio.Event().wait()
        raise AssertionError("nobody leaves")

    async def send(self, message: Mapping[str, Any]) -> None:
        self.seen += message.get("body", b"")


def _in_words(record: RequestRecord, failing: Target) -> str:
    sent = [attempt for attempt in record.attempts if attempt.sent]
    asked = any(
        (each.provider, each.model, each.account) == (failing.provider, failing.model, failing.account) for each in sent
    )
    if not asked:
        return "The fault was never met: the request was answered before its turn came."
    if record.outcome == "ok" and len(sent) == 1:
        return "The client noticed nothing."
    if record.outcome == "ok":
        return f"The client got its answer at attempt {len(sent)} and noticed nothing but the time."
    if record.first_content_s is not None and record.status == 200:
        return "The client saw part of an answer, then an error: after the first content nobody else is asked."
    return f"The client got {record.status} {record.error}: there was nobody to fall back to."
