"""Questions about routing: where a request would go, where one went and why, what would happen if somebody failed."""

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec

from omniroute.contracts import ClientKey, Principal, RequestRecord, Target
from omniroute.errors import NotFound
from omniroute.explaining import Explanation, Question
from omniroute.pricing import cost_usd
from omniroute.settings.paths import did_you_mean

if TYPE_CHECKING:
    from omniroute.gateway import Gateway

__all__ = ["RequestView", "explanation", "request_view"]


class RequestView(msgspec.Struct, frozen=True, kw_only=True):
    """One past request."""

    record: RequestRecord
    cost_usd: float | None
    """As it was reckoned when it was answered, else by today's prices; None when usage or price is unknown."""
    others: tuple[str, ...] = ()
    """Ids of other records with the same `X-Request-Id`, the newest first: a client may send one more than once."""


def explanation(gateway: "Gateway", question: Question) -> Explanation:
    """Raises `InvalidRequest`, `ModelNotFound`, and `NotFound` for a key there is not."""
    principal = None if question.key is None else _principal(gateway, question.key)
    return gateway.explainer.explain(question, principal, asyncio.get_running_loop().time())


async def request_view(gateway: "Gateway", request_id: str) -> RequestView:
    """By the record's id or the client's `X-Request-Id`. Raises `NotFound`."""
    telemetry = gateway.telemetry
    found = await telemetry.find(request_id)
    if not found:
        raise NotFound(
            f"no request is known as {request_id[:80]!a}",
            why="it is older than what is kept, or the id is another"
            if telemetry.has_log
            else "no plugin keeps requests so that they can be read again",
            fix="take the id from the answer's X-Request-Id header"
            if telemetry.has_log
            else "install omniroute-telemetry-sqlite",
        )
    record = next((each for each in found if each.id == request_id), found[0])
    return RequestView(
        record=record,
        cost_usd=record.cost_usd if record.cost_usd is not None else _today(gateway, record),
        others=tuple(each.id for each in found if each.id != record.id),
    )


def _today(gateway: "Gateway", record: RequestRecord) -> float | None:
    facts = gateway.router.facts_of(Target(provider=record.provider or "", model=record.model or ""))
    return cost_usd(None if facts is None else facts.price, record.usage)


def _principal(gateway: "Gateway", name: str) -> Principal:
    keys = [key for key in gateway.keys.list() if _is_live(key)]
    key = next((key for key in keys if name in (key.id, key.name)), None)
    if key is None:
        raise NotFound(f"no client key is called {name!a}{did_you_mean(name, (key.name for key in keys))}")
    return Principal(key_id=key.id, name=key.name, loss=key.loss, limits=key.limits)


def _is_live(key: ClientKey) -> bool:
    return not key.revoked and (key.expires_at_s is None or key.expires_at_s > time.time())
