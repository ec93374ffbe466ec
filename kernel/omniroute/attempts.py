"""The one attempt loop: the next candidate until the first content event, never after.

It reads attributes of errors (`try_next`) and knows no status codes; what a failure means is the provider's to say. What is
cooling down is passed over at no cost; what a request may cost at most is counted in `Tries`.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import nullcontext

from omniroute.answers import Answer, Answers, Opened
from omniroute.clock import Watch
from omniroute.contracts import AttemptRecord, Translator, UpstreamStream
from omniroute.errors import (
    Draining,
    InvalidRequest,
    SignatureRejected,
    UpstreamError,
    UpstreamTimeout,
)
from omniroute.exchange import Exchange
from omniroute.health import Health, RetryBudget, Visit
from omniroute.logs import get_logger
from omniroute.passport import Passports
from omniroute.routing import Candidate, Router
from omniroute.settings import Settings
from omniroute.shaping import shape
from omniroute.tries import Tries, verdict

__all__ = ["Attempts"]

LEAST_JITTER_S, MOST_JITTER_S = 0.1, 0.4
"""Before the same candidate is asked once more."""
LONGEST_SLEEP_S = 2.0
"""A client waits better than a request: an upstream that wants more time is not asked again by this one."""
SAID = frozenset({"account_blocked", "auth_suspect", "quota_exhausted"})
"""What only a person can mend is in the log, once."""

log = get_logger(__name__)


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
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._timeouts = settings.timeouts
        self._max_attempts = settings.routing.max_attempts
        self.health = health or Health(cap_s=settings.routing.cooldown_cap_s)
        self._retries = RetryBudget()
        self._sleep = sleep
        self._draw = draw
        self._router = router
        self._answers = answers
        self._passports = passports
        self._headers = {
            name: {
                "content-type": "application/json",
                "user-agent": agent,
                "accept-encoding": "identity",
                **translator.default_headers(),
            }
            for name, translator in translators.items()
        }

    async def first(self, exchange: Exchange, candidates: Iterable[Candidate]) -> Answer | Opened:
        """The first candidate's answer that can be sent on. Raises the error the client should see.

        `candidates` are asked for one by one, each when the one before it has failed.
        """
        allowed_s = self._timeouts.first_content_deadline_s
        tries = Tries(
            limit=self._max_attempts,
            started_s=self.health.clock(),
            deadline_s=exchange.elapsed_s + allowed_s if allowed_s else 0.0,
            cools=exchange.operation == "chat",
        )
        with self._retries.request():
            for candidate in candidates:
                answer = await self._offer(exchange, candidate, tries)
                if answer is not None:
                    return answer
            answer = await self._last_resort(exchange, tries)
            if answer is not None:
                return answer
        raise verdict(tries, self.health)

    async def _offer(self, exchange: Exchange, candidate: Candidate, tries: Tries) -> Answer | Opened | None:
        """Ask the candidate unless it is out. None: the next one's turn."""
        tries.seen += 1
        if tries.cools and (hold := self.health.hold(candidate)) is not None:
            tries.held.append((candidate, hold))
            left_s = max(0.0, hold.due_s - self.health.clock())
            reason = "breaker_open" if hold.reason == "breaker_open" else "cooling"
            _note(exchange, candidate, exchange.elapsed_s, None, reason, left_s, sent=False)
            return None
        return await self._ask(exchange, candidate, tries)

    async def _last_resort(self, exchange: Exchange, tries: Tries) -> Answer | Opened | None:
        """Nothing has answered: once more, with what is out for a while only, else with what had a mere hiccup."""
        if not tries.left or not tries.cools:
            return None
        held = tries.held
        if tries.seen == 1:
            held = [(candidate, self.health.hold(candidate, alone=True) or hold) for candidate, hold in held]
        soonest = min(
            (pair for pair in held if pair[1].may_insist and pair[1].since_s <= tries.started_s),
            key=lambda pair: pair[1].due_s,
            default=None,
        )
        if soonest is not None:
            return await self._ask(exchange, soonest[0], tries)
        for candidate, error in tries.failed:
            is_soon = error.try_same and (error.retry_after_s or 0.0) <= LONGEST_SLEEP_S
            if is_soon and candidate.target not in tries.silent and self.health.hold(candidate) is None:
                after_s = LEAST_JITTER_S + (MOST_JITTER_S - LEAST_JITTER_S) * self._draw()
                return await self._ask(exchange, candidate, tries, after_s=after_s) if self._retries.allows() else None
        return None

    async def _ask(
        self, exchange: Exchange, candidate: Candidate, tries: Tries, *, after_s: float = 0.0
    ) -> Answer | Opened | None:
        """Send the request, if its budgets allow. None: this failed, and another may not."""
        is_retry = tries.has_failed_at(candidate.target.provider)
        if (why := self._beyond_budget(exchange, tries, is_retry=is_retry)) is not None:
            tries.untried.append((candidate, why))
            return None
        exchange.served_by = candidate
        with self._retries.retry() if is_retry else nullcontext():
            try:
                if after_s:
                    await self._sleep(after_s)
                return await self._try(exchange, candidate, tries)
            except InvalidRequest as error:  # this dialect cannot say it; another candidate's may
                tries.unable.append(error)
            except UpstreamError as error:
                tries.failed.append((candidate, error))
                if not error.try_next:
                    raise
        return None

    def _beyond_budget(self, exchange: Exchange, tries: Tries, *, is_retry: bool) -> str | None:
        if not tries.left:
            return f"the limit of {tries.limit} attempts is reached" if not tries.silent else "an upstream fell silent"
        if tries.deadline_s and exchange.elapsed_s >= tries.deadline_s:
            return f"{self._timeouts.first_content_deadline_s:g} s have passed"
        if is_retry and not self._retries.allows():
            return "too many retries are under way"
        return None

    async def _try(self, exchange: Exchange, candidate: Candidate, tries: Tries) -> Answer | Opened:
        try:
            return await self._noted(exchange, candidate, tries)
        except SignatureRejected:
            if exchange.without_signatures or not tries.left:
                raise
            exchange.without_signatures = True  # no fault of the account: once more, without what it could not read
            return await self._noted(exchange, candidate, tries)

    async def _noted(self, exchange: Exchange, candidate: Candidate, tries: Tries) -> Answer | Opened:
        """One attempt, with its line in the record and what it means for later requests."""
        if not tries.cools:
            return await self._recorded(exchange, candidate, tries)
        with self.health.visit(candidate) as visit:
            try:
                answer = await self._recorded(exchange, candidate, tries)
            except UpstreamError as error:
                self._cool(visit, candidate, error)
                raise
            self.health.succeeded(visit)
            return answer

    def _cool(self, visit: Visit, candidate: Candidate, error: UpstreamError) -> None:
        mark = self.health.failed(visit, error)
        if mark is not None and mark.failures == 1 and mark.reason in SAID:
            left_s = round(mark.due_s - self.health.clock())
            log.warning("account left out", account=candidate.account.id, reason=mark.reason, for_s=left_s)

    async def _recorded(self, exchange: Exchange, candidate: Candidate, tries: Tries) -> Answer | Opened:
        started_s = exchange.elapsed_s
        try:
            answer = await self._attempt(exchange, candidate, tries)
        except UpstreamError as error:
            _blame(error, candidate)
            tries.lost(candidate, error)
            _note(exchange, candidate, started_s, error.upstream_status, error.code, error.retry_after_s)
            if exchange.running is not None:
                ok = False if error.try_next else None  # what nobody else would take either is the request's fault
                exchange.running.end(ok=ok, error=error.code, after_s=exchange.elapsed_s - started_s)
            raise
        except InvalidRequest as error:
            _note(exchange, candidate, started_s, None, error.code, sent=False)
            raise
        except asyncio.CancelledError:
            _note(exchange, candidate, started_s, None, "client_closed" if exchange.client_gone else Draining.code)
            raise
        exchange.first_content_s = exchange.elapsed_s
        if exchange.running is not None:
            exchange.running.answered(exchange.first_content_s - started_s)
        _note(exchange, candidate, started_s, 200)
        return answer

    async def _attempt(self, exchange: Exchange, candidate: Candidate, tries: Tries) -> Answer | Opened:
        dialect = candidate.translator.dialect
        operation = candidate.translator.operations[exchange.operation]
        shaped = shape(exchange, candidate, operation, self._headers[dialect], self._passports)
        exchange.relayed = shaped.request is None
        exchange.losses = shaped.outgoing.losses
        limits = candidate.provider.facts.timeouts
        connect_s = _either(limits.connect_s, self._timeouts.connect_s)
        exchange.idle_s = _either(limits.idle_s, self._timeouts.idle_s)
        if exchange.route is not None and exchange.operation == "chat":
            exchange.running = self._router.begin(exchange.route, candidate, asyncio.get_running_loop().time())
        stream: UpstreamStream | None = None
        tries.answered = False
        first_byte_s = _either(limits.first_byte_s, self._timeouts.first_byte_s)
        try:
            with Watch(_sooner(first_byte_s, exchange.elapsed_s, tries.deadline_s)):
                stream = await candidate.transport.send(shaped.http, connect_timeout_s=connect_s or None)
                tries.answered = True
                return await self._answers.read(exchange, candidate, shaped, stream)
        except TimeoutError as error:
            _close(stream)
            raise UpstreamTimeout("the upstream did not begin to answer in time", why=str(error)) from error
        except BaseException:
            _close(stream)
            raise


def _blame(error: UpstreamError, candidate: Candidate) -> None:
    """Fill in whose failure it was."""
    target = candidate.target
    error.provider, error.model, error.account = target.provider, target.model, target.account


def _note(
    exchange: Exchange,
    candidate: Candidate,
    started_s: float,
    status: int | None,
    error: str | None = None,
    retry_after_s: float | None = None,
    *,
    sent: bool = True,
) -> None:
    exchange.attempts.append(
        AttemptRecord(
            provider=candidate.target.provider,
            model=candidate.target.model,
            account=candidate.target.account,
            status=status,
            error=error,
            sent=sent,
            started_s=started_s,
            duration_s=exchange.elapsed_s - started_s,
            retry_after_s=retry_after_s,
        )
    )


def _either(fact: float | None, setting: float) -> float:
    return setting if fact is None else fact


def _sooner(limit_s: float, now_s: float, deadline_s: float) -> float:
    """The time there is for an answer; 0 is without end."""
    if not deadline_s:
        return limit_s
    left_s = max(deadline_s - now_s, 0.001)
    return min(limit_s, left_s) if limit_s else left_s


def _close(stream: UpstreamStream | None) -> None:
    if stream is not None:
        stream.close()
