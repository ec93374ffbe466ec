"""What an upstream answers: events, the response around them, output items. Shared by the decoder and the tap.

Read leniently: servers of this dialect leave fields out, send null for them, or add events of their own, which may have any
shape and are read as nothing. Fields nobody uses are not named here.
"""

import json
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

from omniroute.api import Frame, UpstreamGarbled
from omniroute_translator_openai_responses.usage import UsageWire

DONE = b"[DONE]"
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Voice: TypeAlias = Literal["text", "refusal", "summary", "reasoning", "function_call", "custom_tool_call"]
DELTAS: dict[str, Voice] = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.reasoning_summary_text.delta": "summary",
    "response.reasoning_text.delta": "reasoning",
    "response.function_call_arguments.delta": "function_call",
    "response.custom_tool_call_input.delta": "custom_tool_call",
}
WHOLES: dict[str, Voice] = {
    "response.output_text.done": "text",
    "response.refusal.done": "refusal",
    "response.reasoning_summary_text.done": "summary",
    "response.reasoning_text.done": "reasoning",
    "response.function_call_arguments.done": "function_call",
    "response.custom_tool_call_input.done": "custom_tool_call",
}
"""Events that say again, whole, what deltas have said."""
ITEMS = frozenset({"response.output_item.added", "response.output_item.done"})
OPENINGS = frozenset({"response.created", "response.in_progress", "response.queued"})
ENDS = frozenset({"response.completed", "response.incomplete"})
FAILURES = frozenset({"response.failed", "response.cancelled", "error"})
KNOWN = frozenset({*DELTAS, *WHOLES, *ITEMS, *OPENINGS, *ENDS, *FAILURES})
CALLS = frozenset({"function_call", "custom_tool_call"})


class Problem(Struct):
    """Nothing is certain about the types: a report of a failure must not fail on them."""

    message: Any = None
    type: Any = None
    code: Any = None
    param: Any = None


class ContentWire(Struct):
    """Of a message or of reasoning; a part of another type says nothing here."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    annotations: list[Raw] | None = None


class ItemWire(Struct):
    """An output item of one of the types the canonical model has a word for."""

    type: str = ""
    id: str | None = None
    phase: str | None = None
    content: list[ContentWire] | None = None
    summary: list[ContentWire] | None = None
    encrypted_content: str | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: str | None = None
    input: str | None = None


class KindWire(Struct):
    """Of an event or an item."""

    type: str = ""
    id: Any = None


class ImageCallWire(Struct):
    result: str | None = None
    output_format: str | None = None


class IncompleteWire(Struct):
    reason: str | None = None


class ResponseWire(Struct):
    id: str | None = None
    model: str | None = None
    status: str | None = None
    output: list[Raw] | None = None
    usage: UsageWire | None = None
    error: Problem | str | None = None
    incomplete_details: IncompleteWire | None = None


class EventWire(Struct):
    """Every event there is; which fields are set follows from `type`."""

    type: str = ""
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    delta: str | None = None
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    input: str | None = None
    item: Raw = Raw(b"")
    response: Raw = Raw(b"")
    error: Problem | str | None = None
    message: Any = None
    code: Any = None
    param: Any = None

    @property
    def whole(self) -> str | None:
        """What one of the `WHOLES` says."""
        return next((said for said in (self.text, self.refusal, self.arguments, self.input) if said is not None), None)


EVENT = msgspec.json.Decoder(EventWire)
KIND = msgspec.json.Decoder(KindWire)
ITEM = msgspec.json.Decoder(ItemWire)
IMAGE_CALL = msgspec.json.Decoder(ImageCallWire)
RESPONSE = msgspec.json.Decoder(ResponseWire)
READ = frozenset({"message", "reasoning", *CALLS})


def is_done(frame: Frame) -> bool:
    """Another dialect's end, which some servers send after ours."""
    return frame.data[:1] == b"[" and frame.data.strip() == DONE


def read_event(frame: Frame) -> EventWire:
    """Raises `UpstreamGarbled`."""
    try:
        event = EVENT.decode(frame.data)
    except UNREADABLE as error:
        event = read_oddity(frame.data, error)
    if not event.type:
        event.type = "error" if event.error is not None else frame.event or ""
    return event


def read_oddity(body: bytes, error: Exception) -> EventWire:
    """An event of an unknown kind, or with half a surrogate pair, which msgspec refuses and the standard library does not."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise garbled(body, error) from error
    kind = found.get("type") if isinstance(found, dict) else None
    if isinstance(kind, str) and kind in DELTAS and b"\\ud" in body.lower():
        try:
            return msgspec.convert({name: value for name, value in found.items() if name != "item"}, EventWire)
        except msgspec.ValidationError:
            raise garbled(body, error) from error
    if isinstance(kind, str) and kind == "error":
        return EventWire(type="error")
    if isinstance(kind, str) and kind not in KNOWN:
        return EventWire(type=kind)
    try:
        return EVENT.decode(mended(found))
    except UNREADABLE:
        raise garbled(body, error) from error


def mended(value: object) -> bytes:
    """JSON with U+FFFD for every half of a surrogate pair that stands alone."""
    text = json.dumps(value, ensure_ascii=False)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def read_response(raw: Raw | bytes) -> ResponseWire:
    """Raises `UpstreamGarbled`."""
    try:
        return RESPONSE.decode(raw)
    except UNREADABLE as error:
        if isinstance(error, msgspec.DecodeError) and b"\\ud" in bytes(raw).lower():
            try:
                return RESPONSE.decode(mended(json.loads(bytes(raw))))
            except (*UNREADABLE, ValueError):
                raise garbled(raw, error) from error
        raise garbled(raw, error) from error


def problem_of(event: EventWire) -> Problem | str | None:
    """What one of the `FAILURES` reports."""
    if event.type == "error":
        return event.error or Problem(message=event.message, code=event.code, param=event.param)
    try:
        return RESPONSE.decode(event.response).error
    except UNREADABLE:
        return event.error


def read_item(raw: Raw) -> ItemWire:
    """Of an item this module does not read, `type` and `id` only. Raises `UpstreamGarbled`."""
    try:
        kind = KIND.decode(raw)
        if kind.type in READ:
            return ITEM.decode(raw)
    except UNREADABLE as error:
        raise garbled(raw, error) from error
    return ItemWire(type=kind.type, id=kind.id if isinstance(kind.id, str) else None)


def garbled(body: bytes | Raw, error: Exception) -> UpstreamGarbled:
    return UpstreamGarbled(
        "the upstream sent something that is not an OpenAI Responses answer",
        why=f"{error}, in {len(memoryview(body))} bytes",
    )
