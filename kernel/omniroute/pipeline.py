"""One request, from its first byte to its record. Read it top to bottom.

who -> read -> decode the head -> route -> try candidates until one answers -> send -> account. Everything that can be
prepared stands ready in the registry; a request meets neither pluggy nor the disk.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from omniroute.answers import Answer, Opened
from omniroute.attempts import Attempts
from omniroute.clock import Watch
from omniroute.contracts import Authenticator, Headers, Principal, RouteContext
from omniroute.errors import (
    AuthenticationFailed,
    Draining,
    GatewayError,
    InternalError,
    UnsupportedMediaType,
    UpstreamError,
    UpstreamTimeout,
)
from omniroute.exchange import Exchange, Receive, Scope
from omniroute.json_guard import check_json
from omniroute.logs import Redactor, get_logger, log_request
from omniroute.model import Loss
from omniroute.routing import Candidate, Router
from omniroute.server.messages import ClientDisconnected, read_body
from omniroute.server.strangers import vouch
from omniroute.settings import Settings
from omniroute.streaming import Passage
from omniroute.tokens import TokenCounts

if TYPE_CHECKING:
    from omniroute.telemetry import Telemetry

__all__ = ["Pipeline"]

log = get_logger(__name__)

STREAM_HEADERS = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
BYTES_PER_TOKEN = 4
ESTIMATED = ((b"x-omniroute-estimated", b"true"),)


class Pipeline:
    def __init__(
        self,
        *,
        settings: Settings,
        authenticators: Sequence[Authenticator],
        router: Router,
        attempts: Attempts,
        telemetry: "Telemetry",
        content_types: Mapping[str, bytes],
        token_counts: TokenCounts,
        redactor: Redactor,
        is_draining: Callable[[], bool],
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`content_types`: framing -> the media type of its streams. `draw` is the strategies' chance, 0 to 1."""
        self._authenticators = authenticators
        self._router = router
        self._attempts = attempts
        self._telemetry = telemetry
        self._content_types = content_types
        self._token_counts = token_counts
        self._max_body_bytes = settings.limits.max_body_bytes
        self._max_json_depth = settings.limits.max_json_depth
        self._loss_policy = settings.translation.loss
        self._redactor = redactor
        self._is_draining = is_draining
        self._draw = draw

    # --- the whole of it ----------------------------------------------------------------------------------------------

    async def run(self, exchange: Exchange, scope: Scope, receive: Receive) -> None:
        """Answer one model request. Never raises: when the server cancels what still runs at its end, the client is told."""
        try:
            await self._admit(exchange, scope)
            exchange.body = await read_body(scope, receive, self._max_body_bytes)
            with _Presence(exchange, receive):
                await self._serve(exchange)
        except asyncio.CancelledError:
            if exchange.client_gone:
                exchange.outcome = "client_closed"
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
            record = exchange.record()
            log_request(record)
            self._telemetry.record(record)

    async def _admit(self, exchange: Exchange, scope: Scope) -> None:
        if exchange.fault is not None:
            raise exchange.fault
        exchange.principal = await authenticate(
            self._authenticators, exchange.headers, exchange.params, (scope.get("client") or ("",))[0]
        )
        vouch(scope)
        if self._is_draining():
            raise shutting_down()
        check_media_type(exchange.headers)

    async def _serve(self, exchange: Exchange) -> None:
        check_json(exchange.body, max_depth=self._max_json_depth)
        head = exchange.head = exchange.translator.read_head(exchange.body, exchange.params, exchange.headers)
        route = exchange.route = self._router.resolve(head.model)
        assert exchange.principal is not None
        exchange.loss_policy = exchange.principal.loss or route.loss or self._loss_policy
        if exchange.operation == "count_tokens":
            await self._count_tokens(exchange, list(self._router.candidates(route, None)))
            return
        context = RouteContext(
            combo="",
            session=head.session,
            now_s=asyncio.get_running_loop().time(),
            draw=self._draw,
            standing=self._router.standing.view,
            input_tokens_estimate=len(exchange.body) // BYTES_PER_TOKEN,
        )
        answer = await self._attempts.first(exchange, self._router.candidates(route, context))
        if exchange.losses and exchange.loss_policy == "warn":
            log.warning(
                "translation loses", request_id=exchange.request_id, losses=[_shown(x) for x in exchange.losses]
            )
        if isinstance(answer, Answer):
            exchange.usage, exchange.outcome = answer.usage, "ok"
            if answer.is_stream:
                await self._recite(exchange, answer)
            else:
                await exchange.answer(200, answer.body)
        else:
            await self._stream(exchange, answer)

    async def _recite(self, exchange: Exchange, answer: Answer) -> None:
        """A stream that arrived at once."""
        await exchange.start(200, ((b"content-type", self._content_type(exchange)), *STREAM_HEADERS))
        await exchange.send(answer.body, more=False)

    def _content_type(self, exchange: Exchange) -> bytes:
        return self._content_types[exchange.translator.stream_framing(exchange.params)]

    async def _stream(self, exchange: Exchange, opened: Opened) -> None:
        """Pass the stream on until it ends in one of two ways: whole, or with the dialect's error event."""
        passage = opened.passage
        try:
            await exchange.start(200, ((b"content-type", self._content_type(exchange)), *STREAM_HEADERS))
            if opened.held:
                await exchange.send(opened.held, more=True)
            last = b"" if opened.closed else await self._relay(exchange, opened)
            exchange.outcome = "ok"
        except UpstreamError as error:
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
            with Watch(exchange.idle_s) as watch:
                async for data in opened.chunks:
                    out = passage.feed(data)
                    if out:
                        watch.pause()  # a slow reader is not a silent upstream
                        await exchange.send(out, more=True)
                    watch.touch()
        except TimeoutError as error:
            raise UpstreamTimeout("the upstream fell silent in mid-answer", why=str(error)) from error
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
        if not exchange.started:
            await exchange.refuse(self._discreet(error))

    def _discreet(self, error: GatewayError) -> GatewayError:
        """An upstream that repeats a credential does not get it any further."""
        error.message = self._redactor.known(error.message)
        error.why = error.why and self._redactor.known(error.why)
        error.fix = error.fix and self._redactor.known(error.fix)
        error.param = error.param and self._redactor.known(error.param)
        return error


class _Presence:
    """Cancels the request when its client leaves, also while an upstream has not answered yet.

    Nothing else notices in time: the server tells only those who ask it (measured: an abandoned upstream call stayed open
    for more than 8 s).
    """

    __slots__ = ("_exchange", "_receive", "_task", "_watcher")

    def __init__(self, exchange: Exchange, receive: Receive) -> None:
        self._exchange = exchange
        self._receive = receive

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._exchange.client_gone = True
        self._task.cancel()

    def __exit__(self, *_: object) -> None:
        self._watcher.cancel()
        if self._exchange.client_gone:
            self._task.uncancel()


def shutting_down() -> Draining:
    return Draining("the gateway is shutting down", fix="try again in a moment", retry_after_s=1)


async def authenticate(
    authenticators: Sequence[Authenticator], headers: Headers, query: Mapping[str, str], peer: str
) -> Principal:
    """The first authenticator that knows the caller decides. Raises `AuthenticationFailed`."""
    for authenticator in authenticators:
        principal = await authenticator.authenticate(headers, query, peer)
        if principal is not None:
            return principal
    raise AuthenticationFailed(
        "a client key is required", fix="send `Authorization: Bearer KEY`; make one with `omniroute key create NAME`"
    )


def check_media_type(headers: Headers) -> None:
    """Raises `UnsupportedMediaType` for anything but plain JSON."""
    kind = headers.get("content-type")
    if kind is None or kind.partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType(
            f"the content type is {ascii(kind) if kind else 'missing'}", fix="send content-type: application/json"
        )
    coding = headers.get("content-encoding")
    if coding is not None and coding.strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType(f"the content encoding {coding!a} is not taken", fix="send the body as it is")


def _shown(loss: Loss) -> str:
    return f"{loss.pointer}: {loss.kind}, {loss.reason}"


def _counts_tokens(exchange: Exchange, candidate: Candidate) -> bool:
    offered = candidate.provider.facts.operations
    return (
        candidate.translator is exchange.translator
        and "count_tokens" in candidate.translator.operations
        and (offered is None or "count_tokens" in offered)
    )
