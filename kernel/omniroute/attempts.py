"""The one attempt loop: the next candidate until the first content event, never after.

It reads attributes of errors (`try_next`) and knows no status codes; what a failure means is the provider's to say. What is
cooling down is passed over at no cost; what a request may cost at most is counted in `Tries`.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import nullcontext

import msgspec

from omniroute.answers import Answer, Answers, Opened
from omniroute.clock import Watch
from omniroute.contracts import AttemptRecord, Translator, UpstreamStream
from omniroute.credentials.refresh import Refresher
from omniroute.errors import (
    ContextTooLong,
    CredentialRejected,
    Draining,
    GatewayError,
    InvalidRequest,
    PluginFailed,
    SignatureRejected,
    UpstreamError,
)
from omniroute.exchange import Exchange
from omniroute.gates import Block, Gates, Pass, gated
from omniroute.health import Health, RetryBudget, Visit
from omniroute.logs import get_logger
from omniroute.passport import Passports
from omniroute.patience import patience_of, too_late
from omniroute.quota import Quotas
from omniroute.routing import Candidate, Router, Terms, terms_of
from omniroute.screening import Screening, incapable, needs_of, resting
from omniroute.settings import Settings
from omniroute.shaping import shape
from omniroute.tries import Tries, beyond, insistent, verdict

__all__ = ["Attempts"]

LEAST_JITTER_S, MOST_JITTER_S = 0.1, 0.4
"""Before the same candidate is asked once more."""
MAX_NOTED = 20
"""Skips in a request's record, so that a long list of cooling candidates costs no more than a short one."""
LONGEST_SLEEP_S = 2.0
"""A client waits better than a request: an upstream that wants more time is not asked again by this one."""
AT_LIMIT = frozenset({"busy", "rate_limited"})
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
        screening: Screening | None = None,
        gates: Gates | None = None,
        refresher: Refresher | None = None,
        quotas: Quotas | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._timeouts = settings.timeouts
        self._terms = terms_of(settings)
        self.health = health or Health(cap_s=settings.routing.cooldown_cap_s)
        self.gates = gates or Gates()
        self._refresher = refresher
        self._quotas = quotas
        self.screening = screening or Screening([incapable, resting(self.health), gated(self.gates)])
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
        terms = self._terms_of(exchange)
        allowed_s = terms.first_content_deadline_s
        tries = Tries(
            limit=terms.max_attempts,
            started_s=self.health.clock(),
            deadline_s=exchange.elapsed_s + allowed_s if allowed_s else 0.0,
            needs=needs_of(exchange),
        )
        with self._retries.request():
            for candidate in candidates:
                answer = await self._offer(exchange, candidate, tries)
                if answer is not None:
                    return answer
            answer = await self._last_resort(exchange, tries) or await self._beyond_route(exchange, tries)
            if answer is not None:
                return answer
        raise verdict(tries, self.health)

    async def _offer(self, exchange: Exchange, candidate: Candidate, tries: Tries) -> Answer | Opened | None:
        """Ask the candidate unless it is out. None: the next one's turn."""
        skip = self.screening.skip(candidate, tries.needs)
        if skip is not None:
            tries.skip(candidate, skip)
            if len(exchange.attempts) < MAX_NOTED:
                left_s = None if skip.due_s is None else max(0.0, skip.due_s - self.health.clock())
                _note(exchange, candidate, exchange.elapsed_s, None, skip.reason, left_s, sent=False)
            return None
        tries.seen += 1
        return await self._ask(exchange, candidate, tries)

    async def _last_resort(self, exchange: Exchange, tries: Tries) -> Answer | Opened | None:
        """Nothing has answered: once more, with what is out for a while only, else with what had a mere hiccup."""
        if not tries.left or not tries.cools:
            return None
        if (answer := await self._stand_in_line(exchange, tries)) is not None:
            return answer
        soonest = insistent(tries, self.health)
        if soonest is not None:
            return await self._ask(exchange, soonest, tries)
        for candidate, error in tries.failed:
            is_soon = error.try_same and (error.retry_after_s or 0.0) <= LONGEST_SLEEP_S
            if is_soon and candidate.target not in tries.silent and self.health.hold(candidate) is None:
                after_s = LEAST_JITTER_S + (MOST_JITTER_S - LEAST_JITTER_S) * self._draw()
                return await self._ask(exchange, candidate, tries, after_s=after_s) if self._retries.allows() else None
        return None

    async def _beyond_route(self, exchange: Exchange, tries: Tries) -> Answer | Opened | None:
        """All that was asked for has failed: one attempt more at `routing.last_resort`, unless the request is at fault or an
        upstream may be working on it."""
        route = exchange.route
        if route is None or route.last_resort is None or not tries.cools or (not tries.left and tries.silent):
            return None
        asked = {candidate.target for candidate, _ in tries.failed}
        candidate = beyond(tries, asked, self._router.candidates(route.last_resort, None), self.screening)
        if candidate is None:
            return None
        tries.left = max(tries.left, 1)
        tries.seen += 1
        return await self._ask(exchange, candidate, tries)

    async def _stand_in_line(self, exchange: Exchange, tries: Tries) -> Answer | Opened | None:
        """Wait for what could serve the request and is only at its limit, and ask it: better than what does not feel well."""
        busy = [candidate for candidate, skip in tries.skipped if skip.reason in AT_LIMIT]
        while busy and tries.left:
            left_s = tries.deadline_s - exchange.elapsed_s if tries.deadline_s else None
            found = await self.gates.wait(busy, tries.needs, left_s)
            if found is None:
                return None
            candidate, permit = found
            busy.remove(candidate)
            tries.skipped = [entry for entry in tries.skipped if entry[0] is not candidate]
            hold = self.health.hold(candidate)
            if hold is not None:  # somebody before us in the line came to grief there
                tries.held.append((candidate, hold))
                permit.close(sent=False)
            elif (answer := await self._ask(exchange, candidate, tries, permit=permit)) is not None:
                return answer
        return None

    async def _ask(
        self,
        exchange: Exchange,
        candidate: Candidate,
        tries: Tries,
        *,
        after_s: float = 0.0,
        permit: Pass | None = None,
    ) -> Answer | Opened | None:
        """Send the request, if its budgets allow. None: this failed, and another may not. `permit`: it has stood in line."""
        is_retry = tries.has_failed_at(candidate.target.provider)
        if (why := self._beyond_budget(exchange, candidate, tries, is_retry=is_retry)) is not None:
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
        with self._retries.retry() if is_retry else nullcontext():
            try:
                if after_s:
                    await self._sleep(after_s)
                if self._refresher is not None and self._refresher.is_due(candidate.account):
                    candidate = await self._with_valid_token(exchange, candidate, self._refresher)
                return await self._try(exchange, candidate, tries)
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
        return None

    async def _with_valid_token(self, exchange: Exchange, candidate: Candidate, refresher: Refresher) -> Candidate:
        """The candidate with a token that does not end under way. What cannot be renewed costs no attempt."""
        started_s = exchange.elapsed_s
        try:
            account = await refresher.current(candidate.account)
        except UpstreamError as error:
            _blame(error, candidate)
            _note(exchange, candidate, started_s, None, error.code, error.retry_after_s, sent=False)
            raise
        exchange.served_by = ready = msgspec.structs.replace(candidate, account=account)
        return ready

    def _terms_of(self, exchange: Exchange) -> Terms:
        return self._terms if exchange.route is None else exchange.route.terms

    def _beyond_budget(self, exchange: Exchange, candidate: Candidate, tries: Tries, *, is_retry: bool) -> str | None:
        if not tries.left:
            return f"the limit of {tries.limit} attempts is reached" if not tries.silent else "an upstream fell silent"
        if tries.deadline_s and exchange.elapsed_s >= tries.deadline_s:
            return f"{self._terms_of(exchange).first_content_deadline_s:g} s have passed"
        total_s = patience_of(candidate.timeouts, self._timeouts).total_s
        if total_s and exchange.elapsed_s >= total_s:
            return f"{total_s:g} s have passed"
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
            return await self._renewing(exchange, candidate, tries)
        with self.health.visit(candidate) as visit:
            try:
                answer = await self._renewing(exchange, candidate, tries)
            except UpstreamError as error:
                self._cool(visit, candidate, error)
                raise
            self.health.succeeded(visit)
            return answer

    async def _renewing(self, exchange: Exchange, candidate: Candidate, tries: Tries) -> Answer | Opened:
        """Once more with other tokens, where these were refused and others can be had; once per request."""
        try:
            return await self._recorded(exchange, candidate, tries)
        except CredentialRejected:
            if self._refresher is None or tries.has_renewed or not tries.left:
                raise
            tries.has_renewed = True
            account = await self._refresher.renewed(candidate.account)
            if account is None:
                raise
            exchange.served_by = again = msgspec.structs.replace(candidate, account=account)
            return await self._recorded(exchange, again, tries)

    def _cool(self, visit: Visit, candidate: Candidate, error: UpstreamError) -> None:
        mark = self.health.failed(visit, error)
        if mark is not None and mark.failures == 1 and mark.reason in SAID:
            left_s = round(mark.due_s - self.health.clock())
            log.warning("account left out", account=candidate.account.id, reason=mark.reason, for_s=left_s)

    async def _recorded(self, exchange: Exchange, candidate: Candidate, tries: Tries) -> Answer | Opened:
        started_s = exchange.elapsed_s
        try:
            answer = await self._guarded(exchange, candidate, tries)
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

    async def _guarded(self, exchange: Exchange, candidate: Candidate, tries: Tries) -> Answer | Opened:
        """What breaks in a plugin's code is this candidate's failure; another one's plugin may do better."""
        tries.answered = False
        try:
            return await self._attempt(exchange, candidate, tries)
        except GatewayError:
            raise
        except Exception as error:
            name = candidate.target.provider
            log.exception("plugin failed", provider=name, request_id=exchange.request_id, exc_info=error)
            raise PluginFailed(
                f"the code that speaks with provider {name!r} failed on this request",
                why=type(error).__name__,
                fix=f"the gateway's log has the rest under {exchange.request_id}",
            ) from error

    async def _attempt(self, exchange: Exchange, candidate: Candidate, tries: Tries) -> Answer | Opened:
        dialect = candidate.translator.dialect
        operation = candidate.translator.operations[exchange.operation]
        shaped = shape(exchange, candidate, operation, self._headers[dialect], self._passports)
        exchange.relayed = shaped.request is None
        exchange.losses = shaped.outgoing.losses
        patience = exchange.patience = patience_of(candidate.timeouts, self._timeouts)
        if exchange.route is not None and exchange.operation == "chat":
            exchange.running = self._router.begin(exchange.route, candidate, asyncio.get_running_loop().time())
        stream: UpstreamStream | None = None
        elapsed_s = exchange.elapsed_s
        said_s = self._terms_of(exchange).first_byte_s
        first_byte_s = _sooner(patience.first_byte_s if said_s is None else said_s, elapsed_s, tries.deadline_s)
        try:
            with Watch(first_byte_s, limit_s=patience.left_s(elapsed_s)) as watch:
                connect_s = self._connect_s(exchange, candidate, tries)
                stream = await candidate.transport.send(shaped.http, connect_timeout_s=connect_s)
                tries.answered = True
                if self._quotas is not None:
                    self._quotas.heard(candidate.target, stream.headers)
                return await self._answers.read(exchange, candidate, shaped, stream, watch)
        except TimeoutError as error:
            _close(stream)
            raise too_late(watch, error) from error
        except BaseException:
            _close(stream)
            raise

    def _connect_s(self, exchange: Exchange, candidate: Candidate, tries: Tries) -> float | None:
        """Nobody waits long for a connection while another upstream is at hand. None: for ever."""
        usual_s, short_s = exchange.patience.connect_s, self._timeouts.failover_connect_s
        if short_s and (not usual_s or usual_s > short_s) and self._has_another(exchange, candidate, tries):
            return short_s
        return usual_s or None

    def _has_another(self, exchange: Exchange, candidate: Candidate, tries: Tries) -> bool:
        """A candidate elsewhere could be asked after this one, as things stand."""
        if exchange.route is None or tries.left < 2:
            return False
        tried = {failed.target for failed, _ in tries.failed}
        return any(
            other.account.base_url != candidate.account.base_url
            and other.target not in tried
            and self.screening.skip(other, tries.needs) is None
            for other in self._router.candidates(exchange.route, None)
        )


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


def _sooner(limit_s: float, now_s: float, deadline_s: float) -> float:
    """The time there is for an answer; 0 is without end."""
    if not deadline_s:
        return limit_s
    left_s = max(deadline_s - now_s, 0.001)
    return min(limit_s, left_s) if limit_s else left_s


def _close(stream: UpstreamStream | None) -> None:
    if stream is not None:
        stream.close()
