"""Answers of an upstream, streamed and whole."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omniroute.api import (
    AudioPart,
    FilePart,
    Frame,
    ImagePart,
    PartEnd,
    PartStart,
    Ping,
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
    Usage,
    UsageUpdate,
)
from omniroute.testing import FRAMINGS, Incoming, check_events, collect

START = ResponseStart(id="r-1", model="gemini-2.5-flash")
PNG = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}


def chunk(*parts, finish=None, usage=None, **more):
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": 0, **more}
    if finish:
        candidate["finishReason"] = finish
    wire = {"candidates": [candidate], "modelVersion": "gemini-2.5-flash", "responseId": "r-1"}
    return {**wire, **({"usageMetadata": usage} if usage else {})}


def frames(*chunks):
    return [Frame(each if isinstance(each, bytes) else msgspec.json.encode(each)) for each in chunks]


def call(name="f", args=None, **more):
    return {"functionCall": {"name": name, "args": args or {}, **more}}


def made(call_id, name="f", arguments="{}", **metadata):
    return ToolCallPart(id=call_id, name=name, arguments=arguments, provider_metadata=metadata)


def signed(signature):
    return {"gemini": {"thought_signature": signature}}


# --- streams ----------------------------------------------------------------------------------------------------------


def test_a_stream_becomes_events(events_of):
    events = events_of(
        frames(
            chunk({"text": "Hm", "thought": True}),
            chunk({"text": ".", "thought": True}),
            chunk({"text": "It is"}, usage={"promptTokenCount": 5, "totalTokenCount": 5}),
            chunk({"text": " noon."}),
            chunk({"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"}),
            chunk({"text": ""}, finish="STOP"),
            {"usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 7, "totalTokenCount": 12}},
        )
    )
    assert events == [
        START,
        PartStart(index=0, part=ReasoningPart(text="")),
        ReasoningDelta(index=0, text="Hm"),
        ReasoningDelta(index=0, text="."),
        PartEnd(index=0),
        PartStart(index=1, part=TextPart(text="")),
        TextDelta(index=1, text="It is"),
        UsageUpdate(usage=Usage(input_tokens=5)),
        TextDelta(index=1, text=" noon."),
        PartEnd(index=1),
        PartStart(index=2, part=made("c1", arguments="", **signed("c2ln"))),
        ToolArgumentsDelta(index=2, text='{"a":1}'),
        PartEnd(index=2),
        UsageUpdate(usage=Usage(input_tokens=5, output_tokens=7)),
        ResponseEnd(finish_reason="tool_calls"),
    ]
    check_events(events)


QUIRKS = [
    pytest.param(
        [chunk({"text": "a"}), {"candidates": [{"index": 0}]}, {"candidates": [{"content": {}, "finishReason": "STOP"}]}],
        [TextPart(text="a")],
        id="candidates without content or parts",
    ),
    pytest.param([chunk({"text": ""}), chunk({"text": "a"}, {}), chunk(finish="STOP")], [TextPart(text="a")], id="empty parts"),
    pytest.param(
        [chunk({"functionCall": {"name": "f"}}, {"functionCall": {"name": "f", "args": None}}), chunk(finish="STOP")],
        [made("call_id1"), made("call_id2")],
        id="calls without arguments and ids",
    ),
    pytest.param(
        [chunk(call(id="c")), chunk(call(id="c"), finish="STOP")], [made("c"), made("call_id1")], id="one id for two calls"
    ),
    pytest.param(
        [chunk({"text": "a"}), chunk({"text": "", "thoughtSignature": "c2ln"}, finish="STOP")],
        [TextPart(text="a", provider_metadata=signed("c2ln"))],
        id="a signature behind its text",
    ),
    pytest.param(
        [chunk({"text": "a", "thoughtSignature": "c2ln"}, {"text": "b"}, finish="STOP")],
        [TextPart(text="a", provider_metadata=signed("c2ln")), TextPart(text="b")],
        id="a signature between texts",
    ),
    pytest.param(
        [chunk({"text": "", "thoughtSignature": "c2ln"}, finish="STOP")],
        [TextPart(text="", provider_metadata=signed("c2ln"))],
        id="a signature alone",
    ),
    pytest.param(
        [chunk({"text": "a", "thought": True}, {"text": "b"}, {"text": "c", "thought": True}, finish="STOP")],
        [ReasoningPart(text="a"), TextPart(text="b"), ReasoningPart(text="c")],
        id="thinking and text in turn",
    ),
    pytest.param(
        [chunk({"text": "see"}, PNG, {"inlineData": {"mimeType": "audio/wav", "data": "aGk="}}, finish="STOP")],
        [TextPart(text="see"), ImagePart(media_type="image/png", data="aGk="), AudioPart(format="wav", data="aGk=")],
        id="media",
    ),
    pytest.param(
        [
            chunk({"fileData": {"fileUri": "https://files.example/1", "mimeType": "image/png"}}),
            chunk({"fileData": {"fileUri": "https://files.example/2"}}, finish="STOP"),
        ],
        [ImagePart(url="https://files.example/1", media_type="image/png"), FilePart(url="https://files.example/2")],
        id="links",
    ),
    pytest.param(
        [chunk({"executableCode": {"language": "PYTHON", "code": "1"}}, {"toolCall": {"id": "x"}}, finish="STOP")],
        [
            TextPart(
                text="\n```python\n1\n```\n",
                provider_metadata={"gemini": {"part": msgspec.Raw(b'{"executableCode":{"language":"PYTHON","code":"1"}}')}},
            ),
            TextPart(text="", provider_metadata={"gemini": {"part": msgspec.Raw(b'{"toolCall":{"id":"x"}}')}}),
        ],
        id="what ran at the vendor",
    ),
    pytest.param(
        [chunk({"text": "a"}), {"candidates": [{"index": 1, "content": {"parts": [{"text": "x"}]}}]}, chunk(finish="STOP")],
        [TextPart(text="a")],
        id="a second candidate",
    ),
    pytest.param([chunk({"text": "a"}, finish="STOP"), chunk({"text": "b"})], [TextPart(text="ab")], id="text after the end"),
    pytest.param([{}, chunk({"text": "a"}, finish="STOP"), {}, b"[DONE]"], [TextPart(text="a")], id="chunks that say nothing"),
    pytest.param(
        [chunk({"text": "a"}, finish="FINISH_REASON_UNSPECIFIED"), chunk(finish="STOP")], [TextPart(text="a")], id="no reason yet"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("chunks", "parts"), QUIRKS)
def test_what_real_upstreams_do_is_taken(events_of, chunks, parts):
    events = events_of(frames(*chunks))
    check_events(events)
    assert list(collect(events).parts) == parts


def test_arguments_are_the_very_text_the_model_wrote(events_of):
    data = b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{ "b":1.0, "a" : "\\u00e9" }}}]},"finishReason":"STOP"}]}'
    [part] = collect(events_of([Frame(data)])).parts
    assert part.arguments == '{ "b":1.0, "a" : "\\u00e9" }'


def test_an_upstream_that_is_only_alive_is_heard(translator):
    assert list(translator.response_decoder().feed(Frame(b"{}"))) == [Ping()]


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([], id="nothing"),
        pytest.param([chunk({"text": "a"})], id="no finish reason"),
        pytest.param([chunk({"text": "a"}, finish="FINISH_REASON_UNSPECIFIED")], id="none to speak of"),
        pytest.param([{"usageMetadata": {"promptTokenCount": 1}}], id="usage only"),
    ],
)
def test_a_stream_without_its_end_is_broken(events_of, chunks):
    with pytest.raises(StreamBroken):
        events_of(frames(*chunks))


# --- how it ended -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "finish", "with_call"),
    [
        ("STOP", "stop", "tool_calls"),
        ("MAX_TOKENS", "length", "length"),
        ("CONTINUATION", "pause", "pause"),
        *(
            (reason, "content_filter", "content_filter")
            for reason in (
                "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "IMAGE_SAFETY",
                "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "MODEL_ARMOR",
            )
        ),
        ("OTHER", "stop", "tool_calls"),
        ("TOO_MANY_TOOL_CALLS", "stop", "tool_calls"),
        ("NEVER_HEARD_OF", "stop", "tool_calls"),
    ],
)  # fmt: skip
def test_every_finish_reason_means_something(events_of, translator, reason, finish, with_call):
    for parts, expected in (([{"text": "a"}], finish), ([call(id="c")], with_call)):
        whole = chunk(*parts, finish=reason)
        assert events_of(frames(whole))[-1].finish_reason == expected
        assert translator.decode_response(msgspec.json.encode(whole)).finish_reason == expected


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("MALFORMED_FUNCTION_CALL", UpstreamFailed),
        ("MALFORMED_RESPONSE", UpstreamFailed),
        ("UNEXPECTED_TOOL_CALL", UpstreamFailed),
        ("MISSING_THOUGHT_SIGNATURE", SignatureRejected),
    ],
)
def test_an_answer_nobody_can_read_is_a_failure_that_may_be_tried_again(events_of, translator, reason, kind):
    for read in (
        lambda: events_of(frames(chunk(finish=reason))),
        lambda: translator.decode_response(msgspec.json.encode(chunk(finish=reason))),
    ):
        with pytest.raises(kind):
            read()


def test_a_blocked_prompt_is_an_answer_that_was_filtered(events_of, translator):
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}}
    events = events_of(frames(blocked))
    check_events(events)
    answer = collect(events)
    assert (answer.parts, answer.finish_reason, answer.usage) == ((), "content_filter", Usage(input_tokens=3))
    assert translator.decode_response(msgspec.json.encode(blocked)) == answer


def test_what_only_this_dialect_says_of_an_answer_is_kept(events_of):
    ratings = [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "LOW"}]
    last = chunk(
        finish="STOP", safetyRatings=ratings, groundingMetadata={"webSearchQueries": ["q"]}, citationMetadata=None
    )
    kept = events_of(frames(chunk({"text": "a"}), last))[-1].extensions["gemini"]
    assert {name: msgspec.json.decode(raw) for name, raw in kept.items()} == {
        "safetyRatings": ratings,
        "groundingMetadata": {"webSearchQueries": ["q"]},
    }


# --- usage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        pytest.param(
            [
                {
                    "promptTokenCount": 100,
                    "toolUsePromptTokenCount": 5,
                    "cachedContentTokenCount": 40,
                    "candidatesTokenCount": 20,
                    "thoughtsTokenCount": 10,
                    "totalTokenCount": 135,
                }
            ],
            Usage(input_tokens=105, output_tokens=30, cached_tokens=40, reasoning_tokens=10),
            id="all shares",
        ),
        pytest.param(
            [{"promptTokenCount": 10, "thoughtsTokenCount": 4, "totalTokenCount": 20}],
            Usage(input_tokens=10, output_tokens=10, reasoning_tokens=4),
            id="the answer's own count is missing",
        ),
        pytest.param(
            [{"promptTokenCount": 10, "cachedContentTokenCount": 2, "totalTokenCount": 10}, {"promptTokenCount": 10, "candidatesTokenCount": 3}, {"candidatesTokenCount": 5}],
            Usage(input_tokens=10, output_tokens=5, cached_tokens=2),
            id="later counts replace earlier ones and forget nothing",
        ),
        pytest.param([{"promptTokenCount": None}], Usage(), id="nothing is known"),
    ],
)  # fmt: skip
def test_tokens_are_counted(events_of, translator, counts, usage):
    chunks = frames(*({"usageMetadata": count} for count in counts), chunk({"text": "a"}, finish="STOP"))
    assert collect(events_of(chunks)).usage == usage
    tap = translator.tap()
    for frame in chunks:
        tap.feed(frame)
    assert tap.usage == usage


# --- what cannot be read ----------------------------------------------------------------------------------------------

BAD = [
    pytest.param(b"{", id="half a chunk"),
    pytest.param(b'{"candidates":5}', id="a number"),
    pytest.param(msgspec.json.encode(chunk({"text": "x"}, {"functionCall": {"args": {}}})), id="a call without a name"),
    pytest.param(
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":"\xff"}}}]}}]}', id="no UTF-8"
    ),
    pytest.param(b"\xff", id="no text"),
]


@pytest.mark.parametrize("bad", BAD)
def test_a_malformed_chunk_leaves_the_others_as_they_are(translator, bad):
    good = frames(chunk({"text": "a"}), chunk({"text": "b"}), chunk(finish="STOP"))
    decoder = translator.response_decoder()
    events = list(decoder.feed(good[0]))
    for _ in range(2):
        with pytest.raises(UpstreamGarbled):
            decoder.feed(Frame(bad))
    events += [event for frame in good[1:] for event in decoder.feed(frame)]
    assert collect([*events, *decoder.close()]).parts == (TextPart(text="ab"),)


@pytest.mark.parametrize(
    "body",
    [
        *BAD,
        pytest.param(b"{}", id="nothing"),
        pytest.param(b'{"usageMetadata":{"promptTokenCount":1}}', id="no candidate"),
    ],
)
def test_a_malformed_answer_is_garbled(translator, body):
    with pytest.raises(UpstreamGarbled):
        translator.decode_response(body)


def test_an_odd_part_that_ran_at_the_vendor_is_no_trouble(events_of):
    [part] = collect(events_of(frames(chunk({"executableCode": "odd"}, finish="STOP")))).parts
    assert part.text == ""


# --- whole answers ----------------------------------------------------------------------------------------------------


def test_a_whole_answer_may_lack_its_finish_reason(translator):
    answer = translator.decode_response(msgspec.json.encode(chunk({"text": "a"})))
    assert (answer.id, answer.model, answer.parts, answer.finish_reason) == (
        "r-1",
        START.model,
        (TextPart(text="a"),),
        "stop",
    )


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b'{"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":2}}', Usage(input_tokens=5, output_tokens=2)),
        (b'{"candidates":[]}', None),
    ],
)
def test_the_usage_of_a_relayed_answer_is_read(translator, body, usage):
    assert translator.decode_usage(body) == usage


# --- laws -------------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
PARTS = st.one_of(
    st.builds(lambda text: {"text": text}, TEXT),
    st.builds(lambda text: {"text": text, "thought": True}, TEXT),
    st.builds(lambda text: {"text": text, "thoughtSignature": "c2ln"}, TEXT),
    st.builds(call, st.sampled_from(["f", "g"]), st.dictionaries(TEXT, TEXT, max_size=2)),
    st.just(PNG),
)


def by_content(answer):
    """Ids of its own making left out."""
    return [
        msgspec.structs.replace(part, id="") if isinstance(part, ToolCallPart) else part for part in answer.parts
    ], answer.finish_reason, answer.usage  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(parts=st.lists(PARTS, max_size=8), data=st.data())
def test_any_chunks_and_any_cuts_of_their_bytes_fold_to_the_whole_answer(translator, parts, data):
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 2}
    whole = translator.decode_response(msgspec.json.encode(chunk(*parts, finish="STOP", usage=usage)))
    pieces, rest = [], parts
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        pieces.append(chunk(*rest[:size]))
        rest = rest[size:]
    sse = FRAMINGS["sse"]
    stream = b"".join(map(sse.encode, frames(*pieces, chunk(finish="STOP", usage=usage))))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    incoming = Incoming(sse, translator.response_decoder())
    events = [
        event
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for event in incoming.feed(stream[start:end])
    ]
    events += incoming.close()
    check_events(events)
    assert by_content(collect(events)) == by_content(whole)
