"""Signatures found in bytes that nobody decodes: all of them, nothing else, in time that grows with the bytes alone."""

import itertools
import json
import re
import time

import pytest

from omniroute_translator_anthropic import AnthropicTranslator

TRANSLATOR = AnthropicTranslator()
PATTERN = re.compile(TRANSLATOR.opaque_pattern)
SIGNATURE = "EqQB/+Cg=="
WORDS = 'Let "me" {see}: \\ \u2028 "signature":"no", "data":"no"}'
THINKING = {"type": "thinking", "thinking": WORDS, "signature": SIGNATURE}
REDACTED = {"type": "redacted_thinking", "data": "AAAA/+=="}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}


def found_in(data):
    """The values the kernel sees, read as the JSON strings they are."""
    if not any(mark in data for mark in TRANSLATOR.opaque_marks):
        return []
    return [json.loads(b'"%b"' % found) for found in PATTERN.findall(data)]


SPELLINGS = [
    pytest.param(lambda value: json.dumps(value).encode(), id="spaced"),
    pytest.param(lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(), id="tight"),
    pytest.param(lambda value: json.dumps(value, indent=2).encode(), id="indented"),
    pytest.param(
        lambda value: json.dumps(value).replace("/", "\\/").replace("+", "\\u002B").replace("=", "\\u003d").encode(),
        id="escaped",
    ),
]


@pytest.mark.parametrize("spell", SPELLINGS)
@pytest.mark.parametrize(
    ("value", "found"),
    [
        pytest.param(THINKING, [SIGNATURE], id="thinking"),
        pytest.param(REDACTED, ["AAAA/+=="], id="redacted"),
        pytest.param([IMAGE, THINKING, REDACTED, IMAGE, THINKING], [SIGNATURE, "AAAA/+==", SIGNATURE], id="content"),
        pytest.param({"messages": [{"role": "assistant", "content": [THINKING]}]}, [SIGNATURE], id="a request"),
        pytest.param(
            {"id": "msg_1", "type": "message", "role": "assistant", "content": [THINKING, REDACTED], "usage": {}},
            [SIGNATURE, "AAAA/+=="],
            id="an answer",
        ),
        pytest.param(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": SIGNATURE}},
            [SIGNATURE],
            id="the end of a streamed block",
        ),
        pytest.param(
            {"type": "content_block_start", "index": 0, "content_block": REDACTED}, ["AAAA/+=="], id="its beginning"
        ),
        pytest.param({**THINKING, "n": 1, "b": True, "z": None}, [SIGNATURE], id="with members of other kinds"),
        pytest.param({"n": -1.5e9, "b": True, "z": None, **THINKING}, [SIGNATURE], id="with members before it"),
        pytest.param({**THINKING, "signature": ""}, [], id="thinking nobody has signed"),
        pytest.param({"type": "thinking", "thinking": WORDS}, [], id="nor given a field for it"),
        pytest.param({"type": "text", "text": json.dumps(THINKING)}, [], id="words that look like it"),
        pytest.param({"type": "tool_use", "input": {"signature": "f(x)", "data": "x"}}, [], id="an argument of a tool"),
        pytest.param([{"signature": "x"}, {"type": "thinking", "thinking": ""}], [], id="a neighbour's"),
        pytest.param([{"type": "thinking", "thinking": ""}, {"data": "x"}], [], id="the other neighbour's"),
        pytest.param({"thinking": {"type": "enabled", "budget_tokens": 9}}, [], id="how much to think"),
        pytest.param(IMAGE, [], id="an image"),
        pytest.param({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "re"}}, [], id="a delta"),
    ],
)
def test_signatures_are_found_and_nothing_else(value, found, spell):
    assert found_in(spell(value)) == found


@pytest.mark.parametrize("spell", SPELLINGS)
@pytest.mark.parametrize("block", [THINKING, REDACTED], ids=["thinking", "redacted"])
def test_members_may_stand_in_any_order(block, spell):
    for members in itertools.permutations({**block, "index": 0}.items()):
        assert found_in(spell([dict(members), IMAGE])) == [block.get("signature") or block["data"]]


@pytest.mark.parametrize(
    "make",
    [
        lambda n: json.dumps({"content": [{"type": "image", "source": {"type": "base64", "data": "A" * n}}]}),
        lambda n: json.dumps({"content": [{"source": {"data": "A" * n, "type": "base64"}}, THINKING]}),
        lambda n: json.dumps({"type": "thinking", "thinking": 'a {"b": "c"} ' * (n // 12)}),
        lambda n: '"type":"thinking","a":"b",' * (n // 25),
        lambda n: '"signature":"x","a":"b",' * (n // 24),
        lambda n: '"data":"x","type":"y",' * (n // 22),
        lambda n: '"type":"thinking",' * (n // 18),
        lambda n: '"type"' + " " * n,
        lambda n: '"type":"thinking","a":"' + "\\\\" * (n // 2),
        lambda n: '"data":"' * (n // 8),
    ],
)
def test_searching_takes_time_in_proportion(make):
    """Squared, the second would take a hundred times the first; the factor leaves room for a busy machine."""
    small, large = (make(size).encode() for size in (200_000, 2_000_000))
    assert seconds(large) < 30 * seconds(small) + 0.05


def seconds(data):
    def once():
        started_s = time.perf_counter()
        PATTERN.findall(data)
        return time.perf_counter() - started_s

    return min(once() for _ in range(3))
