"""What upstreams of this dialect send, with all their habits, to events and whole answers."""

import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omniroute.api import (
    ChatResponse,
    ContextTooLong,
    CredentialRejected,
    Event,
    Frame,
    ImagePart,
    OutOfCredit,
    Overloaded,
    PartEnd,
    PartStart,
    QuotaExhausted,
    RateLimited,
    ReasoningDelta,
    ReasoningPart,
    ResponseEnd,
    ResponseStart,
    StreamBroken,
    TextDelta,
    TextPart,
    ToolArgumentsDelta,
    ToolCallPart,
    UpstreamError,
    UpstreamFailed,
    UpstreamGarbled,
    UpstreamModelMissing,
    UpstreamRefused,
    Usage,
    UsageUpdate,
    fold,
)
from omniroute_translator_openai_chat import OpenAIChat
from omniroute_translator_openai_chat.chunks import read_answer
from omniroute_translator_openai_chat.response_in import folded_answer, plain_answer

TRANSLATOR = OpenAIChat(now=lambda: 0.0, new_id=lambda: "fresh")
DONE = Frame(b"[DONE]")
USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 80, "cache_write_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 7},
}
COUNTED = Usage(input_tokens=100, output_tokens=20, cached_tokens=80, cache_write_tokens=5, reasoning_tokens=7)


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **fields}


def tools(*calls: dict[str, Any]) -> dict[str, Any]:
    return chunk({"tool_calls": list(calls)})


def piece(index: int | None, arguments: str | None = None, call_id: Any = ..., name: Any = ...) -> dict[str, Any]:
    call: dict[str, Any] = {} if index is None else {"index": index}
    if call_id is not ...:
        call["id"] = call_id
    function = {} if name is ... else {"name": name}
    return {**call, "function": function if arguments is None else {**function, "arguments": arguments}}


FINISH = chunk(finish="stop")
START = ResponseStart(id="chatcmpl-1", model="m")


def events_of(chunks: Iterable[dict[str, Any] | bytes]) -> list[Event]:
    decoder = TRANSLATOR.response_decoder()
    events: list[Event] = []
    for data in chunks:
        events += decoder.feed(Frame(data if isinstance(data, bytes) else json.dumps(data).encode()))
    events += decoder.feed(DONE)
    return [*events, *decoder.close()]


def answer(*parts: Any, finish: Any = "stop", usage: Usage | None = None) -> ChatResponse:
    return ChatResponse(id="chatcmpl-1", model="m", parts=parts, finish_reason=finish, usage=usage)


def call(call_id: str, arguments: str = "{}", name: str = "f") -> ToolCallPart:
    return ToolCallPart(id=call_id, name=name, arguments=arguments)


def test_events_come_in_the_order_of_the_contract():
    assert events_of(
        [
            chunk({"role": "assistant", "content": ""}),
            chunk({"reasoning_content": "hm"}),
            chunk({"content": "a"}),
            chunk({"content": "b"}),
            tools(piece(0, "", "c1", "f")),
            tools(piece(0, '{"x":')),
            tools(piece(0, "1}")),
            chunk(finish="tool_calls"),
            {**chunk(), "choices": [], "usage": USAGE},
        ]
    ) == [
        START,
        PartStart(index=0, part=ReasoningPart(text="")),
        ReasoningDelta(index=0, text="hm"),
        PartEnd(index=0),
        PartStart(index=1, part=TextPart(text="")),
        TextDelta(index=1, text="a"),
        TextDelta(index=1, text="b"),
        PartEnd(index=1),
        PartStart(index=2, part=call("c1", arguments="")),
        ToolArgumentsDelta(index=2, text='{"x":'),
        ToolArgumentsDelta(index=2, text="1}"),
        UsageUpdate(usage=COUNTED),
        PartEnd(index=2),
        ResponseEnd(finish_reason="tool_calls"),
    ]


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        pytest.param(
            [{**chunk(), "choices": [], "id": "", "model": ""}, chunk({"content": "a"}), FINISH],
            answer(TextPart(text="a")),
            id="a first chunk without choices",
        ),
        pytest.param(
            [chunk({"content": "a"}, usage=None), chunk(finish="stop", usage=USAGE)],
            answer(TextPart(text="a"), usage=COUNTED),
            id="usage on the finish chunk",
        ),
        pytest.param(
            [
                chunk({"content": "a"}, usage={"prompt_tokens": 100, "completion_tokens": 1}),
                FINISH,
                {**chunk(), "choices": [], "usage": USAGE},
                {**chunk(), "choices": [], "usage": None},
            ],
            answer(TextPart(text="a"), usage=COUNTED),
            id="usage again and again",
        ),
        pytest.param(
            [chunk({"role": "assistant", "content": "a"}), chunk({"role": "assistant", "content": "b"}), FINISH],
            answer(TextPart(text="ab")),
            id="the role on every chunk",
        ),
        pytest.param(
            [chunk({"content": None}), chunk({"content": "a", "tool_calls": [], "refusal": None}), FINISH],
            answer(TextPart(text="a")),
            id="null and empty fields",
        ),
        pytest.param(
            [
                chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}),
                chunk({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}),
                FINISH,
            ],
            answer(ReasoningPart(text="hm"), TextPart(text="ab")),
            id="content as a list of parts",
        ),
        pytest.param(
            [chunk({"content": "a"}, finish="length")],
            answer(TextPart(text="a"), finish="length"),
            id="text on the finish chunk",
        ),
        pytest.param(
            [chunk({"content": "a"}), FINISH, chunk(finish="length")],
            answer(TextPart(text="a")),
            id="two finish reasons",
        ),
        pytest.param(
            [chunk({"content": "a"}), FINISH, chunk({"content": "b"})],
            answer(TextPart(text="ab")),
            id="text after the finish",
        ),
        pytest.param([chunk({"reasoning": "hm"}), FINISH], answer(ReasoningPart(text="hm")), id="reasoning"),
        pytest.param(
            [chunk({"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}), FINISH],
            answer(ReasoningPart(text="hm")),
            id="reasoning told twice",
        ),
        pytest.param(
            [chunk({"reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}]}), FINISH],
            answer(ReasoningPart(text="hm")),
            id="reasoning_details alone",
        ),
        pytest.param(
            [chunk({"refusal": "I "}), chunk({"refusal": "won't"}), FINISH],
            answer(TextPart(text="I won't", provider_metadata={"openai-chat": {"refusal": True}})),
            id="refusal",
        ),
        pytest.param(
            [chunk({"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}), FINISH],
            answer(ImagePart(media_type="image/png", data="AAAA")),
            id="an image",
        ),
        pytest.param(
            [tools(piece(0, "{}", "c1", "f")), FINISH], answer(call("c1"), finish="tool_calls"), id="stop after a call"
        ),
        pytest.param(
            [tools(piece(0, "{", "c1", "f")), chunk(finish="length")],
            answer(call("c1", "{"), finish="length"),
            id="cut off within a call",
        ),
        pytest.param(
            [tools(piece(0, "{}", "c1", "f")), chunk(finish="content_filter")],
            answer(call("c1"), finish="content_filter"),
            id="filtered after a call",
        ),
        pytest.param(
            [tools(piece(0, "", "c1", "f")), FINISH],
            answer(call("c1", "{}"), finish="tool_calls"),
            id="no arguments at all",
        ),
        pytest.param(
            [tools(piece(0, "{", "c1", "f")), tools(piece(0, "}", None, None)), FINISH],
            answer(call("c1"), finish="tool_calls"),
            id="null id and name later",
        ),
        pytest.param(
            [tools(piece(0, "{", "c1", "f")), tools(piece(0, "}", "", "")), FINISH],
            answer(call("c1"), finish="tool_calls"),
            id="empty id and name later",
        ),
        pytest.param(
            [tools(piece(0, "{", "c1", "f")), tools(piece(0, "}", "c1", "f")), FINISH],
            answer(call("c1"), finish="tool_calls"),
            id="id and name on every piece",
        ),
        pytest.param(
            [tools(piece(0, "{", "c1")), tools(piece(0, '"x":')), tools(piece(0, "1}", name="f")), FINISH],
            answer(call("c1", '{"x":1}'), finish="tool_calls"),
            id="the name comes last",
        ),
        pytest.param(
            [tools(piece(0, "{", None, "f")), tools(piece(0, "}", "c1")), FINISH],
            answer(call("c1"), finish="tool_calls"),
            id="the id comes second",
        ),
        pytest.param(
            [tools(piece(0, "{", name="f")), tools(piece(0, "}")), FINISH],
            answer(call("call_fresh"), finish="tool_calls"),
            id="the id never comes",
        ),
        pytest.param(
            [tools(piece(1, "{}", "c1", "f")), tools(piece(2, "{}", "c2", "f")), FINISH],
            answer(call("c1"), call("c2"), finish="tool_calls"),
            id="indexes start at 1",
        ),
        pytest.param(
            [tools(piece(None, "{", "c1", "f")), tools(piece(None, "}")), tools(piece(None, "{}", "c2", "f")), FINISH],
            answer(call("c1"), call("c2"), finish="tool_calls"),
            id="no index: a new id is a new call",
        ),
        pytest.param(
            [
                tools(piece(None, "{", "c1", "f"), piece(None, "[", "c2", "g")),
                tools(piece(None, "}", "c1"), piece(None, "]", "c2")),
                FINISH,
            ],
            answer(call("c1"), call("c2", "[]", "g"), finish="tool_calls"),
            id="no index: pieces are told apart by id",
        ),
        pytest.param(
            [tools(piece(0, "{}", "c1", "f"), piece(1, "{}", "c2", "f")), FINISH],
            answer(call("c1"), call("c2"), finish="tool_calls"),
            id="two calls in one delta",
        ),
        pytest.param(
            [tools(piece(0, "{}", "c1", "f")), tools(piece(0, "{}", "c2", "g")), FINISH],
            answer(call("c1"), call("c2", name="g"), finish="tool_calls"),
            id="index 0 for every call",
        ),
        pytest.param(
            [tools(piece(0, "{}", "c1", "f"), piece(1, "{}", "c1", "f")), FINISH],
            answer(call("c1"), call("call_fresh"), finish="tool_calls"),
            id="one id for two calls",
        ),
        pytest.param(
            [tools({"index": 0, "id": "c1", "function": {"name": "f", "arguments": {"x": 1}}}), FINISH],
            answer(call("c1", '{"x":1}'), finish="tool_calls"),
            id="arguments as an object",
        ),
        pytest.param(
            [tools(piece(0, "{}", "c1", "f")), chunk({"content": "done"}), FINISH],
            answer(call("c1"), TextPart(text="done"), finish="tool_calls"),
            id="text after a call",
        ),
        pytest.param(
            [
                chunk({"function_call": {"name": "f", "arguments": ""}}),
                chunk({"function_call": {"arguments": "{}"}}),
                chunk(finish="function_call"),
            ],
            answer(call("call_fresh"), finish="tool_calls"),
            id="the form before tools",
        ),
        pytest.param(
            [
                tools({"index": 0, "id": "c1", "type": "custom", "custom": {"name": "f", "input": 'a "'}}),
                tools({"index": 0, "custom": {"input": 'b"\n'}}),
                FINISH,
            ],
            answer(call("c1", '{"input":"a \\"b\\"\\n"}'), finish="tool_calls"),
            id="a custom call",
        ),
        pytest.param(
            [
                {
                    **chunk(),
                    "choices": [
                        {"index": 0, "delta": {"content": "a"}},
                        {"index": 1, "delta": tools(piece(0, "{}", "c1", "f"))["choices"][0]["delta"]},
                    ],
                },
                FINISH,
            ],
            answer(TextPart(text="a"), call("c1"), finish="tool_calls"),
            id="text and call in two choices",
        ),
        pytest.param(
            [chunk({"content": "a"}), chunk(finish="eos")], answer(TextPart(text="a")), id="a reason nobody knows"
        ),
        pytest.param([chunk(), FINISH], answer(), id="nothing said"),
        pytest.param(
            [b"", chunk({"content": "a"}), b'{"choices":null}', FINISH], answer(TextPart(text="a")), id="empty frames"
        ),
        pytest.param(
            [b'{"id":7,"model":null,"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}'],
            ChatResponse(id="7", model="", parts=(TextPart(text="a"),), finish_reason="stop"),
            id="odd ids",
        ),
        pytest.param(
            [
                b'{"id":"chatcmpl-1","model":"m","choices":[{"index":null,"delta":null,"finish_reason":null}]}',
                FINISH,
                chunk(usage={"prompt_tokens": 3.0, "completion_tokens": None}),
            ],
            answer(usage=Usage(input_tokens=3)),
            id="odd numbers",
        ),
    ],
)
def test_a_stream_folds_to_the_answer_it_means(chunks, expected):
    assert fold(events_of(chunks)) == expected


def test_calls_in_turn_keep_a_part_each():
    events = events_of(
        [
            tools(piece(0, "", "c1", "f"), piece(1, "", "c2", "g")),
            tools(piece(1, "[")),
            tools(piece(0, "{")),
            tools(piece(1, "]"), piece(0, "}")),
            FINISH,
        ]
    )
    deltas = [(event.index, event.text) for event in events if isinstance(event, ToolArgumentsDelta)]
    assert deltas == [(1, "["), (0, "{"), (1, "]"), (0, "}")]


HIGH, LOW = "\\ud83d", "\\ude00"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param([f"a{HIGH}", f"{LOW}b"], "a😀b", id="joined"),
        pytest.param([HIGH, LOW], "😀", id="nothing else in the chunks"),
        pytest.param([f"a{HIGH}", "b"], "a\ufffdb", id="the second half never comes"),
        pytest.param([f"a{HIGH}"], "a\ufffd", id="the stream ends between"),
        pytest.param([f"{LOW}a"], "\ufffda", id="the first half never came"),
        pytest.param([f"é{HIGH}{LOW}{HIGH}", f"{LOW}"], "é😀😀", id="after a whole one"),
    ],
)
@pytest.mark.parametrize("field", ["content", "reasoning_content"])
def test_halves_of_a_surrogate_pair_are_held_back_and_joined(texts, expected, field):
    chunks = [f'{{"choices":[{{"delta":{{"{field}":"{text}"}}}}]}}'.encode() for text in texts]
    response = fold(events_of([*chunks, FINISH]))
    assert [part.text for part in response.parts] == [expected]


def test_halves_in_arguments_are_joined_too():
    chunks = [
        b'{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"\\ud83d"}}]}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\\ude00"}}]}}]}',
    ]
    (part,) = fold(events_of([*chunks, FINISH])).parts
    assert part.arguments == "😀"


# --- the whole answer -------------------------------------------------------------------------------------------------


def whole(message: dict[str, Any], finish: str | None = "stop", **fields: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return json.dumps(
        {"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "choices": [choice], **fields}
    ).encode()


WHOLE_CALLS = [
    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
    {"id": "c2", "type": "function", "function": {"name": "f", "arguments": ""}},
]


@pytest.mark.parametrize(
    ("body", "chunks", "expected"),
    [
        pytest.param(
            whole({"content": "Hello"}, usage=USAGE),
            [
                chunk({"role": "assistant", "content": ""}),
                chunk({"content": "Hel"}),
                chunk({"content": "lo"}),
                FINISH,
                {**chunk(), "choices": [], "usage": USAGE},
            ],
            answer(TextPart(text="Hello"), usage=COUNTED),
            id="text",
        ),
        pytest.param(
            whole({"content": "T", "reasoning_content": "R", "tool_calls": WHOLE_CALLS}, "tool_calls"),
            [
                chunk({"reasoning_content": "R"}),
                chunk({"content": "T"}),
                tools(piece(0, "", "c1", "f"), piece(1, "", "c2", "f")),
                tools(piece(0, '{"x": ')),
                tools(piece(0, "1}")),
                chunk(finish="tool_calls"),
            ],
            answer(
                ReasoningPart(text="R"), TextPart(text="T"), call("c1", '{"x": 1}'), call("c2"), finish="tool_calls"
            ),
            id="everything",
        ),
        pytest.param(
            whole({"content": None, "tool_calls": WHOLE_CALLS[:1]}, "stop", usage=None),
            [tools(piece(0, '{"x": 1}', "c1", "f")), FINISH],
            answer(call("c1", '{"x": 1}'), finish="tool_calls"),
            id="a call and stop",
        ),
        pytest.param(
            whole({"content": None, "refusal": "no"}),
            [chunk({"refusal": "no"}), FINISH],
            answer(TextPart(text="no", provider_metadata={"openai-chat": {"refusal": True}})),
            id="refusal",
        ),
        pytest.param(
            whole({"content": "", "tool_calls": []}, "content_filter"),
            [chunk({"content": ""}), chunk(finish="content_filter")],
            answer(finish="content_filter"),
            id="filtered",
        ),
        pytest.param(
            whole({"content": None, "function_call": {"name": "f", "arguments": "{}"}}, "function_call"),
            [
                chunk({"function_call": {"name": "f"}}),
                chunk({"function_call": {"arguments": "{}"}}),
                chunk(finish="function_call"),
            ],
            answer(call("call_fresh"), finish="tool_calls"),
            id="the form before tools",
        ),
    ],
)
def test_a_whole_answer_and_its_stream_are_the_same_answer(body, chunks, expected):
    assert TRANSLATOR.decode_response(body) == expected
    assert fold(events_of(chunks)) == expected


def test_two_whole_calls_with_one_id_are_two_calls():
    call_wire = {"id": "same", "function": {"name": "f", "arguments": "{}"}}
    response = TRANSLATOR.decode_response(whole({"content": None, "tool_calls": [call_wire, call_wire]}))
    assert response.parts == (call("same"), call("call_fresh"))


def test_a_whole_answer_without_finish_reason_is_finished():
    assert TRANSLATOR.decode_response(whole({"content": "a"}, None)).finish_reason == "stop"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"choices":[]}',
        b'{"id":"x"}',
        b'{"choices":[{"message":5}]}',
        b'{"choices":[{"message":{"content":"\xff"}}]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_answer_is_garbled(body):
    with pytest.raises(UpstreamGarbled):
        TRANSLATOR.decode_response(body)


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [b"<html>", b"{", b'{"choices":5}', b"null", b'{"choices":[{"delta":{"content":"\xff"}}]}', b'{"x":"\\ud83d"'],
)
def test_a_frame_that_is_no_chunk_is_garbled(data):
    with pytest.raises(UpstreamGarbled):
        TRANSLATOR.response_decoder().feed(Frame(data))


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([], id="nothing"),
        pytest.param([chunk({"content": "a"})], id="text"),
        pytest.param([tools(piece(0, "{", "c1", "f"))], id="half a call"),
    ],
)
@pytest.mark.parametrize("ended", [True, False], ids=["DONE", "cut"])
def test_a_stream_without_finish_reason_is_broken(chunks, ended):
    decoder = TRANSLATOR.response_decoder()
    for data in chunks:
        decoder.feed(Frame(json.dumps(data).encode()))
    if ended:
        decoder.feed(DONE)
    with pytest.raises(StreamBroken):
        decoder.close()


def test_arguments_without_a_name_are_garbled():
    with pytest.raises(UpstreamGarbled):
        events_of([tools(piece(0, "{}", "c1")), FINISH])


ERRORS = [
    pytest.param({"message": "slow", "type": "rate_limit_error", "code": None}, RateLimited, 429, id="rate limit"),
    pytest.param({"message": "out", "type": "x", "code": "insufficient_quota"}, QuotaExhausted, 429, id="quota"),
    pytest.param({"message": "long", "code": "context_length_exceeded"}, ContextTooLong, 400, id="context"),
    pytest.param({"message": "who", "code": "invalid_api_key"}, CredentialRejected, 401, id="key"),
    pytest.param({"message": "pay", "code": 402}, OutOfCredit, 402, id="a status for a code"),
    pytest.param({"message": "busy", "code": "529"}, Overloaded, 529, id="a status as text"),
    pytest.param({"message": "what", "code": 404}, UpstreamModelMissing, 404, id="404"),
    pytest.param({"message": "bad", "type": "invalid_request_error", "param": "x"}, UpstreamRefused, 400, id="refused"),
    pytest.param({"message": "bad", "code": 418}, UpstreamRefused, 418, id="any 4xx"),
    pytest.param({"message": "oops", "code": 500}, UpstreamFailed, 500, id="500"),
    pytest.param({"message": None, "code": 1.5, "type": []}, UpstreamFailed, 502, id="nothing of use"),
    pytest.param("it broke", UpstreamFailed, 502, id="a text"),
]


@pytest.mark.parametrize(("error", "kind", "status"), ERRORS)
def test_a_reported_error_is_raised_as_what_it_is(error, kind, status):
    data = json.dumps({"error": error}).encode()
    for read in (TRANSLATOR.decode_response, lambda body: TRANSLATOR.response_decoder().feed(Frame(body))):
        with pytest.raises(UpstreamError) as caught:
            read(data)
        assert type(caught.value) is kind
        assert caught.value.status == status
    tap = TRANSLATOR.tap()
    tap.feed(Frame(data))
    assert type(tap.error) is kind


@pytest.mark.parametrize("count", [b"1e999", b"-5", b"NaN", b"9" * 400, b"9" * 5000])
def test_a_count_that_cannot_be_is_none_or_garbled(count):
    half = b'{"choices":[{"delta":{"content":"\\ud83d"}}],"usage":{"prompt_tokens":' + count + b"}}"
    try:
        usage = [
            event.usage for event in TRANSLATOR.response_decoder().feed(Frame(half)) if isinstance(event, UsageUpdate)
        ]
    except UpstreamGarbled:
        return
    assert usage == [Usage()]


@pytest.mark.parametrize("data", [b'{"message":"busy","code":503}', b'{"error":{"message":"busy","code":503}}'])
def test_an_event_called_error_is_an_error_in_either_wrapping(data):
    with pytest.raises(Overloaded, match="busy"):
        TRANSLATOR.response_decoder().feed(Frame(data, event="error"))


def test_an_event_called_error_need_not_be_json():
    with pytest.raises(UpstreamFailed):
        TRANSLATOR.response_decoder().feed(Frame(b"upstream timed out", event="error"))


def test_a_finish_reason_of_error_is_an_error():
    with pytest.raises(UpstreamFailed):
        events_of([chunk({"content": "a"}), chunk(finish="error")])


# --- the short way ----------------------------------------------------------------------------------------------------

SAID = st.dictionaries(
    st.sampled_from(["content", "reasoning", "reasoning_content", "refusal", "tool_calls", "images", "annotations"]),
    st.sampled_from(
        [None, "", "hi", " \n", "<think>why</think>so", " <thi", "\ud83d", "\ud83d\ude00", "é\U0001f600", [], {}]
    ),
)
CHOICES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "message": SAID,
            "delta": SAID,
            "finish_reason": st.sampled_from([None, "stop", "length", "odd", "error"]),
        },
    ),
    max_size=2,
)


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {"choices": CHOICES},
        optional={
            "id": st.sampled_from([None, 7, "a"]),
            "usage": st.sampled_from([None, USAGE]),
            "error": st.just("busy"),
        },
    )
)
def test_an_answer_that_is_plain_says_what_it_says_piece_by_piece(data):
    body = json.dumps(data).encode()
    try:
        plain = plain_answer(read_answer(body))
    except UpstreamGarbled:
        return
    assert plain is None or plain == folded_answer(read_answer(body), len(body), lambda: "fresh")


@pytest.mark.parametrize("text", ["Hello", " \n", "a < b", "<thi", "é\U0001f600"])
@pytest.mark.parametrize("finish", [None, "stop", "length", "content_filter", "tool_calls", "unheard-of"])
def test_an_answer_that_is_one_text_is_plain(text, finish):
    body = whole({"content": text, "refusal": None, "tool_calls": []}, finish, usage=USAGE)
    assert plain_answer(read_answer(body)) == folded_answer(read_answer(body), len(body), lambda: "fresh")


@pytest.mark.parametrize(
    "message",
    [
        {"content": "T", "reasoning": "R"},
        {"content": "T", "refusal": "no"},
        {"content": "T", "tool_calls": WHOLE_CALLS},
        {"content": "\ud83d"},
        {"content": " <think>R</think>T"},
        {"content": [{"type": "text", "text": "T"}]},
    ],
    ids=["reasoning", "a refusal", "calls", "half a pair", "thoughts in the text", "a list"],
)
def test_an_answer_with_anything_else_is_not_plain(message):
    assert plain_answer(read_answer(whole(message))) is None


# --- any interleaving -------------------------------------------------------------------------------------------------

CALLS = st.lists(
    st.tuples(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(min_size=1, max_size=30)), min_size=1, max_size=4
)


@st.composite
def cut_calls(draw: st.DrawFn) -> tuple[list[tuple[str, str, str]], list[dict[str, Any]]]:
    """Calls, and chunks that carry them: each cut anywhere, mixed in any order, several pieces to a chunk."""
    calls = [(f"c{number}", name, arguments) for number, (name, arguments) in enumerate(draw(CALLS))]
    first = draw(st.integers(0, 1))
    again = draw(st.sampled_from([..., None, "", "same"]))
    queues = []
    for number, (call_id, name, arguments) in enumerate(calls):
        cuts = sorted(draw(st.lists(st.integers(0, len(arguments)), max_size=4)))
        texts = [arguments[start:end] for start, end in zip([0, *cuts], [*cuts, len(arguments)], strict=True)]
        later = (call_id, name) if again == "same" else (again, again)
        opening = draw(st.booleans())  # name and id alone, or with the first arguments
        pieces = [piece(number + first, "" if opening else texts[0], call_id, name)]
        pieces += [piece(number + first, text, *later) for text in (texts if opening else texts[1:])]
        queues.append(pieces)
    order = draw(st.permutations([number for number, pieces in enumerate(queues) for _ in pieces]))
    line = [queues[number].pop(0) for number in order]
    chunks: list[dict[str, Any]] = []
    while line:
        size = draw(st.integers(1, len(line)))
        chunks.append(tools(*line[:size]))
        line = line[size:]
    return calls, chunks


@settings(deadline=None)
@given(cut_calls())
def test_any_interleaving_and_any_cutting_gives_the_same_calls(drawn):
    calls, chunks = drawn
    response = fold(events_of([*chunks, FINISH]))
    assert sorted((part.id, part.name, part.arguments) for part in response.parts) == sorted(calls)
    assert response.finish_reason == "tool_calls"


@settings(deadline=None)
@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["choices", "delta", "usage", "error", "id", "tool_calls", "content", "message", "function"]
                ),
                inner,
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_nothing_but_upstream_errors_comes_out_of_anything(data):
    for feed in (TRANSLATOR.response_decoder().feed, TRANSLATOR.tap().feed):
        with suppress(UpstreamError):
            feed(Frame(data))
    with suppress(UpstreamError):
        TRANSLATOR.decode_response(data)
