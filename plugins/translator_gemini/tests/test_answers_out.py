"""Answers for a client, streamed and whole."""

import itertools

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omniroute.api import (
    AudioPart,
    ChatRequest,
    ChatResponse,
    FilePart,
    ImagePart,
    PartEnd,
    PartStart,
    Ping,
    ReasoningDelta,
    ReasoningPart,
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
from omniroute.testing import collect, explode

REQUEST = ChatRequest(model="asked-for", messages=())
USAGE = Usage(input_tokens=10, output_tokens=7, cached_tokens=4, reasoning_tokens=2)
USAGE_WIRE = {
    "promptTokenCount": 10,
    "candidatesTokenCount": 5,
    "totalTokenCount": 17,
    "cachedContentTokenCount": 4,
    "thoughtsTokenCount": 2,
}
HEAD = {"modelVersion": "m", "responseId": "r"}


def call(call_id="c1", name="f", arguments='{"a": 1}', **metadata):
    return ToolCallPart(id=call_id, name=name, arguments=arguments, provider_metadata=metadata)


def answer(*parts, finish="stop", usage=USAGE, **more):
    return ChatResponse(id="r", model="m", parts=parts, finish_reason=finish, usage=usage, **more)


def call_wire(call_id="c1", name="f", args=None, **more):
    return {"functionCall": {"id": call_id, "name": name, "args": {"a": 1} if args is None else args}, **more}


@pytest.fixture
def stream(translator):
    """Events to the client's frames."""

    def encode(events):
        encoder = translator.response_encoder(REQUEST)
        return [*(frame for event in events for frame in encoder.feed(event)), *encoder.close()]

    return encode


@pytest.fixture
def parts_of(accept_answer):
    """The parts of all chunks, each of which the SDK accepts."""

    def parts(frames):
        read = [accept_answer(frame.data) for frame in frames]
        assert all(frame.event is None for frame in frames)
        return [part for chunk in read for part in chunk["candidates"][0]["content"]["parts"]]

    return parts


# --- streams ----------------------------------------------------------------------------------------------------------


def test_text_and_thoughts_go_out_as_they_come_and_a_call_whole(stream, accept_answer):
    events = [
        ResponseStart(id="r", model="m"),
        PartStart(index=0, part=ReasoningPart(text="")),
        ReasoningDelta(index=0, text="Hm."),
        PartEnd(index=0),
        PartStart(index=1, part=TextPart(text="")),
        TextDelta(index=1, text="I"),
        TextDelta(index=1, text=" look."),
        PartEnd(index=1),
        Ping(),
        PartStart(index=2, part=call(arguments="")),
        ToolArgumentsDelta(index=2, text='{"a"'),
        ToolArgumentsDelta(index=2, text=": 1}"),
        PartEnd(index=2),
        UsageUpdate(usage=USAGE),
        ResponseEnd(finish_reason="tool_calls"),
    ]
    candidate = {"index": 0}
    saying = [[{"text": "Hm.", "thought": True}], [{"text": "I"}], [{"text": " look."}], [call_wire()]]
    expected = [
        {"candidates": [{"content": {"parts": parts, "role": "model"}, **candidate}], **HEAD} for parts in saying
    ]
    last = {"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "STOP", "index": 0}
    expected.append({"candidates": [last], "usageMetadata": USAGE_WIRE, **HEAD})
    assert [accept_answer(frame.data) for frame in stream(events)] == expected


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85"], ids=ascii)
def test_what_some_readers_take_for_a_line_s_end_is_escaped(translator, stream, parts_of, accept_answer, character):
    parts = (TextPart(text=f"a{character}b"), call(arguments=f'{{"a": "{character}"}}'))
    shown = [{"text": f"a{character}b"}, call_wire(args={"a": character})]
    assert parts_of(stream(explode(answer(*parts))))[:-1] == shown
    body = accept_answer(translator.encode_response(answer(*parts), REQUEST))
    assert body["candidates"][0]["content"]["parts"] == shown


def test_the_sdk_reads_the_stream(stream, sdk_stream):
    chunks = sdk_stream(stream(explode(answer(TextPart(text="Hé😀\u2028\x85 there"), call(), finish="tool_calls"))))
    assert "".join(chunk.text or "" for chunk in chunks[:-1] if not chunk.function_calls) == "Hé😀\u2028\x85 there"
    assert [(made.id, made.name, made.args) for chunk in chunks for made in chunk.function_calls or ()] == [
        ("c1", "f", {"a": 1})
    ]
    assert (chunks[-1].candidates[0].finish_reason, chunks[-1].usage_metadata.total_token_count) == ("STOP", 17)
    assert {(chunk.response_id, chunk.model_version) for chunk in chunks} == {("r", "m")}


def test_an_answer_without_a_model_has_the_one_that_was_asked_for(stream, accept_answer):
    frames = stream([ResponseStart(id="", model=""), ResponseEnd(finish_reason="stop")])
    chunk = accept_answer(frames[-1].data)
    assert (chunk["modelVersion"], "responseId" in chunk, "usageMetadata" in chunk) == ("asked-for", False, False)


@pytest.mark.parametrize(
    ("finish", "name"),
    [
        ("stop", "STOP"),
        ("tool_calls", "STOP"),
        ("length", "MAX_TOKENS"),
        ("content_filter", "SAFETY"),
        ("refusal", "SAFETY"),
        ("pause", "STOP"),
    ],
)
def test_every_finish_reason_has_a_name(stream, translator, accept_answer, finish, name):
    parts = (call(),) if finish == "tool_calls" else (TextPart(text="a"),)
    whole = accept_answer(translator.encode_response(answer(*parts, finish=finish), REQUEST))
    last = accept_answer(stream(explode(answer(*parts, finish=finish)))[-1].data)
    assert whole["candidates"][0]["finishReason"] == last["candidates"][0]["finishReason"] == name


def test_an_answer_that_ends_in_an_error_is_none(stream, translator):
    failed = answer(TextPart(text="a"), finish="error")
    *said, last = stream(explode(failed))
    assert "error" in msgspec.json.decode(last.data)
    assert not any(b"finishReason" in frame.data for frame in said)
    with pytest.raises(UpstreamFailed):
        translator.encode_response(failed, REQUEST)


def test_a_break_is_an_error_and_never_an_end(translator):
    encoder = translator.response_encoder(REQUEST)
    events = [
        ResponseStart(id="r", model="m"),
        PartStart(index=0, part=call(arguments="")),
        ToolArgumentsDelta(index=0, text='{"a'),
    ]
    frames = [frame for event in events for frame in encoder.feed(event)]
    frames += encoder.fail(StreamBroken("cut"))
    assert [msgspec.json.decode(frame.data) for frame in frames] == [
        {"error": {"code": 502, "message": "cut", "status": "INTERNAL", "retryable": True}}
    ]


# --- parts ------------------------------------------------------------------------------------------------------------

CODE = msgspec.Raw(b'{"executableCode":{"language":"PYTHON","code":"1"}}')
PARTS = [
    pytest.param([TextPart(text="a")], [{"text": "a"}], id="text"),
    pytest.param([ReasoningPart(text="a")], [{"text": "a", "thought": True}], id="thinking"),
    pytest.param(
        [ReasoningPart(text="a", provider_metadata={"gemini": {"thought_signature": "c2ln"}})],
        [{"text": "a", "thought": True, "thoughtSignature": "c2ln"}],
        id="signed thinking",
    ),
    pytest.param(
        [TextPart(text="a", provider_metadata={"gemini": {"thought_signature": "c2ln"}})],
        [{"text": "a", "thoughtSignature": "c2ln"}],
        id="signed text",
    ),
    pytest.param(
        [call(gemini={"thought_signature": "c2ln"})], [call_wire(thoughtSignature="c2ln")], id="a signed call"
    ),
    pytest.param([call(arguments="")], [call_wire(args={})], id="a call without arguments"),
    pytest.param([call(arguments="[1]")], [call_wire(args={"input": "[1]"})], id="arguments that are no object"),
    pytest.param([call(arguments='{\n "a": 1\r\n}')], [call_wire()], id="arguments over several lines"),
    pytest.param(
        [ImagePart(media_type="image/png", data="aGk="), AudioPart(format="wav", data="aGk="), FilePart(url="https://f.example/a.pdf")],
        [
            {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
            {"inlineData": {"mimeType": "audio/wav", "data": "aGk="}},
            {"fileData": {"mimeType": "application/pdf", "fileUri": "https://f.example/a.pdf"}},
        ],
        id="media",
    ),
    pytest.param(
        [TextPart(text="\n```python\n1\n```\n", provider_metadata={"gemini": {"part": CODE}})],
        [{"executableCode": {"language": "PYTHON", "code": "1"}}],
        id="what ran at the vendor",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "wire"), PARTS)
def test_a_whole_answer_shows_its_parts(translator, accept_answer, parts, wire):
    body = accept_answer(translator.encode_response(answer(*parts), REQUEST))
    assert body["candidates"][0]["content"] == {"parts": wire, "role": "model"}
    assert body["usageMetadata"] == USAGE_WIRE


@pytest.mark.parametrize(("parts", "wire"), PARTS)
def test_a_stream_shows_the_same_parts(stream, parts_of, parts, wire):
    *shown, last = parts_of(stream(explode(answer(*parts))))
    joined = {**shown[0], **shown[-1], "text": "".join(part["text"] for part in shown)} if "text" in shown[0] else None
    assert (wire, last) == ([joined] if joined else shown, {"text": ""})


def test_an_answer_of_nothing_still_has_a_part(translator, accept_answer):
    body = accept_answer(translator.encode_response(answer(TextPart(text="")), REQUEST))
    assert body["candidates"][0]["content"]["parts"] == [{"text": ""}]


def test_what_only_this_dialect_says_is_told_again(stream, translator, accept_answer):
    ratings = [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "LOW"}]
    rated = answer(TextPart(text="a"), extensions={"gemini": {"safetyRatings": ratings}, "anthropic": {"x": 1}})
    for body in (translator.encode_response(rated, REQUEST), stream(explode(rated))[-1].data):
        candidate = accept_answer(body)["candidates"][0]
        assert (candidate["safetyRatings"], "x" in candidate) == (ratings, False)


def test_what_a_part_already_says_when_it_starts_is_shown(stream, parts_of):
    events = [
        ResponseStart(id="r", model="m"),
        PartStart(index=0, part=ReasoningPart(text="a")),
        ReasoningDelta(index=0, text="b"),
        PartEnd(index=0),
        PartStart(index=1, part=TextPart(text="c")),
        PartEnd(index=1),
        PartStart(index=2, part=call(arguments='{"a"')),
        ToolArgumentsDelta(index=2, text=":1}"),
        PartEnd(index=2),
        ResponseEnd(finish_reason="tool_calls"),
    ]
    thought = {"thought": True}
    assert parts_of(stream(events)) == [
        {"text": "a", **thought},
        {"text": "b", **thought},
        {"text": "c"},
        call_wire(),
        {"text": ""},
    ]


# --- laws -------------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
ANY_PARTS = st.lists(
    st.one_of(
        st.builds(TextPart, text=TEXT),
        st.builds(ReasoningPart, text=TEXT),
        st.builds(
            lambda name, value: call(name=name, arguments=msgspec.json.encode({"x": value}).decode()),
            st.sampled_from(["f", "g"]),
            TEXT,
        ),
    ),
    max_size=6,
)


def numbered(parts):
    """Each call with an id of its own."""
    return tuple(
        msgspec.structs.replace(part, id=f"c{at}") if isinstance(part, ToolCallPart) else part
        for at, part in enumerate(parts)
    )


def joined(parts):
    """Texts of one kind that stand side by side are one on this wire; arguments may be spelt with more escapes."""
    found = []
    for kind, group in itertools.groupby(parts, key=type):
        members = list(group)
        if kind is ToolCallPart:
            found += [
                msgspec.structs.replace(part, arguments=repr(msgspec.json.decode(part.arguments))) for part in members
            ]
        else:
            found.append(kind(text="".join(part.text for part in members)))
    return tuple(found)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(parts=ANY_PARTS.map(numbered))
def test_an_answer_comes_back_the_same_whole_and_streamed(translator, stream, events_of, accept_answer, parts):
    finish = "tool_calls" if any(isinstance(part, ToolCallPart) for part in parts) else "stop"
    before = answer(*parts, finish=finish)
    body = translator.encode_response(before, REQUEST)
    accept_answer(body)
    frames = stream(explode(before))
    for frame in frames:
        accept_answer(frame.data)
    for after in (translator.decode_response(body), collect(events_of(frames))):
        assert msgspec.structs.replace(after, parts=joined(after.parts)) == msgspec.structs.replace(
            before, parts=joined(parts)
        )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(parts=ANY_PARTS.map(numbered), data=st.data())
def test_parts_that_are_open_side_by_side_come_out_one_after_the_other(translator, stream, events_of, parts, data):
    """N interleaved calls are the same (id, name, arguments) in the same order, and nothing of the texts is lost."""
    tracks = []
    for index, part in enumerate(parts):
        whole = list(explode(answer(part, usage=None)))[1:-1]
        pieces = []
        for event in (msgspec.structs.replace(event, index=index) for event in whole):
            if isinstance(event, TextDelta | ReasoningDelta | ToolArgumentsDelta):
                cut = data.draw(st.integers(0, len(event.text)))
                pieces += [
                    msgspec.structs.replace(event, text=event.text[:cut]),
                    msgspec.structs.replace(event, text=event.text[cut:]),
                ]
            else:
                pieces.append(event)
        tracks.append(pieces)
    events = [ResponseStart(id="r", model="m")]
    started = 0
    while any(tracks):
        ready = [at for at, track in enumerate(tracks[: started + 1]) if track]
        at = data.draw(st.sampled_from(ready))
        started += at == started
        events.append(tracks[at].pop(0))
    finish = "tool_calls" if any(isinstance(part, ToolCallPart) for part in parts) else "stop"
    events += [UsageUpdate(usage=USAGE), ResponseEnd(finish_reason=finish)]
    after = collect(events_of(stream(events)))
    assert msgspec.structs.replace(after, parts=joined(after.parts)) == answer(*joined(parts), finish=finish)
