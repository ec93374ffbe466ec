"""What an upstream's answer becomes: a whole answer, or a stream that is open and committed.

Clients get the form they asked for, whatever form the upstream chose: what came decides, by its content type.
"""

from collections.abc import AsyncIterator, Mapping

import msgspec

from omniroute.contracts import Framing, HttpResponse, Translator, UpstreamStream
from omniroute.errors import UpstreamError, UpstreamGarbled
from omniroute.exchange import Exchange
from omniroute.model import ChatResponse, ToolCallPart, Usage
from omniroute.passport import Passports
from omniroute.routing import Candidate
from omniroute.shaping import Shaped
from omniroute.streaming import Incoming, Passage, Relay, Translation, collect, explode
from omniroute.transport import read_whole

__all__ = ["Answer", "Answers", "Opened"]

ERROR_BODY_BYTES = 64 * 1024
WHOLE_BODY_BYTES = 64 * 1024 * 1024


class Answer(msgspec.Struct, kw_only=True):
    """A whole answer, ready to be sent."""

    body: bytes
    usage: Usage | None
    is_stream: bool = False
    """`body` is all of a stream at once: the client asked for one and the upstream had none."""


class Opened(msgspec.Struct, kw_only=True):
    """A stream that is committed: `held` goes to the client first, then what `passage` makes of `chunks`."""

    stream: UpstreamStream
    chunks: AsyncIterator[bytes]
    passage: Passage
    held: bytes
    closed: bool
    """The upstream has already ended; `held` is all there is."""


class Answers:
    """Reads answers. One per gateway."""

    def __init__(self, framings: Mapping[str, Framing], passports: Passports) -> None:
        self._framings = framings
        self._passports = passports

    async def read(
        self, exchange: Exchange, candidate: Candidate, shaped: Shaped, stream: UpstreamStream
    ) -> Answer | Opened:
        """Up to the first content event of a stream, or all of a whole answer. Raises what the provider makes of a refusal."""
        assert exchange.head is not None
        if stream.status != 200:
            raise await _refusal(stream, candidate)
        framing = self._framings[candidate.translator.framing]
        if not stream.headers.get("content-type", "").startswith(framing.content_type):
            return await self._whole(exchange, candidate, shaped, stream)
        if exchange.head.stream:
            return await self._open(exchange, candidate, shaped, stream, framing)
        response = await _gather(stream, framing, candidate.translator)
        return self._encoded(exchange, candidate, shaped, response)

    # --- whole answers ------------------------------------------------------------------------------------------------

    async def _whole(self, exchange: Exchange, candidate: Candidate, shaped: Shaped, stream: UpstreamStream) -> Answer:
        assert exchange.head is not None
        upstream = candidate.translator
        body = await read_whole(stream, WHOLE_BODY_BYTES)
        if len(body) > WHOLE_BODY_BYTES:
            raise UpstreamGarbled(f"the upstream's answer is longer than {WHOLE_BODY_BYTES} bytes")
        if exchange.operation == "count_tokens":
            return Answer(body=exchange.translator.encode_token_count(upstream.decode_token_count(body)), usage=None)
        as_it_is = shaped.request is None and not exchange.head.stream and not candidate.provider.facts.is_quirky
        if as_it_is and not upstream.needs_rewrite(body):
            usage = upstream.decode_usage(body)
            watch = self._passports.watcher(upstream.dialect, candidate.target.provider)
            if watch is not None:
                watch(body)
            return Answer(body=body, usage=usage)
        return self._encoded(exchange, candidate, shaped, upstream.decode_response(body))

    def _encoded(self, exchange: Exchange, candidate: Candidate, shaped: Shaped, response: ChatResponse) -> Answer:
        assert exchange.head is not None
        exchange.relayed = False
        self._passports.remember_parts(response.parts, candidate.target.provider)
        response = _with_names(response, shaped.outgoing.tool_names)
        client = exchange.translator
        if not exchange.head.stream:
            return Answer(body=client.encode_response(response, exchange.request()), usage=response.usage)
        encoder, writer = client.response_encoder(exchange.request()), self._client_framing(exchange).writer()
        frames = [frame for event in explode(response) for frame in encoder.feed(event)]
        body = b"".join(map(writer.encode, [*frames, *encoder.close()])) + writer.close()
        return Answer(body=body, usage=response.usage, is_stream=True)

    # --- streams ------------------------------------------------------------------------------------------------------

    async def _open(
        self, exchange: Exchange, candidate: Candidate, shaped: Shaped, stream: UpstreamStream, framing: Framing
    ) -> Opened:
        """Read up to the first content event; what comes before it is held back."""
        passage: Passage
        relay: Relay | None = None
        if shaped.request is None and not candidate.provider.facts.is_quirky:
            watch = self._passports.watcher(candidate.translator.dialect, candidate.target.provider)
            passage = relay = Relay(framing, candidate.translator.tap(), watch, self._client_framing(exchange))
        else:
            passage = self._translation(exchange, candidate, shaped, framing)
        seen, held, closed = b"", b"", False
        chunks = stream.chunks()
        async for data in chunks:
            seen += data
            held += passage.feed(data)
            if relay is not None and relay.needs_rewrite:
                exchange.relayed, relay = False, None
                passage = self._translation(exchange, candidate, shaped, framing)
                held = passage.feed(seen)
            if passage.content or passage.ended:
                break
        else:
            held, closed = held + passage.close(), True
        return Opened(stream=stream, chunks=chunks, passage=passage, held=held, closed=closed)

    def _translation(self, exchange: Exchange, candidate: Candidate, shaped: Shaped, framing: Framing) -> Translation:
        provider = candidate.target.provider
        return Translation(
            Incoming(framing, candidate.translator.response_decoder()),
            exchange.translator.response_encoder(exchange.request()),
            self._client_framing(exchange),
            shaped.outgoing.tool_names,
            lambda event: self._passports.remember(event, provider),
        )

    def _client_framing(self, exchange: Exchange) -> Framing:
        return self._framings[exchange.translator.stream_framing(exchange.params)]


async def _refusal(stream: UpstreamStream, candidate: Candidate) -> UpstreamError:
    """What an answer other than 200 means."""
    body = await read_whole(stream, ERROR_BODY_BYTES)
    response = HttpResponse(status=stream.status, headers=stream.headers, body=body)
    return candidate.provider.classify(response) or UpstreamGarbled(
        f"the upstream answered {stream.status}, which means nothing here", status=None
    )


async def _gather(stream: UpstreamStream, framing: Framing, upstream: Translator) -> ChatResponse:
    """A stream to its end, folded; for clients that want the answer whole."""
    incoming = Incoming(framing, upstream.response_decoder())
    events, size = [], 0
    async for data in stream.chunks():
        size += len(data)
        if size > WHOLE_BODY_BYTES:
            raise UpstreamGarbled(f"the upstream's answer is longer than {WHOLE_BODY_BYTES} bytes")
        events += incoming.feed(data)
    events += incoming.close()
    return collect(events)


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
