"""The one attempt loop: the next candidate until the first content event, never after.

It reads attributes of errors (`try_next`) and knows no status codes; what a failure means is the provider's to say. What is
cooling down is passed over at no cost; what a request may cost at most is counted in `Tries`.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing

import msgspec

from omniroute.answers import Answer, Answers, Opened
from omniroute.attempts.resorts import Resorts
from omniroute.attempts.sending import Sending, blame, note
from omniroute.contracts import Translator
from omniroute.credentials.refresh import Refresher
from omniroute.errors import ContextTooLong, InvalidRequest, UpstreamError
from omniroute.exchange import Exchange
from omniroute.gates import Block, Gates, Pass, gated
from omniroute.health import Health, RetryBudget
from omniroute.passport import Passports
from omniroute.quota import Quotas
from omniroute.routing import Candidate, Router, Terms, terms_of
from omniroute.screening import Screening, Skip, incapable, needs_of, resting
from omniroute.settings import Settings
from omniroute.tries import Tries, verdict

__all__ = ["Attempts"]

MAX_NOTED = 20
"""Skips in a request's record, so that a long list of cooling candidates costs no more than a short one."""


class Attempts:
    """Tries candidates. One per gateway; all state of a request is in its `Exchange`."""

    def __init__(
        self,
        settings: Settings,
        router: Router,
        answers: Answers,
        passports: Passports,
        translators: Mapping[str, Translator],
        agent: str,
        *,
        health: Health | None = None,
        screening: Screening | None = None,
        gates: Gates | None = None,
        refresher: Refresher | None = None,
        quotas: Quotas | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._terms = terms_of(settings)
        self.health = health or Health(cap_s=settings.routing.cooldown_cap_s)
        self.gates = gates or Gates()
        self._refresher = refresher
        self.screening = screening or Screening([incapable, resting(self.health), gated(self.gates)])
        self._retries = RetryBudget()
        self._sleep = sleep
        self._sending = Sending(
            settings,
            router,
            answers,
            passports,
            translators,
            agent,
            health=self.health,
            screening=self.screening,
            refresher=refresher,
            quotas=quotas,
        )
        self._resorts = Resorts(
            health=self.health,
            gates=self.gates,
            screening=self.screening,
            router=router,
            retries=self._retries,
            draw=draw,
        )

    async def first(self, exchange: Exchange, candidates: Iterable[Candidate]) -> Answer | Opened:
        """The first candidate's answer that can be sent on. Raises the error the client should see.

        `candidates` are asked for one by one, each when the one before it has failed.
        """
        terms = self._terms_of(exchange)
        allowed_s = terms.first_content_deadline_s
        tries = Tries(
            limit=terms.max_attempts,
            left=terms.max_attempts,
            started_s=self.health.clock(),
            deadline_s=exchange.elapsed_s + allowed_s if allowed_s else 0.0,
            needs=needs_of(exchange),
        )
        skip_of = self.screening.skip
        self._retries.requests += 1
        try:
            for candidate in candidates:
                skip = skip_of(candidate, tries.needs)
                if skip is not None:
                    self._pass_over(exchange, candidate, tries, skip)
                    continue
                tries.seen += 1
                answer = await self._ask(exchange, candidate, tries)
                if answer is not None:
                    return answer
            async with aclosing(self._resorts.offers(exchange, tries)) as offers:
                async for offer in offers:
                    answer = await self._ask(exchange, offer.candidate, tries, offer.after_s, offer.permit)
                    if answer is not None:
                        return answer
        finally:
            self._retries.requests -= 1
        raise verdict(tries, self.health)

    def _pass_over(self, exchange: Exchange, candidate: Candidate, tries: Tries, skip: Skip) -> None:
        tries.skip(candidate, skip)
        if len(exchange.attempts) < MAX_NOTED:
            left_s = None if skip.due_s is None else max(0.0, skip.due_s - self.health.clock())
            note(exchange, candidate, exchange.elapsed_s, None, skip.reason, left_s, sent=False)

    async def _ask(
        self, exchange: Exchange, candidate: Candidate, tries: Tries, after_s: float = 0.0, permit: Pass | None = None
    ) -> Answer | Opened | None:
        """Send the request, if its budgets allow. None: this failed, and another may not. `permit`: it has stood in line."""
        is_retry = bool(tries.failed) and tries.has_failed_at(candidate.target.provider)
        exchange.patience = self._sending.patience(candidate)
        if (why := self._beyond_budget(exchange, tries, is_retry=is_retry)) is not None:
            tries.untried.append((candidate, why))
            if permit is not None:
                permit.close(sent=False)
            return None
        if permit is None:
            entered = self.gates.enter(candidate, tries.needs)
            if isinstance(entered, Block):
                tries.skip(candidate, entered.skip)
                return None
            permit = entered
        exchange.permit = permit
        exchange.served_by = candidate
        self._retries.retries += is_retry
        try:
            if after_s:
                await self._sleep(after_s)
            if self._refresher is not None and self._refresher.is_due(candidate.account):
                candidate = await self._with_valid_token(exchange, candidate, self._refresher)
            return await self._sending.answer(exchange, candidate, tries)
        except InvalidRequest as error:  # this dialect cannot say it; another candidate's may
            tries.unable.append(error)
            if permit is not None:
                permit.close(sent=False)
        except UpstreamError as error:
            tries.failed.append((candidate, error))
            if permit is not None:
                permit.close(0)
            if isinstance(error, ContextTooLong):
                tries.too_long(candidate)
            elif not error.try_next:
                raise
        finally:
            self._retries.retries -= is_retry
        return None

    async def _with_valid_token(self, exchange: Exchange, candidate: Candidate, refresher: Refresher) -> Candidate:
        """The candidate with a token that does not end under way. What cannot be renewed costs no attempt."""
        started_s = exchange.elapsed_s
        try:
            account = await refresher.current(candidate.account)
        except UpstreamError as error:
            blame(error, candidate)
            note(exchange, candidate, started_s, None, error.code, error.retry_after_s, sent=False)
            raise
        exchange.served_by = ready = msgspec.structs.replace(candidate, account=account)
        return ready

    def _terms_of(self, exchange: Exchange) -> Terms:
        return self._terms if exchange.route is None else exchange.route.terms

    def _beyond_budget(self, exchange: Exchange, tries: Tries, *, is_retry: bool) -> str | None:
        if not tries.left:
            return f"the limit of {tries.limit} attempts is reached" if not tries.silent else "an upstream fell silent"
        elapsed_s = exchange.elapsed_s
        if tries.deadline_s and elapsed_s >= tries.deadline_s:
            return f"{self._terms_of(exchange).first_content_deadline_s:g} s have passed"
        total_s = exchange.patience.total_s
        if total_s and elapsed_s >= total_s:
            return f"{total_s:g} s have passed"
        if is_retry and not self._retries.allows():
            return "too many retries are under way"
        return None
