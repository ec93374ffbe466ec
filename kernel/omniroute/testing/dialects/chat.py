"""OpenAI Chat Completions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from omniroute.model import Usage
from omniroute.testing.dialects.neutral import (
    Answered,
    Asked,
    Block,
    Call,
    Voice,
    events,
    interleaved,
    pieces,
    texts_of,
)
from omniroute.testing.received import ReceivedRequest
from omniroute.testing.recordings import sse
from omniroute.testing.scripts import Reply, Script, Stream
from omniroute.testing.strict import openai_compatible

__all__ = ["ChatVoice"]

DONE = b"[DONE]"
LIMITS = {
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop",
    "seed": "seed",
}


class ChatVoice(Voice):
    dialect = "openai-chat"
    validate = staticmethod(openai_compatible)

    def path(self, model: str, *, stream: bool) -> str:
        return "/v1/chat/completions"

    def body(self, asked: Mapping[str, Any], model: str, *, stream: bool) -> dict[str, Any]:
        plain = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        return {**plain, **({"stream": True, "stream_options": {"include_usage": True}} if stream else {}), **asked}

    def streams(self, request: ReceivedRequest) -> bool:
        return request.json().get("stream") is True

    # --- the service --------------------------------------------------------------------------------------------------

    def reply(self, answer: Answered, request: ReceivedRequest) -> Script:
        body = request.json()
        base = {"id": "chatcmpl-7", "created": 1, "model": body["model"]}
        if not self.streams(request):
            return Reply.json({**base, "object": "chat.completion", **_whole(answer)})
        chunk = {**base, "object": "chat.completion.chunk"}
        said = [
            {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in _deltas(answer)
        ]
        said.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": answer.finish}]})
        if (body.get("stream_options") or {}).get("include_usage") and answer.usage:
            said.append({**chunk, "choices": [], "usage": _usage(answer.usage)})
        return Stream([sse([event]) for event in [*said, DONE]])

    def refusal(self, status: int, message: str) -> Reply:
        kind = "rate_limit_error" if status == 429 else "invalid_request_error"
        return Reply.json({"error": {"message": message, "type": kind, "param": None, "code": None}}, status)

    # --- the client ---------------------------------------------------------------------------------------------------

    def read(self, body: bytes, *, stream: bool) -> Answered:
        return _read_stream(body) if stream else _read_whole(body)

    def read_error(self, body: bytes) -> str:
        error = msgspec.json.decode(body)["error"]
        assert error.keys() >= {"message", "type", "param", "code"}
        return str(error["message"])

    def asked(self, body: bytes) -> Asked:
        return self._asked(msgspec.json.decode(body))

    def continued(self, body: Mapping[str, Any], answer: bytes, results: Sequence[str]) -> dict[str, Any]:
        [choice] = msgspec.json.decode(answer)["choices"]
        message = {name: value for name, value in choice["message"].items() if value is not None}
        told = zip(message.get("tool_calls") or (), results, strict=True)
        answers = [{"role": "tool", "tool_call_id": call["id"], "content": text} for call, text in told]
        return {**body, "messages": [*body["messages"], message, *answers]}

    def _asked(self, body: Mapping[str, Any]) -> Asked:
        asked = Asked(limits={LIMITS[name]: value for name, value in body.items() if name in LIMITS})
        for message in body["messages"]:
            if message["role"] in {"system", "developer"}:
                asked.system += texts_of(message["content"], ("text",))
            else:
                asked.blocks += _blocks(message)
        for tool in body.get("tools") or ():
            declared = tool.get(tool["type"])
            if declared is not None:
                asked.tools[declared["name"]] = declared.get("parameters") or {}
                asked.descriptions[declared["name"]] = declared.get("description") or ""
                asked.free_form += [declared["name"]] if tool["type"] == "custom" else []
        choice = body.get("tool_choice")
        asked.choice = f":{choice[choice['type']]['name']}" if isinstance(choice, dict) else choice
        wanted = body.get("response_format") or {}
        if wanted.get("type") == "json_schema":
            asked.schema = wanted["json_schema"]["schema"]
        effort = body.get("reasoning_effort")
        asked.thinks = None if effort is None else effort != "none"
        return asked


# --- the service's answers --------------------------------------------------------------------------------------------


def _whole(answer: Answered) -> dict[str, Any]:
    calls = [_call(call, call.arguments) for call in answer.calls]
    message = {
        "role": "assistant",
        "content": answer.text or None,
        "refusal": None,
        **({"reasoning_content": answer.reasoning} if answer.reasoning else {}),
        **({"tool_calls": calls} if calls else {}),
    }
    choice = {"index": 0, "message": message, "finish_reason": answer.finish, "logprobs": None}
    return {"choices": [choice], "usage": _usage(answer.usage) if answer.usage else None}


def _deltas(answer: Answered) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for piece in pieces(answer.reasoning):
        yield {"reasoning_content": piece}
    for piece in pieces(answer.text):
        yield {"content": piece}
    for index, call in enumerate(answer.calls):
        yield {"tool_calls": [{"index": index, **_call(call, "")}]}
    for index, piece in interleaved(call.arguments for call in answer.calls):
        yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _call(call: Call, arguments: str) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


# --- what a client reads ----------------------------------------------------------------------------------------------


def _read_whole(body: bytes) -> Answered:
    parsed = msgspec.json.decode(body)
    ChatCompletion.model_validate(parsed, strict=True)
    assert parsed["object"] == "chat.completion"
    [choice] = parsed["choices"]
    message = choice["message"]
    assert message.get("tool_calls") != [], "an empty list of calls"
    said = message["content"] or message.get("refusal") or ""
    assert message["content"] is not None or said or message.get("tool_calls"), "no content, and no calls either"
    return Answered(
        reasoning=message.get("reasoning_content") or "",
        text=said,
        calls=tuple(_read_call(call) for call in message.get("tool_calls") or ()),
        finish=choice["finish_reason"],
        usage=_read_usage(parsed.get("usage")),
    )


def _read_call(call: Mapping[str, Any]) -> Call:
    if call["type"] == "custom":
        return Call(id=call["id"], name=call["custom"]["name"], arguments=call["custom"]["input"])
    return Call(id=call["id"], name=call["function"]["name"], arguments=call["function"]["arguments"])


def _read_stream(body: bytes) -> Answered:
    data = [data for _, data in events(body)]
    assert data.pop() == DONE, "the stream does not end in [DONE]"
    chunks = [msgspec.json.decode(chunk) for chunk in data]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    heads = {(chunk["id"], chunk["model"], chunk["created"], chunk["object"]) for chunk in chunks}
    assert len(heads) == 1, f"the chunks have several heads: {heads}"
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert deltas[0].get("role") == "assistant", "the first delta has no role"
    finishes = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
    assert len(finishes) == 1, f"not one finish reason: {finishes}"
    usages = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    assert not usages or usages == [chunks[-1]["usage"]], "usage stands elsewhere than in the last chunk"
    return Answered(
        reasoning="".join(delta.get("reasoning_content") or "" for delta in deltas),
        text="".join(delta.get("content") or delta.get("refusal") or "" for delta in deltas),
        calls=tuple(_read_calls(deltas)),
        finish=finishes[0],
        usage=_read_usage(usages[0]) if usages else None,
    )


def _read_calls(deltas: list[Mapping[str, Any]]) -> Iterator[Call]:
    told: dict[int, dict[str, str]] = {}
    for delta in deltas:
        for piece in delta.get("tool_calls") or ():
            form = "custom" if piece.get("custom") else "function"
            said = piece.get(form) or {}
            text = said.get("input" if form == "custom" else "arguments") or ""
            call = told.get(piece["index"])
            if call is None:
                assert piece["index"] == len(told), "tool indexes have gaps"
                assert piece["id"], "the first piece of a call has no id"
                told[piece["index"]] = {"id": piece["id"], "name": said["name"], "arguments": text}
            else:
                again = piece.get("id") or said.get("name")
                assert not again, f"a later piece of a call repeats {again!r}"
                call["arguments"] += text
    for call in told.values():
        yield Call(**call)


def _read_usage(usage: Mapping[str, Any] | None) -> Usage | None:
    if usage is None:
        return None
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    prompt, completion = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    return Usage(
        input_tokens=usage["prompt_tokens"],
        output_tokens=usage["completion_tokens"],
        cached_tokens=prompt.get("cached_tokens") or 0,
        cache_write_tokens=prompt.get("cache_write_tokens") or 0,
        reasoning_tokens=completion.get("reasoning_tokens") or 0,
    )


# --- what a request says ----------------------------------------------------------------------------------------------


def _blocks(message: Mapping[str, Any]) -> Iterator[Block]:
    content = message.get("content")
    if message["role"] == "tool":
        text = "\n".join(texts_of(content, ("text",)))
        yield Block(role="user", kind="result", id=message["tool_call_id"], text=text)
        return
    role = message["role"]
    if message.get("reasoning_content"):
        yield Block(role=role, kind="thinking", text=message["reasoning_content"])
    for part in [{"type": "text", "text": content}] if isinstance(content, str) else content or ():
        yield _part(role, part)
    for call in message.get("tool_calls") or ():
        made = _read_call(call)
        yield Block(role=role, kind="call", id=made.id, name=made.name, text=made.arguments)


def _part(role: Any, part: Mapping[str, Any]) -> Block:
    match part["type"]:
        case "text" | "refusal":
            return Block(role=role, kind="text", text=part[part["type"]])
        case "image_url":
            return Block(
                role=role,
                kind="image",
                data=part["image_url"]["url"].partition(";base64,")[2] or part["image_url"]["url"],
            )
        case "input_audio":
            return Block(role=role, kind="audio", data=part["input_audio"]["data"])
        case "file":
            file = part["file"]
            data = (file.get("file_data") or "").partition(";base64,")[2] or file.get("file_id") or ""
            return Block(role=role, kind="file", data=data, name=file.get("filename") or "")
        case kind:
            raise AssertionError(f"{kind!r} is no part of a chat message")
