"""The tap on a relayed stream: what it sees, and how little it looks."""

import json
from typing import Any

import pytest

from omniroute.api import Frame, RateLimited, UpstreamFailed, UpstreamGarbled, Usage
from omniroute_translator_openai_responses import OpenAIResponses

USAGE = {
    "input_tokens": 3,
    "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 5,
}
COUNTED = Usage(input_tokens=3, output_tokens=2, cached_tokens=1)
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "m",
    "output": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
CREATED = {"type": "response.created", "sequence_number": 0, "response": {**RESPONSE, "status": "in_progress"}}
DELTA = {"type": "response.output_text.delta", "sequence_number": 7, "item_id": "m", "delta": "a"}
COMPLETED = {"type": "response.completed", "response": {**RESPONSE, "status": "completed", "usage": USAGE}}
INCOMPLETE = {"type": "response.incomplete", "response": {**RESPONSE, "status": "incomplete", "usage": USAGE}}
FAILED = {"type": "response.failed", "response": {**RESPONSE, "error": {"code": "rate_limit_exceeded", "message": "x"}}}
UNREADABLE = b"{ no json at all }"


def frame(event: dict[str, Any], *, named: bool = True, spaced: bool = False) -> Frame:
    data = json.dumps(event, separators=None if spaced else (",", ":")).encode()
    return Frame(data, event["type"] if named else None)


def tap_after(*events: Any, **form: Any) -> Any:
    tap = OpenAIResponses().tap()
    for event in events:
        tap.feed(event if isinstance(event, Frame) else frame(event, **form))
    return tap


def added(**item: Any) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": 0, "item": item}


def done(**item: Any) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": 0, "item": item}


@pytest.mark.parametrize(
    ("event", "content"),
    [
        (CREATED, False),
        ({"type": "response.in_progress"}, False),
        ({"type": "response.made_up", "delta": {"x": 1}}, False),
        ({"type": "response.content_part.added", "part": {"type": "output_text", "text": ""}}, False),
        (added(type="message", id="m", content=[]), False),
        (added(type="reasoning", id="r", summary=[]), False),
        (added(type="function_call", id="f", call_id="c"), False),
        (added(type="function_call", id="f", call_id="c", name="f"), True),
        (added(type="custom_tool_call", id="f", call_id="c", name="f"), True),
        (DELTA, True),
        ({**DELTA, "delta": ""}, False),
        ({"type": "response.refusal.delta", "delta": "a"}, True),
        ({"type": "response.reasoning_summary_text.delta", "delta": "a"}, True),
        ({"type": "response.reasoning_text.delta", "delta": "a"}, True),
        ({"type": "response.function_call_arguments.delta", "delta": "{"}, True),
        ({"type": "response.custom_tool_call_input.delta", "delta": "{"}, True),
        ({"type": "response.output_text.done", "text": "a"}, True),
        (done(type="message", id="m", content=[{"type": "output_text", "text": "a"}]), True),
        (done(type="message", id="m", content=[]), False),
        (done(type="reasoning", id="r", summary=[]), False),
        (done(type="reasoning", id="r", summary=[], encrypted_content="x"), True),
        (done(type="web_search_call", id="w"), True),
        (COMPLETED, False),
        ({"type": "response.completed", "response": {**RESPONSE, "output": [{"type": "message"}]}}, True),
    ],
)
@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
def test_content_is_text_reasoning_or_a_call(event, content, named):
    assert tap_after(event, named=named).content is content


@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
@pytest.mark.parametrize("spaced", [True, False], ids=["spaced", "tight"])
@pytest.mark.parametrize("before", [[], [DELTA]], ids=["no content yet", "after content"])
@pytest.mark.parametrize("last", [COMPLETED, INCOMPLETE])
def test_the_last_event_ends_it_with_its_usage(before, last, named, spaced):
    tap = tap_after(CREATED, *before, last, named=named, spaced=spaced)
    assert (tap.ended, tap.usage, tap.error) == (True, COUNTED, None)
    assert tap_after(CREATED, *before, named=named, spaced=spaced).ended is False


@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
@pytest.mark.parametrize("before", [[], [DELTA]], ids=["no content yet", "after content"])
def test_a_reported_failure_is_kept(before, named):
    tap = tap_after(*before, FAILED, named=named)
    assert isinstance(tap.error, RateLimited)
    assert not tap.ended
    tap = tap_after(*before, {"type": "error", "code": "server_error", "message": "x"}, named=named)
    assert isinstance(tap.error, UpstreamFailed)


def test_the_names_of_last_events_as_words_of_the_model_are_words():
    quoted = {**DELTA, "delta": '{"type":"response.completed","response":{}}'}
    tap = tap_after(DELTA, quoted, named=False)
    assert (tap.ended, tap.error) == (False, None)


@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
def test_after_content_a_frame_that_says_nothing_is_not_read(named):
    unread = Frame(UNREADABLE, "response.output_text.delta" if named else None)
    assert tap_after(DELTA, unread, COMPLETED).ended
    with pytest.raises(UpstreamGarbled):
        tap_after(unread)


@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
@pytest.mark.parametrize("data", [b"{not json", b"0.01", b'["no", "event"]', b"\x00\xff"])
def test_what_does_not_even_look_like_an_object_is_garbage(data, named):
    with pytest.raises(UpstreamGarbled):
        tap_after(DELTA, Frame(data, "response.output_text.delta" if named else None))


def test_empty_frames_and_another_dialects_end_are_nothing():
    tap = tap_after(Frame(b""), Frame(b"[DONE]"), CREATED, Frame(b""))
    assert (tap.content, tap.ended, tap.error) == (False, False, None)


@pytest.mark.parametrize("events", [[CREATED], [CREATED, DELTA], [CREATED, DELTA, {**DELTA, "sequence_number": 8}]])
def test_a_failure_is_told_about_the_response_that_was_announced(events, accept_stream):
    (ending,) = tap_after(*events).fail(UpstreamFailed("it broke"))
    failed = json.loads(ending.data)
    assert failed["sequence_number"] == events[-1]["sequence_number"] + 1
    assert failed["response"] == {
        **RESPONSE,
        "status": "failed",
        "error": {"code": "server_error", "message": "it broke", "retryable": True},
    }
    accept_stream([Frame(json.dumps({**failed, "sequence_number": 0}).encode(), ending.event)])


def test_a_failure_before_anything_was_announced_is_told_alone(accept_stream):
    (event,) = accept_stream(tap_after().fail(UpstreamFailed("it broke")))
    assert (event["type"], event["message"], event["code"]) == ("error", "it broke", "server_error")


@pytest.mark.parametrize("data", [b"{no}", b'{"sequence_number":"x"}', b"{}"])
def test_a_failure_after_events_without_numbers_has_the_first(data):
    tap = tap_after(DELTA, Frame(data, "response.output_text.delta"))
    (ending,) = tap.fail(UpstreamFailed("it broke"))
    assert json.loads(ending.data)["sequence_number"] == 0
