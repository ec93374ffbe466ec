"""The events of an answer's stream as they stand on the wire."""

import re

import msgspec
from msgspec import Raw

from omniroute.api import UpstreamGarbled
from omniroute_translator_anthropic.errors import WireError
from omniroute_translator_anthropic.usage import WireUsage
from omniroute_translator_anthropic.wire import Malformed, read

__all__ = ["HalfPairs", "WireDelta", "WireEvent", "WireStart", "read_event"]


class WireDelta(msgspec.Struct):
    """Of a block or of the message."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    citation: Raw = Raw()
    stop_reason: str | None = None
    stop_sequence: str | None = None


class WireStart(msgspec.Struct):
    id: str = ""
    model: str = ""
    usage: WireUsage | None = None


class WireEvent(msgspec.Struct):
    """Every event there is; which fields are set follows from `type`."""

    type: str = ""
    index: int = 0
    message: WireStart | None = None
    content_block: Raw = Raw()
    delta: WireDelta | None = None
    usage: WireUsage | None = None
    error: WireError | None = None


class _Kind(msgspec.Struct):
    type: str = ""


_EVENT = msgspec.json.Decoder(WireEvent)
_KIND = msgspec.json.Decoder(_Kind)
_KNOWN = frozenset(
    {
        "content_block_delta",
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message_start",
        "message_stop",
    }
)
_DONE = b"[DONE]"
"""Another dialect's end, which some imitations send after ours."""


def read_event(data: bytes) -> WireEvent:
    """Raises `UpstreamGarbled`. An event of an unknown kind may have any shape and is read as nothing."""
    try:
        return read(_EVENT, data)
    except Malformed as error:
        kind = _kind_of(data)
        if kind == "error":
            return WireEvent(type=kind)
        if kind is not None and kind not in _KNOWN:
            return WireEvent()
        raise UpstreamGarbled(f"the upstream sent an event that cannot be read: {error}") from None


def _kind_of(data: bytes) -> str | None:
    """None when it is no event at all."""
    if data.strip() == _DONE:
        return ""
    try:
        return read(_KIND, data).type
    except Malformed:
        return None


class HalfPairs:
    """Joins surrogate pairs that an upstream cut in two: `\\ud83d` at the end of one event, `\\ude00` in the next one.

    No JSON decoder takes half a pair. A half that stays alone is left out.
    """

    _HIGH_AT_END = re.compile(rb'(?<!\\)((?:\\\\)*)(\\u[dD][89abAB][0-9a-fA-F]{2})"')
    _LOW_AT_START = re.compile(rb'"(\\u[dD][c-fC-F][0-9a-fA-F]{2})')

    def __init__(self) -> None:
        self._high = b""

    def join(self, data: bytes) -> bytes:
        if not self._high and b"\\u" not in data:
            return data
        high, self._high = self._high, b""
        data = self._LOW_AT_START.sub(lambda found: b'"' + high + found[1] if high else b'"', data, count=1)
        if cut := self._HIGH_AT_END.search(data):
            self._high = cut[2]
            data = data[: cut.start(2)] + data[cut.end(2) :]
        return data
