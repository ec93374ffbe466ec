"""The strict validators accept what real clients send and refuse what the services refuse, in the services' form."""

import re
from pathlib import Path
from typing import Any, Literal, NotRequired, Required, TypedDict

import msgspec
import pytest

from omniroute.testing import FakeUpstream, ReceivedRequest, Recording
from omniroute.testing.strict import anthropic_messages, openai_chat, openai_compatible
from omniroute.testing.strict.shape import Violation, check_shape

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
USER = {"role": "user", "content": "hi"}


# --- shapes -----------------------------------------------------------------------------------------------------------


class Word(TypedDict, total=False):
    type: Required[Literal["word"]]
    text: Required[str]
    loud: bool | None


class Number(TypedDict, total=False):
    type: Required[Literal["number"]]
    value: Required[float]
    tags: dict[str, int]


class Page(TypedDict):
    title: str
    parts: NotRequired[list[Word | Number] | str]
    rest: NotRequired[object]


@pytest.mark.parametrize(
    "value",
    [
        {"title": "t"},
        {"title": "t", "parts": "plain", "rest": [1, {}]},
        {"title": "t", "parts": [{"type": "word", "text": "a", "loud": None}, {"type": "number", "value": 1}]},
        {"title": "t", "parts": [{"type": "number", "value": 1.5, "tags": {"x": 1}}]},
    ],
)
def test_json_fits_its_type(value):
    check_shape(value, Page)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([], "Input should be a valid dict"),
        ({}, "title: Field required"),
        ({"title": "t", "x": 1}, "x: Extra inputs are not permitted"),
        ({"title": 7}, "title: Input should be a valid str, not 7"),
        ({"title": None}, "title: Input should be a valid str, not None"),
        ({"title": "t", "parts": [{"type": "word"}]}, "parts.0.text: Field required"),
        ({"title": "t", "parts": [{"type": "sound"}]}, "parts.0: {'type': 'sound'} is none of the kinds"),
        ({"title": "t", "parts": [{"text": "a"}]}, "parts.0: {} is none of the kinds"),
        (
            {"title": "t", "parts": [{"type": "word", "text": "a", "loud": 1}]},
            "parts.0.loud: Input should be a valid bool",
        ),
        ({"title": "t", "parts": [{"type": "number", "value": True}]}, "parts.0.value: Input should be a valid float"),
        ({"title": "t", "parts": [{"type": "number", "value": 1, "tags": {"x": "1"}}]}, "parts.0.tags.x: Input should"),
        ({"title": "t", "parts": {"a": 1}}, "parts: .* is none of the kinds"),
        ({"title": "t", "parts": 7}, "parts: Input should be a valid str"),
    ],
)
def test_json_that_does_not_fit_is_refused_at_its_place(value, told):
    with pytest.raises(Violation, match=told):
        check_shape(value, Page)


# --- OpenAI -----------------------------------------------------------------------------------------------------------


def received(body, target, **headers):
    plain = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return ReceivedRequest(method="POST", target=target, headers=tuple(plain.items()), body=data)


def chat(*messages, **fields):
    return {"model": "fake", "messages": list(messages or [USER]), **fields}


def calls(*ids, name="look", arguments="{}", **fields):
    made = [{"id": call, "type": "function", "function": {"name": name, "arguments": arguments}} for call in ids]
    return {"role": "assistant", "tool_calls": made, **fields}


def result(call, content="ok"):
    return {"role": "tool", "tool_call_id": call, "content": content}


def tool(name="look", **function):
    return {"type": "function", "function": {"name": name, **function}}


CHAT_OK = [
    chat(),
    chat({"role": "system", "content": "s"}, {"role": "developer", "content": [{"type": "text", "text": "d"}]}, USER),
    chat(USER, calls("a", "b"), result("b"), result("a", [{"type": "text", "text": "x"}]), USER),
    chat(USER, calls("a"), result("a"), calls("a", content="again"), result("a")),
    chat(tools=[tool(), tool("b", parameters=SCHEMA)], tool_choice="required", parallel_tool_calls=False),
    chat(tools=[tool()], tool_choice={"type": "function", "function": {"name": "look"}}),
    chat(stream=True, stream_options={"include_usage": True}),
    chat(max_completion_tokens=5, temperature=2, stop=["a", "b", "c", "d"], seed=1, reasoning_effort="high"),
    chat(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}),
    chat({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}),
    {**chat(max_completion_tokens=5, temperature=1), "model": "gpt-5"},
]
STRICT_SCHEMA = {"type": "object", "properties": {"a": {}}, "required": [], "additionalProperties": False}
CHAT_BAD = {
    "no messages": (chat(messages=[]), "too short"),
    "an unknown field": (chat(top_k=1), "top_k: Extra inputs"),
    "an unknown field in a message": (chat({**USER, "cache_control": {}}), "messages.0.cache_control"),
    "an unknown role": (chat({"role": "robot", "content": "x"}), "'robot'"),
    "a foreign part": (chat({"role": "user", "content": [{"type": "tool_result"}]}), "'tool_result'"),
    "no content at all": (chat(USER, {"role": "assistant", "content": ""}), "needs content or tool_calls"),
    "an empty list of calls": (chat(USER, {"role": "assistant", "content": "x", "tool_calls": []}), "tool_calls: .* short"),
    "an empty list of parts": (chat({"role": "user", "content": []}), "content: .* short"),
    "a result without a call": (chat(USER, result("a")), "must be a response to a preceding"),
    "a result for another call": (chat(USER, calls("a"), result("b")), "must be a response to a preceding"),
    "two results for a call": (chat(USER, calls("a"), result("a"), result("a")), "must be a response"),
    "a call without a result": (chat(USER, calls("a", "b"), result("a")), "did not have response messages: b"),
    "words before the result": (chat(USER, calls("a"), USER, result("a")), "did not have response messages: a"),
    "two calls with one id": (chat(USER, calls("a", "a"), result("a"), result("a")), "twice"),
    "arguments as an object": (chat(USER, calls("a", arguments={}), result("a")), "valid str"),
    "arguments that are no JSON": (chat(USER, calls("a", arguments="{"), result("a")), "is no JSON object"),
    "a call's odd name": (chat(USER, calls("a", name="fs.read"), result("a")), "'fs.read' does not match"),
    "an image in a result": (chat(USER, calls("a"), result("a", [{"type": "image_url", "image_url": {"url": "x"}}])), "image_url: Extra inputs"),
    "no tools in the list": (chat(tools=[]), "tools: .* short"),
    "a tool's long name": (chat(tools=[tool("x" * 65)]), "does not match"),
    "two tools of one name": (chat(tools=[tool(), tool()]), "twice"),
    "a flat tool": (chat(tools=[{"type": "function", "name": "look"}]), "Extra inputs"),
    "parameters without properties": (chat(tools=[tool(parameters={"type": "object"})]), "missing properties"),
    "parameters that are no object": (chat(tools=[tool(parameters={"type": "string"})]), "must be of type 'object'"),
    "a strict tool that leaves room": (chat(tools=[tool(strict=True, parameters=SCHEMA)]), "additionalProperties"),
    "a strict tool with options": (chat(tools=[tool(strict=True, parameters=STRICT_SCHEMA)]), "every key"),
    "a choice without tools": (chat(tool_choice="auto"), "only allowed when 'tools'"),
    "a choice of an unknown tool": (
        chat(tools=[tool()], tool_choice={"type": "function", "function": {"name": "x"}}),
        "'x' not found",
    ),
    "parallel without tools": (chat(parallel_tool_calls=True), "only allowed when 'tools'"),
    "two limits": (chat(max_tokens=1, max_completion_tokens=1), "cannot both be set"),
    "a limit of 0": (chat(max_tokens=0), "max_tokens: 0 is outside"),
    "too hot": (chat(temperature=2.1), "temperature: 2.1 is outside"),
    "five stops": (chat(stop=list("abcde")), "1 to 4 sequences"),
    "options without a stream": (chat(stream_options={"include_usage": True}), "only allowed when 'stream'"),
    "the old limit for a model that reasons": ({**chat(max_tokens=5), "model": "o3"}, "max_completion_tokens"),
    "a temperature for a model that reasons": ({**chat(temperature=0), "model": "gpt-5"}, "default"),
    "a schema without a good name": (
        chat(response_format={"type": "json_schema", "json_schema": {"name": "a b", "schema": SCHEMA}}),
        "does not match",
    ),
}  # fmt: skip


def ask_openai(body, validate=openai_chat, **headers):
    return validate(received(body, "/v1/chat/completions", **{"authorization": "Bearer test-key-1", **headers}))


@pytest.mark.parametrize("body", CHAT_OK)
def test_a_good_chat_request_passes(body):
    assert ask_openai(body) is None


@pytest.mark.parametrize(("body", "told"), CHAT_BAD.values(), ids=CHAT_BAD)
def test_a_bad_chat_request_is_refused_as_openai_does(body, told):
    refusal = ask_openai(body)
    error = msgspec.json.decode(refusal.body)["error"]
    assert (refusal.status, error["type"]) == (400, "invalid_request_error")
    assert re.search(told, error["message"])


def test_only_compatible_servers_take_reasoning_back():
    body = chat(USER, {"role": "assistant", "content": "x", "reasoning_content": "y"}, USER)
    assert b"reasoning_content: Extra" in ask_openai(body).body
    assert ask_openai(body, openai_compatible) is None
    assert ask_openai(chat({**USER, "reasoning_content": "y"}), openai_compatible) is not None


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (received(chat(), "/v1/chat/completions"), 401),
        (received(chat(), "/v1/chat/completions", authorization="test-key-1"), 401),
        (received(chat(), "/v1/chat", authorization="Bearer k"), 404),
        (received(b"{", "/v1/chat/completions", authorization="Bearer k"), 400),
        (received(b"[]", "/v1/chat/completions", authorization="Bearer k"), 400),
        (received(chat(), "/v1/chat/completions", authorization="Bearer k", content_type="text/plain"), 400),
    ],
)
def test_what_surrounds_a_chat_request_counts_too(request_, status):
    assert openai_chat(request_).status == status


# --- Anthropic --------------------------------------------------------------------------------------------------------


def messages(*turns: Any, **fields: Any):
    return {"model": "claude-fake", "max_tokens": 100, "messages": list(turns or [USER]), **fields}


def uses(*ids, name="look", before=()):
    return {
        "role": "assistant",
        "content": [*before, *({"type": "tool_use", "id": i, "name": name, "input": {}} for i in ids)],
    }


def results(*ids, after=(), first=()):
    return {
        "role": "user",
        "content": [*first, *({"type": "tool_result", "tool_use_id": i, "content": "x"} for i in ids), *after],
    }


def text(value, **fields):
    return {"type": "text", "text": value, **fields}


THOUGHT = {"type": "thinking", "thinking": "", "signature": "c2ln"}
LOOK = {"name": "look", "input_schema": SCHEMA}
MARK = {"cache_control": {"type": "ephemeral"}}
BUDGET = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}
MESSAGES_OK = [
    messages(),
    messages(USER, USER),
    messages(USER, {"role": "assistant", "content": "prefill"}),
    messages(USER, uses("a", "b"), results("b", "a", after=[text("and?")]), tools=[LOOK]),
    messages(USER, uses("a", before=[THOUGHT]), results("a"), tools=[LOOK], **BUDGET),
    messages(USER, uses("a"), results("a"), USER, tools=[LOOK], **BUDGET),
    messages(system=[text("s", **MARK)], tools=[{**LOOK, **MARK}], tool_choice={"type": "tool", "name": "look"}),
    messages(system="s", stream=True, stop_sequences=["END"], temperature=1, top_k=5, metadata={"user_id": "u"}),
    messages(thinking={"type": "adaptive"}, output_config={"effort": "high"}),
]
MESSAGES_BAD = {
    "no limit": ({"model": "m", "messages": [USER]}, "max_tokens: Field required"),
    "a limit of 0": (messages(max_tokens=0), "max_tokens: 0 is outside"),
    "no messages": (messages(messages=[]), "at least one message"),
    "an unknown field": (messages(seed=1), "seed: Extra inputs"),
    "a beta's field without the beta": (messages(context_management={}), "context_management: Extra inputs"),
    "an unknown field in a block": (messages({"role": "user", "content": [text("x", detail="low")]}), "detail: Extra"),
    "a role of another dialect": (messages(USER, {"role": "tool", "content": "x"}), "'tool'"),
    "the assistant first": (messages({"role": "assistant", "content": "x"}), "first message must use"),
    "an empty turn": (messages({"role": "user", "content": []}), "non-empty content"),
    "an empty string": (messages({"role": "user", "content": ""}), "non-empty content"),
    "an empty text": (messages({"role": "user", "content": [text("")]}), "content.0.text: text content blocks must be non-empty"),
    "a blank text": (messages({"role": "user", "content": [text(" \n")]}), "non-whitespace"),
    "an empty system text": (messages(system=[text("")]), "system.0.text"),
    "a prefill that ends in a space": (messages(USER, {"role": "assistant", "content": "a "}), "trailing whitespace"),
    "a call without a result": (messages(USER, uses("a"), USER), "without `tool_result` blocks immediately after: a"),
    "a call at the end": (messages(USER, uses("a")), "without `tool_result`"),
    "one result of two": (messages(USER, uses("a", "b"), results("a")), "immediately after: b"),
    "results in two turns": (messages(USER, uses("a", "b"), results("a"), results("b")), "immediately after: b"),
    "a result without a call": (messages(results("a")), "unexpected `tool_use_id`"),
    "a result too late": (messages(USER, uses("a"), results("a"), results("a")), "unexpected `tool_use_id`"),
    "two results for a call": (messages(USER, uses("a"), results("a", "a")), "single result"),
    "words before the result": (messages(USER, uses("a"), results("a", first=[text("x")])), "must come first"),
    "two calls with one id": (messages(USER, uses("a"), results("a"), uses("a"), results("a")), "must be unique"),
    "an id with a dot": (messages(USER, uses("a.b"), results("a.b")), "should match pattern"),
    "a name with a dot": (messages(USER, uses("a", name="fs.read"), results("a")), "'fs.read'"),
    "arguments as text": (
        messages(USER, {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "b", "input": "{}"}]}),
        "input: Input should be a valid dict",
    ),
    "a tool without a schema": (messages(tools=[{"name": "look"}]), "none of the kinds|Field required"),
    "a union at the root": (messages(tools=[{"name": "x", "input_schema": {**SCHEMA, "anyOf": []}}]), "anyOf at the top"),
    "two tools of one name": (messages(tools=[LOOK, LOOK]), "must be unique"),
    "a choice without tools": (messages(tool_choice={"type": "auto"}), "while providing tools"),
    "a choice of an unknown tool": (messages(tools=[LOOK], tool_choice={"type": "tool", "name": "x"}), "'x' not found"),
    "OpenAI's choice": (messages(tools=[LOOK], tool_choice="auto"), "tool_choice"),
    "five cache marks": (messages({"role": "user", "content": [text(str(n), **MARK) for n in range(5)]}), "Found 5"),
    "a blank stop": (messages(stop_sequences=["\n"]), "non-whitespace"),
    "too hot": (messages(temperature=1.5), "temperature: 1.5 is outside"),
    "a budget that is too small": (messages(max_tokens=2000, thinking={"type": "enabled", "budget_tokens": 1000}), "1000 must"),
    "a budget beyond the limit": (messages(thinking={"type": "enabled", "budget_tokens": 1024}), "less than max_tokens"),
    "thinking with a temperature": (messages(temperature=0.5, **BUDGET), "only be set to 1"),
    "thinking with top_k": (messages(top_k=5, **BUDGET), "must be unset"),
    "thinking with a forced tool": (messages(tools=[LOOK], tool_choice={"type": "any"}, **BUDGET), "forces tool use"),
    "thinking without a signature": (
        messages(USER, {"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": ""}]}, USER),
        "Invalid `signature`",
    ),
    "a running turn without its thinking": (
        messages(USER, uses("a"), results("a"), tools=[LOOK], **BUDGET),
        "Expected `thinking` or `redacted_thinking`, but found `tool_use`",
    ),
}  # fmt: skip


def ask_anthropic(body, target="/v1/messages", **headers):
    plain = {"x_api_key": "test-key-1", "anthropic_version": "2023-06-01"}
    return anthropic_messages(received(body, target, **{**plain, **headers}))


@pytest.mark.parametrize("body", MESSAGES_OK)
def test_a_good_messages_request_passes(body):
    assert ask_anthropic(body) is None


@pytest.mark.parametrize(("body", "told"), MESSAGES_BAD.values(), ids=MESSAGES_BAD)
def test_a_bad_messages_request_is_refused_as_anthropic_does(body, told):
    refusal = ask_anthropic(body)
    answer = msgspec.json.decode(refusal.body)
    assert (refusal.status, answer["type"], answer["error"]["type"]) == (400, "error", "invalid_request_error")
    assert re.search(told, answer["error"]["message"])


def test_a_beta_header_brings_its_fields():
    body = messages(context_management={"edits": []})
    assert ask_anthropic(body) is not None
    assert ask_anthropic(body, anthropic_beta="context-management-2025-06-27") is None


@pytest.mark.parametrize("field", ["temperature", "top_p", "top_k"])
def test_the_newer_version_refuses_sampling(field):
    body = messages(**{field: 1})
    assert ask_anthropic(body) is None
    assert f"{field}: Extra inputs".encode() in ask_anthropic(body, anthropic_version="2026-10-21").body


def test_a_token_count_needs_no_limit():
    body = {"model": "m", "messages": [USER]}
    assert ask_anthropic(body, "/v1/messages/count_tokens") is None
    assert ask_anthropic({**body, "stream": True}, "/v1/messages/count_tokens").status == 400


@pytest.mark.parametrize(
    ("request_", "status", "kind"),
    [
        (received(messages(), "/v1/messages", anthropic_version="2023-06-01"), 401, "authentication_error"),
        (received(messages(), "/v1/messages", x_api_key="k"), 400, "invalid_request_error"),
        (received(messages(), "/v1/x", x_api_key="k", anthropic_version="v"), 404, "not_found_error"),
        (received(b"\xff", "/v1/messages", x_api_key="k", anthropic_version="v"), 400, "invalid_request_error"),
    ],
)
def test_what_surrounds_a_messages_request_counts_too(request_, status, kind):
    refusal = anthropic_messages(request_)
    assert (refusal.status, msgspec.json.decode(refusal.body)["error"]["type"]) == (status, kind)


@pytest.mark.parametrize(
    ("validate", "headers"),
    [
        (openai_chat, {"authorization": "Bearer k"}),
        (anthropic_messages, {"authorization": "Bearer k", "anthropic-version": "2026-10-21"}),
    ],
)
def test_a_model_list_passes(validate, headers):
    request = ReceivedRequest(method="GET", target="/v1/models", headers=tuple(headers.items()), body=b"")
    assert validate(request) is None


def test_an_upstream_may_be_made_strict():
    assert FakeUpstream(validate=openai_chat).refused == []


# --- real clients -----------------------------------------------------------------------------------------------------

CLIENTS = Path(__file__).resolve().parents[2] / "tests/recordings/clients"
VALIDATORS = {"/v1/chat/completions": openai_compatible, "/v1/messages": anthropic_messages}


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(CLIENTS.rglob("*.json")) if re.search("chat-completions|-messages-", path.name)],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_what_real_clients_send_passes(path):
    recording = Recording.load(path)
    headers = {**recording.headers, "authorization": "Bearer test-key-1"}
    request = ReceivedRequest(
        method="POST", target=recording.target, headers=tuple(headers.items()), body=recording.request_body()
    )
    assert VALIDATORS[request.path](request) is None
