"""The one attempt loop: the next candidate until the first content event, never after.

It reads attributes of errors (`try_next`) and knows no status codes; what a failure means is the provider's to say.
"""

import asyncio
from collections.abc import Mapping, Sequence

from omniroute.answers import Answer, Answers, Opened
from omniroute.clock import Watch
from omniroute.contracts import AttemptRecord, Translator, UpstreamStream
from omniroute.errors import (
    Draining,
    GatewayError,
    InvalidRequest,
    NoCandidate,
    RateLimited,
    SignatureRejected,
    UpstreamError,
    UpstreamTimeout,
)
from omniroute.exchange import Exchange
from omniroute.passport import Passports
from omniroute.routing import Candidate
from omniroute.settings import Settings
from omniroute.shaping import shape

__all__ = ["Attempts"]


class Attempts:
    """Tries candidates. One per gateway; all state of a request is in its `Exchange`."""

    def __init__(
        self,
        settings: Settings,
        answers: Answers,
        passports: Passports,
        translators: Mapping[str, Translator],
        agent: str,
    ) -> None:
        self._timeouts = settings.timeouts
        self._max_attempts = settings.routing.max_attempts
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

    async def first(self, exchange: Exchange, candidates: Sequence[Candidate]) -> Answer | Opened:
        """The first candidate's answer that can be sent on. Raises the error the client should see."""
        failed: list[UpstreamError] = []
        unable: list[InvalidRequest] = []
        for candidate in candidates:
            if len(failed) >= self._max_attempts:
                break
            exchange.served_by = candidate
            try:
                return await self._try(exchange, candidate)
            except InvalidRequest as error:  # this dialect cannot say it; another candidate's may
                unable.append(error)
            except UpstreamError as error:
                failed.append(error)
                if not error.try_next:
                    raise
        raise verdict(failed, unable)

    async def _try(self, exchange: Exchange, candidate: Candidate) -> Answer | Opened:
        try:
            return await self._noted(exchange, candidate)
        except SignatureRejected:
            if exchange.without_signatures:
                raise
            exchange.without_signatures = True  # no fault of the account: once more, without what it could not read
            return await self._noted(exchange, candidate)

    async def _noted(self, exchange: Exchange, candidate: Candidate) -> Answer | Opened:
        """One attempt, with its line in the record."""
        started_s = exchange.elapsed_s
        try:
            answer = await self._attempt(exchange, candidate)
        except UpstreamError as error:
            _blame(error, candidate)
            _note(exchange, candidate, started_s, error.upstream_status, error.code, error.retry_after_s)
            raise
        except InvalidRequest as error:
            _note(exchange, candidate, started_s, None, error.code, sent=False)
            raise
        except asyncio.CancelledError:
            _note(exchange, candidate, started_s, None, "client_closed" if exchange.client_gone else Draining.code)
            raise
        exchange.first_content_s = exchange.elapsed_s
        _note(exchange, candidate, started_s, 200)
        return answer

    async def _attempt(self, exchange: Exchange, candidate: Candidate) -> Answer | Opened:
        dialect = candidate.translator.dialect
        operation = candidate.translator.operations[exchange.operation]
        shaped = shape(exchange, candidate, operation, self._headers[dialect], self._passports)
        exchange.relayed = shaped.request is None
        exchange.losses = shaped.outgoing.losses
        limits = candidate.provider.facts.timeouts
        connect_s = _either(limits.connect_s, self._timeouts.connect_s)
        exchange.idle_s = _either(limits.idle_s, self._timeouts.idle_s)
        stream: UpstreamStream | None = None
        try:
            with Watch(_either(limits.first_byte_s, self._timeouts.first_byte_s)):
                stream = await candidate.transport.send(shaped.http, connect_timeout_s=connect_s or None)
                return await self._answers.read(exchange, candidate, shaped, stream)
        except TimeoutError as error:
            _close(stream)
            raise UpstreamTimeout("the upstream did not begin to answer in time", why=str(error)) from error
        except BaseException:
            _close(stream)
            raise


def _blame(error: UpstreamError, candidate: Candidate) -> None:
    """Fill in whose failure it was; an upstream that repeats its credential does not get it any further."""
    target = candidate.target
    error.provider, error.model, error.account = target.provider, target.model, target.account
    if candidate.account.credential is not None:
        error.message = error.message.replace(candidate.account.credential.access.reveal(), "***")


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


def verdict(failed: Sequence[UpstreamError], unable: Sequence[InvalidRequest]) -> GatewayError:
    """What to tell the client when every candidate failed: the last failure, and in `why` what each one said."""
    if not failed:
        return unable[0] if unable else NoCandidate("no candidate can serve this request")
    last = failed[-1]
    if len(failed) > 1:
        said = (f"{error.provider}/{error.model} ({error.account}): {error.code}" for error in failed)
        last.why = "all candidates failed: " + "; ".join(said)
        if all(isinstance(error, RateLimited) for error in failed):
            hints = [error.retry_after_s for error in failed if error.retry_after_s is not None]
            last.retry_after_s = min(hints, default=None)
    return last


def _either(fact: float | None, setting: float) -> float:
    return setting if fact is None else fact


def _close(stream: UpstreamStream | None) -> None:
    if stream is not None:
        stream.close()
