"""What other vendors want back rides to the client in fields it returns to the byte, comes home, and goes no further."""

from itertools import pairwise

import msgspec
import pytest

from omniroute.api import (
    ChatRequest,
    ChatResponse,
    Message,
    MetadataDelta,
    PartEnd,
    PartStart,
    ReasoningDelta,
    ReasoningPart,
    ResponseEnd,
    ResponseStart,
    TextDelta,
    TextPart,
    ToolArgumentsDelta,
    ToolCallPart,
    carry,
)
from omniroute_translator_anthropic import AnthropicTranslator

TRANSLATOR = AnthropicTranslator()
REQUEST = ChatRequest(model="m", messages=())
HI_WIRE = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
CARRIER = b"omr1."
GEMINI = {"gemini": {"thought_signature": "Cg+/=="}}
SEALED = {"openai-responses": {"encrypted_content": "gAAA", "id": "rs_1"}}


def thought(text="", metadata=None):
    return ReasoningPart(text=text, provider_metadata=metadata or {})


def call(call_id="c1", metadata=None):
    return ToolCallPart(id=call_id, name="read", arguments='{"path":"a"}', provider_metadata=metadata or {})


TEXT = TextPart(text="so")


def whole(parts, read):
    response = ChatResponse(id="msg_1", model="m", parts=parts, finish_reason="stop")
    return read(TRANSLATOR.encode_response(response, REQUEST))["content"]


def events_of(parts):
    yield ResponseStart(id="msg_1", model="m")
    for index, part in enumerate(parts):
        match part:
            case ReasoningPart(text=text, provider_metadata=metadata):
                yield PartStart(index=index, part=thought())
                yield ReasoningDelta(index=index, text=text)
                for name, fields in metadata.items():
                    yield MetadataDelta(index=index, provider_metadata={name: fields})
            case TextPart(text=text):
                yield PartStart(index=index, part=TextPart(text=""))
                yield TextDelta(index=index, text=text)
            case ToolCallPart(arguments=arguments):
                yield PartStart(index=index, part=msgspec.structs.replace(part, arguments=""))
                yield ToolArgumentsDelta(index=index, text=arguments)
        yield PartEnd(index=index)
    yield ResponseEnd(finish_reason="stop")


def write(events):
    encoder = TRANSLATOR.response_encoder(REQUEST)
    return [*(frame for event in events for frame in encoder.feed(event)), *encoder.close()]


@pytest.fixture(params=["whole", "streamed"])
def shown(request, sdk_message, sdk_stream, stream_bytes):
    """The content that a client gets of the parts."""
    if request.param == "whole":
        return lambda parts: whole(parts, sdk_message)
    return lambda parts: sdk_stream([stream_bytes(write(events_of(parts)))])["content"]


def turns(*contents):
    """The conversation in which the client hands the contents back, each as a turn of its own."""
    said = [{"role": "assistant", "content": content} for content in contents]
    calls = [block["id"] for content in contents for block in content if block["type"] == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": call_id, "content": "r"} for call_id in calls]
    return [HI_WIRE, *said, *([{"role": "user", "content": results}] if results else [HI_WIRE])]


ANSWERS = [
    pytest.param((thought("Hm.", SEALED), TEXT), id="reasoning of another vendor"),
    pytest.param((thought("", SEALED), TEXT), id="without words"),
    pytest.param((thought("Hm."), TEXT), id="reasoning nobody has signed"),
    pytest.param((thought("Hm.", {**SEALED, **GEMINI}), TEXT), id="of two vendors"),
    pytest.param((TEXT, call(metadata=GEMINI)), id="a call"),
    pytest.param((thought("Hm."), call("c1", GEMINI), call("c2"), call("c3", SEALED)), id="some of three calls"),
    pytest.param(
        (thought("Hm.", SEALED), call("c1", GEMINI), thought("So.", SEALED), call("c2", GEMINI)), id="in turn"
    ),
    pytest.param(
        (
            thought("Hm.", {"anthropic": {"signature": "AbC+/=="}}),
            thought("", {"anthropic": {"redacted_data": "AAAA"}}),
            call(metadata={"anthropic": {"caller": msgspec.Raw(b'{"type":"direct"}')}, **GEMINI}),
        ),
        id="beside what is our own",
    ),
]


@pytest.mark.parametrize("parts", ANSWERS)
def test_what_others_want_back_comes_home_and_is_not_sent_on(decode, shown, parts):
    request = decode(messages=turns(shown(parts)))
    assert request.messages[1] == Message(role="assistant", parts=parts)
    assert request.losses == ()
    assert CARRIER not in TRANSLATOR.encode_request(request).body


def test_it_finds_its_call_by_the_id_the_client_knows(decode, shown):
    (_, signed), content = (TEXT, call("call:1", GEMINI)), shown((TEXT, call("call:1", GEMINI)))
    (_, found) = decode(messages=turns(content)).messages[1].parts
    assert found == msgspec.structs.replace(signed, id=content[-1]["id"])
    assert found.id != "call:1"


def test_it_finds_its_call_in_another_turn(decode, shown):
    carrier, tool_use = shown((call(metadata=GEMINI),))
    first, second = decode(messages=turns([carrier, {"type": "text", "text": "so"}], [tool_use])).messages[1:3]
    assert (first.parts, second.parts) == ((TEXT,), (call(metadata=GEMINI),))


def test_it_is_dropped_with_its_call(decode, shown):
    carrier, _ = shown((call(metadata=GEMINI),))
    request = decode(messages=turns([carrier, {"type": "text", "text": "so"}]))
    assert request.messages[1].parts == (TEXT,)
    assert CARRIER not in TRANSLATOR.encode_request(request).body


@pytest.mark.parametrize(
    ("block", "parts", "pointer"),
    [
        ({"type": "thinking", "thinking": "Hm.", "signature": "omr1.!"}, (thought("Hm."), TEXT), "signature"),
        ({"type": "thinking", "thinking": "", "signature": carry(GEMINI)[:-2]}, (TEXT,), "signature"),
        ({"type": "redacted_thinking", "data": "omr1."}, (TEXT,), "data"),
    ],
)
def test_a_damaged_carrier_is_dropped_with_a_loss(decode, block, parts, pointer):
    request = decode(messages=turns([block, {"type": "text", "text": "so"}]))
    assert request.messages[1].parts == parts
    assert [(loss.kind, loss.pointer) for loss in request.losses] == [("dropped", f"/messages/1/content/0/{pointer}")]
    assert CARRIER not in TRANSLATOR.encode_request(request).body


@pytest.mark.parametrize(
    "metadata", [{"anthropic": {"call_id": 7}}, {"anthropic": {"signature": "EgF0"}}, {"anthropic": {"block": {}}}]
)
def test_a_carrier_brings_nothing_of_our_own(decode, metadata):
    block = {"type": "thinking", "thinking": "Hm.", "signature": carry(metadata)}
    assert decode(messages=turns([block])).messages[1].parts == (thought("Hm."),)


def test_a_field_of_another_block_is_no_carrier(decode):
    block = {"type": "tool_use", "id": "c1", "name": "read", "input": {}, "signature": carry(GEMINI)}
    (part,) = decode(messages=turns([block])).messages[1].parts
    assert part.provider_metadata.keys() == {"anthropic"}


def test_the_signature_comes_last_in_its_block():
    frames = write(events_of((thought("Hm.", SEALED), call(metadata=GEMINI), thought("", SEALED), TEXT)))
    wires = [msgspec.json.decode(frame.data) for frame in frames]
    kinds = [wire.get("delta", wire.get("content_block", wire)).get("type", wire["type"]) for wire in wires]
    stops = [at for at, wire in enumerate(wires) if wire["type"] == "content_block_stop"]
    assert [kinds[at - 1] for at in stops] == [
        "signature_delta",
        "signature_delta",
        "input_json_delta",
        "redacted_thinking",
        "text_delta",
    ]
    starts = [wire["index"] for wire in wires if wire["type"] == "content_block_start"]
    assert all(later == earlier + 1 for earlier, later in pairwise(starts))


def test_what_comes_when_a_call_has_begun_follows_it(decode, stream_bytes, sdk_stream):
    events = [
        ResponseStart(id="msg_1", model="m"),
        PartStart(index=0, part=msgspec.structs.replace(call(), arguments="")),
        ToolArgumentsDelta(index=0, text='{"path":"a"}'),
        MetadataDelta(index=0, provider_metadata=GEMINI),
        PartEnd(index=0),
        ResponseEnd(finish_reason="tool_calls"),
    ]
    content = sdk_stream([stream_bytes(write(events))])["content"]
    assert [block["type"] for block in content] == ["tool_use", "thinking"]
    assert decode(messages=turns(content)).messages[1].parts == (call(metadata=GEMINI),)


def test_parts_that_wait_their_turn_keep_what_is_theirs(decode, stream_bytes, sdk_stream):
    events = [
        ResponseStart(id="msg_1", model="m"),
        PartStart(index=0, part=thought()),
        PartStart(index=1, part=msgspec.structs.replace(call(metadata=GEMINI), arguments="")),
        PartStart(index=2, part=thought(metadata=GEMINI)),
        ToolArgumentsDelta(index=1, text='{"path":"a"}'),
        MetadataDelta(index=2, provider_metadata=SEALED),
        ReasoningDelta(index=2, text="So."),
        ReasoningDelta(index=0, text="Hm."),
        MetadataDelta(index=0, provider_metadata=SEALED),
        *(PartEnd(index=index) for index in (2, 1, 0)),
        ResponseEnd(finish_reason="tool_calls"),
    ]
    content = sdk_stream([stream_bytes(write(events))])["content"]
    parts = (thought("Hm.", SEALED), call(metadata=GEMINI), thought("So.", {**GEMINI, **SEALED}))
    assert decode(messages=turns(content)).messages[1].parts == parts
