"""From an upstream's bytes to the client's: relayed with a tap, or decoded and encoded. Sync and pure.

Both ways have one face, `Passage`: fed what arrives, it gives what to send on. What it gives always ends at a frame's end,
so that an error event or a keep-alive may follow at any time. `content` tells the kernel when a request is committed.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from omniroute.contracts import Decoder, Encoder, Frame, Framing, Splitter, Tap
from omniroute.errors import GatewayError, StreamBroken, UpstreamGarbled
from omniroute.model import (
    ChatResponse,
    Event,
    MetadataDelta,
    Part,
    PartEnd,
    PartStart,
    ReasoningDelta,
    ReasoningPart,
    ResponseEnd,
    ResponseStart,
    TextDelta,
    TextPart,
    ToolArgumentsDelta,
    ToolCallPart,
    Usage,
    UsageUpdate,
)

__all__ = ["Incoming", "Passage", "Relay", "Translation", "collect", "explode", "in_client_names", "restore_names"]

MAX_BAD_EVENTS = 3
"""So many malformed events are skipped and counted; the next one ends the stream."""


class Passage(Protocol):
    """One answer on its way through. `feed` and `close` raise `UpstreamError` when the upstream's stream is at fault."""

    @property
    def content(self) -> bool:
        """A content event has gone through: from here on the request cannot go elsewhere."""
        ...

    @property
    def ended(self) -> bool:
        """The upstream's terminal marker has been seen."""
        ...

    @property
    def usage(self) -> Usage | None: ...

    @property
    def bad_events(self) -> int:
        """Malformed events that were skipped."""
        ...

    def feed(self, data: bytes) -> bytes: ...
    def close(self) -> bytes:
        """The upstream has closed. Raises `StreamBroken` when it did so too early."""
        ...

    def fail(self, error: GatewayError) -> bytes:
        """The client's in-stream error, instead of an end."""
        ...


class Incoming:
    """An upstream's bytes to events. A few malformed events are skipped and counted; one more ends the stream."""

    __slots__ = ("_decoder", "_splitter", "bad_events")

    def __init__(self, framing: Framing, decoder: Decoder) -> None:
        self._splitter: Splitter = framing.splitter()
        self._decoder = decoder
        self.bad_events = 0

    def feed(self, data: bytes) -> list[Event]:
        return self._decoded(self._splitter.feed(data))

    def _decoded(self, frames: Sequence[Frame]) -> list[Event]:
        events: list[Event] = []
        for frame in frames:
            try:
                events.extend(self._decoder.feed(frame))
            except UpstreamGarbled:
                self.bad_events += 1
                if self.bad_events > MAX_BAD_EVENTS:
                    raise
        return events

    def close(self) -> list[Event]:
        """Raises `StreamBroken` when the upstream closed too early."""
        return [*self._decoded(self._splitter.close()), *self._decoder.close()]


class Relay:
    """Same dialect on both sides: the bytes as they came, and a tap that watches them."""

    __slots__ = ("_as_it_came", "_splitter", "_tap", "_watch", "_writer", "bad_events")

    def __init__(
        self,
        framing: Framing,
        tap: Tap,
        watch: Callable[[bytes], None] | None = None,
        client: Framing | None = None,
    ) -> None:
        """`watch` is shown everything that goes on. `client` is the framing of the client's stream, where it is another."""
        self._as_it_came = client is None or client is framing
        self._writer = (client or framing).writer()
        self._splitter: Splitter = framing.splitter()
        self._tap = tap
        self._watch = watch
        self.bad_events = 0

    @property
    def content(self) -> bool:
        return self._tap.content

    @property
    def ended(self) -> bool:
        return self._tap.ended

    @property
    def usage(self) -> Usage | None:
        return self._tap.usage

    @property
    def needs_rewrite(self) -> bool:
        return self._tap.needs_rewrite

    def feed(self, data: bytes) -> bytes:
        frames = self._splitter.feed(data)
        passed = self._passed(frames)
        out = self._splitter.complete if self._as_it_came and passed is frames else self._framed(passed)
        if self._watch is not None:
            self._watch(out)
        return out

    def _passed(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        """The very same frames, or those of them that are not malformed."""
        feed = self._tap.feed
        for position, frame in enumerate(frames):
            try:
                feed(frame)
            except UpstreamGarbled:
                self.bad_events += 1
                if self.bad_events > MAX_BAD_EVENTS:
                    raise
                return [*frames[:position], *self._passed(frames[position + 1 :])]
        if self._tap.error is not None:
            raise self._tap.error
        return frames

    def _framed(self, frames: Iterable[Frame]) -> bytes:
        return b"".join(map(self._writer.encode, frames))

    def close(self) -> bytes:
        last = self._passed(self._splitter.close())
        if not self._tap.ended:
            raise StreamBroken("the upstream's stream ended before its terminal event")
        return self._framed(last) + self._writer.close()

    def fail(self, error: GatewayError) -> bytes:
        return self._framed(self._tap.fail(error)) + self._writer.close()


class Translation:
    """Different dialects: events to the client's frames."""

    __slots__ = ("_encoder", "_incoming", "_names", "_remember", "_writer", "content", "ended", "usage")

    def __init__(
        self,
        incoming: Incoming,
        encoder: Encoder,
        client: Framing,
        names: Mapping[str, str],
        remember: Callable[[Event], None] = lambda _: None,
    ) -> None:
        """`names` gives tools back the names the client knows; `remember` is shown events that may carry signatures."""
        self._incoming = incoming
        self._encoder = encoder
        self._writer = client.writer()
        self._names = names
        self._remember = remember
        self.content = False
        self.ended = False
        self.usage: Usage | None = None

    @property
    def bad_events(self) -> int:
        return self._incoming.bad_events

    def feed(self, data: bytes) -> bytes:
        return self._written(self._incoming.feed(data))

    def _written(self, events: Iterable[Event]) -> bytes:
        out: list[bytes] = []
        write, encode = self._writer.encode, self._encoder.feed
        for event in events:
            kind = type(event)
            if kind is TextDelta or kind is ReasoningDelta or kind is ToolArgumentsDelta:
                self.content = True
            else:
                event = self._noticed(event)  # noqa: PLW2901 - the same event, with its tool's own name
            for frame in encode(event):
                out.append(write(frame))  # noqa: PERF401 - a comprehension per event costs more
        return b"".join(out)

    def _noticed(self, event: Event) -> Event:
        match event:
            case PartStart():
                self._remember(event)
                self.content = self.content or type(event.part) is ToolCallPart
                return restore_names(event, self._names)
            case MetadataDelta():
                self._remember(event)
            case UsageUpdate():
                self.usage = event.usage
            case ResponseEnd():
                self.ended = True
            case _:
                pass
        return event

    def close(self) -> bytes:
        last = self._written(self._incoming.close())
        return last + self._ending(self._encoder.close())

    def fail(self, error: GatewayError) -> bytes:
        return self._ending(self._encoder.fail(in_client_names(error, self._names)))

    def _ending(self, frames: Iterable[Frame]) -> bytes:
        return b"".join(map(self._writer.encode, frames)) + self._writer.close()


def restore_names(event: PartStart, names: Mapping[str, str]) -> PartStart:
    """Give a tool call the name the client knows its tool by."""
    part = event.part
    if isinstance(part, ToolCallPart) and part.name in names:
        return msgspec.structs.replace(event, part=msgspec.structs.replace(part, name=names[part.name]))
    return event


def in_client_names(error: GatewayError, names: Mapping[str, str]) -> GatewayError:
    """The same error, whose message calls tools by the names the client knows."""
    for sent, name in names.items():
        if sent in error.message:
            whole_word = rf"(?<![\w-]){re.escape(sent)}(?![\w-])"
            error.message = re.sub(whole_word, name.replace("\\", r"\\"), error.message)
    return error


# --- whole answers ----------------------------------------------------------------------------------------------------


def explode(response: ChatResponse) -> Iterable[Event]:
    """The events of a whole answer: a stream that arrived at once."""
    yield ResponseStart(id=response.id, model=response.model)
    for index, part in enumerate(response.parts):
        match part:
            case TextPart(text=text):
                yield PartStart(index=index, part=msgspec.structs.replace(part, text=""))
                if text:
                    yield TextDelta(index=index, text=text)
            case ReasoningPart(text=text, provider_metadata=metadata):
                yield PartStart(index=index, part=msgspec.structs.replace(part, text="", provider_metadata={}))
                if text:
                    yield ReasoningDelta(index=index, text=text)
                if metadata:
                    yield MetadataDelta(index=index, provider_metadata=metadata)
            case ToolCallPart(arguments=arguments):
                yield PartStart(index=index, part=msgspec.structs.replace(part, arguments=""))
                if arguments:
                    yield ToolArgumentsDelta(index=index, text=arguments)
            case _:
                yield PartStart(index=index, part=part)
        yield PartEnd(index=index)
    if response.usage is not None:
        yield UsageUpdate(usage=response.usage)
    yield ResponseEnd(
        finish_reason=response.finish_reason, stop_sequence=response.stop_sequence, extensions=response.extensions
    )


def collect(events: Iterable[Event]) -> ChatResponse:
    """Fold a stream into the whole answer. Raises `StreamBroken` when it has no end or a part is left open."""
    start = ResponseStart(id="", model="")
    parts: dict[int, Part] = {}
    pieces: dict[int, list[str]] = {}
    still_open: set[int] = set()
    usage: Usage | None = None
    end: ResponseEnd | None = None
    for event in events:
        match event:
            case ResponseStart():
                start = event
            case PartStart(index=index, part=part):
                parts[index] = part
                pieces[index] = []
                still_open.add(index)
            case TextDelta(index=index, text=text) | ReasoningDelta(index=index, text=text):
                pieces[index].append(text)
            case ToolArgumentsDelta(index=index, text=text):
                pieces[index].append(text)
            case MetadataDelta(index=index, provider_metadata=metadata):
                merged = dict(parts[index].provider_metadata)
                for dialect, values in metadata.items():
                    merged[dialect] = {**merged.get(dialect, {}), **values}
                parts[index] = msgspec.structs.replace(parts[index], provider_metadata=merged)
            case PartEnd(index=index):
                still_open.discard(index)
            case UsageUpdate():
                usage = event.usage
            case ResponseEnd():
                end = event
            case _:
                pass
    if end is None:
        raise StreamBroken("the answer ended before its end was announced")
    if still_open:
        raise StreamBroken(f"the answer ended inside part {min(still_open)}")
    return ChatResponse(
        id=start.id,
        model=start.model,
        parts=tuple(_whole(parts[index], "".join(pieces[index])) for index in sorted(parts)),
        finish_reason=end.finish_reason,
        stop_sequence=end.stop_sequence,
        usage=usage,
        extensions=end.extensions,
    )


def _whole(part: Part, text: str) -> Part:
    if not text:
        return part
    if isinstance(part, ToolCallPart):
        return msgspec.structs.replace(part, arguments=part.arguments + text)
    if isinstance(part, TextPart | ReasoningPart):
        return msgspec.structs.replace(part, text=part.text + text)
    return part
