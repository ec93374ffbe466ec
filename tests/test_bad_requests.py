"""Requests that make no sense (B12, B13): a 400 with the place and the rule, in the client's dialect, before any upstream call.

Whatever would serve them. What only one upstream cannot take is refused for that one.
"""

import json
import time
from contextlib import AsyncExitStack

import httpx
import msgspec
import pytest
import pytest_asyncio

from omniroute.testing import FakeUpstream
from omniroute.testing.dialects import VOICES, Answered

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONGEST_S = 2.0
"""For a refusal, on a machine that is busy with other things."""


def user(*parts, gemini=False):
    return {"role": "user", "parts" if gemini else "content": list(parts)}


TURNS = {"openai-chat": "messages", "openai-responses": "input", "anthropic": "messages", "gemini": "contents"}
HELLO = {
    **{dialect: {"role": "user", "content": "hi"} for dialect in VOICES},
    "gemini": user({"text": "hi"}, gemini=True),
}
STRANGERS = {
    **{dialect: {"role": "wizard", "content": "hi"} for dialect in VOICES},
    "gemini": {"role": "wizard", "parts": [{"text": "hi"}]},
}
UNKNOWN = {
    **{dialect: (user({"type": "hologram"}), "content/0/type") for dialect in VOICES},
    "gemini": (user({"hologram": {}}, gemini=True), "parts/0"),
}
NO_IMAGES = {
    "openai-chat": (
        user({"type": "image_url", "image_url": {"url": "data:image/png;base64,%%%"}}),
        "content/0/image_url/url",
    ),
    "openai-responses": (
        user({"type": "input_image", "image_url": "data:image/png;base64,%%%"}),
        "content/0/image_url",
    ),
    "anthropic": (
        user({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "%%%"}}),
        "content/0/source/data",
    ),
    "gemini": (user({"inlineData": {"mimeType": "image/png", "data": "%%%"}}, gemini=True), "parts/0/inlineData/data"),
}
ORPHANS = {
    "openai-chat": ({"role": "tool", "tool_call_id": "gone", "content": "x"}, "messages/1/tool_call_id"),
    "openai-responses": ({"type": "function_call_output", "call_id": "gone", "output": "x"}, "input/1"),
    "anthropic": (user({"type": "tool_result", "tool_use_id": "gone", "content": "x"}), "messages/1/content/0"),
    "gemini": (
        user({"functionResponse": {"name": "gone", "response": {}}}, gemini=True),
        "contents/1/parts/0/functionResponse",
    ),
}
SCHEMAS = {
    "openai-chat": ("tools/0/function/parameters", lambda schema: {"type": "function", "function": {"name": "f", "parameters": schema}}),
    "openai-responses": ("tools/0/parameters", lambda schema: {"type": "function", "name": "f", "parameters": schema}),
    "anthropic": ("tools/0/input_schema", lambda schema: {"name": "f", "input_schema": schema}),
    "gemini": (
        "tools/0/functionDeclarations/0/parametersJsonSchema",
        lambda schema: {"functionDeclarations": [{"name": "f", "parametersJsonSchema": schema}]},
    ),
}  # fmt: skip
HUGE = {"type": "object", "properties": {"a": {"type": "string", "description": "x" * 5_000_000}}}
ROUND = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
CIRCULAR = {**ROUND, "$defs": {"node": ROUND}}


def bad(dialect):
    """What is wrong → (fields of the request, where it says so)."""
    turns = TURNS[dialect]
    return {
        "no turns": ({turns: []}, turns),
        "an unknown role": ({turns: [STRANGERS[dialect]]}, f"{turns}/0/role"),
        "an unknown part": ({turns: [UNKNOWN[dialect][0]]}, f"{turns}/0/{UNKNOWN[dialect][1]}"),
        "an image that is none": ({turns: [NO_IMAGES[dialect][0]]}, f"{turns}/0/{NO_IMAGES[dialect][1]}"),
        "a schema that is none": ({"tools": [SCHEMAS[dialect][1]("x")]}, SCHEMAS[dialect][0]),
    }


class World:
    def __init__(self, gateway, upstreams, http):
        self.gateway, self.upstreams, self.http = gateway, upstreams, http

    async def ask(self, client, behind, fields):
        voice, model = VOICES[client], f"{behind}/m"
        return await self.http.post(
            self.gateway.base_url + voice.path(model, stream=False),
            content=msgspec.json.encode(voice.body(fields, model, stream=False)),
            headers={"authorization": f"Bearer {self.gateway.client_key}", "content-type": "application/json"},
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(start_gateway):
    async with AsyncExitStack() as stack:
        settings, upstreams = "", {}
        for dialect, voice in VOICES.items():
            said = Answered(text="ok")
            upstream = FakeUpstream(answer=lambda request, voice=voice, said=said: voice.reply(said, request))
            upstreams[dialect] = await stack.enter_async_context(upstream)
            settings += f'[providers.{dialect}]\ndialect = "{dialect}"\napi_key = "upstream-key-1"\nbase_url = "{upstream.base_url}"\n'
        gateway = await stack.enter_async_context(start_gateway(settings))
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=30))
        yield World(gateway, upstreams, http)


def check_refused(client, answer, place):
    assert answer.status_code == 400, answer.text
    assert answer.headers["x-request-id"]
    message = VOICES[client].read_error(answer.content)
    assert place in message + json.dumps(answer.json())


every_pair = [
    pytest.param(client, behind, id=f"{client} to {behind}")
    for client in VOICES
    for behind in VOICES
    if client != behind
]


@pytest.mark.parametrize(("client", "behind"), every_pair)
@pytest.mark.parametrize("what", bad("gemini"))
async def test_b12_b13_a_bad_request_is_refused_with_its_place(world, client, behind, what):
    fields, place = bad(client)[what]
    before = len(world.upstreams[behind].requests)
    check_refused(client, await world.ask(client, behind, fields), place)
    assert len(world.upstreams[behind].requests) == before


@pytest.mark.parametrize(("client", "behind"), every_pair)
async def test_b12_an_orphan_result_is_refused_or_told_as_words_and_never_sent_as_one(world, client, behind):
    """Two dialects let a conversation begin after the call: there it is the words of what was found, and a loss."""
    orphan, place = ORPHANS[client]
    before = len(world.upstreams[behind].requests)
    answer = await world.ask(client, behind, {TURNS[client]: [HELLO[client], orphan]})
    if client in {"openai-chat", "gemini"}:
        check_refused(client, answer, place)
        assert len(world.upstreams[behind].requests) == before
        return
    assert answer.status_code == 200, answer.text
    assert f"approximated /{place}" in answer.headers["x-omniroute-loss"]
    assert VOICES[behind].asked(world.upstreams[behind].requests[-1].body).of("result") == []


@pytest.mark.parametrize("client", [client for client in VOICES if client != "gemini"])
async def test_b12_a_schema_beyond_the_service_s_measure_is_refused_soon(world, client):
    place, declare = SCHEMAS[client]
    before = len(world.upstreams["gemini"].requests)
    began = time.monotonic()
    check_refused(client, await world.ask(client, "gemini", {"tools": [declare(HUGE)]}), place)
    assert time.monotonic() - began < LONGEST_S
    assert len(world.upstreams["gemini"].requests) == before


@pytest.mark.parametrize(("client", "behind"), every_pair)
async def test_b12_a_schema_that_goes_in_circles_is_sent_as_it_is_or_cut_with_a_loss(world, client, behind):
    place, declare = SCHEMAS[client]
    answer = await world.ask(client, behind, {"tools": [declare(CIRCULAR)]})
    assert answer.status_code == 200, answer.text
    sent = world.upstreams[behind].requests[-1].body
    if behind == "gemini":
        assert f"approximated /{place}" in answer.headers["x-omniroute-loss"]
        assert b"$ref" not in sent
    else:
        assert VOICES[behind].asked(sent).tools["f"] == CIRCULAR
