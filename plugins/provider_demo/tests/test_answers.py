"""What the demo models say, and what they count."""

import ast
import re

import msgspec
import pytest

from omniroute_provider_demo.answers import coder, echo, tokens
from omniroute_provider_demo.snippets import SNIPPETS
from omniroute_provider_demo.wire import ChatBody

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
DELETE = {"type": "function", "function": {"name": "delete_all", "parameters": {"type": "object"}}}
FREE_TEXT = {"type": "custom", "custom": {"name": "patch"}}


def ask(text, *earlier, **fields):
    messages = [*earlier, {"role": "user", "content": text}]
    return msgspec.convert({"model": "coder", "messages": messages, **fields}, ChatBody)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("hello", "hello"),
        (
            [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "b"}],
            "a\nb",
        ),
        ("", ""),
    ],
)
def test_echo_repeats_the_last_words_of_the_user(content, said):
    earlier = [{"role": "user", "content": "earlier"}, {"role": "assistant", "content": "yes"}]
    assert echo(ask(content, *earlier)).text == said


def test_echo_without_a_user_says_nothing():
    assert (
        echo(msgspec.convert({"model": "echo", "messages": [{"role": "system", "content": "x"}]}, ChatBody)).text == ""
    )


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.word)
def test_coder_writes_the_code_it_is_asked_for(snippet):
    answer = coder(ask(f"Please write a {snippet.word} function"))
    (code,) = re.findall(r"```python\n(.*?)```", answer.text, re.DOTALL)
    assert code == snippet.code
    assert ast.parse(code).body
    assert snippet.title in answer.reasoning
    assert (answer.finish_reason, answer.calls) == ("stop", ())


def test_the_same_question_has_the_same_answer_and_others_have_others():
    answers = [coder(ask(f"do thing {number}")) for number in range(20)]
    assert answers == [coder(ask(f"do thing {number}")) for number in range(20)]
    assert len({answer.id for answer in answers}) == 20
    assert len({answer.text for answer in answers}) > 3


@pytest.mark.parametrize(
    ("text", "fields", "calls"),
    [
        pytest.param("hi", {"tools": [WEATHER]}, [("weather", {"city": "Paris"})], id="a tool is offered"),
        pytest.param("hi", {"tools": [DELETE, WEATHER]}, [("weather", {"city": "Paris"})], id="one that only looks"),
        pytest.param("use delete_all", {"tools": [WEATHER, DELETE]}, [("delete_all", {})], id="the one that is named"),
        pytest.param(
            "two in parallel",
            {"tools": [DELETE, WEATHER]},
            [("weather", {"city": "Paris"}), ("delete_all", {})],
            id="two tools",
        ),
        pytest.param(
            "In PARALLEL",
            {"tools": [WEATHER]},
            [("weather", {"city": "Paris"}), ("weather", {"city": "Oslo"})],
            id="one tool twice",
        ),
        pytest.param(
            "in parallel",
            {"tools": [WEATHER], "parallel_tool_calls": False},
            [("weather", {"city": "Paris"})],
            id="parallel calls forbidden",
        ),
        pytest.param("hi", {"tools": [WEATHER], "tool_choice": "none"}, [], id="no tool wanted"),
        pytest.param(
            "hi",
            {"tools": [WEATHER, DELETE], "tool_choice": {"type": "function", "function": {"name": "delete_all"}}},
            [("delete_all", {})],
            id="one tool wanted",
        ),
        pytest.param("hi", {"tools": [FREE_TEXT]}, [], id="no function among them"),
    ],
)
def test_coder_calls_the_tools_it_is_offered(text, fields, calls):
    answer = coder(ask(text, **fields))
    assert [(call.name, msgspec.json.decode(call.arguments)) for call in answer.calls] == calls
    assert answer.finish_reason == ("tool_calls" if calls else "stop")
    assert len({call.id for call in answer.calls}) == len(calls)


def test_after_the_tool_has_answered_coder_answers_in_text():
    call = {"role": "assistant", "content": None}
    result = {"role": "tool", "content": "sunny, 21 degrees"}
    body = msgspec.convert(
        {"model": "coder", "tools": [WEATHER], "messages": [{"role": "user", "content": "hi"}, call, result]}, ChatBody
    )
    answer = coder(body)
    assert "sunny, 21 degrees" in answer.text
    assert (answer.calls, answer.finish_reason) == ((), "stop")


def test_call_ids_differ_from_turn_to_turn():
    earlier = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None},
        {"role": "tool", "content": "x"},
    ]
    first, second = coder(ask("hi", tools=[WEATHER])), coder(ask("hi", *earlier, tools=[WEATHER]))
    assert first.calls[0].id != second.calls[0].id


@pytest.mark.parametrize(("text", "count"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("é" * 8, 2)])
def test_a_token_is_four_characters(text, count):
    assert tokens(text) == count


def test_usage_counts_what_was_said_and_heard():
    first = echo(ask("abcdefgh"))
    assert (first.prompt_tokens, first.completion_tokens, first.cached_tokens) == (3, 2, 0)  # "user" counts too
    again = echo(ask("abcdefgh", {"role": "user", "content": "abcdefgh"}, {"role": "assistant", "content": "abcdefgh"}))
    assert (again.prompt_tokens, again.cached_tokens) == (tokens("user" * 2 + "assistant" + "abcdefgh" * 3), 8)
    thought = coder(ask("fizzbuzz"))
    assert thought.reasoning_tokens == tokens(thought.reasoning) > 0
    assert thought.completion_tokens == thought.reasoning_tokens + tokens(thought.text)


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("limit", [1, 5, 20])
def test_the_clients_limit_cuts_the_answer(field, limit):
    answer = coder(ask("fizzbuzz", **{field: limit}))
    full = coder(ask("fizzbuzz"))
    assert answer.completion_tokens == limit
    assert answer.finish_reason == "length"
    assert full.reasoning.startswith(answer.reasoning)
    assert full.text.startswith(answer.text)


def test_a_limit_that_is_not_reached_cuts_nothing():
    assert coder(ask("fizzbuzz", max_tokens=10_000)) == coder(ask("fizzbuzz"))
