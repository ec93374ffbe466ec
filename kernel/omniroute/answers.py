"""What an upstream's answer becomes: a whole answer, or a stream that is open and committed.

Clients get the form they asked for, whatever form the upstream chose: what came decides, by its content type.
"""

from collections.abc import AsyncIterator, Mapping

import msgspec

from omniroute.clock import Watch
from omniroute.contracts import Framing, HttpResponse, Translator, UpstreamStream
from omniroute.envelope import Enveloped, opened
from omniroute.errors import UnexpectedContentType, UpstreamError, UpstreamGarbled
from omniroute.exchange import Exchange
from omniroute.model import (
    ChatResponse,
    Event,
    ReasoningDelta,
    TextDelta,
    ToolArgumentsDelta,
    ToolCallPart,
    Usage,
)
from omniroute.passport import Passports
from omniroute.routing import Candidate
from omniroute.shaping import Shaped
from omniroute.streaming import Incoming, Passage, Relay, Translation, collect, explode, in_client_names
from omniroute.transport import read_at_once, read_whole

__all__ = ["Answer", "Answers", "Opened"]

ERROR_BODY_BYTES = 64 * 1024
WHOLE_BODY_BYTES = 64 * 1024 * 1024
OPENING_BYTES = 8 * 1024 * 1024
"""Of a stream before its first content."""
JSON = "application/json"
UNTYPED = frozenset({"", "text/plain", "application/octet-stream"})
"""Content types that say nothing: some upstreams send JSON under them."""
CONTENT = (TextDelta, ReasoningDelta, ToolArgumentsDelta)


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
        self, exchange: Exchange, candidate: Candidate, shaped: Shaped, stream: UpstreamStream, watch: Watch
    ) -> Answer | Opened:
        """Up to the first content event of a stream, or all of a whole answer. Raises what the provider makes of a refusal.

        `watch` waits for the first content; where that is not all there is to wait for, it goes on with the idle clock.
        """
        assert exchange.head is not None
        facts = candidate.provider.facts
        envelope = facts.envelope
        as_it_is = shaped.request is None and envelope is None and not facts.is_quirky
        try:
            if stream.status != 200:
                raise await _refusal(stream, candidate)
            framing = self._framings[candidate.translator.framing]
            if envelope is not None:
                framing = Enveloped(framing, envelope)
            kind = stream.headers.get("content-type", "")
            if not kind.startswith(framing.content_type):
                if kind != JSON:
                    _check_kind(kind)
                body = read_at_once(stream)
                if body is None:
                    body = await _body(stream, watch, exchange.patience.idle_s)
                if envelope is not None:
                    body = opened(body, envelope)
                return self._whole(exchange, candidate, shaped, body, as_it_is=as_it_is)
            if exchange.head.stream:
                return await self._open(exchange, candidate, shaped, stream, framing, as_it_is=as_it_is)
            response = await _gather(stream, framing, candidate.translator, watch, exchange.patience.idle_s)
            return self._encoded(exchange, candidate, shaped, response)
        except UpstreamError as error:
            in_client_names(error, shaped.outgoing.tool_names)
            raise

    # --- whole answers ------------------------------------------------------------------------------------------------

    def _whole(
        self, exchange: Exchange, candidate: Candidate, shaped: Shaped, body: bytes, *, as_it_is: bool
    ) -> Answer:
        """`as_it_is`: the answer may go on so, as far as could be said before it was there."""
        assert exchange.head is not None
        upstream = candidate.translator
        if exchange.operation == "count_tokens":
            return Answer(body=exchange.translator.encode_token_count(upstream.decode_token_count(body)), usage=None)
        if as_it_is and not exchange.head.stream and not upstream.needs_rewrite(body):
            usage = upstream.decode_usage(body)
            self._passports.look(upstream.dialect, body, candidate.target)
            return Answer(body=body, usage=usage)
        return self._encoded(exchange, candidate, shaped, upstream.decode_response(body))

    def _encoded(self, exchange: Exchange, candidate: Candidate, shaped: Shaped, response: ChatResponse) -> Answer:
        assert exchange.head is not None
        exchange.relayed = False
        self._passports.remember_parts(response.parts, candidate.target)
        if shaped.outgoing.tool_names:
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
        self,
        exchange: Exchange,
        candidate: Candidate,
        shaped: Shaped,
        stream: UpstreamStream,
        framing: Framing,
        *,
        as_it_is: bool,
    ) -> Opened:
        """Read up to the first content event; what comes before it is held back."""
        passage: Passage
        relay: Relay | None = None
        if as_it_is:
            watch = self._passports.watcher(candidate.translator.dialect, candidate.target)
            passage = relay = Relay(framing, candidate.translator.tap(), watch, self._client_framing(exchange))
        else:
            passage = self._translation(exchange, candidate, shaped, framing)
        seen, held, closed = bytearray(), bytearray(), False
        chunks = stream.chunks()
        async for data in chunks:
            seen += data
            if len(seen) > OPENING_BYTES:
                raise UpstreamGarbled(f"the upstream's stream has no content in its first {OPENING_BYTES} bytes")
            held += passage.feed(data)
            if relay is not None and relay.needs_rewrite:
                exchange.relayed, relay = False, None
                passage = self._translation(exchange, candidate, shaped, framing)
                held = bytearray(passage.feed(bytes(seen)))
            if passage.content or passage.ended:
                break
        else:
            held += passage.close()
            closed = True
        return Opened(stream=stream, chunks=chunks, passage=passage, held=bytes(held), closed=closed)

    def _translation(self, exchange: Exchange, candidate: Candidate, shaped: Shaped, framing: Framing) -> Translation:
        maker = candidate.target
        return Translation(
            Incoming(framing, candidate.translator.response_decoder()),
            exchange.translator.response_encoder(exchange.request()),
            self._client_framing(exchange),
            shaped.outgoing.tool_names,
            lambda event: self._passports.remember(event, maker),
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


def _check_kind(stated: str) -> None:
    """Raises `UnexpectedContentType` for what cannot be an answer: a login page, a captcha, a proxy's apology."""
    kind = stated.partition(";")[0].strip().lower()
    if kind in UNTYPED or kind.endswith(("/json", "+json")):
        return
    raise UnexpectedContentType(
        f"the upstream answered with {kind[:80]!a} instead of JSON",
        why="something else answers at its address: a login page, a captcha, a proxy",
        fix="check the provider's base_url and the network in between",
    )


async def _body(stream: UpstreamStream, watch: Watch, idle_s: float) -> bytes:
    """All of a whole answer. Blank bytes before it are some upstreams' sign of life, and no content."""
    parts: list[bytes] = []
    size, begun = 0, False
    async for data in stream.chunks():
        parts.append(data)
        size += len(data)
        if size > WHOLE_BODY_BYTES:
            raise _too_long()
        if begun:
            watch.touch()
        elif not data.isspace():
            begun = True
            watch.allow(idle_s)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _gather(
    stream: UpstreamStream, framing: Framing, upstream: Translator, watch: Watch, idle_s: float
) -> ChatResponse:
    """A stream to its end, folded; for clients that want the answer whole."""
    incoming = Incoming(framing, upstream.response_decoder())
    events: list[Event] = []
    size, begun = 0, False
    async for data in stream.chunks():
        size += len(data)
        if size > WHOLE_BODY_BYTES:
            raise _too_long()
        found = incoming.feed(data)
        events += found
        if begun:
            watch.touch()
        elif any(isinstance(event, CONTENT) for event in found):
            begun = True
            watch.allow(idle_s)
    events += incoming.close()
    return collect(events)


def _too_long() -> UpstreamGarbled:
    return UpstreamGarbled(f"the upstream's answer is longer than {WHOLE_BODY_BYTES} bytes")


def _with_names(response: ChatResponse, names: Mapping[str, str]) -> ChatResponse:
    parts = tuple(
        msgspec.structs.replace(part, name=names[part.name])
        if isinstance(part, ToolCallPart) and part.name in names
        else part
        for part in response.parts
    )
    return msgspec.structs.replace(response, parts=parts)
