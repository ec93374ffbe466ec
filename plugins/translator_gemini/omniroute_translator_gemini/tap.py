"""Watches a relayed stream: has content come, has it ended, what did it cost, did it fail."""

from collections.abc import Iterable

from omniroute.api import Frame, GatewayError, UpstreamError, Usage
from omniroute_translator_gemini.chunks import candidate_of, finish_of, has_content, parts_of, read_chunk
from omniroute_translator_gemini.errors import error_frame, upstream_error
from omniroute_translator_gemini.usage import UsageTally

__all__ = ["GeminiTap"]


class GeminiTap:
    __slots__ = ("_tally", "content", "ended", "error", "usage")
    needs_rewrite = False

    def __init__(self) -> None:
        self.content = False
        self.ended = False
        self.usage: Usage | None = None
        self.error: UpstreamError | None = None
        self._tally = UsageTally()

    def feed(self, frame: Frame) -> None:
        chunk = read_chunk(frame.data)
        if chunk.error is not None:
            self.error = upstream_error(chunk.error)
            return
        if chunk.usage_metadata is not None:
            self.usage = self._tally.update(chunk.usage_metadata)
        candidate = candidate_of(chunk)
        if not self.content and candidate is not None:
            self.content = any(map(has_content, parts_of(candidate)))
        self.ended = self.ended or finish_of(chunk, candidate) is not None

    @staticmethod
    def fail(error: GatewayError) -> Iterable[Frame]:
        return (error_frame(error),)
