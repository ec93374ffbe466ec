"""Reasoning between `<think>` tags at the start of a text, however the text is cut."""

import json
import re
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omniroute.api import (
    Event,
    Frame,
    ReasoningDelta,
    ReasoningPart,
    StreamBroken,
    TextDelta,
    TextPart,
    ToolCallPart,
    fold,
)
from omniroute.testing import check_events
from omniroute_translator_openai_chat import OpenAIChat

TRANSLATOR = OpenAIChat()
CALL = {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{}"}}]}


def frame(delta: dict[str, Any], finish: str | None = None) -> Frame:
    return Frame(
        json.dumps(
            {"id": "x", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        ).encode()
    )


def events_of(deltas: Iterable[dict[str, Any]]) -> list[Event]:
    decoder = TRANSLATOR.response_decoder()
    frames = [frame({"role": "assistant"}), *map(frame, deltas), frame({}, finish="stop")]
    events = [event for each in frames for event in decoder.feed(each)]
    return [*events, *decoder.close()]


def parts_of(deltas: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    events = events_of(deltas)
    check_events(events)
    return seen(fold(events).parts)


def whole(message: dict[str, Any]) -> list[tuple[str, str]]:
    body = json.dumps({"id": "x", "model": "m", "choices": [{"message": message, "finish_reason": "stop"}]})
    return seen(TRANSLATOR.decode_response(body.encode()).parts)


def seen(parts: Iterable[Any]) -> list[tuple[str, str]]:
    kinds = {TextPart: "text", ReasoningPart: "reasoning", ToolCallPart: "call"}
    return [(kinds[type(part)], part.name if isinstance(part, ToolCallPart) else part.text) for part in parts]


OPENINGS = [
    ("<think>hm</think>so", [("reasoning", "hm"), ("text", "so")]),
    (" \n\t<think>hm</think>so", [("reasoning", "hm"), ("text", "so")]),
    ("<think>\nhm\n</think>\r\n\n\n so\n", [("reasoning", "\nhm\n"), ("text", " so\n")]),
    ("<think></think>\n\nso", [("text", "so")]),
    ("<think>hm</think>", [("reasoning", "hm")]),
    ("<think>hm</think>\n", [("reasoning", "hm")]),
    ("<think>hm, no end", [("reasoning", "hm, no end")]),
    ("<think>hm</thin", [("reasoning", "hm</thin")]),
    ("<think>a </ b <think> c < d</think>so", [("reasoning", "a </ b <think> c < d"), ("text", "so")]),
    ("<think>a<</think>so", [("reasoning", "a<"), ("text", "so")]),
    ("<think>a</th</think>so", [("reasoning", "a</th"), ("text", "so")]),
    ("<think>hm</think>so<think>no</think>", [("reasoning", "hm"), ("text", "so<think>no</think>")]),
    ("so <think>no</think>", [("text", "so <think>no</think>")]),
    ("</think>so", [("text", "</think>so")]),
    ("<b>so</b>", [("text", "<b>so</b>")]),
    ("<thinking>so</thinking>", [("text", "<thinking>so</thinking>")]),
    ("<", [("text", "<")]),
    (" <think", [("text", " <think")]),
    ("<think>", []),
    (" \n", [("text", " \n")]),
    ("\n\nso", [("text", "\n\nso")]),
    ("<think>😀</think>😀", [("reasoning", "😀"), ("text", "😀")]),
]


@pytest.mark.parametrize(("text", "parts"), OPENINGS)
def test_tags_at_the_start_of_a_text_hold_reasoning(text, parts):
    assert whole({"content": text}) == parts
    assert parts_of([{"content": text}]) == parts
    assert parts_of({"content": character} for character in text) == parts


WHOLE = re.compile(r"\s*<think>(?P<reasoning>.*?)(?:</think>[\r\n]*(?P<text>.*))?", re.DOTALL)
PIECES = ["<think>", "</think>", "<", "</", "think", ">", "\n", "\r", " ", "a", "é", "😀", "<thi", "</t"]


def cut_from_whole(text: str) -> list[tuple[str, str]]:
    """What the rule says of a text one has in front of oneself."""
    found = WHOLE.fullmatch(text)
    parts = found.groupdict() if found else {"text": text}
    return [(kind, said) for kind, said in parts.items() if said]


@given(text=st.lists(st.sampled_from(PIECES)).map("".join), data=st.data())
@settings(deadline=None)
def test_any_cut_of_a_text_gives_the_same_parts(text, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert parts_of({"content": piece} for piece in pieces) == whole({"content": text}) == cut_from_whole(text)


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        (["\n", "a", "<", "think>"], ["", "\na", "<", "think>"]),
        (["<", "b"], ["", "<b"]),
        (["<thin", "g>"], ["", "<thing>"]),
        (["<think>", "a<", "b</t", "i</think", ">", "\n", "c"], ["", "a", "<b", "</ti", "", "", "c"]),
        (["<think>a</think>b", "</", "c"], ["ab", "</", "c"]),
    ],
)
def test_text_is_held_back_only_while_it_can_still_become_a_tag(pieces, said):
    decoder = TRANSLATOR.response_decoder()
    events = [decoder.feed(frame({"content": piece})) for piece in pieces]
    assert [
        "".join(event.text for event in each if isinstance(event, TextDelta | ReasoningDelta)) for each in events
    ] == said


@pytest.mark.parametrize(
    ("deltas", "parts"),
    [
        pytest.param(
            [{"reasoning_content": "r"}, {"content": "<th"}, {"content": "ink>hm</think>so"}],
            [("reasoning", "rhm"), ("text", "so")],
            id="reasoning in its own field before",
        ),
        pytest.param(
            [{"content": "\n<thi"}, {"reasoning_content": "r"}, {"content": "nk>hm</think>so"}],
            [("reasoning", "rhm"), ("text", "so")],
            id="reasoning in its own field between",
        ),
        pytest.param(
            [{"reasoning_content": "r"}, {"content": "\n\nso"}],
            [("reasoning", "r"), ("text", "\n\nso")],
            id="no tag behind reasoning in its own field",
        ),
        pytest.param(
            [{"content": "<think>hm</th"}, CALL, {"content": "ink>more"}],
            [("reasoning", "hm</th"), ("call", "f"), ("reasoning", "ink>more")],
            id="a call amid a tag",
        ),
        pytest.param(
            [{"content": "<think>hm"}, CALL, {"content": "</think>so"}],
            [("reasoning", "hm"), ("call", "f"), ("text", "so")],
            id="a call amid reasoning",
        ),
        pytest.param([{"content": " <"}, CALL], [("text", " <"), ("call", "f")], id="a call behind half a tag"),
        pytest.param([CALL, {"content": "<think>hm"}], [("call", "f"), ("reasoning", "hm")], id="a call before"),
        pytest.param(
            [{"content": "<thi"}, {"refusal": "no"}, {"content": "nk>"}],
            [("text", "<thi"), ("text", "no"), ("text", "nk>")],
            id="a refusal amid a tag",
        ),
        pytest.param(
            [{"content": [{"type": "text", "text": "<think>hm"}, {"type": "text", "text": "</think>so"}]}],
            [("reasoning", "hm"), ("text", "so")],
            id="content as a list of parts",
        ),
    ],
)
def test_tags_stand_beside_whatever_else_an_answer_says(deltas, parts):
    assert parts_of(deltas) == parts


def test_half_a_tag_does_not_hide_that_a_stream_was_cut():
    decoder = TRANSLATOR.response_decoder()
    assert not [event for event in decoder.feed(frame({"content": " <th"})) if isinstance(event, TextDelta)]
    with pytest.raises(StreamBroken):
        decoder.close()


# --- the tap ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from([*PIECES, ""]), min_size=1))
@settings(deadline=None)
def test_the_tap_speaks_up_before_anything_is_decided(pieces):
    decoder, tap = TRANSLATOR.response_decoder(), TRANSLATOR.tap()
    frames = [frame({"role": "assistant", "content": ""}), *(frame({"content": piece}) for piece in pieces)]
    while frames and not tap.content:
        each = frames.pop(0)
        said = {type(event) for event in decoder.feed(each)}
        tap.feed(each)
        assert tap.content or not said & {TextDelta, ReasoningDelta}
        assert tap.needs_rewrite or ReasoningDelta not in said
    decided = tap.needs_rewrite
    for each in frames:
        tap.feed(each)
    assert tap.needs_rewrite == decided
