"""One table of (wire, canonical) pairs: decoding reads the first as the second, encoding writes it back.

What is encoded is held against the official SDK's own types.
"""

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from omniroute.api import (
    AudioPart,
    CacheMark,
    ChatRequest,
    FilePart,
    Headers,
    ImagePart,
    Loss,
    Message,
    Reasoning,
    ReasoningPart,
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from omniroute_translator_openai_chat import OpenAIChat

TRANSLATOR = OpenAIChat(now=lambda: 1_700_000_000.0, new_id=lambda: "fresh")
NO_HEADERS = Headers({})
DIALECT = "openai-chat"


def raw(value: object) -> Raw:
    return Raw(msgspec.json.encode(value))


def text(value: str) -> TextPart:
    return TextPart(text=value)


def said(role: Any, *parts: Any, name: str | None = None) -> Message:
    return Message(role=role, parts=parts, name=name)


HI = said("user", text("hi"))
HI_WIRE = {"role": "user", "content": "hi"}
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
READ = Tool(name="read", description="Reads.", parameters=raw(SCHEMA), strict=True)
READ_WIRE = {
    "type": "function",
    "function": {"name": "read", "description": "Reads.", "parameters": SCHEMA, "strict": True},
}


def call_wire(call_id: str, name: str = "read", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def call(call_id: str, name: str = "read", arguments: str = "{}") -> ToolCallPart:
    return ToolCallPart(id=call_id, name=name, arguments=arguments)


FIELDS = [
    pytest.param({"max_tokens": 5}, {"max_output_tokens": 5}, id="max_tokens"),
    pytest.param(
        {"temperature": 0.5, "top_p": 0.9, "seed": -7, "presence_penalty": -2, "frequency_penalty": 2},
        {"sampling": Sampling(temperature=0.5, top_p=0.9, seed=-7, presence_penalty=-2.0, frequency_penalty=2.0)},
        id="sampling",
    ),
    pytest.param({"stop": ["a", "b"]}, {"sampling": Sampling(stop=("a", "b"))}, id="stop list"),
    pytest.param({"user": "u-1"}, {"user": "u-1"}, id="user"),
    pytest.param(
        {"safety_identifier": "s-1"},
        {"user": "s-1", "extensions": {DIALECT: {"safety_identifier": raw("s-1")}}},
        id="safety_identifier",
    ),
    pytest.param(
        {"prompt_cache_key": "k"},
        {"session": "k", "extensions": {DIALECT: {"prompt_cache_key": raw("k")}}},
        id="prompt_cache_key names the session",
    ),
    pytest.param({"reasoning_effort": "xhigh"}, {"reasoning": Reasoning(effort="xhigh")}, id="reasoning_effort"),
    pytest.param(
        {"response_format": {"type": "json_object"}},
        {"response_format": ResponseFormat(kind="json_object")},
        id="json_object",
    ),
    pytest.param(
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "city", "description": "A city.", "schema": SCHEMA, "strict": True},
            }
        },
        {
            "response_format": ResponseFormat(
                kind="json_schema", name="city", description="A city.", schema=raw(SCHEMA), strict=True
            )
        },
        id="json_schema",
    ),
    pytest.param(
        {"service_tier": "flex", "metadata": {"a": "b"}, "logit_bias": {"1": 2}, "verbosity": "low"},
        {
            "extensions": {
                DIALECT: {
                    "service_tier": raw("flex"),
                    "metadata": raw({"a": "b"}),
                    "logit_bias": raw({"1": 2}),
                    "verbosity": raw("low"),
                }
            }
        },
        id="fields without a canonical home",
    ),
    pytest.param({"tools": [READ_WIRE]}, {"tools": (READ,)}, id="function tool"),
    pytest.param(
        {"tools": [{"type": "function", "function": {"name": "noop"}}]},
        {"tools": (Tool(name="noop"),)},
        id="tool without parameters",
    ),
    pytest.param(
        {"tools": [{"type": "custom", "custom": {"name": "patch", "format": {"type": "text"}}}]},
        {
            "tools": (
                Tool(
                    name="patch",
                    kind="custom",
                    provider_metadata={
                        DIALECT: {
                            "declaration": raw(
                                {"type": "custom", "custom": {"name": "patch", "format": {"type": "text"}}}
                            )
                        }
                    },
                ),
            )
        },
        id="custom tool",
    ),
    *(
        pytest.param(
            {"tools": [READ_WIRE], "tool_choice": wire},
            {"tools": (READ,), "tool_choice": choice},
            id=f"tool_choice {choice.mode}",
        )
        for wire, choice in (
            ("auto", ToolChoice(mode="auto")),
            ("none", ToolChoice(mode="none")),
            ("required", ToolChoice(mode="required")),
            ({"type": "function", "function": {"name": "read"}}, ToolChoice(mode="tool", name="read")),
        )
    ),
    pytest.param(
        {"tools": [READ_WIRE], "tool_choice": "auto", "parallel_tool_calls": False},
        {"tools": (READ,), "tool_choice": ToolChoice(mode="auto", parallel=False)},
        id="no parallel calls",
    ),
    pytest.param({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}, id="stream with usage"),
]

PNG = "iVBORw0KGgo="
MESSAGES = [
    pytest.param(
        [{"role": "system", "content": "S"}, {"role": "developer", "content": "D"}, HI_WIRE],
        [said("system", text("S")), said("developer", text("D")), HI],
        id="system and developer in their places",
    ),
    pytest.param([{"role": "user", "content": "hi", "name": "ann"}], [said("user", text("hi"), name="ann")], id="name"),
    pytest.param(
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "a"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "https://example.test/a.png"}},
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                    {"type": "file", "file": {"file_id": "file-1"}},
                    {
                        "type": "file",
                        "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
                    },
                ],
            }
        ],
        [
            said(
                "user",
                text("a"),
                ImagePart(media_type="image/png", data=PNG, detail="low"),
                ImagePart(url="https://example.test/a.png"),
                AudioPart(format="wav", data="AAAA"),
                FilePart(file_id="file-1"),
                FilePart(media_type="application/pdf", name="a.pdf", data="AAAA"),
            )
        ],
        id="every kind of user part",
    ),
    pytest.param(
        [
            {
                "role": "user",
                "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
            }
        ],
        [
            said(
                "user",
                TextPart(
                    text="a",
                    cache=CacheMark(ttl="1h"),
                    provider_metadata={DIALECT: {"cache_control": raw({"type": "ephemeral", "ttl": "1h"})}},
                ),
            )
        ],
        id="a cache mark on a part",
    ),
    pytest.param(
        [
            HI_WIRE,
            {
                "role": "assistant",
                "content": "T",
                "reasoning_content": "R",
                "tool_calls": [call_wire("c1", arguments='{"path": "a"}'), call_wire("c2")],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {"role": "tool", "tool_call_id": "c2", "content": ""},
            {"role": "user", "content": "go on"},
        ],
        [
            HI,
            said(
                "assistant",
                ReasoningPart(text="R"),
                text("T"),
                call("c1", arguments='{"path": "a"}'),
                call("c2"),
            ),
            said(
                "tool",
                ToolResultPart(call_id="c1", parts=(text("one"),)),
                ToolResultPart(call_id="c2"),
            ),
            said("user", text("go on")),
        ],
        id="parallel calls and their results",
    ),
    pytest.param(
        [HI_WIRE, {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
        [HI, said("assistant", TextPart(text="no", provider_metadata={DIALECT: {"refusal": True}}))],
        id="refusal",
    ),
    pytest.param(
        [
            HI_WIRE,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {**call_wire("c1"), "extra_content": {"google": {"thought_signature": "sig"}}},
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "x"},
        ],
        [
            HI,
            said(
                "assistant",
                ToolCallPart(
                    id="c1",
                    name="read",
                    arguments="{}",
                    provider_metadata={
                        DIALECT: {"extra_content": {}},
                        "gemini": {"thought_signature": "sig"},
                    },
                ),
            ),
            said("tool", ToolResultPart(call_id="c1", parts=(text("x"),))),
        ],
        id="a thought signature on a call",
    ),
]


def decode(wire: dict[str, Any], headers: Headers = NO_HEADERS) -> ChatRequest:
    return TRANSLATOR.decode_request(msgspec.json.encode(wire), {}, headers)


def encode(request: ChatRequest) -> dict[str, Any]:
    return json.loads(TRANSLATOR.encode_request(request).body)


@pytest.mark.parametrize(("wire", "fields"), FIELDS)
def test_a_field_decodes_to_its_canonical_home_and_back(wire, fields, accept_request):
    body = {"model": "m", "messages": [HI_WIRE], **wire}
    request = ChatRequest(model="m", messages=(HI,), **fields)
    assert decode(body) == request
    assert encode(request) == body
    assert TRANSLATOR.encode_request(request).losses == ()
    accept_request(body)


@pytest.mark.parametrize(("wire", "messages"), MESSAGES)
def test_messages_decode_to_canonical_messages_and_back(wire, messages, accept_request):
    body = {"model": "m", "messages": wire}
    request = ChatRequest(model="m", messages=tuple(messages))
    assert decode(body) == request
    assert encode(request) == body
    assert TRANSLATOR.encode_request(request).losses == ()
    accept_request(body)


def decoded_messages(*messages: dict[str, Any]) -> tuple[Message, ...]:
    return decode({"model": "m", "messages": list(messages)}).messages


@pytest.mark.parametrize(
    ("wire", "fields"),
    [
        pytest.param({"stop": "a"}, {"sampling": Sampling(stop=("a",))}, id="stop as a string"),
        pytest.param({"max_completion_tokens": 7}, {"max_output_tokens": 7}, id="max_completion_tokens"),
        pytest.param({"stream": True}, {"stream": True, "include_usage": False}, id="stream without usage"),
        pytest.param(
            {"temperature": None, "tools": None, "tool_choice": None, "service_tier": None, "n": 1},
            {},
            id="null is the same as nothing, n 1 too",
        ),
        pytest.param({"response_format": {"type": "text"}}, {}, id="text format is the default"),
        pytest.param({"tool_choice": "any"}, {"tool_choice": ToolChoice(mode="required")}, id="any is required"),
        pytest.param({"parallel_tool_calls": False}, {"tool_choice": ToolChoice(parallel=False)}, id="parallel alone"),
        pytest.param(
            {"tool_choice": {"type": "custom", "custom": {"name": "patch"}}},
            {"tool_choice": ToolChoice(mode="tool", name="patch")},
            id="a custom tool chosen",
        ),
        pytest.param(
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": []}}},
            {
                "tool_choice": ToolChoice(mode="required"),
                "extensions": {
                    DIALECT: {
                        "tool_choice": Raw(b'{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[]}}')
                    }
                },
            },
            id="an allow-list rides along",
        ),
        pytest.param(
            {"response_format": {"type": "grammar"}},
            {"extensions": {DIALECT: {"response_format": raw({"type": "grammar"})}}},
            id="an unknown format rides along",
        ),
        pytest.param(
            {"functions": [{"name": "read"}], "function_call": {"name": "read"}},
            {
                "tools": (Tool(name="read", provider_metadata={DIALECT: {"legacy": True}}),),
                "tool_choice": ToolChoice(mode="tool", name="read"),
            },
            id="functions are tools",
        ),
        pytest.param(
            {"tools": [{"type": "web_search", "size": 1}]},
            {
                "tools": (
                    Tool(
                        name="web_search",
                        kind="builtin",
                        provider_metadata={DIALECT: {"declaration": raw({"type": "web_search", "size": 1})}},
                    ),
                )
            },
            id="a tool of the server's own",
        ),
    ],
)
def test_other_forms_of_a_field_are_understood(wire, fields):
    decoded = decode({"model": "m", "messages": [HI_WIRE], **wire})
    assert decoded == ChatRequest(model="m", messages=(HI,), **fields)


def test_two_different_limits_keep_the_newer_name_and_report_the_other():
    request = decode({"model": "m", "messages": [HI_WIRE], "max_tokens": 5, "max_completion_tokens": 7})
    assert request.max_output_tokens == 7
    assert [loss.pointer for loss in request.losses] == ["/max_tokens"]


@pytest.mark.parametrize(("wire", "messages"), MESSAGES)
@pytest.mark.parametrize(("value", "lost"), [(None, False), (1, True)], ids=["null", "set"])
def test_fields_that_nobody_knows_change_nothing_else(wire, messages, value, lost):
    request = decode({"model": "m", "messages": [{**message, "x_new": value} for message in wire]})
    assert request.messages == tuple(messages)
    places = [f"/messages/{position}/x_new" for position in range(len(wire))] if lost else []
    assert [loss.pointer for loss in request.losses] == places


def test_fields_of_messages_that_nobody_knows_are_reported():
    request = decode({"model": "m", "messages": [HI_WIRE, {"role": "assistant", "content": "a", "audio": {"id": "x"}}]})
    assert [loss.pointer for loss in request.losses] == ["/messages/1/audio"]


def test_an_image_url_may_be_a_bare_string_and_a_data_url_may_have_parameters():
    url = f"data:image/svg+xml;charset=utf-8;base64,{PNG}"
    (message,) = decoded_messages({"role": "user", "content": [{"type": "image_url", "image_url": url}]})
    assert message.parts == (ImagePart(media_type="image/svg+xml", data=PNG),)


def test_text_and_images_of_a_tool_message_both_arrive():
    *_, result = decoded_messages(
        HI_WIRE,
        {"role": "assistant", "tool_calls": [call_wire("c1")]},
        {
            "role": "tool",
            "tool_call_id": "c1",
            "content": [
                {"type": "text", "text": "t"},
                {"type": "image_url", "image_url": {"url": "https://example.test/a.png"}},
            ],
        },
    )
    parts = (text("t"), ImagePart(url="https://example.test/a.png"))
    assert result.parts == (ToolResultPart(call_id="c1", parts=parts),)


def test_empty_arguments_mean_an_empty_object():
    _, message = decoded_messages(HI_WIRE, {"role": "assistant", "tool_calls": [call_wire("c1", arguments="")]})
    assert message.parts == (call("c1", arguments="{}"),)


def test_the_input_of_a_custom_call_travels_as_arguments():
    wire = {"id": "c1", "type": "custom", "custom": {"name": "patch", "input": 'say "hi"\n'}}
    _, message = decoded_messages(HI_WIRE, {"role": "assistant", "tool_calls": [wire]})
    assert message.parts == (call("c1", "patch", '{"input":"say \\"hi\\"\\n"}'),)


def test_legacy_calls_and_results_are_paired_by_name_in_order():
    messages = decoded_messages(
        HI_WIRE,
        {"role": "assistant", "content": None, "function_call": {"name": "read", "arguments": "{}"}},
        {"role": "function", "name": "read", "content": "one"},
        {"role": "assistant", "content": None, "function_call": {"name": "read", "arguments": "{}"}},
        {"role": "function", "name": "read", "content": "two"},
    )
    first, second = (message.parts[0].id for message in messages if message.role == "assistant")
    assert first != second
    results = [part for message in messages if message.role == "tool" for part in message.parts]
    assert [(part.call_id, part.name, part.parts[0].text) for part in results] == [
        (first, "read", "one"),
        (second, "read", "two"),
    ]


@pytest.mark.parametrize(
    ("names", "session"),
    [
        pytest.param({"x-session-id": "a", "x-session-affinity": "b"}, "a", id="session id first"),
        pytest.param({"x-session-affinity": "b"}, "b", id="then affinity"),
        pytest.param({}, "k", id="then the cache key"),
    ],
)
def test_the_session_comes_from_headers_before_the_body(names, session):
    headers = Headers({name.encode(): value.encode() for name, value in names.items()})
    body = {"model": "m", "messages": [HI_WIRE], "prompt_cache_key": "k"}
    assert decode(body, headers).session == session
    assert TRANSLATOR.read_head(json.dumps(body).encode(), {}, headers).session == session


def test_schemas_and_arguments_keep_their_bytes():
    schema = b'{ "type" : "object",  "properties":{"\\u00e9": {"type":"number", "minimum": 1.0}} }'
    arguments = '{ "a" :1.0, "b": "\\u00e9" }'
    body = (
        b'{"model":"m","messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"c",'
        b'"type":"function","function":{"name":"f","arguments":' + json.dumps(arguments).encode() + b"}}]},"
        b'{"role":"tool","tool_call_id":"c","content":"y"}],'
        b'"tools":[{"type":"function","function":{"name":"f","parameters":' + schema + b"}}]}"
    )
    request = TRANSLATOR.decode_request(body, {}, NO_HEADERS)
    assert bytes(request.tools[0].parameters) == schema
    assert schema in TRANSLATOR.encode_request(request).body
    sent = json.loads(TRANSLATOR.encode_request(request).body)
    assert sent["messages"][1]["tool_calls"][0]["function"]["arguments"] == arguments


def test_a_decoding_loss_is_not_reported_twice():
    request = msgspec.structs.replace(
        ChatRequest(model="m", messages=(HI,)), losses=(Loss(pointer="/a", kind="dropped", reason="r"),)
    )
    assert TRANSLATOR.encode_request(request).losses == ()
