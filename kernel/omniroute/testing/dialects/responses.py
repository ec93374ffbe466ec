"""OpenAI Responses."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from omniroute.model import Usage
from omniroute.testing.dialects.neutral import (
    Answered,
    Asked,
    Block,
    Call,
    Finish,
    Voice,
    events,
    texts_of,
)
from omniroute.testing.dialects.responses_events import response_events
from omniroute.testing.received import ReceivedRequest
from omniroute.testing.recordings import sse
from omniroute.testing.scripts import Reply, Script, Stream
from omniroute.testing.strict import openai_responses

__all__ = ["ResponsesVoice"]

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
TERMINAL = ("response.completed", "response.incomplete", "response.failed")
CUT: Mapping[Finish, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
LIMITS = {"max_output_tokens": "max_tokens", "temperature": "temperature", "top_p": "top_p"}
INPUT = ("input_text", "output_text", "text")

Item = Mapping[str, Any]


class ResponsesVoice(Voice):
    dialect = "openai-responses"
    validate = staticmethod(openai_responses)

    def path(self, model: str, *, stream: bool) -> str:
        return "/v1/responses"

    def body(self, asked: Mapping[str, Any], model: str, *, stream: bool) -> dict[str, Any]:
        return {"model": model, "input": "hi", **({"stream": True} if stream else {}), **asked}

    def streams(self, request: ReceivedRequest) -> bool:
        return request.json().get("stream") is True

    # --- the service --------------------------------------------------------------------------------------------------

    def reply(self, answer: Answered, request: ReceivedRequest) -> Script:
        response = _response(answer, request.json())
        if not self.streams(request):
            return Reply.json(response)
        said = [{**event, "sequence_number": number} for number, event in enumerate(response_events(response))]
        return Stream([sse([{"event": event["type"], "data": event}]) for event in said])

    def refusal(self, status: int, message: str) -> Reply:
        kind = "rate_limit_error" if status == 429 else "invalid_request_error"
        return Reply.json({"error": {"message": message, "type": kind, "param": None, "code": None}}, status)

    # --- the client ---------------------------------------------------------------------------------------------------

    def read(self, body: bytes, *, stream: bool) -> Answered:
        response = _final(body) if stream else msgspec.json.decode(body)
        return _read_response(response)

    def read_error(self, body: bytes) -> str:
        error = msgspec.json.decode(body)["error"]
        assert error.keys() >= {"message", "type", "param", "code"}
        return str(error["message"])

    def asked(self, body: bytes) -> Asked:
        return _asked(msgspec.json.decode(body))

    def continued(self, body: Mapping[str, Any], answer: bytes, results: Sequence[str]) -> dict[str, Any]:
        said = msgspec.json.decode(answer)["output"]
        calls = [item for item in said if item["type"] in {"function_call", "custom_tool_call"}]
        answers = [
            {"type": f"{item['type']}_output", "call_id": item["call_id"], "output": text}
            for item, text in zip(calls, results, strict=True)
        ]
        given = body["input"]
        before = [{"role": "user", "content": given}] if isinstance(given, str) else given
        return {**body, "input": [*before, *said, *answers]}


# --- the service's answers --------------------------------------------------------------------------------------------


def _response(answer: Answered, asked: Mapping[str, Any]) -> dict[str, Any]:
    cut = CUT.get(answer.finish)
    return {
        "id": "resp_7",
        "object": "response",
        "created_at": 1,
        "status": "incomplete" if cut else "completed",
        "model": asked["model"],
        "output": _items(answer),
        "error": None,
        "incomplete_details": {"reason": cut} if cut else None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "temperature": None,
        "top_p": None,
        "usage": _usage(answer.usage or Usage()),
    }


def _items(answer: Answered) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if answer.reasoning:
        summary = [{"type": "summary_text", "text": answer.reasoning}]
        items.append({"type": "reasoning", "id": "rs_7", "summary": summary, "encrypted_content": answer.signature})
    if answer.text:
        text = {"type": "output_text", "text": answer.text, "annotations": []}
        items.append({"type": "message", "id": "msg_7", "role": "assistant", "status": "completed", "content": [text]})
    for number, call in enumerate(answer.calls):
        items.append(
            {
                "type": "function_call",
                "id": f"fc_{number}",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
                "status": "completed",
            }
        )
    return items


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


# --- what a client reads ----------------------------------------------------------------------------------------------


def _read_response(response: Mapping[str, Any]) -> Answered:
    Response.model_validate(response, strict=True)
    ids = [item["id"] for item in response["output"]]
    assert len(set(ids)) == len(ids), f"an item's id comes twice: {ids}"
    items = response["output"]
    calls = tuple(_read_call(item) for item in items if item["type"] in {"function_call", "custom_tool_call"})
    reason = (response.get("incomplete_details") or {}).get("reason")
    assert (response["status"] == "incomplete") is bool(reason), f"{response['status']}, but the reason is {reason!r}"
    finish: Finish = next((finish for finish, cut in CUT.items() if cut == reason), "tool_calls" if calls else "stop")
    thoughts = [item for item in items if item["type"] == "reasoning"]
    return Answered(
        reasoning="\n\n".join(part["text"] for item in thoughts for part in item["summary"]),
        signature="".join(item.get("encrypted_content") or "" for item in thoughts),
        text="".join(
            part.get("text") or part.get("refusal") or ""
            for item in items
            if item["type"] == "message"
            for part in item["content"]
        ),
        calls=calls,
        finish=finish,
        usage=_read_usage(response["usage"]),
    )


def _read_call(item: Item) -> Call:
    text = item["input"] if item["type"] == "custom_tool_call" else item["arguments"]
    return Call(id=item["call_id"], name=_joined(item.get("namespace"), item["name"]), arguments=text)


def _read_usage(usage: Mapping[str, Any] | None) -> Usage | None:
    if usage is None:
        return None
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    return Usage(
        input_tokens=usage["input_tokens"],
        output_tokens=usage["output_tokens"],
        cached_tokens=usage["input_tokens_details"]["cached_tokens"],
        cache_write_tokens=usage["input_tokens_details"].get("cache_write_tokens") or 0,
        reasoning_tokens=usage["output_tokens_details"]["reasoning_tokens"],
    )


def _final(body: bytes) -> dict[str, Any]:
    """The response at the end of a stream, which must be what its events said."""
    said = [(name, msgspec.json.decode(data)) for name, data in events(body)]
    for number, (name, event) in enumerate(said):
        assert name not in {"error", "response.failed"}, f"the stream ends in an error: {event}"
        assert name == event["type"], f"the event is called {name!r} and says it is {event['type']!r}"
        assert event["sequence_number"] == number, f"{name} has the number {event['sequence_number']}, not {number}"
        EVENT.validate_python(event, strict=True)
    names = [name for name, _ in said]
    assert names[:2] == ["response.created", "response.in_progress"], f"the stream begins with {names[:2]}"
    assert [name for name in names if name in TERMINAL] == names[-1:], f"the stream ends with {names[-2:]}"
    response: dict[str, Any] = said[-1][1]["response"]
    assert {event["response"]["id"] for _, event in said if "response" in event} == {response["id"]}
    done = [event["item"] for name, event in said if name == "response.output_item.done"]
    added = [event for name, event in said if name == "response.output_item.added"]
    assert [event["output_index"] for event in added] == list(range(len(added))), "the items' indexes have gaps"
    in_order = sorted(done, key=lambda item: [event["item"]["id"] for event in added].index(item["id"]))
    assert response["output"] == in_order, "the response holds other items than were announced as done"
    for event in added:
        _check_deltas(event, [event for _, event in said], response["output"][event["output_index"]])
    return response


def _check_deltas(added: Item, said: Sequence[Item], item: Item) -> None:
    """The deltas of an item make up what the item holds."""
    mine = [event for event in said if event.get("item_id") == item["id"]]
    assert all(event["output_index"] == added["output_index"] for event in mine), "an event has another item's index"
    text = "".join(event["delta"] for event in mine if event["type"].endswith(".delta"))
    match item["type"]:
        case "message":
            whole = "".join(part.get("text") or part.get("refusal") or "" for part in item["content"])
        case "reasoning":
            whole = "".join(part["text"] for part in item["summary"])
        case "function_call":
            whole = item["arguments"]
        case "custom_tool_call":
            whole = item["input"]
        case _:
            return
    assert text == whole, f"the deltas of {item['id']} make {text!r}, the item says {whole!r}"


# --- what a request says ----------------------------------------------------------------------------------------------


def _asked(body: Mapping[str, Any]) -> Asked:
    asked = Asked(limits={LIMITS[name]: value for name, value in body.items() if name in LIMITS})
    asked.system += texts_of(body.get("instructions"), INPUT)
    items = body["input"]
    tools = list(body.get("tools") or ())
    for item in [{"role": "user", "content": items}] if isinstance(items, str) else items:
        if item.get("type") == "additional_tools":
            tools += item["tools"]
        elif item.get("role") in {"system", "developer"}:
            asked.system += texts_of(item["content"], INPUT)
        else:
            asked.blocks += _blocks(item)
    for tool in _functions(tools):
        asked.tools[tool["name"]] = tool.get("parameters") or {}
        asked.descriptions[tool["name"]] = tool.get("description") or ""
        asked.free_form += [tool["name"]] if tool["type"] == "custom" else []
    choice = body.get("tool_choice")
    asked.choice = f":{choice['name']}" if isinstance(choice, dict) else choice
    wanted = (body.get("text") or {}).get("format") or {}
    asked.schema = wanted.get("schema")
    effort = (body.get("reasoning") or {}).get("effort")
    asked.thinks = None if effort is None else effort != "none"
    return asked


def _functions(tools: Sequence[Item], namespace: str | None = None) -> Iterator[Item]:
    for tool in tools:
        if tool["type"] == "namespace":
            yield from _functions(tool["tools"], tool["name"])
        elif tool["type"] in {"function", "custom"}:
            yield {**tool, "name": _joined(namespace, tool["name"])}


def _joined(namespace: str | None, name: str) -> str:
    """One word for a tool and its namespace; the service's own default is none."""
    return name if namespace in {None, "functions"} else f"{namespace}__{name}"


def _blocks(item: Item) -> Iterator[Block]:
    match item.get("type") or "message":
        case "message":
            role, content = item["role"], item["content"]
            for part in [{"type": "input_text", "text": content}] if isinstance(content, str) else content:
                yield _part(role, part)
        case "reasoning":
            text = "\n\n".join(part["text"] for part in item["summary"])
            yield Block(role="assistant", kind="thinking", text=text, signature=item.get("encrypted_content") or "")
        case "function_call" | "custom_tool_call":
            call = _read_call(item)
            yield Block(role="assistant", kind="call", id=call.id, name=call.name, text=call.arguments)
        case "function_call_output" | "custom_tool_call_output":
            yield _result(item)


def _part(role: Any, part: Item) -> Block:
    match part["type"]:
        case "input_text" | "output_text":
            return Block(role=role, kind="text", text=part["text"])
        case "refusal":
            return Block(role=role, kind="text", text=part["refusal"])
        case "input_image":
            return Block(role=role, kind="image", data=part["image_url"].partition(";base64,")[2] or part["image_url"])
        case "input_file":
            data = (part.get("file_data") or "").partition(";base64,")[2] or part.get("file_url") or part.get("file_id")
            return Block(role=role, kind="file", data=data or "", name=part.get("filename") or "")
        case kind:
            raise AssertionError(f"{kind!r} is no part that is expected here")


def _result(item: Item) -> Block:
    output = item["output"]
    images = [part["image_url"] for part in output if part["type"] == "input_image"] if isinstance(output, list) else []
    return Block(
        role="user",
        kind="result",
        id=item["call_id"],
        text="\n".join(texts_of(output, INPUT)),
        images=tuple(url.partition(";base64,")[2] or url for url in images),
    )
