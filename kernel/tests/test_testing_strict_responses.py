"""The strict Responses validator accepts what real clients send and refuses what the service refuses."""

import re
from pathlib import Path

import msgspec
import pytest

from omniroute.testing import ReceivedRequest, Recording
from omniroute.testing.strict import openai_responses

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
STRICT_SCHEMA = {**SCHEMA, "additionalProperties": False}
USER = {"role": "user", "content": "hi"}
LOOK = {"type": "function", "name": "look", "parameters": SCHEMA, "strict": False}
PATCH = {"type": "custom", "name": "patch"}


def received(body, target="/v1/responses", **headers):
    plain = {"content-type": "application/json", "authorization": "Bearer test-key-1", **headers}
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return ReceivedRequest(method="POST", target=target, headers=tuple(plain.items()), body=data)


def ask(*items, **fields):
    return {"model": "fake", "input": list(items or [USER]), **fields}


def call(call_id="a", name="look", arguments="{}", **fields):
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, **fields}


def output(call_id="a", text="ok", **fields):
    return {"type": "function_call_output", "call_id": call_id, "output": text, **fields}


def said(*parts):
    return {"role": "assistant", "content": list(parts)}


def thought(**fields):
    return {"type": "reasoning", "summary": [], **fields}


GOOD = [
    {"model": "fake", "input": "hi"},
    ask({"role": "system", "content": "s"}, {"role": "developer", "content": [{"type": "input_text", "text": "d"}]}, USER),
    ask(USER, said({"type": "output_text", "text": "t"}), USER),
    ask(USER, {"role": "assistant", "content": "t"}, USER),
    ask(USER, call("a"), call("b"), output("b"), output("a"), USER, tools=[LOOK]),
    ask(USER, call("a"), output("a"), call("b"), output("b", [{"type": "input_text", "text": "x"}])),
    ask({"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"}]}),
    ask(USER, thought(id="rs_1", encrypted_content="c2ln"), call(), output()),
    ask(USER, thought(), call(id="fc_1", status="completed"), output(id="fco_1")),
    ask(
        USER,
        {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "+", "id": "ctc_1", "status": "completed"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "done"},
        tools=[PATCH],
        tool_choice={"type": "custom", "name": "patch"},
    ),
    ask(output("made earlier"), previous_response_id="resp_1"),
    ask(tools=[LOOK], tool_choice={"type": "function", "name": "look"}, parallel_tool_calls=False),
    ask(tools=[{**LOOK, "strict": True, "parameters": {**STRICT_SCHEMA, "required": ["a"]}}]),
    ask(text={"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}}, max_output_tokens=16),
    ask(store=False, include=["reasoning.encrypted_content"], reasoning={"effort": "low", "summary": "auto"}, stream=True),
]  # fmt: skip
BAD = {
    "no input": ({"model": "m"}, "One of 'input'"),
    "an empty input": ({"model": "m", "input": []}, "One of 'input'"),
    "an unknown field": (ask(max_tokens=5), "max_tokens: Extra inputs"),
    "stop sequences": (ask(stop=["x"]), "stop: Extra inputs"),
    "a role of another dialect": (ask({"role": "tool", "content": "x"}), "role"),
    "an unknown item": (ask({"type": "tool_result"}), "'tool_result'"),
    "chat's part": (ask({"role": "user", "content": [{"type": "text", "text": "x"}]}), "'text'"),
    "the user's part in the assistant's turn": (ask(said({"type": "input_text", "text": "x"})), "output_text"),
    "the assistant's part in the user's turn": (
        ask({"role": "user", "content": [{"type": "output_text", "text": "x"}]}),
        "output_text",
    ),
    "an image as an object": (
        ask({"role": "user", "content": [{"type": "input_image", "image_url": {"url": "x"}, "detail": "auto"}]}),
        "image_url: .* is none of",
    ),
    "chat's nested tool": (ask(tools=[{"type": "function", "function": {"name": "look"}}]), "name: Field required|Extra"),
    "chat's nested choice": (
        ask(tools=[LOOK], tool_choice={"type": "function", "function": {"name": "look"}}),
        "function: Extra inputs|name: Field required",
    ),
    "a call without an output": (ask(USER, call("a"), call("b"), output("a")), "No tool output found for function call b"),
    "an output without a call": (ask(USER, output("a")), "No tool call found for function call output with call_id a"),
    "two outputs for a call": (ask(USER, call(), output(), output()), "No tool call found"),
    "an output before its call": (ask(USER, output(), call()), "No tool call found"),
    "a custom output for a function": (
        ask(USER, call("a"), {"type": "custom_tool_call_output", "call_id": "a", "output": "x"}),
        "No tool call found for custom tool call output",
    ),
    "two open calls with one id": (ask(USER, call(), call(), output(), output()), "Duplicate call_id"),
    "an empty call_id": (ask(USER, call(""), output("")), "minimum length 1"),
    "a call_id of 65 letters": (ask(USER, call("x" * 65), output("x" * 65)), "maximum length 64"),
    "an item's id of another kind": (ask(USER, call(id="call_a"), output()), "begins with 'fc'"),
    "a message's id of another kind": (ask({**USER, "type": "message", "id": "x1"}), "begins with 'msg'"),
    "arguments as an object": (ask(USER, call(arguments={}), output()), "valid str"),
    "arguments that are no JSON": (ask(USER, call(arguments="{"), output()), "is no JSON object"),
    "a call's odd name": (ask(USER, call(name="fs.read"), output()), "'fs.read' does not match"),
    "reasoning that was not stored": (ask(USER, thought(id="rs_1"), call(), output(), store=False), "not found"),
    "reasoning at the end": (ask(USER, thought(id="rs_1", encrypted_content="x")), "without its required following item"),
    "reasoning as text": (ask(USER, {"type": "reasoning", "text": "x"}), "summary: Field required|text: Extra"),
    "a tool's long name": (ask(tools=[{**LOOK, "name": "x" * 65}]), "does not match"),
    "two tools of one name": (ask(tools=[LOOK, LOOK]), "Duplicate tool name"),
    "parameters without properties": (ask(tools=[{**LOOK, "parameters": {"type": "object"}}]), "missing properties"),
    "parameters that are no object": (ask(tools=[{**LOOK, "parameters": {"type": "string"}}]), "got 'string'"),
    "a strict tool that leaves room": (ask(tools=[{**LOOK, "strict": True}]), "additionalProperties"),
    "a strict tool with options": (ask(tools=[{**LOOK, "strict": True, "parameters": STRICT_SCHEMA}]), "every key"),
    "a forced choice without tools": (ask(tool_choice="required"), "no 'tools'"),
    "a choice of an unknown tool": (ask(tools=[LOOK], tool_choice={"type": "function", "name": "x"}), "'x' not found"),
    "15 tokens": (ask(max_output_tokens=15), "15 is outside 16"),
    "too hot": (ask(temperature=2.1), "temperature: 2.1 is outside"),
    "a temperature for a model that reasons": ({**ask(temperature=0.5), "model": "gpt-5.5"}, "not supported with this model"),
    "options without a stream": (ask(stream_options={"include_obfuscation": False}), "only allowed when 'stream'"),
    "too much metadata": (ask(metadata={str(n): "x" for n in range(17)}), "at most 16"),
    "chat's response format": (ask(response_format={"type": "json_object"}), "response_format: Extra"),
    "a schema without a good name": (
        ask(text={"format": {"type": "json_schema", "name": "a b", "schema": SCHEMA}}),
        "does not match",
    ),
}  # fmt: skip


@pytest.mark.parametrize("body", GOOD)
def test_a_good_request_passes(body):
    assert openai_responses(received(body)) is None


@pytest.mark.parametrize(("body", "told"), BAD.values(), ids=BAD)
def test_a_bad_request_is_refused_as_openai_does(body, told):
    refusal = openai_responses(received(body))
    assert refusal is not None
    error = msgspec.json.decode(refusal.body)["error"]
    assert (refusal.status, error["type"]) == (400, "invalid_request_error")
    assert re.search(told, error["message"])


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (received(ask(), authorization="test-key-1"), 401),
        (received(ask(), "/v1/response"), 404),
        (received(b"{"), 400),
        (received(b"[]"), 400),
        (received(ask(), **{"content-type": "text/plain"}), 400),
    ],
)
def test_what_surrounds_a_request_counts_too(request_, status):
    assert openai_responses(request_).status == status


def test_a_model_list_passes():
    request = ReceivedRequest(method="GET", target="/v1/models", headers=(), body=b"")
    assert openai_responses(request) is None


CLIENTS = Path(__file__).resolve().parents[2] / "tests/recordings/clients"
RECORDED = [path for path in sorted(CLIENTS.rglob("*.json")) if Recording.load(path).target == "/v1/responses"]


def test_there_are_recordings():
    assert len(RECORDED) >= 10


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_real_clients_send_passes(path):
    recording = Recording.load(path)
    assert openai_responses(received(recording.request_body(), recording.target, **recording.headers)) is None
