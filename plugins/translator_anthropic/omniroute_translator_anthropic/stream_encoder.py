"""Events to the client's stream: one small machine per response, fed events.

The dialect has one block open at a time, events may have several parts open side by side: the part that began first is
written as it comes, what belongs to the others waits until its turn. Blocks are opened by their first content, so that none is
empty; a tool call by its name. message_delta waits for the end, because some upstreams count their tokens last.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from omniroute.api import (
    AudioPart,
    ChatRequest,
    Event,
    FilePart,
    Frame,
    GatewayError,
    ImagePart,
    MetadataDelta,
    Part,
    PartEnd,
    PartStart,
    Ping,
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
from omniroute_translator_anthropic.answer import message, open_block, shown
from omniroute_translator_anthropic.carriers import call_carrier, foreign, seal
from omniroute_translator_anthropic.errors import error_frame
from omniroute_translator_anthropic.usage import stop_reason, wire_usage
from omniroute_translator_anthropic.wire import DIALECT, ENCODER, Metadata, Wire, own

__all__ = ["PING", "MessageEncoder"]

PING = Frame(b'{"type":"ping"}', "ping")
_STOP = Frame(b'{"type":"message_stop"}', "message_stop")
_MESSAGE_FIELDS = frozenset({"stop_details", "container"})
"""Extensions of an answer that stand in message_delta's `delta`; the others stand beside it."""


class _Part(msgspec.Struct):
    """A part on its way to the client."""

    index: int
    """Among the events."""
    part: Part
    waiting: list[Event] = []
    """What came before its turn."""
    metadata: dict[str, Any] = {}
    """Of this dialect; a signature comes at the end."""
    foreign: Metadata = {}
    """Of others, until it is on its way to the client."""
    block: int | None = None
    """The wire's index; None before the block is opened."""
    ended: bool = False
    written: bool = False
    """A delta has been sent."""


class MessageEncoder:
    def __init__(self, request: ChatRequest) -> None:
        self._model = request.model
        self._start: ResponseStart | None = None
        self._started = False
        self._usage: Usage | None = None
        self._parts: deque[_Part] = deque()
        """In the order they began; the first one is being written."""
        self._blocks = 0
        self._has_calls = False
        self._ended = False

    def feed(self, event: Event) -> Iterable[Frame]:
        match event:
            case TextDelta() | ReasoningDelta() | ToolArgumentsDelta() | MetadataDelta():
                return self._content(event)
            case PartStart():
                return [*self._begin(), *self._part_start(event)]
            case PartEnd():
                return list(self._part_end(event))
            case UsageUpdate():
                self._usage = event.usage
                return ()
            case ResponseStart():
                self._start = event
                return ()
            case ResponseEnd():
                return [*self._begin(), *self._finish(event)]
            case Ping():
                return [*self._begin(), PING]

    def close(self) -> Iterable[Frame]:
        return (_STOP,) if self._ended else ()

    def fail(self, error: GatewayError) -> Iterable[Frame]:
        self._ended = False
        return (error_frame(error),)

    # --- the message --------------------------------------------------------------------------------------------------

    def _begin(self) -> Iterable[Frame]:
        """message_start, held until the first event after it: usage may come in between."""
        if self._started or self._start is None:
            return ()
        self._started = True
        start = message(self._start.id, self._start.model or self._model, self._usage)
        return (_frame({"type": "message_start", "message": start}),)

    def _finish(self, end: ResponseEnd) -> Iterator[Frame]:
        if end.finish_reason == "error":
            yield from self.fail(UpstreamFailed("the upstream broke off its answer with an error"))
            return
        for part in self._parts:
            part.ended = True
        yield from self._advance()
        extensions = end.extensions.get(DIALECT, {})
        yield _frame(
            {
                "type": "message_delta",
                "delta": {
                    **stop_reason(end.finish_reason, end.stop_sequence, has_calls=self._has_calls),
                    **{name: value for name, value in extensions.items() if name in _MESSAGE_FIELDS},
                },
                "usage": wire_usage(self._usage, whole=False),
                **{name: value for name, value in extensions.items() if name not in _MESSAGE_FIELDS},
            }
        )
        self._ended = True

    # --- parts --------------------------------------------------------------------------------------------------------

    def _part_start(self, event: PartStart) -> Iterable[Frame]:
        part = event.part
        self._has_calls = self._has_calls or isinstance(part, ToolCallPart)
        metadata = dict(own(part.provider_metadata))
        entry = _Part(index=event.index, part=part, metadata=metadata, foreign=foreign(part.provider_metadata))
        entry.waiting.extend(_initial(event))
        self._parts.append(entry)
        return list(self._advance()) if len(self._parts) == 1 else ()

    def _content(self, event: TextDelta | ReasoningDelta | ToolArgumentsDelta | MetadataDelta) -> Iterable[Frame]:
        first = self._parts[0]
        if first.index == event.index:
            return list(self._write(first, event))
        self._entry(event.index).waiting.append(event)
        return ()

    def _part_end(self, event: PartEnd) -> Iterator[Frame]:
        self._entry(event.index).ended = True
        if self._parts[0].ended:
            yield from self._advance()

    def _entry(self, index: int) -> _Part:
        return next(entry for entry in self._parts if entry.index == index)

    def _advance(self) -> Iterator[Frame]:
        """Write what the first part has waiting; when it has ended, close it and go on with the next."""
        while self._parts:
            first = self._parts[0]
            if first.block is None and _opens_at_once(first.part):
                yield from self._carry(first)
                yield self._open(first)
            for event in first.waiting:
                yield from self._write(first, event)
            first.waiting.clear()
            if not first.ended:
                return
            yield from self._close(first)
            self._parts.popleft()

    # --- blocks -------------------------------------------------------------------------------------------------------

    def _write(self, part: _Part, event: Event) -> Iterator[Frame]:
        match event:
            case TextDelta(text=text) if text:
                delta: Wire = {"type": "text_delta", "text": text}
            case ReasoningDelta(text=text) if text:
                delta = {"type": "thinking_delta", "thinking": text}
            case ToolArgumentsDelta(text=text) if text:
                delta = {"type": "input_json_delta", "partial_json": text}
            case MetadataDelta(provider_metadata=metadata):
                part.metadata.update(own(metadata))
                for dialect, fields in foreign(metadata).items():
                    part.foreign[dialect] = {**part.foreign.get(dialect, {}), **fields}
                return
            case _:
                return
        if part.block is None:
            yield self._open(part)
        part.written = True
        yield _delta(part.block, delta)

    def _open(self, part: _Part) -> Frame:
        part.block = self._blocks
        self._blocks += 1
        known: Metadata = {DIALECT: part.metadata} if part.metadata else {}
        block = open_block(msgspec.structs.replace(part.part, provider_metadata=known))
        return _frame({"type": "content_block_start", "index": part.block, "content_block": block})

    def _close(self, part: _Part) -> Iterator[Frame]:
        if isinstance(part.part, ReasoningPart):
            part.metadata.update(seal(part.metadata, part.foreign, has_words=part.block is not None))
        late = list(self._late_deltas(part))
        if part.block is None and (late or "redacted_data" in part.metadata):
            yield self._open(part)
        if part.block is None:
            return
        for delta in late:
            yield _delta(part.block, delta)
        yield _frame({"type": "content_block_stop", "index": part.block})
        yield from self._carry(part)

    def _carry(self, part: _Part) -> Iterator[Frame]:
        """The block that goes with a call which other vendors have attached something to."""
        if not isinstance(part.part, ToolCallPart) or not part.foreign:
            return
        block = call_carrier(part.part.id, part.foreign)
        part.foreign = {}
        opened = {**block, "signature": ""}
        yield _frame({"type": "content_block_start", "index": self._blocks, "content_block": opened})
        yield _delta(self._blocks, {"type": "signature_delta", "signature": block["signature"]})
        yield _frame({"type": "content_block_stop", "index": self._blocks})
        self._blocks += 1

    @staticmethod
    def _late_deltas(part: _Part) -> Iterator[Wire]:
        """What stands at the end of a block: citations, the signature, and an object for a call without arguments."""
        match part.part:
            case TextPart() if "block" not in part.metadata:
                for citation in part.metadata.get("citations", ()):
                    yield {"type": "citations_delta", "citation": citation}
            case ReasoningPart() if "redacted_data" not in part.metadata and part.metadata.get("signature"):
                yield {"type": "signature_delta", "signature": part.metadata["signature"]}
            case ToolCallPart() if not part.written:
                yield {"type": "input_json_delta", "partial_json": "{}"}
            case _:
                return


def _initial(event: PartStart) -> Iterable[Event]:
    """What the start of a part already says, as deltas."""
    match event.part:
        case TextPart(text=text) if text and "block" not in own(event.part.provider_metadata):
            yield TextDelta(index=event.index, text=text)
        case ReasoningPart(text=text) if text:
            yield ReasoningDelta(index=event.index, text=text)
        case ToolCallPart(arguments=arguments) if arguments:
            yield ToolArgumentsDelta(index=event.index, text=arguments)
        case ImagePart() | FilePart() | AudioPart():
            yield TextDelta(index=event.index, text=shown(event.part))
        case _:
            return


def _opens_at_once(part: Part) -> bool:
    return isinstance(part, ToolCallPart) or "block" in own(part.provider_metadata)


def _delta(block: int | None, delta: Wire) -> Frame:
    data = ENCODER.encode({"type": "content_block_delta", "index": block, "delta": delta})
    return Frame(data, "content_block_delta")


def _frame(event: Wire) -> Frame:
    return Frame(ENCODER.encode(event), event["type"])
