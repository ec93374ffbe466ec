"""What usual clients send is read in one pass. A field nobody knows keeps a request from that way, and may not change its meaning."""

import msgspec
import pytest

from omniroute.api import Headers, InvalidRequest
from omniroute_translator_anthropic.plain import plain_request
from omniroute_translator_anthropic.translator import AnthropicTranslator

TRANSLATOR = AnthropicTranslator()
HI = {"role": "user", "content": "hi"}


def user(*blocks):
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks):
    return {"role": "assistant", "content": list(blocks)}


def text(**changes):
    return {"type": "text", "text": "x", **changes}


def call(**changes):
    return {"type": "tool_use", "id": "a", "name": "b", "input": {"n": [1, 2.50, "é"]}, **changes}


def result(**changes):
    return {"type": "tool_result", "tool_use_id": "a", **changes}


TOOL = {"name": "a", "input_schema": {"type": "object"}}
USUAL = [
    {"messages": [user(text(text=""))]},
    {"messages": [{"role": "user", "content": None}]},
    {"messages": [{"role": "user"}]},
    {"messages": [user(text(cache_control={"type": "ephemeral", "ttl": "1h"}), text(cache_control=None))]},
    {"messages": [HI, assistant({"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "thinking"})]},
    {"messages": [HI, assistant({"type": "redacted_thinking", "data": ""}, text())]},
    {"messages": [HI, assistant(call()), user(result(content=[text(), text(text="")], is_error=True), text())]},
    {"messages": [HI, assistant(call(input=None)), user(result(content=None, is_error=None))]},
    {"messages": [HI, assistant(call()), user(result(content="found"))], "system": "rules"},
    {"messages": [HI], "system": [text()], "tools": [TOOL, {**TOOL, "type": "custom", "strict": True}]},
    {"messages": [HI], "system": "", "tools": None, "stream": None, "metadata": {"user_id": "u"}, "top_k": 5},
    {"messages": [HI], "thinking": {"type": "enabled", "budget_tokens": 1024}, "tool_choice": {"type": "auto"}},
]
WRONG = [
    {"messages": []},
    {"messages": ["x"]},
    {"messages": [{"content": "x"}]},
    {"messages": [{"role": "wizard", "content": "x"}]},
    {"messages": [{"role": "user", "content": 5}]},
    {"messages": [user({"text": "no type"})]},
    {"messages": [user(text(text=None))]},
    {"messages": [user(text(cache_control={"type": "ephemeral", "ttl": "2h"}))]},
    {"messages": [user(text(cache_control={"ttl": "1h"}))]},
    {"messages": [user({"type": "thinking", "thinking": "x"})]},
    {"messages": [assistant(result())]},
    {"messages": [user(result())]},
    {"messages": [HI, assistant(call(input=[]))]},
    {"messages": [HI, assistant(call()), user(result(content=[{"type": "thinking", "thinking": "x"}]))]},
    {"messages": [HI], "system": [{"text": "no type"}]},
    {"messages": [HI], "system": [{"type": "thinking", "thinking": "x"}]},
    {"messages": [HI], "system": 5},
    {"messages": [HI], "tools": [{**TOOL, "name": ""}]},
    {"messages": [HI], "tools": [{**TOOL, "input_schema": "x"}]},
    {"messages": [HI], "temperature": 2},
]


def read(fields):
    """The request, or what is said against it."""
    body = msgspec.json.encode({"model": "m", "max_tokens": 5, **fields})
    try:
        return TRANSLATOR.decode_request(body, {"operation": "chat"}, Headers({}))
    except InvalidRequest as error:
        return error.text, error.param


def rarer(fields):
    messages = [
        {**turn, "content": [{**block, "x_unknown": None} for block in turn["content"]]}
        if isinstance(turn, dict) and isinstance(turn.get("content"), list)
        else turn
        for turn in fields["messages"]
    ]
    return {**fields, "messages": messages, "x_unknown": None}


@pytest.mark.parametrize("fields", USUAL, ids=str)
def test_a_usual_request_means_what_a_rare_one_does(fields):
    assert plain_request(msgspec.json.encode({"model": "m", "max_tokens": 5, **fields})) is not None
    assert plain_request(msgspec.json.encode({"model": "m", "max_tokens": 5, **rarer(fields)})) is None
    usual = read(fields)
    assert not isinstance(usual, tuple), usual
    assert usual == read(rarer(fields))


@pytest.mark.parametrize("fields", WRONG, ids=str)
def test_the_same_is_said_against_either(fields):
    usual = read(fields)
    assert isinstance(usual, tuple)
    assert usual == read(rarer(fields))


@pytest.mark.parametrize("more", [{}, {"x_unknown": 1}], ids=["usual", "rare"])
def test_each_turn_of_a_long_conversation_knows_its_place(more):
    turns = [HI, {"role": "assistant", "content": "yes"}] * 150
    messages = read({"messages": turns, **more}).messages
    places = [f"/messages/{at}" for at in range(len(turns))]
    assert [message.source.pointer for message in messages] == places
    assert [message.parts[0].source.pointer for message in messages] == [f"{place}/content" for place in places]
