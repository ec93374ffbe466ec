"""The upstream's stream to events: one small machine per response, fed frames.

Each chunk is an answer of its own with the parts that are new. Text and thoughts come in pieces, everything else whole. The answer
is at its end when a finish reason has come; what it cost may follow.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec
from msgspec import Raw

from omniroute.api import (
    ChatResponse,
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
    fold,
)
from omniroute_translator_gemini.answered import answered_parts
from omniroute_translator_gemini.chunks import WireCandidate, WireChunk, candidate_of, finish_of, is_given, read_chunk
from omniroute_translator_gemini.errors import upstream_error
from omniroute_translator_gemini.usage import UsageTally, finish_error, finish_reason
from omniroute_translator_gemini.wire import DIALECT, own

__all__ = ["GeminiDecoder", "Identify", "decode_response"]

Identify: TypeAlias = Callable[[], str]
_EXTENSIONS = {
    "finish_message": "finishMessage",
    "citation_metadata": "citationMetadata",
    "grounding_metadata": "groundingMetadata",
    "url_context_metadata": "urlContextMetadata",
    "safety_ratings": "safetyRatings",
    "avg_logprobs": "avgLogprobs",
    "logprobs_result": "logprobsResult",
}
"""What a candidate says that only this dialect has a word for."""


class GeminiDecoder:
    """Feed each frame, then `close`. After a raised `UpstreamGarbled` the next frame may be fed as if nothing had been."""

    def __init__(self, new_id: Identify) -> None:
        """`new_id`: for calls that come without an id of their own."""
        self._new_id = new_id
        self._started = False
        self._parts = 0
        self._open: type[TextPart | ReasoningPart] | None = None
        """What is being said; its part is the last one."""
        self._call_ids: set[str] = set()
        self._tally = UsageTally()
        self._finish: str | None = None
        self._extensions: dict[str, Raw] = {}

    def feed(self, frame: Frame) -> Sequence[Event]:
        return self.take(read_chunk(frame.data))

    def take(self, chunk: WireChunk) -> Sequence[Event]:
        """The events of one chunk. Raises what the upstream reports, and `UpstreamGarbled` before anything has changed."""
        if chunk.error is not None:
            raise upstream_error(chunk.error)
        events: list[Event] = []
        candidate = candidate_of(chunk)
        parts = [] if candidate is None else answered_parts(candidate)
        if not self._started:
            if candidate is None and chunk == WireChunk():
                return (Ping(),)
            self._started = True
            events.append(ResponseStart(id=chunk.response_id or "", model=chunk.model_version or ""))
        for part in parts:
            self._take_part(part, events)
        if candidate is not None:
            self._keep(candidate)
        if chunk.usage_metadata is not None:
            events.append(UsageUpdate(usage=self._tally.update(chunk.usage_metadata)))
        if (finish := finish_of(chunk, candidate)) is not None:
            if (failure := finish_error(finish)) is not None:
                raise failure
            self._finish = finish
        return events

    def close(self) -> Sequence[Event]:
        if self._finish is None:
            raise StreamBroken("the upstream's stream ended before a finishReason")
        events: list[Event] = []
        self._stop(events)
        finish = finish_reason(self._finish, has_calls=bool(self._call_ids))
        extensions = {DIALECT: dict(self._extensions)} if self._extensions else {}
        return [*events, ResponseEnd(finish_reason=finish, extensions=extensions)]

    def _keep(self, candidate: WireCandidate) -> None:
        for attribute, name in _EXTENSIONS.items():
            if is_given(raw := getattr(candidate, attribute)):
                self._extensions[name] = raw

    # --- parts --------------------------------------------------------------------------------------------------------

    def _take_part(self, part: Part, events: list[Event]) -> None:
        match part:
            case ToolCallPart():
                self._call(part, events)
            case TextPart() | ReasoningPart() if "part" not in own(part.provider_metadata):
                self._say(part, events)
            case _:
                self._whole(part, events)

    def _say(self, part: TextPart | ReasoningPart, events: list[Event]) -> None:
        """A signature ends its part: what follows belongs to another one."""
        if type(part) is not self._open:
            self._stop(events)
            self._open = type(part)
            events.append(PartStart(index=self._next(), part=self._open(text="")))
        index = self._parts - 1
        if part.text:
            delta = TextDelta if isinstance(part, TextPart) else ReasoningDelta
            events.append(delta(index=index, text=part.text))
        if part.provider_metadata:
            events.append(MetadataDelta(index=index, provider_metadata=part.provider_metadata))
            self._stop(events)

    def _stop(self, events: list[Event]) -> None:
        if self._open is not None:
            self._open = None
            events.append(PartEnd(index=self._parts - 1))

    def _next(self) -> int:
        self._parts += 1
        return self._parts - 1

    def _whole(self, part: Part, events: list[Event]) -> None:
        self._stop(events)
        index = self._next()
        if isinstance(part, TextPart) and part.text:
            events.append(PartStart(index=index, part=msgspec.structs.replace(part, text="")))
            events.append(TextDelta(index=index, text=part.text))
        else:
            events.append(PartStart(index=index, part=part))
        events.append(PartEnd(index=index))

    def _call(self, call: ToolCallPart, events: list[Event]) -> None:
        self._stop(events)
        call_id = call.id
        if not call_id or call_id in self._call_ids:
            call_id = f"call_{self._new_id()}"
        self._call_ids.add(call_id)
        index = self._next()
        events += (
            PartStart(index=index, part=msgspec.structs.replace(call, id=call_id, arguments="")),
            ToolArgumentsDelta(index=index, text=call.arguments),
            PartEnd(index=index),
        )


def decode_response(body: bytes, new_id: Identify) -> ChatResponse:
    """A whole answer is a stream of one chunk, which may lack the finish reason.

    Raises `UpstreamGarbled`, and the fitting `UpstreamError` for an error that came with status 200.
    """
    chunk = read_chunk(body)
    decoder = GeminiDecoder(new_id)
    events = list(decoder.take(chunk))
    candidate = candidate_of(chunk)
    if finish_of(chunk, candidate) is None:
        if candidate is None:
            raise UpstreamGarbled("the upstream's answer holds no candidate")
        decoder.take(WireChunk(candidates=[WireCandidate(finish_reason="STOP")]))
    return fold([*events, *decoder.close()])
