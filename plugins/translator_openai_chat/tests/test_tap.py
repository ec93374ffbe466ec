"""The tap on a relayed stream: what it sees, and how little it looks."""

import json
from typing import Any

import pytest

from omniroute.api import Frame, StreamBroken, UpstreamFailed, UpstreamGarbled, Usage
from omniroute_translator_openai_chat import OpenAIChat

DONE = b"[DONE]"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
COUNTED = Usage(input_tokens=3, output_tokens=2, cached_tokens=1)
UNREADABLE = b"{ no json at all }"


def chunk(
    delta: dict[str, Any] | None = None, finish: str | None = None, *, spaced: bool = False, **fields: Any
) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    separators = None if spaced else (",", ":")
    return json.dumps({"id": "x", "choices": [choice], "usage": None, **fields}, separators=separators).encode()


def tap_after(*frames: bytes) -> Any:
    tap = OpenAIChat().tap()
    for data in frames:
        tap.feed(Frame(data))
    return tap


@pytest.mark.parametrize(
    ("delta", "content"),
    [
        ({"role": "assistant", "content": ""}, False),
        ({"content": None, "tool_calls": []}, False),
        ({}, False),
        ({"content": "a"}, True),
        ({"content": [{"type": "text", "text": "a"}]}, True),
        ({"reasoning_content": "a"}, True),
        ({"reasoning": "a"}, True),
        ({"reasoning_details": [{"text": "a"}]}, True),
        ({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f"}}]}, True),
        ({"function_call": {"name": "f"}}, True),
        ({"refusal": "no"}, True),
    ],
)
def test_content_is_text_reasoning_or_a_call(delta, content):
    assert tap_after(chunk(delta)).content is content


ROLE = chunk({"role": "assistant", "content": ""})
CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}


@pytest.mark.parametrize(
    ("frames", "needs_rewrite", "content"),
    [
        pytest.param([ROLE, chunk({"content": "a"})], False, True, id="as it should be"),
        pytest.param([chunk({"role": "assistant", "content": "a"})], False, True, id="the role with the text"),
        pytest.param([ROLE, chunk({"content": " \n"})], False, False, id="white space: undecided"),
        pytest.param([ROLE, chunk({"content": "\n"}), chunk({"content": "a"})], False, True, id="then a text"),
        pytest.param([ROLE, chunk({"content": "\n"}), chunk({"content": "<"})], True, False, id="perhaps a tag"),
        pytest.param([ROLE, chunk({"content": "<"}), chunk({"content": "b"})], True, True, id="no tag after all"),
        pytest.param([ROLE, chunk({"content": "<think>"})], True, False, id="a tag alone"),
        pytest.param([ROLE, chunk({"content": "<think>hm"})], True, True, id="a tag"),
        pytest.param([ROLE, chunk({"content": "a <think>"})], False, True, id="a tag that is none"),
        pytest.param(
            [ROLE, chunk({"reasoning_content": "a"}), chunk({"content": "<think>"})], False, True, id="a tag too late"
        ),
        pytest.param([ROLE, chunk({"content": [{"type": "text", "text": "a"}]})], True, True, id="a list of parts"),
        pytest.param([ROLE, chunk({"content": []})], True, False, id="an empty list of parts"),
        pytest.param([chunk({"content": ""}), chunk({"content": "a"})], True, True, id="no role"),
        pytest.param([ROLE, ROLE, chunk({"content": "a"})], True, True, id="the role twice"),
        pytest.param(
            [chunk(choices=[], prompt_filter_results=[{}]), ROLE, chunk({"content": "a"})],
            False,
            True,
            id="a first chunk without choices",
        ),
        pytest.param([ROLE, chunk({"tool_calls": [CALL]})], False, True, id="a call"),
        pytest.param([ROLE, chunk({"tool_calls": [CALL, {**CALL, "index": 1}]})], False, True, id="two calls"),
        pytest.param([ROLE, chunk({"tool_calls": [{**CALL, "index": 1}]})], True, True, id="a call counted from 1"),
        pytest.param([ROLE, chunk({"tool_calls": [{**CALL, "index": None}]})], True, True, id="a call without index"),
        pytest.param([ROLE, chunk({"tool_calls": [{**CALL, "id": ""}]})], True, True, id="a call without id"),
        pytest.param(
            [ROLE, chunk({"tool_calls": [{**CALL, "function": {"arguments": ""}}]})], True, True, id="without a name"
        ),
        pytest.param(
            [ROLE, chunk({"tool_calls": [{**CALL, "function": {"name": "f", "arguments": {}}}]})],
            True,
            True,
            id="a call with an object for arguments",
        ),
    ],
)
def test_an_opening_that_bends_the_rules_is_told_before_the_request_is_committed(frames, needs_rewrite, content):
    tap = tap_after(*frames)
    assert (tap.needs_rewrite, tap.content) == (needs_rewrite, content)


def whole(spaced: bool = False, **message: Any) -> bytes:
    body = {"choices": [{"message": {"role": "assistant", "content": "a", **message}, "finish_reason": "stop"}]}
    return json.dumps(body, separators=None if spaced else (",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize(
    ("message", "needs_rewrite"),
    [
        pytest.param({}, False, id="a text"),
        pytest.param({"content": None, "tool_calls": [CALL]}, False, id="a call"),
        pytest.param({"tool_calls": []}, False, id="an empty list of calls"),
        pytest.param({"content": "\n<think>hm</think>a"}, True, id="tags at the start"),
        pytest.param({"content": "a <think>hm</think>"}, False, id="tags later"),
        pytest.param({"reasoning_content": "<think>"}, False, id="a tag elsewhere"),
        pytest.param({"content": [{"type": "text", "text": "a"}]}, True, id="a list of parts"),
        pytest.param({"tool_calls": [{**CALL, "id": None}]}, True, id="a call without id"),
        pytest.param(
            {"tool_calls": [{**CALL, "function": {"name": "f", "arguments": {}}}]}, True, id="an object for arguments"
        ),
    ],
)
def test_a_whole_answer_that_bends_the_rules_is_not_relayed(message, needs_rewrite, spaced):
    assert OpenAIChat().needs_rewrite(whole(spaced, **message)) is needs_rewrite


@pytest.mark.parametrize("place", range(3))
def test_a_list_is_found_among_texts(place):
    choices = [{"message": {"role": "assistant", "content": "a"}} for _ in range(3)]
    choices[place]["message"]["content"] = [{"type": "text", "text": '"content": "a"'}]
    assert OpenAIChat().needs_rewrite(json.dumps({"choices": choices}).encode())


def test_tags_are_seen_however_they_are_spelt():
    body = whole(content="<think>hm</think>a").replace(b"<", b"\\u003c").replace(b">", b"\\u003E")
    assert OpenAIChat().needs_rewrite(body)


@pytest.mark.parametrize("body", [b"", b"<think>", b'{"choices":"<think>"}', b"[" * 100_000 + b"<think>"])
def test_what_is_no_answer_needs_no_rewrite(body):
    assert not OpenAIChat().needs_rewrite(body)


@pytest.mark.parametrize(
    ("frames", "ended"),
    [
        pytest.param([chunk({"content": "a"})], False, id="still going"),
        pytest.param([chunk(finish="stop")], True, id="finish reason"),
        pytest.param([chunk({"content": "a"}), chunk(finish="stop")], True, id="after content"),
        pytest.param([chunk({"content": "a"}), chunk(finish="stop", spaced=True)], True, id="with spaces"),
        pytest.param([chunk({"content": "a"}), chunk(finish="stop"), DONE], True, id="and DONE"),
        pytest.param([chunk({"content": "a"}), DONE], False, id="DONE without one"),
        pytest.param([DONE], False, id="DONE alone"),
        pytest.param(
            [chunk({"content": '"finish_reason":"stop"'}) for _ in range(2)], False, id="as words of the model"
        ),
        pytest.param([b"", chunk({"content": "a"}), b""], False, id="empty frames"),
    ],
)
def test_the_end_is_a_finish_reason(frames, ended):
    tap = tap_after(*frames)
    assert tap.ended is ended
    assert (type(tap.error) is StreamBroken) == (frames[-1] == DONE and not ended)


@pytest.mark.parametrize("data", [b" [DONE]", b"{not json", b"0.01", b'["no", "event"]', b"\x00\xff", b"[" * 5000])
@pytest.mark.parametrize("before", [[], [chunk({"content": "a"})]], ids=["no content yet", "after content"])
def test_what_does_not_even_look_like_an_object_is_garbage(before, data):
    with pytest.raises(UpstreamGarbled):
        tap_after(*before, data)


def test_an_object_with_blanks_around_it_is_one():
    assert tap_after(chunk({"content": "a"}), b" " + chunk({"content": "b"}) + b" ").error is None


@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize("before", [[], [chunk({"content": "a"})]], ids=["no content yet", "after content"])
def test_usage_is_taken_from_wherever_it_comes(before, spaced):
    assert tap_after(*before, chunk(finish="stop", usage=USAGE, spaced=spaced)).usage == COUNTED
    assert tap_after(*before, chunk(choices=[], usage=USAGE, spaced=spaced)).usage == COUNTED
    assert tap_after(*before, chunk(choices=[], usage=USAGE), chunk(choices=[])).usage == COUNTED


@pytest.mark.parametrize("before", [[], [chunk({"content": "a"})]], ids=["no content yet", "after content"])
@pytest.mark.parametrize("data", [b'{"error":{"message":"x"}}', b'{"error": "x"}', chunk(finish="error")])
def test_a_reported_failure_is_kept(before, data):
    tap = tap_after(*before, data)
    assert isinstance(tap.error, UpstreamFailed)


def test_an_error_that_is_null_is_none():
    assert tap_after(chunk({"content": "a"}, error=None), chunk({"content": "b"}, error=None)).error is None


def test_an_event_called_error_is_read_after_content_too():
    tap = tap_after(chunk({"content": "a"}))
    tap.feed(Frame(b'{"message":"x"}', event="error"))
    assert tap.error is not None


def test_a_frame_that_is_no_chunk_is_garbled_while_the_request_can_still_go_elsewhere():
    with pytest.raises(UpstreamGarbled):
        tap_after(UNREADABLE)


@pytest.mark.parametrize("spaced", [False, True])
def test_after_content_a_frame_without_news_is_not_read(spaced):
    plain = chunk({"content": "b"}, spaced=spaced)
    tap = tap_after(chunk({"content": "a"}))
    for data in (UNREADABLE, plain.replace(b'"b"', b'"b'), plain.replace(b'"b"', b'"\\ud83d"')):
        tap.feed(Frame(data))  # reading any of these would raise
    with pytest.raises(UpstreamGarbled):
        tap.feed(Frame(chunk(finish="stop", spaced=spaced)[:-1]))
