"""Whom a request may still ask once its route has been walked in vain: what is only at its limit, what may be insisted on, what
had a mere hiccup, and last what stands beyond the route.

Says whom, one at a time; the loop asks, and comes back for the next when that one has failed too.
"""

import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import msgspec

from omniroute.exchange import Exchange
from omniroute.gates import Gates, Pass
from omniroute.health import Health, RetryBudget
from omniroute.routing import Candidate, Router
from omniroute.screening import Screening
from omniroute.tries import Tries, beyond, insistent

__all__ = ["AT_LIMIT", "Offer", "Resorts"]

LEAST_JITTER_S, MOST_JITTER_S = 0.1, 0.4
"""Before the same candidate is asked once more."""
LONGEST_SLEEP_S = 2.0
"""A client waits better than a request: an upstream that wants more time is not asked again by this one."""
AT_LIMIT = frozenset({"busy", "rate_limited"})


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody to be asked."""

    candidate: Candidate
    after_s: float = 0.0
    permit: Pass | None = None
    """It has stood in line for it; whoever takes the offer hands it back."""


class Resorts:
    """One per gateway."""

    def __init__(
        self,
        *,
        health: Health,
        gates: Gates,
        screening: Screening,
        router: Router,
        retries: RetryBudget,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._health = health
        self._gates = gates
        self._screening = screening
        self._router = router
        self._retries = retries
        self._draw = draw

    async def offers(self, exchange: Exchange, tries: Tries) -> AsyncGenerator[Offer, None]:
        """Nothing in the route has answered: each of these may, and is named when all before it have failed."""
        if tries.left and tries.needs.cools:
            async for offer in self._at_limit(exchange, tries):
                yield offer
            again = self._again(tries)
            if again is not None:
                yield again
        candidate = self._beyond_route(exchange, tries)
        if candidate is not None:
            tries.left = max(tries.left, 1)
            tries.seen += 1
            yield Offer(candidate=candidate)

    async def _at_limit(self, exchange: Exchange, tries: Tries) -> AsyncIterator[Offer]:
        """Wait for what could serve the request and is only at its limit: better than what does not feel well."""
        busy = [candidate for candidate, skip in tries.skipped if skip.reason in AT_LIMIT]
        while busy and tries.left:
            left_s = tries.deadline_s - exchange.elapsed_s if tries.deadline_s else None
            found = await self._gates.wait(busy, tries.needs, left_s)
            if found is None:
                return
            candidate, permit = found
            busy.remove(candidate)
            tries.skipped = [entry for entry in tries.skipped if entry[0] is not candidate]
            hold = self._health.hold(candidate)
            if hold is not None:  # somebody before us in the line came to grief there
                tries.held.append((candidate, hold))
                permit.close(sent=False)
            else:
                yield Offer(candidate=candidate, permit=permit)

    def _again(self, tries: Tries) -> Offer | None:
        """Once more: with what is out for a while only, else with what had a mere hiccup."""
        soonest = insistent(tries, self._health)
        if soonest is not None:
            return Offer(candidate=soonest)
        for candidate, error in tries.failed:
            is_soon = error.try_same and (error.retry_after_s or 0.0) <= LONGEST_SLEEP_S
            if is_soon and candidate.target not in tries.silent and self._health.hold(candidate) is None:
                after_s = LEAST_JITTER_S + (MOST_JITTER_S - LEAST_JITTER_S) * self._draw()
                return Offer(candidate=candidate, after_s=after_s) if self._retries.allows() else None
        return None

    def _beyond_route(self, exchange: Exchange, tries: Tries) -> Candidate | None:
        """One attempt more at `routing.last_resort`, unless the request is at fault or an upstream may be working on it."""
        route = exchange.route
        if route is None or route.last_resort is None or not tries.needs.cools or (not tries.left and tries.silent):
            return None
        asked = {candidate.target for candidate, _ in tries.failed}
        return beyond(tries, asked, self._router.candidates(route.last_resort, None), self._screening)
