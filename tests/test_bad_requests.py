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
EMPTY = {
    **{dialect: {"role": "user", "content": ""} for dialect in VOICES},
    "gemini": user({"text": ""}, gemini=True),
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
    "openai-responses": ({"type": "function_call_output", "call_id": "gone", "output": "x"}, "input/1/call_id"),
    "anthropic": (
        user({"type": "tool_result", "tool_use_id": "gone", "content": "x"}),
        "messages/1/content/0/tool_use_id",
    ),
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
ANSWERS = {
    "openai-chat": (
        "response_format/json_schema/schema",
        lambda schema: {"response_format": {"type": "json_schema", "json_schema": {"name": "f", "schema": schema}}},
    ),
    "openai-responses": (
        "text/format/schema",
        lambda schema: {"text": {"format": {"type": "json_schema", "name": "f", "schema": schema}}},
    ),
    "anthropic": (
        "output_config/format/schema",
        lambda schema: {"output_config": {"format": {"type": "json_schema", "schema": schema}}},
    ),
    "gemini": (
        "generationConfig/responseJsonSchema",
        lambda schema: {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": schema}},
    ),
}


def long(size):
    return {"type": "object", "properties": {"a": {"type": "string", "description": "x" * size}}}


NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
RECURSIVE = {**NODE, "$defs": {"node": NODE}}
CIRCULAR = {
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/a"}},
    "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}},
}
BAD_SCHEMAS = {
    "that is none": ("x", "", "an object"),
    "of 5 MB": (long(5_000_000), "", "at most 1048576"),
    "that goes in circles": (CIRCULAR, "/$defs/a/allOf/0/$ref", "leads back to itself"),
}
"""→ schema, where in it, and words of the rule."""


def bad(dialect):
    """What is wrong → (fields of the request, where it says so, words of the rule)."""
    turns = TURNS[dialect]
    tool, declare = SCHEMAS[dialect]
    answer, ask_for = ANSWERS[dialect]
    return {
        "no turns": ({turns: []}, turns, ""),
        "nothing but empty turns": ({turns: [EMPTY[dialect]]}, turns, "no message holds anything"),
        "an unknown role": ({turns: [STRANGERS[dialect]]}, f"{turns}/0/role", "wizard"),
        "an unknown part": ({turns: [UNKNOWN[dialect][0]]}, f"{turns}/0/{UNKNOWN[dialect][1]}", ""),
        "an image that is none": ({turns: [NO_IMAGES[dialect][0]]}, f"{turns}/0/{NO_IMAGES[dialect][1]}", "base64"),
        "an orphan result": ({turns: [HELLO[dialect], ORPHANS[dialect][0]]}, ORPHANS[dialect][1], "answers no call"),
        **{
            f"a tool's schema {what}": ({"tools": [declare(schema)]}, tool + below, rule)
            for what, (schema, below, rule) in BAD_SCHEMAS.items()
        },
        **{
            f"an answer's schema {what}": (ask_for(schema), answer + below, rule)
            for what, (schema, below, rule) in BAD_SCHEMAS.items()
        },
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


def check_refused(client, answer, place, rule):
    assert answer.status_code == 400, answer.text
    assert answer.headers["x-request-id"]
    message = VOICES[client].read_error(answer.content)
    assert place in message + json.dumps(answer.json())
    assert rule in message


every_pair = [
    pytest.param(client, behind, id=f"{client} to {behind}")
    for client in VOICES
    for behind in VOICES
    if client != behind
]


@pytest.mark.parametrize(("client", "behind"), every_pair)
@pytest.mark.parametrize("what", bad("gemini"))
async def test_b12_b13_a_bad_request_is_refused_with_its_place(world, client, behind, what):
    fields, place, rule = bad(client)[what]
    before = len(world.upstreams[behind].requests)
    began = time.monotonic()
    check_refused(client, await world.ask(client, behind, fields), place, rule)
    assert time.monotonic() - began < LONGEST_S
    assert len(world.upstreams[behind].requests) == before


@pytest.mark.parametrize("client", [client for client in VOICES if client != "gemini"])
async def test_b12_a_schema_beyond_one_service_s_measure_is_refused_for_that_one(world, client):
    place, declare = SCHEMAS[client]
    fields = {"tools": [declare(long(700_000))]}
    before = len(world.upstreams["gemini"].requests)
    check_refused(client, await world.ask(client, "gemini", fields), place, "512 kB")
    assert len(world.upstreams["gemini"].requests) == before
    others = VOICES.keys() - {client, "gemini"}
    assert {(await world.ask(client, behind, fields)).status_code for behind in others} == {200}


@pytest.mark.parametrize(("client", "behind"), every_pair)
async def test_b12_a_recursive_schema_is_sent_as_it_is_or_cut_with_a_loss(world, client, behind):
    place, declare = SCHEMAS[client]
    answer = await world.ask(client, behind, {"tools": [declare(RECURSIVE)]})
    assert answer.status_code == 200, answer.text
    sent = world.upstreams[behind].requests[-1].body
    if behind == "gemini":
        assert f"approximated /{place}" in answer.headers["x-omniroute-loss"]
        assert b"$ref" not in sent
    else:
        assert VOICES[behind].asked(sent).tools["f"] == RECURSIVE
