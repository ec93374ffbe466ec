"""What other vendors want back rides to the client in `extra_content` of a call, comes home, and goes no further."""

import json
import re
import time
from typing import Any

import msgspec
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from omniroute.api import (
    ChatRequest,
    ChatResponse,
    Event,
    Headers,
    Message,
    MetadataDelta,
    Part,
    PartEnd,
    PartStart,
    ReasoningDelta,
    ReasoningPart,
    ResponseEnd,
    ResponseStart,
    TextDelta,
    TextPart,
    Tool,
    ToolArgumentsDelta,
    ToolCallPart,
    ToolResultPart,
    carry,
)
from omniroute_translator_openai_chat import OpenAIChat

TRANSLATOR = OpenAIChat()
HI = Message(role="user", parts=(TextPart(text="hi"),))
REQUEST = ChatRequest(model="m", messages=(HI,), tools=(Tool(name="f"),), stream=True)
CARRIER = b"omr1."


def thought(text: str, **metadata: dict[str, Any]) -> ReasoningPart:
    return ReasoningPart(text=text, provider_metadata=metadata)


def call(call_id: str, **metadata: dict[str, Any]) -> ToolCallPart:
    return ToolCallPart(id=call_id, name="f", arguments='{"x":1}', provider_metadata=metadata)


SIGNED = thought("Hm é\u2028.", anthropic={"signature": "AbC+/=="})
REDACTED = thought("", anthropic={"redacted_data": "AAAA"})
SEALED = thought("In short.", responses={"encrypted_content": "gAAA", "id": "rs_1"})
GEMINI = {"thought_signature": "Cg+/=="}


def whole(*parts: Part) -> dict[str, Any]:
    """The message a client gets in one piece."""
    response = ChatResponse(id="x", model="m", parts=parts, finish_reason="tool_calls")
    message: dict[str, Any] = json.loads(TRANSLATOR.encode_response(response, REQUEST))["choices"][0]["message"]
    return message


def events_of(parts: tuple[Part, ...]) -> list[Event]:
    events: list[Event] = [ResponseStart(id="x", model="m")]
    for index, part in enumerate(parts):
        match part:
            case ReasoningPart(text=text, provider_metadata=metadata):  # a signature comes last
                events += (PartStart(index=index, part=ReasoningPart(text="")), ReasoningDelta(index=index, text=text))
                events.append(MetadataDelta(index=index, provider_metadata=metadata))
            case TextPart(text=text):
                events += (PartStart(index=index, part=TextPart(text="")), TextDelta(index=index, text=text))
            case ToolCallPart(arguments=arguments):
                events.append(PartStart(index=index, part=msgspec.structs.replace(part, arguments="")))
                events.append(ToolArgumentsDelta(index=index, text=arguments))
        events.append(PartEnd(index=index))
    return [*events, ResponseEnd(finish_reason="tool_calls")]


def streamed(*parts: Part) -> dict[str, Any]:
    """The message the SDK makes of the chunks."""
    encoder = TRANSLATOR.response_encoder(REQUEST)
    state: Any = ChatCompletionStreamState()
    for event in events_of(parts):
        for frame in encoder.feed(event):
            state.handle_chunk(ChatCompletionChunk.model_validate_json(frame.data))
    message: dict[str, Any] = state.current_completion_snapshot.choices[0].message.to_dict()
    for each in message.get("tool_calls") or ():
        each.pop("index", None)
    return message


def decoded(message: dict[str, Any]) -> ChatRequest:
    """The request in which a client hands the message back."""
    results = [{"role": "tool", "tool_call_id": each["id"], "content": "r"} for each in message.get("tool_calls", ())]
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}, message, *results]}
    return TRANSLATOR.decode_request(json.dumps(body).encode(), {}, Headers({}))


ANSWERS = [
    pytest.param((SIGNED, call("c1")), id="signed thinking"),
    pytest.param((SIGNED, REDACTED, TextPart(text="so"), call("c1"), call("c2")), id="two thoughts, two calls"),
    pytest.param((SIGNED, call("c1"), SEALED, call("c2")), id="thoughts before each call"),
    pytest.param((call("c1"), SEALED, call("c2")), id="a thought between calls"),
    pytest.param((thought("unsigned"), SEALED, call("c1")), id="a thought without a signature goes along"),
    pytest.param((call("c1", responses={"id": "fc_1"}),), id="another vendor's call"),
    pytest.param((SIGNED, call("c1", gemini={**GEMINI, "more": 1}, other={"x": [1]})), id="everything at once"),
]


@pytest.mark.parametrize("way", [whole, streamed])
@pytest.mark.parametrize("parts", ANSWERS)
def test_what_others_want_back_comes_home_and_is_not_sent_on(parts, way):
    request = decoded(way(*parts))
    assert without_trace(request.messages[1].parts) == parts
    assert not request.losses
    assert CARRIER not in TRANSLATOR.encode_request(request).body


def without_trace(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """That a signature stood in `extra_content` is known only on the way back."""
    return tuple(
        msgspec.structs.replace(
            part,
            provider_metadata={name: kept for name, kept in part.provider_metadata.items() if name != "openai-chat"},
        )
        for part in parts
    )


@pytest.mark.parametrize("parts", ANSWERS)
def test_a_client_that_drops_the_field_loses_nothing_else(parts):
    message = whole(*parts)
    for each in message["tool_calls"]:
        each.pop("extra_content", None)
    kept = decoded(message).messages[1].parts
    words = "".join(part.text for part in parts if isinstance(part, ReasoningPart))
    assert "".join(part.text for part in kept if isinstance(part, ReasoningPart)) == words
    assert [part.id for part in kept if isinstance(part, ToolCallPart)] == [
        part.id for part in parts if isinstance(part, ToolCallPart)
    ]


@pytest.mark.parametrize("way", [whole, streamed])
def test_nothing_is_carried_where_nobody_wants_anything_back(way):
    message = way(thought("unsigned"), call("c1"), call("c2", gemini=GEMINI))
    assert [each.get("extra_content") for each in message["tool_calls"]] == [None, {"google": GEMINI}]


@pytest.mark.parametrize(
    "ours",
    [
        {"carrier": carry({"a": {"b": "c"}})[:-3]},
        {"carrier": "omr1.!!"},
        {"carrier": carry({"openai-chat": {"thoughts": [{"text": 1, "metadata": {}}]}})},
        {"carrier": carry({"openai-chat": {"thoughts": [{"text": "a", "metadata": {"anthropic": 1}}]}})},
        {"carrier": 7},
        {},
        "omr1.e30",
    ],
)
def test_a_damaged_carrier_is_dropped_with_a_loss(ours):
    message = {**whole(call("c1")), "reasoning_content": "hm"}
    message["tool_calls"][0]["extra_content"] = {"omniroute": ours, "google": GEMINI, "x": 1}
    request = decoded(message)
    assert [(loss.kind, loss.pointer) for loss in request.losses] == [
        ("dropped", "/messages/1/tool_calls/0/extra_content/omniroute/carrier")
    ]
    body = TRANSLATOR.encode_request(request).body
    assert CARRIER not in body
    sent = json.loads(body)["messages"][1]
    assert sent["reasoning_content"] == "hm"
    assert sent["tool_calls"][0]["extra_content"] == {"google": GEMINI, "x": 1}


def test_a_late_signature_is_said_once():
    """Clients join the strings of what comes twice."""
    encoder = TRANSLATOR.response_encoder(REQUEST)
    signed = MetadataDelta(index=0, provider_metadata={"gemini": GEMINI})
    events = [ResponseStart(id="x", model="m"), PartStart(index=0, part=call("c1")), signed, signed]
    chunks = [frame.data for event in events for frame in encoder.feed(event)]
    assert sum(GEMINI["thought_signature"].encode() in chunk for chunk in chunks) == 1


# --- signatures -------------------------------------------------------------------------------------------------------


def sent_extra(metadata: dict[str, dict[str, Any]]) -> Any:
    said = Message(role="assistant", parts=(call("c1", **metadata),))
    result = Message(role="tool", parts=(ToolResultPart(call_id="c1"),))
    outgoing = TRANSLATOR.encode_request(msgspec.structs.replace(REQUEST, messages=(HI, said, result)))
    return json.loads(outgoing.body)["messages"][1]["tool_calls"][0].get("extra_content"), outgoing.losses


@pytest.mark.parametrize(
    ("extra", "metadata"),
    [
        ({"google": GEMINI}, {"openai-chat": {"extra_content": {}}, "gemini": GEMINI}),
        (
            {"google": {**GEMINI, "x": 1}, "y": 2},
            {"openai-chat": {"extra_content": {"google": {"x": 1}, "y": 2}}, "gemini": GEMINI},
        ),
        ({"google": "?"}, {"openai-chat": {"extra_content": {"google": "?"}}}),
        (
            {"google": {"thought_signature": 7}},
            {"openai-chat": {"extra_content": {"google": {"thought_signature": 7}}}},
        ),
        ("?", {"openai-chat": {"extra_content": "?"}}),
    ],
)
def test_a_thought_signature_lives_with_its_vendor_and_goes_back_where_it_stood(extra, metadata):
    message = whole(call("c1"))
    message["tool_calls"][0]["extra_content"] = extra
    assert decoded(message).messages[1].parts == (call("c1", **metadata),)
    sent, losses = sent_extra(metadata)
    assert sent == extra
    assert not losses


def test_a_signature_that_was_taken_out_leaves_nothing_behind():
    assert sent_extra({"openai-chat": {"extra_content": {}}}) == (None, ())


def test_a_signature_that_came_in_another_way_is_not_for_this_dialect():
    sent, losses = sent_extra({"gemini": GEMINI})
    assert sent is None
    assert [(loss.kind, loss.pointer) for loss in losses] == [("dropped", "/messages/1/content/0/thought_signature")]


def found_in(data: bytes) -> list[Any]:
    """The signatures the kernel sees in relayed bytes, read as the JSON strings they are."""
    if not any(mark in data for mark in TRANSLATOR.opaque_marks):
        return []
    return [json.loads(b'"%b"' % found) for found in re.findall(TRANSLATOR.opaque_pattern, data)]


@pytest.mark.parametrize(
    "spell",
    [
        lambda value: json.dumps(value).encode(),
        lambda value: json.dumps(value, indent=1).encode(),
        lambda value: json.dumps(value).replace("/", "\\/").replace("=", "\\u003d").replace("+", "\\u002B").encode(),
    ],
    ids=["plain", "indented", "escaped"],
)
def test_signatures_are_found_in_relayed_bytes(spell):
    signed = {"id": "c1", "function": {"name": "f", "arguments": '{"thought_signature":"no"}'}}
    signed["extra_content"] = {"google": GEMINI}
    message = {"role": "assistant", "content": '"thought_signature":"no"', "tool_calls": [signed]}
    assert found_in(spell({"messages": [message]})) == ["Cg+/=="]
    assert found_in(spell({"choices": [{"delta": {"tool_calls": [signed]}}]})) == ["Cg+/=="]
    assert found_in(spell({"tools": [{"properties": {"thought_signature": {"type": "string"}}}]})) == []


def test_looking_for_signatures_takes_time_in_proportion():
    image = b'{"url":"data:image/png;base64,' + b"A" * 5_000_000 + b'"}'
    started_s = time.perf_counter()
    assert found_in(image + b'"thought_signature": {}, ' * 100_000 + b'"thought_signature' * 100_000) == []
    assert time.perf_counter() - started_s < 2
