"""Events to the client's stream, and the whole answer in one body.

    response.created, response.in_progress, then the items, then response.completed or response.incomplete

Every part becomes an item of its own, announced by its first content, so that none is empty; items may be open side by side.
`sequence_number` counts every event, nothing follows the last. Text and argument deltas are the hot path: everything of their
frame but the delta and its number is made once.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from omniroute.api import (
    ChatRequest,
    ChatResponse,
    Event,
    Frame,
    GatewayError,
    MetadataDelta,
    Part,
    PartEnd,
    PartStart,
    ReasoningDelta,
    ReasoningPart,
    ResponseEnd,
    ResponseStart,
    TextDelta,
    TextPart,
    ToolArgumentsDelta,
    ToolCallPart,
    UpstreamFailed,
    Usage,
    UsageUpdate,
)
from omniroute_translator_openai_responses.answer import (
    Envelope,
    Form,
    Identify,
    answer_id,
    client_tools,
    foreign,
    json,
    text_content,
)
from omniroute_translator_openai_responses.errors import failure_json
from omniroute_translator_openai_responses.parts_out import is_refusal, own_item


def encode_response(response: ChatResponse, request: ChatRequest, created_s: int, new_id: Identify) -> bytes:
    if response.finish_reason == "error":
        raise UpstreamFailed("the upstream ended its answer with an error")
    tools = client_tools(request)
    response_id = answer_id(response.id, new_id)
    form = Form(tools, response_id)
    output = [json(item) for part in response.parts for item in form.items(part)]
    envelope = Envelope(request, tools, response_id, response.model, created_s)
    return envelope.ended(response.finish_reason, output, response.usage)[1]


class Item:
    """An item that is being written."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.id = ""
        self.index = -1
        """Its `output_index`; −1 before it is announced."""
        self.pieces: list[str] = []
        self.metadata: dict[str, dict[str, Any]] = dict(part.provider_metadata)
        self.is_held = False
        """Told when it is complete: free text cannot be cut out of half a JSON string."""
        self.kind = ""
        """The name of its delta events."""
        self.inner: dict[str, Any] = {}
        """Where in the item a delta belongs."""
        self.opening: tuple[str, dict[str, Any]] | None = None
        """The event that opens its inner part, and that part."""
        self.before = b""
        """The frame of a delta, up to the delta."""

    @property
    def place(self) -> dict[str, Any]:
        return {"item_id": self.id, "output_index": self.index}

    def whole(self) -> Part:
        text = "".join(self.pieces)
        match self.part:
            case ToolCallPart():
                return msgspec.structs.replace(self.part, arguments=text, provider_metadata=self.metadata)
            case TextPart() | ReasoningPart():
                return msgspec.structs.replace(self.part, text=text, provider_metadata=self.metadata)
            case _:
                return self.part


class ResponsesEncoder:
    """One instance per response."""

    def __init__(self, request: ChatRequest, created_s: int, new_id: Identify) -> None:
        self._request = request
        self._created_s = created_s
        self._new_id = new_id
        self._tools = client_tools(request)
        self._is_started = False
        self._number = 0
        self._items: dict[int, Item] = {}
        """By part."""
        self._output: dict[int, bytes] = {}
        """Finished items by `output_index`."""
        self._usage: Usage | None = None

    def feed(self, event: Event) -> Sequence[Frame]:
        match event:
            case TextDelta() | ReasoningDelta() | ToolArgumentsDelta():
                return self._delta(self._items[event.index], event.text)
            case PartStart():
                return self._start_part(event.index, event.part)
            case PartEnd():
                return self._end_part(self._items[event.index])
            case MetadataDelta():
                self._merge(self._items[event.index].metadata, event)
            case UsageUpdate():
                self._usage = event.usage
            case ResponseStart():
                self._start(event)
                body = self._envelope.json("in_progress")
                return [self._around("response.created", body), self._around("response.in_progress", body)]
            case ResponseEnd():
                return self._end(event)
        return ()

    def close(self) -> Sequence[Frame]:
        return ()

    def fail(self, error: GatewayError) -> Sequence[Frame]:
        if not self._is_started:
            self._start(ResponseStart(id="", model=""))
        body = self._envelope.json("failed", self._finished(), self._usage, error=failure_json(error))
        return (self._around("response.failed", body),)

    # --- the response -------------------------------------------------------------------------------------------------

    def _start(self, event: ResponseStart) -> None:
        self._is_started = True
        response_id = answer_id(event.id, self._new_id)
        self._envelope = Envelope(self._request, self._tools, response_id, event.model, self._created_s)
        self._form = Form(self._tools, response_id)

    def _end(self, event: ResponseEnd) -> Sequence[Frame]:
        if event.finish_reason == "error":
            return self.fail(UpstreamFailed("the upstream ended its answer with an error"))
        status, body = self._envelope.ended(event.finish_reason, self._finished(), self._usage)
        return (self._around(f"response.{status}", body),)

    def _finished(self) -> list[bytes]:
        return [self._output[index] for index in sorted(self._output)]

    def _around(self, kind: str, response: bytes) -> Frame:
        data = b'{"type":%b,"sequence_number":%d,"response":%b}' % (json(kind), self._count(), response)
        return Frame(data, kind)

    def _frame(self, kind: str, fields: dict[str, Any]) -> Frame:
        return Frame(json({"type": kind, "sequence_number": self._count(), **fields}), kind)

    def _count(self) -> int:
        self._number += 1
        return self._number - 1

    @staticmethod
    def _merge(metadata: dict[str, dict[str, Any]], event: MetadataDelta) -> None:
        for dialect, added in event.provider_metadata.items():
            metadata[dialect] = {**metadata.get(dialect, {}), **added}

    # --- parts --------------------------------------------------------------------------------------------------------

    def _start_part(self, index: int, part: Part) -> Sequence[Frame]:
        item = self._items[index] = Item(part)
        match part:
            case ToolCallPart():
                item.is_held = self._form.is_custom(part)
                frames = self._carry(part)
                item.metadata = {}
                frames += self._announce(item)
                return [*frames, *self._delta(item, part.arguments)] if part.arguments else frames
            case TextPart() if own_item(part) is None:
                return self._delta(item, part.text) if part.text else ()
            case ReasoningPart():
                return self._delta(item, part.text) if part.text else ()
            case _:
                return self._tell(self._form.other(part))

    def _tell(self, wire: Any) -> list[Frame]:
        """An item that is complete at once."""
        index = self._form.count - 1
        self._output[index] = json(wire)
        return [
            self._frame(kind, {"output_index": index, "item": wire})
            for kind in ("response.output_item.added", "response.output_item.done")
        ]

    def _carry(self, part: ToolCallPart) -> list[Frame]:
        return [f for wire in self._form.carrier(part, foreign(part.provider_metadata)) for f in self._tell(wire)]

    def _delta(self, item: Item, text: str) -> Sequence[Frame]:
        item.pieces.append(text)
        if item.is_held or not text:
            return ()
        frames = self._announce(item) if item.index < 0 else []
        number = self._number
        self._number += 1
        frames.append(Frame(b'%b%b,"sequence_number":%d}' % (item.before, json(text), number), item.kind))
        return frames

    def _announce(self, item: Item) -> list[Frame]:
        """The events before the first delta; makes the delta's frame."""
        match item.part:
            case ToolCallPart() as call:
                wire = self._open_call(item, call)
            case ReasoningPart():
                wire = self._open_reasoning(item)
            case _:
                wire = self._open_text(item, TextPart(text="", provider_metadata=item.metadata))
        item.index = self._form.count - 1
        item.before = json({"type": item.kind, **item.place, **item.inner})[:-1] + b',"delta":'
        frames = [self._frame("response.output_item.added", {"output_index": item.index, "item": wire})]
        if item.opening is not None:
            inner = {name: value for name, value in item.inner.items() if name != "logprobs"}
            kind, part = item.opening
            frames.append(self._frame(kind, {**item.place, **inner, "part": part}))
        return frames

    def _open_call(self, item: Item, call: ToolCallPart) -> dict[str, Any]:
        item.id = self._form.new_id(self._form.call_prefix(call))
        what, text = ("custom_tool_call_input", "input") if item.is_held else ("function_call_arguments", "arguments")
        item.kind = f"response.{what}.delta"
        wire = self._form.call(msgspec.structs.replace(call, arguments=""), item.id)
        return {**wire, "status": "in_progress", text: ""}

    def _open_reasoning(self, item: Item) -> dict[str, Any]:
        item.id = self._form.new_id("rs")
        item.kind, item.inner = "response.reasoning_summary_text.delta", {"summary_index": 0}
        item.opening = "response.reasoning_summary_part.added", {"type": "summary_text", "text": ""}
        return {"type": "reasoning", "id": item.id, "summary": []}

    def _open_text(self, item: Item, part: TextPart) -> dict[str, Any]:
        item.id = self._form.new_id("msg")
        if is_refusal(part):
            item.kind, item.inner = "response.refusal.delta", {"content_index": 0}
        else:
            item.kind, item.inner = "response.output_text.delta", {"content_index": 0, "logprobs": []}
        item.opening = "response.content_part.added", text_content(part)
        return {**self._form.text(part, item.id), "content": [], "status": "in_progress"}

    # --- ends ---------------------------------------------------------------------------------------------------------

    def _end_part(self, item: Item) -> Sequence[Frame]:
        part = item.whole()
        match part:
            case ToolCallPart():
                return self._end_call(item, part)
            case ReasoningPart():
                return self._end_reasoning(item, part)
            case TextPart() if item.index >= 0:
                return self._end_text(item, part)
        return ()

    def _end_call(self, item: Item, part: ToolCallPart) -> Sequence[Frame]:
        frames: list[Frame] = []
        wire = self._form.call(part, item.id)
        if item.is_held:
            said = {"input": wire["input"]}
            if said["input"]:
                frames.append(self._frame(item.kind, {**item.place, "delta": said["input"]}))
        else:
            if not part.arguments:
                frames += self._delta(item, wire["arguments"])
            said = {"arguments": wire["arguments"]}
        frames.append(self._frame(f"{item.kind.removesuffix('delta')}done", {**item.place, **said}))
        frames.append(self._done(item, wire))
        late = self._form.carrier(part, foreign(item.metadata))
        return [*frames, *(frame for carrier in late for frame in self._tell(carrier))]

    def _end_reasoning(self, item: Item, part: ReasoningPart) -> Sequence[Frame]:
        if not part.text and not part.provider_metadata:
            return ()
        if item.index < 0:
            return self._tell(self._form.reasoning(part, self._form.new_id("rs")))
        place = {**item.place, "summary_index": 0}
        summary = {"type": "summary_text", "text": part.text}
        return [
            self._frame("response.reasoning_summary_text.done", {**place, "text": part.text}),
            self._frame("response.reasoning_summary_part.done", {**place, "part": summary}),
            self._done(item, self._form.reasoning(part, item.id)),
        ]

    def _end_text(self, item: Item, part: TextPart) -> Sequence[Frame]:
        place = {**item.place, "content_index": 0}
        said: dict[str, Any] = {"text": part.text, "logprobs": []}
        kind = "response.output_text.done"
        if is_refusal(part):
            kind, said = "response.refusal.done", {"refusal": part.text}
        return [
            self._frame(kind, {**place, **said}),
            self._frame("response.content_part.done", {**place, "part": text_content(part)}),
            self._done(item, self._form.text(part, item.id)),
        ]

    def _done(self, item: Item, wire: dict[str, Any]) -> Frame:
        self._output[item.index] = json(wire)
        return self._frame("response.output_item.done", {"output_index": item.index, "item": wire})
