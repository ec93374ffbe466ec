"""Requests that real clients made: each goes through the canonical model and comes out valid and whole."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from omniroute.api import Headers
from omniroute_translator_openai_responses import OpenAIResponses

TRANSLATOR = OpenAIResponses()
CLIENTS = Path(__file__).parents[3] / "tests" / "recordings" / "clients"
RECORDINGS = sorted(CLIENTS.glob("*/*-responses-*.json"))


def as_sent(body: dict[str, Any]) -> dict[str, Any]:
    """What is expected upstream: ids of messages and calls, and what says nothing, are left out."""
    items = [
        {
            name: value
            for name, value in item.items()
            if value is not None and (name not in ("id", "status") or item.get("type") == "reasoning")
        }
        for item in body["input"]
        if item != {"type": "reasoning", "summary": []}
    ]
    return {**body, "input": items}


def canonical_form(body: dict[str, Any]) -> dict[str, Any]:
    """Forms of one meaning made one: where the system text stands, strings for lists of one text."""
    items = list(body["input"])
    if body.get("instructions"):
        items.insert(0, {"role": "system", "content": body["instructions"]})
    for position, item in enumerate(items):
        content = item.get("content")
        if isinstance(content, str):
            kind = "output_text" if item["role"] == "assistant" else "input_text"
            content = [{"type": kind, "text": content}]
        if content is not None:
            items[position] = {**item, "type": "message", "content": content}
    rest = {name: value for name, value in body.items() if name != "instructions"}
    return {**rest, "input": items}


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_recorded_request_survives_the_way_through_the_canonical_model(path, accept_request):
    recording = json.loads(path.read_text(encoding="utf-8"))
    body = msgspec.json.encode(recording["body"])
    headers = Headers({name.encode(): value.encode() for name, value in recording["headers"].items()})
    request = TRANSLATOR.decode_request(body, {}, headers)
    outgoing = TRANSLATOR.encode_request(request)
    assert (request.losses, outgoing.losses, outgoing.tool_names) == ((), (), {})
    accept_request(outgoing.body)
    assert canonical_form(json.loads(outgoing.body)) == canonical_form(as_sent(recording["body"]))
    again = TRANSLATOR.decode_request(outgoing.body, {}, headers)
    assert again == request


def test_there_are_recordings_of_every_client_that_speaks_this_dialect():
    assert {path.parent.name for path in RECORDINGS} == {"cline", "codex", "openclaw", "opencode"}


def test_codex_finds_its_session_and_tools_wherever_it_puts_them():
    found = {}
    for path in RECORDINGS:
        if path.parent.name == "codex":
            recording = json.loads(path.read_text(encoding="utf-8"))
            headers = Headers({name.encode(): value.encode() for name, value in recording["headers"].items()})
            head = TRANSLATOR.read_head(json.dumps(recording["body"]).encode(), {}, headers)
            found[path.stem] = (head.session == recording["headers"]["session-id"], head.has_tools)
    assert set(found.values()) == {(True, True)}
    assert len(found) >= 7
