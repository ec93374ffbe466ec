"""Answers: whole and streamed, cut short at every frame, watched by the tap, and failing in the middle."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from omniroute.contracts import Decoder, Frame, Translator
from omniroute.errors import StreamBroken, UpstreamError, UpstreamFailed, UpstreamGarbled
from omniroute.framing import FRAMINGS
from omniroute.model import (
    ChatRequest,
    ChatResponse,
    Event,
    PartStart,
    ReasoningDelta,
    TextDelta,
    ToolArgumentsDelta,
    ToolCallPart,
)
from omniroute.streaming import collect, explode
from omniroute.testing.check_events import check_events
from omniroute.testing.check_translator.samples import ANSWERS, REQUESTS, view_parts

__all__ = ["check_answers"]

REQUEST = REQUESTS["a streaming request"]
GARBAGE = [b"", b"<html>", b"{", b"[]", b"null", b"\xff", b"[" * 100_000]


def check_answers(translator: Translator) -> None:
    for what, answer in ANSWERS.items():
        body = translator.encode_response(answer, REQUEST)
        assert body == translator.encode_response(answer, REQUEST), f"{what}: encoded twice, it differs"
        whole = translator.decode_response(body)
        _check_same(f"{what}, whole", answer, whole)
        assert translator.decode_usage(body) == whole.usage, f"{what}: decode_usage differs from decode_response"
        frames = _encode(translator, explode(answer), REQUEST)
        _check_framing(translator, what, frames)
        events = _decode(translator.response_decoder(), frames)
        check_events(events)
        _check_same(f"{what}, streamed", whole, collect(events))
        _check_cuts(translator, what, frames, whole)
        _check_failure(translator, what, frames)
    _check_garbage(translator)


def _check_same(what: str, wanted: ChatResponse, found: ChatResponse) -> None:
    """Reasoning may be left out by a dialect without a place for it, but not by one of its two forms alone."""
    keep = any(view[0] == "reasoning" for view in view_parts(found.parts))
    parts = [view for view in view_parts(wanted.parts) if keep or view[0] != "reasoning"]
    assert view_parts(found.parts) == parts, f"{what}: was {parts} and came back as {view_parts(found.parts)}"
    for field in ("model", "finish_reason"):
        before, after = getattr(wanted, field), getattr(found, field)
        assert before == after, f"{what}: {field} was {before!r} and came back as {after!r}"
    assert wanted.usage is not None
    assert found.usage is not None, f"{what}: usage was lost"
    for field in ("input_tokens", "output_tokens", "cached_tokens"):
        before, after = getattr(wanted.usage, field), getattr(found.usage, field)
        assert before == after, f"{what}: usage.{field} was {before} and came back as {after}"


def _encode(translator: Translator, events: Iterable[Event], request: ChatRequest) -> list[Frame]:
    encoder = translator.response_encoder(request)
    frames = [frame for event in events for frame in encoder.feed(event)]
    return [*frames, *encoder.close()]


def _decode(decoder: Decoder, frames: Iterable[Frame]) -> list[Event]:
    events = [event for frame in frames for event in decoder.feed(frame)]
    return [*events, *decoder.close()]


def _check_framing(translator: Translator, what: str, frames: Sequence[Frame]) -> None:
    framing = FRAMINGS.get(translator.framing)
    if framing is None:  # of another plugin
        return
    splitter = framing.splitter()
    found = [*splitter.feed(b"".join(map(framing.encode, frames))), *splitter.close()]
    assert found == list(frames), f"{what}: its frames do not survive the framing {translator.framing!r}"


def _check_cuts(translator: Translator, what: str, frames: Sequence[Frame], whole: ChatResponse) -> None:
    complete_at: int | None = None
    for count in range(len(frames) + 1):
        decoder, tap = translator.response_decoder(), translator.tap()
        events: list[Event] = []
        for frame in frames[:count]:
            events.extend(decoder.feed(frame))
            tap.feed(frame)
        where = f"{what}, after {count} of {len(frames)} frames"
        assert tap.error is None, f"{where}: the tap sees the error {tap.error!r}"
        if any(map(_is_content, events)):
            assert tap.content, (
                f"{where}: the decoder has given content, the tap has seen none: it would commit too late"
            )
        elif not any(isinstance(event, PartStart) for event in events):
            assert not tap.content, f"{where}: the tap sees content where the decoder gave none: no fallback any more"
        try:
            events.extend(decoder.close())
        except StreamBroken:
            assert complete_at is None, f"{where}: a stream that was complete is broken by what follows"
            assert not tap.ended, f"{where}: the tap says that it has ended, the decoder that it is broken"
            continue
        complete_at = count if complete_at is None else complete_at
        found = view_parts(collect(events).parts)
        assert found == view_parts(whole.parts), f"{where}: close() takes {found} for a whole answer"
    assert complete_at is not None, f"{what}: its own decoder takes the whole stream for a broken one"
    assert tap.ended, f"{what}: the tap did not see the end"
    assert tap.usage == collect(events).usage, (
        f"{what}: the tap counts {tap.usage}, the decoder {collect(events).usage}"
    )


def _is_content(event: Event) -> bool:
    if isinstance(event, PartStart):
        return isinstance(event.part, ToolCallPart)
    return isinstance(event, TextDelta | ReasoningDelta | ToolArgumentsDelta) and bool(event.text)


def _check_failure(translator: Translator, what: str, frames: Sequence[Frame]) -> None:
    """An error in mid-stream, written by the tap and by the encoder, must be read as one."""
    failure = UpstreamFailed("the upstream went away", status=500)
    half = frames[: len(frames) // 2]
    tap = translator.tap()
    for frame in half:
        tap.feed(frame)
    encoder = translator.response_encoder(REQUEST)
    events = list(explode(ANSWERS[what]))
    started = [frame for event in events[: len(events) // 2] for frame in encoder.feed(event)]
    for who, before, ending in (("tap", half, [*tap.fail(failure)]), ("encoder", started, [*encoder.fail(failure)])):
        where = f"{what}: {who}.fail()"
        assert ending, f"{where} says nothing to the client"
        assert any(b"the upstream went away" in frame.data for frame in ending), f"{where} does not say what happened"
        watcher = translator.tap()
        for frame in (*before, *ending):
            watcher.feed(frame)
        assert watcher.error is not None, f"{where}: a tap does not see the error"
        assert not watcher.ended, f"{where}: a tap takes the error for a proper end"
        _assert_raises(UpstreamError, partial(_decode, translator.response_decoder(), [*before, *ending]), where)


def _check_garbage(translator: Translator) -> None:
    for body in GARBAGE:
        shown, frame = repr(body[:20]), Frame(body)
        for name in ("decode_response", "decode_usage", "decode_models"):
            if name == "decode_models" and body == b"[]":  # some servers list their models without an envelope
                continue
            _assert_raises(UpstreamGarbled, partial(getattr(translator, name), body), f"{name}({shown})")
        if body:  # no framing gives an empty frame
            _assert_raises(
                UpstreamGarbled, partial(_feed, translator.response_decoder(), frame), f"decoder.feed({shown})"
            )
            _assert_raises(UpstreamGarbled, partial(translator.tap().feed, frame), f"tap.feed({shown})")


def _feed(decoder: Decoder, frame: Frame) -> list[Event]:
    return list(decoder.feed(frame))


def _assert_raises(kind: type[Exception], act: Callable[[], object], what: str) -> None:
    try:
        act()
    except kind:
        return
    except Exception as error:
        raise AssertionError(f"{what} raises {error!r}; it must be {kind.__name__}") from error
    raise AssertionError(f"{what} raises nothing; it must be {kind.__name__}")
