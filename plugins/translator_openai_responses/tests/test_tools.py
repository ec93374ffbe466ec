"""Tools in namespaces, in the input and free-form ones: flat everywhere else, in their place again on the way back."""

import json
from typing import Any

import msgspec
import pytest

from omniroute.api import ChatRequest, Headers, InvalidRequest, ToolCallPart
from omniroute_translator_openai_responses import OpenAIResponses

TRANSLATOR = OpenAIResponses(now=lambda: 1_700_000_000.0, new_id=lambda: "fresh")
HI = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "name": name, "description": f"The tool {name}.", "parameters": SCHEMA, "strict": False}


def namespace(name: str, *tools: Any, description: str = "A space.") -> dict[str, Any]:
    return {"type": "namespace", "name": name, "description": description, "tools": list(tools)}


EXEC = {"type": "custom", "name": "exec", "description": "Runs.", "format": {"type": "text"}}
AGENTS = namespace("agents", function("close"), function("open"))
ADDITIONAL = {
    "type": "additional_tools",
    "role": "developer",
    "tools": [namespace("functions", EXEC, function("wait"), description=""), namespace("clock", function("now"))],
}


def decoded(*items: Any, **fields: Any) -> ChatRequest:
    body = msgspec.json.encode({"model": "m", "input": [*items, HI], **fields})
    return TRANSLATOR.decode_request(body, {}, Headers({}))


def encoded(request: ChatRequest, accept_request: Any) -> dict[str, Any]:
    outgoing = TRANSLATOR.encode_request(request)
    accept_request(outgoing.body)
    assert outgoing.losses == ()
    return json.loads(outgoing.body)


@pytest.mark.parametrize(
    ("items", "tools", "names"),
    [
        pytest.param([], [function("read"), AGENTS], ["read", "agents__close", "agents__open"], id="namespace"),
        pytest.param([ADDITIONAL], None, ["exec", "wait", "clock__now"], id="in the input"),
        pytest.param(
            [],
            [namespace("mcp__cal__", function("_create"))],
            ["mcp__cal__create"],
            id="underscores where the two are joined",
        ),
        pytest.param(
            [],
            [function("a__b"), namespace("a", function("b"))],
            ["a__b", "a__b_c8687a08"],
            id="two that join to one name",
        ),
        pytest.param([], [namespace("empty")], [], id="an empty namespace"),
    ],
)
def test_tools_are_one_flat_list_with_names_of_their_own(items, tools, names):
    assert [tool.name for tool in decoded(*items, tools=tools).tools] == names


@pytest.mark.parametrize(
    ("items", "tools"),
    [
        pytest.param([], [function("read"), AGENTS, EXEC, namespace("x", function("close2"))], id="namespaces"),
        pytest.param([ADDITIONAL], None, id="in the input"),
        pytest.param([ADDITIONAL], [function("read")], id="both"),
        pytest.param([{**ADDITIONAL, "tools": [function("read")]}], None, id="in the input, without a namespace"),
    ],
)
def test_tools_go_back_to_their_place(items, tools, accept_request):
    request = decoded(*items, tools=tools, tool_choice="auto", parallel_tool_calls=False)
    body = encoded(request, accept_request)
    assert body["input"] == [*items, HI]
    assert body.get("tools") == tools
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("auto", False)


CALL = {"type": "function_call", "call_id": "c", "name": "close", "namespace": "agents", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "ok"}


@pytest.mark.parametrize("tools", [[AGENTS], None], ids=["declared", "no longer declared"])
def test_a_call_keeps_its_namespace_in_histories(tools, accept_request):
    request = decoded(CALL, OUTPUT, tools=tools)
    part = request.messages[0].parts[0]
    assert isinstance(part, ToolCallPart)
    assert part.name == "agents__close"
    assert encoded(request, accept_request)["input"][:2] == [CALL, OUTPUT]


def test_a_call_in_the_default_namespace_goes_by_its_own_name(accept_request):
    call = {"type": "custom_tool_call", "call_id": "c", "name": "exec", "input": "ls"}
    output = {"type": "custom_tool_call_output", "call_id": "c", "output": "ok"}
    request = decoded(ADDITIONAL, call, output)
    assert request.messages[0].parts == (ToolCallPart(id="c", name="exec", arguments='{"input":"ls"}'),)
    assert encoded(request, accept_request)["input"] == [ADDITIONAL, call, output, HI]


def test_one_tool_may_be_chosen_with_its_namespace():
    choice = {"type": "function", "name": "close", "namespace": "agents"}
    request = decoded(tools=[AGENTS, function("other")], tool_choice=choice)
    assert request.tool_choice is not None
    assert request.tool_choice.name == "agents__close"
    assert json.loads(TRANSLATOR.encode_request(request).body)["tool_choice"] == choice


def test_an_answer_in_a_namespace_is_known_by_the_flat_name_and_restored():
    request = decoded(tools=[function("a__b"), namespace("a", function("b"))])
    plain, spaced = (tool.name for tool in request.tools)
    names = TRANSLATOR.encode_request(request).tool_names
    item = {**CALL, "name": "b", "namespace": "a", "id": "fc_1"}
    answer = TRANSLATOR.decode_response(json.dumps({"id": "resp_1", "status": "completed", "output": [item]}).encode())
    assert [names.get(part.name) for part in answer.parts] == [spaced]
    assert plain == "a__b"


def test_the_client_gets_calls_as_it_knows_its_tools(accept_stream, accept_response):
    request = decoded(ADDITIONAL, tools=[AGENTS])
    body = {"id": "resp_1", "model": "m", "status": "completed", "output": []}
    calls = [("agents__close", "{}"), ("exec", '{"input":"ls"}'), ("clock__now", '{"a":"b"}'), ("made_up", "{}")]
    response = msgspec.structs.replace(
        TRANSLATOR.decode_response(json.dumps(body).encode()),
        parts=tuple(ToolCallPart(id=f"c{n}", name=name, arguments=text) for n, (name, text) in enumerate(calls)),
        finish_reason="tool_calls",
    )
    told = accept_response(TRANSLATOR.encode_response(response, request))["output"]
    assert [(item["type"], item["name"], item.get("namespace"), item.get("input")) for item in told] == [
        ("function_call", "close", "agents", None),
        ("custom_tool_call", "exec", None, "ls"),
        ("function_call", "now", "clock", None),
        ("function_call", "made_up", None, None),
    ]


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ([{"type": "function"}], "/tools/0/name"),
        ([{"type": "custom", "name": ""}], "/tools/0/name"),
        ([namespace("a", {"type": "function"})], "/tools/0/tools/0/name"),
        ([{"type": "namespace"}], "/tools/0/name"),
        ([{"type": "function", "name": "a", "parameters": []}], "/tools/0/parameters"),
        ([{"name": "a"}], "/tools/0/type"),
        ([7], "/tools/0"),
        ({}, "tools"),
    ],
)
def test_a_broken_declaration_is_pointed_at(tools, param):
    with pytest.raises(InvalidRequest) as caught:
        decoded(tools=tools)
    assert caught.value.param == param
