"""Events to the whole answer they add up to."""

from collections.abc import Iterable

import msgspec

from omniroute.model import (
    ChatResponse,
    Event,
    MetadataDelta,
    Part,
    PartStart,
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

__all__ = ["fold"]


def fold(events: Iterable[Event]) -> ChatResponse:
    started, ended, usage = ResponseStart(id="", model=""), ResponseEnd(finish_reason="stop"), None
    parts: dict[int, Part] = {}
    texts: dict[int, list[str]] = {}
    for event in events:
        match event:
            case TextDelta() | ReasoningDelta() | ToolArgumentsDelta():
                texts[event.index].append(event.text)
            case PartStart():
                parts[event.index], texts[event.index] = event.part, []
            case MetadataDelta():
                metadata = parts[event.index].provider_metadata
                merged = {name: {**metadata.get(name, {}), **added} for name, added in event.provider_metadata.items()}
                parts[event.index] = msgspec.structs.replace(
                    parts[event.index], provider_metadata={**metadata, **merged}
                )
            case UsageUpdate():
                usage = event.usage
            case ResponseStart():
                started = event
            case ResponseEnd():
                ended = event
    return ChatResponse(
        id=started.id,
        model=started.model,
        parts=tuple(_filled(parts[index], "".join(texts[index])) for index in sorted(parts)),
        finish_reason=ended.finish_reason,
        stop_sequence=ended.stop_sequence,
        usage=usage,
        extensions=ended.extensions,
    )


def _filled(part: Part, text: str) -> Part:
    match part:
        case TextPart() | ReasoningPart():
            return msgspec.structs.replace(part, text=part.text + text)
        case ToolCallPart():
            return msgspec.structs.replace(part, arguments=part.arguments + text)
        case _:
            return part
