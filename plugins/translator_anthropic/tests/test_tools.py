import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from omniroute.api import (
    ChatRequest,
    Message,
    ResponseFormat,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from omniroute_translator_anthropic import AnthropicTranslator

LONGEST_S = 2.0
"""For one request, on a machine that is busy with other things; without a bound it would be hours."""
ASK = Message(role="user", parts=(TextPart(text="go"),))


def raw(value):
    return Raw(msgspec.json.encode(value))


def asked(*messages, model="some-model", **more):
    return ChatRequest(model=model, messages=(ASK, *messages), max_output_tokens=100, **more)


ADDRESS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
POINT = {"type": "object", "properties": {"city": {"type": "string"}, "lat": {"type": "number"}}, "required": ["lat"]}


@pytest.mark.parametrize(
    ("parameters", "schema", "losses"),
    [
        pytest.param(None, {"type": "object", "properties": {}}, [], id="none"),
        pytest.param({}, {"type": "object"}, [], id="an empty one"),
        pytest.param({"type": ["object", "null"]}, {"type": "object"}, [], id="an object or null"),
        pytest.param({"properties": {"a": {}}}, {"properties": {"a": {}}, "type": "object"}, [], id="no type"),
        pytest.param(True, {"type": "object", "properties": {}}, ["approximated /tools/0/parameters"], id="true"),
        pytest.param(
            {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}},
            {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}},
            [],
            id="a union further down is left alone",
        ),
        pytest.param(
            {"anyOf": [ADDRESS, POINT]},
            {"type": "object", "properties": {"city": {"type": "string"}, "lat": {"type": "number"}}},
            ["approximated /tools/0/parameters"],
            id="anyOf: nothing is required by both",
        ),
        pytest.param(
            {"allOf": [ADDRESS, POINT], "description": "Where."},
            {
                "type": "object",
                "description": "Where.",
                "properties": {"city": {"type": "string"}, "lat": {"type": "number"}},
                "required": ["city", "lat"],
            },
            ["approximated /tools/0/parameters"],
            id="allOf: all is required",
        ),
        pytest.param(
            {
                "$defs": {"A": ADDRESS, "B": {"oneOf": [{"$ref": "#/$defs/B"}]}},
                "oneOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}, {"$ref": "#/nowhere"}, 7],
            },
            {
                "$defs": {"A": ADDRESS, "B": {"oneOf": [{"$ref": "#/$defs/B"}]}},
                "type": "object",
                "properties": {"city": {"type": "string"}},
            },
            ["approximated /tools/0/parameters"] * 2,
            id="references, one of them a circle",
        ),
    ],
)
def test_a_tools_schema_is_an_object_without_unions_at_its_root(encode, parameters, schema, losses):
    tool = Tool(name="read", parameters=None if parameters is None else raw(parameters))
    sent, lost = encode(asked(tools=(tool,)))
    assert sent["tools"] == [{"name": "read", "input_schema": schema}]
    assert lost == losses


def branches(count, last, *, times):
    """Branches in branches: each leads to the next, several times."""
    names = [f"#/$defs/{at}" for at in range(count)]
    inner = {str(at): {"allOf": [{"$ref": name}] * times} for at, name in enumerate(names[1:])}
    return {"allOf": [{"$ref": names[0]}], "$defs": {**inner, str(count - 1): last}}


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(branches(5000, ADDRESS, times=1), id="further than Python's stack goes"),
        pytest.param(branches(30, ADDRESS, times=2), id="more ways than anybody can go"),
        pytest.param(
            branches(3, {"properties": {str(at): {} for at in range(10_000)}}, times=1000), id="a large one often"
        ),
    ],
)
def test_what_branches_beyond_all_measure_is_left_out_with_a_loss(encode, schema):
    began = time.monotonic()
    sent, lost = encode(asked(tools=(Tool(name="read", parameters=raw({**schema, "properties": {"own": {}}})),)))
    assert time.monotonic() - began < LONGEST_S
    assert sent["tools"][0]["input_schema"]["properties"]["own"] == {}
    assert lost == ["approximated /tools/0/parameters"] * 2


def test_a_schema_that_fits_is_sent_to_the_byte(translator):
    text = b'{ "type":"object", "properties":{"n":{"maximum":1e2}} }'
    outgoing = translator.encode_request(asked(tools=(Tool(name="t", parameters=Raw(text)),)))
    assert text in outgoing.body


def test_a_free_text_tool_takes_one_text(encode):
    sent, losses = encode(asked(tools=(Tool(name="patch", kind="custom", description="Patches."),)))
    assert sent["tools"][0]["input_schema"]["required"] == ["input"]
    assert losses == ["approximated /tools/0"]


def test_tools_that_run_elsewhere_are_left_out(encode):
    foreign = Tool(name="web_search", kind="builtin", provider_metadata={"openai-chat": {"declaration": raw({})}})
    sent, losses = encode(asked(tools=(foreign, Tool(name="read"), Tool(name="read"))))
    assert [tool["name"] for tool in sent["tools"]] == ["read"]
    assert losses == ["dropped /tools/0", "dropped /tools/2"]


@pytest.mark.parametrize(
    ("tools", "choice", "wire", "losses"),
    [
        ((), ToolChoice(mode="auto"), None, []),
        ((), ToolChoice(mode="required"), None, ["dropped /tool_choice"]),
        (("read",), None, None, []),
        (("read",), ToolChoice(parallel=False), {"type": "auto", "disable_parallel_tool_use": True}, []),
        (("read",), ToolChoice(parallel=True), {"type": "auto"}, []),
        (("read",), ToolChoice(mode="none", parallel=False), {"type": "none"}, []),
        (("read",), ToolChoice(mode="tool", name="gone"), {"type": "auto"}, ["dropped /tool_choice"]),
    ],
)
def test_the_choice_fits_the_tools(encode, tools, choice, wire, losses):
    sent, lost = encode(asked(tools=tuple(Tool(name=name) for name in tools), tool_choice=choice))
    assert sent.get("tool_choice") == wire
    assert lost == losses


@pytest.mark.parametrize(
    ("arguments", "sent_input", "losses"),
    [
        ("", {}, []),
        ("  ", {}, []),
        ("null", {}, []),
        ('{"a": 1}', {"a": 1}, []),
        ("[1]", {"input": "[1]"}, ["approximated /messages/1/content/0/arguments"]),
        ('{"a": ', {"input": '{"a": '}, ["approximated /messages/1/content/0/arguments"]),
        ('{"a": NaN}', {"input": '{"a": NaN}'}, ["approximated /messages/1/content/0/arguments"]),
        ("[" * 100_000, {"input": "[" * 100_000}, ["approximated /messages/1/content/0/arguments"]),
    ],
)
def test_arguments_become_an_object(encode, arguments, sent_input, losses):
    call = Message(role="assistant", parts=(ToolCallPart(id="c1", name="t", arguments=arguments),))
    sent, lost = encode(asked(call, Message(role="tool", parts=(ToolResultPart(call_id="c1"),))))
    assert sent["messages"][1]["content"][0]["input"] == sent_input
    assert lost == losses


def test_names_that_do_not_fit_are_changed_everywhere_and_can_be_restored(translator):
    name = "fs.read file"
    call = Message(role="assistant", parts=(ToolCallPart(id="c1", name=name, arguments="{}"),))
    result = Message(role="tool", parts=(ToolResultPart(call_id="c1"),))
    outgoing = translator.encode_request(
        asked(call, result, tools=(Tool(name=name), Tool(name="ok")), tool_choice=ToolChoice(mode="tool", name=name))
    )
    wire = msgspec.json.decode(outgoing.body)
    (sent,) = outgoing.tool_names
    assert outgoing.tool_names == {sent: name}
    assert wire["tools"][0]["name"] == wire["tool_choice"]["name"] == wire["messages"][1]["content"][0]["name"] == sent
    assert wire["tools"][1]["name"] == "ok"


@given(st.lists(st.text(min_size=1, max_size=200), min_size=1, max_size=8, unique=True))
def test_changed_names_fit_and_stay_distinct(names):
    outgoing = AnthropicTranslator().encode_request(asked(tools=tuple(Tool(name=name) for name in names)))
    sent = [tool["name"] for tool in msgspec.json.decode(outgoing.body)["tools"]]
    assert len(set(sent)) == len(names)
    assert [outgoing.tool_names.get(name, name) for name in sent] == names
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    assert all(set(name) <= allowed and 1 <= len(name) <= 128 for name in sent)


# --- structured output and the rest of the top level ------------------------------------------------------------------


def test_an_answers_schema_is_closed(encode):
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "object"}}}}
    wanted = ResponseFormat(kind="json_schema", name="answer", schema=raw(schema), strict=True)
    sent, losses = encode(asked(response_format=wanted))
    closed = sent["output_config"]["format"]["schema"]
    assert closed["additionalProperties"] is False
    assert closed["properties"]["a"]["items"]["additionalProperties"] is False
    assert losses == [
        "dropped /response_format/name",
        "dropped /response_format/strict",
        "approximated /response_format/schema",
    ]


def test_older_models_get_the_schema_in_the_system_text(encode):
    wanted = ResponseFormat(kind="json_schema", schema=raw({"type": "object", "x": 1}))
    sent, losses = encode(asked(model="claude-3-7-sonnet-20250219", response_format=wanted))
    assert '{"type":"object","x":1}' in sent["system"]
    assert "output_config" not in sent
    assert losses == ["approximated /response_format"]


def test_json_without_a_schema_is_asked_for_in_the_system_text(encode):
    system = Message(role="system", parts=(TextPart(text="Be brief."),))
    request = msgspec.structs.replace(asked(response_format=ResponseFormat(kind="json_object")), messages=(system, ASK))
    sent, losses = encode(request)
    first, added = sent["system"]
    assert first["text"] == "Be brief."
    assert "JSON object" in added["text"]
    assert losses == ["approximated /response_format"]


def test_user_and_kept_metadata_are_one_object(encode):
    extensions = {"anthropic": {"service_tier": raw("auto")}, "openai-chat": {"logit_bias": raw({}), "n": raw(2)}}
    sent, losses = encode(asked(user="u-1", extensions=extensions))
    assert sent["metadata"] == {"user_id": "u-1"}
    assert sent["service_tier"] == "auto"
    assert not {"logit_bias", "n"} & sent.keys()
    assert losses == ["dropped /logit_bias", "dropped /n"]


def test_metadata_beyond_the_user_goes_back(translator, decode):
    request = decode(metadata={"user_id": "u", "team": "t"})
    wire = msgspec.json.decode(translator.encode_request(request).body)
    assert wire["metadata"] == {"team": "t", "user_id": "u"}
