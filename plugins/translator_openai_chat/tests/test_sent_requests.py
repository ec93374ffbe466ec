"""Requests of other dialects on their way to an upstream of this one: valid for the service, every change reported."""

import base64
import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from omniroute.api import (
    AudioPart,
    CacheMark,
    ChatRequest,
    FilePart,
    ImagePart,
    InvalidRequest,
    Message,
    Outgoing,
    Reasoning,
    ReasoningPart,
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
    TranslationRefused,
)
from omniroute_translator_openai_chat import OpenAIChat

TRANSLATOR = OpenAIChat()
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def said(role: Any, *parts: Any) -> Message:
    return Message(role=role, parts=tuple(TextPart(text=part) if isinstance(part, str) else part for part in parts))


def call(call_id: str, name: str = "f", arguments: str = "{}") -> ToolCallPart:
    return ToolCallPart(id=call_id, name=name, arguments=arguments)


def result(call_id: str, *parts: Any, is_error: bool = False) -> ToolResultPart:
    return ToolResultPart(
        call_id=call_id,
        parts=tuple(TextPart(text=part) if isinstance(part, str) else part for part in parts),
        is_error=is_error,
    )


HI = said("user", "hi")
HI_WIRE = {"role": "user", "content": "hi"}
IMAGE = ImagePart(media_type="image/png", data="AAAA")
IMAGE_WIRE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
F = Tool(name="f", parameters=Raw(b'{"type":"object","properties":{}}'))


def request(*messages: Message, **fields: Any) -> ChatRequest:
    return ChatRequest(model="m", messages=messages or (HI,), **fields)


def lost(outgoing: Outgoing) -> list[tuple[str, str]]:
    return [(loss.kind, loss.pointer) for loss in outgoing.losses]


def call_wire(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calls_wire(*ids: str) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [call_wire(call_id) for call_id in ids]}


def result_wire(call_id: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


@pytest.mark.parametrize(
    ("messages", "wire", "losses"),
    [
        pytest.param(
            [HI, said("assistant", call("a"), call("b")), said("tool", result("b", "2"), result("a", "1"))],
            [HI_WIRE, calls_wire("a", "b"), result_wire("a", "1"), result_wire("b", "2")],
            [],
            id="results stand in the order of the calls",
        ),
        pytest.param(
            [
                HI,
                said("assistant", call("a"), call("b")),
                said("tool", result("a", "1")),
                HI,
                said("tool", result("b")),
            ],
            [HI_WIRE, calls_wire("a", "b"), result_wire("a", "1"), result_wire("b", ""), HI_WIRE],
            [],
            id="a late result comes before the user's words",
        ),
        pytest.param(
            [
                HI,
                said("assistant", call("a"), call("b")),
                said("tool", result("a", "1", IMAGE), result("b", IMAGE)),
                HI,
            ],
            [
                HI_WIRE,
                calls_wire("a", "b"),
                result_wire("a", "1"),
                result_wire("b", ""),
                {"role": "user", "content": [IMAGE_WIRE, IMAGE_WIRE]},
                HI_WIRE,
            ],
            [("approximated", "/messages/2/content/0/content/1"), ("approximated", "/messages/2/content/1/content/0")],
            id="images of results follow all results of the turn",
        ),
        pytest.param(
            [HI, said("assistant", "x", call("a"), call("b")), said("tool", result("b", "2"))],
            [
                HI_WIRE,
                {**calls_wire("a", "b"), "content": "x"},
                result_wire("a", "(no result)"),
                result_wire("b", "2"),
            ],
            [("invented", "/messages/1")],
            id="a call without result gets one that says so",
        ),
        pytest.param(
            [HI, said("tool", result("gone", "late news")), HI],
            [HI_WIRE, {"role": "user", "content": "late news"}, HI_WIRE],
            [("approximated", "/messages/1/content/0")],
            id="a result without call becomes the user's words",
        ),
        pytest.param(
            [HI, said("assistant", call("a")), said("tool", result("a", "1"), result("a", "2"))],
            [HI_WIRE, calls_wire("a"), result_wire("a", "1")],
            [("dropped", "/messages/2/content/1")],
            id="the first of two results counts",
        ),
        pytest.param(
            [
                said("assistant", call("a")),
                said("tool", result("a", "1")),
                said("assistant", call("a")),
                said("tool", result("a", "2")),
            ],
            [calls_wire("a"), result_wire("a", "1"), calls_wire("a"), result_wire("a", "2")],
            [],
            id="an id that comes again belongs to its own turn",
        ),
        pytest.param(
            [said("assistant", call("a")), said("tool", result("a", "no such file", is_error=True))],
            [calls_wire("a"), result_wire("a", "Error: no such file")],
            [("approximated", "/messages/1/content/0/is_error")],
            id="a failed tool says so in its text",
        ),
        pytest.param(
            [said("assistant", call("a")), said("tool", result("a", "Error 5", "x", is_error=True))],
            [calls_wire("a"), result_wire("a", "Error 5\nx")],
            [("approximated", "/messages/1/content/0/is_error")],
            id="but not twice",
        ),
        pytest.param(
            [HI, said("assistant"), said("assistant", ""), said("user", ""), HI],
            [HI_WIRE, HI_WIRE],
            [],
            id="empty turns are left out",
        ),
        pytest.param(
            [said("system", "a", "b"), HI],
            [{"role": "system", "content": "a\n\nb"}, HI_WIRE],
            [],
            id="system blocks join with a blank line",
        ),
        pytest.param(
            [said("user", "a", "b")],
            [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
            [],
            id="a user's blocks stay blocks",
        ),
        pytest.param(
            [HI, said("assistant", "a", "b")],
            [HI_WIRE, {"role": "assistant", "content": "ab"}],
            [],
            id="what the assistant said is one text",
        ),
        pytest.param(
            [HI, said("assistant", ReasoningPart(text="hm"), "a")],
            [HI_WIRE, {"role": "assistant", "content": "a", "reasoning_content": "hm"}],
            [],
            id="open reasoning goes back",
        ),
        pytest.param(
            [
                HI,
                said("assistant", ReasoningPart(text="hm", provider_metadata={"anthropic": {"signature": "sig"}}), "a"),
            ],
            [HI_WIRE, {"role": "assistant", "content": "a"}],
            [("dropped", "/messages/1/content/0/signature"), ("dropped", "/messages/1/content/0")],
            id="signed reasoning stays with its vendor",
        ),
        pytest.param(
            [
                HI,
                said("assistant", ReasoningPart(text="hm", provider_metadata={"anthropic": {"signature": ""}}), "a"),
            ],
            [HI_WIRE, {"role": "assistant", "content": "a", "reasoning_content": "hm"}],
            [],
            id="an empty signature is none",
        ),
        pytest.param(
            [said("user", TextPart(text="a", cache=CacheMark(ttl="5m")))],
            [{"role": "user", "content": "a"}],
            [("dropped", "/messages/0/content/0/cache_control")],
            id="cache marks of other dialects go",
        ),
        pytest.param(
            [said("user", TextPart(text="a", provider_metadata={"anthropic": {"citations": {"enabled": True}}}))],
            [{"role": "user", "content": "a"}],
            [("dropped", "/messages/0/content/0/citations")],
            id="so do citations",
        ),
        pytest.param(
            [HI, said("assistant", TextPart(text="", provider_metadata={"anthropic": {"block": Raw(b"{}")}}), "a")],
            [HI_WIRE, {"role": "assistant", "content": "a"}],
            [("dropped", "/messages/1/content/0/block")],
            id="and blocks that only their dialect knows",
        ),
        pytest.param(
            [said("user", "a", FilePart(url="https://example.test/a.pdf"))],
            [{"role": "user", "content": "a"}],
            [("dropped", "/messages/0/content/1")],
            id="a document by URL has no form",
        ),
        pytest.param(
            [said("user", FilePart(media_type="text/plain", data=base64.b64encode(b"words").decode()))],
            [{"role": "user", "content": "words"}],
            [("approximated", "/messages/0/content/0")],
            id="a text document is text",
        ),
        pytest.param(
            [said("user", FilePart(media_type="application/pdf", data="AAAA"))],
            [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "file",
                            "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,AAAA"},
                        }
                    ],
                }
            ],
            [],
            id="a document needs a name",
        ),
        pytest.param(
            [said("user", AudioPart(format="mp3", data="AAAA"))],
            [
                {
                    "role": "user",
                    "content": [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}],
                }
            ],
            [],
            id="audio",
        ),
        pytest.param(
            [HI, said("assistant", "a", IMAGE)],
            [HI_WIRE, {"role": "assistant", "content": "a"}],
            [("dropped", "/messages/1/content/1")],
            id="an assistant has no images",
        ),
    ],
)
def test_histories_are_sent_in_the_order_the_service_wants(messages, wire, losses, accept_request):
    outgoing = TRANSLATOR.encode_request(request(*messages))
    body = json.loads(outgoing.body)
    assert body == {"model": "m", "messages": wire}
    assert lost(outgoing) == losses
    accept_request(body)


@pytest.mark.parametrize(
    ("fields", "wire", "losses"),
    [
        pytest.param(
            {"stream": True, "include_usage": False},
            {"stream": True, "stream_options": {"include_usage": True}},
            [],
            id="every stream is asked for usage",
        ),
        pytest.param({"sampling": Sampling(top_k=5)}, {}, [("dropped", "/top_k")], id="top_k"),
        pytest.param(
            {
                "extensions": {
                    "openai-responses": {
                        "metadata": Raw(b'{"a":"b"}'),
                        "safety_identifier": Raw(b'"s"'),
                        "service_tier": Raw(b'"flex"'),
                        "store": Raw(b"true"),
                        "text/verbosity": Raw(b'"low"'),
                        "prompt_cache_key": Raw(b'"k"'),
                        "truncation": Raw(b'"auto"'),
                    }
                }
            },
            {
                "metadata": {"a": "b"},
                "safety_identifier": "s",
                "service_tier": "flex",
                "store": True,
                "verbosity": "low",
            },
            [("dropped", "/prompt_cache_key"), ("dropped", "/truncation")],
            id="what the newer dialect shares",
        ),
        pytest.param(
            {"extensions": {"openai-responses": {"store": Raw(b"false")}}}, {}, [], id="nothing is stored anyway"
        ),
        pytest.param(
            {"extensions": {"anthropic": {"service_tier": Raw(b'"auto"')}}},
            {},
            [("dropped", "/service_tier")],
            id="another vendor's tier",
        ),
        pytest.param(
            {"reasoning": Reasoning(effort="none"), "extensions": {"openai-chat": {}}},
            {"reasoning_effort": "none"},
            [],
            id="no reasoning, said in this dialect",
        ),
        pytest.param(
            {"sampling": Sampling(stop=("a", "b", "c", "d", "e"))},
            {"stop": ["a", "b", "c", "d"]},
            [("dropped", "/stop/4")],
            id="four stop sequences",
        ),
        pytest.param(
            {"tool_choice": ToolChoice(mode="required", parallel=False)}, {}, [], id="no choice without tools"
        ),
        pytest.param(
            {
                "tools": (
                    Tool(name="search", kind="builtin", provider_metadata={"anthropic": {"declaration": Raw(b"{}")}}),
                )
            },
            {},
            [("dropped", "/tools/0")],
            id="another dialect's own tool",
        ),
        pytest.param(
            {
                "tools": (F, Tool(name="search", kind="builtin")),
                "tool_choice": ToolChoice(mode="tool", name="search", parallel=False),
            },
            {
                "tools": [
                    {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
                ],
                "parallel_tool_calls": False,
            },
            [("dropped", "/tools/1"), ("dropped", "/tool_choice")],
            id="a choice of a tool that is not sent",
        ),
        pytest.param(
            {"tools": (Tool(name="f", cache=CacheMark(), provider_metadata={"anthropic": {"defer_loading": True}}),)},
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            [("dropped", "/tools/0/cache_control"), ("dropped", "/tools/0/defer_loading")],
            id="marks on tools",
        ),
        pytest.param(
            {"tools": (Tool(name="patch", kind="custom", description="d"),)},
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "patch",
                            "description": "d",
                            "parameters": {
                                "type": "object",
                                "properties": {"input": {"type": "string"}},
                                "required": ["input"],
                            },
                        },
                    }
                ]
            },
            [("approximated", "/tools/0")],
            id="a free-form tool of another dialect is a function",
        ),
        pytest.param(
            {"reasoning": Reasoning(budget_tokens=8000, summary="auto")},
            {"reasoning_effort": "medium"},
            [("dropped", "/reasoning/summary"), ("approximated", "/reasoning/budget_tokens")],
            id="a budget becomes an effort",
        ),
        pytest.param(
            {"reasoning": Reasoning(effort="none")}, {}, [("approximated", "/reasoning/effort")], id="no reasoning"
        ),
        pytest.param({"reasoning": Reasoning()}, {}, [], id="reasoning as it likes"),
        pytest.param(
            {"response_format": ResponseFormat(kind="json_schema", schema=Raw(b'{"type":"object"}'))},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "response", "schema": {"type": "object"}},
                }
            },
            [],
            id="a schema needs a name",
        ),
        pytest.param(
            {"extensions": {"anthropic": {"container": Raw(b'"c"')}, "openai-chat": {"verbosity": Raw(b'"low"')}}},
            {"verbosity": "low"},
            [("dropped", "/container")],
            id="extensions go to their own dialect only",
        ),
    ],
)
def test_fields_are_sent_as_the_service_takes_them(fields, wire, losses, accept_request):
    outgoing = TRANSLATOR.encode_request(request(**fields))
    body = json.loads(outgoing.body)
    assert body == {"model": "m", "messages": [HI_WIRE], **wire}
    assert lost(outgoing) == losses
    accept_request(body)


@pytest.mark.parametrize(
    ("budget", "effort"),
    [
        (0, None),
        (1, "minimal"),
        (512, "minimal"),
        (1024, "low"),
        (8192, "medium"),
        (24_576, "high"),
        (99_999, "high"),
        (-1, None),
    ],
)
def test_a_thinking_budget_becomes_the_nearest_effort(budget, effort):
    body = json.loads(TRANSLATOR.encode_request(request(reasoning=Reasoning(budget_tokens=budget))).body)
    assert body.get("reasoning_effort") == effort


@pytest.mark.parametrize(
    ("model", "extensions", "name"),
    [
        pytest.param("llama-3.3-70b", {}, "max_tokens", id="any model"),
        pytest.param("gpt-4o", {}, "max_tokens", id="gpt-4"),
        pytest.param("gpt-oss-120b", {}, "max_tokens", id="an open model"),
        pytest.param("o3-mini", {}, "max_completion_tokens", id="o family"),
        pytest.param("gpt-5.1-codex", {}, "max_completion_tokens", id="gpt-5"),
        pytest.param("openai/gpt-6-sol", {}, "max_completion_tokens", id="behind a prefix"),
        pytest.param(
            "house-model",
            {"openai-chat": {"max_completion_tokens": True}},
            "max_completion_tokens",
            id="the provider says so",
        ),
    ],
)
def test_the_limit_goes_out_under_the_name_the_model_takes(model, extensions, name):
    sent = ChatRequest(model=model, messages=(HI,), max_output_tokens=9, extensions=extensions)
    body = json.loads(TRANSLATOR.encode_request(sent).body)
    assert {key: value for key, value in body.items() if key.startswith("max_")} == {name: 9}


@pytest.mark.parametrize(
    ("schema", "sent"),
    [
        (b'{"type": "object"}', {"type": "object", "properties": {}}),
        (b"{}", {"type": "object", "properties": {}}),
        (
            b'{"type":"object","additionalProperties":false}',
            {"type": "object", "additionalProperties": False, "properties": {}},
        ),
        (b'{"$ref": "#/$defs/a"}', {"$ref": "#/$defs/a"}),
        (b'{"type": "string"}', {"type": "string"}),
    ],
)
def test_an_object_schema_always_has_properties(schema, sent):
    body = json.loads(TRANSLATOR.encode_request(request(tools=(Tool(name="f", parameters=Raw(schema)),))).body)
    assert body["tools"][0]["function"]["parameters"] == sent


def test_a_long_user_id_is_shortened_the_same_way_every_time():
    first, second = (TRANSLATOR.encode_request(request(user="u" * 200)) for _ in range(2))
    assert len(json.loads(first.body)["user"]) == 64
    assert first.body == second.body
    assert lost(first) == [("approximated", "/user")]


def test_long_call_ids_are_shortened_alike_in_call_and_result():
    long, other = "toolu_" + "x" * 80, "toolu_" + "x" * 81
    outgoing = TRANSLATOR.encode_request(
        request(said("assistant", call(long), call(other)), said("tool", result(long, "1"), result(other, "2")))
    )
    assistant, first, second = json.loads(outgoing.body)["messages"]
    ids = [wire["id"] for wire in assistant["tool_calls"]]
    assert [first["tool_call_id"], second["tool_call_id"]] == ids
    assert len(set(ids)) == 2
    assert all(len(call_id) <= 64 for call_id in ids)


def test_an_allow_list_of_tools_is_sent_only_with_tools():
    written = Raw(b'{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}}')
    fields = {"tool_choice": ToolChoice(), "extensions": {"openai-chat": {"tool_choice": written}}}
    assert "tool_choice" not in json.loads(TRANSLATOR.encode_request(request(**fields)).body)
    with_tools = TRANSLATOR.encode_request(request(tools=(F,), **fields))
    assert json.loads(with_tools.body)["tool_choice"] == json.loads(bytes(written))


def test_a_custom_tool_of_this_dialect_is_called_in_its_own_form(accept_request):
    declaration = Raw(b'{"type":"custom","custom":{"name":"patch"}}')
    patch = Tool(name="patch", kind="custom", provider_metadata={"openai-chat": {"declaration": declaration}})
    sent = request(
        said("assistant", call("a", "patch", '{"input":"two\\nlines"}')),
        said("tool", result("a", "ok")),
        tools=(patch,),
        tool_choice=ToolChoice(mode="tool", name="patch"),
    )
    body = json.loads(TRANSLATOR.encode_request(sent).body)
    assert body["tools"] == [{"type": "custom", "custom": {"name": "patch"}}]
    assert body["tool_choice"] == {"type": "custom", "custom": {"name": "patch"}}
    assert body["messages"][0]["tool_calls"] == [
        {"id": "a", "type": "custom", "custom": {"name": "patch", "input": "two\nlines"}}
    ]
    accept_request(body)


def test_names_the_service_refuses_are_replaced_everywhere_and_returned():
    bad = "fs.read_file"
    sent = request(
        said("assistant", call("a", bad), call("b", "gone tool")),
        said("tool", result("a", "1"), result("b", "2")),
        tools=(Tool(name=bad), Tool(name="fine")),
        tool_choice=ToolChoice(mode="tool", name=bad),
    )
    outgoing = TRANSLATOR.encode_request(sent)
    body = json.loads(outgoing.body)
    (name,) = (sent for sent, known in outgoing.tool_names.items() if known == bad)
    assert set(outgoing.tool_names.values()) == {bad, "gone tool"}
    assert [tool["function"]["name"] for tool in body["tools"]] == [name, "fine"]
    assert body["tool_choice"]["function"]["name"] == name
    assert body["messages"][0]["tool_calls"][0]["function"]["name"] == name


@settings(deadline=None)
@given(st.lists(st.one_of(st.text(), st.from_regex(r"[a-z._]{60,70}", fullmatch=True)), unique=True, min_size=1))
def test_tool_names_are_a_bijection_onto_names_the_service_takes(names):
    outgoing = TRANSLATOR.encode_request(request(tools=tuple(Tool(name=name) for name in names)))
    sent = [tool["function"]["name"] for tool in json.loads(outgoing.body)["tools"]]
    assert all(NAME.fullmatch(name) for name in sent)
    assert [outgoing.tool_names.get(name, name) for name in sent] == names


def test_a_name_made_to_look_like_a_substitute_stays_distinct():
    (substitute,) = TRANSLATOR.encode_request(request(tools=(Tool(name="a.b"),))).tool_names
    outgoing = TRANSLATOR.encode_request(request(tools=(Tool(name="a.b"), Tool(name=substitute))))
    first, second = (tool["function"]["name"] for tool in json.loads(outgoing.body)["tools"])
    assert second == substitute
    assert outgoing.tool_names == {first: "a.b"}


def test_a_request_in_which_nobody_says_anything_is_refused():
    with pytest.raises(InvalidRequest) as caught:
        TRANSLATOR.encode_request(request(said("user", "")))
    assert caught.value.param == "/messages"


def test_a_stored_answer_cannot_be_continued():
    with pytest.raises(TranslationRefused) as caught:
        TRANSLATOR.encode_request(request(previous_response_id="resp_1"))
    assert caught.value.param == "previous_response_id"


def test_the_same_request_is_encoded_to_the_same_bytes():
    sent = request(tools=(F, Tool(name="x.y")), user="u", sampling=Sampling(temperature=1.0))
    assert TRANSLATOR.encode_request(sent) == TRANSLATOR.encode_request(msgspec.structs.replace(sent))
