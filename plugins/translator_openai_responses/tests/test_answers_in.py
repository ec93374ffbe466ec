"""Upstreams' answers: what servers of this dialect send, and what becomes of it."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from omniroute.api import (
    ChatResponse,
    ContextTooLong,
    Event,
    Frame,
    ImagePart,
    Overloaded,
    PartStart,
    QuotaExhausted,
    RateLimited,
    ReasoningPart,
    ResponseStart,
    SignatureRejected,
    StreamBroken,
    TextDelta,
    TextPart,
    ToolCallPart,
    UpstreamError,
    UpstreamFailed,
    UpstreamGarbled,
    UpstreamRefused,
    Usage,
    UsageUpdate,
)
from omniroute.testing import check_events
from omniroute_translator_openai_responses import OpenAIResponses

TRANSLATOR = OpenAIResponses()
DIALECT = "openai-responses"
USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 15,
}
COUNTED = Usage(input_tokens=10, output_tokens=5, cached_tokens=4, cache_write_tokens=3, reasoning_tokens=2)


def response(*output: Any, status: str = "completed", **fields: Any) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "model": "m", "status": status, "output": list(output), **fields}


def message(*content: Any, item_id: str = "msg_1", **fields: Any) -> dict[str, Any]:
    parts = [
        {"type": "output_text", "text": part, "annotations": []} if isinstance(part, str) else part for part in content
    ]
    return {"type": "message", "id": item_id, "role": "assistant", "status": "completed", "content": parts, **fields}


def call(call_id: str = "c1", name: str = "f", arguments: str = "{}", **fields: Any) -> dict[str, Any]:
    named = {"id": f"fc_{call_id}", "call_id": call_id, "name": name}
    return {"type": "function_call", **named, "arguments": arguments, "status": "completed", **fields}


def custom(call_id: str = "c1", name: str = "patch", text: str = "+") -> dict[str, Any]:
    return {"type": "custom_tool_call", "id": f"ctc_{call_id}", "call_id": call_id, "name": name, "input": text}


def thought(*texts: str, item_id: str = "rs_1", **fields: Any) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": text} for text in texts]
    return {"type": "reasoning", "id": item_id, "summary": summary, **fields}


REFUSED = {"type": "refusal", "refusal": "No."}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}


def started(item: dict[str, Any]) -> dict[str, Any]:
    """The item as it is announced."""
    empty = {"message": {"content": []}, "function_call": {"arguments": ""}, "custom_tool_call": {"input": ""}}
    reasoning = {"summary": [], "content": None, "encrypted_content": None}
    return {**item, **({} if item["type"] == "web_search_call" else empty.get(item["type"], reasoning))}


def pieces(text: str, size: int = 3) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def item_events(index: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    """All events of one item, as the service sends them."""
    place = {"output_index": index, "item_id": item["id"]}
    events: list[dict[str, Any]] = [
        {"type": "response.output_item.added", "output_index": index, "item": started(item)}
    ]
    match item["type"]:
        case "message":
            for number, part in enumerate(item["content"]):
                kind, field = ("refusal", "refusal") if part["type"] == "refusal" else ("output_text", "text")
                here = {**place, "content_index": number}
                events.append({"type": "response.content_part.added", **here, "part": {**part, field: ""}})
                events += ({"type": f"response.{kind}.delta", **here, "delta": text} for text in pieces(part[field]))
                events.append({"type": f"response.{kind}.done", **here, field: part[field]})
                events.append({"type": "response.content_part.done", **here, "part": part})
        case "reasoning":
            for number, part in enumerate(item["summary"]):
                here = {**place, "summary_index": number}
                events.append({"type": "response.reasoning_summary_part.added", **here, "part": {**part, "text": ""}})
                kind = "response.reasoning_summary_text"
                events += ({"type": f"{kind}.delta", **here, "delta": text} for text in pieces(part["text"]))
                events.append({"type": f"{kind}.done", **here, "text": part["text"]})
                events.append({"type": "response.reasoning_summary_part.done", **here, "part": part})
            for number, part in enumerate(item.get("content") or ()):
                here = {**place, "content_index": number}
                events += ({"type": "response.reasoning_text.delta", **here, "delta": t} for t in pieces(part["text"]))
                events.append({"type": "response.reasoning_text.done", **here, "text": part["text"]})
        case "function_call":
            kind = "response.function_call_arguments"
            events += ({"type": f"{kind}.delta", **place, "delta": text} for text in pieces(item["arguments"]))
            events.append({"type": f"{kind}.done", **place, "arguments": item["arguments"]})
        case "custom_tool_call":
            kind = "response.custom_tool_call_input"
            events += ({"type": f"{kind}.delta", **place, "delta": text} for text in pieces(item["input"]))
            events.append({"type": f"{kind}.done", **place, "input": item["input"]})
    return [*events, {"type": "response.output_item.done", "output_index": index, "item": item}]


def opening() -> list[dict[str, Any]]:
    begun = response(status="in_progress", usage=None)
    return [{"type": "response.created", "response": begun}, {"type": "response.in_progress", "response": begun}]


def ending(body: dict[str, Any]) -> dict[str, Any]:
    return {"type": f"response.{body['status']}", "response": body}


def stream_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The stream of a whole answer."""
    items = (event for index, item in enumerate(body["output"]) for event in item_events(index, item))
    return [*opening(), *items, ending(body)]


def frames(events: Iterable[Any], *, named: bool = True) -> list[Frame]:
    return [
        Frame(json.dumps({**event, "sequence_number": number}).encode(), event["type"] if named else None)
        for number, event in enumerate(events)
    ]


def events_of(events: Iterable[Any], *, named: bool = True) -> list[Event]:
    decoder = TRANSLATOR.response_decoder()
    found = [event for frame in frames(events, named=named) for event in decoder.feed(frame)]
    return [*found, *decoder.close()]


@pytest.fixture(scope="session")
def folded(fold):
    """The answer that a stream, given as the service's events, adds up to."""

    def folded_events(events: Iterable[Any]) -> ChatResponse:
        found = events_of(events)
        check_events(found)
        return fold(found)

    return folded_events


def whole(body: dict[str, Any]) -> ChatResponse:
    return TRANSLATOR.decode_response(json.dumps(body, separators=(",", ":")).encode())


def text(value: str, **own: Any) -> TextPart:
    return TextPart(text=value, provider_metadata={DIALECT: own} if own else {})


def called(call_id: str = "c1", name: str = "f", arguments: str = "{}") -> ToolCallPart:
    return ToolCallPart(id=call_id, name=name, arguments=arguments)


SEALED = {"encrypted_content": "c2Vh", "id": "rs_1"}

# --- whole and streamed answers -----------------------------------------------------------------------------------------

ANSWERS = [
    pytest.param(response(message("Hello there.")), (text("Hello there."),), "stop", id="text"),
    pytest.param(response(message("Hé😀", "two")), (text("Hé😀"), text("two")), "stop", id="two texts"),
    pytest.param(
        response(message("a", item_id="m1"), call(), message("b", item_id="m2")),
        (text("a"), called(), text("b")),
        "tool_calls",
        id="a text after a call",
    ),
    pytest.param(
        response(message(REFUSED)),
        (TextPart(text="No.", provider_metadata={"openai-chat": {"refusal": True}}),),
        "stop",
        id="refusal",
    ),
    pytest.param(
        response(message("a", phase="commentary")), (text("a", phase="commentary"),), "stop", id="phase"
    ),
    pytest.param(
        response(thought("Hm.", "So.", encrypted_content="c2Vh"), message("a")),
        (ReasoningPart(text="Hm.\n\nSo.", provider_metadata={DIALECT: SEALED}), text("a")),
        "stop",
        id="reasoning",
    ),
    pytest.param(
        response(thought(encrypted_content="c2Vh"), message("a")),
        (ReasoningPart(text="", provider_metadata={DIALECT: SEALED}), text("a")),
        "stop",
        id="sealed reasoning alone",
    ),
    pytest.param(
        response(thought(content=[{"type": "reasoning_text", "text": "Open."}]), message("a")),
        (ReasoningPart(text="Open."), text("a")),
        "stop",
        id="open reasoning",
    ),
    pytest.param(response(thought(), message("a")), (text("a"),), "stop", id="reasoning of nothing"),
    pytest.param(response(message(), message("")), (), "stop", id="messages of nothing"),
    pytest.param(
        response(call("c1", "f", '{"a": 1}'), call("c2", "g", "")),
        (called("c1", "f", '{"a": 1}'), called("c2", "g", "{}")),
        "tool_calls",
        id="two calls",
    ),
    pytest.param(
        response(call(name="close", namespace="agents")), (called(name="agents__close"),), "tool_calls", id="namespace"
    ),
    pytest.param(
        response(custom(text='+ "é"\n')), (called(name="patch", arguments='{"input":"+ \\"é\\"\\n"}'),), "tool_calls",
        id="custom tool",
    ),
    pytest.param(response(custom(text="")), (called(name="patch", arguments='{"input":""}'),), "tool_calls", id="no input"),
    pytest.param(
        response({**call(), "call_id": None, "id": "fc_9"}), (called("fc_9"),), "tool_calls", id="a call without call_id"
    ),
    pytest.param(
        response(message("a"), status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
        (text("a"),),
        "length",
        id="length",
    ),
    pytest.param(
        response(message("a"), status="incomplete", incomplete_details={"reason": "content_filter"}),
        (text("a"),),
        "content_filter",
        id="filter",
    ),
    pytest.param(
        response(call(), status="incomplete", incomplete_details=None), (called(),), "length", id="length with a call"
    ),
    pytest.param(response(message("a"), status="incomplete"), (text("a"),), "length", id="incomplete for no reason"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "parts", "finish"), ANSWERS)
def test_a_whole_answer_and_its_stream_are_the_same(body, parts, finish, folded):
    expected = ChatResponse(id="resp_1", model="m", parts=parts, finish_reason=finish, usage=COUNTED)
    full = {**body, "usage": USAGE}
    assert whole(full) == expected
    assert folded(stream_of(full)) == expected


def test_items_that_run_at_the_upstream_are_kept_whole(folded):
    body = response(SEARCH, message("a"), usage=USAGE)
    for answer in (whole(body), folded(stream_of(body))):
        kept, said = answer.parts
        assert isinstance(kept, TextPart)
        assert kept.text == ""
        assert json.loads(bytes(kept.provider_metadata[DIALECT]["item"])) == SEARCH
        assert said == text("a")


def test_a_picture_is_shown():
    drawn = {
        "type": "image_generation_call",
        "id": "ig_1",
        "status": "completed",
        "result": "AAAA",
        "output_format": "webp",
    }
    (part,) = whole(response(drawn)).parts
    assert isinstance(part, ImagePart)
    assert (part.media_type, part.data) == ("image/webp", "AAAA")
    assert json.loads(bytes(part.provider_metadata[DIALECT]["item"])) == drawn


def test_citations_come_along(folded):
    cited = {"type": "output_text", "text": "a", "annotations": [{"type": "url_citation", "url": "https://x.example"}]}
    for answer in (whole(response(message(cited))), folded(stream_of(response(message(cited))))):
        (part,) = answer.parts
        assert isinstance(part, TextPart)
        (annotation,) = part.provider_metadata[DIALECT]["annotations"]
        assert json.loads(bytes(annotation))["url"] == "https://x.example"


# --- quirks -------------------------------------------------------------------------------------------------------------

BODY = response(
    thought("Hm.", encrypted_content="c2Vh"), message("Hello."), call(arguments='{"a": 1}'), custom("c2"), usage=USAGE
)
FOLDED = whole(BODY)


def is_delta(event: dict[str, Any]) -> bool:
    return event["type"].endswith(".delta")


def lacking(*words: str) -> list[dict[str, Any]]:
    """The stream without events whose names have one of these words."""
    return [event for event in stream_of(BODY) if not any(word in event["type"] for word in words)]


def changed(event: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**event, **{name: value for name, value in fields.items() if name in event}}


QUIRKS = [
    pytest.param(lacking(".delta"), id="no deltas"),
    pytest.param(lacking(".delta", "text.done", "arguments.done", "input.done", "part."), id="items only"),
    pytest.param(lacking("output_item.added"), id="nothing is announced"),
    pytest.param(lacking("output_item.added", ".delta"), id="neither announced nor in pieces"),
    pytest.param(lacking("output_item.done"), id="no item ends, but the last event has them"),
    pytest.param(lacking("output_item", ".delta", ".done", "part."), id="everything in the last event"),
    pytest.param(lacking("in_progress"), id="no in_progress"),
    pytest.param(lacking("created", "in_progress"), id="no beginning"),
    pytest.param([*stream_of(BODY)[:-1], ending({**BODY, "output": []})], id="nothing in the last event"),
    pytest.param([*stream_of(BODY)[:-1], ending({**BODY, "output": None})], id="null in the last event"),
    pytest.param(
        [changed(event, item_id=f"other_{n}") for n, event in enumerate(stream_of(BODY))], id="item ids that change"
    ),
    pytest.param([changed(event, output_index=0) for event in stream_of(BODY)], id="one index for all"),
    pytest.param([changed(event, output_index=None) for event in stream_of(BODY)], id="no indexes"),
    pytest.param([changed(event, item_id=None) for event in stream_of(BODY)], id="no item ids"),
    pytest.param(
        [piece for event in stream_of(BODY) for piece in (event, {"type": "response.made_up", "delta": {}, "item": 5})],
        id="events of its own",
    ),
    pytest.param(
        [*stream_of(BODY), ending(BODY), {"type": "response.output_text.delta", "delta": "x"}], id="after the end"
    ),
    pytest.param([event for event in stream_of(BODY) for _ in range(2) if not is_delta(event)], id="everything twice"),
]


@pytest.mark.parametrize("events", QUIRKS)
@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
def test_a_quirk_changes_nothing(events, named, fold):
    found = events_of(events, named=named)
    check_events(found)
    answer = fold(found)
    assert {part.id if isinstance(part, ToolCallPart) else type(part): part for part in answer.parts} == {
        part.id if isinstance(part, ToolCallPart) else type(part): part for part in FOLDED.parts
    }
    assert len(answer.parts) == len(FOLDED.parts)
    assert (answer.finish_reason, answer.usage) == (FOLDED.finish_reason, FOLDED.usage)


def test_another_dialects_end_is_passed_over(fold):
    decoder = TRANSLATOR.response_decoder()
    found = [event for frame in [*frames(stream_of(BODY)), Frame(b"[DONE]")] for event in decoder.feed(frame)]
    assert fold([*found, *decoder.close()]) == FOLDED


def test_two_calls_with_one_id_are_two_calls(folded):
    body = response({**call("c1"), "id": "fc_1"}, {**call("c1"), "id": "fc_2"})
    for answer in (whole(body), folded(stream_of(body))):
        ids = [part.id for part in answer.parts if isinstance(part, ToolCallPart)]
        assert ids[0] == "c1"
        assert len(set(ids)) == 2


def test_half_a_surrogate_pair_waits_for_the_other(fold):
    deltas = (b'"a\\ud83d"', b'"\\ude00b\\ud83d"')
    decoder = TRANSLATOR.response_decoder()
    said = [
        event
        for delta in deltas
        for event in decoder.feed(Frame(b'{"type":"response.output_text.delta","item_id":"m","delta":' + delta + b"}"))
    ]
    assert [event.text for event in said if isinstance(event, TextDelta)] == ["a", "😀b"]
    last = response(message("a😀b\ufffd", item_id="m"))
    ended = [*decoder.feed(*frames([ending(last)])), *decoder.close()]
    assert fold([*said, *ended]).parts == (text("a😀b\ufffd"),)


def test_a_lone_half_in_a_whole_answer_is_replaced():
    body = json.dumps(response(message("a\ud83d"))).encode()
    assert TRANSLATOR.decode_response(body).parts == (text("a\ufffd"),)


def test_deltas_come_out_as_they_come_in():
    decoder = TRANSLATOR.response_decoder()
    for frame in frames(opening()):
        decoder.feed(frame)
    (event, delta) = decoder.feed(Frame(b'{"type":"response.output_text.delta","item_id":"m","delta":"a"}'))
    assert isinstance(event, PartStart)
    assert delta == TextDelta(index=0, text="a")
    assert list(decoder.feed(Frame(b'{"type":"response.output_text.delta","item_id":"m","delta":"b"}'))) == [
        TextDelta(index=0, text="b")
    ]


# --- ends ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(len(stream_of(BODY))))
def test_a_stream_without_its_last_event_is_broken(count):
    decoder = TRANSLATOR.response_decoder()
    for frame in frames(stream_of(BODY)[:count]):
        decoder.feed(frame)
    with pytest.raises(StreamBroken):
        decoder.close()


HALF = [*opening(), *item_events(0, call(arguments='{"a": 1}'))[:3]]


def test_half_a_call_is_never_taken_for_a_whole_one():
    with pytest.raises(StreamBroken):
        events_of([*HALF, ending(response())])


def test_half_a_call_of_an_answer_that_was_cut_stays_half(folded):
    answer = folded([*HALF, ending(response(status="incomplete"))])
    assert answer.parts == (called(arguments='{"a": '),)
    assert answer.finish_reason == "length"


def test_arguments_without_a_name_are_garbled():
    orphan = {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "delta": "{}"}
    with pytest.raises(UpstreamGarbled):
        events_of([*opening(), orphan, ending(response())])


@pytest.mark.parametrize("nameless", [{**call(), "name": None}, {**call(), "name": ""}])
def test_a_call_without_a_name_is_garbled(nameless):
    with pytest.raises(UpstreamGarbled):
        whole(response(nameless))
    with pytest.raises(UpstreamGarbled):
        events_of(stream_of(response(nameless)))


# --- failures -----------------------------------------------------------------------------------------------------------

ERRORS = [
    pytest.param({"code": "rate_limit_exceeded", "message": "slow"}, RateLimited, 429, id="rate limit"),
    pytest.param({"code": "insufficient_quota", "message": "out"}, QuotaExhausted, 429, id="quota"),
    pytest.param({"code": "context_length_exceeded", "message": "long"}, ContextTooLong, 400, id="context"),
    pytest.param({"code": "invalid_encrypted_content", "message": "seal"}, SignatureRejected, 400, id="seal"),
    pytest.param({"code": "invalid_prompt", "message": "bad"}, UpstreamRefused, 400, id="prompt"),
    pytest.param({"code": "server_is_overloaded", "message": "busy"}, Overloaded, 503, id="overloaded"),
    pytest.param({"code": "server_error", "message": "oops"}, UpstreamFailed, 502, id="server error"),
    pytest.param({"code": "529", "message": "busy"}, Overloaded, 529, id="a status"),
    pytest.param({"code": 1.5, "message": None}, UpstreamFailed, 502, id="nothing of use"),
    pytest.param(None, UpstreamFailed, 502, id="nothing"),
]


@pytest.mark.parametrize(("error", "kind", "status"), ERRORS)
def test_a_failed_response_is_raised_as_what_it_is(error, kind, status):
    body = response(status="failed", error=error)
    failed = {"type": "response.failed", "response": body}
    for read in (lambda: whole(body), lambda: events_of([*opening(), failed])):
        with pytest.raises(UpstreamError) as caught:
            read()
        assert type(caught.value) is kind
        assert caught.value.status == status
    tap = TRANSLATOR.tap()
    tap.feed(*frames([failed]))
    assert type(tap.error) is kind


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "code": "rate_limit_exceeded", "message": "slow", "param": None},
        {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}},
        {"error": {"code": "rate_limit_exceeded", "message": "slow"}},
    ],
)
def test_an_event_called_error_is_an_error_in_either_wrapping(event):
    data = json.dumps(event).encode()
    with pytest.raises(RateLimited, match="slow"):
        TRANSLATOR.response_decoder().feed(Frame(data))
    tap = TRANSLATOR.tap()
    tap.feed(Frame(data))
    assert isinstance(tap.error, RateLimited)


@pytest.mark.parametrize("event", [{"type": "error", "delta": 5}, {"type": "response.failed", "response": None}])
def test_an_error_that_cannot_be_read_is_one(event):
    with pytest.raises(UpstreamFailed):
        TRANSLATOR.response_decoder().feed(Frame(json.dumps(event).encode()))


def test_a_completed_response_with_an_error_is_an_error():
    with pytest.raises(UpstreamFailed, match="oops"):
        events_of([*opening(), ending(response(error={"code": "server_error", "message": "oops"}))])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"output":5}',
        b'{"output":[7]}',
        b'{"output":[{"type":"message","content":5}]}',
        b'{"id":"resp_1","status":"queued","output":[]}',
        b'{"id":"resp_1","status":"in_progress","output":[]}',
        b'{"output":[{"type":"message","content":[{"type":"output_text","text":"\xff"}]}]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_answer_is_garbled(body):
    with pytest.raises(UpstreamGarbled):
        TRANSLATOR.decode_response(body)


@pytest.mark.parametrize(
    "data",
    [
        b"<html>",
        b"{",
        b"null",
        b'{"type":"response.output_text.delta","delta":5}',
        b'{"type":"response.output_text.delta","delta":"\xff"}',
        b'{"type":"response.output_item.done","item":{"type":"message","content":5}}',
        b'{"type":"response.completed","response":5}',
        b'{"type":"response.completed"}',
    ],
)
def test_a_frame_that_is_no_event_is_garbled(data):
    with pytest.raises(UpstreamGarbled):
        list(TRANSLATOR.response_decoder().feed(Frame(data)))


def test_a_malformed_event_can_be_passed_over(fold):
    decoder = TRANSLATOR.response_decoder()
    found: list[Event] = []
    for frame in [frames(opening())[0], Frame(b"{"), *frames(stream_of(BODY))[1:]]:
        try:
            found += decoder.feed(frame)
        except UpstreamGarbled:
            continue
    assert fold([*found, *decoder.close()]) == FOLDED


# --- any interleaving ---------------------------------------------------------------------------------------------------

ITEMS = st.lists(
    st.builds(message, st.text(min_size=1, max_size=20), item_id=st.just("x"))
    | st.builds(thought, st.text(min_size=1, max_size=20), item_id=st.just("x"), encrypted_content=st.just("c2Vh"))
    | st.builds(
        call, st.just("x"), st.sampled_from(["f", "g"]), st.builds(json.dumps, st.dictionaries(st.text(), st.text()))
    )
    | st.builds(custom, st.just("x"), st.just("patch"), st.text(max_size=20)),
    min_size=1,
    max_size=4,
)


@st.composite
def mixed(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """An answer, and its stream with the items' events mixed and some of them left out."""
    items = [
        {**item, "id": f"id_{number}", **({"call_id": f"c{number}"} if "call_id" in item else {})}
        for number, item in enumerate(draw(ITEMS))
    ]
    body = response(*items, usage=USAGE)
    queues = [item_events(index, item) for index, item in enumerate(items)]
    if draw(st.booleans()):
        queues = [[event for event in queue if not is_delta(event)] for queue in queues]
    order = draw(st.permutations([number for number, queue in enumerate(queues) for _ in queue]))
    line = [queues[number].pop(0) for number in order]
    return body, [*opening(), *line, ending(body if draw(st.booleans()) else {**body, "output": []})]


@settings(deadline=None)
@given(mixed())
def test_any_interleaving_gives_the_same_parts(folded, drawn):
    body, events = drawn
    answer, expected = folded(events), whole(body)

    def sortable(part: Any) -> str:
        return repr(part)

    assert sorted(answer.parts, key=sortable) == sorted(expected.parts, key=sortable)
    assert (answer.finish_reason, answer.usage) == (expected.finish_reason, expected.usage)


@settings(deadline=None)
@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["type", "delta", "item", "response", "output", "content", "text", "error", "usage", "id"]
                ),
                inner | st.sampled_from(["response.completed", "response.output_item.done", "message", "error"]),
            )
        ),
        max_leaves=15,
    ).map(lambda value: json.dumps(value).encode())
)
def test_whatever_an_upstream_sends_is_read_or_an_upstreams_error(data):
    for read in (
        TRANSLATOR.decode_response,
        lambda body: list(TRANSLATOR.response_decoder().feed(Frame(body))),
        lambda body: TRANSLATOR.tap().feed(Frame(body)),
        TRANSLATOR.decode_usage,
    ):
        try:
            read(data)
        except UpstreamError:
            continue


@pytest.mark.parametrize("count", [b"1e999", b"-5", b"NaN", b"9" * 400])
def test_a_count_that_cannot_be_is_none_or_garbled(count):
    data = b'{"type":"response.completed","response":{"output":[],"usage":{"input_tokens":' + count + b"}}}"
    try:
        found = list(TRANSLATOR.response_decoder().feed(Frame(data)))
    except UpstreamGarbled:
        return
    assert [event.usage for event in found if isinstance(event, UsageUpdate)] == [Usage()]


def test_an_answer_begins_once():
    found = events_of(stream_of(BODY))
    assert [event for event in found if isinstance(event, ResponseStart)] == [ResponseStart(id="resp_1", model="m")]


def test_metadata_is_raw_where_nobody_looks_into_it():
    (part,) = whole(response(SEARCH)).parts
    assert isinstance(part.provider_metadata[DIALECT]["item"], Raw)
