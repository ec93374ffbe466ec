"""An upstream's finished output items to canonical parts. A streamed item comes to the same parts in the end."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw

from omniroute.api import (
    FinishReason,
    ImagePart,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    UpstreamGarbled,
    short_digest,
)
from omniroute_translator_openai_responses.events import IMAGE_CALL, UNREADABLE, ItemWire, ResponseWire
from omniroute_translator_openai_responses.items_in import opaque, wrapped
from omniroute_translator_openai_responses.names import flat_name
from omniroute_translator_openai_responses.wire import DIALECT, REFUSAL

INCOMPLETE: dict[str, FinishReason] = {"content_filter": "content_filter", "steered": "stop"}
"""Reasons for an incomplete answer; all others are limits on its length."""


def parts_of(item: ItemWire, raw: Raw) -> Iterator[tuple[int, Part]]:
    """The item's parts and their places in it: a message has one for each of its contents that says something.

    A tool call may be without id or name; what runs at the upstream is kept whole.
    """
    match item.type:
        case "message":
            yield from texts_of(item)
        case "reasoning":
            text = reasoning_text(item)
            metadata = sealed(item)
            if text or metadata:
                yield 0, ReasoningPart(text=text, provider_metadata=metadata)
        case "function_call":
            yield 0, call_of(item, item.arguments or "{}")
        case "custom_tool_call":
            yield 0, call_of(item, wrapped(item.input or ""))
        case "image_generation_call":
            yield 0, image_of(raw)
        case _:
            yield 0, opaque(raw)


def texts_of(item: ItemWire) -> Iterator[tuple[int, TextPart]]:
    for place, content in enumerate(item.content or ()):
        if content.refusal:
            yield place, TextPart(text=content.refusal, provider_metadata={**phase_of(item), **REFUSAL})
        elif content.text:
            metadata = phase_of(item)
            if content.annotations:
                metadata = {DIALECT: {**metadata.get(DIALECT, {}), "annotations": content.annotations}}
            yield place, TextPart(text=content.text, provider_metadata=metadata)


def phase_of(item: ItemWire) -> dict[str, dict[str, Any]]:
    return {DIALECT: {"phase": item.phase}} if item.phase else {}


def reasoning_text(item: ItemWire) -> str:
    """Its summary; of models that show their reasoning itself, that."""
    return "\n\n".join(piece.text for piece in item.summary or item.content or () if piece.text)


def sealed(item: ItemWire) -> dict[str, dict[str, Any]]:
    """What the service wants back with the next turn."""
    if not item.encrypted_content:
        return {}
    return {DIALECT: {"encrypted_content": item.encrypted_content, **({"id": item.id} if item.id else {})}}


def call_of(item: ItemWire, arguments: str) -> ToolCallPart:
    return ToolCallPart(
        id=item.call_id or item.id or "", name=flat_name(item.namespace, item.name or ""), arguments=arguments
    )


def image_of(raw: Raw) -> ImagePart | TextPart:
    try:
        call = IMAGE_CALL.decode(raw)
    except UNREADABLE:
        return opaque(raw)
    if not call.result:
        return opaque(raw)
    media_type = f"image/{call.output_format or 'png'}"
    return ImagePart(media_type=media_type, data=call.result, provider_metadata={DIALECT: {"item": raw}})


def with_id(part: Part, ids: set[str], answer_id: str | None) -> Part:
    """A tool call with an id that is there and its own; `ids` learns it. Raises `UpstreamGarbled` without a name."""
    if not isinstance(part, ToolCallPart):
        return part
    if not part.name:
        raise UpstreamGarbled("the upstream sent a tool call without a name")
    call_id = part.id
    while not call_id or call_id in ids:
        call_id = f"call_{short_digest(f'{answer_id} {part.id} {len(ids)} {call_id}', 24)}"
    ids.add(call_id)
    return part if call_id == part.id else msgspec.structs.replace(part, id=call_id)


def finish_of(response: ResponseWire, *, is_complete: bool, has_calls: bool) -> FinishReason:
    if is_complete:
        return "tool_calls" if has_calls else "stop"
    details = response.incomplete_details
    return INCOMPLETE.get((details and details.reason) or "", "length")
