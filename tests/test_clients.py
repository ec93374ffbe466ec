"""The requests real coding clients made, replayed: relayed and translated, to upstreams as strict as the real ones."""

import json
from pathlib import Path

import httpx
import openai.types.chat
import pydantic
import pytest
import pytest_asyncio
from anthropic.types import RawMessageStreamEvent

from omniroute.testing import FakeUpstream, Recording, Stream, sse
from omniroute.testing.strict import anthropic_messages, openai_compatible

RECORDINGS = Path(__file__).parent / "recordings" / "clients"
DIALECT = {"/v1/chat/completions": "chatty", "/v1/messages": "wordy"}
ARGUMENTS = '{"command":  "ls -la", "n": 1}'
MESSAGES_EVENT = pydantic.TypeAdapter(RawMessageStreamEvent)


def recordings():
    for path in sorted(RECORDINGS.glob("*/*.json")):
        recording = Recording.load(path)
        if recording.target.partition("?")[0] in DIALECT:
            yield pytest.param(recording, id=f"{path.parent.name}/{path.stem}")


def tool_of(body):
    """The first plain function tool on offer, by either dialect's spelling."""
    for tool in body.get("tools", ()):
        if "function" in tool:
            return tool["function"]["name"]
        if "input_schema" in tool:
            return tool["name"]
    return None


def chat_stream(request):
    """Reasoning, a text and, where tools are offered, a call."""
    body = request.json()
    tool = tool_of(body)
    deltas = [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Let me see."},
        {"content": "Here "},
        {"content": "it is."},
    ]
    if tool:
        deltas += [
            {
                "tool_calls": [
                    {"index": 0, "id": "call_1", "type": "function", "function": {"name": tool, "arguments": ""}}
                ]
            },
            {"tool_calls": [{"index": 0, "function": {"arguments": ARGUMENTS[:7]}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": ARGUMENTS[7:]}}]},
        ]
    base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
    events = [{**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if tool else "stop"}]})
    if body.get("stream_options", {}).get("include_usage"):
        events.append(
            {**base, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}}
        )
    return Stream([sse([event]) for event in [*events, "[DONE]"]])


def messages_stream(request):
    """The same in Anthropic's dialect."""
    body = request.json()
    tool = tool_of(body)
    blocks = [
        (
            {"type": "thinking", "thinking": "", "signature": ""},
            [
                {"type": "thinking_delta", "thinking": "Let me see."},
                {"type": "signature_delta", "signature": "AbC+/=="},
            ],
        )
    ]
    blocks.append(
        (
            {"type": "text", "text": ""},
            [{"type": "text_delta", "text": "Here "}, {"type": "text_delta", "text": "it is."}],
        )
    )
    if tool:
        pieces = [{"type": "input_json_delta", "partial_json": piece} for piece in (ARGUMENTS[:7], ARGUMENTS[7:])]
        blocks.append(({"type": "tool_use", "id": "toolu_1", "name": tool, "input": {}}, pieces))
    message = {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 1},
    }
    events = [{"type": "message_start", "message": message}]
    for index, (start, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    events.append(
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use" if tool else "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 5},
        }
    )
    events.append({"type": "message_stop"})
    return Stream([sse([{"event": event["type"], "data": event}]) for event in events])


def read_chat(body):
    """(reasoning, text, tool name, arguments, finish) of a chat stream; every chunk as the SDK wants it."""
    data = [line[6:] for line in body.decode().split("\n") if line.startswith("data: ")]
    assert data.pop() == "[DONE]"
    reasoning, text, name, arguments, finish = "", "", None, "", None
    for chunk in map(json.loads, data):
        openai.types.chat.ChatCompletionChunk.model_validate(chunk, strict=True)
        for choice in chunk["choices"]:
            delta = choice["delta"]
            reasoning += delta.get("reasoning_content") or ""
            text += delta.get("content") or ""
            for call in delta.get("tool_calls") or ():
                name = call["function"].get("name") or name
                arguments += call["function"].get("arguments") or ""
            finish = choice["finish_reason"] or finish
    return reasoning, text, name, arguments, finish


def read_messages(body):
    """The same of a messages stream."""
    reasoning, text, name, arguments, finish = "", "", None, "", None
    for block in body.decode().strip().split("\n\n"):
        name_line, _, data = block.partition("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name_line == f"event: {event['type']}"
        if event["type"] == "ping":
            continue
        MESSAGES_EVENT.validate_python(event)
        delta = event.get("delta", {})
        reasoning += delta.get("thinking", "")
        text += delta.get("text", "")
        arguments += delta.get("partial_json", "")
        name = event.get("content_block", {}).get("name", name)
        finish = delta.get("stop_reason", finish)
    return reasoning, text, name, arguments, finish


class World:
    def __init__(self, gateway, chat, messages, http):
        self.gateway, self.http = gateway, http
        self.upstreams = {"chatty": chat, "wordy": messages}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(start_gateway):
    async with (
        FakeUpstream(answer=chat_stream, validate=openai_compatible) as chat,
        FakeUpstream(answer=messages_stream, validate=anthropic_messages) as messages,
        httpx.AsyncClient() as http,
    ):
        settings = f"""
        [providers.chatty]
        dialect = "openai-chat"
        base_url = "{chat.base_url}"
        api_key = "upstream-key-1"

        [providers.wordy]
        dialect = "anthropic"
        base_url = "{messages.base_url}"
        api_key = "upstream-key-2"
        """
        async with start_gateway(settings) as gateway:
            yield World(gateway, chat, messages, http)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("behind", ["chatty", "wordy"])
@pytest.mark.parametrize("recording", list(recordings()))
async def test_a_client_s_request_is_served(world, recording, behind):
    upstream = world.upstreams[behind]
    body = {**recording.body, "model": f"{behind}/{recording.body['model']}"}
    body["stream"] = True  # the ones that asked for a whole answer ask for the same things
    answer = await world.http.post(
        world.gateway.base_url + recording.target,
        content=json.dumps(body),
        headers={**recording.headers, "authorization": f"Bearer {world.gateway.client_key}"},
    )
    assert upstream.refused == []
    assert answer.status_code == 200, answer.text

    path = recording.target.partition("?")[0]
    sent = upstream.requests[-1]
    relayed = DIALECT[path] == behind
    if relayed:
        assert sent.json() == {**body, "model": recording.body["model"]}
    assert sent.header("user-agent").startswith("omniroute/")
    if relayed and behind == "wordy":
        for name in ("anthropic-version", "anthropic-beta"):
            assert sent.header(name) == recording.headers.get(name, sent.header(name))
    assert ("anthropic-version" in dict(sent.headers)) is (behind == "wordy")

    tool = tool_of(body)
    reasoning, text, name, arguments, finish = (read_chat if path.endswith("completions") else read_messages)(
        answer.content
    )
    assert (reasoning, text) == ("Let me see.", "Here it is.")
    assert (name, arguments) == ((tool, ARGUMENTS) if tool else (None, ""))
    assert finish == (
        ("tool_calls" if tool else "stop") if path.endswith("completions") else ("tool_use" if tool else "end_turn")
    )


def test_every_recording_of_these_dialects_is_here():
    assert len(list(recordings())) >= 25
