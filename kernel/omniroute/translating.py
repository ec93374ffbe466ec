"""One body from one dialect to another, without a gateway: for a look at what translation does.

The same translators and the same machinery as for a live request, fed from bytes that somebody kept.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

import msgspec

from omniroute.contracts import Framing, Headers, Outgoing, Translator
from omniroute.errors import InvalidRequest, StreamBroken, UpstreamError, UpstreamGarbled
from omniroute.json_guard import check_json, check_model
from omniroute.losses import in_source, source_pointer
from omniroute.model import (
    ChatRequest,
    ChatResponse,
    Event,
    Loss,
    Part,
    ReasoningPart,
    ResponseStart,
    TextPart,
    ToolCallPart,
    Usage,
)
from omniroute.streaming import Incoming, Translation, collect

__all__ = ["Translated", "chat_params", "encoded", "translate_answer", "translate_request", "translate_stream"]


class Translated(msgspec.Struct, frozen=True, kw_only=True):
    body: bytes
    losses: tuple[Loss, ...] | None = ()
    """Of a request: what the translators report. Of an answer: what is no longer there when the result is read back, with
    pointers into the canonical answer; None when nobody reads answers of that dialect."""
    bad_events: int = 0
    """Malformed events of a stream that were skipped."""
    error: UpstreamError | None = None
    """What a stream ended in instead of its end; `body` ends in the dialect's own error event then."""


def translate_request(body: bytes, source: Translator, target: Translator, *, model: str, max_depth: int) -> Translated:
    """`model` is for dialects whose requests are named in the path. Raises `InvalidRequest`."""
    check_json(body, max_depth=max_depth)
    params, headers = chat_params(source, model), Headers({})
    check_model(body, source.read_head(body, params, headers).turns)
    outgoing = encoded(target, source.decode_request(body, params, headers))
    return Translated(body=outgoing.body, losses=outgoing.losses)


def encoded(target: Translator, request: ChatRequest) -> Outgoing:
    """The request in the target's dialect, with all that decoding and encoding gave up, by its place in the client's body.

    Raises `InvalidRequest` for what the dialect cannot say, by its place likewise.
    """
    try:
        outgoing = target.encode_request(request)
    except InvalidRequest as error:
        if error.param and error.param.startswith("/"):
            place = source_pointer(error.param, request) or error.param
            error.message = error.message.replace(error.param, place)
            error.param = place
        raise
    if not (request.losses or outgoing.losses):
        return outgoing
    losses = (*request.losses, *in_source(outgoing.losses, request))
    return msgspec.structs.replace(outgoing, losses=losses)


def chat_params(translator: Translator, model: str) -> Mapping[str, str]:
    """What a request to the dialect's first path for chats brings besides its body."""
    ingress = next((each for each in translator.ingress if each.operation == "chat"), None)
    if ingress is None:
        return {}
    named = {"model": model} if "{model}" in ingress.path else {}
    return {"operation": "chat", **ingress.params, **named}


def translate_answer(body: bytes, source: Translator, target: Translator) -> Translated:
    """A whole answer. Raises `UpstreamGarbled` when it is none of the dialect."""
    _check_answers(source)
    answer = source.decode_response(body)
    encoded = target.encode_response(answer, ChatRequest(model=answer.model, messages=()))
    losses = tuple(_missing(answer, target.decode_response(encoded))) if _has_upstreams(target) else None
    return Translated(body=encoded, losses=losses)


def _has_upstreams(translator: Translator) -> bool:
    """Some dialects are those of clients only, so their answers are written and never read."""
    return "chat" in translator.operations


def _check_answers(source: Translator) -> None:
    if not _has_upstreams(source):
        raise InvalidRequest(
            f"no upstream answers in {source.dialect}, so there is nothing to read", fix="give a request"
        )


def translate_stream(
    data: bytes, source: Translator, target: Translator, framings: Mapping[str, Framing]
) -> Translated:
    """A recorded stream; a break or an error in it is passed on as a client would get it.

    Raises `UpstreamGarbled` when it is no stream of the dialect. What a broken one lost is not asked.
    """
    _check_answers(source)
    read = Incoming(framings[source.framing], source.response_decoder())
    events, error = _events(read, data)
    if not events and isinstance(error, StreamBroken | UpstreamGarbled):
        raise UpstreamGarbled(f"there is no event of {source.dialect} in it", why=error.message)
    start = next((event for event in events if isinstance(event, ResponseStart)), None)
    request = ChatRequest(model=start.model if start else "", messages=(), stream=True)
    translation = Translation(
        Incoming(framings[source.framing], source.response_decoder()),
        target.response_encoder(request),
        framings[target.framing],
        names={},
    )
    out = b"".join(_translated(translation, data))
    if error is not None or not _has_upstreams(target):
        return Translated(body=out, losses=None, bad_events=translation.bad_events, error=error)
    again, _ = _events(Incoming(framings[target.framing], target.response_decoder()), out)
    losses = tuple(_missing(collect(events), collect(again)))
    return Translated(body=out, losses=losses, bad_events=translation.bad_events)


def _pieces(data: bytes) -> Sequence[bytes]:
    """Line by line, so that what precedes an error is not lost with it."""
    return data.splitlines(keepends=True)


def _events(incoming: Incoming, data: bytes) -> tuple[list[Event], UpstreamError | None]:
    events: list[Event] = []
    try:
        for piece in _pieces(data):
            events += incoming.feed(piece)
        events += incoming.close()
    except UpstreamError as error:
        return events, error
    return events, None


def _translated(translation: Translation, data: bytes) -> Iterator[bytes]:
    try:
        for piece in _pieces(data):
            yield translation.feed(piece)
        yield translation.close()
    except UpstreamError as error:
        yield translation.fail(error)


# --- what an answer lost ----------------------------------------------------------------------------------------------


def _missing(before: ChatResponse, after: ChatResponse) -> Iterator[Loss]:
    """Ids may differ, they are each dialect's own; whatever else differs is lost."""
    yield from _lost_parts(before.parts, after.parts)
    for field in ("finish_reason", "stop_sequence"):
        yield from _changed(f"/{field}", getattr(before, field), getattr(after, field))
    if before.usage is not None:
        was, now = (msgspec.structs.asdict(usage) for usage in (before.usage, after.usage or Usage()))
        for field, value in was.items():
            yield from _changed(f"/usage/{field}", value or None, now[field] or None)
    for dialect, fields in before.extensions.items():
        for field in fields.keys() - after.extensions.get(dialect, {}).keys():
            yield Loss(pointer=f"/extensions/{dialect}/{field}", kind="dropped", reason="there is no place for it")


def _changed(pointer: str, before: object, after: object) -> Iterator[Loss]:
    if before == after:
        return
    if after is None:
        yield Loss(pointer=pointer, kind="dropped", reason=f"{before!r} is not said")
    elif before is None:
        yield Loss(pointer=pointer, kind="invented", reason=f"{after!r} was not said")
    else:
        yield Loss(pointer=pointer, kind="approximated", reason=f"{before!r} became {after!r}")


def _lost_parts(before: Sequence[Part], after: Sequence[Part]) -> Iterator[Loss]:
    was, now = _content(before), _content(after)
    for kind, content in was.items():
        if kind not in now:
            yield Loss(pointer="/parts", kind="dropped", reason=f"{kind} is not carried")
        elif now[kind] != content:
            yield Loss(pointer="/parts", kind="approximated", reason=f"{kind} differs")
    if was.keys() == now.keys() and _order(before) != _order(after):
        yield Loss(pointer="/parts", kind="approximated", reason="parts stand in another order")
    kept = {key for part in after for key in _metadata(part)}
    for at, part in enumerate(before):
        for dialect, field in _metadata(part):
            if (dialect, field) not in kept:
                pointer = f"/parts/{at}/provider_metadata/{dialect}/{field}"
                yield Loss(pointer=pointer, kind="dropped", reason="there is no place for it")


def _content(parts: Iterable[Part]) -> dict[str, list[object]]:
    """Kind of part → what it says; text is one, for some dialects have room for one only."""
    found: dict[str, list[object]] = {}
    for part in parts:
        match part:
            case TextPart(text=text) | ReasoningPart(text=text):
                if text:
                    found[_kind(part)] = ["".join([*map(str, found.get(_kind(part), [])), text])]
            case ToolCallPart(name=name, arguments=arguments):
                found.setdefault(_kind(part), []).append((name, arguments))
            case _:
                found.setdefault(_kind(part), []).append(part)
    return found


def _order(parts: Iterable[Part]) -> list[str]:
    return [kind for kind, _ in groupby(map(_kind, parts))]


def _kind(part: Part) -> str:
    return type(part).__name__.removesuffix("Part")


def _metadata(part: Part) -> Iterator[tuple[str, str]]:
    return ((dialect, field) for dialect, fields in part.provider_metadata.items() for field in fields)
