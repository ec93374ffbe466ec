"""Canonical requests that need more than to be written down: each becomes one that the service accepts."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
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
    ReasoningPart,
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)

HI = Message(role="user", parts=(TextPart(text="hi"),))
HI_WIRE = {"role": "user", "parts": [{"text": "hi"}]}
PNG = ImagePart(media_type="image/png", data="aGk=")
PNG_WIRE = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
READ = Tool(name="read")
PLACEHOLDER = "skip_thought_signature_validator"


def said(role, *parts, **more):
    return Message(
        role=role, parts=tuple(TextPart(text=part) if isinstance(part, str) else part for part in parts), **more
    )


def call(call_id, name="read", arguments="{}", **metadata):
    return ToolCallPart(id=call_id, name=name, arguments=arguments, provider_metadata=metadata)


def result(call_id, *parts, **more):
    return ToolResultPart(
        call_id=call_id, parts=tuple(TextPart(text=part) if isinstance(part, str) else part for part in parts), **more
    )


def asked(*messages, model="gemini-2.5-flash", **more):
    return ChatRequest(model=model, messages=messages, **more)


def call_wire(call_id, name="read", args=None, **more):
    return {"functionCall": {"id": call_id, "name": name, "args": args or {}}, **more}


def result_wire(call_id, response, name="read", **more):
    return {"functionResponse": {"id": call_id, "name": name, "response": response, **more}}


def user(*parts):
    return {"role": "user", "parts": list(parts)}


def model(*parts):
    return {"role": "model", "parts": list(parts)}


# --- turns ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "contents", "losses"),
    [
        pytest.param(
            [said("user", "a"), said("user", "b"), said("assistant", "c"), said("assistant", "d"), HI],
            [user({"text": "a"}, {"text": "b"}), model({"text": "c"}, {"text": "d"}), HI_WIRE],
            [],
            id="turns of one role are joined",
        ),
        pytest.param(
            [said("user", "a"), said("assistant", ""), said("user", "", "b")],
            [user({"text": "a"}, {"text": "b"})],
            [],
            id="empty turns and texts are left out",
        ),
        pytest.param(
            [said("assistant", "hello"), HI],
            [user({"text": "(The conversation begins with the assistant.)"}), model({"text": "hello"}), HI_WIRE],
            ["invented /messages"],
            id="the user comes first",
        ),
        pytest.param(
            [HI, said("assistant", "It is")],
            [HI_WIRE],
            ["dropped /messages/1/content/0"],
            id="and last",
        ),
        pytest.param(
            [HI, said("system", "Hurry."), said("assistant", "ok"), HI],
            [
                user({"text": "hi"}, {"text": "<system-reminder>\nHurry.\n</system-reminder>"}),
                model({"text": "ok"}),
                HI_WIRE,
            ],
            ["approximated /messages/1"],
            id="a system message in mid-conversation",
        ),
        pytest.param(
            [
                HI,
                said("assistant", "Both.", call("1"), call("2", arguments='{"p": 1}')),
                said("tool", result("2", "two")),
                said("tool", result("1", "one")),
                said("user", "and?"),
            ],
            [
                HI_WIRE,
                model({"text": "Both."}, call_wire("1"), call_wire("2", args={"p": 1})),
                user(result_wire("1", {"result": "one"}), result_wire("2", {"result": "two"}), {"text": "and?"}),
            ],
            [],
            id="parallel results are grouped in the order of their calls",
        ),
        pytest.param(
            [HI, said("assistant", call("1"), call("2")), said("user", "never mind")],
            [
                HI_WIRE,
                model(call_wire("1"), call_wire("2")),
                user(
                    result_wire("1", {"result": "(no result)"}),
                    result_wire("2", {"result": "(no result)"}),
                    {"text": "never mind"},
                ),
            ],
            ["invented /messages/1/content/0", "invented /messages/1/content/1"],
            id="calls without results",
        ),
        pytest.param(
            [HI, said("assistant", call("1"))],
            [HI_WIRE, model(call_wire("1")), user(result_wire("1", {"result": "(no result)"}))],
            ["invented /messages/1/content/0"],
            id="a call at the end",
        ),
        pytest.param(
            [HI, said("tool", result("9", "lost", PNG))],
            [
                user(
                    {"text": "hi"},
                    {"text": "Result of an earlier tool call:"},
                    {"text": "lost"},
                    PNG_WIRE,
                )
            ],
            ["approximated /messages/1/content/0", "approximated /messages/1/content/0"],
            id="a result without its call",
        ),
        pytest.param(
            [HI, said("assistant", call("1")), said("tool", result("1", "a"), result("1", "b"))],
            [HI_WIRE, model(call_wire("1")), user(result_wire("1", {"result": "a"}))],
            ["dropped /messages/2/content/1"],
            id="two results for one call",
        ),
        pytest.param(
            [
                HI,
                said("assistant", call("1")),
                said("tool", result("1", "a")),
                said("assistant", call("1")),
                said("tool", result("1", "b")),
            ],
            [
                HI_WIRE,
                model(call_wire("1")),
                user(result_wire("1", {"result": "a"})),
                model(call_wire("1_2")),
                user(result_wire("1_2", {"result": "b"})),
            ],
            [],
            id="ids that come again",
        ),
        pytest.param(
            [HI, said("assistant", call("1")), said("tool", result("1", "a", "b", is_error=True))],
            [HI_WIRE, model(call_wire("1")), user(result_wire("1", {"error": "a\nb"}))],
            [],
            id="a failure",
        ),
        pytest.param(
            [HI, said("assistant", call("1")), said("tool", result("1", '{"a": [1]}'))],
            [HI_WIRE, model(call_wire("1")), user(result_wire("1", {"a": [1]}))],
            [],
            id="an object goes in as it is",
        ),
        pytest.param(
            [HI, said("assistant", call("1")), said("tool", result("1", "[1]"))],
            [HI_WIRE, model(call_wire("1")), user(result_wire("1", {"result": "[1]"}))],
            [],
            id="a list does not",
        ),
        pytest.param(
            [HI, said("assistant", call("1")), said("tool", result("1", '{"a": '))],
            [HI_WIRE, model(call_wire("1")), user(result_wire("1", {"result": '{"a": '}))],
            [],
            id="nor does half an object",
        ),
        pytest.param(
            [HI, said("assistant", call("1"), call("2")), said("tool", result("1", "see", PNG), result("2"))],
            [
                HI_WIRE,
                model(call_wire("1"), call_wire("2")),
                user(result_wire("1", {"result": "see"}), result_wire("2", {"result": ""}), PNG_WIRE),
            ],
            ["approximated /messages/2/content/0"],
            id="an image in a result stands behind all results",
        ),
    ],
)
def test_histories_are_brought_into_the_form_the_service_wants(encode, messages, contents, losses):
    wire, found = encode(asked(*messages, tools=(READ,)))
    assert (wire["contents"], found) == (contents, losses)


def test_newer_models_see_an_image_within_the_result(encode):
    history = (HI, said("assistant", call("1")), said("tool", result("1", "see", PNG)), HI)
    wire, losses = encode(asked(*history, model="gemini-3-flash", tools=(READ,)))
    answers = result_wire("1", {"result": "see"}, parts=[PNG_WIRE])
    assert wire["contents"][2]["parts"] == [answers, {"text": "hi"}]
    assert losses == ["invented /messages/1/content/0/thought_signature"]


@pytest.mark.parametrize(
    ("messages", "system", "contents", "losses"),
    [
        pytest.param([said("system", "a", "b"), said("developer", "c"), HI], "a\n\nb\n\nc", [HI_WIRE], [], id="joined"),
        pytest.param([HI], None, [HI_WIRE], [], id="none"),
        pytest.param(
            [said("system", "a", PNG), HI], "a", [HI_WIRE], ["dropped /messages/0/content/1"], id="with an image"
        ),
        pytest.param([said("system", "a")], None, [user({"text": "a"})], ["approximated /messages"], id="nothing else"),
    ],
)
def test_leading_system_text_stands_in_its_own_field(encode, messages, system, contents, losses):
    wire, found = encode(asked(*messages))
    assert wire.get("systemInstruction") == (system and {"parts": [{"text": system}]})
    assert (wire["contents"], found) == (contents, losses)


@pytest.mark.parametrize(
    "messages", [(), (said("user", ""),), (said("assistant", "a"),)], ids=["none", "empty", "a prefill"]
)
def test_nothing_to_say_is_refused(translator, messages):
    with pytest.raises(InvalidRequest) as caught:
        translator.encode_request(asked(*messages))
    assert caught.value.param == "/messages"


# --- parts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "wire", "losses"),
    [
        pytest.param(ImagePart(data="iVBORw0KGgoA"), {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgoA"}}, [], id="an image that does not say what it is"),
        pytest.param(
            ImagePart(url="https://pictures.example/a.JPG?s=1", detail="high"),
            {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://pictures.example/a.JPG?s=1"}},
            ["dropped /messages/0/content/0/detail"],
            id="a link to an image",
        ),
        pytest.param(
            ImagePart(url="https://pictures.example/1"),
            {"fileData": {"fileUri": "https://pictures.example/1"}},
            [],
            id="a link to who knows what",
        ),
        pytest.param(AudioPart(format="mp3", data="aGk="), {"inlineData": {"mimeType": "audio/mp3", "data": "aGk="}}, [], id="audio"),
        pytest.param(
            FilePart(media_type="application/pdf", data="JVBERi0=", name="a.pdf"),
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}},
            ["dropped /messages/0/content/0/name"],
            id="a document",
        ),
        pytest.param(
            FilePart(file_id="file-1"),
            {"text": "[left out: a file that was uploaded to another vendor]"},
            ["dropped /messages/0/content/0"],
            id="a file at another vendor",
        ),
        pytest.param(
            TextPart(text="a", cache=CacheMark()),
            {"text": "a"},
            ["dropped /messages/0/content/0/cache_control"],
            id="a cache mark",
        ),
    ],
)  # fmt: skip
def test_media_and_marks(encode, part, wire, losses):
    sent, found = encode(asked(said("user", part)))
    assert (sent["contents"], found) == ([user(wire)], losses)


@pytest.mark.parametrize(
    ("part", "parts", "losses"),
    [
        pytest.param(ReasoningPart(text="Hm."), [{"text": "Hm.", "thought": True}], [], id="thinking nobody signed"),
        pytest.param(ReasoningPart(text=""), [], [], id="no thinking at all"),
        pytest.param(
            ReasoningPart(text="", provider_metadata={"gemini": {"thought_signature": "c2ln"}}),
            [{"text": "", "thought": True, "thoughtSignature": "c2ln"}],
            [],
            id="the vendor's own signature",
        ),
        pytest.param(
            ReasoningPart(text="Hm.", provider_metadata={"anthropic": {"signature": "EgF0"}}),
            [],
            ["dropped /messages/1/content/0/signature", "dropped /messages/1/content/0"],
            id="another vendor's thinking",
        ),
        pytest.param(
            call("1", anthropic={"x": 1}),
            [call_wire("1")],
            ["dropped /messages/1/content/0/x", "invented /messages/1/content/0"],
            id="what another vendor attached to a call",
        ),
    ],
)
def test_only_this_vendors_opaque_fields_go_upstream(encode, part, parts, losses):
    wire, found = encode(asked(HI, said("assistant", part, "ok"), HI, tools=(READ,)))
    assert wire["contents"][1]["parts"] == [*parts, {"text": "ok"}]
    assert found == losses


@pytest.mark.parametrize(
    ("arguments", "args", "losses"),
    [
        pytest.param('{"a" : 1.0}', '{"a" : 1.0}', [], id="the very text"),
        pytest.param("", "{}", [], id="nothing"),
        pytest.param("null", "{}", [], id="null"),
        pytest.param("[1]", '{"input":"[1]"}', ["approximated"], id="a list"),
        pytest.param("{oops", '{"input":"{oops"}', ["approximated"], id="no JSON"),
    ],
)
def test_arguments_are_an_object(translator, arguments, args, losses):
    outgoing = translator.encode_request(asked(HI, said("assistant", call("1", arguments=arguments)), tools=(READ,)))
    assert f'"args":{args}'.encode() in outgoing.body
    assert [loss.kind for loss in outgoing.losses if loss.pointer.endswith("/arguments")] == losses


# --- signatures of the running turn -----------------------------------------------------------------------------------


def signed(*signatures):
    """The turns of a task in which each step calls twice."""
    turns = [HI]
    for step, (first, second) in enumerate(signatures):
        calls = [
            call(f"{step}{at}", **({"gemini": {"thought_signature": found}} if found else {}))
            for at, found in enumerate((first, second))
        ]
        turns += [said("assistant", *calls), said("tool", *(result(made.id, "ok") for made in calls))]
    return turns


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        pytest.param("gemini-3-pro-preview", [("c2ln", None), (PLACEHOLDER, None), (PLACEHOLDER, "c2Vj")], id="of generation 3"),
        pytest.param("models/gemini-flash-latest", [("c2ln", None), (PLACEHOLDER, None), (PLACEHOLDER, "c2Vj")], id="the newest"),
        pytest.param("gemini-2.5-pro", [("c2ln", None), (None, None), (None, "c2Vj")], id="before that"),
        pytest.param("some-model", [("c2ln", None), (None, None), (None, "c2Vj")], id="of nobody knows what line"),
    ],
)  # fmt: skip
def test_the_first_call_of_each_running_step_is_signed_where_the_model_insists(translator, name, sent):
    history = signed(("c2ln", None), (None, None), (None, "c2Vj"))
    outgoing = translator.encode_request(asked(*history, model=name, tools=(READ,)))
    steps = [
        content["parts"] for content in msgspec.json.decode(outgoing.body)["contents"] if content["role"] == "model"
    ]
    assert [tuple(part.get("thoughtSignature") for part in step) for step in steps] == sent
    invented = [loss.pointer for loss in outgoing.losses if loss.kind == "invented"]
    made_up = any(PLACEHOLDER in step for step in sent)
    assert invented == [f"/messages/{at}/content/0/thought_signature" for at in (5, 3)] * made_up


def test_turns_that_are_over_need_no_signature(encode):
    history = [*signed((None, None)), said("assistant", "done"), HI]
    wire, losses = encode(asked(*history, model="gemini-3-pro", tools=(READ,)))
    assert (PLACEHOLDER in str(wire), losses) == (False, [])


# --- tools ------------------------------------------------------------------------------------------------------------


def test_names_that_do_not_fit_are_mapped_one_to_one_everywhere(translator, accept_request):
    names = ["fs/read", "fs read", "3d", "", "x" * 200, "x" * 201, "ok.fine:1-2", "_", "é"]
    history = [HI, *(said("assistant", call(str(at), name)) for at, name in enumerate(names))]
    tools = tuple(Tool(name=name) for name in names)
    request = asked(*history, tools=tools, tool_choice=ToolChoice(mode="tool", name="3d"))
    outgoing = translator.encode_request(request)
    accept_request(outgoing.body)
    wire = msgspec.json.decode(outgoing.body)
    declared = [entry["name"] for entry in wire["tools"][0]["functionDeclarations"]]
    calls = [
        part["functionCall"]["name"]
        for content in wire["contents"]
        for part in content["parts"]
        if "functionCall" in part
    ]
    results = [
        part["functionResponse"]["name"]
        for content in wire["contents"]
        for part in content["parts"]
        if "functionResponse" in part
    ]
    assert declared == calls == results
    assert [outgoing.tool_names.get(name, name) for name in declared] == names
    assert len(set(declared)) == len(names)
    assert wire["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"] == [declared[2]]
    assert not {"ok.fine:1-2", "_"} & outgoing.tool_names.keys()


@pytest.mark.parametrize(
    ("tools", "wire", "losses"),
    [
        pytest.param((Tool(name="a", strict=True),), [{"name": "a"}], ["dropped /tools/0/strict"], id="strict"),
        pytest.param(
            (Tool(name="a"), Tool(name="a", description="d")),
            [{"name": "a"}],
            ["dropped /tools/1"],
            id="one name twice",
        ),
        pytest.param(
            (Tool(name="a", kind="custom", description="d"),),
            [
                {
                    "name": "a",
                    "description": "d",
                    "parametersJsonSchema": {
                        "type": "object",
                        "properties": {"input": {"type": "string"}},
                        "required": ["input"],
                    },
                }
            ],
            ["approximated /tools/0"],
            id="a tool that takes free text",
        ),
        pytest.param(
            (Tool(name="a", parameters=Raw(b'{"type":"object","properties":{},"default":1}')),),
            [{"name": "a"}],
            [],
            id="a schema without properties, in the field that must have some",
        ),
        pytest.param(
            (Tool(name="a", cache=CacheMark()), Tool(name="bash", kind="builtin")),
            [{"name": "a"}],
            ["dropped /tools/0/cache_control", "dropped /tools/1"],
            id="a tool that runs elsewhere",
        ),
        pytest.param(
            (Tool(name="a"), Tool(name="web_search", kind="builtin")),
            [{"name": "a"}],
            ["dropped /tools/1"],
            id="a search beside functions",
        ),
    ],
)
def test_tools_are_declared_as_the_service_wants_them(encode, tools, wire, losses):
    sent, found = encode(asked(HI, tools=tools))
    assert sent["tools"] == [{"functionDeclarations": wire}]
    assert found == losses


def test_another_vendors_search_becomes_this_ones(encode):
    search = Tool(
        name="web_search_20250305", kind="builtin", provider_metadata={"anthropic": {"declaration": Raw(b"{}")}}
    )
    wire, losses = encode(asked(HI, tools=(search,)))
    assert (wire["tools"], losses) == ([{"googleSearch": {}}], ["approximated /tools/0"])


@pytest.mark.parametrize(
    ("choice", "config", "losses"),
    [
        pytest.param(ToolChoice(mode="auto", parallel=False), {"mode": "AUTO"}, ["dropped /tool_choice/parallel"], id="no parallel calls"),
        pytest.param(ToolChoice(mode="tool", name="gone"), {"mode": "AUTO"}, ["dropped /tool_choice"], id="an unknown tool"),
        pytest.param(ToolChoice(mode="tool", name="read"), {"mode": "ANY", "allowedFunctionNames": ["read"]}, [], id="one"),
    ],
)  # fmt: skip
def test_choice(encode, choice, config, losses):
    wire, found = encode(asked(HI, tools=(READ,), tool_choice=choice))
    assert (wire["toolConfig"], found) == ({"functionCallingConfig": config}, losses)


@pytest.mark.parametrize(("mode", "losses"), [("auto", []), ("required", ["dropped /tool_choice"])])
def test_without_tools_nothing_is_chosen(encode, mode, losses):
    wire, found = encode(asked(HI, tool_choice=ToolChoice(mode=mode)))
    assert ("toolConfig" in wire, found) == (False, losses)


# --- fields -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "config", "losses"),
    [
        pytest.param(
            {"sampling": Sampling(stop=tuple("abcdefg"))},
            {"stopSequences": list("abcde")},
            ["dropped /stop"],
            id="seven stops",
        ),
        pytest.param({"sampling": Sampling(seed=2**31 + 5)}, {"seed": 5}, ["approximated /seed"], id="a long seed"),
        pytest.param({"user": "u"}, None, ["dropped /user"], id="a user"),
        pytest.param(
            {"extensions": {"openai-chat": {"logit_bias": Raw(b"{}")}}},
            None,
            ["dropped /logit_bias"],
            id="a foreign field",
        ),
        pytest.param(
            {
                "response_format": ResponseFormat(
                    kind="json_schema", name="n", schema=Raw(b'{"type":"array"}'), strict=True
                )
            },
            {"responseMimeType": "application/json", "responseJsonSchema": {"type": "array"}},
            ["dropped /response_format/name", "dropped /response_format/strict"],
            id="an answer by a schema",
        ),
        pytest.param(
            {"response_format": ResponseFormat(kind="json_schema", schema=Raw(b'{"type":"string","pattern":"x"}'))},
            {"responseMimeType": "application/json", "responseSchema": {"type": "string", "pattern": "x"}},
            [],
            id="an answer by a schema that only the other field heeds",
        ),
        pytest.param(
            {"response_format": ResponseFormat(kind="json_object"), "tools": (READ,), "model": "gemini-3-pro"},
            {"responseMimeType": "application/json"},
            [],
            id="JSON along with functions, of a newer model",
        ),
    ],
)
def test_fields_fit_the_service(encode, more, config, losses):
    wire, found = encode(asked(HI, **more))
    assert (wire.get("generationConfig"), found) == (config, losses)


@pytest.mark.parametrize("schema", [None, Raw(b'{"type":"object"}')], ids=["any", "by a schema"])
def test_an_older_model_with_functions_is_asked_for_json_in_words(encode, schema):
    wanted = ResponseFormat(kind="json_schema" if schema else "json_object", schema=schema)
    wire, losses = encode(asked(said("system", "Be brief."), HI, tools=(READ,), response_format=wanted))
    text = wire["systemInstruction"]["parts"][0]["text"]
    assert text.startswith("Be brief.\n\nWhen you give your final answer")
    assert ("generationConfig" in wire, bytes(schema or b"").decode() in text) == (False, True)
    assert losses == ["approximated /response_format"]


# --- laws -------------------------------------------------------------------------------------------------------------

TEXTS = st.text(max_size=8).map(lambda text: TextPart(text=text))
CALLS = st.builds(call, st.sampled_from("abc"), st.sampled_from(["read", "write", "x y"]))
RESULTS = st.builds(result, st.sampled_from("abc"), st.sampled_from(["", "ok", '{"a":1}']), is_error=st.booleans())
THOUGHTS = st.builds(
    ReasoningPart,
    text=st.sampled_from(["", "hm"]),
    provider_metadata=st.sampled_from(
        [{}, {"gemini": {"thought_signature": "c2ln"}}, {"anthropic": {"signature": "s"}}]
    ),
)
MESSAGES = st.one_of(
    st.builds(
        Message, role=st.just("assistant"), parts=st.lists(st.one_of(TEXTS, CALLS, THOUGHTS), max_size=4).map(tuple)
    ),
    st.builds(Message, role=st.just("tool"), parts=st.lists(RESULTS, max_size=3).map(tuple)),
    st.builds(Message, role=st.sampled_from(["user", "system"]), parts=st.lists(TEXTS, max_size=2).map(tuple)),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(messages=st.lists(MESSAGES, max_size=8), name=st.sampled_from(["gemini-2.5-pro", "gemini-3-pro"]))
def test_whatever_the_history_looks_like_the_service_accepts_it(translator, accept_request, messages, name):
    request = asked(HI, *messages, model=name, tools=(READ,))
    outgoing = translator.encode_request(request)
    accept_request(outgoing.body, name)
    pointers = [loss.pointer for loss in outgoing.losses]
    told = outgoing.body.decode()
    for at, message in enumerate(request.messages):
        for position, part in enumerate(message.parts):
            here = f"/messages/{at}/content/{position}"
            if isinstance(part, TextPart) and part.text and not any(here.startswith(found) for found in pointers):
                assert msgspec.json.encode(part.text).decode()[1:-1] in told or "\\u" in told
