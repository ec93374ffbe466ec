"""A combo's test: every target is asked for a word, on the way requests take, and once each. It costs what that costs."""

import asyncio
import time
from typing import TYPE_CHECKING, Any

from omniroute import __version__
from omniroute.answers import Answers, Opened
from omniroute.attempts import Attempts
from omniroute.combos.views import ComboTest, TargetTest
from omniroute.combos.watching import route_of, target_of
from omniroute.contracts import Headers, Principal
from omniroute.errors import GatewayError
from omniroute.exchange import Exchange
from omniroute.ids import new_ulid
from omniroute.model import ChatRequest, Message, TextPart
from omniroute.routing import Candidate, Route, Terms
from omniroute.translating import chat_params

if TYPE_CHECKING:
    from omniroute.gateway import Gateway

__all__ = ["try_combo"]

PING = (Message(role="user", parts=(TextPart(text="ping"),)),)
PING_TOKENS = 16
"""The least that every vendor takes."""
AT_A_TIME = 4
DEADLINE_S = 15.0
CALLER = Principal(key_id="", name="combo test")


async def try_combo(gateway: "Gateway", name: str) -> ComboTest:
    """Raises `NotFound` when there is no such combo."""
    candidates = list(route_of(gateway, name).overview.by_target.values())
    await gateway.use({each.provider.facts.transport or gateway.settings.server.transport for each in candidates})
    passports = gateway.passports
    attempts = Attempts(
        gateway.settings,
        gateway.router,
        Answers(gateway.registry.framings, passports),
        passports,
        gateway.registry.translators,
        agent=f"omniroute/{__version__}",
        health=gateway.health,
        screening=gateway.screening,
        gates=gateway.gates,
        refresher=gateway.refresher,
    )
    gate = asyncio.Semaphore(AT_A_TIME)

    async def one(candidate: Candidate) -> TargetTest:
        async with gate:
            return await _ping(gateway, attempts, candidate)

    found = await asyncio.gather(*map(one, candidates))
    first = next((each.target for each in found if each.ok), None)
    return ComboTest(name=name, served_by=f"{first.name} ({first.account})" if first else None, targets=tuple(found))


async def _ping(gateway: "Gateway", attempts: Attempts, candidate: Candidate) -> TargetTest:
    target = target_of(gateway, candidate)
    exchange = _exchange(candidate)
    try:
        answer = await attempts.first(exchange, [candidate])
    except GatewayError as error:
        exchange.error = error.code
        sent = next((each for each in reversed(exchange.attempts) if each.sent), None)
        return TargetTest(
            target=target,
            ok=False,
            latency_s=sent.duration_s if sent else None,
            status=sent.status if sent else None,
            error=error.code,
            message=gateway.redactor.known(error.text),
        )
    else:
        if isinstance(answer, Opened):
            answer.stream.close()
        else:
            exchange.usage = answer.usage
        exchange.outcome = "ok"
        return TargetTest(target=target, ok=True, latency_s=exchange.attempts[-1].duration_s, status=200)
    finally:
        if exchange.running is not None:
            exchange.running.end(ok=True if exchange.outcome == "ok" else None)
        exchange.release()
        gateway.telemetry.record(exchange.record())


def _exchange(candidate: Candidate) -> Exchange:
    """A request as a client of the target's own dialect would send it, with a route that has nothing else in it."""
    translator = candidate.translator
    request = ChatRequest(model=candidate.model.id, messages=PING, max_output_tokens=PING_TOKENS)
    exchange = Exchange(
        translator=translator,
        operation="chat",
        params=chat_params(translator, candidate.model.id),
        headers=Headers({b"content-type": b"application/json", b"user-agent": b"omniroute combo test"}),
        request_id=new_ulid(clock=time.time),
        client=_nobody_listens,
    )
    exchange.body = translator.encode_request(request).body
    exchange.head = translator.read_head(exchange.body, exchange.params, exchange.headers)
    exchange.principal = CALLER
    exchange.route = Route(
        name=candidate.model.id, entries=(), terms=Terms(max_attempts=1, first_content_deadline_s=DEADLINE_S)
    )
    return exchange


async def _nobody_listens(_: Any) -> None:
    """The answer is thrown away."""
