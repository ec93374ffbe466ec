"""Events to the client's stream: one small machine per response, fed events.

Each frame is an answer of its own with the parts that are new. Text and thoughts go out as they come, a call once it is complete.
Parts may be open side by side among the events and are told apart by nothing on the wire: the one that began first is written,
what belongs to the others waits until its turn. Finish reason and usage come last.
"""

from collections import deque
from collections.abc import Iterable, Iterator

import msgspec

from omniroute.api import (
    ChatRequest,
    Event,
    Frame,
    GatewayError,
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
    UpstreamFailed,
    Usage,
    UsageUpdate,
)
from omniroute_translator_gemini.answer import EMPTY, call_wire, identity, is_echoed, signature_wire, whole_wire
from omniroute_translator_gemini.content import kept_part
from omniroute_translator_gemini.errors import error_frame
from omniroute_translator_gemini.usage import finish_name, wire_usage
from omniroute_translator_gemini.wire import DIALECT, Wire, dump

__all__ = ["GeminiEncoder"]

_BEFORE = b'{"candidates":[{"content":{"parts":['


class _Part(msgspec.Struct):
    """A part on its way to the client."""

    index: int
    """Among the events."""
    part: Part
    waiting: list[Event] = []
    """What came before its turn."""
    pieces: list[str] = []
    """Of a call's arguments, or of thoughts that are to be echoed."""
    kept: bool = False
    """It is sent as it came from an upstream of this dialect, and what it says in words is not."""
    ended: bool = False


class GeminiEncoder:
    """One instance per response."""

    def __init__(self, request: ChatRequest) -> None:
        self._model = request.model
        self._identity: Wire = {}
        self._after = b""
        self._start(ResponseStart(id="", model=""))
        self._usage: Usage | None = None
        self._thoughts: list[ReasoningPart] = []
        """To be echoed with the next call."""
        self._parts: deque[_Part] = deque()
        """In the order they began; the first one is being written."""

    def feed(self, event: Event) -> Iterable[Frame]:
        match event:
            case TextDelta() | ReasoningDelta() | ToolArgumentsDelta() | MetadataDelta():
                return self._content(event)
            case PartStart():
                return self._part_start(event)
            case PartEnd():
                return list(self._part_end(event))
            case UsageUpdate():
                self._usage = event.usage
            case ResponseStart():
                self._start(event)
            case ResponseEnd():
                return list(self._finish(event))
        return ()

    def close(self) -> Iterable[Frame]:
        return ()

    @staticmethod
    def fail(error: GatewayError) -> Iterable[Frame]:
        return (error_frame(error),)

    # --- the answer ---------------------------------------------------------------------------------------------------

    def _start(self, event: ResponseStart) -> None:
        self._identity = identity(event.id, event.model or self._model)
        self._after = b'],"role":"model"},"index":0}],' + dump(self._identity)[1:]

    def _finish(self, end: ResponseEnd) -> Iterator[Frame]:
        if end.finish_reason == "error":
            yield error_frame(UpstreamFailed("the upstream broke off its answer with an error"))
            return
        for part in self._parts:
            part.ended = True
        yield from self._advance()
        candidate: Wire = {
            "content": {"parts": [EMPTY], "role": "model"},
            "finishReason": finish_name(end.finish_reason),
            "index": 0,
            **end.extensions.get(DIALECT, {}),
        }
        usage = {"usageMetadata": wire_usage(self._usage)} if self._usage else {}
        yield Frame(dump({"candidates": [candidate], **usage, **self._identity}))

    def _frame(self, part: bytes) -> Frame:
        return Frame(_BEFORE + part + self._after)

    # --- parts --------------------------------------------------------------------------------------------------------

    def _part_start(self, event: PartStart) -> Iterable[Frame]:
        part, waiting = event.part, list(_said(event))
        if waiting:
            part = msgspec.structs.replace(part, text="")
        self._parts.append(_Part(index=event.index, part=part, waiting=waiting, kept=kept_part(part) is not None))
        return list(self._advance()) if len(self._parts) == 1 else ()

    def _content(self, event: TextDelta | ReasoningDelta | ToolArgumentsDelta | MetadataDelta) -> Iterable[Frame]:
        first = self._parts[0]
        if first.index == event.index:
            return self._write(first, event)
        self._entry(event.index).waiting.append(event)
        return ()

    def _part_end(self, event: PartEnd) -> Iterator[Frame]:
        self._entry(event.index).ended = True
        yield from self._advance()

    def _entry(self, index: int) -> _Part:
        return next(entry for entry in self._parts if entry.index == index)

    def _advance(self) -> Iterator[Frame]:
        """Write what the first part has waiting; when it has ended, close it and go on with the next."""
        while self._parts:
            first = self._parts[0]
            for event in first.waiting:
                yield from self._write(first, event)
            first.waiting.clear()
            if not first.ended:
                return
            yield from self._close(first)
            self._parts.popleft()

    def _write(self, part: _Part, event: Event) -> Iterable[Frame]:
        match event:
            case TextDelta(text=text) if text and not part.kept:
                return (self._frame(b'{"text":' + dump(text) + b"}"),)
            case ReasoningDelta(text=text) if text:
                part.pieces.append(text)
                return (self._frame(b'{"text":' + dump(text) + b',"thought":true}'),)
            case ToolArgumentsDelta(text=text):
                part.pieces.append(text)
            case MetadataDelta(provider_metadata=added):
                had = part.part.provider_metadata
                merged = {dialect: {**had.get(dialect, {}), **values} for dialect, values in added.items()}
                part.part = msgspec.structs.replace(part.part, provider_metadata={**had, **merged})
        return ()

    def _close(self, entry: _Part) -> Iterator[Frame]:
        """What is known at the end of a part only: a whole call, a signature, and what never came in pieces."""
        part, rest = entry.part, "".join(entry.pieces)
        wire: Wire | None
        match part:
            case ToolCallPart(arguments=arguments):
                whole = msgspec.structs.replace(part, arguments=arguments + rest)
                wire = call_wire(whole, self._thoughts)
                self._thoughts = []
            case ReasoningPart():
                if is_echoed(part):
                    self._thoughts.append(msgspec.structs.replace(part, text=part.text + rest))
                wire = signature_wire(part)
            case TextPart() if not entry.kept:
                wire = signature_wire(part)
            case _:
                wire = whole_wire(part)
        if wire is not None:
            yield self._frame(dump(wire))


def _said(event: PartStart) -> Iterable[Event]:
    """What the start of a part already says, as deltas."""
    match event.part:
        case TextPart(text=text) if text:
            yield TextDelta(index=event.index, text=text)
        case ReasoningPart(text=text) if text:
            yield ReasoningDelta(index=event.index, text=text)
        case _:
            return
