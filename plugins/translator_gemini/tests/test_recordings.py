"""Requests that real clients made: each goes through the canonical model and comes out valid and whole."""

import json
from pathlib import Path

import msgspec
import pytest

from omniroute.api import Headers
from omniroute_translator_gemini import GeminiTranslator

TRANSLATOR = GeminiTranslator()
CLIENTS = Path(__file__).parents[3] / "tests" / "recordings" / "clients"
RECORDINGS = sorted(CLIENTS.glob("*/*-streamGenerateContent-*.json"))
PLACEHOLDER = "skip_thought_signature_validator"
MODELS = ("gemini-2.5-pro", "gemini-3-pro-preview")


def view(request):
    """The request with JSON as values, and turns of one role as one."""
    messages = []
    for message in request.messages:
        if messages and messages[-1][0] == message.role:
            messages[-1][1].extend(message.parts)
        else:
            messages.append((message.role, list(message.parts)))
    tools = [
        (tool.name, tool.kind, tool.description, tool.parameters and msgspec.json.decode(tool.parameters))
        for tool in request.tools
    ]
    extensions = {name: msgspec.json.decode(raw) for name, raw in request.extensions.get("gemini", {}).items()}
    return messages, tools, request.tool_choice, request.sampling, request.reasoning, request.stream, extensions


def calls_unsigned(body):
    parts = [part for content in body["contents"] for part in content["parts"] if "functionCall" in part]
    return any(part.get("thoughtSignature") in (None, PLACEHOLDER) for part in parts)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_recorded_request_survives_the_way_through_the_canonical_model(path, model, accept_request):
    recording = json.loads(path.read_text(encoding="utf-8"))
    body = msgspec.json.encode(recording["body"])
    params = {"operation": "chat", "model": model, "stream": "true", "alt": "sse"}
    request = TRANSLATOR.decode_request(body, params, Headers({}))
    outgoing = TRANSLATOR.encode_request(request)
    accept_request(outgoing.body, model, "streamGenerateContent")
    losses = {loss.kind for loss in outgoing.losses if not loss.pointer.startswith("/tools/")}
    assert losses == ({"invented"} if "gemini-3" in model and calls_unsigned(recording["body"]) else set())
    assert (request.losses, outgoing.tool_names) == ((), {})
    again = TRANSLATOR.decode_request(outgoing.body, params, Headers({}))
    messages, tools, *rest = view(again)
    assert [messages, *rest] == [view(request)[0], *view(request)[2:]]
    assert [name for name, *_ in tools] == [tool.name for tool in sorted(request.tools, key=lambda tool: tool.kind)]
    settled = TRANSLATOR.decode_request(TRANSLATOR.encode_request(again).body, params, Headers({}))
    assert view(settled) == view(again)


def test_there_are_recordings_of_every_client_that_speaks_this_dialect():
    assert {path.parent.name for path in RECORDINGS} == {"cline", "gemini", "openclaw", "opencode", "qwen"}
