"""The tap on a relayed stream: what it sees, and how little it looks."""

import json
from typing import Any

import pytest

from omniroute.api import Frame, UpstreamFailed, UpstreamGarbled, Usage
from omniroute_translator_openai_chat import OpenAIChat

DONE = b"[DONE]"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
COUNTED = Usage(input_tokens=3, output_tokens=2, cached_tokens=1)
UNREADABLE = b"} no json at all {"


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


@pytest.mark.parametrize(
    ("frames", "ended"),
    [
        pytest.param([chunk({"content": "a"})], False, id="still going"),
        pytest.param([chunk(finish="stop")], True, id="finish reason"),
        pytest.param([chunk({"content": "a"}), chunk(finish="stop")], True, id="after content"),
        pytest.param([chunk({"content": "a"}), chunk(finish="stop", spaced=True)], True, id="with spaces"),
        pytest.param([chunk({"content": "a"}), DONE], True, id="DONE"),
        pytest.param([DONE], True, id="DONE alone"),
        pytest.param([chunk({"content": "a"}), b" [DONE]"], False, id="only as the whole frame"),
        pytest.param(
            [chunk({"content": '"finish_reason":"stop"'}) for _ in range(2)], False, id="as words of the model"
        ),
        pytest.param([b"", chunk({"content": "a"}), b""], False, id="empty frames"),
    ],
)
def test_the_end_is_a_finish_reason_or_done(frames, ended):
    assert tap_after(*frames).ended is ended


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
    for data in (UNREADABLE, plain[:-5], plain.replace(b'"b"', b'"\\ud83d"')):
        tap.feed(Frame(data))  # reading any of these would raise
    with pytest.raises(UpstreamGarbled):
        tap.feed(Frame(chunk(finish="stop", spaced=spaced)[:-1]))
