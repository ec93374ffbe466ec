"""Requests that real clients made: read, and written back so that nothing but spelling differs."""

from pathlib import Path

import msgspec
import pytest

from omniroute.api import Headers
from omniroute.testing import Recording

CLIENTS = Path(__file__).parents[3] / "tests/recordings/clients"
RECORDINGS = {
    str(path.relative_to(CLIENTS)): Recording.load(path)
    for path in sorted(CLIENTS.glob("*/*.json"))
    if "-messages-" in path.name
}


def test_the_recordings_are_there():
    assert {name.split("/")[0] for name in RECORDINGS} >= {"claude", "cline", "kilo", "openclaw", "opencode", "qwen"}


def spelled_alike(body):
    """One spelling where the dialect has several: text as blocks, turns joined, defaults left out."""
    system = body.get("system")
    turns = []
    for message in body["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        blocks = [
            {name: value for name, value in block.items() if (name, value) != ("is_error", False)} for block in blocks
        ]
        if turns and turns[-1]["role"] == message["role"]:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": message["role"], "content": blocks})
    return {
        **body,
        "messages": turns,
        **({"system": [{"type": "text", "text": system}] if isinstance(system, str) else system} if system else {}),
    }


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_real_request_survives_the_round_trip(translator, encode, name):
    recording = RECORDINGS[name]
    headers = Headers({key.encode(): value.encode() for key, value in recording.headers.items()})
    body = recording.request_body()
    head = translator.read_head(body, {"operation": "chat"}, headers)
    request = translator.decode_request(body, {"operation": "chat"}, headers)
    assert head.session == request.session
    assert (head.session is not None) == ("claude/" in name or "opencode/" in name or "kilo/" in name)
    sent, losses = encode(request)
    assert spelled_alike(sent) == spelled_alike(msgspec.json.decode(body))
    assert losses == []
