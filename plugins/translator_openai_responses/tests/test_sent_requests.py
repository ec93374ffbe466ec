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
)
from omniroute.testing import ReceivedRequest
from omniroute.testing.strict import openai_responses
from omniroute_translator_openai_responses import OpenAIResponses

TRANSLATOR = OpenAIResponses()
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
CHAT = "openai-chat"
OWN = "openai-responses"


def raw(value: object) -> Raw:
    return Raw(msgspec.json.encode(value))


def said(role: Any, *parts: Any, name: str | None = None) -> Message:
    contents = tuple(TextPart(text=part) if isinstance(part, str) else part for part in parts)
    return Message(role=role, parts=contents, name=name)


def call(call_id: str, name: str = "f", arguments: str = "{}", **metadata: Any) -> ToolCallPart:
    return ToolCallPart(id=call_id, name=name, arguments=arguments, provider_metadata=metadata)


def result(call_id: str, *parts: Any, is_error: bool = False) -> ToolResultPart:
    contents = tuple(TextPart(text=part) if isinstance(part, str) else part for part in parts)
    return ToolResultPart(call_id=call_id, parts=contents, is_error=is_error)


def request(*messages: Message, **fields: Any) -> ChatRequest:
    return ChatRequest(model="m", messages=messages or (HI,), **fields)


def item(role: str, *content: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [shown(part) for part in content]}


def shown(part: Any) -> Any:
    return {"type": "input_text", "text": part} if isinstance(part, str) else part


def call_wire(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def output_wire(call_id: str, output: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def answer(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": text}


def lost(outgoing: Outgoing) -> list[tuple[str, str]]:
    return [(loss.kind, loss.pointer) for loss in outgoing.losses]


HI = said("user", "hi")
HI_WIRE = item("user", "hi")
IMAGE = ImagePart(media_type="image/png", data="AAAA")
IMAGE_WIRE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"}
F = Tool(name="f", parameters=Raw(b'{"type":"object","properties":{}}'))
SIGNED = ReasoningPart(text="Hm.", provider_metadata={"anthropic": {"signature": "c2ln"}})
MINE = ReasoningPart(text="Hm.", provider_metadata={OWN: {"encrypted_content": "c2Vh", "id": "rs_1"}})
MINE_WIRE = {
    "type": "reasoning",
    "id": "rs_1",
    "encrypted_content": "c2Vh",
    "summary": [{"type": "summary_text", "text": "Hm."}],
}

# --- fields -------------------------------------------------------------------------------------------------------------

FIELDS = [
    pytest.param({}, {"store": False}, [], id="nothing is stored"),
    pytest.param({"stream": True}, {"store": False, "stream": True}, [], id="stream"),
    pytest.param(
        {"max_output_tokens": 5},
        {"store": False, "max_output_tokens": 16},
        [("approximated", "/max_output_tokens")],
        id="a small limit",
    ),
    pytest.param({"max_output_tokens": 16}, {"store": False, "max_output_tokens": 16}, [], id="the smallest limit"),
    pytest.param(
        {"sampling": Sampling(temperature=1.5, top_p=0.5)},
        {"store": False, "temperature": 1.5, "top_p": 0.5},
        [],
        id="sampling",
    ),
    pytest.param(
        {"sampling": Sampling(top_k=5, stop=("x",), seed=1, presence_penalty=0.5, frequency_penalty=0.0)},
        {"store": False},
        [
            ("dropped", f"/{name}")
            for name in ("top_k", "seed", "presence_penalty", "frequency_penalty", "stop")
        ],
        id="sampling of others",
    ),
    pytest.param({"user": "u"}, {"store": False, "user": "u"}, [], id="user"),
    pytest.param(
        {"reasoning": Reasoning(effort="high")},
        {
            "store": False,
            "include": ["reasoning.encrypted_content"],
            "reasoning": {"effort": "high", "summary": "auto"},
        },
        [],
        id="effort",
    ),
    *(
        pytest.param(
            {"reasoning": Reasoning(budget_tokens=budget)},
            {
                "store": False,
                "include": ["reasoning.encrypted_content"],
                "reasoning": {"effort": effort, "summary": "auto"},
            },
            [("approximated", "/reasoning/budget_tokens")],
            id=f"budget {budget}",
        )
        for budget, effort in ((1, "minimal"), (512, "minimal"), (1024, "low"), (8192, "medium"), (24_576, "high"))
    ),
    pytest.param(
        {"reasoning": Reasoning(budget_tokens=-1, summary="detailed")},
        {"store": False, "include": ["reasoning.encrypted_content"], "reasoning": {"summary": "detailed"}},
        [("approximated", "/reasoning/budget_tokens")],
        id="a budget of its own",
    ),
    pytest.param(
        {"reasoning": Reasoning(adaptive=True, summary="omitted")},
        {"store": False, "include": ["reasoning.encrypted_content"]},
        [],
        id="reasoning that is not to be shown",
    ),
    *(
        pytest.param(
            {"reasoning": reasoning}, {"store": False}, [("approximated", "/reasoning/effort")], id=f"off {number}"
        )
        for number, reasoning in enumerate((Reasoning(effort="none"), Reasoning(budget_tokens=0)))
    ),
    pytest.param(
        {"response_format": ResponseFormat(kind="json_schema", schema=raw({"type": "object"}))},
        {"store": False, "text": {"format": {"type": "json_schema", "name": "response", "schema": {"type": "object"}}}},
        [],
        id="schema without a name",
    ),
    pytest.param(
        {"response_format": ResponseFormat(kind="json_object")},
        {"store": False, "text": {"format": {"type": "json_object"}}},
        [],
        id="json",
    ),
    pytest.param(
        {
            "extensions": {
                CHAT: {
                    "prompt_cache_key": raw("k"),
                    "safety_identifier": raw("s"),
                    "service_tier": raw("flex"),
                    "metadata": raw({"a": "b"}),
                    "store": raw(True),
                    "verbosity": raw("low"),
                    "logit_bias": raw({}),
                }
            }
        },
        {
            "store": True,
            "prompt_cache_key": "k",
            "safety_identifier": "s",
            "service_tier": "flex",
            "metadata": {"a": "b"},
            "text": {"verbosity": "low"},
        },
        [("dropped", "/logit_bias")],
        id="what the sister dialect shares",
    ),
    pytest.param(
        {"extensions": {CHAT: {"store": raw(True)}}, "reasoning": Reasoning(effort="low")},
        {"store": True, "reasoning": {"effort": "low", "summary": "auto"}},
        [],
        id="stored reasoning need not come along",
    ),
    pytest.param(
        {"extensions": {"anthropic": {"metadata": raw({"x": 1}), "container": raw("c")}}},
        {"store": False},
        [("dropped", "/metadata"), ("dropped", "/container")],
        id="what others have",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "wire", "losses"), FIELDS)
def test_fields_say_what_they_mean_here(fields, wire, losses, accept_request):
    outgoing = TRANSLATOR.encode_request(request(**fields))
    accept_request(outgoing.body)
    assert json.loads(outgoing.body) == {"model": "m", "input": [HI_WIRE], **wire}
    assert lost(outgoing) == losses


def test_a_long_user_id_is_shortened(accept_request):
    outgoing = TRANSLATOR.encode_request(request(user="u" * 100))
    accept_request(outgoing.body)
    assert len(json.loads(outgoing.body)["user"]) == 64
    assert lost(outgoing) == [("approximated", "/user")]


@pytest.mark.parametrize("model", ["gpt-5.5", "o3-mini", "vendor/gpt-6-sol", "gpt-12"])
def test_models_that_reason_get_no_sampling(model, accept_request):
    asked = msgspec.structs.replace(request(sampling=Sampling(temperature=0.5, top_p=1.0)), model=model)
    outgoing = TRANSLATOR.encode_request(asked)
    accept_request(outgoing.body)
    body = json.loads(outgoing.body)
    assert ("temperature" in body, body["top_p"]) == (False, 1)
    assert lost(outgoing) == [("dropped", "/temperature")]


def test_a_client_of_this_dialect_is_left_its_sampling():
    asked = msgspec.structs.replace(request(sampling=Sampling(temperature=0.5)), model="gpt-5.5", extensions={OWN: {}})
    assert json.loads(TRANSLATOR.encode_request(asked).body)["temperature"] == 0.5


@pytest.mark.parametrize("stream", [True, False])
def test_options_of_a_stream_go_with_a_stream_only(stream, accept_request):
    options = {"include_obfuscation": False}
    outgoing = TRANSLATOR.encode_request(request(stream=stream, extensions={OWN: {"stream_options": raw(options)}}))
    accept_request(outgoing.body)
    assert json.loads(outgoing.body).get("stream_options") == (options if stream else None)


# --- turns --------------------------------------------------------------------------------------------------------------

TURNS = [
    pytest.param([said("system", "a"), said("system", "b", "c"), HI], "a\n\nb\n\nc", [HI_WIRE], [], id="system text"),
    pytest.param(
        [said("system", "a"), said("developer", "d"), said("system", "b"), HI],
        "a",
        [item("developer", "d"), item("system", "b"), HI_WIRE],
        [],
        id="system text in the middle stays there",
    ),
    pytest.param([said("system", "a")], None, [item("system", "a")], [], id="nothing but system text"),
    pytest.param(
        [said("user", "a", IMAGE, "b")], None, [item("user", "a", IMAGE_WIRE, "b")], [], id="an image among words"
    ),
    pytest.param(
        [HI, said("assistant", "a", "b"), said("user", "c", name="Ann")],
        None,
        [HI_WIRE, answer("a"), answer("b"), item("user", "c")],
        [("dropped", "/messages/2/name")],
        id="assistant",
    ),
    pytest.param(
        [HI, said("assistant"), said("user"), HI], None, [HI_WIRE, HI_WIRE], [], id="empty messages are left out"
    ),
    pytest.param(
        [HI, said("assistant", "x", IMAGE)],
        None,
        [HI_WIRE, answer("x")],
        [("dropped", "/messages/1/content/1")],
        id="the assistant's image",
    ),
    pytest.param(
        [said("user", AudioPart(format="wav", data="AAAA"), "hi")],
        None,
        [item("user", "[left out: audio (wav)]", "hi")],
        [("dropped", "/messages/0/content/0")],
        id="audio",
    ),
    pytest.param(
        [said("user", FilePart(media_type="text/plain", data=base64.b64encode(b"words").decode()))],
        None,
        [item("user", "words")],
        [("approximated", "/messages/0/content/0")],
        id="a text document",
    ),
    pytest.param(
        [said("user", FilePart(media_type="image/png", data="AAAA"))],
        None,
        [item("user", IMAGE_WIRE)],
        [],
        id="an image sent as a file",
    ),
    pytest.param(
        [said("user", FilePart(data="AAAA"))],
        None,
        [item("user", {"type": "input_file", "filename": "document.pdf", "file_data": "data:application/pdf;base64,AAAA"})],
        [],
        id="a document without a name",
    ),
    pytest.param(
        [said("user", FilePart(file_id="file_1", provider_metadata={"anthropic": {"block": raw({})}}))],
        None,
        [item("user", "[left out: file that was uploaded elsewhere]")],
        [("dropped", "/messages/0/content/0/block"), ("dropped", "/messages/0/content/0")],
        id="a file uploaded elsewhere",
    ),
    pytest.param(
        [said("user", TextPart(text="a", cache=CacheMark(ttl="1h")))],
        None,
        [item("user", "a")],
        [("dropped", "/messages/0/content/0/cache_control")],
        id="a cache mark of another form",
    ),
]  # fmt: skip

LOOPS = [
    pytest.param(
        [HI, said("assistant", "a", call("1"), call("2")), said("tool", result("2", "y"), result("1", "x")), HI],
        [HI_WIRE, answer("a"), call_wire("1"), call_wire("2"), output_wire("1", "x"), output_wire("2", "y"), HI_WIRE],
        [],
        id="results in the order of their calls",
    ),
    pytest.param(
        [HI, said("assistant", call("1", arguments="")), said("tool", result("1"))],
        [HI_WIRE, call_wire("1"), output_wire("1", "")],
        [],
        id="no arguments and no result text",
    ),
    pytest.param(
        [HI, said("assistant", call("1")), said("tool", result("1", "x", IMAGE))],
        [HI_WIRE, call_wire("1"), output_wire("1", [shown("x"), IMAGE_WIRE])],
        [],
        id="an image in a result",
    ),
    pytest.param(
        [HI, said("assistant", call("1"), call("2")), said("tool", result("1", "boom", is_error=True)), HI],
        [
            HI_WIRE,
            call_wire("1"),
            call_wire("2"),
            output_wire("1", "Error: boom"),
            output_wire("2", "(no result)"),
            HI_WIRE,
        ],
        [("approximated", "/messages/2/content/0/is_error"), ("invented", "/messages/1")],
        id="an error, and no result",
    ),
    pytest.param(
        [HI, said("assistant", call("1")), said("tool", result("1", IMAGE, is_error=True))],
        [HI_WIRE, call_wire("1"), output_wire("1", [shown("Error:"), IMAGE_WIRE])],
        [("approximated", "/messages/2/content/0/is_error")],
        id="an error without words",
    ),
    pytest.param(
        [HI, said("assistant", call("1")), said("tool", result("1", "x"), result("1", "y"))],
        [HI_WIRE, call_wire("1"), output_wire("1", "x")],
        [("dropped", "/messages/2/content/1")],
        id="a second result",
    ),
    pytest.param(
        [HI, said("assistant", call("1"), call("1")), said("tool", result("1", "x"), result("1", "y"))],
        [HI_WIRE, call_wire("1"), call_wire("1_2"), output_wire("1", "x"), output_wire("1_2", "y")],
        [],
        id="two calls with one id",
    ),
    pytest.param(
        [HI, said("assistant", call("1", arguments='{"a')), said("tool", result("1", "x"))],
        [HI_WIRE, call_wire("1", arguments='{"input":"{\\"a"}'), output_wire("1", "x")],
        [("approximated", "/messages/1/content/0/arguments")],
        id="arguments that are no object",
    ),
    pytest.param(
        [HI, said("tool", result("gone", "x"))],
        [HI_WIRE, item("user", "x")],
        [("approximated", "/messages/1/content/0")],
        id="a result without its call",
    ),
    pytest.param(
        [HI, said("assistant", call("1")), said("user", result("1", "x"), "and")],
        [HI_WIRE, call_wire("1"), output_wire("1", "x"), item("user", "and")],
        [],
        id="a result in the user's turn",
    ),
    pytest.param(
        [HI, said("assistant", MINE, call("1")), said("tool", result("1", "x"))],
        [HI_WIRE, MINE_WIRE, call_wire("1"), output_wire("1", "x")],
        [],
        id="reasoning of this dialect",
    ),
    pytest.param(
        [HI, said("assistant", SIGNED, "a"), HI],
        [HI_WIRE, answer("a"), HI_WIRE],
        [("dropped", "/messages/1/content/0/signature"), ("dropped", "/messages/1/content/0")],
        id="reasoning signed by another vendor",
    ),
    pytest.param(
        [HI, said("assistant", ReasoningPart(text="Hm."), "a"), HI],
        [HI_WIRE, answer("a"), HI_WIRE],
        [("dropped", "/messages/1/content/0")],
        id="open reasoning",
    ),
    pytest.param(
        [HI, said("assistant", "a", MINE), HI],
        [HI_WIRE, answer("a"), HI_WIRE],
        [("dropped", "/messages/1/content/1")],
        id="reasoning that nothing follows",
    ),
    pytest.param(
        [HI, said("assistant", call("1", gemini={"thought_signature": "c2ln"})), said("tool", result("1", "x"))],
        [HI_WIRE, call_wire("1"), output_wire("1", "x")],
        [("dropped", "/messages/1/content/0/thought_signature")],
        id="a call signed by another vendor",
    ),
]


@pytest.mark.parametrize(("messages", "instructions", "items", "losses"), TURNS)
def test_turns_are_valid(messages, instructions, items, losses, accept_request):
    outgoing = TRANSLATOR.encode_request(request(*messages))
    accept_request(outgoing.body)
    body = json.loads(outgoing.body)
    assert (body.get("instructions"), body["input"]) == (instructions, items)
    assert lost(outgoing) == losses


@pytest.mark.parametrize(("messages", "items", "losses"), LOOPS)
def test_tool_loops_are_valid(messages, items, losses, accept_request):
    outgoing = TRANSLATOR.encode_request(request(*messages, tools=(F,)))
    accept_request(outgoing.body)
    assert json.loads(outgoing.body)["input"] == items
    assert lost(outgoing) == losses


def test_a_refusal_of_the_sister_dialect_stays_one(accept_request):
    part = TextPart(text="No.", provider_metadata={CHAT: {"refusal": True}})
    outgoing = TRANSLATOR.encode_request(request(HI, said("assistant", part)))
    accept_request(outgoing.body)
    assert json.loads(outgoing.body)["input"][1]["content"] == [{"type": "refusal", "refusal": "No."}]
    assert outgoing.losses == ()


def test_results_of_a_stored_answers_calls_stay_results(accept_request):
    outgoing = TRANSLATOR.encode_request(request(said("tool", result("c", "x")), previous_response_id="resp_1"))
    accept_request(outgoing.body)
    assert json.loads(outgoing.body)["input"] == [output_wire("c", "x")]
    assert outgoing.losses == ()


@pytest.mark.parametrize("messages", [[said("user")], [said("assistant", IMAGE)], [said("system")]])
def test_nothing_to_send_is_refused(messages):
    with pytest.raises(InvalidRequest):
        TRANSLATOR.encode_request(request(*messages))


# --- tools --------------------------------------------------------------------------------------------------------------

CUSTOM = Tool(name="c", kind="custom", provider_metadata={CHAT: {"declaration": raw({})}})
CUSTOM_WIRE = {"type": "custom", "name": "c"}
BUILTIN = Tool(name="bash", kind="builtin", provider_metadata={"anthropic": {"declaration": raw({})}})
F_WIRE = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False}

TOOLS = [
    pytest.param((F,), {}, [F_WIRE], {}, [], id="function"),
    pytest.param((Tool(name="f"),), {}, [F_WIRE], {}, [], id="without parameters"),
    pytest.param((Tool(name="f", parameters=Raw(b'{"type":"object"}')),), {}, [F_WIRE], {}, [], id="without properties"),
    pytest.param((CUSTOM,), {}, [CUSTOM_WIRE], {}, [("dropped", "/tools/0/declaration")], id="custom"),
    pytest.param((BUILTIN, F), {}, [F_WIRE], {}, [("dropped", "/tools/0")], id="another's builtin"),
    pytest.param(
        (F, CUSTOM),
        {"tool_choice": ToolChoice(mode="tool", name="c", parallel=False)},
        [F_WIRE, CUSTOM_WIRE],
        {"tool_choice": {"type": "custom", "name": "c"}, "parallel_tool_calls": False},
        [("dropped", "/tools/1/declaration")],
        id="a custom one is chosen",
    ),
    pytest.param(
        (F,),
        {"tool_choice": ToolChoice(mode="tool", name="gone")},
        [F_WIRE],
        {},
        [("dropped", "/tool_choice")],
        id="one that is not there is chosen",
    ),
    pytest.param(
        (), {"tool_choice": ToolChoice(mode="required")}, None, {}, [("dropped", "/tool_choice")], id="none to choose from"
    ),
    pytest.param((), {"tool_choice": ToolChoice(mode="auto", parallel=True)}, None, {}, [], id="no choice without tools"),
]  # fmt: skip


@pytest.mark.parametrize(("tools", "fields", "declared", "choice", "losses"), TOOLS)
def test_tools_are_declared_as_the_service_wants_them(tools, fields, declared, choice, losses, accept_request):
    outgoing = TRANSLATOR.encode_request(request(tools=tools, **fields))
    accept_request(outgoing.body)
    body = json.loads(outgoing.body)
    assert body.get("tools") == declared
    assert {name: body[name] for name in ("tool_choice", "parallel_tool_calls") if name in body} == choice
    assert lost(outgoing) == losses


def test_a_custom_tools_calls_go_back_as_free_text(accept_request):
    turn = said("assistant", call("1", "c", '{"input":"+ é\\n"}'), call("2", "c", "no json"))
    outgoing = TRANSLATOR.encode_request(
        request(HI, turn, said("tool", result("1", "x"), result("2", "y")), tools=(CUSTOM,))
    )
    accept_request(outgoing.body)
    assert json.loads(outgoing.body)["input"][1:] == [
        {"type": "custom_tool_call", "call_id": "1", "name": "c", "input": "+ é\n"},
        {"type": "custom_tool_call", "call_id": "2", "name": "c", "input": "no json"},
        {"type": "custom_tool_call_output", "call_id": "1", "output": "x"},
        {"type": "custom_tool_call_output", "call_id": "2", "output": "y"},
    ]


TOOL_NAMES = st.lists(st.text(min_size=1, max_size=80) | st.sampled_from(["fs.read", "fs_read", "fs/read"]), max_size=6)


@settings(deadline=None)
@given(TOOL_NAMES)
def test_tool_names_are_a_bijection_that_can_be_undone(names):
    distinct = tuple(dict.fromkeys(names))
    turn = said("assistant", *(call(f"c{n}", name) for n, name in enumerate(distinct)))
    tools = tuple(Tool(name=name) for name in distinct)
    outgoing = TRANSLATOR.encode_request(request(HI, turn, tools=tools))
    body = json.loads(outgoing.body)
    sent = [tool["name"] for tool in body.get("tools", ())]
    assert all(NAME.fullmatch(name) for name in sent)
    assert [outgoing.tool_names.get(name, name) for name in sent] == list(distinct)
    assert [entry["name"] for entry in body["input"] if entry["type"] == "function_call"] == sent


# --- whatever comes -----------------------------------------------------------------------------------------------------

CALL_IDS = st.sampled_from(["a", "b", "c", "x" * 80])
ANY_PART = (
    st.builds(TextPart, text=st.text(max_size=5))
    | st.just(IMAGE)
    | st.just(MINE)
    | st.just(SIGNED)
    | st.builds(call, CALL_IDS, st.sampled_from(["f", "c", "odd name"]), st.sampled_from(["{}", "", "null", "[]", "{"]))
    | st.builds(result, CALL_IDS, st.text(max_size=5), is_error=st.booleans())
)
ANY_HISTORY = st.lists(
    st.builds(
        lambda role, parts: said(role, *parts),
        st.sampled_from(["system", "developer", "user", "assistant", "tool"]),
        st.lists(ANY_PART, max_size=4),
    ),
    max_size=6,
)


@settings(deadline=None, max_examples=400)
@given(ANY_HISTORY, st.booleans())
def test_any_history_becomes_a_request_the_service_takes(messages, is_own):
    extensions = {OWN: {"store": Raw(b"false")}} if is_own else {}
    try:
        outgoing = TRANSLATOR.encode_request(request(HI, *messages, tools=(F, CUSTOM), extensions=extensions))
    except InvalidRequest:
        return
    headers = (("content-type", "application/json"), ("authorization", "Bearer test-key-1"))
    received = ReceivedRequest(method="POST", target="/v1/responses", headers=headers, body=outgoing.body)
    assert openai_responses(received) is None
