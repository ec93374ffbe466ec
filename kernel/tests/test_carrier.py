import base64

import pytest

from omniroute.api import carried, carry
from omniroute.passport import has_carrier


@pytest.mark.parametrize(
    "metadata",
    [
        {"gemini": {"thought_signature": "AbC+/="}},
        {"a": {"x": "é", "n": 1}, "b": {"list": [1, None]}},
        {},
    ],
)
def test_what_was_carried_comes_back(metadata):
    text = carry(metadata)
    assert carried(text) == metadata
    assert text.isascii()
    assert not set(text) & set(' "\\\n=')


def test_the_order_of_keys_does_not_matter():
    assert carry({"b": {"y": 1, "x": 2}, "a": {}}) == carry({"a": {}, "b": {"x": 2, "y": 1}})


@pytest.mark.parametrize(
    "text", ["", "EqQBCgIYAhIM", "omr1.", "omr1.!!!", "omr1.AAAA", "omr1.W10", "omr2." + carry({})[5:]]
)
def test_other_text_is_no_carrier(text):
    assert carried(text) is None


def test_a_body_with_a_carrier_is_known_as_one():
    text = carry({"anthropic": {"signature": "c2ln"}})
    wrapped = base64.b64encode(text.encode()).decode()
    for body in (f'{{"signature": "{text}"}}', f'{{"thoughtSignature":"{wrapped}"}}'):
        assert has_carrier(body.encode())
    assert not has_carrier(b'{"signature": "c2ln", "text": "omr1 and b21yMQ=="}')
