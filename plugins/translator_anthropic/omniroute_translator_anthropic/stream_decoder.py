"""The upstream's stream to events: one small machine per response, fed frames.

    message_start, then per block content_block_start, content_block_delta*, content_block_stop,
    then message_delta*, message_stop; ping and events of other names at any time

A block that runs at the upstream (a web search, a code execution) is held until it is whole and then passed on as one part.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from omniroute.api import (
    Event,
    Frame,
    MetadataDelta,
    Part,
    PartEnd,
    PartStart,
    Ping,
    ReasoningDelta,
    ReasoningPart,
    ResponseEnd,
    ResponseStart,
    StreamBroken,
    TextDelta,
    TextPart,
    ToolArgumentsDelta,
    ToolCallPart,
    UpstreamGarbled,
    UsageUpdate,
)
from omniroute_translator_anthropic.blocks import opaque_part, read_answer_block
from omniroute_translator_anthropic.errors import upstream_error
from omniroute_translator_anthropic.events import HalfPairs, WireDelta, WireEvent, WireStart, read_event
from omniroute_translator_anthropic.tools import fitting_id
from omniroute_translator_anthropic.usage import UsageTally, finish_reason
from omniroute_translator_anthropic.wire import DIALECT, Malformed, is_absent, read_object

__all__ = ["MessageDecoder", "answer_extensions", "unique_call"]


class _Block(msgspec.Struct):
    """A block on its way."""

    part: Part
    index: int | None = None
    """The part's place among the events; None while nothing has been said of it."""
    pieces: list[str] = []
    citations: list[Raw] = []


class MessageDecoder:
    """Feed each frame, then `close`. After a raised `UpstreamGarbled` the next frame may be fed as if nothing had been."""

    def __init__(self) -> None:
        self._start: ResponseStart | None = None
        self._blocks: dict[int, _Block] = {}
        self._parts = 0
        self._call_ids: set[str] = set()
        self._tally = UsageTally()
        self._stop: WireDelta | None = None
        self._extensions: dict[str, Raw] = {}
        self._halves = HalfPairs()
        self._ended = False

    def feed(self, frame: Frame) -> Sequence[Event]:
        data = self._halves.join(frame.data)
        event = read_event(data)
        if self._ended:
            return ()
        match event.type:
            case "content_block_delta":
                return self._delta(event)
            case "content_block_start":
                return self._block_start(event)
            case "content_block_stop":
                return self._block_stop(event)
            case "message_start":
                return self._message_start(event, data)
            case "message_delta":
                return self._message_delta(event, data)
            case "message_stop":
                return self._message_stop()
            case "ping":
                return (Ping(),)
            case "error":
                raise upstream_error(event.error)
            case "" if event.error is not None:
                raise upstream_error(event.error)
            case _:
                return ()

    def close(self) -> Iterable[Event]:
        if not self._ended:
            raise StreamBroken("the upstream's stream ended before message_stop")
        return ()

    # --- the message --------------------------------------------------------------------------------------------------

    def _message_start(self, event: WireEvent, data: bytes) -> Sequence[Event]:
        if self._start is not None:
            return ()
        message = event.message or WireStart()
        self._start = ResponseStart(id=message.id, model=message.model)
        self._extensions.update(answer_extensions(read_object(data)["message"]) if event.message else {})
        if message.usage is None:
            return (self._start,)
        return self._start, UsageUpdate(usage=self._tally.update(message.usage))

    def _message_delta(self, event: WireEvent, data: bytes) -> Sequence[Event]:
        fields = read_object(data)
        if event.delta is not None:
            self._extensions.update(answer_extensions(fields["delta"]))
            if event.delta.stop_reason is not None:
                self._stop = event.delta
        self._extensions.update(answer_extensions(data))
        return () if event.usage is None else (UsageUpdate(usage=self._tally.update(event.usage)),)

    def _message_stop(self) -> Sequence[Event]:
        self._begun("message_stop")
        events = [event for index in list(self._blocks) for event in self._finish(index)]
        self._ended = True
        stop = self._stop or WireDelta()
        finish = finish_reason(stop.stop_reason, has_calls=bool(self._call_ids))
        extensions = {DIALECT: dict(self._extensions)} if self._extensions else {}
        return [*events, ResponseEnd(finish_reason=finish, stop_sequence=stop.stop_sequence, extensions=extensions)]

    def _begun(self, what: str) -> ResponseStart:
        if self._start is None:
            raise UpstreamGarbled(f"the upstream sent {what} before message_start")
        return self._start

    # --- blocks -------------------------------------------------------------------------------------------------------

    def _block_start(self, event: WireEvent) -> Sequence[Event]:
        start = self._begun("a content block")
        try:
            part = read_answer_block(event.content_block, "/content_block")
        except Malformed as error:
            raise UpstreamGarbled(f"the upstream sent a content block that cannot be read: {error}") from None
        block = _Block(part=part)
        match part:
            case ToolCallPart():
                part = unique_call(part, start.id, self._call_ids)
                block.part = part
                self._blocks[event.index] = block
                return [self._open(block, msgspec.structs.replace(part, arguments=""))]
            case ReasoningPart(text=text):
                self._blocks[event.index] = block
                opened = self._open(block, msgspec.structs.replace(part, text=""))
                return [opened, ReasoningDelta(index=opened.index, text=text)] if text else [opened]
            case TextPart(text=text) if text:
                self._blocks[event.index] = block
                opened = self._open(block, msgspec.structs.replace(part, text=""))
                return [opened, TextDelta(index=opened.index, text=text)]
            case _:
                self._blocks[event.index] = block
                return ()

    def _open(self, block: _Block, part: Part) -> PartStart:
        block.index = self._parts
        self._parts += 1
        return PartStart(index=block.index, part=part)

    def _delta(self, event: WireEvent) -> Sequence[Event]:
        block, delta = self._blocks.get(event.index), event.delta
        if block is None or delta is None:
            raise UpstreamGarbled(f"the upstream sent a delta for block {event.index}, which is not open")
        index, part = block.index, block.part
        match delta.type:
            case "text_delta" if delta.text and isinstance(part, TextPart):
                if index is not None:
                    return (TextDelta(index=index, text=delta.text),)
                opened = self._open(block, part)
                return opened, TextDelta(index=opened.index, text=delta.text)
            case "thinking_delta" if delta.thinking and isinstance(part, ReasoningPart) and index is not None:
                return (ReasoningDelta(index=index, text=delta.thinking),)
            case "signature_delta" if delta.signature and index is not None:
                return (MetadataDelta(index=index, provider_metadata={DIALECT: {"signature": delta.signature}}),)
            case "input_json_delta" if delta.partial_json:
                block.pieces.append(delta.partial_json)
                if isinstance(part, ToolCallPart) and index is not None:
                    return (ToolArgumentsDelta(index=index, text=delta.partial_json),)
            case "citations_delta" if not is_absent(delta.citation):
                block.citations.append(delta.citation)
        return ()

    def _block_stop(self, event: WireEvent) -> Sequence[Event]:
        block = self._blocks.pop(event.index, None)
        return () if block is None else self._close(block)

    def _close(self, block: _Block) -> Sequence[Event]:
        part = block.part
        if isinstance(part, TextPart) and "block" in part.provider_metadata.get(DIALECT, {}):
            opened = self._open(block, _with_input(part, "".join(block.pieces)))
            return opened, PartEnd(index=opened.index)
        if block.index is None:
            return ()
        end = PartEnd(index=block.index)
        if isinstance(part, ToolCallPart) and not block.pieces:
            return ToolArgumentsDelta(index=block.index, text=part.arguments), end
        if block.citations:
            metadata = {DIALECT: {"citations": block.citations}}
            return MetadataDelta(index=block.index, provider_metadata=metadata), end
        return (end,)

    def _finish(self, index: int) -> Sequence[Event]:
        """A block the upstream forgot to stop. A call with half its arguments is never passed off as a whole one."""
        block = self._blocks.pop(index)
        if isinstance(block.part, ToolCallPart) and block.pieces:
            try:
                read_object("".join(block.pieces))
            except Malformed:
                raise StreamBroken("the upstream's stream ended within a tool call") from None
        return self._close(block)


def _with_input(part: TextPart, arguments: str) -> TextPart:
    """A server's tool call with the input that came in pieces."""
    if not arguments:
        return part
    block = read_object(part.provider_metadata[DIALECT]["block"])
    try:
        read_object(arguments)
    except Malformed:
        return part
    return opaque_part({**block, "input": Raw(arguments.encode())})


def unique_call(call: ToolCallPart, answer_id: str, taken: set[str]) -> ToolCallPart:
    """The call with an id that is there and its own; `taken` learns it. Raises `UpstreamGarbled` without a name."""
    if not call.name:
        raise UpstreamGarbled("the upstream sent a tool call without a name")
    call_id = call.id or fitting_id(f"toolu {answer_id} {len(taken)}")
    while call_id in taken:
        call_id += "_"
    taken.add(call_id)
    return call if call_id == call.id else msgspec.structs.replace(call, id=call_id)


_CANONICAL: Mapping[str, Any] = dict.fromkeys(
    ("id", "type", "role", "model", "content", "usage", "stop_reason", "stop_sequence", "delta", "message")
)


def answer_extensions(data: bytes | Raw) -> dict[str, Raw]:
    """The fields of an answer that only this dialect has; null says nothing."""
    return {name: raw for name, raw in read_object(data).items() if name not in _CANONICAL and bytes(raw) != b"null"}
