"""The grammar of a stream of events, as `omniroute.model` states it."""

from collections.abc import Iterable

from omniroute.model import (
    Event,
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
    UsageUpdate,
)

__all__ = ["check_events"]

DELTAS: dict[type, type] = {TextDelta: TextPart, ReasoningDelta: ReasoningPart, ToolArgumentsDelta: ToolCallPart}


def check_events(events: Iterable[Event]) -> None:
    """Raise `AssertionError` naming the first event that stands where it must not.

    `ResponseStart`, then parts numbered 0, 1, 2, …: `PartStart`, deltas of the part's own kind, `PartEnd`; parts may be open
    side by side. `UsageUpdate` anywhere between, `ResponseEnd` last, once all parts have ended; `Ping` anywhere before it.
    A tool call has its id and name from the start, ids are unique, and an answer that calls tools finishes with `tool_calls`
    unless it was cut off or refused.
    """
    grammar = _Grammar()
    position = -1
    for position, event in enumerate(events):
        grammar.check(event, f"event {position}, {type(event).__name__}")
    assert grammar.started, "no ResponseStart: there are no events" if position < 0 else "no ResponseStart"
    assert grammar.ended, "no ResponseEnd: the stream ends in the air"


class _Grammar:
    def __init__(self) -> None:
        self.started = False
        self.ended = False
        self.parts: list[Part] = []
        self.open: set[int] = set()
        self.call_ids: set[str] = set()

    def check(self, event: Event, where: str) -> None:
        assert not self.ended, f"{where}: after ResponseEnd"
        if isinstance(event, Ping):
            return
        if isinstance(event, ResponseStart):
            assert not self.started, f"{where}: the second one"
            self.started = True
            return
        assert self.started, f"{where}: before ResponseStart"
        match event:
            case PartStart(index=index, part=part):
                self._start(index, part, where)
            case PartEnd(index=index):
                self._in_open_part(index, where)
                self.open.remove(index)
            case MetadataDelta(index=index):
                self._in_open_part(index, where)
            case TextDelta(index=index) | ReasoningDelta(index=index) | ToolArgumentsDelta(index=index):
                self._in_open_part(index, where)
                kind, wanted = type(self.parts[index]), DELTAS[type(event)]
                assert kind is wanted, f"{where}: in part {index}, which is a {kind.__name__}, not a {wanted.__name__}"
            case ResponseEnd():
                self._end(event, where)
            case UsageUpdate():
                pass
            case _:
                raise AssertionError(f"{where}: no event")

    def _start(self, index: int, part: Part, where: str) -> None:
        assert index == len(self.parts), f"{where}: index {index}, but the next part is {len(self.parts)}"
        if isinstance(part, ToolCallPart):
            assert part.id, f"{where}: a tool call without an id"
            assert part.name, f"{where}: a tool call without a name"
            assert part.id not in self.call_ids, f"{where}: a second tool call with the id {part.id!r}"
            self.call_ids.add(part.id)
        self.parts.append(part)
        self.open.add(index)

    def _in_open_part(self, index: int, where: str) -> None:
        assert index < len(self.parts), f"{where}: part {index} has not started"
        assert index in self.open, f"{where}: part {index} has ended"

    def _end(self, event: ResponseEnd, where: str) -> None:
        assert not self.open, f"{where}: part {min(self.open)} is still open"
        if event.finish_reason == "tool_calls":
            assert self.call_ids, f"{where}: finish reason tool_calls, but there is no tool call"
        if self.call_ids:
            assert event.finish_reason != "stop", f"{where}: finish reason stop, but there are tool calls"
        self.ended = True
