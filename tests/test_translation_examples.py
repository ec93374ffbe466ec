"""Worked examples of requests and answers between two dialects, each with what must come out on either side."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from omniroute.api import FactsProvider, HttpResponse, ProviderFacts
from omniroute.testing import sse
from omniroute.testing.dialects import VOICES, Answered, Asked, Pair, installed_translators

EXAMPLES = Path(__file__).parent / "recordings" / "examples"
TRANSLATORS = installed_translators()


class Example(msgspec.Struct, forbid_unknown_fields=True):
    client: str
    upstream: str
    target: str
    body: Any
    status: int
    answer: Any
    expect: list[tuple[str, str, Any]]
    """(where, comparison, value), on `asked`, `sent`, `answered`, `error` or `http`."""
    events: list[Any] = []

    @property
    def pair(self) -> Pair:
        return Pair(TRANSLATORS[self.client], TRANSLATORS[self.upstream])


def examples(*, refused: bool) -> list[Any]:
    read = {path.stem: msgspec.json.decode(path.read_bytes(), type=Example) for path in sorted(EXAMPLES.glob("*.json"))}
    return [pytest.param(each, id=name) for name, each in read.items() if (each.status != 200) is refused]


# --- what is looked at ------------------------------------------------------------------------------------------------


def view_asked(asked: Asked) -> dict[str, Any]:
    return {
        "system": "\n\n".join(asked.system),
        "user_text": asked.user_text,
        "p": asked.limits,
        "items": [{"text": block.text, "data": block.data} for block in asked.blocks if block.role == "user"],
        "results": [{"ref": asked.answers(block), "text": block.text} for block in asked.of("result")],
        "tools": [{"name": name, "schema": schema} for name, schema in asked.tools.items()],
        "tool_names": list(asked.tools),
    }


def view_answered(answered: Answered) -> dict[str, Any]:
    usage = answered.usage
    assert usage is not None
    return {
        "text": answered.text,
        "reasoning": answered.reasoning,
        "fin": answered.finish,
        "tool_calls": [
            {"id": call.id, "name": call.name, "args": msgspec.json.decode(call.arguments)} for call in answered.calls
        ],
        "usage": {
            "input": usage.input_tokens,
            "output": usage.output_tokens,
            "total": usage.input_tokens + usage.output_tokens,
            "cached": usage.cached_tokens,
            "fresh": usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens,
        },
    }


def look(view: Any, where: str) -> Any:
    """`results[*].ref`, `items[1].data`, `usage.input`."""
    for step in re.findall(r"\w+|\[\*\]|\[\d+\]", where):
        if step == "[*]":
            rest = where.partition("[*]")[2]
            return [look(each, rest) for each in view]
        view = view[int(step[1:-1])] if step.startswith("[") else view[step]
    return view


def holds(found: Any, comparison: str, value: Any) -> bool:
    match comparison:
        case "equals":
            return bool(found == value)
        case "contains":
            return value in found
        case "length":
            return len(found) == value
        case "unique":
            return len(set(found)) == len(found)
        case "all_match":
            return all(re.search(value, each) for each in found)
        case _:
            raise AssertionError(f"no comparison {comparison!r}")


def check(example: Example, views: Mapping[str, Any], form: str) -> int:
    """How many of the example's expectations were looked at."""
    checked = 0
    for where, comparison, value in example.expect:
        name, _, rest = where.partition(".")
        if name in views:
            found = look(views[name], rest)
            assert holds(found, comparison, value), f"{form}: {where} is {found!r}, not {comparison} {value!r}"
            checked += 1
    return checked


# --- the tests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("example", examples(refused=False))
def test_a_request_reaches_the_upstream_with_all_it_says(example):
    outgoing = taken(example, example.upstream)
    asked = VOICES[example.upstream].asked(outgoing)
    check(example, {"asked": view_asked(asked), "sent": msgspec.json.decode(outgoing)}, "request")


@pytest.mark.parametrize("upstream", VOICES)
@pytest.mark.parametrize("example", examples(refused=False))
def test_a_request_says_the_same_to_every_upstream(example, upstream):
    outgoing = taken(example, upstream)
    before = VOICES[example.client].asked(msgspec.json.encode(example.body))
    assert words(VOICES[upstream].asked(outgoing)) == words(before)


def taken(example: Example, upstream: str) -> bytes:
    """The body an upstream of that dialect gets, which as strict a one as the real service has taken."""
    pair = Pair(TRANSLATORS[example.client], TRANSLATORS[upstream])
    request = pair.decode(msgspec.json.encode(example.body), example.target)
    outgoing = pair.encode(request)
    refusal = VOICES[upstream].validate(pair.received(request, outgoing))
    assert refusal is None, refusal.body.decode()
    return outgoing.body


def words(asked: Asked) -> Sequence[Any]:
    """What people and tools said, without the ways of saying it."""
    said = [(block.role, block.kind, block.text, block.data) for block in asked.blocks if block.kind != "call"]
    called = [(call.name, msgspec.json.decode(call.text)) for call in asked.of("call")]
    return [asked.system, said, called, list(asked.tools)]


@pytest.mark.parametrize("example", examples(refused=False))
def test_an_answer_reaches_the_client_in_every_form(example):
    pair = example.pair
    voice = VOICES[example.client]
    request = pair.decode(msgspec.json.encode(example.body), example.target)
    outgoing = pair.encode(request)
    streamed = [sse([event]) for event in example.events]
    asked = (request, outgoing)
    forms = {
        "whole": voice.read(pair.whole(msgspec.json.encode(example.answer), *asked), stream=False),
        "streamed": voice.read(pair.stream(streamed, *asked), stream=True),
        "gathered": voice.read(pair.folded(streamed, *asked), stream=False),
    }
    for form, answered in forms.items():
        # in some dialects a client that did not ask for usage in a stream gets none
        shown = msgspec.structs.replace(answered, usage=answered.usage or forms["whole"].usage)
        assert check(example, {"answered": view_answered(shown)}, form)


@pytest.mark.parametrize("example", examples(refused=True))
def test_a_refusal_reaches_the_client_with_its_status_and_words(example):
    pair = example.pair
    facts = ProviderFacts(name="lab", dialect=example.upstream, auth="api-key", base_url="http://127.0.0.1:1/v1")
    headers = {"content-type": "application/json"}
    body = msgspec.json.encode(example.answer)
    error = FactsProvider(facts).classify(HttpResponse(status=example.status, headers=headers, body=body))
    assert error is not None
    told = pair.client.encode_error(error, "request-1")
    message = VOICES[example.client].read_error(told.body)
    assert check(example, {"http": {"status": told.status}, "error": {"message": message}}, "refusal") == 2


def test_every_pair_has_an_example():
    found = {(each.values[0].client, each.values[0].upstream) for each in examples(refused=False)}
    assert found == {(client, upstream) for client in VOICES for upstream in VOICES}
