"""The one attempt loop: the next candidate until the first content event, never after.

It reads attributes of errors (`try_next`) and knows no status codes; what a failure means is the provider's to say.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from omniroute.clock import Watch
from omniroute.contracts import (
    AttemptRecord,
    Call,
    Framing,
    HttpRequest,
    HttpResponse,
    Outgoing,
    Translator,
    UpstreamOperation,
    UpstreamStream,
)
from omniroute.errors import (
    NoCandidate,
    RateLimited,
    UpstreamError,
    UpstreamGarbled,
    UpstreamTimeout,
)
from omniroute.exchange import Exchange
from omniroute.model import ChatRequest, ChatResponse, ToolCallPart, Usage
from omniroute.routing import Candidate
from omniroute.settings import Settings
from omniroute.streaming import Passage, Relay, Translation
from omniroute.transport import read_whole

__all__ = ["Answer", "Attempts", "Opened", "shape"]

ERROR_BODY_BYTES = 64 * 1024
WHOLE_BODY_BYTES = 64 * 1024 * 1024


class Answer(msgspec.Struct, kw_only=True):
    """A whole answer, ready to be sent."""

    body: bytes
    usage: Usage | None


class Opened(msgspec.Struct, kw_only=True):
    """A stream that is committed: `held` goes to the client first, then what `passage` makes of `chunks`."""

    stream: UpstreamStream
    chunks: AsyncIterator[bytes]
    passage: Passage
    held: bytes
    closed: bool
    """The upstream has already ended; `held` is all there is."""
    idle_s: float


class Shaped(msgspec.Struct, kw_only=True):
    """A request in the candidate's dialect."""

    http: HttpRequest
    outgoing: Outgoing
    request: ChatRequest | None
    """As it was encoded; None when the client's bytes are relayed."""


def shape(exchange: Exchange, candidate: Candidate, operation: UpstreamOperation, headers: Mapping[str, str]) -> Shaped:
    """Relay the client's bytes when both sides speak one dialect and the provider changes nothing; encode otherwise."""
    assert exchange.head is not None
    upstream, model = candidate.translator, candidate.model.id
    same = upstream is exchange.translator
    request: ChatRequest | None = None
    if not same or candidate.adapts:
        asked = exchange.request()
        request = candidate.provider.adapt(asked, candidate.model)
        if same and request is asked:
            request = None
    if request is None:
        body = exchange.body if model == exchange.head.model else upstream.rename_model(exchange.body, model)
        outgoing = Outgoing(body=body)
    else:
        request = msgspec.structs.replace(request, model=model)
        outgoing = upstream.encode_request(request)
        if request.losses:
            outgoing = msgspec.structs.replace(outgoing, losses=(*request.losses, *outgoing.losses))
    call = Call(
        operation=operation,
        account=candidate.account,
        model=model,
        stream=exchange.head.stream,
        body=outgoing.body,
        headers={**headers, **upstream.request_headers(exchange.headers)} if same else headers,
        credential_place=candidate.place,
    )
    return Shaped(http=candidate.provider.prepare(call), outgoing=outgoing, request=request)


class Attempts:
    """Tries candidates. One per gateway; all state of a request is in its `Exchange`."""

    def __init__(
        self, settings: Settings, framings: Mapping[str, Framing], translators: Mapping[str, Translator], agent: str
    ) -> None:
        self._timeouts = settings.timeouts
        self._max_attempts = settings.routing.max_attempts
        self._framings = framings
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
        for candidate in candidates[: self._max_attempts]:
            started_s = exchange.elapsed_s
            exchange.served_by = candidate
            try:
                answer = await self._attempt(exchange, candidate)
            except UpstreamError as error:
                _blame(error, candidate)
                _note(exchange, candidate, started_s, error.upstream_status, error.code, error.retry_after_s)
                failed.append(error)
                if not error.try_next:
                    raise
            except asyncio.CancelledError:
                _note(exchange, candidate, started_s, None, "client_closed")
                raise
            else:
                exchange.first_content_s = exchange.elapsed_s
                _note(exchange, candidate, started_s, 200)
                return answer
        raise verdict(failed)

    async def _attempt(self, exchange: Exchange, candidate: Candidate) -> Answer | Opened:
        assert exchange.head is not None
        upstream = candidate.translator
        operation = upstream.operations[exchange.operation]
        shaped = shape(exchange, candidate, operation, self._headers[upstream.dialect])
        exchange.relayed = shaped.request is None
        exchange.losses = shaped.outgoing.losses
        limits = candidate.provider.facts.timeouts
        connect_s = _either(limits.connect_s, self._timeouts.connect_s)
        stream: UpstreamStream | None = None
        try:
            with Watch(_either(limits.first_byte_s, self._timeouts.first_byte_s)):
                stream = await candidate.transport.send(shaped.http, connect_timeout_s=connect_s or None)
                if stream.status != 200:
                    raise await _refusal(stream, candidate)
                if exchange.head.stream:
                    idle_s = _either(limits.idle_s, self._timeouts.idle_s)
                    return await self._open(exchange, shaped, stream, upstream, idle_s)
                return await _whole(exchange, shaped, stream, upstream)
        except TimeoutError as error:
            _close(stream)
            raise UpstreamTimeout("the upstream did not begin to answer in time", why=str(error)) from error
        except BaseException:
            _close(stream)
            raise

    async def _open(
        self, exchange: Exchange, shaped: Shaped, stream: UpstreamStream, upstream: Translator, idle_s: float
    ) -> Opened:
        """Read up to the first content event; what comes before it is held back."""
        framing = self._framings[upstream.framing]
        kind = stream.headers.get("content-type", "")
        if not kind.startswith(framing.content_type):
            raise UpstreamGarbled(f"the upstream answered {kind or 'no content type'!r} instead of a stream")
        passage: Passage
        if shaped.request is None:
            passage = Relay(framing, upstream.tap())
        else:
            client = exchange.translator
            passage = Translation(
                framing,
                upstream.response_decoder(),
                client.response_encoder(exchange.request()),
                self._framings[client.framing],
                shaped.outgoing.tool_names,
            )
        held, closed = b"", False
        chunks = stream.chunks()
        async for data in chunks:
            held += passage.feed(data)
            if passage.content or passage.ended:
                break
        else:
            held, closed = held + passage.close(), True
        return Opened(stream=stream, chunks=chunks, passage=passage, held=held, closed=closed, idle_s=idle_s)


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
) -> None:
    exchange.attempts.append(
        AttemptRecord(
            provider=candidate.target.provider,
            model=candidate.target.model,
            account=candidate.target.account,
            status=status,
            error=error,
            started_s=started_s,
            duration_s=exchange.elapsed_s - started_s,
            retry_after_s=retry_after_s,
        )
    )


async def _refusal(stream: UpstreamStream, candidate: Candidate) -> UpstreamError:
    """What an answer other than 200 means."""
    body = await read_whole(stream, ERROR_BODY_BYTES)
    response = HttpResponse(status=stream.status, headers=stream.headers, body=body)
    return candidate.provider.classify(response) or UpstreamGarbled(
        f"the upstream answered {stream.status}, which means nothing here", status=None
    )


async def _whole(exchange: Exchange, shaped: Shaped, stream: UpstreamStream, upstream: Translator) -> Answer:
    body = await read_whole(stream, WHOLE_BODY_BYTES)
    if len(body) > WHOLE_BODY_BYTES:
        raise UpstreamGarbled(f"the upstream's answer is longer than {WHOLE_BODY_BYTES} bytes")
    if exchange.operation == "count_tokens":
        return Answer(body=exchange.translator.encode_token_count(upstream.decode_token_count(body)), usage=None)
    if shaped.request is None:
        return Answer(body=body, usage=upstream.decode_usage(body))
    response = _with_names(upstream.decode_response(body), shaped.outgoing.tool_names)
    return Answer(body=exchange.translator.encode_response(response, exchange.request()), usage=response.usage)


def _with_names(response: ChatResponse, names: Mapping[str, str]) -> ChatResponse:
    if not names:
        return response
    parts = tuple(
        msgspec.structs.replace(part, name=names[part.name])
        if isinstance(part, ToolCallPart) and part.name in names
        else part
        for part in response.parts
    )
    return msgspec.structs.replace(response, parts=parts)


def verdict(failed: Sequence[UpstreamError]) -> UpstreamError | NoCandidate:
    """What to tell the client when every candidate failed: the last failure, and in `why` what each one said."""
    if not failed:
        return NoCandidate(
            "no candidate can serve this request", fix="`omniroute models list` shows what can be asked for"
        )
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
