"""Events to what the client reads, streamed and whole, judged by the vendor's SDK."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from omniroute.api import (
    AudioPart,
    ChatRequest,
    ChatResponse,
    ImagePart,
    MetadataDelta,
    PartEnd,
    PartStart,
    Ping,
    ReasoningDelta,
    ReasoningPart,
    RequestError,
    ResponseEnd,
    ResponseStart,
    StreamBroken,
    TextDelta,
    TextPart,
    ToolArgumentsDelta,
    ToolCallPart,
    UpstreamFailed,
    Usage,
    UsageUpdate,
)
from omniroute_translator_anthropic import AnthropicTranslator

REQUEST = ChatRequest(model="asked-for", messages=())
START = ResponseStart(id="msg_1", model="m")
USAGE = Usage(input_tokens=100, output_tokens=30, cached_tokens=20, cache_write_tokens=5, reasoning_tokens=10)


def write(events, request=REQUEST):
    encoder = AnthropicTranslator().response_encoder(request)
    return [*(frame for event in events for frame in encoder.feed(event)), *encoder.close()]


def wires(frames):
    return [msgspec.json.decode(frame.data) for frame in frames]


def short(frames):
    """The stream as one line per event: `start 0 text`, `delta 0 text_delta a`, `stop 0`, other types by name."""
    lines = []
    for wire in wires(frames):
        match wire:
            case {"type": "content_block_start", "index": index, "content_block": {"type": kind}}:
                lines.append(f"start {index} {kind}")
            case {"type": "content_block_delta", "index": index, "delta": {"type": kind, **rest}}:
                lines.append(f"delta {index} {kind} {next(iter(rest.values()))}")
            case {"type": "content_block_stop", "index": index}:
                lines.append(f"stop {index}")
            case {"type": kind}:
                lines.append(kind)
    return lines


def call(call_id, name="read"):
    return ToolCallPart(id=call_id, name=name, arguments="")


END = ["message_delta", "message_stop"]
STREAMS = [
    pytest.param(
        [PartStart(index=0, part=TextPart(text="")), TextDelta(index=0, text="a"), TextDelta(index=0, text="b"),
         PartEnd(index=0)],
        ["start 0 text", "delta 0 text_delta a", "delta 0 text_delta b", "stop 0"],
        id="text",
    ),
    pytest.param(
        [PartStart(index=0, part=TextPart(text="")), TextDelta(index=0, text=""), PartEnd(index=0),
         PartStart(index=1, part=TextPart(text="a")), PartEnd(index=1)],
        ["start 0 text", "delta 0 text_delta a", "stop 0"],
        id="an empty text is no block, and leaves no gap in the indices",
    ),
    pytest.param(
        [
            PartStart(index=0, part=ReasoningPart(text="")),
            MetadataDelta(index=0, provider_metadata={"anthropic": {"signature": "S"}}),
            ReasoningDelta(index=0, text="hm"),
            PartEnd(index=0),
            PartStart(index=1, part=ReasoningPart(text="", provider_metadata={"anthropic": {"signature": "T"}})),
            PartEnd(index=1),
            PartStart(index=2, part=ReasoningPart(text="", provider_metadata={"anthropic": {"redacted_data": "R"}})),
            PartEnd(index=2),
            PartStart(index=3, part=ReasoningPart(text="", provider_metadata={"openai-responses": {"x": "y"}})),
            PartEnd(index=3),
        ],
        [
            "start 0 thinking", "delta 0 thinking_delta hm", "delta 0 signature_delta S", "stop 0",
            "start 1 thinking", "delta 1 signature_delta T", "stop 1",
            "start 2 redacted_thinking", "stop 2",
            "start 3 redacted_thinking", "stop 3",
        ],
        id="thinking: the signature comes last; what has no words is redacted, whoever hid it",
    ),
    pytest.param(
        [
            PartStart(index=0, part=call("c0")),
            ToolArgumentsDelta(index=0, text='{"a":'),
            PartStart(index=1, part=call("c1")),
            ToolArgumentsDelta(index=1, text='{"b":'),
            ToolArgumentsDelta(index=0, text="1}"),
            ToolArgumentsDelta(index=1, text="2}"),
            PartEnd(index=1),
            PartEnd(index=0),
        ],
        [
            "start 0 tool_use", 'delta 0 input_json_delta {"a":', "delta 0 input_json_delta 1}", "stop 0",
            "start 1 tool_use", 'delta 1 input_json_delta {"b":', "delta 1 input_json_delta 2}", "stop 1",
        ],
        id="interleaved calls are written one after the other",
    ),
    pytest.param(
        [PartStart(index=0, part=call("c0")), PartEnd(index=0)],
        ["start 0 tool_use", "delta 0 input_json_delta {}", "stop 0"],
        id="a call without arguments",
    ),
    pytest.param(
        [
            PartStart(index=0, part=TextPart(text="")),
            TextDelta(index=0, text="a"),
            PartStart(index=1, part=call("c1")),
            ToolArgumentsDelta(index=1, text="{}"),
            PartEnd(index=1),
        ],
        ["start 0 text", "delta 0 text_delta a", "stop 0", "start 1 tool_use", "delta 1 input_json_delta {}", "stop 1"],
        id="a part that was never ended is closed at the end",
    ),
    pytest.param(
        [PartStart(index=0, part=ImagePart(url="https://p.example/1")), PartEnd(index=0),
         PartStart(index=1, part=AudioPart(format="wav", data="")), PartEnd(index=1)],
        ["start 0 text", "delta 0 text_delta ![image](https://p.example/1)", "stop 0",
         "start 1 text", "delta 1 text_delta [audio, wav]", "stop 1"],
        id="files the model made",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("events", "lines"), STREAMS)
def test_events_become_frames(sdk_stream, stream_bytes, events, lines):
    frames = write([START, *events, ResponseEnd(finish_reason="stop")])
    assert short(frames) == ["message_start", *lines, *END]
    assert [frame.event for frame in frames] == [wire["type"] for wire in wires(frames)]
    sdk_stream([stream_bytes(frames)])


def test_message_start_waits_for_usage_that_comes_at_once():
    events = [START, UsageUpdate(usage=USAGE), Ping(), ResponseEnd(finish_reason="stop")]
    start, ping, *_ = wires(write(events))
    assert ping == {"type": "ping"}
    assert start["message"] == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 75,
            "cache_creation_input_tokens": 5,
            "cache_read_input_tokens": 20,
            "output_tokens": 30,
            "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 0},
            "output_tokens_details": {"thinking_tokens": 10},
        },
    }


def test_message_delta_waits_for_usage_that_comes_last():
    text = [PartStart(index=0, part=TextPart(text="a")), PartEnd(index=0)]
    start, *_, last, _ = wires(
        write([START, *text, UsageUpdate(usage=USAGE), ResponseEnd(finish_reason="stop", stop_sequence="END")])
    )
    assert start["message"]["usage"]["input_tokens"] == 0
    assert last == {
        "type": "message_delta",
        "delta": {"stop_reason": "stop_sequence", "stop_sequence": "END"},
        "usage": {
            "input_tokens": 75,
            "cache_creation_input_tokens": 5,
            "cache_read_input_tokens": 20,
            "output_tokens": 30,
            "output_tokens_details": {"thinking_tokens": 10},
        },
    }


def test_extensions_of_this_dialect_stand_where_they_belong():
    extensions = {
        "anthropic": {"stop_details": Raw(b'{"type":"refusal"}'), "context_management": Raw(b"{}")},
        "gemini": {"x": 1},
    }
    *_, last, _ = wires(write([START, ResponseEnd(finish_reason="content_filter", extensions=extensions)]))
    assert last["delta"] == {"stop_reason": "refusal", "stop_sequence": None, "stop_details": {"type": "refusal"}}
    assert last["context_management"] == {}
    assert "x" not in last


@pytest.mark.parametrize(
    ("answer_id", "sent"), [("msg_1", "msg_1"), ("chatcmpl-a.b", "msg_chatcmpl-a_b"), ("", "msg_0")]
)
def test_an_answers_id_looks_like_one(answer_id, sent):
    start, *_ = wires(write([ResponseStart(id=answer_id, model=""), ResponseEnd(finish_reason="stop")]))
    assert start["message"]["id"] == sent
    assert start["message"]["model"] == "asked-for"


@pytest.mark.parametrize(
    ("finish", "has_call", "reason"),
    [
        ("stop", False, "end_turn"),
        ("stop", True, "tool_use"),
        ("tool_calls", True, "tool_use"),
        ("length", True, "max_tokens"),
        ("content_filter", True, "refusal"),
        ("refusal", False, "refusal"),
        ("pause", False, "pause_turn"),
    ],
)
def test_every_finish_has_a_stop_reason(translator, finish, has_call, reason):
    parts = (call("c"),) if has_call else ()
    events = [PartStart(index=0, part=parts[0]), PartEnd(index=0)] if has_call else []
    *_, last, _ = wires(write([START, *events, ResponseEnd(finish_reason=finish)]))
    assert last["delta"]["stop_reason"] == reason
    whole = translator.encode_response(ChatResponse(id="a", model="m", parts=parts, finish_reason=finish), REQUEST)
    assert msgspec.json.decode(whole)["stop_reason"] == reason


def test_an_answer_that_ended_in_an_error_has_no_normal_end(translator):
    assert short(write([START, ResponseEnd(finish_reason="error")])) == ["message_start", "error"]
    with pytest.raises(UpstreamFailed):
        translator.encode_response(ChatResponse(id="a", model="m", parts=(), finish_reason="error"), REQUEST)


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        (StreamBroken("cut off"), "api_error", True),
        (UpstreamFailed("Overloaded", status=529), "overloaded_error", True),
        (RequestError("no"), "invalid_request_error", False),
    ],
)
def test_a_failure_in_mid_stream_is_an_error_event_and_nothing_more(translator, error, kind, retryable):
    encoder = translator.response_encoder(REQUEST)
    events = [START, PartStart(index=0, part=call("c0")), ToolArgumentsDelta(index=0, text='{"a"')]
    before = [frame for event in events for frame in encoder.feed(event)]
    failed = list(encoder.fail(error))
    assert short([*before, *failed]) == [
        "message_start",
        "start 0 tool_use",
        'delta 0 input_json_delta {"a"',
        "error",
    ]
    wanted = {"type": "error", "error": {"type": kind, "message": error.text, "retryable": retryable}}
    assert failed[0].event == "error"
    assert wires(failed) == [wanted]
    assert wires(translator.tap().fail(error)) == [wanted]
    assert list(encoder.close()) == []


# --- stream and whole -------------------------------------------------------------------------------------------------

ANSWERS = [
    pytest.param((TextPart(text="Hé\n\u2028😀"),), "stop", id="text"),
    pytest.param((), "stop", id="nothing"),
    pytest.param((TextPart(text=""), TextPart(text="a"), ReasoningPart(text="")), "length", id="empty parts"),
    pytest.param(
        (
            ReasoningPart(text="Hm.", provider_metadata={"anthropic": {"signature": "S"}}),
            ReasoningPart(text="unsigned"),
            ReasoningPart(text="", provider_metadata={"anthropic": {"redacted_data": "R"}}),
            TextPart(text="a"),
        ),
        "stop",
        id="thinking",
    ),
    pytest.param(
        (
            TextPart(text="a"),
            ToolCallPart(id="call:1", name="read", arguments='{"path": "x"}'),
            ToolCallPart(
                id="c2", name="read", arguments="", provider_metadata={"anthropic": {"caller": Raw(b'{"type":"direct"}')}}
            ),
        ),
        "tool_calls",
        id="calls",
    ),
    pytest.param(
        (
            TextPart(
                text="",
                provider_metadata={
                    "anthropic": {
                        "block": Raw(
                            b'{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"x"}}'
                        )
                    }
                },
            ),
            TextPart(
                text="So.",
                provider_metadata={
                    "anthropic": {
                        "citations": [
                            Raw(
                                b'{"type":"page_location","cited_text":"a","document_index":0,"document_title":null,'
                                b'"end_page_number":2,"file_id":null,"start_page_number":1}'
                            )
                        ]
                    }
                },
            ),
        ),
        "pause",
        id="a search and citations",
    ),
]  # fmt: skip


def exploded(answer):
    yield ResponseStart(id=answer.id, model=answer.model)
    deltas = {TextPart: TextDelta, ReasoningPart: ReasoningDelta}
    for index, part in enumerate(answer.parts):
        if isinstance(part, ToolCallPart):
            yield PartStart(index=index, part=msgspec.structs.replace(part, arguments=""))
            yield ToolArgumentsDelta(index=index, text=part.arguments)
        else:
            yield PartStart(index=index, part=msgspec.structs.replace(part, text="", provider_metadata={})
                            if "block" not in part.provider_metadata.get("anthropic", {}) else part)  # fmt: skip
            yield deltas[type(part)](index=index, text=part.text)
            yield MetadataDelta(index=index, provider_metadata=part.provider_metadata)
        yield PartEnd(index=index)
    yield UsageUpdate(usage=answer.usage)
    yield ResponseEnd(finish_reason=answer.finish_reason)


@pytest.mark.parametrize(("parts", "finish"), ANSWERS)
def test_stream_and_whole_are_one_answer_to_the_client(
    translator, sdk_stream, sdk_message, stream_bytes, parts, finish
):
    usage = msgspec.structs.replace(USAGE, cache_write_tokens=0)
    answer = ChatResponse(id="a-1", model="m", parts=parts, finish_reason=finish, usage=usage)
    whole = sdk_message(translator.encode_response(answer, REQUEST))
    assert sdk_stream([stream_bytes(write(exploded(answer)))]) == whole


@pytest.mark.parametrize(
    ("arguments", "sent_input"), [('{"a":', {"input": '{"a":'}), ("", {}), ("[]", {"input": "[]"})]
)
def test_a_whole_answer_always_has_an_object_for_input(translator, arguments, sent_input):
    part = ToolCallPart(id="c", name="read", arguments=arguments)
    body = translator.encode_response(ChatResponse(id="a", model="m", parts=(part,), finish_reason="length"), REQUEST)
    assert msgspec.json.decode(body)["content"][0]["input"] == sent_input


# --- any interleaving -------------------------------------------------------------------------------------------------

ARGUMENTS = st.dictionaries(st.text(max_size=3), st.one_of(st.integers(0, 9), st.text(max_size=5)), max_size=3).map(
    lambda value: msgspec.json.encode(value).decode()
)


@given(st.data())
def test_calls_keep_id_name_and_arguments_however_they_interleave_and_the_bytes_are_cut(sdk_stream, stream_bytes, data):
    calls = data.draw(st.lists(ARGUMENTS, min_size=1, max_size=4))
    begun: list[list[object]] = []
    for at, arguments in enumerate(calls):
        cuts = sorted(data.draw(st.sets(st.integers(0, len(arguments)), max_size=3)) | {0, len(arguments)})
        pieces = [arguments[a:b] for a, b in pairwise(cuts)]
        begun.append(
            [
                PartStart(index=at, part=call(f"c{at}", f"n{at}")),
                *(ToolArgumentsDelta(index=at, text=piece) for piece in pieces),
                PartEnd(index=at),
            ]
        )
    events = [begun[0].pop(0)]
    started = 1
    while any(begun):
        ready = [queue for queue in begun[: started + 1] if queue]
        queue = data.draw(st.sampled_from(ready))
        if isinstance(queue[0], PartStart):
            started += 1
        events.append(queue.pop(0))
    stream = stream_bytes(write([START, *events, ResponseEnd(finish_reason="tool_calls")]))
    size = data.draw(st.integers(1, len(stream)))
    message = sdk_stream([stream[at : at + size] for at in range(0, len(stream), size)])
    found = [(block["id"], block["name"], block["input"]) for block in message["content"]]
    assert found == [(f"c{at}", f"n{at}", msgspec.json.decode(arguments)) for at, arguments in enumerate(calls)]
    assert message["stop_reason"] == "tool_use"
