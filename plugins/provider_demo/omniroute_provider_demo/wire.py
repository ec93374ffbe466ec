"""OpenAI's chat dialect from the server's side: as much of it as the demo reads, and all that it writes."""

from collections.abc import Iterator
from typing import Any

import msgspec

__all__ = ["Answer", "Call", "ChatBody", "Message", "Tool", "chunks", "error_body", "whole"]


# --- what comes in ----------------------------------------------------------------------------------------------------


class TextPart(msgspec.Struct, frozen=True):
    type: str = "text"
    text: str = ""


class Message(msgspec.Struct, frozen=True):
    role: str
    content: str | list[TextPart] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.text)
        return self.content or ""


class Function(msgspec.Struct, frozen=True):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(msgspec.Struct, frozen=True):
    type: str
    function: Function | None = None


class StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool = False


class ChatBody(msgspec.Struct, frozen=True):
    model: str
    messages: list[Message]
    tools: list[Tool] = []
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None


# --- what goes out ----------------------------------------------------------------------------------------------------


class Call(msgspec.Struct, frozen=True):
    id: str
    name: str
    arguments: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said, before it is said whole or in pieces."""

    id: str
    model: str
    text: str = ""
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0


def whole(answer: Answer) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None, "refusal": None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.calls:
        message["tool_calls"] = [_call(call, call.arguments) for call in answer.calls]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
    return msgspec.json.encode({**_head(answer, "chat.completion"), "choices": [choice], "usage": _usage(answer)})


def chunks(answer: Answer, *, include_usage: bool) -> Iterator[bytes]:
    """The server-sent events of the answer, `[DONE]` included."""
    head = _head(answer, "chat.completion.chunk")

    def event(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _sse(msgspec.json.encode({**head, "choices": [choice]}))

    yield event({"role": "assistant", "content": ""})
    for piece in _pieces(answer.reasoning):
        yield event({"reasoning_content": piece})
    for piece in _pieces(answer.text):
        yield event({"content": piece})
    for index, call in enumerate(answer.calls):
        yield event({"tool_calls": [{"index": index, **_call(call, "")}]})
        half = len(call.arguments) // 2
        for piece in (call.arguments[:half], call.arguments[half:]):
            yield event({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield event({}, answer.finish_reason)
    if include_usage:
        yield _sse(msgspec.json.encode({**head, "choices": [], "usage": _usage(answer)}))
    yield _sse(b"[DONE]")


def error_body(message: str, kind: str, code: str | None) -> bytes:
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})


def _head(answer: Answer, kind: str) -> dict[str, Any]:
    return {"id": answer.id, "object": kind, "created": 0, "model": answer.model}  # no clock: always the same bytes


def _call(call: Call, arguments: str) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _usage(answer: Answer) -> dict[str, Any]:
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
    }


def _sse(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def _pieces(text: str) -> Iterator[str]:
    """Words with the space after them, as models tend to speak."""
    start = 0
    for place in range(1, len(text)):
        if text[place - 1].isspace() and not text[place].isspace():
            yield text[start:place]
            start = place
    if text:
        yield text[start:]
