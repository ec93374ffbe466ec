"""One candidate is asked: the request in its dialect, sent, its answer read as far as the first content. Whatever becomes of that
is noted in the request's record and in the candidate's health and standing.

Two coroutines and no more, for each that waits is resumed anew by every byte that comes: what is noted is noted by plain calls.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import msgspec

from omniroute.answers import Answer, Answers, Opened
from omniroute.clock import Watch
from omniroute.contracts import AttemptRecord, TimeoutFacts, Translator, UpstreamStream
from omniroute.credentials.refresh import Refresher
from omniroute.errors import (
    CredentialRejected,
    Draining,
    GatewayError,
    InvalidRequest,
    PluginFailed,
    SignatureRejected,
    UpstreamError,
)
from omniroute.exchange import Exchange
from omniroute.health import Health, Visit
from omniroute.logs import get_logger
from omniroute.passport import Passports
from omniroute.patience import Patience, patience_of, too_late
from omniroute.quota import Quotas
from omniroute.routing import Candidate, Router
from omniroute.screening import Screening
from omniroute.settings import Settings
from omniroute.shaping import shape
from omniroute.tries import Tries

__all__ = ["Sending", "blame", "note"]

SAID = frozenset({"account_blocked", "auth_suspect", "quota_exhausted"})
"""What only a person can mend is in the log, once."""

SHORTEST_S = 0.001
"""Of a time that is up: 0 would be without end."""

UNCOUNTED: AbstractContextManager[None] = nullcontext()
"""Around what says nothing of an account's health: a token count."""

log = get_logger(__name__)


class Sending:
    """One per gateway."""

    def __init__(
        self,
        settings: Settings,
        router: Router,
        answers: Answers,
        passports: Passports,
        translators: Mapping[str, Translator],
        agent: str,
        *,
        health: Health,
        screening: Screening,
        refresher: Refresher | None,
        quotas: Quotas | None,
    ) -> None:
        self._timeouts = settings.timeouts
        self._patience: dict[TimeoutFacts, Patience] = {}
        self._health = health
        self._screening = screening
        self._refresher = refresher
        self._quotas = quotas
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

    def patience(self, candidate: Candidate) -> Patience:
        """With this candidate. There are as many as there are different statements."""
        facts = candidate.timeouts
        found = self._patience.get(facts)
        if found is None:
            found = self._patience[facts] = patience_of(facts, self._timeouts)
        return found

    async def answer(self, exchange: Exchange, candidate: Candidate, tries: Tries) -> Answer | Opened:
        """The candidate's answer. It is asked once more where it refused tokens and others can be had, and where it could not
        read an echoed signature. Raises what the provider makes of a refusal."""
        with self._health.visit(candidate) if tries.needs.cools else UNCOUNTED as visit:
            while True:
                try:
                    answer = await self._attempt(exchange, candidate, tries)
                except SignatureRejected as error:
                    self._cool(visit, candidate, error)
                    if exchange.without_signatures or not tries.left:
                        raise
                    exchange.without_signatures = True  # no fault of the account: without what it could not read
                except CredentialRejected as error:
                    renewed = await self._renewed(exchange, candidate, tries)
                    if renewed is None:
                        self._cool(visit, candidate, error)
                        raise
                    candidate = renewed
                except UpstreamError as error:
                    self._cool(visit, candidate, error)
                    raise
                else:
                    if visit is not None:
                        if isinstance(answer, Opened) and not answer.closed:
                            exchange.visit = visit
                            self._health.answered(visit)
                        else:
                            self._health.succeeded(visit)
                    return answer

    async def _renewed(self, exchange: Exchange, candidate: Candidate, tries: Tries) -> Candidate | None:
        """The candidate with other tokens than those it refused; once per request."""
        if self._refresher is None or tries.has_renewed or not tries.left:
            return None
        tries.has_renewed = True
        account = await self._refresher.renewed(candidate.account)
        if account is None:
            return None
        exchange.served_by = renewed = msgspec.structs.replace(candidate, account=account)
        return renewed

    async def _attempt(self, exchange: Exchange, candidate: Candidate, tries: Tries) -> Answer | Opened:
        started_s = exchange.elapsed_s
        tries.answered = False
        stream: UpstreamStream | None = None
        try:
            operation = candidate.translator.operations[exchange.operation]
            headers = self._headers[candidate.translator.dialect]
            shaped = shape(exchange, candidate, operation, headers, self._passports)
            exchange.relayed = shaped.request is None
            exchange.losses = shaped.outgoing.losses
            if exchange.route is not None and exchange.operation == "chat":
                exchange.running = self._router.begin(exchange.route, candidate, time.monotonic())
            watch = _watch(exchange, tries, started_s)
            connect_s = exchange.patience.connect_s or None
            if exchange.route is not None and len(exchange.route.overview.homes) > 1:
                connect_s = self._connect_s(exchange, candidate, tries)
            try:
                with watch:
                    stream = await candidate.transport.send(shaped.http, connect_timeout_s=connect_s)
                    tries.answered = True
                    if self._quotas is not None:
                        self._quotas.heard(candidate.target, stream.headers)
                    answer = await self._answers.read(exchange, candidate, shaped, stream, watch)
            except TimeoutError as error:
                raise too_late(watch, error) from error
        except BaseException as error:
            if stream is not None:
                stream.close()
            meaning = self._failed(exchange, candidate, tries, started_s, error)
            if meaning is error:
                raise
            raise meaning from error
        first_content_s = exchange.first_content_s = exchange.elapsed_s
        if exchange.running is not None:
            exchange.running.answered(first_content_s - started_s)
        note(exchange, candidate, started_s, 200, ended_s=first_content_s)
        return answer

    def _connect_s(self, exchange: Exchange, candidate: Candidate, tries: Tries) -> float | None:
        """Nobody waits long for a connection while another upstream is at hand. None: for ever."""
        usual_s, short_s = exchange.patience.connect_s, self._timeouts.failover_connect_s
        if short_s and (not usual_s or usual_s > short_s) and self._has_another(exchange, candidate, tries):
            return short_s
        return usual_s or None

    def _has_another(self, exchange: Exchange, candidate: Candidate, tries: Tries) -> bool:
        """A candidate elsewhere could be asked after this one, as things stand."""
        route, home = exchange.route, candidate.account.base_url
        if route is None or tries.left < 2:
            return False
        tried = {failed.target for failed, _ in tries.failed}
        return any(
            other.account.base_url != home
            and other.target not in tried
            and self._screening.skip(other, tries.needs) is None
            for other in route.overview.by_target.values()
        )

    # --- what became of it --------------------------------------------------------------------------------------------

    def _cool(self, visit: Visit | None, candidate: Candidate, error: UpstreamError) -> None:
        if visit is None:
            return
        mark = self._health.failed(visit, error)
        if mark is not None and mark.failures == 1 and mark.reason in SAID:
            left_s = round(mark.due_s - self._health.clock())
            log.warning("account left out", account=candidate.account.id, reason=mark.reason, for_s=left_s)

    def _failed(
        self, exchange: Exchange, candidate: Candidate, tries: Tries, started_s: float, error: BaseException
    ) -> BaseException:
        """Note what ended an attempt. Returns what it means: what breaks in a plugin's code is this candidate's failure, as
        another one's plugin may do better."""
        if isinstance(error, asyncio.CancelledError):
            note(exchange, candidate, started_s, None, "client_closed" if exchange.client_gone else Draining.code)
            return error
        if isinstance(error, InvalidRequest):
            note(exchange, candidate, started_s, None, error.code, sent=False)
            return error
        if isinstance(error, GatewayError) and not isinstance(error, UpstreamError):
            return error
        if not isinstance(error, Exception):
            return error
        failure = error if isinstance(error, UpstreamError) else _plugin_failed(exchange, candidate, error)
        blame(failure, candidate)
        tries.lost(candidate, failure)
        note(exchange, candidate, started_s, failure.upstream_status, failure.code, failure.retry_after_s)
        if exchange.running is not None:
            ok = False if failure.try_next else None  # what nobody else would take either is the request's fault
            exchange.running.end(ok=ok, error=failure.code, after_s=exchange.elapsed_s - started_s)
        return failure


def _plugin_failed(exchange: Exchange, candidate: Candidate, error: Exception) -> PluginFailed:
    name = candidate.target.provider
    log.error("plugin failed", provider=name, request_id=exchange.request_id, exc_info=error)
    return PluginFailed(
        f"the code that speaks with provider {name!r} failed on this request",
        why=type(error).__name__,
        fix=f"the gateway's log has the rest under {exchange.request_id}",
    )


def blame(error: UpstreamError, candidate: Candidate) -> None:
    """Fill in whose failure it was."""
    target = candidate.target
    error.provider, error.model, error.account = target.provider, target.model, target.account


def note(
    exchange: Exchange,
    candidate: Candidate,
    started_s: float,
    status: int | None,
    error: str | None = None,
    retry_after_s: float | None = None,
    *,
    sent: bool = True,
    ended_s: float | None = None,
) -> None:
    """A line in the request's record. `ended_s` is now, where that is known."""
    target = candidate.target
    exchange.attempts.append(
        AttemptRecord(
            provider=target.provider,
            model=target.model,
            account=target.account,
            status=status,
            error=error,
            sent=sent,
            started_s=started_s,
            duration_s=(exchange.elapsed_s if ended_s is None else ended_s) - started_s,
            retry_after_s=retry_after_s,
        )
    )


def _watch(exchange: Exchange, tries: Tries, elapsed_s: float) -> Watch:
    """Over what comes up to the first content. `exchange.patience` is the candidate's."""
    patience = exchange.patience
    said_s = None if exchange.route is None else exchange.route.terms.first_byte_s
    limit_s = patience.first_byte_s if said_s is None else said_s
    if tries.deadline_s:
        left_s = tries.deadline_s - elapsed_s
        if not limit_s or left_s < limit_s:
            limit_s = max(left_s, SHORTEST_S)
    return Watch(limit_s, limit_s=patience.left_s(elapsed_s), task=exchange.task)
