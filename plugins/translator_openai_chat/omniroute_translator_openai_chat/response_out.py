"""Events to the chunks a client gets, and the whole answer in one body.

Chunks carry one id, model and time; the role comes first, the finish reason once, usage only where the client asked for it,
`[DONE]` last. Text and argument deltas are the hot path: everything of their frame but the delta itself is made once.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec

from omniroute.api import (
    ChatRequest,
    ChatResponse,
    Event,
    FinishReason,
    Frame,
    GatewayError,
    ImagePart,
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
from omniroute_translator_openai_chat.details import DETAILS, details_of
from omniroute_translator_openai_chat.errors import error_frame
from omniroute_translator_openai_chat.extra_content import Thoughts, for_client
from omniroute_translator_openai_chat.messages_out import custom_input
from omniroute_translator_openai_chat.parts_out import image_url, is_refusal
from omniroute_translator_openai_chat.usage import usage_json
from omniroute_translator_openai_chat.wire import DIALECT

FINISH: dict[FinishReason, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    "pause": "stop",
}
DONE = Frame(b"[DONE]")
Identify: TypeAlias = Callable[[], str]
json = msgspec.json.encode


class Form:
    """The form in which this client knows tool calls: its free-form tools, and whether it is of the time before `tools`."""

    def __init__(self, request: ChatRequest) -> None:
        self.custom = frozenset(tool.name for tool in request.tools if tool.kind == "custom")
        self.legacy = any(tool.provider_metadata.get(DIALECT, {}).get("legacy") for tool in request.tools)

    def finish(self, reason: FinishReason) -> str:
        if self.legacy and reason == "tool_calls":
            return "function_call"
        return FINISH.get(reason, "stop")

    def call(self, part: ToolCallPart, extra: Any) -> dict[str, Any]:
        """A whole call. `extra` is its `extra_content`."""
        if part.name in self.custom:
            custom = {"name": part.name, "input": custom_input(part.arguments)}
            return {"id": part.id, "type": "custom", "custom": custom, **extra_field(extra)}
        function = {"name": part.name, "arguments": part.arguments or "{}"}
        return {"id": part.id, "type": "function", "function": function, **extra_field(extra)}


def extra_field(extra: Any) -> dict[str, Any]:
    return {} if extra is None else {"extra_content": extra}


def answer_id(upstream: str, new_id: Identify) -> str:
    """An answer's id as the dialect has them; made of the upstream's, so that the two can be found together."""
    return upstream if upstream.startswith("chatcmpl-") else f"chatcmpl-{upstream or new_id()}"


def image_json(part: ImagePart) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": image_url(part)}}


# --- the whole answer -------------------------------------------------------------------------------------------------


def encode_response(response: ChatResponse, request: ChatRequest, created_s: int, new_id: Identify) -> bytes:
    form = Form(request)
    choice = {
        "index": 0,
        "message": message_json(response, form),
        "logprobs": None,
        "finish_reason": form.finish(response.finish_reason),
    }
    body: dict[str, Any] = {
        "id": answer_id(response.id, new_id),
        "object": "chat.completion",
        "created": created_s,
        "model": response.model or request.model,
        "choices": [choice],
    }
    if response.usage is not None:
        body["usage"] = usage_json(response.usage)
    return json(body)


def message_json(response: ChatResponse, form: Form) -> dict[str, Any]:
    texts = [part for part in response.parts if isinstance(part, TextPart)]
    text = "".join(part.text for part in texts if not is_refusal(part))
    refusal = "".join(part.text for part in texts if is_refusal(part))
    reasoning = "".join(part.text for part in response.parts if isinstance(part, ReasoningPart))
    calls = list(calls_json(response.parts, form))
    images = [image_json(part) for part in response.parts if isinstance(part, ImagePart)]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text or (None if calls or refusal else ""),
        "refusal": refusal or None,
    }
    if reasoning:
        message["reasoning_content"] = reasoning
    if (details := details_of(response.parts)) is not None:
        message[DETAILS] = details
    if images:
        message["images"] = images
    if calls and form.legacy:
        message["function_call"] = calls[0]["function"]
    elif calls:
        message["tool_calls"] = calls
    return message


def calls_json(parts: Iterable[Part], form: Form) -> Iterator[dict[str, Any]]:
    thoughts = Thoughts()
    for index, part in enumerate(parts):
        if isinstance(part, ReasoningPart):
            thoughts.start(index, part)
        elif isinstance(part, ToolCallPart):
            yield form.call(part, for_client(part.provider_metadata, thoughts.take()))


# --- the stream -------------------------------------------------------------------------------------------------------


class OpenCall:
    """A call that is being written. `number` is its `index` on the wire; None where the client cannot be told of it."""

    def __init__(self, number: int | None, part: ToolCallPart, extra: Any, whole: bool) -> None:
        self.number = number
        self.part = part
        self.extra = extra
        """Its `extra_content`, which is said once: clients join what comes twice."""
        self.whole = whole
        """Held back until it is complete: free text cannot be cut out of half a JSON string."""
        self.held: list[str] = []
        self.wrote = bool(part.arguments)


class ChatEncoder:
    """One instance per response."""

    def __init__(self, request: ChatRequest, created_s: int, new_id: Identify) -> None:
        self._request = request
        self._created_s = created_s
        self._new_id = new_id
        self._form = Form(request)
        self._head = self._before = self._after = b""
        self._calls: dict[int, OpenCall] = {}
        self._thoughts = Thoughts()
        self._numbers = 0
        self._refusals: set[int] = set()
        self._usage: Usage | None = None
        self._failed = False

    def feed(self, event: Event) -> Sequence[Frame]:
        match event:
            case TextDelta():
                field = b'{"refusal":' if event.index in self._refusals else b'{"content":'
                return (self._chunk(field + json(event.text) + b"}"),)
            case ToolArgumentsDelta():
                return self._arguments(event)
            case ReasoningDelta():
                self._thoughts.add(event.index, event.text)
                return (self._chunk(b'{"reasoning_content":' + json(event.text) + b"}"),)
            case PartStart():
                return self._start_part(event.index, event)
            case PartEnd():
                return self._end_part(event.index)
            case MetadataDelta():
                return self._metadata(event)
            case ResponseStart():
                return (self._start(event),)
            case UsageUpdate():
                self._usage = event.usage
            case ResponseEnd():
                return self._end(event)
        return ()

    def close(self) -> Sequence[Frame]:
        return () if self._failed else (DONE,)

    def fail(self, error: GatewayError) -> Sequence[Frame]:
        self._failed = True
        return (error_frame(error),)

    def _chunk(self, delta: bytes) -> Frame:
        return Frame(self._before + delta + self._after)

    def _start(self, event: ResponseStart) -> Frame:
        fields = {
            "id": answer_id(event.id, self._new_id),
            "object": "chat.completion.chunk",
            "created": self._created_s,
            "model": event.model or self._request.model,
        }
        self._head = json(fields)[:-1]
        self._before = self._head + b',"choices":[{"index":0,"delta":'
        self._after = b',"logprobs":null,"finish_reason":null}]}'
        return self._chunk(b'{"role":"assistant","content":""}')

    def _end(self, event: ResponseEnd) -> Sequence[Frame]:
        if event.finish_reason == "error":
            return self.fail(UpstreamFailed("the upstream ended its answer with an error"))
        reason = json(self._form.finish(event.finish_reason))
        frames = [Frame(self._before + b'{},"logprobs":null,"finish_reason":' + reason + b"}]}")]
        if self._request.include_usage and self._usage is not None:
            frames.append(Frame(self._head + b',"choices":[],"usage":' + json(usage_json(self._usage)) + b"}"))
        return frames

    # --- parts --------------------------------------------------------------------------------------------------------

    def _start_part(self, index: int, event: PartStart) -> Sequence[Frame]:
        match event.part:
            case ToolCallPart() as part:
                return self._start_call(index, part)
            case ImagePart() as part:
                return (self._chunk(json({"images": [image_json(part)]})),)
            case TextPart() as part:
                if is_refusal(part):
                    self._refusals.add(index)
                return self.feed(TextDelta(index=index, text=part.text)) if part.text else ()
            case ReasoningPart() as part:
                self._thoughts.start(index, part)
                return (self._chunk(json({"reasoning_content": part.text})),) if part.text else ()
        return ()

    def _start_call(self, index: int, part: ToolCallPart) -> Sequence[Frame]:
        told = self._numbers == 0 or not self._form.legacy  # the old form has room for one call
        extra = for_client(part.provider_metadata, self._thoughts.take())
        call = OpenCall(self._numbers if told else None, part, extra, whole=part.name in self._form.custom)
        self._calls[index] = call
        self._numbers += 1
        if call.number is None or call.whole:
            return ()
        function = {"name": part.name, "arguments": part.arguments}
        if self._form.legacy:
            return (self._chunk(json({"function_call": function})),)
        fields = {"index": call.number, "id": part.id, "type": "function", "function": function, **extra_field(extra)}
        return (self._chunk(json({"tool_calls": [fields]})),)

    def _arguments(self, event: ToolArgumentsDelta) -> Sequence[Frame]:
        call = self._calls[event.index]
        call.wrote = True
        if call.number is None:
            return ()
        if call.whole:
            call.held.append(event.text)
            return ()
        if self._form.legacy:
            return (self._chunk(b'{"function_call":{"arguments":' + json(event.text) + b"}}"),)
        text = json(event.text)
        return (self._chunk(b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (call.number, text)),)

    def _metadata(self, event: MetadataDelta) -> Sequence[Frame]:
        call = self._calls.get(event.index)
        if call is None:
            self._thoughts.sign(event)
            details = event.provider_metadata.get(DIALECT, {}).get(DETAILS)
            return () if details is None else (self._chunk(json({DETAILS: details})),)
        extra = for_client(event.provider_metadata)
        if call.number is None or call.extra is not None or extra is None:
            return ()
        call.extra = extra
        if call.whole or self._form.legacy:
            return ()
        return (self._chunk(json({"tool_calls": [{"index": call.number, "extra_content": extra}]})),)

    def _end_part(self, index: int) -> Sequence[Frame]:
        call = self._calls.get(index)
        if call is None or call.number is None:
            return ()
        if call.whole:
            part = msgspec.structs.replace(call.part, arguments=call.part.arguments + "".join(call.held))
            whole = self._form.call(part, call.extra)
            return (self._chunk(json({"tool_calls": [{"index": call.number, **whole}]})),)
        return () if call.wrote else self._arguments(ToolArgumentsDelta(index=index, text="{}"))
