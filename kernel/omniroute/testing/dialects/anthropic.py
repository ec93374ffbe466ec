"""Anthropic Messages."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from omniroute.model import Usage
from omniroute.testing.dialects.neutral import (
    Answered,
    Asked,
    Block,
    Call,
    Finish,
    Voice,
    as_object,
    events,
    pieces,
    texts_of,
)
from omniroute.testing.received import ReceivedRequest
from omniroute.testing.recordings import sse
from omniroute.testing.scripts import Reply, Script, Stream
from omniroute.testing.strict import anthropic_messages

__all__ = ["AnthropicVoice"]

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
LIMITS = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop_sequences": "stop",
}
STOP: Mapping[Finish, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
FINISH: Mapping[str, Finish] = {**{reason: finish for finish, reason in STOP.items()}, "stop_sequence": "stop"}
CHOICES = {"auto": "auto", "any": "required", "none": "none"}


class _RawBlock(msgspec.Struct):
    """Only what must be read as the text it is."""

    input: msgspec.Raw = msgspec.Raw(b"{}")


class _RawMessage(msgspec.Struct):
    content: str | list[_RawBlock] = ""


class _RawBody(msgspec.Struct):
    messages: list[_RawMessage] = []


class AnthropicVoice(Voice):
    dialect = "anthropic"
    validate = staticmethod(anthropic_messages)

    def path(self, model: str, *, stream: bool) -> str:
        return "/v1/messages"

    def body(self, asked: Mapping[str, Any], model: str, *, stream: bool) -> dict[str, Any]:
        plain = {"model": model, "max_tokens": 1000, "messages": [{"role": "user", "content": "hi"}]}
        return {**plain, **({"stream": True} if stream else {}), **asked}

    def streams(self, request: ReceivedRequest) -> bool:
        return request.json().get("stream") is True

    # --- the service --------------------------------------------------------------------------------------------------

    def reply(self, answer: Answered, request: ReceivedRequest) -> Script:
        model = request.json()["model"]
        if not self.streams(request):
            return Reply.json(_message(answer, model))
        return Stream([sse([{"event": event["type"], "data": event}]) for event in _events(answer, model)])

    def refusal(self, status: int, message: str) -> Reply:
        kind = {429: "rate_limit_error", 529: "overloaded_error"}.get(status, "invalid_request_error")
        return Reply.json({"type": "error", "error": {"type": kind, "message": message}}, status)

    # --- the client ---------------------------------------------------------------------------------------------------

    def read(self, body: bytes, *, stream: bool) -> Answered:
        if stream:
            return _read_message(_folded(body))
        message = msgspec.json.decode(body)
        Message.model_validate(message, strict=True)
        _with_texts(message, msgspec.json.decode(body, type=_RawMessage))
        return _read_message(message)

    def read_error(self, body: bytes) -> str:
        parsed = msgspec.json.decode(body)
        assert parsed["type"] == "error"
        assert parsed["error"]["type"]
        return str(parsed["error"]["message"])

    def asked(self, body: bytes) -> Asked:
        return self._asked(_with_input_texts(body))

    def continued(self, body: Mapping[str, Any], answer: bytes, results: Sequence[str]) -> dict[str, Any]:
        said = msgspec.json.decode(answer)["content"]
        turns: list[dict[str, Any]] = [*body["messages"], {"role": "assistant", "content": said}]
        calls = [block["id"] for block in said if block["type"] == "tool_use"]
        told = zip(calls, results, strict=True)
        answers = [{"type": "tool_result", "tool_use_id": call, "content": text} for call, text in told]
        return {**body, "messages": [*turns, {"role": "user", "content": answers}] if answers else turns}

    def _asked(self, body: Mapping[str, Any]) -> Asked:
        asked = Asked(limits={LIMITS[name]: value for name, value in body.items() if name in LIMITS})
        asked.system += texts_of(body.get("system"), ("text",))
        for message in body["messages"]:
            if message["role"] == "system":
                asked.system += texts_of(message["content"], ("text",))
            else:
                asked.blocks += _blocks(message)
        for tool in body.get("tools") or ():
            if tool.get("type", "custom") == "custom":
                asked.tools[tool["name"]] = tool["input_schema"]
                asked.descriptions[tool["name"]] = tool.get("description") or ""
        choice = body.get("tool_choice")
        if choice is not None:
            asked.choice = f":{choice['name']}" if choice["type"] == "tool" else CHOICES[choice["type"]]
        wanted = (body.get("output_config") or {}).get("format") or {}
        asked.schema = wanted.get("schema")
        thinking = body.get("thinking")
        asked.thinks = None if thinking is None else thinking["type"] != "disabled"
        return asked


# --- the service's answers --------------------------------------------------------------------------------------------


def _message(answer: Answered, model: str) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if answer.reasoning:
        content.append({"type": "thinking", "thinking": answer.reasoning, "signature": answer.signature})
    if answer.text:
        content.append({"type": "text", "text": answer.text})
    content += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": as_object(call.arguments)}
        for call in answer.calls
    ]
    return {
        "id": "msg_7",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": STOP[answer.finish],
        "stop_sequence": None,
        "usage": _usage(answer.usage or Usage()),
    }


def _events(answer: Answered, model: str) -> Iterator[dict[str, Any]]:
    told = _usage(answer.usage or Usage())
    started = {**told, "output_tokens": min(1, told["output_tokens"]), "output_tokens_details": None}
    yield {
        "type": "message_start",
        "message": {**_message(answer, model), "content": [], "stop_reason": None, "usage": started},
    }
    yield {"type": "ping"}
    for index, (block, deltas) in enumerate(_streamed(answer)):
        yield {"type": "content_block_start", "index": index, "content_block": block}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": STOP[answer.finish], "stop_sequence": None},
        "usage": {"output_tokens": told["output_tokens"], "output_tokens_details": told["output_tokens_details"]},
    }
    yield {"type": "message_stop"}


def _streamed(answer: Answered) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Blocks as they start, with their deltas."""
    if answer.reasoning:
        thought = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(answer.reasoning)]
        signed = {"type": "signature_delta", "signature": answer.signature}
        yield {"type": "thinking", "thinking": "", "signature": ""}, [*thought, signed]
    if answer.text:
        yield {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(answer.text)]
    for call in answer.calls:
        start = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        yield start, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces(call.arguments)]


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }


# --- what a client reads ----------------------------------------------------------------------------------------------


def _read_message(message: Mapping[str, Any]) -> Answered:
    content, usage = message["content"], message["usage"]
    assert all(block.get("text") != "" for block in content if block["type"] == "text"), "an empty text block"
    cached, written = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
    return Answered(
        reasoning="".join(block["thinking"] for block in content if block["type"] == "thinking"),
        signature="".join(block["signature"] for block in content if block["type"] == "thinking"),
        text="".join(block["text"] for block in content if block["type"] == "text"),
        calls=tuple(
            Call(id=block["id"], name=block["name"], arguments=block["input"])
            for block in content
            if block["type"] == "tool_use"
        ),
        finish=FINISH[message["stop_reason"]],
        usage=Usage(
            input_tokens=usage["input_tokens"] + cached + written,
            output_tokens=usage["output_tokens"],
            cached_tokens=cached,
            cache_write_tokens=written,
            reasoning_tokens=(usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0,
        ),
    )


def _with_texts(message: Mapping[str, Any], raw: _RawMessage) -> None:
    """Put the arguments of calls in as the text they were written in."""
    if isinstance(message["content"], str) or isinstance(raw.content, str):
        return
    for block, text in zip(message["content"], raw.content, strict=True):
        if block["type"] == "tool_use":
            assert isinstance(block["input"], dict), "the arguments of a call are no object"
            block["input"] = bytes(text.input).decode()


def _with_input_texts(body: bytes) -> dict[str, Any]:
    parsed: dict[str, Any] = msgspec.json.decode(body)
    for message, raw in zip(parsed["messages"], msgspec.json.decode(body, type=_RawBody).messages, strict=True):
        _with_texts(message, raw)
    return parsed


def _folded(body: bytes) -> dict[str, Any]:
    """A stream as the message it makes, `input` of calls as the text that came."""
    message: dict[str, Any] = {}
    opened: int | None = None
    ended = False
    for name, data in events(body):
        event = msgspec.json.decode(data)
        assert name == event["type"], f"the event is called {name!r} and says it is {event['type']!r}"
        assert not ended, f"{name} after message_stop"
        assert name != "error", f"the stream ends in an error: {event}"
        if name == "ping":
            continue
        EVENT.validate_python(event)
        match name:
            case "message_start":
                assert not message, "a second message_start"
                message = event["message"]
                assert message["content"] == []
            case "content_block_start":
                assert opened is None, "two blocks are open at a time"
                assert event["index"] == len(message["content"]), "the blocks' indexes have gaps"
                opened = event["index"]
                message["content"].append(dict(event["content_block"]))
            case "content_block_delta":
                assert event["index"] == opened, "a delta for a block that is not open"
                _append(message["content"][opened], event["delta"])
            case "content_block_stop":
                assert event["index"] == opened, "a block is stopped that is not open"
                opened = None
            case "message_delta":
                assert opened is None, "message_delta while a block is open"
                message.update(event["delta"])
                message["usage"] = {**message["usage"], **{n: v for n, v in event["usage"].items() if v is not None}}
            case "message_stop":
                ended = True
            case _:
                raise AssertionError(f"the stream holds {name}: {event}")
    assert ended, "the stream ends without message_stop"
    return message


def _append(block: dict[str, Any], delta: Mapping[str, Any]) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "input_json_delta":
            before = block["input"] if isinstance(block["input"], str) else ""
            block["input"] = before + delta["partial_json"]


# --- what a request says ----------------------------------------------------------------------------------------------


def _blocks(message: Mapping[str, Any]) -> Iterator[Block]:
    role, content = message["role"], message["content"]
    blocks: list[Any] = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for block in blocks:
        match block["type"]:
            case "text":
                yield Block(role=role, kind="text", text=block["text"])
            case "thinking":
                yield Block(role=role, kind="thinking", text=block["thinking"], signature=block["signature"])
            case "redacted_thinking":
                yield Block(role=role, kind="thinking", signature=block["data"])
            case "tool_use":
                yield Block(role=role, kind="call", id=block["id"], name=block["name"], text=block["input"])
            case "tool_result":
                yield _result(block)
            case "image" | "document" as kind:
                source = block["source"]
                data = source.get("data") or source.get("url") or ""
                yield Block(
                    role=role, kind="image" if kind == "image" else "file", data=data, name=block.get("title") or ""
                )
            case kind:
                raise AssertionError(f"{kind!r} is no block that is expected here")


def _result(block: Mapping[str, Any]) -> Block:
    content = block.get("content") or ""
    inner: list[Any] = [] if isinstance(content, str) else content
    return Block(
        role="user",
        kind="result",
        id=block["tool_use_id"],
        text="\n".join(texts_of(content, ("text",))),
        is_error=bool(block.get("is_error")),
        images=tuple(
            piece["source"].get("data") or piece["source"]["url"] for piece in inner if piece["type"] == "image"
        ),
    )
