"""Watches a relayed stream: has content come, has it ended, what did it cost, did it fail.

Until content comes every frame is read. After that a frame is read only when its event's name, or its bytes where it has none,
say that it is the last one, or when it does not begin and end as an object does; inside a text the name would have escaped
quotes and does not match.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from omniroute.api import Frame, GatewayError, Tap, UpstreamError, Usage
from omniroute_translator_openai_responses.errors import failure_json, upstream_error
from omniroute_translator_openai_responses.events import (
    CALLS,
    DELTAS,
    ENDS,
    FAILURES,
    ITEMS,
    WHOLES,
    EventWire,
    is_done,
    problem_of,
    read_event,
    read_item,
    read_response,
)
from omniroute_translator_openai_responses.items_back import parts_of
from omniroute_translator_openai_responses.usage import usage_of

TELLING = re.compile(rb'"type"\s*:\s*"(?:response\.(?:completed|incomplete|failed|cancelled)|error)"')
LAST = ENDS | FAILURES
FIELDS = msgspec.json.Decoder(dict[str, Raw])


class Numbered(msgspec.Struct):
    sequence_number: int = -1


NUMBERED = msgspec.json.Decoder(Numbered)


class ResponsesTap(Tap):
    """One instance per response; the kernel reads the attributes after each `feed`."""

    def __init__(self) -> None:
        self.content = False
        self.ended = False
        self.usage: Usage | None = None
        self.error: UpstreamError | None = None
        self._opening = Raw(b"")
        """The response as it was announced."""
        self._last = b""

    def feed(self, frame: Frame) -> None:
        if self.content:
            named = frame.event
            if named not in LAST if named is not None else TELLING.search(frame.data) is None:
                data = frame.data
                if data.startswith(b"{") and data.endswith(b"}"):
                    self._last = data
                    return
        if not frame.data or is_done(frame):
            return
        self._last = frame.data
        self._read(read_event(frame))

    def _read(self, event: EventWire) -> None:
        kind = event.type
        if kind in FAILURES:
            self.error = upstream_error(problem_of(event))
        elif kind in ENDS:
            self._end(event)
        elif not self.content:
            self.content = says_something(event)
            if event.response and not self._opening:
                self._opening = event.response

    def _end(self, event: EventWire) -> None:
        response = read_response(event.response)
        if response.error is not None or response.status == "failed":
            self.error = upstream_error(response.error)
            return
        self.ended = True
        self.content = self.content or bool(response.output)
        self.usage = usage_of(response.usage) if response.usage else None

    def fail(self, error: GatewayError) -> Sequence[Frame]:
        """`response.failed` about the response that was announced; without one, the event `error`."""
        problem = failure_json(error)
        number = self._next_number()
        if not self._opening:
            fields: dict[str, Any] = {"type": "error", **problem, "param": error.param, "sequence_number": number}
            return (Frame(msgspec.json.encode(fields), "error"),)
        response: dict[str, Any] = {**FIELDS.decode(self._opening), "status": "failed", "error": problem}
        fields = {"type": "response.failed", "sequence_number": number, "response": response}
        return (Frame(msgspec.json.encode(fields), "response.failed"),)

    def _next_number(self) -> int:
        try:
            return NUMBERED.decode(self._last).sequence_number + 1
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return 0


def says_something(event: EventWire) -> bool:
    """Whether the client gets to see something by this event: a text, reasoning, or a call's name."""
    kind = event.type
    if kind in DELTAS:
        return bool(event.delta)
    if kind in WHOLES:
        return bool(event.whole)
    if kind not in ITEMS:
        return False
    item = read_item(event.item)
    if kind == "response.output_item.added":
        return item.type in CALLS and bool(item.name)
    return any(True for _ in parts_of(item, event.item))
