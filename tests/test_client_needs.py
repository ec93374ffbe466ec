"""What the real coding clients need of a gateway: a table of client, need and proof, and the proofs that stand nowhere else.

The clients were recorded (tests/recordings/clients). A proof is a test of this file, or of another one by its path.
"""

import asyncio
import json
import re
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

import anthropic
import httpx
import msgspec
import openai
import pytest
import pytest_asyncio
from google import genai
from google.genai import types

import omniroute_provider_claude
from omniroute.api import Account, Headers, ModelFacts, Target, Usage
from omniroute.credentials.screens import for_own_clients
from omniroute.routing import Candidate
from omniroute.screening import Needs
from omniroute.testing import FakeUpstream, Recording, Reply, Stream, WaitFor, sse
from omniroute.testing.dialects import VOICES, Answered, Call, installed_translators
from omniroute.testing.strict import openai_chat

ROOT = Path(__file__).resolve().parents[1]
PAIRS = "tests/test_translation_pairs.py::"
PAIN = "tests/test_user_pain.py::"
CHAT = "plugins/translator_openai_chat/tests/"
RESPONSES = "plugins/translator_openai_responses/tests/"
ANTHROPIC = "plugins/translator_anthropic/tests/"
GEMINI = "plugins/translator_gemini/tests/"

NEEDS = {
    # --- where they call
    ("Claude Code", "asks at /v1/messages?beta=true"): PAIRS + "test_a_client_s_request_is_served",
    ("Codex", "asks at /responses below a base URL of any kind"): "test_a_base_url_may_lack_its_version",
    ("Qwen, aider, opencode", "ask at {base}/chat/completions"): "test_a_base_url_may_lack_its_version",
    ("Gemini CLI", "asks at :streamGenerateContent?alt=sse"): PAIRS + "test_a_client_s_request_is_served",
    ("google-genai", "calls v1 as well as v1beta"): "test_google_s_sdk_calls_either_version",
    ("google-genai", "lists models at /v1/models by x-goog-api-key"): "test_a_model_list_has_the_form_of_its_reader",
    ("anthropic SDK", "lists models with their lifecycle"): "test_a_model_list_has_the_form_of_its_reader",
    ("anthropic SDK", "counts tokens"): "tests/test_sdks.py::test_anthropic_token_count",
    ("openai SDK", "reads models, answers and streams"): "tests/test_sdks.py::test_openai_stream",
    ("opencode", "sends a title request beside the first turn"): "test_two_requests_of_a_session_are_served_at_once",
    ("AI SDK on Gemini", "goes by the model's own name"): "test_a_model_keeps_its_own_name",
    # --- headers
    ("all", "give the key as Bearer, x-api-key or x-goog-api-key"): "test_a_key_may_come_in_any_header",
    ("anthropic SDK 2, Claude Code", "send two values of anthropic-version"): "test_the_client_s_version_goes_along",
    ("anthropic SDK 2", "refused sampling by version"): "test_a_translated_request_names_the_version_that_takes_it",
    ("Claude Code", "sends betas that its body's fields need"): "test_betas_go_to_those_who_know_them_only",
    ("Qwen", "calls itself claude-cli and is not Claude Code"): "test_who_calls_itself_claude_code_need_not_be_it",
    ("Claude Code, Codex, opencode, Kilo", "name their session"): "test_a_session_is_told_from_the_client_s_own_words",
    ("all", "describe their SDK in headers for nobody else"): "tests/test_bad_input.py::test_headers_of_the_client_do_not_travel",
    # --- what a translator trips over
    ("Claude Code", "sends three system texts and a turn of nine"): PAIRS + "test_a_client_s_request_is_served",
    ("Claude Code", "marks what to cache, and defers tools"): ANTHROPIC + "test_recordings.py::test_a_real_request_survives_the_round_trip",
    ("Claude Code", "asks for thinking by effort or by budget"): "test_either_way_to_ask_for_thinking_reaches_every_upstream",
    ("Claude Code", "brings empty thinking back with its signature"): "test_omitted_thinking_keeps_its_signature",
    ("Codex", "has its prompt in developer messages"): PAIRS + "test_a_client_s_request_is_served",
    ("Codex", "gives every item an id, and reasoning no content"): RESPONSES + "test_recordings.py::test_a_recorded_request_survives_the_way_through_the_canonical_model",
    ("Codex", "has tools without a name, and tools in namespaces"): RESPONSES + "test_tools.py::test_tools_are_one_flat_list_with_names_of_their_own",
    ("Codex", "says nothing of strict"): "test_nobody_makes_a_tool_strict",
    ("Codex", "brings its tools in an input item"): RESPONSES + "test_recordings.py::test_codex_finds_its_session_and_tools_wherever_it_puts_them",
    ("Codex", "has tools that take text, in a namespace or not"): "test_a_free_form_tool_is_called_as_the_client_knows_it",
    ("Codex", "answers a tool in a list of texts"): PAIRS + "test_a_client_s_request_is_served",
    ("Gemini CLI", "makes up the ids of calls"): GEMINI + "test_requests.py::test_ids_that_the_client_gave_are_kept",
    ("Gemini CLI", "has its signatures beside the calls"): GEMINI + "test_recordings.py::test_a_recorded_request_survives_the_way_through_the_canonical_model",
    ("google-genai", "declares functions in snake_case"): "test_google_s_sdk_declares_functions_in_snake_case",
    ("Qwen, opencode, Kilo, Cline", "bring reasoning_content back"): "test_reasoning_goes_back_to_those_who_take_it_only",
    ("OpenClaw", "says max_completion_tokens"): "test_a_limit_reaches_every_upstream",
    ("OpenClaw", "brings reasoning items without id and content"): PAIRS + "test_a_client_s_request_is_served",
    ("OpenClaw", "has tools named like built-in ones"): "test_a_tool_may_be_named_like_a_built_in_one",
    ("Qwen, Kilo, Claude Code", "have long descriptions and many tools"): "test_long_tools_arrive_whole",
    # --- what they need from the answer
    ("Claude Code", "named events, message_start and every block's stop"): "test_claude_code_s_stream_is_whole_and_asked_for_once",
    ("Codex", "output_item.done, completed, and the id"): "test_codex_s_stream_has_all_it_waits_for",
    ("Gemini CLI", "U+2028 and U+2029 escaped"): "test_gemini_cli_meets_no_line_end_within_json",
    ("Qwen, opencode, Cline", "finish_reason, and a call's index and id"): "test_a_chat_stream_has_all_its_clients_wait_for",
    ("Qwen, opencode, Cline", "a finish_reason or an error"): "test_a_relayed_stream_without_finish_reason_is_an_error",
    # --- errors
    ("Gemini CLI", "fails on a cut stream, and tries again on an error"): PAIN + "test_p11_a_cut_stream_ends_in_an_error_of_the_client_s_dialect",
    ("all", "try 429 and 503 again by their status"): "tests/test_sdks.py::test_an_upstream_s_refusal_is_a_typed_exception",
    ("opencode, Claude Code", "compact when a prompt is too long"): "test_too_long_a_prompt_is_told_in_the_words_clients_know",
}  # fmt: skip


def test_every_need_has_its_proof():
    for place in NEEDS.values():
        path, _, name = place.rpartition("::")
        text = (ROOT / path if path else Path(__file__)).read_text(encoding="utf-8")
        assert re.search(rf"^(async )?def {name}\(", text, re.MULTILINE), place


# --- a world ----------------------------------------------------------------------------------------------------------

served = pytest.mark.asyncio(loop_scope="module")
every_upstream = pytest.mark.parametrize("behind", VOICES)
LINE_ENDS = "one\u2028two\u2029three"
SAID = Answered(
    text=LINE_ENDS,
    calls=(
        Call(id="call_a", name="look", arguments='{"path": "a"}'),
        Call(id="call_b", name="look", arguments='{"path": "b"}'),
    ),
    finish="tool_calls",
    usage=Usage(input_tokens=9, output_tokens=5),
)
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
LOOK = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": SCHEMA}}
HI = [{"role": "user", "content": "hi"}]


class Upstream(FakeUpstream):
    """Calls `look` twice where that is offered, else says a word; what is queued goes first."""

    def __init__(self, dialect):
        self.voice = VOICES[dialect]
        super().__init__(answer=self._plain, validate=self.voice.validate)

    def _plain(self, request):
        tools = self.voice.asked(request.body).tools
        return self.voice.reply(SAID if "look" in tools else Answered(text=LINE_ENDS, usage=SAID.usage), request)

    @property
    def last(self):
        assert self.refused == [], self.refused.pop()[1].body
        return self.requests[-1]


class World:
    def __init__(self, gateway, upstreams, strict, http):
        self.gateway, self.upstreams, self.strict, self.http = gateway, upstreams, strict, http
        self.key = gateway.client_key

    async def post(self, target, body, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named = named or {"authorization": f"Bearer {self.key}"}
        return await self.http.post(
            self.gateway.base_url + target,
            content=msgspec.json.encode(body),
            headers={"content-type": "application/json", **named},
        )

    async def chat(self, model, **fields):
        return await self.post("/v1/chat/completions", {"model": model, "messages": HI, **fields})

    async def send(self, recording, model):
        """A recorded request, for another model."""
        body, target = dict(recording.body), recording.target
        if "/models/" in target:
            target = re.sub(r"models/[^:]+:", lambda _: f"models/{model}:", target)
        else:
            body["model"] = model
        headers = {name.replace("-", "_"): value for name, value in recording.headers.items()}
        return await self.post(target, body, **headers, authorization=f"Bearer {self.key}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(start_gateway):
    async with AsyncExitStack() as stack:
        settings, upstreams = "", {}
        for dialect in VOICES:
            upstreams[dialect] = await stack.enter_async_context(Upstream(dialect))
            for name, fact in ((dialect, ""), (f"{dialect}-quirky", "is_quirky = true")):
                settings += f'[providers.{name}]\ndialect = "{dialect}"\napi_key = "upstream-key-1"\n{fact}\n'
                settings += f'base_url = "{upstreams[dialect].base_url}"\n'
                settings += (
                    'any_model = true\nmodels = ["m", "gemini-3-pro-fake", "gpt-5.5-fake", "claude-sonnet-4-5-fake"]\n'
                )
        strict = await stack.enter_async_context(FakeUpstream(answer=Reply.json(ANSWER), validate=openai_chat))
        settings += f'[providers.unknowing]\ndialect = "openai-chat"\nbase_url = "{strict.base_url}"\napi_key = "k-1"\n'
        settings += f'[[accounts]]\nprovider = "openai"\nname = "a"\nbase_url = "{strict.base_url}"\napi_key = "k-1"\n'
        gateway = await stack.enter_async_context(start_gateway(settings))
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=30))
        yield World(gateway, upstreams, strict, http)


ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


def recorded(client, stem):
    [path] = (ROOT / "tests/recordings/clients" / client).glob(f"{stem}-*.json")
    return Recording.load(path)


def data_of(body):
    return [json.loads(line[6:]) for line in body.split("\n") if line.startswith("data: {")]


# --- where they call --------------------------------------------------------------------------------------------------


@served
@every_upstream
@pytest.mark.parametrize("root", ["", "/v1"])
async def test_a_base_url_may_lack_its_version(world, behind, root):
    told = [
        await world.post(f"{root}/chat/completions", {"model": f"{behind}/m", "messages": HI}),
        await world.post(f"{root}/responses", {"model": f"{behind}/m", "input": HI}),
        await world.post(f"{root}/messages", {"model": f"{behind}/m", "max_tokens": 99, "messages": HI}),
    ]
    assert [answer.status_code for answer in told] == [200, 200, 200]


def google(world, version):
    """The SDK's asynchronous side; over httpx, as its own way over aiohttp warns of itself."""
    options = types.HttpOptions(base_url=world.gateway.base_url, api_version=version, httpx_async_client=world.http)
    return genai.Client(api_key=world.key, http_options=options).aio.models


@served
@every_upstream
@pytest.mark.parametrize("version", ["v1", "v1beta"])
async def test_google_s_sdk_calls_either_version(world, behind, version):
    models = google(world, version)
    assert (await models.generate_content(model=f"{behind}/m", contents="hi")).text == LINE_ENDS
    stream = await models.generate_content_stream(model=f"{behind}/m", contents="hi")
    assert "".join([chunk.text or "" async for chunk in stream]) == LINE_ENDS


@served
async def test_a_model_list_has_the_form_of_its_reader(world):
    wanted = "anthropic/claude-sonnet-4-5-fake"
    assert f"models/{wanted}" in [model.name async for model in await google(world, "v1").list()]
    async with anthropic.AsyncAnthropic(auth_token=world.key, base_url=world.gateway.base_url) as client:
        [found] = [model async for model in client.models.list() if model.id == wanted]
        assert found.lifecycle == "active"
    async with openai.AsyncOpenAI(api_key=world.key, base_url=f"{world.gateway.base_url}/v1") as client:
        assert wanted in [model.id async for model in client.models.list()]


@served
@every_upstream
async def test_two_requests_of_a_session_are_served_at_once(world, behind):
    """Neither waits for the other, nor is it taken for the other."""
    title, first = recorded("opencode", "01"), recorded("opencode", "02")
    together = await asyncio.gather(world.send(title, f"{behind}/m"), world.send(first, f"{behind}/m"))
    assert [answer.status_code for answer in together] == [200, 200]
    asked = [VOICES[behind].asked(request.body) for request in world.upstreams[behind].requests[-2:]]
    assert sorted(bool(each.tools) for each in asked) == [False, True]


@served
@every_upstream
async def test_a_model_keeps_its_own_name(world, behind):
    """Behind its provider's, in lists; and alone, to the upstream."""
    listed = await world.http.get(
        f"{world.gateway.base_url}/v1beta/models", headers={"x-goog-api-key": world.key}, params={"pageSize": 1000}
    )
    assert f"models/{behind}/gemini-3-pro-fake" in [model["name"] for model in listed.json()["models"]]
    answer = await world.chat(f"{behind}/gemini-3-pro-fake")
    assert answer.headers["x-omniroute-model"] == "gemini-3-pro-fake"
    last = world.upstreams[behind].last
    assert "gemini-3-pro-fake" in (last.path if behind == "gemini" else last.json()["model"])


# --- headers ----------------------------------------------------------------------------------------------------------


@served
@pytest.mark.parametrize("client", VOICES)
@pytest.mark.parametrize("header", ["authorization", "x-api-key", "x-goog-api-key"])
async def test_a_key_may_come_in_any_header(world, client, header):
    key = f"Bearer {world.key}" if header == "authorization" else world.key
    voice = VOICES[client]
    body = voice.body({}, f"{client}/m", stream=False)
    answer = await world.post(voice.path(f"{client}/m", stream=False), body, **{header: key})
    assert answer.status_code == 200
    assert world.key not in str(world.upstreams[client].last.headers)


@served
@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
async def test_the_client_s_version_goes_along(world, version):
    body = {"model": "anthropic/m", "max_tokens": 99, "messages": HI}
    key = f"Bearer {world.key}"
    answer = await world.post("/v1/messages", body, anthropic_version=version, authorization=key)
    assert answer.status_code == 200
    assert world.upstreams["anthropic"].last.header("anthropic-version") == version
    sampled = await world.post("/v1/messages", {**body, "top_k": 3}, anthropic_version=version, authorization=key)
    refused = [world.upstreams["anthropic"].refused.pop() for _ in range(sampled.status_code == 400)]
    assert bool(refused) is (version == "2026-10-21")  # relayed: between the client and its service


@served
async def test_a_translated_request_names_the_version_that_takes_it(world):
    answer = await world.chat("anthropic/m", temperature=0.5, top_p=0.9, max_tokens=99)
    assert answer.status_code == 200
    sent = world.upstreams["anthropic"].last
    assert sent.header("anthropic-version") == "2023-06-01"
    assert "temperature" in sent.json()


@served
@every_upstream
async def test_betas_go_to_those_who_know_them_only(world, behind):
    recording = recorded("claude", "01")
    answer = await world.send(recording, f"{behind}/m")
    assert answer.status_code == 200, answer.text
    sent = world.upstreams[behind].last
    same = behind == "anthropic"
    assert sent.header("anthropic-beta") == (recording.headers["anthropic-beta"] if same else None)
    assert ("context_management" in sent.json()) is same
    assert same or "/context_management" in answer.headers["x-omniroute-loss"]


def test_who_calls_itself_claude_code_need_not_be_it():
    """A subscription of the vendor's serves the one, and the other only when its owner allows it."""
    [provider] = omniroute_provider_claude.register_providers()
    name, url = provider.facts.name, provider.facts.base_url
    [translator] = [each for each in installed_translators().values() if each.dialect == provider.facts.dialect]
    target = Target(provider=name, model="m", account="a")
    candidate = Candidate(
        target=target,
        provider=provider,
        account=Account(provider=name, name="a", base_url=url),
        model=ModelFacts(id="m"),
        translator=translator,
        transport=None,
        adapts=False,
        leg=target,
    )
    agents = [recorded(client, stem).headers["user-agent"] for client, stem in (("claude", "01"), ("qwen", "05"))]
    assert all(agent.startswith("claude-cli/") for agent in agents)
    own, imitator = (for_own_clients(candidate, Needs(user_agent=agent)) for agent in agents)
    assert own is None
    assert imitator.reason == "other_client"


SESSIONS = [
    ("claude", "01", "02", "x-claude-code-session-id"),
    ("codex", "01", "02", "session-id"),
    ("opencode", "07", "08", "x-session-id"),
    ("kilo", "01", "02", "x-session-id"),
]


@pytest.mark.parametrize(("client", "first", "later", "header"), SESSIONS, ids=[entry[0] for entry in SESSIONS])
def test_a_session_is_told_from_the_client_s_own_words(client, first, later, header):
    """The same in every turn; where a proxy takes the header away, by the body if that says it too."""
    turns = [recorded(client, stem) for stem in (first, later)]
    found = [session_of(turn) for turn in turns]
    assert found == [turn.headers[header] for turn in turns]
    assert found[0] == found[1]
    if client in {"claude", "codex"}:
        assert session_of(msgspec.structs.replace(turns[0], headers={})) == found[0]


def session_of(recording):
    dialect = next(name for name, mark in ENDINGS.items() if mark in recording.target)
    headers = Headers({name.encode(): value.encode() for name, value in recording.headers.items()})
    return installed_translators()[dialect].read_head(recording.request_body(), {"model": "m"}, headers).session


ENDINGS = {
    "openai-chat": "/chat/completions",
    "openai-responses": "/responses",
    "anthropic": "/messages",
    "gemini": ":streamGenerateContent",
}


# --- what a translator trips over -------------------------------------------------------------------------------------


@served
@every_upstream
@pytest.mark.parametrize(
    "fields",
    [
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
        {"thinking": {"type": "enabled", "budget_tokens": 31999, "display": "omitted"}, "max_tokens": 32000},
    ],
    ids=["effort", "budget"],
)
async def test_either_way_to_ask_for_thinking_reaches_every_upstream(world, behind, fields):
    model = {"gemini": "gemini-3-pro-fake", "anthropic": "claude-sonnet-4-5-fake"}.get(behind, "gpt-5.5-fake")
    body = {"model": f"{behind}/{model}", "max_tokens": 999, "messages": HI, **fields}
    headers = {"anthropic_beta": "effort-2025-11-24", "authorization": f"Bearer {world.key}"}
    answer = await world.post("/v1/messages?beta=true", body, **headers)
    assert answer.status_code == 200, answer.text
    assert VOICES[behind].asked(world.upstreams[behind].last.body).thinks is True


@served
@pytest.mark.parametrize("provider", ["anthropic", "anthropic-quirky"])
async def test_omitted_thinking_keeps_its_signature(world, provider):
    recording = recorded("claude", "04")
    [block] = [block for block in recording.body["messages"][1]["content"] if block["type"] == "thinking"]
    assert block["thinking"] == ""
    assert (await world.send(recording, f"{provider}/claude-sonnet-4-5-fake")).status_code == 200
    assert block in world.upstreams["anthropic"].last.json()["messages"][1]["content"]
    request = installed_translators()["anthropic"].decode_request(recording.request_body(), {}, Headers({}))
    written = installed_translators()["anthropic"].encode_request(request)
    assert block in json.loads(written.body)["messages"][1]["content"]


@served
@every_upstream
async def test_nobody_makes_a_tool_strict(world, behind):
    answer = await world.send(recorded("codex", "01"), f"{behind}/m")
    assert answer.status_code == 200, answer.text
    assert b'"strict":true' not in world.upstreams[behind].last.body.replace(b" ", b"")


FREE_FORM = {"05": "apply_patch", "08": "exec"}
"""The second stands in the namespace `functions`, which clients leave out."""


@served
@every_upstream
@pytest.mark.parametrize("stem", FREE_FORM)
async def test_a_free_form_tool_is_called_as_the_client_knows_it(world, behind, stem):
    """By its own name, with text."""
    name, upstream = FREE_FORM[stem], world.upstreams[behind]
    patch = '*** Begin Patch\n+ "tab"\there'

    def reply(request):
        asked = VOICES[behind].asked(request.body)
        [sent] = [tool for tool in asked.tools if tool.endswith(name)]
        arguments = patch if sent in asked.free_form and behind != "openai-responses" else json.dumps({"input": patch})
        call = Call(id="call_1", name=sent, arguments=arguments)
        return VOICES[behind].reply(Answered(calls=(call,), finish="tool_calls", usage=SAID.usage), request)

    if behind == "openai-responses":
        return  # relayed
    upstream.queue(reply)
    answer = await world.send(recorded("codex", stem), f"{behind}/m")
    assert answer.status_code == 200, answer.text
    [item] = [event["item"] for event in data_of(answer.text) if event["type"] == "response.output_item.done"]
    assert (item["type"], item["name"], item["input"]) == ("custom_tool_call", name, patch)
    assert "namespace" not in item


@served
@pytest.mark.parametrize("behind", [behind for behind in VOICES if behind != "gemini"])  # whose service takes either
async def test_google_s_sdk_declares_functions_in_snake_case(world, behind):
    def look(path: str) -> str:
        """Looks."""
        return path

    config = types.GenerateContentConfig(
        tools=[look],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        max_output_tokens=50,
    )
    answer = await google(world, "v1beta").generate_content(
        model=f"{behind}/gemini-3-pro-fake", contents="hi", config=config
    )
    assert [call.name for call in answer.function_calls] == ["look", "look"]
    schema = VOICES[behind].asked(world.upstreams[behind].last.body).tools["look"]
    assert list(schema["properties"]) == schema["required"] == ["path"]


THOUGHT = {"role": "assistant", "content": "ok", "reasoning_content": "hm"}


@served
@pytest.mark.parametrize("model", ["openai/gpt-4o", "openai/gpt-5.5"])
async def test_reasoning_goes_back_to_those_who_take_it_only(world, model):
    history = [*HI, THOUGHT, *HI]
    before = len(world.strict.requests)
    answer = await world.post("/v1/chat/completions", {"model": model, "messages": history})
    assert answer.status_code == 200, answer.text
    assert len(world.strict.requests) == before + 1
    assert b"reasoning_content" not in world.strict.requests[-1].body
    assert "dropped /messages/1/reasoning_content" in answer.headers["x-omniroute-loss"]

    learned = await world.post("/v1/chat/completions", {"model": "unknowing/m", "messages": history})
    assert learned.status_code == 200, learned.text
    assert [b"reasoning_content" in request.body for request in world.strict.requests[-2:]] == [True, False]
    world.strict.refused.pop()

    kept = await world.post("/v1/chat/completions", {"model": "openai-chat/m", "messages": history})
    assert kept.status_code == 200
    assert b'"reasoning_content":"hm"' in world.upstreams["openai-chat"].last.body


@served
@every_upstream
async def test_a_limit_reaches_every_upstream(world, behind):
    assert (await world.chat(f"{behind}/m", max_completion_tokens=77)).status_code == 200
    assert VOICES[behind].asked(world.upstreams[behind].last.body).limits["max_tokens"] == 77


BUILT_IN = ["tool_call", "tool_search", "web_search", "code_execution", "apply_patch", "google_search"]


@served
@every_upstream
async def test_a_tool_may_be_named_like_a_built_in_one(world, behind):
    tools = [{"type": "function", "function": {**LOOK["function"], "name": name}} for name in BUILT_IN]
    assert (await world.chat(f"{behind}/m", tools=tools)).status_code == 200
    assert list(VOICES[behind].asked(world.upstreams[behind].last.body).tools) == BUILT_IN


@served
@every_upstream
async def test_long_tools_arrive_whole(world, behind):
    long = {f"tool_{number}": f"{number} " + "word " * 2200 for number in range(4)}
    tools = [
        {"type": "function", "function": {**LOOK["function"], "name": name, "description": text}}
        for name, text in long.items()
    ]
    assert (await world.chat(f"{behind}/m", tools=tools)).status_code == 200
    assert VOICES[behind].asked(world.upstreams[behind].last.body).descriptions == long


# --- what they need from the answer -----------------------------------------------------------------------------------


@served
@every_upstream
async def test_claude_code_s_stream_is_whole_and_asked_for_once(world, behind):
    """It asks again without a stream when something is missing, and nobody notices."""
    body = {"model": f"{behind}/m", "max_tokens": 99, "messages": HI, "stream": True}
    body["tools"] = [{"name": "look", "input_schema": SCHEMA}]
    before = len(world.upstreams[behind].requests)
    answer = await world.post("/v1/messages?beta=true", body)
    assert len(world.upstreams[behind].requests) == before + 1
    names = re.findall(r"^event: (\w+)$", answer.text, re.MULTILINE)
    events = data_of(answer.text)
    assert names == [event["type"] for event in events]
    assert (names[0], names[-2:]) == ("message_start", ["message_delta", "message_stop"])
    begun, ended = (
        [event["index"] for event in events if event["type"] == f"content_block_{edge}"] for edge in ("start", "stop")
    )
    assert begun == ended == [0, 1, 2]


@served
@every_upstream
async def test_codex_s_stream_has_all_it_waits_for(world, behind):
    tool = {"type": "function", "name": "look", "parameters": SCHEMA}
    answer = await world.post(
        "/v1/responses", {"model": f"{behind}/m", "input": HI, "stream": True, "store": False, "tools": [tool]}
    )
    events = data_of(answer.text)
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert [item["type"] for item in done] == ["message", "function_call", "function_call"]
    assert [item["arguments"] for item in done[1:]] == [call.arguments for call in SAID.calls]
    assert events[-1]["type"] == "response.completed"
    assert events[-1]["response"]["id"]
    assert re.findall(r"^event: (\S+)$", answer.text, re.MULTILINE) == [event["type"] for event in events]
    if behind != "openai-responses":  # whose own numbers are relayed
        assert all(later["sequence_number"] > event["sequence_number"] for event, later in pairwise(events))


@served
@every_upstream
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_gemini_cli_meets_no_line_end_within_json(world, behind, stream):
    """Google escapes them; a server of its dialect that does not is one of those that bend its rules."""
    model = f"{behind}/m" if behind != "gemini" else "gemini-quirky/m"
    voice = VOICES["gemini"]
    answer = await world.post(voice.path(model, stream=stream), voice.body({}, model, stream=stream))
    assert voice.read(answer.content, stream=stream).text == LINE_ENDS
    assert not {"\u2028", "\u2029"} & set(answer.text)


@served
@every_upstream
async def test_a_chat_stream_has_all_its_clients_wait_for(world, behind):
    answer = await world.chat(f"{behind}/m", stream=True, tools=[LOOK])
    choices = [choice for event in data_of(answer.text) for choice in event["choices"]]
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["tool_calls"]
    pieces = [piece for choice in choices for piece in choice["delta"].get("tool_calls") or ()]
    assert {piece["index"] for piece in pieces} == {0, 1}
    begun = {piece["index"]: piece["id"] for piece in pieces if piece.get("id")}
    assert len(begun) == len(set(begun.values())) == 2


@served
async def test_a_relayed_stream_without_finish_reason_is_an_error(world):
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    said = {**chunk, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "hi"}, "finish_reason": None}]}
    begun = asyncio.Event()
    world.upstreams["openai-chat"].queue(Stream([sse([said]), WaitFor(begun), sse(["[DONE]"])]))
    body, text = {"model": "openai-chat/m", "messages": HI, "stream": True}, ""
    headers = {"authorization": f"Bearer {world.key}"}
    url = f"{world.gateway.base_url}/v1/chat/completions"
    async with world.http.stream("POST", url, json=body, headers=headers) as answer:
        async for data in answer.aiter_text():
            text += data
            begun.set()
    assert "[DONE]" not in text
    assert "finish_reason" in data_of(text)[-1]["error"]["message"]


# --- errors -----------------------------------------------------------------------------------------------------------


@served
@every_upstream
@pytest.mark.parametrize("client", VOICES)
async def test_too_long_a_prompt_is_told_in_the_words_clients_know(world, client, behind):
    """They compact at some words and give up at others."""
    said = {
        "openai-chat": "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
        "openai-responses": "Your input exceeds the context window of this model.",
        "anthropic": "prompt is too long: 9000 tokens > 8192 maximum",
        "gemini": "The input token count (9000) exceeds the maximum number of tokens allowed (8192).",
    }
    if client == behind:
        return  # relayed
    world.upstreams[behind].queue(VOICES[behind].refusal(400, said[behind]))
    voice = VOICES[client]
    model = f"{behind}/long-{client}"
    answer = await world.post(voice.path(model, stream=True), voice.body({}, model, stream=True))
    assert answer.status_code == 400
    words = {"anthropic": "prompt is too long", "gemini": "exceeds the maximum number of tokens allowed"}
    if client in words:
        assert words[client] in voice.read_error(answer.content)
    else:
        assert answer.json()["error"]["code"] == "context_length_exceeded"
