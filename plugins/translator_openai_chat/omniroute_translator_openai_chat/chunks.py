"""Reading one frame of a stream, or a whole answer; shared by the decoder and the tap."""

import json
from collections.abc import Sequence

import msgspec

from omniroute.api import FinishReason, Frame, UpstreamGarbled
from omniroute_translator_openai_chat.wire import Answer, Delta, Problem, SpokenPart

DONE = b"[DONE]"
ANSWER = msgspec.json.Decoder(Answer)
PROBLEM = msgspec.json.Decoder(Problem)
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "sensitive": "content_filter",
    "error": "error",
    "network_error": "error",
}
"""The dialect's own reasons and the ones its servers have added; what is in neither is a stop."""
NO_FINISH = "the upstream's stream ended before finish_reason"


def is_done(frame: Frame) -> bool:
    return frame.data[:1] == b"[" and frame.data.strip() == DONE


def read_frame(frame: Frame) -> Answer:
    """Raises `UpstreamGarbled`."""
    if frame.event == "error":
        return Answer(error=reported(frame.data))
    return read_answer(frame.data)


def reported(body: bytes) -> Problem | str:
    """The failure in an event called `error`, whether or not it is wrapped in an object of that name."""
    try:
        return ANSWER.decode(body).error or PROBLEM.decode(body)
    except UNREADABLE:
        return Problem()


def read_answer(body: bytes) -> Answer:
    """Raises `UpstreamGarbled`. Texts may hold lone surrogates where the upstream has cut a pair in two."""
    try:
        return ANSWER.decode(body)
    except UNREADABLE as error:
        if isinstance(error, msgspec.DecodeError) and b"\\ud" in body.lower():
            return read_halves(body)
        raise garbled(body, error) from error


def read_halves(body: bytes) -> Answer:
    """msgspec refuses half a surrogate pair, the standard library does not."""
    try:
        return msgspec.convert(json.loads(body), Answer)
    except (ValueError, RecursionError) as error:  # msgspec's and json's own errors are ValueErrors
        raise garbled(body, error) from error


def garbled(body: bytes, error: Exception) -> UpstreamGarbled:
    return UpstreamGarbled(
        "the upstream sent something that is not an OpenAI chat answer", why=f"{error}, in {len(body)} bytes"
    )


def reasoning_texts(delta: Delta) -> Sequence[str]:
    """Of the fields servers use for reasoning the first that says something; several may repeat the same text."""
    text = delta.reasoning_content or delta.reasoning
    if text:
        return (text,)
    if delta.reasoning_details:
        return [detail.text or detail.summary or "" for detail in delta.reasoning_details]
    if isinstance(delta.content, list):
        return [text for part in delta.content for text in thinking_texts(part)]
    return ()


def thinking_texts(part: SpokenPart) -> Sequence[str]:
    if isinstance(part.thinking, str):
        return (part.thinking,)
    return [piece.text or "" for piece in part.thinking or ()]


def content_texts(delta: Delta) -> Sequence[str]:
    if isinstance(delta.content, list):
        return [part.text or "" for part in delta.content]
    return (delta.content,) if delta.content else ()


def has_more_than_text(delta: Delta) -> bool:
    """Reasoning, a call, a file: something of which a part has been said for good."""
    return bool(
        (isinstance(delta.content, list) and delta.content)
        or delta.reasoning_content
        or delta.reasoning
        or delta.tool_calls
        or delta.function_call
        or delta.refusal
        or delta.images
        or delta.reasoning_details
    )
