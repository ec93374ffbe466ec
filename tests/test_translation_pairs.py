"""The requests real coding clients made, through a running gateway to every dialect: as strict upstreams take them.

Whole and streamed answers with reasoning, words and parallel tool calls come back; the client's own SDK reads them.
"""

import itertools
import json
import re
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import msgspec
import pytest
import pytest_asyncio

from omniroute.api import Usage
from omniroute.testing import FakeUpstream, Recording
from omniroute.testing.dialects import VOICES, Answered, Asked, Block, Call, installed_translators, written

RECORDINGS = Path(__file__).parent / "recordings" / "clients"
INSTALLED = [dialect for dialect in VOICES if dialect in installed_translators()]
ALL_FOUR = {"anthropic", "gemini", "openai-chat", "openai-responses"}
TARGETS = {
    "openai-chat": re.compile(r"/v1/chat/completions"),
    "openai-responses": re.compile(r"/v1/responses"),
    "anthropic": re.compile(r"/v1/messages"),
    "gemini": re.compile(r"/v1beta/models/(?P<model>[^:]+):"),
}
CHOOSY = {
    "openai-chat": "gpt-5.5-fake",
    "openai-responses": "gpt-5.5-fake",
    "anthropic": "claude-sonnet-4-5-fake",
    "gemini": "gemini-3-pro-fake",
}
"""Models about which the services are particular, by their names."""
USAGE = Usage(input_tokens=90, output_tokens=25, cached_tokens=40)
SIGNATURE = "c2lnbmF0dXJl"
FORMS = {"": "asked", "-streams": "always", "-whole": "never"}
"""By the ending of a provider's name, when it streams."""
FIRST, SECOND = '{"command":  "ls -la", "n": 1}', '{"path": "a\\u00e9\\"b"}'
PATCH = "*** Begin Patch\n+ tab\there\n*** End Patch"


def dialect_of(recording: Recording) -> str:
    return next(dialect for dialect, target in TARGETS.items() if target.match(recording.target))


def recordings():
    found = {f"{path.parent.name}/{path.stem}": Recording.load(path) for path in sorted(RECORDINGS.glob("*/*.json"))}
    return [pytest.param(each, id=name) for name, each in found.items() if dialect_of(each) in INSTALLED]


# --- upstreams --------------------------------------------------------------------------------------------------------


def said(names, free_form=()):
    """Reasoning, words and, where tools are offered, calls: two of functions, then one of a tool that takes text."""
    functions = [name for name in names if name not in free_form][:2]
    calls = [
        Call(id=f"call_{number}", name=name, arguments=arguments)
        for number, (name, arguments) in enumerate(zip(functions, (FIRST, SECOND), strict=False))
    ]
    calls += [Call(id="call_text", name=name, arguments=json.dumps({"input": PATCH})) for name in free_form[:1]]
    return Answered(
        reasoning="Let me see, é\u2028 …",
        signature=SIGNATURE,
        text='Here it is: 😀 "quoted".',
        calls=tuple(calls),
        finish="tool_calls" if calls else "stop",
        usage=USAGE,
    )


class Upstream:
    """A service of one dialect that gives the answer a test expects."""

    def __init__(self, dialect):
        self.voice = VOICES[dialect]
        self.free_form = ()
        """Which of its tools take text only; a dialect may have no word for that."""
        self.fake = FakeUpstream(answer=self._answer, validate=self.voice.validate)

    def _answer(self, request):
        asked = self.voice.asked(request.body)
        return self.voice.reply(said(asked.tools, self.free_form), request)


class World:
    def __init__(self, gateway, upstreams, http):
        self.gateway, self.upstreams, self.http = gateway, upstreams, http

    async def send(self, recording, behind, model, *, stream):
        """The recorded request for another model, streamed or not."""
        body, target = dict(recording.body), recording.target
        if dialect_of(recording) == "gemini":
            verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
            target = f"/v1beta/models/{behind}/{model}:{verb}"
        else:
            body = {**body, "model": f"{behind}/{model}", "stream": stream}
        if not stream:
            body.pop("stream_options", None)
        return body, await self.post(target, body, recording.headers)

    async def post(self, target, body, headers=None):
        return await self.http.post(
            self.gateway.base_url + target,
            content=msgspec.json.encode(body),
            headers={
                "content-type": "application/json",
                **(headers or {}),
                "authorization": f"Bearer {self.gateway.client_key}",
            },
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(start_gateway):
    async with AsyncExitStack() as stack:
        upstreams = {dialect: Upstream(dialect) for dialect in INSTALLED}
        settings = ""
        for dialect, upstream in upstreams.items():
            await stack.enter_async_context(upstream.fake)
            for suffix, streams in FORMS.items():
                settings += f"""
                [providers.{dialect}{suffix}]
                dialect = "{dialect}"
                base_url = "{upstream.fake.base_url}"
                api_key = "upstream-key-1"
                streams = "{streams}"
                """
        gateway = await stack.enter_async_context(start_gateway(settings))
        http = await stack.enter_async_context(httpx.AsyncClient())
        yield World(gateway, upstreams, http)


# --- what must be the same on both sides ------------------------------------------------------------------------------


def words(text):
    return text.split()


def parsed(text):
    """Results and arguments are often JSON, whose spaces are nobody's words."""
    try:
        return json.loads(text)
    except ValueError:
        return words(text)


def told(asked):
    """What people, tools and models said, without the ways of saying it."""
    conversation = [
        (block.role, words(block.text)) for block in asked.blocks if block.kind == "text" and block.text.strip()
    ]
    calls = [(block.name, block.text) for block in asked.of("call")]
    results = [(asked.answers(block), parsed(block.text)) for block in asked.of("result")]
    return {
        "system": words(" ".join(asked.system)),
        "conversation": conversation,
        "calls": calls,
        "results": results,
        "tools": {name: (words(asked.descriptions[name]), names_in(schema)) for name, schema in asked.tools.items()},
    }


def names_in(schema):
    """The properties of a schema, at any depth, with those that are required."""
    if not isinstance(schema, Mapping):
        return None
    branches = [schema, *schema.get("anyOf", ())]  # a union with null may have become one that is nullable
    properties = {name: below for branch in branches for name, below in (branch.get("properties") or {}).items()}
    required = {name for branch in branches for name in branch.get("required") or ()}
    items = next((branch["items"] for branch in branches if "items" in branch), None)
    return (
        {name: names_in(below) for name, below in properties.items()},
        sorted(required & set(properties)),
        names_in(items),
    )


def with_text_calls(conversation, free_form):
    """Calls of tools that take text, as functions are called in their stead."""
    calls = [(name, {"input": text} if name in free_form else parsed(text)) for name, text in conversation["calls"]]
    tools = {
        name: (description, ({"input": ({}, [], None)}, ["input"], None) if name in free_form else schema)
        for name, (description, schema) in conversation["tools"].items()
    }
    return {**conversation, "calls": calls, "tools": tools}


# --- the tests --------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("behind", INSTALLED)
@pytest.mark.parametrize("recording", recordings())
async def test_a_client_s_request_is_served(world, recording, behind, stream):
    dialect = dialect_of(recording)
    voice, upstream = VOICES[dialect], world.upstreams[behind]
    named = recording.body.get("model") or TARGETS[dialect].match(recording.target)["model"]
    model = CHOOSY[behind] if stream and dialect != behind else named
    client = voice.asked(json.dumps(recording.body).encode())
    upstream.free_form = () if dialect == behind else client.free_form

    body, answer = await world.send(recording, behind, model, stream=stream)
    assert upstream.fake.refused == [], upstream.fake.refused.pop()[1].body
    assert answer.status_code == 200, answer.text
    sent = upstream.fake.requests[-1]
    if dialect == behind:
        check_relayed(recording, body, sent, model)
    else:
        check_translated(client, sent, upstream.voice)
        if dialect == "gemini":  # whose clients take them for line ends
            assert "\u2028" not in answer.text
    check_answer(voice.read(answer.content, stream=stream), said(client.tools, upstream.free_form))


def check_relayed(recording, body, sent, model):
    dialect = dialect_of(recording)
    assert sent.json() == ({**body, "model": model} if "model" in body else body)
    if dialect == "anthropic":
        for name in ("anthropic-version", "anthropic-beta"):
            assert sent.header(name) == recording.headers.get(name, sent.header(name))


def check_translated(client, sent, voice):
    asked = voice.asked(sent.body)
    assert with_text_calls(told(asked), ()) == with_text_calls(told(client), client.free_form)
    assert sent.header("user-agent").startswith("omniroute/")
    assert ("anthropic-version" in dict(sent.headers)) is (voice.dialect == "anthropic")
    if voice.dialect == "gemini":
        roles = [content["role"] for content in sent.json()["contents"]]
        assert all(before != after for before, after in itertools.pairwise(roles))


def check_answer(answered, expected):
    assert (answered.reasoning, answered.text) == (expected.reasoning, expected.text)
    assert answered.finish == expected.finish
    calls = [(call.name, PATCH if call.id == "call_text" else call.arguments) for call in expected.calls]
    assert [(call.name, call.arguments) for call in answered.calls] == calls
    assert len({call.id for call in answered.calls}) == len(calls)
    if answered.usage is not None:  # a stream of Chat Completions tells it only to those who ask
        assert msgspec.structs.replace(answered.usage, reasoning_tokens=0) == USAGE


# --- a whole round of tool calls --------------------------------------------------------------------------------------

LOOK = {"type": "object", "properties": {"command": {"type": "string"}, "path": {"type": "string"}}}
QUESTION = Asked(
    system=["Be brief."],
    blocks=[Block(role="user", kind="text", text="What is here?")],
    tools={"look": LOOK, "fs-read": LOOK},
    descriptions={"look": "Looks.", "fs-read": "Reads."},
)
THINKING = {
    "openai-chat": {"reasoning_effort": "low"},
    "openai-responses": {"reasoning": {"effort": "low"}, "store": False, "include": ["reasoning.encrypted_content"]},
    "anthropic": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
    "gemini": {"generationConfig": {"thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": True}}},
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("behind", INSTALLED)
@pytest.mark.parametrize("client", INSTALLED)
async def test_a_round_of_tool_calls_goes_to_and_fro(world, client, behind):
    """The client sends back what it was shown, thinking and all, with the results: a choosy upstream takes it."""
    voice, upstream = VOICES[client], world.upstreams[behind]
    upstream.free_form = ()
    body = {**written(client, QUESTION, f"{behind}/{CHOOSY[behind]}"), **THINKING[client]}
    target = voice.path(f"{behind}/{CHOOSY[behind]}", stream=False)
    for _ in range(2):
        answer = await world.post(target, body)
        assert upstream.fake.refused == [], upstream.fake.refused.pop()[1].body
        assert answer.status_code == 200, answer.text
        check_answer(voice.read(answer.content, stream=False), said(QUESTION.tools))
        body = voice.continued(body, answer.content, ["a file", "nothing"])
    asked = upstream.voice.asked(upstream.fake.requests[-1].body)
    calls = [(call.name, json.loads(call.text)) for call in asked.of("call")]
    assert calls == [("look", json.loads(FIRST)), ("fs-read", json.loads(SECOND))]
    assert [(asked.answers(result), result.text) for result in asked.of("result")] == [(0, "a file"), (1, "nothing")]
    if behind != "openai-chat":  # which signs nothing
        assert [block.signature for block in asked.blocks if block.signature] == [SIGNATURE]
    assert b"omr1." not in upstream.fake.requests[-1].body


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("only", ["-streams", "-whole"])
@pytest.mark.parametrize("behind", INSTALLED)
@pytest.mark.parametrize("client", INSTALLED)
async def test_an_upstream_of_one_form_only_serves_clients_that_want_the_other(world, client, behind, only):
    voice, upstream = VOICES[client], world.upstreams[behind]
    upstream.free_form = ()
    model = f"{behind}{only}/fake-{client}"
    stream = only == "-whole"
    body = {**voice.body({}, model, stream=stream), **written(client, QUESTION, model)}
    answer = await world.post(voice.path(model, stream=stream), body)
    assert upstream.fake.refused == [], upstream.fake.refused.pop()[1].body
    assert answer.status_code == 200, answer.text
    assert upstream.voice.streams(upstream.fake.requests[-1]) is not stream
    check_answer(voice.read(answer.content, stream=stream), said(QUESTION.tools))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("behind", INSTALLED)
@pytest.mark.parametrize("client", INSTALLED)
async def test_what_a_translation_drops_is_named_in_the_answer_s_head(world, client, behind):
    voice = VOICES[client]
    model = f"{behind}/fake-model"
    body = voice.body({"x_unheard_of": 1}, model, stream=False)
    answer = await world.post(voice.path(model, stream=False), body)
    if client == behind:  # relayed: the upstream's own to refuse
        assert world.upstreams[behind].fake.refused.pop()
    else:
        assert answer.status_code == 200, answer.text
        assert "/x_unheard_of" in answer.headers["x-omniroute-loss"]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("behind", INSTALLED)
@pytest.mark.parametrize("client", INSTALLED)
async def test_an_upstream_s_refusal_is_told_in_the_client_s_dialect(world, client, behind):
    voice, upstream = VOICES[client], world.upstreams[behind]
    upstream.fake.queue(upstream.voice.refusal(429, "too many at once"))
    model = f"{behind}/fake-{client}"
    answer = await world.post(voice.path(model, stream=True), voice.body({}, model, stream=True))
    assert (answer.status_code, answer.headers["content-type"]) == (429, "application/json")
    assert "too many at once" in voice.read_error(answer.content)


def test_every_recording_is_replayed():
    assert len(recordings()) == len(list(RECORDINGS.glob("*/*.json"))) >= 55


def test_all_sixteen_pairs_are_tried():
    assert {(dialect_of(each.values[0]), behind) for each in recordings() for behind in INSTALLED} == {
        (client, upstream) for client in ALL_FOUR for upstream in ALL_FOUR
    }
