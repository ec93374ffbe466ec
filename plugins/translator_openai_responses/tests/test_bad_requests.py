"""Bodies that break a rule: refused before anything is sent, with the place and the rule."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omniroute.api import Headers, InvalidRequest
from omniroute_translator_openai_responses import OpenAIResponses

TRANSLATOR = OpenAIResponses()
NO_HEADERS = Headers({})
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}


def user(*content: Any) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": list(content)}]}


def one(**item: Any) -> dict[str, Any]:
    return {"input": [item]}


HEADS = [
    pytest.param({"model": None}, "model", id="no model"),
    pytest.param({"model": ""}, "model", id="empty model"),
    pytest.param({"model": 7}, "model", id="model of a wrong type"),
    pytest.param({"input": None}, "input", id="no input"),
    pytest.param({"input": []}, "input", id="empty input"),
    pytest.param({"input": {}}, "input", id="input of a wrong type"),
    pytest.param({"stream": "yes"}, "stream", id="stream"),
    pytest.param({"max_output_tokens": 0}, "max_output_tokens", id="limit of 0"),
    pytest.param({"max_output_tokens": 2**40}, "max_output_tokens", id="limit beyond all limits"),
    pytest.param({"max_output_tokens": 1.5}, "max_output_tokens", id="half a token"),
    pytest.param({"temperature": 2.1}, "temperature", id="temperature"),
    pytest.param({"top_p": -0.1}, "top_p", id="top_p"),
    pytest.param({"previous_response_id": 5}, "previous_response_id", id="a stored answer"),
]
BODIES = [
    pytest.param({"background": True}, "background", id="background"),
    pytest.param({"conversation": "conv_1"}, "conversation", id="conversation"),
    pytest.param({"conversation": {"id": "conv_1"}}, "conversation", id="conversation object"),
    pytest.param({"prompt": {"id": "pmpt_1"}}, "prompt", id="prompt"),
    pytest.param({"instructions": []}, "instructions", id="instructions"),
    pytest.param({"reasoning": {"effort": "huge"}}, "/reasoning/effort", id="effort"),
    pytest.param({"reasoning": "low"}, "reasoning", id="reasoning"),
    pytest.param({"text": 5}, "text", id="text"),
    pytest.param({"text": {"format": {}}}, "/text/format/type", id="format without a type"),
    pytest.param({"tool_choice": "maybe"}, "tool_choice", id="choice"),
    pytest.param({"tool_choice": {"type": "function"}}, "/tool_choice/name", id="choice without a name"),
    pytest.param({"input": [7]}, "/input/0", id="an item of a wrong type"),
    pytest.param(one(type="item_reference", id="msg_1"), "/input/0", id="a reference"),
    pytest.param(one(id="msg_1"), "/input/0", id="a reference without type"),
    pytest.param(one(type="made_up"), "/input/0/type", id="an unknown item"),
    pytest.param(one(type=5), "/input/0/type", id="a type of a wrong type"),
    pytest.param(one(role="robot", content="hi"), "/input/0/role", id="an unknown role"),
    pytest.param(one(role="user"), "/input/0/content", id="no content"),
    pytest.param(one(type="function_call", name="f"), "/input/0/call_id", id="a call without id"),
    pytest.param(one(**{**CALL, "call_id": ""}), "/input/0/call_id", id="a call with an empty id"),
    pytest.param(one(**{**CALL, "name": ""}), "/input/0/name", id="a call without a name"),
    pytest.param(one(**{**CALL, "arguments": {}}), "/input/0/arguments", id="arguments as an object"),
    pytest.param(
        one(type="custom_tool_call", call_id="c", name="f"), "/input/0/input", id="a custom call without input"
    ),
    pytest.param(one(type="function_call_output", output="x"), "/input/0/call_id", id="an output without id"),
    pytest.param(
        one(type="function_call_output", call_id="c", output=5), "/input/0/output", id="an output of a wrong type"
    ),
    pytest.param(
        one(type="function_call_output", call_id="c", output=[{"type": "made_up"}]),
        "/input/0/output/0/type",
        id="an unknown part in an output",
    ),
    pytest.param(one(type="function_call_output", call_id="c", output="x"), "/input/0/call_id", id="an orphan output"),
    pytest.param(
        {"input": [CALL, {"type": "custom_tool_call_output", "call_id": "d", "output": "x"}]},
        "/input/1/call_id",
        id="an output of another call",
    ),
    pytest.param(
        {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}, CALL]},
        "/input/0/call_id",
        id="an output before its call",
    ),
    pytest.param(
        {"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f", "parameters": []}]}]},
        "/tools/0/tools/0/parameters",
        id="a schema that is a list",
    ),
    pytest.param(
        {"tools": [{"type": "function", "name": "f", "parameters": {"$ref": "#"}}]},
        "/tools/0/parameters/$ref",
        id="a schema that is itself",
    ),
    pytest.param(
        {"text": {"format": {"type": "json_schema", "name": "a", "schema": {"allOf": [{"$ref": "#"}]}}}},
        "/text/format/schema/allOf/0/$ref",
        id="an answer's schema that is itself",
    ),
    pytest.param(one(type="reasoning", summary="x"), "/input/0/summary", id="a summary of a wrong type"),
    pytest.param(user({"type": "made_up"}), "/input/0/content/0/type", id="an unknown part"),
    pytest.param(user({"type": "input_text"}), "/input/0/content/0/text", id="text without text"),
    pytest.param(user({"type": "input_image"}), "/input/0/content/0", id="image of nothing"),
    pytest.param(user({"type": "input_image", "image_url": "ftp://x"}), "/input/0/content/0/image_url", id="image URL"),
    pytest.param(
        user({"type": "input_image", "image_url": "data:image/png;base64,?"}),
        "/input/0/content/0/image_url",
        id="base64",
    ),
    pytest.param(
        user({"type": "input_image", "image_url": "data:image/png,abc"}), "/input/0/content/0/image_url", id="no base64"
    ),
    pytest.param(user({"type": "input_file", "filename": "x"}), "/input/0/content/0", id="file of nothing"),
    pytest.param(user({"type": "input_file", "file_data": ""}), "/input/0/content/0/file_data", id="empty file"),
    pytest.param(
        user({"type": "input_audio", "input_audio": {"data": "?", "format": "wav"}}),
        "/input/0/content/0/input_audio/data",
        id="audio",
    ),
]


@pytest.mark.parametrize(("fields", "param"), HEADS)
def test_a_bad_head_is_pointed_at_by_both_readers(fields, param):
    body = json.dumps({"model": "m", "input": "hi", **fields}).encode()
    for read in (TRANSLATOR.read_head, TRANSLATOR.decode_request):
        with pytest.raises(InvalidRequest) as caught:
            read(body, {}, NO_HEADERS)
        assert caught.value.param == param
        assert caught.value.message


@pytest.mark.parametrize(("fields", "param"), BODIES)
def test_a_bad_body_is_pointed_at(fields, param):
    with pytest.raises(InvalidRequest) as caught:
        TRANSLATOR.decode_request(json.dumps({"model": "m", "input": "hi", **fields}).encode(), {}, NO_HEADERS)
    assert caught.value.param == param
    assert caught.value.message


def test_an_orphan_output_says_what_to_do():
    body = {"model": "m", **one(type="function_call_output", call_id="gone", output="x")}
    with pytest.raises(InvalidRequest, match="answers no call: 'gone'") as caught:
        TRANSLATOR.decode_request(json.dumps(body).encode(), {}, NO_HEADERS)
    assert caught.value.fix


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"previous_response_id": "resp_1"}, id="a call the upstream has stored"),
        pytest.param({"input": [{"type": "local_shell_call", "call_id": "c", "id": "lsh_1"}]}, id="a shell's call"),
        pytest.param({"input": [{"type": "local_shell_call", "call_id": None, "id": "c"}]}, id="one by its own id"),
    ],
)
def test_an_output_may_answer_what_only_this_dialect_knows(fields):
    answered = {"type": "function_call_output", "call_id": "c", "output": "x"}
    body = {"model": "m", **fields, "input": [*fields.get("input", []), answered]}
    request = TRANSLATOR.decode_request(json.dumps(body).encode(), {}, NO_HEADERS)
    assert [part.call_id for message in request.messages if message.role == "tool" for part in message.parts] == ["c"]


def test_half_a_surrogate_pair_is_explained():
    with pytest.raises(InvalidRequest) as caught:
        TRANSLATOR.decode_request(b'{"model":"m","input":"\\ud83d"}', {}, NO_HEADERS)
    assert "other half" in (caught.value.why or "")


@settings(deadline=None, max_examples=300)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "type",
                        "role",
                        "content",
                        "input",
                        "tools",
                        "text",
                        "call_id",
                        "name",
                        "output",
                        "arguments",
                        "summary",
                        "encrypted_content",
                        "format",
                        "namespace",
                        "id",
                        "image_url",
                        "reasoning",
                    ]
                ),
                inner | st.sampled_from(["message", "function_call", "reasoning", "namespace", "user", "input_text"]),
            )
        ),
        max_leaves=20,
    )
)
def test_any_json_is_read_or_refused(value):
    body = json.dumps({"model": "m", "input": value, "tools": value, "text": value}).encode()
    for read in (TRANSLATOR.read_head, TRANSLATOR.decode_request):
        with contextlib.suppress(InvalidRequest):
            read(body, {}, NO_HEADERS)
