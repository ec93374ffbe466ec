"""What a client sends wrong: a 400 that says where and what, from the head as from the whole."""

import json
from typing import Any

import msgspec
import pytest

from omniroute.api import Headers, InvalidRequest, RequestHead
from omniroute_translator_openai_chat import OpenAIChat

TRANSLATOR = OpenAIChat()
NO_HEADERS = Headers({})
HI = {"role": "user", "content": "hi"}


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [HI], **fields}).encode()


def number(name: str, digits: bytes) -> bytes:
    return b'{"model":"m","messages":[{"role":"user","content":"hi"}],"' + name.encode() + b'":' + digits + b"}"


def refused(data: bytes, read: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read(data, {}, NO_HEADERS)
    assert caught.value.status == 400
    assert caught.value.text
    return caught.value


@pytest.mark.parametrize("read", [TRANSLATOR.read_head, TRANSLATOR.decode_request], ids=["head", "whole"])
@pytest.mark.parametrize(
    ("data", "param"),
    [
        pytest.param(b"", None, id="nothing"),
        pytest.param(b"{", None, id="cut short"),
        pytest.param(b"\xef\xbb\xbf" + body(), None, id="byte order mark"),
        pytest.param(body() + b"x", None, id="trailing bytes"),
        pytest.param(b"[]", None, id="a list"),
        pytest.param(b'{"model":"\xff","messages":[1]}', None, id="invalid UTF-8"),
        pytest.param(number("x", b"[" * 100_000 + b"]" * 100_000), None, id="nested too deeply"),
        pytest.param(number("temperature", b"NaN"), None, id="NaN"),
        pytest.param(number("max_tokens", b"Infinity"), None, id="Infinity"),
        pytest.param(number("max_tokens", b"1e999"), "max_tokens", id="1e999"),
        pytest.param(number("max_tokens", b"9" * 5000), "max_tokens", id="5000 digits"),
        pytest.param(number("temperature", b"1e999"), "temperature", id="temperature 1e999"),
        pytest.param(body(max_tokens=0), "max_tokens", id="0 tokens"),
        pytest.param(body(max_tokens=-1), "max_tokens", id="-1 tokens"),
        pytest.param(body(max_tokens=2**31), "max_tokens", id="2**31 tokens"),
        pytest.param(body(max_tokens=2**63), "max_tokens", id="2**63 tokens"),
        pytest.param(body(max_tokens="5"), "max_tokens", id="tokens as text"),
        pytest.param(body(max_tokens=1.5), "max_tokens", id="one and a half tokens"),
        pytest.param(body(max_completion_tokens=0), "max_completion_tokens", id="0 completion tokens"),
        pytest.param(body(temperature=2.1), "temperature", id="too hot"),
        pytest.param(body(temperature=-0.1), "temperature", id="too cold"),
        pytest.param(body(top_p=1.1), "top_p", id="top_p above 1"),
        pytest.param(body(presence_penalty=3), "presence_penalty", id="presence_penalty"),
        pytest.param(body(frequency_penalty=-3), "frequency_penalty", id="frequency_penalty"),
        pytest.param(body(seed="x"), "seed", id="seed as text"),
        pytest.param(body(stream="true"), "stream", id="stream as text"),
        pytest.param(body(n=2), "n", id="two answers"),
        pytest.param(body(n=0), "n", id="no answers"),
        pytest.param(body(model=""), "model", id="empty model"),
        pytest.param(body(model=None), "model", id="null model"),
        pytest.param(b'{"messages":[1]}', "model", id="no model"),
        pytest.param(b'{"model":"m"}', "messages", id="no messages"),
        pytest.param(body(messages=None), "messages", id="null messages"),
        pytest.param(body(messages=[]), "messages", id="empty messages"),
        pytest.param(b'{"model":"m","messages": [ \n ] }', "messages", id="empty messages with space"),
        pytest.param(body(messages="hi"), "messages", id="messages as text"),
    ],
)
def test_the_top_level_is_checked_by_the_head_already(data, param, read):
    assert refused(data, read).param == param


TOOL = {"type": "function", "function": {"name": "f"}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        pytest.param({"messages": [{"role": "robot", "content": "x"}]}, "/messages/0/role", id="role"),
        pytest.param({"messages": [{"content": "x"}]}, "/messages/0/role", id="no role"),
        pytest.param({"messages": [HI, 5]}, "/messages/1", id="a number for a message"),
        pytest.param({"messages": [{"role": "user"}]}, "/messages/0/content", id="no content"),
        pytest.param({"messages": [{"role": "user", "content": None}]}, "/messages/0/content", id="null content"),
        pytest.param(
            {"messages": [HI, {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "video"}]}]},
            "/messages/1/content/1/type",
            id="part",
        ),
        pytest.param(
            {"messages": [{"role": "assistant", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "/messages/0/content/0/type",
            id="part in the wrong role",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "/messages/0/content/0/text",
            id="text part without text",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///x"}}]}]},
            "/messages/0/content/0/image_url/url",
            id="image on a disk",
        ),
        pytest.param(
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,%%%"}}],
                    }
                ]
            },
            "/messages/0/content/0/image_url/url",
            id="image that is not base64",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "data:image/png,abc"}]}]},
            "/messages/0/content/0/image_url",
            id="data URL without base64",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"filename": "a"}}]}]},
            "/messages/0/content/0/file",
            id="file with nothing in it",
        ),
        pytest.param(
            {"messages": [HI, {"role": "tool", "tool_call_id": "c", "content": "x"}]},
            "/messages/1/tool_call_id",
            id="result without call",
        ),
        pytest.param(
            {"messages": [HI, {"role": "tool", "content": "x"}]}, "/messages/1/tool_call_id", id="result without id"
        ),
        pytest.param(
            {"messages": [HI, {"role": "function", "name": "f", "content": "x"}]},
            "/messages/1/name",
            id="legacy result without call",
        ),
        pytest.param(
            {"messages": [HI, {"role": "assistant", "tool_calls": [{"id": "c", "type": "function"}]}]},
            "/messages/1/tool_calls/0/function",
            id="call without function",
        ),
        pytest.param(
            {"messages": [HI, {"role": "assistant", "tool_calls": [{**CALL, "id": ""}]}]},
            "/messages/1/tool_calls/0/id",
            id="call without id",
        ),
        pytest.param({"tools": {}}, "tools", id="tools as an object"),
        pytest.param({"tools": [TOOL, {"type": "function"}]}, "/tools/1/function", id="tool without function"),
        pytest.param(
            {"tools": [{"type": "function", "function": {"name": ""}}]}, "/tools/0/function/name", id="nameless tool"
        ),
        pytest.param(
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
            "/tools/0/function/parameters",
            id="schema as a list",
        ),
        pytest.param(
            {"tools": [TOOL, {"type": "function", "function": {"name": "f", "parameters": {"$ref": "#"}}}]},
            "/tools/1/function/parameters/$ref",
            id="schema that is itself",
        ),
        pytest.param(
            {"functions": [{"name": "f", "parameters": {"not": {"$ref": "#"}}}]},
            "/functions/0/parameters/not/$ref",
            id="the same in a legacy function",
        ),
        pytest.param(
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": "x"}}},
            "/response_format/json_schema/schema",
            id="an answer's schema as a text",
        ),
        pytest.param({"tool_choice": "maybe"}, "tool_choice", id="tool_choice"),
        pytest.param({"tool_choice": {"type": "function"}}, "/tool_choice/function", id="choice of nothing"),
        pytest.param({"reasoning_effort": "huge"}, "reasoning_effort", id="effort"),
        pytest.param({"stop": [1]}, "/stop/0", id="stop"),
        pytest.param(
            {"response_format": {"type": "json_schema"}}, "/response_format/json_schema", id="format without schema"
        ),
    ],
)
def test_the_rest_is_named_by_its_pointer(fields, param):
    data = body(**fields)
    error = refused(data, TRANSLATOR.decode_request)
    assert error.param == param
    assert param in error.message
    TRANSLATOR.read_head(data, {}, NO_HEADERS)  # the head leaves it to the whole, or to the upstream


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(body(max_tokens="5"), ["max_tokens", "int", "str"], id="type"),
        pytest.param(body(n=3), ["n is 3", "one answer"], id="n"),
        pytest.param(body(messages=[{"role": "robot", "content": "x"}]), ["robot", "system, developer"], id="role"),
        pytest.param(
            b'{"model":"m","messages":[{"role":"user","content":"\\ud83d"}]}',
            ["other half"],
            id="half a surrogate pair",
        ),
    ],
)
def test_the_words_help_a_person(data, words):
    said = refused(data, TRANSLATOR.decode_request).text
    assert all(word in said for word in words), said


def test_nul_in_a_text_passes():
    request = TRANSLATOR.decode_request(body(messages=[{"role": "user", "content": "a\0b"}]), {}, NO_HEADERS)
    assert request.messages[0].parts[0].text == "a\0b"


@pytest.mark.parametrize(
    ("fields", "head"),
    [
        pytest.param({}, RequestHead(model="m"), id="the least"),
        pytest.param({"stream": True}, RequestHead(model="m", stream=True), id="stream"),
        pytest.param(
            {"max_tokens": 2**31 - 1}, RequestHead(model="m", max_output_tokens=2**31 - 1), id="largest limit"
        ),
        pytest.param(
            {"max_tokens": 5, "max_completion_tokens": 7}, RequestHead(model="m", max_output_tokens=7), id="both limits"
        ),
        pytest.param({"tools": [TOOL]}, RequestHead(model="m", has_tools=True), id="tools"),
        pytest.param({"tools": []}, RequestHead(model="m"), id="no tools"),
        pytest.param({"functions": [{"name": "f"}]}, RequestHead(model="m", has_tools=True), id="functions"),
        pytest.param({"messages": ["anything"]}, RequestHead(model="m"), id="messages are not looked into"),
    ],
)
def test_the_head_holds_what_routing_needs(fields, head):
    found = TRANSLATOR.read_head(body(**fields), {}, NO_HEADERS)
    assert msgspec.structs.replace(found, opening=(), turns=None) == head


def test_the_head_shows_how_the_conversation_begins():
    found = TRANSLATOR.read_head(body(tools=[TOOL]), {}, NO_HEADERS)
    assert json.loads(bytes(found.opening[0])) == [TOOL]
    assert json.loads(bytes(found.turns)) == [HI]


def test_renaming_leaves_every_other_value_byte_for_byte():
    data = b'{ "stream" :true,"model":"a", "messages": [ {"b" :1.0, "\\u00e9":"\\/"} ], "x":1e999}'
    renamed = TRANSLATOR.rename_model(data, 'up"stream/é')
    assert (
        renamed
        == '{ "stream" :true,"model":"up\\"stream/é", "messages": [ {"b" :1.0, "\\u00e9":"\\/"} ], "x":1e999}'.encode()
    )


@pytest.mark.parametrize("data", [b"", b"[]", b'{"a":', b'{"a":"\\ud800"}'])
def test_renaming_refuses_what_is_no_object(data):
    with pytest.raises(InvalidRequest):
        TRANSLATOR.rename_model(data, "m")
