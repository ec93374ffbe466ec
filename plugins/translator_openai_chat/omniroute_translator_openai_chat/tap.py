"""Watches a relayed stream: may it be relayed at all, has content come, has it ended, what did it cost, did it fail.

Until content comes every frame is read. After that a frame is read only when its bytes hold a usage, a finish reason or an
error that is not null, or do not begin and end as an object does; inside a text those keys would have escaped quotes and do
not match.
"""

import re
from collections.abc import Sequence

from omniroute.api import Frame, GatewayError, StreamBroken, Tap, UpstreamError, UpstreamFailed, Usage
from omniroute_translator_openai_chat.chunks import FINISH, NO_FINISH, is_done, read_frame
from omniroute_translator_openai_chat.errors import error_frame, upstream_error
from omniroute_translator_openai_chat.quirks import Beginning
from omniroute_translator_openai_chat.usage import usage_of

TELLING = re.compile(rb'"(?:usage|finish_reason|error)"\s*:\s*[^n\s]')


class ChatTap(Tap):
    """One instance per response; the kernel reads the attributes after each `feed`."""

    needs_rewrite: bool = False

    def __init__(self) -> None:
        self.content = False
        self.ended = False
        self.usage: Usage | None = None
        self.error: UpstreamError | None = None
        self._beginning = Beginning()

    def feed(self, frame: Frame) -> None:
        if self.content and frame.event != "error" and TELLING.search(frame.data) is None:
            data = frame.data
            if data.startswith(b"{") and data.endswith(b"}"):
                return
        if not frame.data:
            return
        if is_done(frame):
            if not self.ended:  # clients wait for a finish reason, and some do so for ever
                self.error = StreamBroken(NO_FINISH)
            return
        self._read(frame)

    def _read(self, frame: Frame) -> None:
        answer = read_frame(frame)
        if answer.error is not None:
            self.error = upstream_error(answer.error)
            return
        if answer.usage is not None:
            self.usage = usage_of(answer.usage)
        for choice in answer.choices or ():
            if not self.content and choice.delta is not None:
                self._beginning.feed(choice.delta)
                self.content = self._beginning.has_content
                self.needs_rewrite = self._beginning.is_odd
            if choice.finish_reason:
                if FINISH.get(choice.finish_reason) != "error":
                    self.ended = True
                    continue
                self.error = UpstreamFailed("the upstream ended its answer with an error and did not say which")

    def fail(self, error: GatewayError) -> Sequence[Frame]:
        return (error_frame(error),)
