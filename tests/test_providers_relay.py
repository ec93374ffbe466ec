"""A vendor's own program passes as it is: its bytes, its headers, and nothing of ours but the credential."""

import contextlib
import json
from pathlib import Path

import httpx
import msgspec
import pytest

import omniroute_provider_claude
import omniroute_provider_codex
import omniroute_provider_gemini_cli
import omniroute_provider_qwen
from omniroute import settings
from omniroute.api import Credential, Secret, hookimpl
from omniroute.app import build_app
from omniroute.gateway import Gateway
from omniroute.server import running
from omniroute.testing import FakeUpstream, Reply, Stream, sse

RECORDINGS = Path(__file__).parent / "recordings" / "clients"
CLIENT_KEY = "test-client-key-0001"
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-4-6",
    "content": [{"type": "text", "text": "pong"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 5, "output_tokens": 2},
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-5.5",
    "status": "completed",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "pong", "annotations": []}],
        }
    ],
    "usage": {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 7,
    },
}
EVENTS = sse(
    {"event": name, "data": data}
    for name, data in [
        ("response.created", {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "output": []}}),
        ("response.output_item.added", {"type": "response.output_item.added", "output_index": 0, "item": {**RESPONSE["output"][0], "content": [], "status": "in_progress"}}),
        ("response.content_part.added", {"type": "response.content_part.added", "item_id": "msg_1", "output_index": 0, "content_index": 0, "part": {"type": "output_text", "text": "", "annotations": []}}),
        ("response.output_text.delta", {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": "pong"}),
        ("response.output_text.done", {"type": "response.output_text.done", "item_id": "msg_1", "output_index": 0, "content_index": 0, "text": "pong"}),
        ("response.output_item.done", {"type": "response.output_item.done", "output_index": 0, "item": RESPONSE["output"][0]}),
        ("response.completed", {"type": "response.completed", "response": RESPONSE}),
    ]
)  # fmt: skip
CLAUDE_BODY = (
    b'{ "model":"claude-opus-4-6", "max_tokens" : 32000,\n "system":[{"type":"text","text":"x-anthropic-billing-header: '
    b'cc_version=2;"},{"type":"text","text":"You are Claude Code, Anthropic\'s official CLI for Claude.","cache_control":'
    b'{"type":"ephemeral"}}],"messages":[{"role":"user","content":"ping"}],"unknown_field":{"a":1.0}}'
)
CLAUDE_HEADERS = {
    "user-agent": "claude-cli/2.1.330 (external, cli)",
    "x-app": "cli",
    "x-claude-code-session-id": "4b5552dd",
    "x-stainless-lang": "js",
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
}
CODEX_BODY = (
    b'{ "model" : "gpt-5.5","stream":true,"store":false,"input":[{"type":"message","role":"developer","content":[{"type":'
    b'"input_text","text":"Code."}]},{"type":"message","role":"user","content":[{"type":"input_text","text":"ping"}]}],'
    b'"prompt_cache_key":"k","include":["reasoning.encrypted_content"],"client_metadata":{"a":"b"}}'
)
CODEX_HEADERS = {
    "user-agent": "codex_exec/0.169.0 (Debian 12.0.0; x86_64)",
    "originator": "codex_exec",
    "session-id": "01a20370",
    "x-codex-window-id": "01a20370:0",
}


class Plugin:
    def __init__(self, provider):
        self.provider = provider

    @hookimpl
    def register_providers(self):
        return [self.provider]


@contextlib.asynccontextmanager
async def world_of(module, directory, *scripts, **account):
    import omniroute_auth_oauth

    [shipped] = module.register_providers()
    async with FakeUpstream(*scripts) as upstream, httpx.AsyncClient(trust_env=False, timeout=30) as http:
        facts = msgspec.structs.replace(shipped.facts, base_url=upstream.base_url)
        loaded = settings.load(
            data_dir=directory / "data", environ={}, cwd=directory, config_dir=directory,
            overrides={
                "plugins.only": [
                    "auth-apikey",
                    "strategy-fillfirst",
                    "translator-anthropic",
                    "translator-gemini",
                    "translator-openai-chat",
                    "translator-openai-responses",
                ],
                "auth.keys": [{"name": "laptop", "key": CLIENT_KEY}],
            },
        )  # fmt: skip
        gateway = await Gateway.open(
            loaded, given={"shipped": Plugin(type(shipped)(facts)), "auth-oauth": omniroute_auth_oauth}
        )
        try:
            credential = Credential(access=Secret("test-token-1"), metadata={"account_id": "w-1", "project": "p-1"})
            await gateway.accounts.add(facts.name, "work", credential, **account)
            async with running(build_app(gateway)) as server:

                async def post(path, body, headers):
                    own = {"authorization": f"Bearer {CLIENT_KEY}", "content-type": "application/json"}
                    content = body if isinstance(body, bytes) else json.dumps(body).encode()
                    return await http.post(server.base_url + path, content=content, headers={**own, **headers})

                yield upstream, post
        finally:
            await gateway.close()


async def test_claude_code_is_relayed_byte_for_byte_with_its_own_headers(tmp_path):
    async with world_of(omniroute_provider_claude, tmp_path, Reply.json(MESSAGE)) as (upstream, post):
        answer = await post("/v1/messages?beta=true", CLAUDE_BODY, CLAUDE_HEADERS)
        assert answer.status_code == 200, answer.text
        [sent] = upstream.requests
        assert sent.body == CLAUDE_BODY
        assert sent.target == "/v1/messages?beta=true"
        assert {name: sent.header(name) for name in CLAUDE_HEADERS if name != "anthropic-beta"} == {
            name: value for name, value in CLAUDE_HEADERS.items() if name != "anthropic-beta"
        }
        assert sent.header("anthropic-beta") == f"{CLAUDE_HEADERS['anthropic-beta']},oauth-2025-04-20"
        assert (sent.header("authorization"), sent.header("x-api-key")) == ("Bearer test-token-1", None)
        assert answer.content == msgspec.json.encode(MESSAGE)


def recorded(*patterns):
    return pytest.mark.parametrize(
        "path",
        [pytest.param(path, id=f"{path.parent.name} {path.stem}") for p in patterns for path in sorted(RECORDINGS.glob(p))],
    )  # fmt: skip


def request_of(path, module):
    """As it came, but for its model where that was a scripted one, with spaces that nobody would write, and with the text
    that a recording's prose replaced and the vendor's API insists on."""
    recording = json.loads(path.read_bytes())
    known = {model.id: model for model in module.FACTS.models}
    body, target = recording["body"], recording["target"]
    if "system" in body:
        body["system"][1]["text"] = "You are a Claude agent, built on Anthropic's Claude Agent SDK."
    if body.get("model", "") in known or "model" not in body:
        return target, json.dumps(body, indent=1).encode(), recording["headers"]
    return target, json.dumps({**body, "model": next(iter(known))}, indent=1).encode(), recording["headers"]


@recorded("claude/*.json", "codex/*.json")
async def test_a_recorded_request_of_the_vendors_own_program_passes_whole(path, tmp_path):
    module = omniroute_provider_claude if path.parent.name == "claude" else omniroute_provider_codex
    target, body, headers = request_of(path, module)
    script = Reply.json(MESSAGE) if module is omniroute_provider_claude else Stream([EVENTS])
    async with world_of(module, tmp_path, script) as (upstream, post):
        answer = await post(target, body, headers)
        assert answer.status_code == 200, answer.text
        [sent] = upstream.requests
        assert sent.body == body
        assert sent.target == target
        merged = {name: sent.header(name) for name in headers}
        if "anthropic-beta" in headers:
            assert merged.pop("anthropic-beta").startswith(headers["anthropic-beta"])
        assert {**headers, **merged} == headers
        assert sent.header("authorization") == "Bearer test-token-1"
        assert CLIENT_KEY not in str(sent)


@recorded("gemini/*.json")
async def test_a_recorded_request_goes_into_its_vendors_envelope_whole(path, tmp_path):
    module = omniroute_provider_gemini_cli
    target, body, headers = request_of(path, module)
    target = target.replace("gemini-2.5-pro-fake", "gemini-2.5-pro")
    event = {"candidates": [{"content": {"role": "model", "parts": [{"text": "pong"}]}, "finishReason": "STOP"}]}
    script = Stream([sse([{"response": event, "traceId": "t"}])])
    async with world_of(module, tmp_path, script) as (upstream, post):
        answer = await post(target, body, headers)
        assert answer.status_code == 200, answer.text
        assert "pong" in answer.text
        [sent] = upstream.requests
        assert sent.body.endswith(b',"request":' + body + b"}")
        head = {name: value for name, value in sent.json().items() if name != "request"}
        assert (head["model"], head["project"]) == ("gemini-2.5-pro", "p-1")
        assert sent.target.endswith(":streamGenerateContent?alt=sse")
        assert {name: sent.header(name) for name in ("user-agent", "x-goog-api-client")} == {
            name: headers[name] for name in ("user-agent", "x-goog-api-client")
        }


@recorded("qwen/*-chat-completions-*.json")
async def test_a_recorded_body_for_a_vendor_of_the_clients_dialect_passes_whole(path, tmp_path):
    target, body, headers = request_of(path, omniroute_provider_qwen)
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    ends = {**chunk, "choices": [{"index": 0, "delta": {"content": "pong"}, "finish_reason": "stop"}]}
    async with world_of(omniroute_provider_qwen, tmp_path, Stream([sse([ends, "[DONE]"])])) as (upstream, post):
        answer = await post(target, body, headers)
        assert answer.status_code == 200, answer.text
        [sent] = upstream.requests
        assert sent.body == body
        assert sent.header("x-dashscope-authtype") == "qwen-oauth"


async def test_a_subscription_serves_no_other_client_until_its_owner_says_so(tmp_path):
    body = {
        "model": "cc/claude-opus-4-6",
        "max_tokens": 9,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "ping"}],
    }
    async with world_of(omniroute_provider_claude, tmp_path) as (upstream, post):
        answer = await post("/v1/messages", body, {"user-agent": "another/1.0"})
        assert answer.status_code >= 400
        assert upstream.requests == []
    async with world_of(omniroute_provider_claude, tmp_path / "b", Reply.json(MESSAGE), other_clients=True) as (
        upstream,
        post,
    ):
        answer = await post("/v1/messages", body, {"user-agent": "another/1.0"})
        assert answer.status_code == 200, answer.text
        [sent] = upstream.requests
        assert sent.json()["system"] == [
            {"type": "text", "text": "You are Claude Code, Anthropic's official CLI for Claude."},
            {"type": "text", "text": "Be brief."},
        ]
        assert sent.header("user-agent") == "another/1.0"
        assert sent.header("x-app") is None


async def test_codex_is_relayed_byte_for_byte_with_its_own_headers(tmp_path):
    async with world_of(omniroute_provider_codex, tmp_path, Stream([EVENTS])) as (upstream, post):
        answer = await post("/v1/responses", CODEX_BODY, CODEX_HEADERS)
        assert answer.status_code == 200, answer.text
        assert answer.content == EVENTS
        [sent] = upstream.requests
        assert sent.body == CODEX_BODY
        assert {name: sent.header(name) for name in CODEX_HEADERS} == CODEX_HEADERS
        assert sent.header("chatgpt-account-id") == "w-1"
        assert sent.header("session_id") is None


@pytest.mark.parametrize("stream", [False, True])
async def test_a_backend_that_only_streams_gives_clients_what_they_asked_for(stream, tmp_path):
    body = {
        "model": "cx/gpt-5.5-low",
        "stream": stream,
        "max_completion_tokens": 9,
        "temperature": 0.5,
        "store": True,
        "messages": [{"role": "user", "content": "ping"}],
    }
    async with world_of(omniroute_provider_codex, tmp_path, Stream([EVENTS]), other_clients=True) as (upstream, post):
        answer = await post("/v1/chat/completions", body, {})
        assert answer.status_code == 200, answer.text
        assert "pong" in answer.text
        assert answer.headers["content-type"].startswith("text/event-stream") is stream
        [sent] = upstream.requests
        said = sent.json()
        assert (said["model"], said["reasoning"]["effort"], said["stream"], said["store"]) == (
            "gpt-5.5",
            "low",
            True,
            False,
        )
        assert said["instructions"]
        assert not {"temperature", "max_output_tokens"} & said.keys()
        assert "temperature" in answer.headers["x-omniroute-loss"]
