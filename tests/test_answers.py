"""Whatever form an upstream answers in, clients get theirs; losses by policy; signatures only back to their makers."""

import json

import httpx
import pytest
import pytest_asyncio

from omniroute.testing import FakeUpstream, Reply, Stream, sse

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "It is cold."
SIGNATURE = "EqQBCgIYAhIMb1c0ffee+/a=="
STRICT_KEY, WARN_KEY = "test-strict-key-0001", "test-warning-key-001"


def chat_events(model, think=""):
    base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": model}
    deltas = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in [*think, TEXT[:5], TEXT[5:]])]
    events = [{**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    events.append({**base, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}})
    return [sse([event]) for event in [*events, "[DONE]"]]


def chat_whole(model):
    choice = {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}


def thinking_message(model):
    content = [{"type": "thinking", "thinking": "hm", "signature": SIGNATURE}, {"type": "text", "text": TEXT}]
    return {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 5},
    }


class World:
    def __init__(self, gateway, chat, messages, http):
        self.gateway, self.chat, self.messages, self.http = gateway, chat, messages, http

    async def post(self, path, body, key=None):
        headers = {"authorization": f"Bearer {key or self.gateway.client_key}"}
        return await self.http.post(self.gateway.base_url + path, json=body, headers=headers)

    async def ask(self, path, model, *, stream=False, key=None, messages=None, **fields):
        messages = messages or [{"role": "user", "content": "hi"}]
        return await self.post(
            path, {"model": model, "max_tokens": 99, "stream": stream, "messages": messages, **fields}, key
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(start_gateway):
    async with FakeUpstream() as chat, FakeUpstream() as messages, httpx.AsyncClient() as http:
        settings = f"""
        [[auth.keys]]
        name = "strict"
        key = "{STRICT_KEY}"
        loss = "strict"

        [[auth.keys]]
        name = "warned"
        key = "{WARN_KEY}"
        loss = "warn"

        [providers.plain]
        dialect = "openai-chat"
        base_url = "{chat.base_url}"

        [providers.quirky]
        dialect = "openai-chat"
        base_url = "{chat.base_url}"
        is_quirky = true

        [providers.streamonly]
        dialect = "openai-chat"
        base_url = "{chat.base_url}"
        streams = "always"

        [providers.wholeonly]
        dialect = "openai-chat"
        base_url = "{chat.base_url}"
        streams = "never"

        [providers.one]
        dialect = "anthropic"
        base_url = "{messages.base_url}"

        [providers.other]
        dialect = "anthropic"
        base_url = "{messages.base_url}"

        [combos.mixed]
        models = ["plain/m", "one/m"]

        [combos.careful]
        models = ["plain/m", "one/m"]
        loss = "strict"
        """
        async with start_gateway(settings) as gateway:
            yield World(gateway, chat, messages, http)


def text_of(path, answer, stream):
    assert answer.status_code == 200, answer.text
    if not stream:
        body = answer.json()
        return body["choices"][0]["message"]["content"] if "completions" in path else body["content"][-1]["text"]
    assert answer.headers["content-type"] == "text/event-stream"
    events = [json.loads(line[6:]) for line in answer.text.split("\n") if line.startswith("data: {")]
    if "completions" in path:
        assert answer.text.endswith("data: [DONE]\n\n")
        return "".join(event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"])
    assert events[-1]["type"] == "message_stop"
    return "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")


PATHS = pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
STREAMED = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


@PATHS
@STREAMED
@pytest.mark.parametrize("provider", ["streamonly", "wholeonly", "quirky"])
async def test_clients_get_the_form_they_asked_for(world, path, stream, provider):
    upstream_streams = {"streamonly": True, "wholeonly": False, "quirky": stream}[provider]
    world.chat.queue(Stream(chat_events("m")) if upstream_streams else Reply.json(chat_whole("m")))
    answer = await world.ask(path, f"{provider}/m", stream=stream)
    assert text_of(path, answer, stream) == TEXT
    assert bool(world.chat.requests[-1].json().get("stream")) is upstream_streams


@PATHS
@STREAMED
async def test_an_upstream_that_answers_in_the_other_form_is_understood(world, path, stream):
    world.chat.queue(Reply.json(chat_whole("m")) if stream else Stream(chat_events("m")))
    assert text_of(path, await world.ask(path, "plain/m", stream=stream), stream) == TEXT


@PATHS
async def test_usage_is_the_same_streamed_and_whole(world, path):
    world.chat.queue(Stream(chat_events("m")), Reply.json(chat_whole("m")))
    options = {"stream_options": {"include_usage": True}} if "completions" in path else {}
    streamed = await world.ask(path, "plain/m", stream=True, **options)
    whole = (await world.ask(path, "plain/m")).json()["usage"]
    events = [json.loads(line[6:]) for line in streamed.text.split("\n") if line.startswith("data: {")]
    usage = [event["usage"] for event in events if event.get("usage")][-1]
    assert {name: usage[name] for name in whole if isinstance(whole[name], int) and name in usage} == {
        name: whole[name] for name in whole if isinstance(whole[name], int) and name in usage
    }
    assert usage["completion_tokens" if "completions" in path else "output_tokens"] == 5


# --- losses -----------------------------------------------------------------------------------------------------------


async def test_a_strict_key_refuses_before_anything_is_sent(world):
    calls = len(world.chat.requests)
    answer = await world.ask("/v1/messages", "plain/m", key=STRICT_KEY, top_k=5)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert "/top_k" in answer.json()["error"]["message"]
    assert len(world.chat.requests) == calls


async def test_a_strict_key_is_served_where_nothing_is_lost(world):
    world.messages.queue(Reply.json(thinking_message("m")))
    answer = await world.ask("/v1/messages", "mixed", key=STRICT_KEY, top_k=5)
    assert answer.status_code == 200
    assert (answer.headers["x-omniroute-provider"], answer.headers["x-omniroute-attempts"]) == ("one", "1")
    assert "x-omniroute-loss" not in answer.headers


async def test_a_strict_combo_does_the_same_for_every_key(world):
    world.messages.queue(Reply.json(thinking_message("m")))
    answer = await world.ask("/v1/messages", "careful", top_k=5)
    assert answer.headers["x-omniroute-provider"] == "one"


async def test_losses_are_shown_and_a_warning_key_has_them_in_the_log(world):
    world.chat.queue(Reply.json(chat_whole("m")), Reply.json(chat_whole("m")))
    answer = await world.ask("/v1/messages", "plain/m", top_k=5)
    assert answer.headers["x-omniroute-loss"] == "1; dropped /top_k"
    assert "translation loses" not in world.gateway.log
    await world.ask("/v1/messages", "plain/m", key=WARN_KEY, top_k=5)
    assert "translation loses" in world.gateway.log


# --- signatures -------------------------------------------------------------------------------------------------------


def turn(signature):
    thinking = {"type": "thinking", "thinking": "hm", "signature": signature}
    return [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [thinking, {"type": "text", "text": TEXT}]},
        {"role": "user", "content": "and now?"},
    ]


def sent_blocks(world):
    return [block["type"] for block in world.messages.requests[-1].json()["messages"][1]["content"]]


@STREAMED
async def test_a_signature_goes_back_to_its_maker_and_to_nobody_else(world, stream):
    signature = SIGNATURE + ("A" if stream else "B")
    message = thinking_message("m")
    message["content"][0]["signature"] = signature
    blocks = [
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "thinking", "thinking": "", "signature": ""},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": signature}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 1},
        },
        {"type": "message_stop"},
    ]
    events = [{"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}, *blocks]
    script = (
        Stream([sse([{"event": event["type"], "data": event}]) for event in events]) if stream else Reply.json(message)
    )
    world.messages.queue(script, *[Reply.json(thinking_message("m"))] * 3)
    assert (await world.ask("/v1/messages", "one/m", stream=stream)).status_code == 200

    back = await world.ask("/v1/messages", "one/m", messages=turn(signature))
    assert sent_blocks(world) == ["thinking", "text"]
    assert signature.encode() in world.messages.requests[-1].body
    assert "x-omniroute-loss" not in back.headers

    elsewhere = await world.ask("/v1/messages", "other/m", messages=turn(signature))
    assert sent_blocks(world) == ["text"]
    assert "dropped /messages/1/content/0" in elsewhere.headers["x-omniroute-loss"]

    await world.ask("/v1/messages", "one/m", messages=turn(signature))
    assert sent_blocks(world) == ["thinking", "text"]


async def test_an_unknown_signature_that_is_refused_is_taken_out_and_tried_once_more(world):
    refusal = {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "messages.1.content.0: Invalid `signature` in `thinking` block",
        },
    }
    world.messages.queue(Reply.json(refusal, 400), Reply.json(thinking_message("m")))
    calls = len(world.messages.requests)
    answer = await world.ask("/v1/messages", "one/m", messages=turn("c29tZWJvZHkgZWxzZQ=="))
    assert answer.status_code == 200
    assert len(world.messages.requests) == calls + 2
    assert sent_blocks(world) == ["text"]
    assert answer.headers["x-omniroute-attempts"] == "2"
    assert "x-omniroute-loss" in answer.headers


async def test_a_second_refusal_is_the_client_s(world):
    refusal = {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "Invalid `signature` in `thinking` block"},
    }
    world.messages.queue(*[Reply.json(refusal, 400)] * 2)
    calls = len(world.messages.requests)
    assert (await world.ask("/v1/messages", "one/m", messages=turn("c29tZQ=="))).status_code == 400
    assert len(world.messages.requests) == calls + 2


async def test_a_signature_never_reaches_another_dialect(world):
    world.chat.queue(Reply.json(chat_whole("m")))
    assert (await world.ask("/v1/messages", "plain/m", messages=turn(SIGNATURE))).status_code == 200
    assert SIGNATURE.encode() not in world.chat.requests[-1].body
