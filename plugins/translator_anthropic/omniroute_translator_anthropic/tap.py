"""Watches a relayed stream. Most frames are known by their `event:` line and not looked into, if they look like an object."""

from collections.abc import Iterable

from omniroute.api import Frame, GatewayError, Tap, UpstreamError, Usage
from omniroute_translator_anthropic.errors import error_frame, upstream_error
from omniroute_translator_anthropic.events import read_event
from omniroute_translator_anthropic.usage import UsageTally

__all__ = ["MessageTap"]


class MessageTap(Tap):
    __slots__ = ("_tally", "content", "ended", "error", "usage")

    def __init__(self) -> None:
        self.content = False
        self.ended = False
        self.usage: Usage | None = None
        self.error: UpstreamError | None = None
        self._tally = UsageTally()

    def feed(self, frame: Frame) -> None:
        data = frame.data
        kind = frame.event
        if kind is None:
            kind = read_event(data).type
        elif not (data.startswith(b"{") and data.endswith(b"}")):
            read_event(data)
        if kind == "content_block_delta":
            self.content = True
        elif kind == "content_block_start":
            self.content = self.content or b"tool_use" in data
        elif kind in ("message_start", "message_delta"):
            self._count(data)
        elif kind == "message_stop":
            self.ended = True
        elif kind == "error":
            self.error = upstream_error(read_event(data).error)

    def _count(self, data: bytes) -> None:
        event = read_event(data)
        usage = event.usage if event.message is None else event.message.usage
        if usage is not None:
            self.usage = self._tally.update(usage)

    @staticmethod
    def fail(error: GatewayError) -> Iterable[Frame]:
        return (error_frame(error),)
