"""The requests and answers every chat dialect must be able to carry, and the view of them that must survive."""

from collections.abc import Iterable
from typing import Any

import msgspec

from omniroute.model import (
    ChatRequest,
    ChatResponse,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
    Usage,
)

__all__ = ["ANSWERS", "REQUESTS", "view_parts", "view_request"]

SCHEMA = msgspec.Raw(b'{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}')
PARIS = ToolCallPart(id="call_1", name="weather", arguments='{"city":"Paris"}')
OSLO = ToolCallPart(id="call_2", name="weather", arguments='{"city":"Oslo"}')


def _text(text: str) -> TextPart:
    return TextPart(text=text)


PLAIN = ChatRequest(
    model="some-model",
    messages=(
        Message(role="system", parts=(_text("Be brief."),)),
        Message(role="user", parts=(_text('Say "é😀\u2028" and a line\nbreak'),)),
    ),
    max_output_tokens=100,
)
REQUESTS = {
    "a plain request": PLAIN,
    "a streaming request": msgspec.structs.replace(PLAIN, stream=True),
    "a tool round": msgspec.structs.replace(
        PLAIN,
        messages=(
            *PLAIN.messages,
            Message(role="assistant", parts=(_text("Looking."), PARIS, OSLO)),
            Message(
                role="tool",
                parts=(
                    ToolResultPart(call_id="call_1", name="weather", parts=(_text("sunny"),)),
                    ToolResultPart(call_id="call_2", name="weather", parts=(_text("rain"),)),
                ),
            ),
            Message(role="user", parts=(_text("And now?"),)),
        ),
        tools=(Tool(name="weather", description="Tells the weather.", parameters=SCHEMA),),
        tool_choice=ToolChoice(mode="auto"),
    ),
}
USAGE = Usage(input_tokens=100, output_tokens=30, cached_tokens=20, reasoning_tokens=10)
ANSWERS = {
    "a text": ChatResponse(
        id="answer-1", model="some-model", parts=(_text("Hé😀 \u2028 there"),), finish_reason="stop", usage=USAGE
    ),
    "a cut text": ChatResponse(
        id="answer-2", model="some-model", parts=(_text("Once upon a"),), finish_reason="length", usage=USAGE
    ),
    "thinking and text": ChatResponse(
        id="answer-3",
        model="some-model",
        parts=(ReasoningPart(text="Let me see."), _text("It is so.")),
        finish_reason="stop",
        usage=USAGE,
    ),
    "two tool calls": ChatResponse(
        id="answer-4",
        model="some-model",
        parts=(_text("Looking."), PARIS, OSLO),
        finish_reason="tool_calls",
        usage=USAGE,
    ),
}


def view_request(request: ChatRequest) -> dict[str, Any]:
    """What of a request must survive; ids as their order of appearance, for dialects may rename them."""
    ids: dict[str, int] = {}
    return {
        "model": request.model,
        "stream": request.stream,
        "max_output_tokens": request.max_output_tokens,
        "messages": [[message.role, *view_parts(message.parts, ids)] for message in request.messages],
        "tools": [(tool.name, tool.description, _json(bytes(tool.parameters or b"null"))) for tool in request.tools],
        "tool_choice": request.tool_choice.mode if request.tool_choice else None,
    }


def view_parts(parts: Iterable[Part], ids: dict[str, int] | None = None) -> list[Any]:
    """Parts with what a person would see of them."""
    ids = {} if ids is None else ids
    views: list[Any] = []
    for part in parts:
        match part:
            case TextPart(text=text):
                views.append(("text", text))
            case ReasoningPart(text=text):
                views.append(("reasoning", text))
            case ToolCallPart(id=call_id, name=name, arguments=arguments):
                views.append(("call", ids.setdefault(call_id, len(ids)), name, _json(arguments)))
            case ToolResultPart(call_id=call_id, parts=inner):
                views.append(("result", ids.setdefault(call_id, len(ids)), view_parts(inner)))
            case _:
                views.append(part)
    return views


def _json(text: str | bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
