"""What clients get: chunks and whole answers the official SDK accepts, the same answer either way."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from omniroute.api import (
    ChatRequest,
    ChatResponse,
    Event,
    Frame,
    ImagePart,
    Message,
    MetadataDelta,
    PartEnd,
    PartStart,
    Ping,
    RateLimited,
    ReasoningDelta,
    ReasoningPart,
    ResponseEnd,
    ResponseStart,
    StreamBroken,
    TextDelta,
    TextPart,
    Tool,
    ToolArgumentsDelta,
    ToolCallPart,
    Usage,
    UsageUpdate,
    fold,
)
from omniroute_translator_openai_chat import OpenAIChat

TRANSLATOR = OpenAIChat(now=lambda: 1_700_000_000.9, new_id=lambda: "fresh")
REQUEST = ChatRequest(model="asked", messages=(Message(role="user", parts=(TextPart(text="hi"),)),), stream=True)
QUIET = ChatRequest(model="asked", messages=REQUEST.messages, stream=True, include_usage=False)
START = ResponseStart(id="chatcmpl-1", model="m")
USAGE = Usage(input_tokens=100, output_tokens=20, cached_tokens=80, cache_write_tokens=5, reasoning_tokens=7)
USAGE_WIRE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 80, "cache_write_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 7},
}
REFUSAL = {"openai-chat": {"refusal": True}}


def call(call_id: str, arguments: str = "", name: str = "f", **metadata: Any) -> ToolCallPart:
    return ToolCallPart(id=call_id, name=name, arguments=arguments, provider_metadata=metadata)


EVERYTHING: list[Event] = [
    START,
    PartStart(index=0, part=ReasoningPart(text="")),
    ReasoningDelta(index=0, text="hm"),
    PartEnd(index=0),
    Ping(),
    PartStart(index=1, part=TextPart(text="")),
    TextDelta(index=1, text='say "hi"\n'),
    TextDelta(index=1, text="😀"),
    PartEnd(index=1),
    PartStart(index=3, part=call("c1")),
    PartStart(index=4, part=call("c2", name="g")),
    ToolArgumentsDelta(index=4, text="["),
    ToolArgumentsDelta(index=3, text='{"x":1}'),
    ToolArgumentsDelta(index=4, text="]"),
    PartEnd(index=3),
    PartEnd(index=4),
    UsageUpdate(usage=USAGE),
    ResponseEnd(finish_reason="tool_calls"),
]


def frames_of(events: Iterable[Event], request: ChatRequest = REQUEST) -> list[Frame]:
    encoder = TRANSLATOR.response_encoder(request)
    return [frame for event in events for frame in encoder.feed(event)] + list(encoder.close())


def chunks_of(events: Iterable[Event], request: ChatRequest = REQUEST) -> list[dict[str, Any]]:
    *frames, last = frames_of(events, request)
    assert last == Frame(b"[DONE]")
    return [json.loads(frame.data) for frame in frames]


def deltas_of(events: Iterable[Event], request: ChatRequest = REQUEST) -> list[dict[str, Any]]:
    return [choice["delta"] for chunk in chunks_of(events, request) for choice in chunk["choices"]]


def whole(response: ChatResponse, request: ChatRequest = REQUEST) -> dict[str, Any]:
    return json.loads(TRANSLATOR.encode_response(response, request))


def around(*events: Event, finish: Any = "stop") -> list[Event]:
    return [START, *events, ResponseEnd(finish_reason=finish)]


def test_a_stream_is_written_chunk_by_chunk():
    assert deltas_of(EVERYTHING) == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "hm"},
        {"content": 'say "hi"\n'},
        {"content": "😀"},
        {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "["}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"x":1}'}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "]"}}]},
        {},
    ]


def test_all_chunks_are_of_one_answer_and_finish_once():
    chunks = chunks_of(EVERYTHING)
    heads = {(chunk["id"], chunk["model"], chunk["created"], chunk["object"]) for chunk in chunks}
    assert heads == {("chatcmpl-1", "m", 1_700_000_000, "chat.completion.chunk")}
    reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
    assert reasons == [None] * (len(reasons) - 1) + ["tool_calls"]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)


def test_usage_comes_in_a_chunk_of_its_own_and_only_when_asked_for():
    *others, last = chunks_of(EVERYTHING)
    assert last["choices"] == []
    assert last["usage"] == USAGE_WIRE
    assert not any("usage" in chunk for chunk in others)
    assert not any("usage" in chunk for chunk in chunks_of(EVERYTHING, QUIET))


def test_no_usage_is_made_up():
    assert not any("usage" in chunk for chunk in chunks_of(around()))
    assert "usage" not in whole(fold(around()))


def test_the_sdk_adds_the_chunks_up_to_the_whole_answer():
    state = ChatCompletionStreamState()
    for chunk in chunks_of(EVERYTHING):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    added_up = state.current_completion_snapshot.choices[0]
    answer = ChatCompletion.model_validate(whole(fold(EVERYTHING)), strict=True)
    assert added_up.message.content == answer.choices[0].message.content
    assert added_up.finish_reason == answer.choices[0].finish_reason
    assert [(c.id, c.function.name, c.function.arguments) for c in added_up.message.tool_calls] == [
        (c.id, c.function.name, c.function.arguments) for c in answer.choices[0].message.tool_calls
    ]
    assert state.current_completion_snapshot.usage == answer.usage


def test_what_is_written_reads_back_as_the_same_answer():
    decoder = TRANSLATOR.response_decoder()
    events = [event for frame in frames_of(EVERYTHING) for event in decoder.feed(frame)]
    streamed = fold([*events, *decoder.close()])
    assert streamed == TRANSLATOR.decode_response(TRANSLATOR.encode_response(fold(EVERYTHING), REQUEST))
    assert streamed == fold(EVERYTHING)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        pytest.param([TextPart(text="a")], {"content": "a"}, id="text"),
        pytest.param([], {"content": ""}, id="nothing"),
        pytest.param([TextPart(text="a"), TextPart(text="b")], {"content": "ab"}, id="two texts"),
        pytest.param(
            [ReasoningPart(text="r"), TextPart(text="a")], {"content": "a", "reasoning_content": "r"}, id="reasoning"
        ),
        pytest.param(
            [TextPart(text="no", provider_metadata=REFUSAL)], {"content": None, "refusal": "no"}, id="refusal"
        ),
        pytest.param(
            [call("c1", "")],
            {
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            id="a call without arguments",
        ),
        pytest.param(
            [call("c1", "{}", gemini={"thought_signature": "sig"})],
            {
                "content": None,
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "f", "arguments": "{}"},
                        "extra_content": {"google": {"thought_signature": "sig"}},
                    }
                ],
            },
            id="a thought signature",
        ),
        pytest.param(
            [ImagePart(media_type="image/png", data="AAAA")],
            {
                "content": "",
                "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
            },
            id="an image",
        ),
    ],
)
def test_a_whole_answer_is_one_message(parts, message):
    response = ChatResponse(id="chatcmpl-1", model="m", parts=tuple(parts), finish_reason="stop", usage=USAGE)
    body = whole(response)
    assert body == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "refusal": None, **message},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE_WIRE,
    }
    ChatCompletion.model_validate(body, strict=True)


@pytest.mark.parametrize(
    ("reason", "wire"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("content_filter", "content_filter"),
        ("refusal", "content_filter"),
        ("pause", "stop"),
    ],
)
def test_finish_reasons_are_the_dialects_own(reason, wire):
    assert chunks_of(around(finish=reason))[-1]["choices"][0]["finish_reason"] == wire
    assert whole(fold(around(finish=reason)))["choices"][0]["finish_reason"] == wire


@pytest.mark.parametrize(
    ("upstream", "client"),
    [("chatcmpl-9", "chatcmpl-9"), ("msg_01", "chatcmpl-msg_01"), ("", "chatcmpl-fresh")],
)
def test_an_answers_id_looks_like_the_dialects_and_names_the_upstreams(upstream, client):
    events: list[Event] = [ResponseStart(id=upstream, model=""), ResponseEnd(finish_reason="stop")]
    assert {chunk["id"] for chunk in chunks_of(events)} == {client}
    assert whole(fold(events))["id"] == client
    assert whole(fold(events))["model"] == "asked"


@pytest.mark.parametrize(
    ("events", "deltas"),
    [
        pytest.param(
            [PartStart(index=0, part=TextPart(text="all at once")), PartEnd(index=0)],
            [{"content": "all at once"}],
            id="text in the part's start",
        ),
        pytest.param(
            [PartStart(index=0, part=TextPart(text="", provider_metadata=REFUSAL)), TextDelta(index=0, text="no")],
            [{"refusal": "no"}],
            id="refusal",
        ),
        pytest.param(
            [PartStart(index=0, part=call("c1")), PartEnd(index=0)],
            [
                {
                    "tool_calls": [
                        {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
                    ]
                },
                {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
            ],
            id="a call without arguments",
        ),
        pytest.param(
            [PartStart(index=0, part=call("c1", "{}")), PartEnd(index=0)],
            [
                {
                    "tool_calls": [
                        {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                    ]
                }
            ],
            id="a call that came whole",
        ),
        pytest.param(
            [
                PartStart(index=0, part=call("c1", "{}")),
                MetadataDelta(index=0, provider_metadata={"gemini": {"thought_signature": "sig"}}),
                MetadataDelta(index=0, provider_metadata={"anthropic": {"signature": "sig"}}),
                PartEnd(index=0),
            ],
            [
                {
                    "tool_calls": [
                        {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                    ]
                },
                {"tool_calls": [{"index": 0, "extra_content": {"google": {"thought_signature": "sig"}}}]},
            ],
            id="a thought signature that comes late",
        ),
        pytest.param(
            [PartStart(index=0, part=ImagePart(url="https://example.test/a.png")), PartEnd(index=0)],
            [{"images": [{"type": "image_url", "image_url": {"url": "https://example.test/a.png"}}]}],
            id="an image",
        ),
    ],
)
def test_parts_are_streamed_in_the_dialects_fields(events, deltas):
    assert deltas_of(around(*events)) == [{"role": "assistant", "content": ""}, *deltas, {}]


def test_a_custom_tool_is_called_with_its_text_in_one_piece():
    patch = Tool(name="patch", kind="custom")
    request = ChatRequest(model="m", messages=REQUEST.messages, tools=(patch,))
    events = around(
        PartStart(index=0, part=call("c1", name="patch")),
        ToolArgumentsDelta(index=0, text='{"input":"a\\'),
        ToolArgumentsDelta(index=0, text='nb"}'),
        PartEnd(index=0),
        finish="tool_calls",
    )
    wire = {"id": "c1", "type": "custom", "custom": {"name": "patch", "input": "a\nb"}}
    assert deltas_of(events, request)[1:-1] == [{"tool_calls": [{"index": 0, **wire}]}]
    body = whole(fold(events), request)
    assert body["choices"][0]["message"]["tool_calls"] == [wire]
    ChatCompletion.model_validate(body, strict=True)


def test_a_client_from_before_tools_gets_the_call_it_knows():
    legacy = Tool(name="f", provider_metadata={"openai-chat": {"legacy": True}})
    request = ChatRequest(model="m", messages=REQUEST.messages, tools=(legacy,), include_usage=False)
    chunks = chunks_of(EVERYTHING, request)
    assert [choice["delta"] for chunk in chunks for choice in chunk["choices"]][-3:] == [
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": '{"x":1}'}},
        {},
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "function_call"
    body = whole(fold(EVERYTHING), request)
    assert body["choices"][0]["message"]["function_call"] == {"name": "f", "arguments": '{"x":1}'}
    assert "tool_calls" not in body["choices"][0]["message"]
    ChatCompletion.model_validate(body, strict=True)


def test_a_failure_is_the_last_word():
    encoder = TRANSLATOR.response_encoder(REQUEST)
    encoder.feed(START)
    (frame,) = encoder.fail(StreamBroken("the stream ended", why="the upstream went away"))
    assert json.loads(frame.data) == {
        "error": {
            "message": "the stream ended · the upstream went away",
            "type": "server_error",
            "retryable": True,
            "param": None,
            "code": "stream_truncated",
        }
    }
    assert list(encoder.close()) == []


def test_an_answer_that_ended_in_error_never_looks_finished():
    frames = frames_of(around(finish="error"))
    assert "error" in json.loads(frames[-1].data)
    assert not any(b'"finish_reason":"' in frame.data for frame in frames)


def test_the_taps_failure_is_the_encoders():
    error = RateLimited("slow down", status=429)
    assert list(TRANSLATOR.tap().fail(error)) == list(TRANSLATOR.response_encoder(REQUEST).fail(error))
