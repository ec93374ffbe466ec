"""One table of (wire, canonical) pairs: decoding reads the first as the second, encoding writes it back.

What is encoded is held against what the service accepts.
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
    carry,
)
from omniroute_translator_openai_responses import OpenAIResponses

TRANSLATOR = OpenAIResponses(now=lambda: 1_700_000_000.0, new_id=lambda: "fresh")
NO_HEADERS = Headers({})
DIALECT = "openai-responses"


def raw(value: object) -> Raw:
    return Raw(msgspec.json.encode(value))


def text(value: str, **own: Any) -> TextPart:
    return TextPart(text=value, provider_metadata={DIALECT: own} if own else {})


def said(role: Any, *parts: Any) -> Message:
    return Message(role=role, parts=parts)


def item(role: str, *content: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": list(content), **fields}


def input_text(value: str) -> dict[str, Any]:
    return {"type": "input_text", "text": value}


HI = said("user", text("hi"))
HI_WIRE = item("user", input_text("hi"))
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
READ = Tool(name="read", description="Reads.", parameters=raw(SCHEMA), strict=False)
READ_WIRE = {"type": "function", "name": "read", "description": "Reads.", "parameters": SCHEMA, "strict": False}
PATCH_FORMAT = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
PATCH_WIRE = {"type": "custom", "name": "patch", "description": "Patches.", "format": PATCH_FORMAT}
PATCH = Tool(
    name="patch",
    kind="custom",
    description="Patches.",
    provider_metadata={DIALECT: {"format": raw(PATCH_FORMAT)}},
)


def decoded(wire: dict[str, Any], headers: Headers = NO_HEADERS) -> ChatRequest:
    return TRANSLATOR.decode_request(msgspec.json.encode({"model": "m", **wire}), {}, headers)


def encoded(request: ChatRequest, accept_request: Any) -> dict[str, Any]:
    body = TRANSLATOR.encode_request(request).body
    accept_request(body)
    return json.loads(body)


FIELDS = [
    pytest.param({}, {}, id="nothing"),
    pytest.param({"max_output_tokens": 50}, {"max_output_tokens": 50}, id="limit"),
    pytest.param({"temperature": 0.5, "top_p": 0.9}, {"sampling": Sampling(temperature=0.5, top_p=0.9)}, id="sampling"),
    pytest.param({"stream": True}, {"stream": True}, id="stream"),
    pytest.param({"user": "u-1"}, {"user": "u-1"}, id="user"),
    pytest.param(
        {"safety_identifier": "s-1"},
        {"user": "s-1", "extensions": {DIALECT: {"safety_identifier": raw("s-1")}}},
        id="safety identifier",
    ),
    pytest.param(
        {"prompt_cache_key": "k"},
        {"session": "k", "extensions": {DIALECT: {"prompt_cache_key": raw("k")}}},
        id="cache key",
    ),
    pytest.param({"previous_response_id": "resp_1"}, {"previous_response_id": "resp_1"}, id="a stored answer"),
    pytest.param(
        {"reasoning": {"effort": "low", "summary": "auto"}},
        {"reasoning": Reasoning(effort="low", summary="auto")},
        id="reasoning",
    ),
    pytest.param({"reasoning": {"effort": "none"}}, {"reasoning": Reasoning(effort="none")}, id="reasoning off"),
    pytest.param(
        {"reasoning": {"effort": "medium", "context": "all_turns"}},
        {
            "reasoning": Reasoning(effort="medium"),
            "extensions": {DIALECT: {"reasoning/context": raw("all_turns")}},
        },
        id="reasoning with a field of its own",
    ),
    pytest.param(
        {"text": {"verbosity": "low"}}, {"extensions": {DIALECT: {"text/verbosity": raw("low")}}}, id="verbosity"
    ),
    pytest.param(
        {"text": {"format": {"type": "json_object"}}},
        {"response_format": ResponseFormat(kind="json_object")},
        id="json",
    ),
    pytest.param(
        {
            "text": {
                "format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": False, "description": "d"},
                "verbosity": "high",
            }
        },
        {
            "response_format": ResponseFormat(
                kind="json_schema", name="n", description="d", schema=raw(SCHEMA), strict=False
            ),
            "extensions": {DIALECT: {"text/verbosity": raw("high")}},
        },
        id="schema",
    ),
    pytest.param(
        {"store": False, "include": ["reasoning.encrypted_content"], "truncation": "auto", "metadata": {"a": "b"}},
        {
            "extensions": {
                DIALECT: {
                    "store": raw(False),
                    "include": raw(["reasoning.encrypted_content"]),
                    "truncation": raw("auto"),
                    "metadata": raw({"a": "b"}),
                }
            }
        },
        id="fields of its own",
    ),
    pytest.param({"tools": [READ_WIRE]}, {"tools": (READ,)}, id="function"),
    pytest.param({"tools": [PATCH_WIRE]}, {"tools": (PATCH,)}, id="custom tool"),
    pytest.param(
        {"tools": [{**READ_WIRE, "defer_loading": True}]},
        {"tools": (msgspec.structs.replace(READ, provider_metadata={DIALECT: {"defer_loading": raw(True)}}),)},
        id="a tool's own field",
    ),
    pytest.param(
        {"tools": [{"type": "web_search"}]},
        {
            "tools": (
                Tool(
                    name="web_search",
                    kind="builtin",
                    provider_metadata={DIALECT: {"declaration": raw({"type": "web_search"})}},
                ),
            )
        },
        id="builtin",
    ),
    *(
        pytest.param(
            {"tools": [READ_WIRE], "tool_choice": mode},
            {"tools": (READ,), "tool_choice": ToolChoice(mode=mode)},
            id=f"choice {mode}",
        )
        for mode in ("auto", "none", "required")
    ),
    pytest.param(
        {"tools": [READ_WIRE], "tool_choice": {"type": "function", "name": "read"}, "parallel_tool_calls": False},
        {"tools": (READ,), "tool_choice": ToolChoice(mode="tool", name="read", parallel=False)},
        id="one tool",
    ),
    pytest.param(
        {"tools": [PATCH_WIRE], "tool_choice": {"type": "custom", "name": "patch"}},
        {"tools": (PATCH,), "tool_choice": ToolChoice(mode="tool", name="patch")},
        id="one custom tool",
    ),
    pytest.param(
        {
            "tools": [READ_WIRE],
            "tool_choice": {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "read"}],
            },
        },
        {
            "tools": (READ,),
            "tool_choice": ToolChoice(mode="required"),
            "extensions": {
                DIALECT: {
                    "tool_choice": raw(
                        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "read"}]}
                    )
                }
            },
        },
        id="allowed tools",
    ),
]


@pytest.mark.parametrize(("wire", "fields"), FIELDS)
def test_fields_are_read_and_written_back(wire, fields, accept_request):
    request = ChatRequest(model="m", messages=(HI,), **{"extensions": {DIALECT: {}}, **fields})
    full = {"model": "m", "input": [HI_WIRE], **wire}
    assert decoded(full) == request
    assert encoded(request, accept_request) == full


PARTS = [
    pytest.param(input_text("a"), text("a"), id="text"),
    pytest.param(
        {"type": "input_image", "image_url": "https://x.example/a.png", "detail": "high"},
        ImagePart(url="https://x.example/a.png", detail="high"),
        id="image url",
    ),
    pytest.param(
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"},
        ImagePart(media_type="image/png", data="AAAA", detail="auto"),
        id="image data",
    ),
    pytest.param(
        {"type": "input_image", "file_id": "file_1", "detail": "low"},
        FilePart(file_id="file_1", provider_metadata={DIALECT: {"input_image": "low"}}),
        id="image by id",
    ),
    pytest.param({"type": "input_file", "file_id": "file_1"}, FilePart(file_id="file_1"), id="file id"),
    pytest.param(
        {"type": "input_file", "file_url": "https://x.example/a.pdf"},
        FilePart(url="https://x.example/a.pdf"),
        id="file url",
    ),
    pytest.param(
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
        FilePart(media_type="application/pdf", name="a.pdf", data="AAAA"),
        id="file data",
    ),
    pytest.param(
        {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
        TextPart(
            text="a",
            cache=CacheMark(),
            provider_metadata={DIALECT: {"prompt_cache_breakpoint": raw({"mode": "explicit"})}},
        ),
        id="cache mark",
    ),
]


@pytest.mark.parametrize(("wire", "part"), PARTS)
def test_parts_are_read_and_written_back(wire, part, accept_request):
    request = ChatRequest(model="m", messages=(said("user", part),), extensions={DIALECT: {}})
    assert decoded({"input": [item("user", wire)]}) == request
    assert encoded(request, accept_request)["input"] == [item("user", wire)]


@pytest.mark.parametrize(("wire", "part"), PARTS)
def test_results_hold_the_same_parts(wire, part, accept_request):
    call = {"type": "function_call", "call_id": "c", "name": "read", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": [input_text("b"), wire]}
    request = decoded({"input": [HI_WIRE, call, output]})
    assert request.messages[2] == said("tool", ToolResultPart(call_id="c", parts=(text("b"), part)))
    assert encoded(request, accept_request)["input"][2] == output


def call(call_id: str, name: str = "read", arguments: str = "{}") -> ToolCallPart:
    return ToolCallPart(id=call_id, name=name, arguments=arguments)


def call_wire(call_id: str, name: str = "read", arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def output_wire(call_id: str, output: Any = "ok") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def result(call_id: str, *parts: Any) -> ToolResultPart:
    return ToolResultPart(call_id=call_id, parts=parts or (text("ok"),))


THOUGHT_WIRE = {
    "type": "reasoning",
    "id": "rs_1",
    "encrypted_content": "c2VhbA==",
    "summary": [{"type": "summary_text", "text": "Hm."}],
}
THOUGHT = ReasoningPart(text="Hm.", provider_metadata={DIALECT: {"encrypted_content": "c2VhbA==", "id": "rs_1"}})
SEARCH_WIRE = {
    "type": "web_search_call",
    "id": "ws_1",
    "status": "completed",
    "action": {"type": "search", "query": "q"},
}
SHELL_WIRE = {"type": "local_shell_call_output", "id": "lsh_1", "output": "{}"}
COMPACTION_WIRE = {"type": "compaction", "id": "cmp_1", "encrypted_content": "c2VhbGVk"}

HISTORIES = [
    pytest.param([item("system", input_text("s")), HI_WIRE], [said("system", text("s")), HI], None, id="system item"),
    pytest.param(
        [item("developer", input_text("d"), input_text("e")), HI_WIRE],
        [said("developer", text("d"), text("e")), HI],
        None,
        id="developer item",
    ),
    pytest.param(
        [HI_WIRE, {"type": "message", "role": "assistant", "content": "a"}, HI_WIRE],
        [HI, said("assistant", text("a")), HI],
        None,
        id="assistant",
    ),
    pytest.param(
        [
            HI_WIRE,
            {"type": "message", "role": "assistant", "content": "a", "phase": "commentary"},
            call_wire("c1"),
            call_wire("c2", arguments='{"path": "x"}'),
            output_wire("c1"),
            output_wire("c2", ""),
            HI_WIRE,
        ],
        [
            HI,
            said("assistant", text("a", phase="commentary"), call("c1"), call("c2", arguments='{"path": "x"}')),
            said("tool", result("c1"), ToolResultPart(call_id="c2")),
            HI,
        ],
        None,
        id="one turn of words and calls, one of results",
    ),
    pytest.param(
        [HI_WIRE, THOUGHT_WIRE, call_wire("c1"), output_wire("c1"), THOUGHT_WIRE, call_wire("c2"), output_wire("c2")],
        [HI, said("assistant", THOUGHT, call("c1")), said("tool", result("c1")),
         said("assistant", THOUGHT, call("c2")), said("tool", result("c2"))],
        None,
        id="reasoning before each call",
    ),
    pytest.param(
        [
            HI_WIRE,
            {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": '+ "é"\n'},
            {"type": "custom_tool_call_output", "call_id": "c", "output": "done"},
        ],
        [HI, said("assistant", call("c", "patch", '{"input":"+ \\"é\\"\\n"}')), said("tool", result("c", text("done")))],
        [PATCH_WIRE],
        id="custom tool",
    ),
    pytest.param(
        [HI_WIRE, SEARCH_WIRE, {"type": "message", "role": "assistant", "content": "a"}, SHELL_WIRE, HI_WIRE],
        [
            HI,
            said("assistant", text("", item=raw(SEARCH_WIRE)), text("a")),
            said("user", text("", item=raw(SHELL_WIRE))),
            HI,
        ],
        None,
        id="items of its own",
    ),
    pytest.param(
        [COMPACTION_WIRE, HI_WIRE],
        [said("assistant", text("", sealed_item=raw(COMPACTION_WIRE), encrypted_content="c2VhbGVk")), HI],
        None,
        id="a sealed item",
    ),
    pytest.param(
        [HI_WIRE, item("assistant", {"type": "refusal", "refusal": "No."}, id="msg_1", status="completed")],
        [HI, said("assistant", TextPart(text="No.", provider_metadata={"openai-chat": {"refusal": True}}))],
        None,
        id="refusal",
    ),
]  # fmt: skip


def without_ids(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in entry.items() if name not in ("id", "status")}
        if entry["type"] == "message"
        else entry
        for entry in items
    ]


@pytest.mark.parametrize(("items", "messages", "tools"), HISTORIES)
def test_histories_are_read_and_written_back(items, messages, tools, accept_request):
    request = decoded({"input": items, "tools": tools})
    assert request.messages == tuple(messages)
    assert request.losses == ()
    outgoing = TRANSLATOR.encode_request(request)
    assert outgoing.losses == ()
    accept_request(outgoing.body)
    body = json.loads(outgoing.body)
    if items[0]["role" if "role" in items[0] else "type"] == "system":
        assert (body["instructions"], body["input"]) == ("s", [HI_WIRE])
    else:
        assert body["input"] == without_ids(items)
    assert decoded(body).messages == request.messages


READ_ONLY = [
    pytest.param({"input": "hi"}, [HI], id="a string"),
    pytest.param({"input": "hi", "instructions": "s"}, [said("system", text("s")), HI], id="instructions"),
    pytest.param({"input": [{"role": "user", "content": "hi"}]}, [HI], id="easy message"),
    pytest.param(
        {"input": [{"role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": []}]}, HI_WIRE]},
        [said("assistant", text("a")), HI],
        id="easy output text",
    ),
    pytest.param({"input": [item("user", {"type": "text", "text": "hi"})]}, [HI], id="the sister's part"),
    pytest.param({"input": [item("user", input_text(""), input_text("hi"))]}, [HI], id="empty text"),
    pytest.param({"input": [{**HI_WIRE, "id": "msg_1", "status": "completed"}]}, [HI], id="ids and statuses"),
    pytest.param({"input": [{"type": "reasoning", "summary": []}, HI_WIRE]}, [HI], id="reasoning of nothing"),
    pytest.param(
        {"input": [{"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "encrypted_content": None}, HI_WIRE]},
        [HI],
        id="reasoning by id alone",
    ),
    pytest.param(
        {
            "input": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": t} for t in ("a", "", "b")]},
                HI_WIRE,
            ]
        },
        [said("assistant", ReasoningPart(text="a\n\nb")), HI],
        id="summaries",
    ),
    pytest.param(
        {"input": [{"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "a"}]}, HI_WIRE]},
        [said("assistant", ReasoningPart(text="a")), HI],
        id="open reasoning",
    ),
    pytest.param(
        {"input": [HI_WIRE, {**call_wire("c"), "arguments": ""}, {**output_wire("c", None)}]},
        [HI, said("assistant", call("c")), said("tool", ToolResultPart(call_id="c"))],
        id="no arguments, no output",
    ),
    pytest.param(
        {"input": [item("user", {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}})]},
        [said("user", AudioPart(format="wav", data="AAAA"))],
        id="audio",
    ),
    pytest.param(
        {"input": [HI_WIRE, call_wire("c"), {**output_wire("c"), "name": "read"}]},
        [HI, said("assistant", call("c")), said("tool", ToolResultPart(call_id="c", name="read", parts=(text("ok"),)))],
        id="a result that names its tool",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "messages"), READ_ONLY)
def test_other_forms_are_read_too(wire, messages):
    request = decoded(wire)
    assert request.messages == tuple(messages)
    assert request.losses == ()


@pytest.mark.parametrize(
    ("headers", "wire", "session"),
    [
        ({}, {}, None),
        ({}, {"prompt_cache_key": "k"}, "k"),
        ({"session-id": "s"}, {"prompt_cache_key": "k"}, "s"),
        ({"thread-id": "t"}, {}, "t"),
        ({"x-session-id": "x"}, {}, "x"),
        ({"x-session-affinity": "a"}, {}, "a"),
        ({"session-id": "s", "x-session-affinity": "a"}, {}, "s"),
    ],
)
def test_the_session_is_what_the_client_calls_it(headers, wire, session):
    lookup = Headers({name.encode(): value.encode() for name, value in headers.items()})
    body = json.dumps({"model": "m", "input": "hi", **wire}).encode()
    assert TRANSLATOR.read_head(body, {}, lookup).session == session
    assert TRANSLATOR.decode_request(body, {}, lookup).session == session


@pytest.mark.parametrize(
    ("wire", "has_tools"),
    [
        ({}, False),
        ({"tools": []}, False),
        ({"tools": None}, False),
        ({"tools": [READ_WIRE]}, True),
        ({"input": [{"type": "additional_tools", "role": "developer", "tools": [READ_WIRE]}, HI_WIRE]}, True),
    ],
)
def test_the_head_knows_of_tools_wherever_they_are(wire, has_tools):
    head = TRANSLATOR.read_head(json.dumps({"model": "m", "input": "hi", **wire}).encode(), {}, NO_HEADERS)
    assert head.has_tools is has_tools


def test_the_head_shows_how_the_conversation_begins():
    wire = {"model": "m", "input": [HI_WIRE], "instructions": "be brief", "tools": [READ_WIRE]}
    head = TRANSLATOR.read_head(json.dumps(wire).encode(), {}, NO_HEADERS)
    assert [json.loads(bytes(value)) for value in head.opening] == ["be brief", [READ_WIRE]]
    assert json.loads(bytes(head.turns)) == [HI_WIRE]
    continued = {"model": "m", "previous_response_id": "resp_1"}
    head = TRANSLATOR.read_head(json.dumps(continued).encode(), {}, NO_HEADERS)
    assert (head.turns, head.previous_response_id) == (None, "resp_1")


def test_the_head_leaves_stored_things_to_the_relay():
    for wire in ({"background": True}, {"conversation": "conv_1"}, {"prompt": {"id": "pmpt_1"}}):
        head = TRANSLATOR.read_head(json.dumps({"model": "m", "input": "hi", **wire}).encode(), {}, NO_HEADERS)
        assert head.model == "m"


@pytest.mark.parametrize("name", ["conversation", "prompt", "previous_response_id"])
def test_what_is_stored_may_stand_for_the_input(name):
    assert TRANSLATOR.read_head(json.dumps({"model": "m", name: "x_1"}).encode(), {}, NO_HEADERS).model == "m"


def test_renaming_the_model_leaves_every_other_byte():
    body = b'{"input": [1.0, 1e2], "model": "a" , "x":"\\u00e9"}'
    assert TRANSLATOR.rename_model(body, "b") == b'{"input":[1.0, 1e2],"model":"b","x":"\\u00e9"}'


# --- what an item carries for others ------------------------------------------------------------------------------------


def test_a_foreign_signature_comes_back_to_its_part():
    metadata = {"anthropic": {"signature": "c2ln"}}
    thought = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "encrypted_content": carry(metadata),
    }
    request = decoded({"input": [HI_WIRE, thought, call_wire("c"), output_wire("c")]})
    assert request.messages[1].parts[0] == ReasoningPart(text="Hm.", provider_metadata=metadata)


def test_redacted_thinking_of_another_dialect_comes_back():
    metadata = {"anthropic": {"redacted_data": "eHl6"}}
    thought = {"type": "reasoning", "summary": [], "encrypted_content": carry(metadata)}
    request = decoded({"input": [HI_WIRE, thought, call_wire("c"), output_wire("c")]})
    assert request.messages[1].parts[0] == ReasoningPart(text="", provider_metadata=metadata)


@pytest.mark.parametrize("is_before", [True, False])
def test_a_calls_foreign_signature_comes_back_to_the_call(is_before):
    sealed = carry({"gemini": {"thought_signature": "c2ln"}, DIALECT: {"call_id": "c"}})
    carrier = {"type": "reasoning", "summary": [], "encrypted_content": sealed}
    turn = [carrier, call_wire("c")] if is_before else [call_wire("c"), carrier]
    request = decoded({"input": [HI_WIRE, *turn, output_wire("c")]})
    signed = ToolCallPart(
        id="c", name="read", arguments="{}", provider_metadata={"gemini": {"thought_signature": "c2ln"}}
    )
    assert request.messages[1:] == (said("assistant", signed), said("tool", result("c")))


@pytest.mark.parametrize("sealed", [carry({}), carry({})[:-2] + "!", "omr1."])
def test_a_carrier_of_nothing_is_nothing(sealed):
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed}
    assert decoded({"input": [thought, HI_WIRE]}).messages == (HI,)


def test_a_carrier_never_goes_upstream(accept_request):
    sealed = carry({"anthropic": {"signature": "c2ln"}})
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": sealed}
    outgoing = TRANSLATOR.encode_request(decoded({"input": [HI_WIRE, thought, call_wire("c"), output_wire("c")]}))
    accept_request(outgoing.body)
    assert b"omr1" not in outgoing.body
    assert [item["type"] for item in json.loads(outgoing.body)["input"]] == [
        "message",
        "function_call",
        "function_call_output",
    ]
    assert {loss.pointer for loss in outgoing.losses} == {"/messages/1/content/0", "/messages/1/content/0/signature"}


def test_a_seal_that_was_taken_away_takes_its_item_along(accept_request):
    bare = said("assistant", text("", sealed_item=raw(COMPACTION_WIRE)))
    request = ChatRequest(model="m", messages=(bare, HI), extensions={DIALECT: {}})
    assert encoded(request, accept_request)["input"] == [HI_WIRE]


# --- what decoding gives up ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "losses"),
    [
        pytest.param(
            {"input": [{**HI_WIRE, "x_new": 1}]},
            [Loss(pointer="/input/0/x_new", kind="dropped", reason="items have no such field elsewhere")],
            id="an item's unknown field",
        ),
        pytest.param({"input": [{**HI_WIRE, "x_new": None}]}, [], id="an unknown field of nothing"),
        pytest.param(
            {"input": [item("assistant", {"type": "output_text", "text": "a", "annotations": [{"type": "x"}]})]},
            [Loss(pointer="/input/0/content/0/annotations", kind="dropped", reason="an upstream has no use for it")],
            id="annotations",
        ),
        pytest.param(
            {"input": "hi", "tools": [READ_WIRE, {**READ_WIRE, "description": "Another."}]},
            [Loss(pointer="/tools/1", kind="dropped", reason="a second tool named read")],
            id="two tools of one name",
        ),
        pytest.param(
            {"input": [HI_WIRE, {"type": "additional_tools", "role": "developer", "tools": [READ_WIRE]}]},
            [
                Loss(
                    pointer="/input/1",
                    kind="approximated",
                    reason="tools added in mid-conversation are there from its start",
                )
            ],
            id="tools in mid-conversation",
        ),
    ],
)
def test_what_decoding_gives_up_is_said(wire, losses):
    assert decoded(wire).losses == tuple(losses)
