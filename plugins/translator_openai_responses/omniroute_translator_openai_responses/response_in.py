"""An upstream's answer to events: one small machine for streams, and the same parts for whole answers.

It absorbs what servers of this dialect do: no deltas and everything in `.done`, or in the last event only, or nothing in the
last event; items open side by side; item ids that change from event to event; surrogate pairs cut in two; failures that
come with status 200. What has been said is never said again: `.done` adds only what the deltas had left out.
"""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from msgspec import Raw

from omniroute.api import (
    ChatResponse,
    Event,
    Frame,
    Part,
    PartEnd,
    PartStart,
    ReasoningPart,
    ResponseEnd,
    ResponseStart,
    StreamBroken,
    TextPart,
    ToolCallPart,
    UpstreamGarbled,
    UsageUpdate,
)
from omniroute_translator_openai_responses.errors import upstream_error
from omniroute_translator_openai_responses.events import (
    CALLS,
    DELTAS,
    ENDS,
    FAILURES,
    OPENINGS,
    WHOLES,
    EventWire,
    ItemWire,
    ResponseWire,
    Voice,
    is_done,
    problem_of,
    read_event,
    read_item,
    read_response,
)
from omniroute_translator_openai_responses.items_back import finish_of, parts_of, phase_of, with_id
from omniroute_translator_openai_responses.names import flat_name
from omniroute_translator_openai_responses.slots import Item, Slot, emptied
from omniroute_translator_openai_responses.usage import usage_of
from omniroute_translator_openai_responses.wire import REFUSAL

Place: TypeAlias = tuple[Voice, str | None, int | None, int | None, int | None]
"""Where a delta belongs: its kind, item and place in the item."""
NOTHING = ResponseWire()


def decode_response(body: bytes) -> ChatResponse:
    """Raises `UpstreamGarbled`, or the error the body reports."""
    response = read_response(body)
    if response.error is not None or response.status in ("failed", "cancelled"):
        raise upstream_error(response.error)
    if response.output is None or response.status in ("in_progress", "queued"):
        status = f"status {response.status}" if response.status else "no status"
        raise UpstreamGarbled("the upstream's answer is no finished response", why=f"{status}, {len(body)} bytes")
    ids: set[str] = set()
    parts = tuple(
        with_id(part, ids, response.id) for raw in response.output for _, part in parts_of(read_item(raw), raw)
    )
    finish = finish_of(response, is_complete=response.status != "incomplete", has_calls=bool(ids))
    return ChatResponse(
        id=response.id or "",
        model=response.model or "",
        parts=parts,
        finish_reason=finish,
        usage=usage_of(response.usage) if response.usage else None,
    )


class ResponsesDecoder:
    """One instance per response: `feed` each frame, then `close`."""

    def __init__(self) -> None:
        self._id = ""
        self._started = False
        self._ended = False
        self._parts = 0
        self._items: list[Item] = []
        self._by_id: dict[str, Item] = {}
        self._by_index: dict[int, Item] = {}
        self._call_ids: set[str] = set()
        self._place: Place | None = None
        self._slot: Slot | None = None
        """Where the last delta belonged."""

    def feed(self, frame: Frame) -> Sequence[Event]:
        if self._ended or not frame.data or is_done(frame):
            return ()
        event = read_event(frame)
        kind = event.type
        if (voice := DELTAS.get(kind)) is not None:
            return self._delta(event, voice, event.delta) if event.delta else ()
        if kind == "response.output_item.added":
            return list(self._added(event))
        if kind == "response.output_item.done":
            return list(self._done(event))
        if (voice := WHOLES.get(kind)) is not None:
            return list(self._told(event, voice))
        if kind in OPENINGS:
            return list(self._begin(read_response(event.response) if event.response else NOTHING))
        if kind in ENDS:
            return list(self._end(read_response(event.response), is_complete=kind == "response.completed"))
        if kind in FAILURES:
            raise upstream_error(problem_of(event))
        return ()

    def close(self) -> Sequence[Event]:
        if self._ended:
            return ()
        where = "response.completed" if self._started else "its first event"
        raise StreamBroken(f"the upstream's stream ended before {where}")

    # --- beginning and end --------------------------------------------------------------------------------------------

    def _begin(self, response: ResponseWire = NOTHING) -> Iterator[Event]:
        if self._started:
            return
        self._started = True
        self._id = response.id or ""
        yield ResponseStart(id=self._id, model=response.model or "")

    def _end(self, response: ResponseWire, *, is_complete: bool) -> Iterator[Event]:
        if response.error is not None or response.status == "failed":
            raise upstream_error(response.error)
        yield from self._begin(response)
        for position, raw in enumerate(response.output or ()):
            wire = read_item(raw)
            item = self._find(wire, position)
            if item is None and position >= len(self._items):
                item = self._new_item(wire, position)
            if item is not None:
                yield from self._finish(item, wire, raw)
        for item in self._items:
            yield from self._cut(item, is_complete=is_complete)
        if response.usage is not None:
            yield UsageUpdate(usage=usage_of(response.usage))
        self._ended = True
        finish = finish_of(response, is_complete=is_complete, has_calls=bool(self._call_ids))
        yield ResponseEnd(finish_reason=finish)

    # --- items --------------------------------------------------------------------------------------------------------

    def _added(self, event: EventWire) -> Iterator[Event]:
        wire = read_item(event.item)
        if wire.id and wire.id in self._by_id:
            return  # announced twice
        item = self._new_item(wire, event.output_index)
        if wire.type in CALLS and wire.name:
            yield from self._begin()
            yield from self._start_call(item)
            if wire.arguments:
                yield from item.slots[0].say(wire.arguments)

    def _new_item(self, wire: ItemWire, output_index: int | None) -> Item:
        item = Item(wire)
        self._items.append(item)
        if wire.id:
            self._by_id[wire.id] = item
        if output_index is not None:
            self._by_index[output_index] = item
        return item

    def _done(self, event: EventWire) -> Iterator[Event]:
        wire = read_item(event.item)
        item = self._find(wire, event.output_index)
        if item is None or (item.is_done and wire.id and wire.id not in self._by_id):
            item = self._new_item(wire, event.output_index)
        yield from self._finish(item, wire, event.item)

    def _find(self, wire: ItemWire, output_index: int | None) -> Item | None:
        """The item an event is about: by its id, else by its index."""
        if wire.id and (item := self._by_id.get(wire.id)):
            return item
        item = None if output_index is None else self._by_index.get(output_index)
        return item if item is not None and item.wire.type == wire.type else None

    def _spoken_of(self, event: EventWire, voice: Voice) -> Item:
        """The item a text belongs to, announced or not."""
        wire = ItemWire(type=owner_of(voice), id=event.item_id)
        return self._find(wire, event.output_index) or self._new_item(wire, event.output_index)

    def _start_call(self, item: Item) -> Iterator[Event]:
        wire = item.wire
        name = flat_name(wire.namespace, wire.name or "")
        part = ToolCallPart(id=wire.call_id or wire.id or "", name=name, arguments="")
        slot = self._slot_for(item, 0, with_id(part, self._call_ids, self._id))
        yield PartStart(index=slot.index, part=slot.part)
        if wire.type == "custom_tool_call":
            yield from slot.open_input()
        if item.waiting:
            yield from slot.say(item.waiting)
            item.waiting = ""

    def _slot_for(self, item: Item, place: int, part: Part) -> Slot:
        slot = Slot(self._parts, part)
        self._parts += 1
        item.slots[place] = slot
        return slot

    def _finish(self, item: Item, wire: ItemWire, raw: Raw) -> Iterator[Event]:
        """Say what is still unsaid of an item that is whole now, and end its parts."""
        if item.is_done:
            return
        item.is_done, self._slot = True, None
        for place, part in parts_of(wire, raw):
            slot = item.slots.get(place)
            if slot is None:
                yield from self._begin()
                slot = self._slot_for(item, place, emptied(with_id(part, self._call_ids, self._id)))
                yield PartStart(index=slot.index, part=slot.part)
            yield from slot.complete(part)
        yield from (PartEnd(index=slot.index) for slot in item.slots.values())

    def _cut(self, item: Item, *, is_complete: bool) -> Iterator[Event]:
        """End an item whose end the upstream has forgotten. Half a call is never passed off as a whole one."""
        if item.is_done:
            return
        item.is_done = True
        if item.waiting:
            raise UpstreamGarbled("the upstream sent arguments of a tool call and never the tool's name")
        for slot in item.slots.values():
            if isinstance(slot.part, ToolCallPart) and is_complete:
                yield from slot.close_call()
            yield PartEnd(index=slot.index)

    # --- texts --------------------------------------------------------------------------------------------------------

    def _delta(self, event: EventWire, voice: Voice, text: str) -> Sequence[Event]:
        place = (voice, event.item_id, event.output_index, event.content_index, event.summary_index)
        if place == self._place and self._slot is not None:
            return self._slot.say(text)  # most deltas follow another one there
        self._place, self._slot = place, None
        return list(self._said(event, voice, text))

    def _said(self, event: EventWire, voice: Voice, text: str) -> Iterator[Event]:
        yield from self._begin()
        item = self._spoken_of(event, voice)
        if item.is_done:
            return
        if voice in CALLS:
            slot = item.slots.get(0)
            if slot is None:
                item.waiting += text
                return
        elif voice in ("summary", "reasoning"):
            place = (event.summary_index if voice == "summary" else event.content_index) or 0
            slot = item.slots.get(0)
            if slot is None:
                item.voice, item.paragraph = voice, place
                slot = self._slot_for(item, 0, ReasoningPart(text=""))
                yield PartStart(index=slot.index, part=slot.part)
            elif item.voice != voice:
                return
            elif place > item.paragraph:
                item.paragraph = place
                text = f"\n\n{text}"
        else:
            place = event.content_index or 0
            slot = item.slots.get(place)
            if slot is None:
                slot = self._slot_for(item, place, opening(item.wire, voice))
                yield PartStart(index=slot.index, part=slot.part)
        self._slot = slot
        yield from slot.say(text)

    def _told(self, event: EventWire, voice: Voice) -> Iterator[Event]:
        """A whole text, of which the deltas may have left out some or all. Of reasoning the item's end says it again."""
        whole = event.whole
        if not whole or voice in ("summary", "reasoning"):
            return
        item = self._spoken_of(event, voice)
        if item.is_done:
            return
        slot = item.slots.get(0 if voice in CALLS else event.content_index or 0)
        if slot is not None:
            yield from slot.say_rest(whole)
        elif whole.startswith(item.waiting):
            yield from self._said(event, voice, whole[len(item.waiting) :])


def owner_of(voice: Voice) -> str:
    if voice in CALLS:
        return voice
    return "reasoning" if voice in ("summary", "reasoning") else "message"


def opening(wire: ItemWire, voice: Voice) -> TextPart:
    metadata = {**phase_of(wire), **(REFUSAL if voice == "refusal" else {})}
    return TextPart(text="", provider_metadata=metadata)
