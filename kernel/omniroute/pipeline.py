"""One request, from its first byte to its record. Read it top to bottom.

who -> read -> decode the head -> route -> try candidates until one answers -> send -> account. Everything that can be
prepared stands ready in the registry; a request meets neither pluggy nor the disk.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from omniroute.answers import Answer, Opened
from omniroute.attempts import Attempts
from omniroute.clock import Watch
from omniroute.contracts import Authenticator, Framing, Headers, Principal
from omniroute.errors import (
    AuthenticationFailed,
    Draining,
    GatewayError,
    InternalError,
    UnsupportedMediaType,
    UpstreamError,
)
from omniroute.exchange import Exchange, Receive, Scope
from omniroute.framing import keepalive
from omniroute.gates import Gates
from omniroute.idempotency import Repeats
from omniroute.keepalive import KeepAlive
from omniroute.logs import Redactor, get_logger, log_request
from omniroute.model import Loss
from omniroute.patience import too_late
from omniroute.planning import Planner
from omniroute.routing import Candidate, Router
from omniroute.server.attendant import attendant_of
from omniroute.server.messages import ClientDisconnected, read_body
from omniroute.settings import Settings
from omniroute.streaming import Passage
from omniroute.tokens import TokenCounts

if TYPE_CHECKING:
    from omniroute.telemetry import Telemetry

__all__ = ["Pipeline", "authenticator_of", "key_required"]

Authenticate: TypeAlias = Callable[[Headers, Mapping[str, str], str], Awaitable[Principal | None]]
"""By headers, query and address."""

log = get_logger(__name__)

JSON = "application/json"
STREAM_HEADERS = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
ESTIMATED = ((b"x-omniroute-estimated", b"true"),)
STOPPED_READING = "client_stopped_reading"
"""In the record of a request whose client was cut off after `timeouts.write_s`."""


class Pipeline:
    def __init__(
        self,
        *,
        settings: Settings,
        authenticators: Sequence[Authenticator],
        router: Router,
        planner: Planner,
        attempts: Attempts,
        telemetry: "Telemetry",
        framings: Mapping[str, Framing],
        token_counts: TokenCounts,
        redactor: Redactor,
        is_draining: Callable[[], bool],
        gates: Gates | None = None,
    ) -> None:
        self._authenticate = authenticator_of(authenticators)
        self._router = router
        self._planner = planner
        self._attempts = attempts
        self._gates = gates
        self._repeats = Repeats(keyed=settings.routing.idempotency, window_s=settings.routing.dedup_window_s)
        self._telemetry = telemetry
        self._framings = framings
        self._keepalive_s = settings.timeouts.keepalive_s
        self._token_counts = token_counts
        self._max_body_bytes = settings.limits.max_body_bytes
        self._redactor = redactor
        self._is_draining = is_draining

    # --- the whole of it ----------------------------------------------------------------------------------------------

    async def run(self, exchange: Exchange, scope: Scope, receive: Receive) -> None:
        """Answer one model request. Never raises: when the server cancels what still runs at its end, the client is told."""
        attendant = attendant_of(scope, receive)
        exchange.attendant = attendant
        try:
            if exchange.fault is not None:
                raise exchange.fault
            peer = (scope.get("client") or ("",))[0]
            exchange.principal = await self._authenticate(exchange.headers, exchange.params, peer)
            if exchange.principal is None:
                raise key_required()
            attendant.vouch()
            if self._is_draining():
                raise shutting_down()
            check_media_type(exchange.headers)
            body = attendant.take_body(self._max_body_bytes)
            if body is None:
                body = await read_body(exchange.headers.get("content-length"), receive, self._max_body_bytes)
            exchange.body = body
            exchange.task = attendant.task  # cancelled when the client leaves, also before an upstream has answered
            attendant.watch_leaving(exchange.abandon)
            try:
                self._planner.read(exchange)
                await self._repeats.serve(exchange, self._answer)
            finally:
                attendant.watch_leaving(None)
                if exchange.client_gone and exchange.task is not None:
                    exchange.task.uncancel()
        except asyncio.CancelledError:
            if exchange.client_gone:
                exchange.outcome = "client_closed"
                exchange.error = STOPPED_READING if attendant.has_stalled() else None
            else:
                await self._refuse(exchange, shutting_down())
        except ClientDisconnected:
            exchange.outcome = "client_closed"
        except GatewayError as error:
            await self._refuse(exchange, error)
        except Exception as error:
            log.exception("request failed", request_id=exchange.request_id, exc_info=error)
            await self._refuse(exchange, self._our_fault(exchange))
        finally:
            if exchange.running is not None:  # the client has left and the gateway stops by nobody's fault
                exchange.running.end(ok=True if exchange.outcome == "ok" else None)
            exchange.release()
            record = exchange.record()
            log_request(record)
            self._telemetry.record(record)

    async def _answer(self, exchange: Exchange) -> None:
        """Have it answered by somebody."""
        assert exchange.head is not None
        assert exchange.route is not None
        assert exchange.principal is not None
        signs_of_life = self._signs_of_life(exchange) if exchange.head.stream else None
        try:
            if self._gates is not None and self._gates.concern(exchange.principal):
                await self._gates.admit(exchange)
            if exchange.operation == "count_tokens":
                await self._count_tokens(exchange, list(self._router.candidates(exchange.route, None)))
                return
            candidates = self._planner.candidates(exchange, time.monotonic())
            answer = await self._attempts.first(exchange, candidates)
            self._planner.served(exchange, answer.body if isinstance(answer, Answer) else answer.held)
            await self._deliver(exchange, answer)
        finally:
            if signs_of_life is not None:
                signs_of_life.stop()

    def _signs_of_life(self, exchange: Exchange) -> KeepAlive:
        framing = self._client_framing(exchange)
        sign = keepalive(exchange.translator, framing)
        signs = KeepAlive(exchange, self._keepalive_s, sign, _stream_headers(framing))
        signs.start()
        return signs

    def _deliver(self, exchange: Exchange, answer: Answer | Opened) -> Awaitable[None]:
        """To be awaited: what sends the answer, for a coroutine around it would be resumed with every chunk."""
        if exchange.losses and exchange.loss_policy == "warn":
            log.warning(
                "translation loses", request_id=exchange.request_id, losses=[_shown(x) for x in exchange.losses]
            )
        if isinstance(answer, Opened):
            return self._stream(exchange, answer)
        exchange.usage, exchange.outcome = answer.usage, "ok"
        return self._recite(exchange, answer) if answer.is_stream else exchange.answer(200, answer.body)

    async def _recite(self, exchange: Exchange, answer: Answer) -> None:
        """A stream that arrived at once."""
        await self._begin(exchange)
        await exchange.send(answer.body, more=False)

    async def _begin(self, exchange: Exchange) -> None:
        """The head of a stream, unless a sign of life has taken it along."""
        if not exchange.started:
            await exchange.start(200, _stream_headers(self._client_framing(exchange)))

    def _client_framing(self, exchange: Exchange) -> Framing:
        return self._framings[exchange.translator.stream_framing(exchange.params)]

    async def _stream(self, exchange: Exchange, opened: Opened) -> None:
        """Pass the stream on until it ends in one of two ways: whole, or with the dialect's error event."""
        passage = opened.passage
        try:
            await self._begin(exchange)
            if opened.held:
                await exchange.send(opened.held, more=True)
            last = b"" if opened.closed else await self._relay(exchange, opened)
            exchange.outcome = "ok"
            if exchange.visit is not None:
                exchange.visit.ended()
        except UpstreamError as error:
            if exchange.visit is not None:
                exchange.visit.ended(error)
            if exchange.running is not None:
                exchange.running.end(ok=False, error=error.code)
            last = self._break_off(exchange, passage, error)
        except asyncio.CancelledError:
            if exchange.client_gone:
                raise
            last = self._break_off(exchange, passage, shutting_down())
        except Exception as error:
            log.exception("stream failed", request_id=exchange.request_id, exc_info=error)
            last = self._break_off(exchange, passage, self._our_fault(exchange))
        finally:
            exchange.usage = passage.usage
            opened.stream.close()
        await exchange.send(last, more=False)

    @staticmethod
    async def _relay(exchange: Exchange, opened: Opened) -> bytes:
        """The rest of the stream; returns what is to be sent last."""
        passage = opened.passage
        try:
            patience = exchange.patience
            with Watch(patience.idle_s, limit_s=patience.left_s(exchange.elapsed_s), task=exchange.task) as watch:
                watch.renewed = True
                async for data in opened.chunks:
                    out = passage.feed(data)
                    if out:
                        watch.pause()  # a slow reader is not a silent upstream
                        await exchange.send(out, more=True)
                    watch.touch()
        except TimeoutError as error:
            raise too_late(watch, error) from error
        return passage.close()

    # --- token counts -------------------------------------------------------------------------------------------------

    async def _count_tokens(self, exchange: Exchange, candidates: Sequence[Candidate]) -> None:
        """The upstream's own count where it has one, else an estimate that says so."""
        able = [candidate for candidate in candidates if _counts_tokens(exchange, candidate)]
        exchange.outcome = "ok"
        if able:
            try:
                answer = await self._attempts.first(exchange, able)
            except UpstreamError as error:
                log.info("token count estimated", request_id=exchange.request_id, error=error.code)
            else:
                assert isinstance(answer, Answer)
                await exchange.answer(200, answer.body)
                return
        assert exchange.head is not None
        model = candidates[0].model.id if candidates else exchange.head.model
        tokens = await self._token_counts.input_tokens(exchange.request(), model)
        await exchange.answer(200, exchange.translator.encode_token_count(tokens), ESTIMATED)

    # --- the ends -----------------------------------------------------------------------------------------------------

    def _break_off(self, exchange: Exchange, passage: Passage, error: GatewayError) -> bytes:
        exchange.outcome, exchange.error = "error", error.code
        return passage.fail(self._discreet(error))

    @staticmethod
    def _our_fault(exchange: Exchange) -> InternalError:
        return InternalError("the gateway failed", why=f"its log has the rest under {exchange.request_id}")

    async def _refuse(self, exchange: Exchange, error: GatewayError) -> None:
        """In the client's dialect: as a status while there is none, else as the stream's last event."""
        error = self._discreet(error)
        if not exchange.started:
            await exchange.refuse(error)
        elif not exchange.finished:
            exchange.outcome, exchange.error = "error", error.code
            writer = self._client_framing(exchange).writer()
            last = b"".join(map(writer.encode, exchange.translator.tap().fail(error))) + writer.close()
            await exchange.send(last, more=False)

    def _discreet(self, error: GatewayError) -> GatewayError:
        """An upstream that repeats a credential does not get it any further."""
        error.message = self._redactor.known(error.message)
        error.why = error.why and self._redactor.known(error.why)
        error.fix = error.fix and self._redactor.known(error.fix)
        error.param = error.param and self._redactor.known(error.param)
        return error


def shutting_down() -> Draining:
    return Draining("the gateway is shutting down", fix="try again in a moment", retry_after_s=1)


def authenticator_of(authenticators: Sequence[Authenticator]) -> Authenticate:
    """Asks one after the other who is calling; the first that knows decides. None: nobody does."""
    if len(authenticators) == 1:  # as nearly always; a coroutine around it would cost every request
        return authenticators[0].authenticate

    async def ask_all(headers: Headers, query: Mapping[str, str], peer: str) -> Principal | None:
        for authenticator in authenticators:
            principal = await authenticator.authenticate(headers, query, peer)
            if principal is not None:
                return principal
        return None

    return ask_all


def key_required() -> AuthenticationFailed:
    return AuthenticationFailed(
        "a client key is required", fix="send `Authorization: Bearer KEY`; make one with `omniroute key create NAME`"
    )


def check_media_type(headers: Headers) -> None:
    """Raises `UnsupportedMediaType` for anything but plain JSON."""
    kind = headers.get("content-type")
    if kind != JSON and (kind is None or kind.partition(";")[0].strip().lower() != JSON):
        raise UnsupportedMediaType(
            f"the content type is {ascii(kind) if kind else 'missing'}", fix="send content-type: application/json"
        )
    coding = headers.get("content-encoding")
    if coding is not None and coding.strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType(f"the content encoding {coding!a} is not taken", fix="send the body as it is")


def _stream_headers(framing: Framing) -> Sequence[tuple[bytes, bytes]]:
    return ((b"content-type", framing.content_type.encode()), *STREAM_HEADERS)


def _shown(loss: Loss) -> str:
    return f"{loss.pointer}: {loss.kind}, {loss.reason}"


def _counts_tokens(exchange: Exchange, candidate: Candidate) -> bool:
    offered = candidate.provider.facts.operations
    return (
        candidate.translator is exchange.translator
        and "count_tokens" in candidate.translator.operations
        and (offered is None or "count_tokens" in offered)
    )
