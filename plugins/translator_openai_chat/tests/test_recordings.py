"""Requests that real clients made: each goes through the canonical model and comes out valid and whole."""

import json
from pathlib import Path

import pytest

from omniroute.api import Headers
from omniroute_translator_openai_chat import OpenAIChat

TRANSLATOR = OpenAIChat()
CLIENTS = Path(__file__).parents[3] / "tests" / "recordings" / "clients"
RECORDINGS = sorted(CLIENTS.glob("*/*-chat-completions-*.json"))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_recorded_request_survives_the_way_through_the_canonical_model(path, accept_request):
    recording = json.loads(path.read_text(encoding="utf-8"))
    body = json.dumps(recording["body"]).encode()
    headers = Headers({name.encode(): value.encode() for name, value in recording["headers"].items()})
    request = TRANSLATOR.decode_request(body, {}, headers)
    outgoing = TRANSLATOR.encode_request(request)
    assert (request.losses, outgoing.losses, outgoing.tool_names) == ((), (), {})
    accept_request(json.loads(outgoing.body))
    again = TRANSLATOR.decode_request(outgoing.body, {}, headers)
    for field in ("messages", "tools", "tool_choice", "max_output_tokens", "sampling", "stream", "session"):
        assert getattr(again, field) == getattr(request, field)


def test_there_are_recordings_of_every_client_that_speaks_this_dialect():
    assert {path.parent.name for path in RECORDINGS} == {"aider", "cline", "kilo", "openclaw", "opencode", "qwen"}
