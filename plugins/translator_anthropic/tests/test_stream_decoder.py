"""Upstream streams to events, and the same answers in one piece."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from omniroute.api import (
    AccountBlocked,
    ChatResponse,
    ContextTooLong,
    CredentialRejected,
    Frame,
    MetadataDelta,
    Overloaded,
    PartEnd,
    PartStart,
    Ping,
    RateLimited,
    ReasoningDelta,
    ReasoningPart,
    ResponseEnd,
    ResponseStart,
    SignatureRejected,
    StreamBroken,
    TextDelta,
    TextPart,
    ToolArgumentsDelta,
    ToolCallPart,
    UpstreamFailed,
    UpstreamGarbled,
    UpstreamModelMissing,
    UpstreamRefused,
    UpstreamTimeout,
    Usage,
    UsageUpdate,
)
from omniroute.testing import check_events
from omniroute_translator_anthropic import AnthropicTranslator


def frame(kind, **fields):
    return Frame(msgspec.json.encode({"type": kind, **fields}), kind)


def start(usage=None, **more):
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], **more}
    return frame("message_start", message={**message, "usage": usage or {"input_tokens": 25, "output_tokens": 1}})


def block(index, **fields):
    return frame("content_block_start", index=index, content_block=fields)


def delta(index, kind, **fields):
    return frame("content_block_delta", index=index, delta={"type": kind, **fields})


def stop(index):
    return frame("content_block_stop", index=index)


def end(reason="end_turn", usage=None, **more):
    return [
        frame(
            "message_delta",
            delta={"stop_reason": reason, "stop_sequence": None, **more},
            usage=usage or {"output_tokens": 1},
        ),
        frame("message_stop"),
    ]


def run(frames, decoder=None):
    decoder = decoder or AnthropicTranslator().response_decoder()
    events = [event for one in frames for event in decoder.feed(one)]
    return [*events, *decoder.close()]


START = ResponseStart(id="msg_1", model="m")
FIRST_USAGE = UsageUpdate(usage=Usage(input_tokens=25, output_tokens=1))
PAGE = {
    "type": "page_location",
    "cited_text": "a",
    "document_index": 0,
    "start_page_number": 1,
    "end_page_number": 2,
}
PARIS = '{"city":"Paris"}'


def call(call_id="toolu_1", arguments="", **more):
    return ToolCallPart(id=call_id, name="weather", arguments=arguments, **more)


def mine(**fields):
    return {"anthropic": fields}


STREAMS = [
    pytest.param(
        [
            block(0, type="text", text=""),
            frame("ping"),
            delta(0, "text_delta", text="Hé"),
            delta(0, "text_delta", text=""),
            delta(0, "text_delta", text="llo"),
            stop(0),
            *end(),
        ],
        [
            Ping(),
            PartStart(index=0, part=TextPart(text="")),
            TextDelta(index=0, text="Hé"),
            TextDelta(index=0, text="llo"),
            PartEnd(index=0),
            UsageUpdate(usage=Usage(input_tokens=25, output_tokens=1)),
            ResponseEnd(finish_reason="stop"),
        ],
        id="text",
    ),
    pytest.param(
        [
            block(0, type="thinking", thinking="", signature=""),
            delta(0, "thinking_delta", thinking="Hm."),
            delta(0, "signature_delta", signature="EgF0"),
            stop(0),
            block(1, type="redacted_thinking", data="opaque"),
            stop(1),
            block(2, type="text", text="Begun, "),
            delta(2, "text_delta", text="done."),
            stop(2),
            *end(usage={"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}),
        ],
        [
            PartStart(index=0, part=ReasoningPart(text="")),
            ReasoningDelta(index=0, text="Hm."),
            MetadataDelta(index=0, provider_metadata=mine(signature="EgF0")),
            PartEnd(index=0),
            PartStart(index=1, part=ReasoningPart(text="", provider_metadata=mine(redacted_data="opaque"))),
            PartEnd(index=1),
            PartStart(index=2, part=TextPart(text="")),
            TextDelta(index=2, text="Begun, "),
            TextDelta(index=2, text="done."),
            PartEnd(index=2),
            UsageUpdate(usage=Usage(input_tokens=25, output_tokens=9, reasoning_tokens=4)),
            ResponseEnd(finish_reason="stop"),
        ],
        id="thinking, of which some is redacted",
    ),
    pytest.param(
        [
            block(0, type="text", text=""),
            stop(0),
            block(1, type="tool_use", id="toolu_1", name="weather", input={}),
            delta(1, "input_json_delta", partial_json=""),
            delta(1, "input_json_delta", partial_json='{"ci'),
            delta(1, "input_json_delta", partial_json='ty":"Paris"}'),
            stop(1),
            block(2, type="tool_use", id="toolu_2", name="weather", input={"city": "Paris"}),
            stop(2),
            block(3, type="tool_use", id="toolu_3", name="weather", input={}, caller={"type": "direct"}),
            stop(3),
            *end("tool_use"),
        ],
        [
            PartStart(index=0, part=call()),
            ToolArgumentsDelta(index=0, text='{"ci'),
            ToolArgumentsDelta(index=0, text='ty":"Paris"}'),
            PartEnd(index=0),
            PartStart(index=1, part=call("toolu_2")),
            ToolArgumentsDelta(index=1, text=PARIS),
            PartEnd(index=1),
            PartStart(index=2, part=call("toolu_3", provider_metadata=mine(caller=Raw(b'{"type":"direct"}')))),
            ToolArgumentsDelta(index=2, text="{}"),
            PartEnd(index=2),
            UsageUpdate(usage=Usage(input_tokens=25, output_tokens=1)),
            ResponseEnd(finish_reason="tool_calls"),
        ],
        id="calls with their input in pieces, in the start, and none; an empty text is no part",
    ),
    pytest.param(
        [
            block(0, type="server_tool_use", id="srvtoolu_1", name="web_search", input={}),
            delta(0, "input_json_delta", partial_json='{"query":'),
            delta(0, "input_json_delta", partial_json='"x"}'),
            stop(0),
            block(1, type="web_search_tool_result", tool_use_id="srvtoolu_1", content=[]),
            stop(1),
            *end(),
        ],
        [
            PartStart(
                index=0,
                part=TextPart(
                    text="",
                    provider_metadata=mine(
                        block=Raw(
                            b'{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"x"}}'
                        )
                    ),
                ),
            ),
            PartEnd(index=0),
            PartStart(
                index=1,
                part=TextPart(
                    text="",
                    provider_metadata=mine(
                        block=Raw(b'{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[]}')
                    ),
                ),
            ),
            PartEnd(index=1),
            UsageUpdate(usage=Usage(input_tokens=25, output_tokens=1)),
            ResponseEnd(finish_reason="stop"),
        ],
        id="what runs at the upstream is no call of the client's",
    ),
    pytest.param(
        [
            block(0, type="text", text=""),
            delta(0, "text_delta", text="So."),
            delta(0, "citations_delta", citation=PAGE),
            stop(0),
            *end(),
        ],
        [
            PartStart(index=0, part=TextPart(text="")),
            TextDelta(index=0, text="So."),
            MetadataDelta(index=0, provider_metadata=mine(citations=[Raw(msgspec.json.encode(PAGE))])),
            PartEnd(index=0),
            UsageUpdate(usage=Usage(input_tokens=25, output_tokens=1)),
            ResponseEnd(finish_reason="stop"),
        ],
        id="citations",
    ),
    pytest.param(
        [
            frame("content_block_pulse", index="odd", delta=7),
            Frame(b"[DONE]"),
            block(0, type="tool_use", id="toolu_1", name="weather", input={}),
            delta(0, "input_json_delta", partial_json=PARIS),
            delta(0, "confetti_delta", colour="red"),
            *end("end_turn"),
            frame("ping"),
        ],
        [
            PartStart(index=0, part=call()),
            ToolArgumentsDelta(index=0, text=PARIS),
            UsageUpdate(usage=Usage(input_tokens=25, output_tokens=1)),
            PartEnd(index=0),
            ResponseEnd(finish_reason="tool_calls"),
        ],
        id="odd events, a block without its stop, a call that ends as a plain stop",
    ),
]


@pytest.mark.parametrize(("frames", "events"), STREAMS)
def test_frames_become_events(frames, events):
    found = run([start(), *frames])
    assert found == [START, FIRST_USAGE, *events]
    check_events(found)


def test_frames_need_no_event_line(translator):
    frames = [start(), block(0, type="text", text=""), delta(0, "text_delta", text="a"), stop(0), *end()]
    assert run([Frame(one.data) for one in frames]) == run(frames)


@pytest.mark.parametrize(
    ("reason", "has_call", "finish"),
    [
        ("end_turn", False, "stop"),
        ("end_turn", True, "tool_calls"),
        ("stop_sequence", True, "tool_calls"),
        ("tool_use", True, "tool_calls"),
        ("tool_use", False, "stop"),
        ("max_tokens", True, "length"),
        ("model_context_window_exceeded", False, "length"),
        ("pause_turn", False, "pause"),
        ("refusal", True, "content_filter"),
        ("something_new", False, "stop"),
        (None, False, "stop"),
        (None, True, "tool_calls"),
    ],
)
def test_every_stop_reason_means_something(translator, reason, has_call, finish):
    content = [{"type": "tool_use", "id": "t", "name": "n", "input": {}}] if has_call else []
    blocks = [block(0, **content[0]), stop(0)] if has_call else []
    assert run([start(), *blocks, *end(reason)])[-1].finish_reason == finish
    body = msgspec.json.encode({"content": content, "stop_reason": reason})
    assert translator.decode_response(body).finish_reason == finish


@pytest.mark.parametrize(
    ("first", "last", "usage"),
    [
        pytest.param(
            {"input_tokens": 10, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 5, "output_tokens": 1},
            {"output_tokens": 12},
            Usage(input_tokens=45, output_tokens=12, cached_tokens=30, cache_write_tokens=5),
            id="the end counts the output",
        ),
        pytest.param(
            {"input_tokens": 10, "cache_read_input_tokens": 30, "output_tokens": 1},
            {"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 12},
            Usage(input_tokens=40, output_tokens=12, cached_tokens=30),
            id="a zero overwrites nothing",
        ),
        pytest.param(
            {"input_tokens": 0, "output_tokens": 0},
            {"input_tokens": 10, "cache_read_input_tokens": 30, "output_tokens": 12},
            Usage(input_tokens=40, output_tokens=12, cached_tokens=30),
            id="all is known at the end",
        ),
        pytest.param(
            {"input_tokens": 10, "output_tokens": 5},
            {"input_tokens": 12, "output_tokens": 7},
            Usage(input_tokens=12, output_tokens=7),
            id="later values replace, and are not added",
        ),
        pytest.param(
            {
                "input_tokens": 1,
                "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
            },
            {"output_tokens": 2, "output_tokens_details": {"thinking_tokens": 1}},
            Usage(
                input_tokens=31,
                output_tokens=2,
                cache_write_tokens=30,
                cache_write_1h_tokens=20,
                reasoning_tokens=1,
            ),
            id="caches by their time to live",
        ),
        pytest.param(
            {"input_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 20}},
            {"output_tokens": 2},
            Usage(input_tokens=21, output_tokens=2, cache_write_tokens=20, cache_write_1h_tokens=20),
            id="only the parts of what was written",
        ),
    ],
)
def test_usage_is_merged_by_decoder_and_tap_alike(translator, first, last, usage):
    frames = [start(first), *end(usage=last)]
    assert [event.usage for event in run(frames) if isinstance(event, UsageUpdate)][-1] == usage
    tap = translator.tap()
    for one in frames:
        tap.feed(one)
    assert tap.usage == usage


def test_what_only_this_dialect_says_of_an_answer_is_kept():
    last = frame(
        "message_delta",
        delta={"stop_reason": "refusal", "stop_sequence": None, "stop_details": {"type": "refusal"}, "container": None},
        usage={"output_tokens": 1},
        context_management={"applied_edits": []},
    )
    *_, ended = run([start(container={"id": "c"}, diagnostics=None), last, frame("message_stop")])
    assert ended.extensions == mine(
        container=Raw(b'{"id":"c"}'),
        stop_details=Raw(b'{"type":"refusal"}'),
        context_management=Raw(b'{"applied_edits":[]}'),
    )


EMOJI = "\\ud83d\\ude00"


def raw_text(escaped):
    data = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%b"}}' % escaped.encode()
    return Frame(data, "content_block_delta")


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        pytest.param([EMOJI], "😀", id="whole"),
        pytest.param(["a\\ud83d", "\\ude00b"], "a😀b", id="cut in two"),
        pytest.param(["\\ud83d", "\\ude00\\uD83D", "\\uDE00"], "😀😀", id="cut in two, twice"),
        pytest.param(["a\\ud83d", "b", "\\ude00c"], "abc", id="halves that never meet"),
        pytest.param(["\\\\ud83d", "\\\\ude00"], "\\ud83d\\ude00", id="text that only looks like it"),
    ],
)
def test_a_character_cut_in_two_is_joined(pieces, text):
    frames = [start(), block(0, type="text", text=""), *map(raw_text, pieces), stop(0), *end()]
    assert "".join(event.text for event in run(frames) if isinstance(event, TextDelta)) == text


# --- streams that go wrong --------------------------------------------------------------------------------------------

HALF_CALL = [
    start(),
    block(0, type="tool_use", id="toolu_1", name="weather", input={}),
    delta(0, "input_json_delta", partial_json='{"city":'),
]


def test_a_stream_without_its_end_is_broken(translator):
    whole = [start(), block(0, type="text", text=""), delta(0, "text_delta", text="a"), stop(0), *end()]
    for count in range(len(whole)):
        with pytest.raises(StreamBroken):
            run(whole[:count])


def test_a_call_cut_off_half_way_is_never_closed(translator):
    decoder = translator.response_decoder()
    events = [event for one in HALF_CALL for event in decoder.feed(one)]
    with pytest.raises(StreamBroken):
        list(decoder.close())
    with pytest.raises(StreamBroken):
        decoder.feed(frame("message_stop"))
    assert not any(isinstance(event, PartEnd) for event in events)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(Frame(b"<html>"), id="HTML"),
        pytest.param(Frame(b'{"type":"content_block_delta","index":0,"delta":'), id="cut JSON"),
        pytest.param(frame("content_block_delta", index=0, delta={"type": "text_delta", "text": 7}), id="a number"),
        pytest.param(delta(5, "text_delta", text="x"), id="a block that never began"),
        pytest.param(frame("content_block_start", index=1), id="a start without its block"),
        pytest.param(block(1, type="tool_use", id="t", name="", input={}), id="a call without a name"),
        pytest.param(block(1, type="tool_use", id="t", name="n", input="x"), id="input that is no object"),
    ],
)
def test_a_garbled_frame_is_told_and_leaves_the_rest_as_it_was(translator, bad):
    before = [start(), block(0, type="text", text=""), delta(0, "text_delta", text="a")]
    after = [delta(0, "text_delta", text="b"), stop(0), *end()]
    decoder = translator.response_decoder()
    events = [event for one in before for event in decoder.feed(one)]
    with pytest.raises(UpstreamGarbled):
        decoder.feed(bad)
    assert [*events, *run(after, decoder)] == run([*before, *after])


def test_content_before_the_message_is_garbled():
    with pytest.raises(UpstreamGarbled):
        run([block(0, type="text", text="a")])


ERRORS = [
    ("invalid_request_error", "no", UpstreamRefused, 400),
    ("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", ContextTooLong, 400),
    ("invalid_request_error", "messages.1: Invalid `signature` in `thinking` block", SignatureRejected, 400),
    ("authentication_error", "no", CredentialRejected, 401),
    ("billing_error", "no", AccountBlocked, 402),
    ("permission_error", "no", AccountBlocked, 403),
    ("not_found_error", "no", UpstreamModelMissing, 404),
    ("request_too_large", "no", UpstreamRefused, 413),
    ("rate_limit_error", "slow down", RateLimited, 429),
    ("api_error", "oops", UpstreamFailed, 500),
    ("timeout_error", "late", UpstreamTimeout, 504),
    ("overloaded_error", "Overloaded", Overloaded, 529),
    ("something_new", "hm", UpstreamFailed, 500),
]


@pytest.mark.parametrize(("kind", "message", "error", "status"), ERRORS)
def test_an_error_in_an_answer_is_raised_as_what_it_is(translator, kind, message, error, status):
    event = frame("error", error={"type": kind, "message": message})
    for read in (lambda: run([start(), event]), lambda: translator.decode_response(event.data)):
        with pytest.raises(error) as caught:
            read()
        assert type(caught.value) is error
        assert (caught.value.message, caught.value.upstream_status) == (message, status)
    tap = translator.tap()
    tap.feed(start())
    tap.feed(event)
    assert type(tap.error) is error


@pytest.mark.parametrize(
    "data", [b'{"type":"error"}', b'{"type":"error","error":"x"}', b'{"error":{"message":"m"}}'], ids=repr
)
def test_an_error_in_another_shape_is_still_one(data):
    with pytest.raises(UpstreamFailed):
        run([start(), Frame(data)])


# --- whole answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("frames", "_"), STREAMS[:-1])
def test_a_stream_folds_to_the_whole_answer(translator, fold, sdk_stream, stream_bytes, frames, _):
    """The whole answer is what the vendor's SDK makes of the stream; it sorts the keys of a block in its own way."""
    whole = translator.decode_response(msgspec.json.encode(sdk_stream([stream_bytes([start(), *frames])])))
    folded = fold(run([start(), *frames]))
    assert msgspec.json.decode(msgspec.json.encode(whole)) == msgspec.json.decode(msgspec.json.encode(folded))
    assert [type(part) for part in whole.parts] == [type(part) for part in folded.parts]


def test_a_whole_answer_is_read(translator):
    body = {
        "id": "msg_1",
        "type": "message",
        "model": "m",
        "content": [{"type": "text", "text": ""}, {"type": "text", "text": "a"}],
        "stop_reason": "stop_sequence",
        "stop_sequence": "END",
        "usage": {"input_tokens": 3, "output_tokens": 2},
        "container": {"id": "c"},
        "stop_details": None,
    }
    assert translator.decode_response(msgspec.json.encode(body)) == ChatResponse(
        id="msg_1",
        model="m",
        parts=(TextPart(text="a"),),
        finish_reason="stop",
        stop_sequence="END",
        usage=Usage(input_tokens=3, output_tokens=2),
        extensions=mine(container=Raw(b'{"id":"c"}')),
    )


def test_calls_without_or_with_one_id_are_told_apart(translator):
    calls = [{"type": "tool_use", "id": call_id, "name": "n", "input": {}} for call_id in ("", "", "a", "a")]
    body = {"id": "msg_1", "content": calls}
    ids = [part.id for part in translator.decode_response(msgspec.json.encode(body)).parts]
    assert len(set(ids)) == 4
    assert all(ids)
    assert ids[2] == "a"
    streamed = [one for at, each in enumerate(calls) for one in (block(at, **each), stop(at))]
    assert [event.part.id for event in run([start(), *streamed, *end()]) if isinstance(event, PartStart)] == ids


def test_usage_of_a_relayed_answer_is_read_alone(translator):
    body = b'{"content":[{"broken":1}],"usage":{"input_tokens":3,"cache_read_input_tokens":4,"output_tokens":2}}'
    assert translator.decode_usage(body) == Usage(input_tokens=7, output_tokens=2, cached_tokens=4)
    assert translator.decode_usage(b'{"id":"x"}') is None


@pytest.mark.parametrize("body", [b'{"id":"x"}', b'{"content":[{"type":"text"}]}', b'{"content":[{}]}'], ids=repr)
def test_an_answer_that_lacks_something_is_garbled(translator, body):
    with pytest.raises(UpstreamGarbled):
        translator.decode_response(body)


# --- the tap ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [True, False], ids=["with event lines", "without"])
def test_the_tap_sees_content_and_end(translator, named):
    frames = [
        start(),
        frame("ping"),
        block(0, type="text", text=""),
        delta(0, "text_delta", text="a"),
        stop(0),
        *end(),
    ]
    tap = translator.tap()
    seen = []
    for one in frames:
        tap.feed(one if named else Frame(one.data))
        seen.append((tap.content, tap.ended))
    assert seen == [(False, False)] * 3 + [(True, False)] * 3 + [(True, True)]


def test_the_start_of_a_call_is_content(translator):
    tap = translator.tap()
    tap.feed(block(0, type="tool_use", id="t", name="n", input={}))
    assert tap.content


NO_EVENTS = [
    (b"<html>", None),
    (b"<html>", "message_start"),
    (b"{", "message_delta"),
    (b'{"type"', "content_block_delta"),
]


@pytest.mark.parametrize("bad", [Frame(*each) for each in NO_EVENTS], ids=repr)
def test_the_tap_tells_what_is_no_event(translator, bad):
    with pytest.raises(UpstreamGarbled):
        translator.tap().feed(bad)


# --- any cut ----------------------------------------------------------------------------------------------------------

ARGUMENTS = st.dictionaries(st.text(max_size=3), st.one_of(st.integers(0, 9), st.text(max_size=5)), max_size=3).map(
    lambda value: msgspec.json.encode(value).decode()
)


@given(st.data())
def test_calls_come_whole_however_their_input_was_cut_and_interleaved(data):
    calls = data.draw(st.lists(ARGUMENTS, min_size=1, max_size=4))
    queues = []
    for at, arguments in enumerate(calls):
        cuts = sorted(data.draw(st.sets(st.integers(0, len(arguments)), max_size=4)) | {0, len(arguments)})
        pieces = [arguments[a:b] for a, b in pairwise(cuts)]
        queues.append(
            [
                block(at, type="tool_use", id=f"t{at}", name=f"n{at}", input={}),
                *(delta(at, "input_json_delta", partial_json=piece) for piece in pieces),
                stop(at),
            ]
        )
    frames = []
    while any(queues):
        queue = data.draw(st.sampled_from([queue for queue in queues if queue]))
        frames.append(queue.pop(0))
    decoder = AnthropicTranslator().response_decoder()
    events = run([start(), *frames, *end("tool_use")], decoder)
    check_events(events)
    texts = {}
    for event in events:
        if isinstance(event, PartStart):
            texts[event.index] = [event.part.id, event.part.name, ""]
        elif isinstance(event, ToolArgumentsDelta):
            texts[event.index][2] += event.text
    assert sorted(texts.values()) == [[f"t{at}", f"n{at}", arguments] for at, arguments in enumerate(calls)]
