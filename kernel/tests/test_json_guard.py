import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from omniroute.api import InvalidRequest
from omniroute.json_guard import check_json, check_model


def check(body):
    check_json(body, max_depth=64)
    check_model(body, None)


def nested(levels, opening="[", closing="]"):
    return b'{"model":"m","x":' + (opening * levels + closing * levels).encode() + b"}"


def alternating(pairs):
    return b'{"x":' + b'[{"a":' * pairs + b"1" + b"}]" * pairs + b"}"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b'{"a":"\xff"}', "offset 6", id="not UTF-8"),
        pytest.param(b"\xef\xbb\xbf{}", "byte order mark", id="BOM"),
        pytest.param(b'{"a":"\\ud83d"}', "surrogate", id="lone high half"),
        pytest.param(b'{"a":"\\uDE00"}', "surrogate", id="lone low half"),
        pytest.param(b'{"a":"\\ud83d\\ud83d\\ude00"}', "surrogate", id="two high halves"),
        pytest.param(nested(64), "64 levels", id="65 deep"),
        pytest.param(nested(100_000), "64 levels", id="100,000 deep"),
        pytest.param(alternating(33), "64 levels", id="67 deep in two kinds"),
        pytest.param(
            b'{"x":' + b'[{"]":' * 33 + b"1" + b"}]" * 33 + b"}", "64 levels", id="closers in strings do not help"
        ),
        pytest.param(b"[" * 1000, "64 levels", id="never closed"),
        pytest.param(b'{"model":"a","model":"b"}', "twice", id="model twice"),
        pytest.param(b'{"model":"a","mod\\u0065l":"b"}', "twice", id="model twice, spelled in two ways"),
        pytest.param(
            b'{"\\u006Dodel":"a","x":1,"\\u006d\\u006f\\u0064\\u0065\\u006C":"b"}', "twice", id="model twice, escaped"
        ),
        pytest.param(b'{"model":"a","x":{"model":1},"model" :"b"}', "twice", id="model twice with one between"),
        pytest.param(
            b'{"x":[{"model":1},{"model":2}],"model":"a","y":{"model":3},"model":"b"}',
            "twice",
            id="model twice, far down",
        ),
        pytest.param(
            b'{"model":"a",' + b'"x":{"model":1},' * 50 + b'"model":"a"}', "twice", id="model twice, far apart"
        ),
        pytest.param(
            b'{"x":' + b'["' + b"[" * 4000 + b'",' + b"[" * 64 + b"]" * 64 + b"]}",
            "64 levels",
            id="66 deep behind a text",
        ),
        pytest.param(
            b'{"x":' + b'{"text":"%b","x":' % (b"[" * 4000) * 64 + b"1" + b"}" * 65,
            "64 levels",
            id="65 deep, text at each",
        ),
    ],
)
def test_a_bad_body_is_refused(body, says):
    with pytest.raises(InvalidRequest, match=says):
        check(body)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(nested(63), id="64 deep"),
        pytest.param(alternating(31), id="63 deep in two kinds"),
        pytest.param(json.dumps({"model": "m", "text": "[" * 5000}).encode(), id="brackets in a string"),
        pytest.param(
            json.dumps({"text": '\\"[{' * 200, "b": [[]] * 100}).encode(), id="escaped quotes before brackets"
        ),
        pytest.param(b'{"a":"\\ud83d\\ude00"}', id="an escaped pair"),
        pytest.param(b'{"a":"\\\\ud83d"}', id="an escaped backslash before ud83d"),
        pytest.param('{"a":"é😀\u2028"}'.encode(), id="plain UTF-8"),
        pytest.param(b'{"a":"\\u0000"}', id="NUL passes"),
        pytest.param(b'{"model":"a","tools":[{"model":1}],"x":{"model":2}}', id="model further down"),
        pytest.param(b'{"model":"say \\"model\\":"}', id="model in a string"),
        pytest.param(b'{"x":"model","model":"a"}', id="model as a value"),
        pytest.param(b'{"mod\\u0065l":"a","x":{"model":1},"y":"\\u006d"}', id="model once, escaped"),
        pytest.param(b'{"x":{"model":1},"y":[{"model":{"model":2}}],"model":"a"}', id="model after others"),
        pytest.param(b'{"a":"\\\\u006","model":"a","y":{"model":1}}', id="an escaped backslash before u006"),
        pytest.param(
            b'{"x":' + b'{"text":"%b","x":' % (b"[" * 4000) * 63 + b"1" + b"}" * 64, id="64 deep, text at each"
        ),
        pytest.param(b"not json at all", id="syntax is not its business"),
        pytest.param(b'{"model":"a","model"' + b"[" * 50, id="nor where brackets are not closed"),
        pytest.param(rb'{"x":["\\","[","\"[","\n"],"y":"\\\"["}', id="escapes before quotes"),
    ],
)
def test_a_good_body_passes(body):
    check(body)


class Turns(msgspec.Struct):
    turns: Raw


def is_refused(body, turns):
    try:
        check_model(body, turns)
    except InvalidRequest:
        return True
    return False


@pytest.mark.parametrize(
    "between", ["", ', "model": "b"', ', "m\\u006fdel": "b"', ', "x": [1]', ', "x": {"model": 1}', ', "x": "]"']
)
@pytest.mark.parametrize("last", ["", ', "model" :"c"', ', "x": "[model]"', ', "x": [{"model": 1}]', ', "x": "model"'])
@pytest.mark.parametrize(
    "turns",
    [
        "[]",
        '[{"model": 1}, {"model": 2}]',
        '["model", "]", "["]',
        '"[model]"',
        '"]"',
        '"[1],"',
        "[1]",
        "1",
        "{}",
        '{"a": [1]}',
    ],
)
def test_a_second_model_is_found_wherever_the_turns_stand(between, turns, last):
    for members in (f'"model": "a"{between}, "turns": {turns}{last}', f'"turns": {turns}, "model": "a"{between}{last}'):
        body = f"{{{members}}}".encode()
        read = msgspec.json.decode(body, type=Turns).turns
        is_twice = len([name for name, _ in json.loads(body, object_pairs_hook=list) if name == "model"]) > 1
        assert is_refused(body, read) is is_refused(body, None) is is_twice


def test_brackets_as_far_apart_as_the_turns_are_long_are_not_taken_for_them():
    hidden = '[1], "model": "a", "model": [4]'
    body = f'{{"turns": "{"x" * (len(hidden) - 2)}", "y": {hidden}}}'.encode()
    assert is_refused(body, msgspec.json.decode(body, type=Turns).turns)


values = st.recursive(
    st.none() | st.text(alphabet='a"\\[]{}é', max_size=4),
    lambda v: st.lists(v, max_size=2) | st.dictionaries(st.text(alphabet='"\\[{m', max_size=2), v, max_size=2),
    max_leaves=12,
)


def depth(value):
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@given(values, st.integers(1, 6))
def test_depth_is_exact(value, limit):
    body = json.dumps(value).encode()
    if depth(value) <= limit:
        check_json(body, max_depth=limit)
    else:
        with pytest.raises(InvalidRequest):
            check_json(body, max_depth=limit)
