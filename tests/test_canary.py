"""A different canary in every place that holds a credential, through everything a gateway does, at debug level. Then look.

One world is set up and put through it all; each test asks of what was left behind. A canary looks like no known kind of
key, so that only knowing the value can have kept it out.
"""

import asyncio
import base64
import hashlib
import itertools
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
import pytest_asyncio

from omniroute import settings
from omniroute.gateway import Gateway
from omniroute.testing import Close, FakeUpstream, ReceivedRequest, Reply, Step, Stream, WaitFor, sse

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRIVATE_FILES = {"secret.key", "management.key", "client.key"}
"""Mode 0600; to hold a key is what they are for."""


def canary(slot: str) -> str:
    return f"canary-{slot}-{secrets.token_hex(6)}"


PROVIDERS = {
    "settings-account": "openai-chat",
    "referred-account": "anthropic",
    "provider-table": "anthropic",
    "our-variable": "openai-chat",
    "stdin-account": "openai-chat",
    "http-account": "anthropic",
}
"""By where the key comes from: the dialect."""
UPSTREAM = {slot: canary(slot) for slot in (*PROVIDERS, "echoed")}
"""Keys of accounts."""
HEADER = {slot: canary(slot) for slot in ("custom-header", "referred-header")}
CLIENT = {slot: canary(slot) for slot in ("settings-client", "referred-client")}
STRANGER = {
    slot: canary(slot)
    for slot in ("wrong-bearer", "wrong-x-api-key", "wrong-x-goog-api-key", "wrong-query", "wrong-basic", "wrong-cookie",
                 "wrong-management", "proxy-authorization", "spare-header", "ask-variable")
}  # fmt: skip
"""Presented by callers, and good for nothing."""
REFUSED = {
    slot: canary(slot) for slot in ("no-such-provider", "malformed-json", "unknown-field", "wrong-type", "two-words")
}
"""Given to the gateway in a way it does not take."""
PRIVATE = {slot: canary(slot) for slot in ("prompt", "system-prompt", "body-api-key")}
"""What a request says: nobody's credential, and none of ours to keep."""
CHOSEN = {**UPSTREAM, **HEADER, **CLIENT, **STRANGER, **REFUSED, **PRIVATE}
MADE = ("command-client", "http-client", "management", "encryption")
"""Made by the gateway itself, so known only when it runs."""

REFUSALS = (
    "refuse-400", "refuse-401", "refuse-403", "refuse-429", "refuse-500", "page", "redirect", "garbage", "silent",
)  # fmt: skip
BROKEN_STREAMS = ("cut", "cut-later", "error-first", "error-later", "error-split")
PATHS = {"openai-chat": "/v1/chat/completions", "anthropic": "/v1/messages"}


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One way for an upstream to behave badly. Each has a provider of its own, which has not failed before."""

    behaviour: str
    dialect: str
    asked_in: str
    stream: bool

    @property
    def provider(self) -> str:
        return f"{self.behaviour}-{self.dialect}-asked-in-{self.asked_in}-{'stream' if self.stream else 'whole'}"


TRIALS = [
    Trial(behaviour=behaviour, dialect=dialect, asked_in=asked_in, stream=stream)
    for stream in (False, True)
    for behaviour in (*REFUSALS, *(BROKEN_STREAMS if stream else ()))
    for dialect, asked_in in itertools.product(PATHS, PATHS)
]


def settings_of(upstream: str, secure: str, closed: str) -> str:
    def table(name: str, dialect: str, base_url: str, *more: str) -> str:
        return "\n".join([f"[providers.{name}]", f'dialect = "{dialect}"', f'base_url = "{base_url}"', *more, ""])

    own_key = f'api_key = "{UPSTREAM["provider-table"]}"'
    echoing = f'api_key = "{UPSTREAM["echoed"]}"'
    headers = f'headers = {{ x-tenant = "{HEADER["custom-header"]}", x-second = "${{env:CANARY_HEADER}}" }}'
    more = {"provider-table": (own_key, headers), "our-variable": ()}
    return "\n".join([
        "[[auth.keys]]", 'name = "literal"', f'key = "{CLIENT["settings-client"]}"',
        "[[auth.keys]]", 'name = "referred"', 'key = "${env:CANARY_CLIENT}"',
        "[[accounts]]", 'provider = "settings-account"', f'api_key = "{UPSTREAM["settings-account"]}"',
        "[[accounts]]", 'provider = "referred-account"', 'api_key = "${env:CANARY_ACCOUNT}"',
        table("secure", "openai-chat", secure, own_key),
        table("closed", "openai-chat", closed, own_key),
        *(table(name, dialect, upstream, *more.get(name, ('auth = "api-key"',))) for name, dialect in PROVIDERS.items()),
        *(table(trial.provider, trial.dialect, upstream, echoing) for trial in TRIALS),
    ])  # fmt: skip


VARIABLES = {
    "CANARY_CLIENT": CLIENT["referred-client"],
    "CANARY_ACCOUNT": UPSTREAM["referred-account"],
    "CANARY_HEADER": HEADER["referred-header"],
    "OMNIROUTE_PROVIDERS__OUR_VARIABLE__API_KEY": UPSTREAM["our-variable"],
}

# --- an upstream that repeats what it was given -----------------------------------------------------------------------

CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "up",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
CHAT_EVENT = {
    **{name: CHAT[name] for name in ("id", "created", "model")},
    "object": "chat.completion.chunk",
    "choices": [{"index": 0, "delta": {"content": "fine"}, "finish_reason": None}],
}
CHAT_END = {**CHAT_EVENT, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
MESSAGE = {
    "id": "m1",
    "type": "message",
    "role": "assistant",
    "model": "up",
    "content": [{"type": "text", "text": "fine"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
MESSAGE_EVENTS = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "fine"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 1},
    },
    {"type": "message_stop"},
]


def named(events: list[dict]) -> bytes:
    return sse({"event": event["type"], "data": event} for event in events)


def key_of(request: ReceivedRequest) -> str:
    return (request.header("x-api-key") or request.header("authorization") or "").removeprefix("Bearer ")


class Echo:
    """Behaves as the model's name says, and puts the key it was sent into all it can."""

    def __init__(self, elsewhere: FakeUpstream) -> None:
        self._elsewhere = elsewhere
        self.committed = asyncio.Event()
        """The client has the head of a stream: what fails from here on fails in the stream."""

    def __call__(self, request: ReceivedRequest) -> Reply | Stream | Close:
        body, key = request.json(), key_of(request)
        is_chat = request.path.endswith("/chat/completions")
        said = f"bad key {key} (header Bearer {key}) of {request.header('x-tenant')}"
        error = {"type": "error", "error": {"type": "authentication_error", "code": key, "param": key, "message": said}}
        headers = {"www-authenticate": f'Bearer realm="{key}"', "set-cookie": f"key={key}", "x-echo": key}
        match body["model"].split("-"):
            case ["refuse", status]:
                return Reply.json(error, int(status), headers)
            case ["page"]:
                return Reply(401, {**headers, "content-type": "text/html"}, f"<html>{said}</html>".encode())
            case ["redirect"]:
                return Reply(307, {**headers, "location": f"{self._elsewhere.base_url}/take?key={key}"})
            case ["garbage"]:
                return Reply(200, {**headers, "content-type": "application/json"}, f"{{{said}".encode())
            case ["silent"]:
                return Close()
        if not body.get("stream"):
            return Reply.json(CHAT if is_chat else MESSAGE, 200, headers)
        return Stream(list(self._stream(body["model"], is_chat, error)), headers=headers)

    def _stream(self, behaviour: str, is_chat: bool, error: dict) -> Iterator[bytes | Step]:
        start = b"" if is_chat else named(MESSAGE_EVENTS[:1])
        content = sse([CHAT_EVENT]) if is_chat else named(MESSAGE_EVENTS[1:3])
        end = sse([CHAT_END, "[DONE]"]) if is_chat else named(MESSAGE_EVENTS[3:])
        failure = sse([error]) if is_chat else named([error])
        yield start
        if behaviour == "cut":
            yield Close()
        elif behaviour == "error-first":
            yield failure
        else:
            yield content
        if behaviour in {"cut-later", "error-later", "error-split"}:
            yield WaitFor(self.committed)
        if behaviour == "cut-later":
            yield failure[: len(failure) // 2]
            yield Close()
        elif behaviour == "error-later":
            yield failure
        elif behaviour == "error-split":
            middle = failure.index(b"canary") + 9
            yield failure[:middle]
            yield failure[middle:]
        yield end


# --- what was left behind ---------------------------------------------------------------------------------------------


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    where: str
    content: bytes


class World:
    """A gateway, and everything that anybody could see of it."""

    def __init__(self, gateway, upstream: FakeUpstream, elsewhere: FakeUpstream, echo: Echo) -> None:
        self.gateway, self.upstream, self.elsewhere, self.echo = gateway, upstream, elsewhere, echo
        self.data = gateway.directory / "data"
        self.made: dict[str, str] = {}
        self.evidence: list[Evidence] = []
        self.encryption_key = b""
        self.opened: set[str] = set()
        """Client keys that were let in."""

    def see(self, where: str, content: bytes) -> None:
        self.evidence.append(Evidence(where=where, content=content))

    def value(self, slot: str) -> bytes:
        if slot == "encryption":
            return self.encryption_key
        return (CHOSEN.get(slot) or self.made[slot]).encode()

    async def ask(self, client: httpx.AsyncClient, method: str, path: str, **request) -> httpx.Response:
        self.echo.committed.clear()
        async with client.stream(method, self.gateway.base_url + path, **request) as answer:
            self.echo.committed.set()
            await answer.aread()
        head = b"".join(b"%b: %b\n" % field for field in answer.headers.raw)
        self.see(f"answer to {method} {path}", b"%d\n%b\n%b" % (answer.status_code, head, answer.content))
        return answer

    async def run(self, *arguments: str, stdin: str = "", **variables: str) -> str:
        """`omniroute …` as somebody types it, in the gateway's own environment."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OMNIROUTE_")}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "omniroute", *arguments,
            "--config", str(self.gateway.directory / "omniroute.toml"), "--data-dir", str(self.data),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**kept, **VARIABLES, **variables}, cwd=self.gateway.directory,
        )  # fmt: skip
        out, said = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
        command = " ".join(arguments)
        self.see(f"stdout of {command}", out)
        self.see(f"stderr of {command}", said)
        return out.decode()


AS_CLIENT = {"authorization": f"Bearer {CLIENT['settings-client']}"}
QUESTION = {
    "max_tokens": 9,
    "api_key": PRIVATE["body-api-key"],
    "messages": [
        {"role": "system", "content": PRIVATE["system-prompt"]},
        {"role": "user", "content": PRIVATE["prompt"]},
    ],
}


async def use_every_account(world: World, client: httpx.AsyncClient) -> None:
    """Relayed and translated, streamed and whole."""
    for provider, path, stream in itertools.product(PROVIDERS, PATHS.values(), (False, True)):
        body = {**QUESTION, "model": f"{provider}/fine", "stream": stream}
        answer = await world.ask(client, "POST", path, json=body, headers=AS_CLIENT)
        assert answer.status_code == 200, (provider, answer.text)


async def fail_in_every_way(world: World, client: httpx.AsyncClient) -> None:
    for trial in TRIALS:
        body = {**QUESTION, "model": f"{trial.provider}/{trial.behaviour}", "stream": trial.stream}
        answer = await world.ask(client, "POST", PATHS[trial.asked_in], json=body, headers=AS_CLIENT)
        assert answer.status_code >= 400 or trial.behaviour in BROKEN_STREAMS, trial
        assert b"error" in answer.content, trial
    for provider, path in itertools.product([*PROVIDERS, "secure", "closed"], PATHS.values()):
        body = {**QUESTION, "model": f"{provider}/refuse-401"}
        answer = await world.ask(client, "POST", path, json=body, headers=AS_CLIENT)
        assert answer.status_code >= 400, provider


async def call_with_every_key(world: World, client: httpx.AsyncClient) -> None:
    """Good keys and bad ones, in all places, in time and out of it."""
    body = {**QUESTION, "model": "settings-account/fine"}
    good = {**CLIENT, "command-client": world.made["command-client"], "http-client": world.made["http-client"]}
    for slot, key in good.items():
        for request in (
            {"headers": {"authorization": f"Bearer {key}"}}, {"headers": {"x-api-key": key}},
            {"headers": {"x-goog-api-key": key}}, {"params": {"key": key}},
        ):  # fmt: skip
            if (await world.ask(client, "POST", "/v1/chat/completions", json=body, **request)).status_code == 200:
                world.opened.add(slot)
            await world.ask(client, "GET", "/v1/models", **request)
            await world.ask(client, "GET", "/v1/models/nobody/knows", **request)
            await world.ask(client, "POST", "/v1/messages", content=b"{", **request)
            await world.ask(client, "GET", "/nowhere", **request)
            await world.ask(client, "GET", "/api/keys", **request)
    basic = base64.b64encode(f"user:{STRANGER['wrong-basic']}".encode()).decode()
    bad = [
        {"headers": {"authorization": f"Bearer {STRANGER['wrong-bearer']}"}},
        {"headers": {"x-api-key": STRANGER["wrong-x-api-key"]}},
        {"headers": {"x-goog-api-key": STRANGER["wrong-x-goog-api-key"]}},
        {"params": {"key": STRANGER["wrong-query"], "api_key": STRANGER["wrong-query"]}},
        {"headers": {"authorization": f"Basic {basic}"}},
        {"headers": {"cookie": f"session={STRANGER['wrong-cookie']}"}},
        {"headers": {"x-api-key": STRANGER["wrong-x-api-key"]}, "params": {"key": CLIENT["settings-client"]}},
    ]
    for request, path in itertools.product(bad, ("/v1/chat/completions", "/v1/messages", "/api/keys", "/nowhere")):
        refused = await world.ask(client, "POST", path, json=body, **request)
        assert refused.status_code in {400, 401, 404}, path
    spare = {
        "authorization": f"Bearer {CLIENT['settings-client']}",
        "proxy-authorization": f"Basic {STRANGER['proxy-authorization']}",
        "x-upstream-key": STRANGER["spare-header"],
        "cookie": f"session={STRANGER['wrong-cookie']}",
    }
    assert (await world.ask(client, "POST", "/v1/chat/completions", json=body, headers=spare)).status_code == 200


async def manage(world: World, client: httpx.AsyncClient) -> None:
    """All of /api, with bodies that it refuses and, first of all, those that make what the others need."""
    management = {"authorization": f"Bearer {world.made['management']}"}
    made = await world.ask(client, "POST", "/api/keys", json={"name": "http"}, headers=management)
    world.made["http-client"] = made.json()["key"]
    account = {"provider": "http-account", "api_key": UPSTREAM["http-account"]}
    added = [await world.ask(client, "POST", "/api/accounts", json=account, headers=management) for _ in range(2)]
    assert [answer.status_code for answer in added] == [201, 409]
    for bad in (
        json.dumps({"provider": "nobody", "api_key": REFUSED["no-such-provider"]}),
        f'{{"provider": "http-account", "name": "x", "api_key": "{REFUSED["malformed-json"]}"',
        json.dumps({"provider": "http-account", "name": "x", "apikey": REFUSED["unknown-field"]}),
        json.dumps({"provider": "http-account", "name": "x", "api_key": [REFUSED["wrong-type"]]}),
        json.dumps({"provider": "http-account", "name": "x", "api_key": f"two {REFUSED['two-words']}"}),
    ):
        kind = {"content-type": "application/json"}
        refused = await world.ask(client, "POST", "/api/accounts", content=bad, headers={**management, **kind})
        assert refused.status_code == 400
    for path in ("status", "models", "providers", "plugins", "config", "keys", "accounts", "schema", "nowhere"):
        await world.ask(client, "GET", f"/api/{path}", headers=management)
        await world.ask(
            client, "GET", f"/api/{path}", headers={"authorization": f"Bearer {STRANGER['wrong-management']}"}
        )
        await world.ask(client, "GET", f"/api/{path}", params={"key": world.made["management"]})


COMMANDS = (
    "config check", "config show --effective --origin", "config show --effective --origin --json", "account list",
    "account list --json", "key list", "plugin list", "models list --json", "doctor", "doctor --json",
)  # fmt: skip
COMMANDS_WITHOUT_GATEWAY = ("account list", "key list --json", "doctor")


async def add_by_command(world: World) -> None:
    world.made["command-client"] = (await world.run("key", "create", "command")).strip()
    await world.run("account", "add", "stdin-account", "--api-key-stdin", stdin=f"{UPSTREAM['stdin-account']}\n")
    await world.run("account", "add", "stdin-account", "--api-key-stdin", stdin=f"{UPSTREAM['stdin-account']}\n")
    await world.run("account", "add", "nobody", "--api-key-stdin", stdin=f"{REFUSED['no-such-provider']}\n")
    await world.run(
        "account", "add", "stdin-account", "--name", "x", "--api-key-stdin", stdin=f"a {REFUSED['two-words']}\n"
    )
    for key in (CLIENT["settings-client"], STRANGER["ask-variable"]):
        await world.run("ask", "hello", "-m", "settings-account/fine", OMNIROUTE_CLIENT_KEY=key)
        await world.run("ask", "hello", "-m", f"{TRIALS[-1].provider}/refuse-401", OMNIROUTE_CLIENT_KEY=key)


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Where TLS is wanted: says something else."""
    writer.write(b"HTTP/1.1 400 no TLS here\r\n\r\n")
    writer.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(start_gateway):
    """Everything has happened, and the gateway has ended."""
    plain = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    gone = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    ports = [server.sockets[0].getsockname()[1] for server in (plain, gone)]
    gone.close()
    elsewhere = FakeUpstream()
    echo = Echo(elsewhere)
    async with elsewhere, FakeUpstream(answer=echo) as upstream, plain:
        text = settings_of(upstream.base_url, f"https://127.0.0.1:{ports[0]}/v1", f"http://127.0.0.1:{ports[1]}/v1")
        async with start_gateway(text, "--log-level", "debug", **VARIABLES) as gateway:
            world = World(gateway, upstream, elsewhere, echo)
            world.made["management"] = (world.data / "management.key").read_text()
            await see_arguments(world)
            await add_by_command(world)
            async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
                await manage(world, client)
                await use_every_account(world, client)
                await call_with_every_key(world, client)
                await fail_in_every_way(world, client)
            await asyncio.gather(*(world.run(*command.split()) for command in COMMANDS))
            gateway.process.terminate()
            world.see("stdout of the gateway", gateway.base_url.encode() + await gateway.process.stdout.read())
            assert await gateway.process.wait() == 0
        world.see("stderr of the gateway", gateway.log.encode())
        for command in COMMANDS_WITHOUT_GATEWAY:
            await world.run(*command.split())
    world.encryption_key = (world.data / "secret.key").read_bytes()
    for path in world.data.rglob("*"):
        if path.is_file() and path.name not in PRIVATE_FILES:
            world.see(f"file {path.name}", path.read_bytes())
    return world


async def see_arguments(world: World) -> None:
    """Anybody on the machine may read these."""
    arguments = Path(f"/proc/{world.gateway.process.pid}/cmdline")
    if arguments.exists():
        world.see("arguments of the gateway", arguments.read_bytes())


# --- looking ----------------------------------------------------------------------------------------------------------

SHOWN_ONCE = {"command-client": "stdout of key create command", "http-client": "answer to POST /api/keys"}
"""The one place where a new key is given to whoever asked for it."""


def spellings(raw: bytes) -> set[bytes]:
    return {raw, raw.hex().encode(), raw[::-1], *(base64.b64encode(b"x" * skip + raw)[4:-4] for skip in range(3))}


async def test_there_was_much_to_look_at(world):
    """The log says what happened, commands show what is set, and the files are there: else nothing below means anything."""
    seen = {evidence.where: evidence.content for evidence in world.evidence}
    log = seen["stderr of the gateway"]
    assert log.count(b'"request"') > len(TRIALS) + 50
    assert b"upstream_unreachable" in log
    assert b"upstream_garbled" in log
    assert seen["stdout of config show --effective --origin --json"].count(b"***") >= len(UPSTREAM) - 2
    assert b"stdin-account/default" in seen["stdout of account list"]
    assert {"file omniroute.db", "file requests.db"} <= seen.keys()
    assert sys.platform != "linux" or b"serve" in seen["arguments of the gateway"]


@pytest.mark.parametrize("slot", [*CHOSEN, *MADE])
async def test_a_canary_is_seen_by_nobody(world, slot):
    forbidden = spellings(world.value(slot))
    seen = [e.where for e in world.evidence if any(spelling in e.content for spelling in forbidden)]
    assert [where for where in seen if where != SHOWN_ONCE.get(slot)] == []
    assert len(seen) == (slot in SHOWN_ONCE)


@pytest.mark.parametrize("slot", PROVIDERS)
async def test_an_account_s_key_reached_its_upstream_in_its_own_header_only(world, slot):
    place = {"anthropic": "x-api-key", "openai-chat": "authorization"}[PROVIDERS[slot]]
    sent = [request for request in world.upstream.requests if key_of(request) == UPSTREAM[slot]]
    assert len(sent) >= 5
    for request in world.upstream.requests:
        assert UPSTREAM[slot].encode() not in request.target.encode() + request.body
        carrying = [name.lower() for name, value in request.headers if UPSTREAM[slot] in value]
        assert carrying == ([] if request not in sent else [place])


async def test_custom_headers_reached_the_upstream_they_are_set_for_and_no_other(world):
    expected = {"x-tenant": HEADER["custom-header"], "x-second": HEADER["referred-header"]}
    for request in world.upstream.requests:
        own = key_of(request) == UPSTREAM["provider-table"]
        assert {name: request.header(name) for name in expected} == (expected if own else dict.fromkeys(expected))


async def test_what_clients_say_reaches_the_upstream_and_what_they_are_known_by_does_not(world):
    everything = b"".join(
        str(request.headers).encode() + request.target.encode() + request.body for request in world.upstream.requests
    )
    assert [slot for slot in PRIVATE if PRIVATE[slot].encode() not in everything] == []
    private = {**CLIENT, **STRANGER, **REFUSED, **world.made}
    assert [slot for slot, value in private.items() if value.encode() in everything] == []


async def test_every_client_key_opened_the_model_api(world):
    assert world.opened == {*CLIENT, "command-client", "http-client"}


async def test_a_redirect_took_nothing_to_another_host(world):
    redirected = [request for request in world.upstream.requests if request.json()["model"] == "redirect"]
    assert len(redirected) >= 8
    assert world.elsewhere.connections == []


async def test_of_a_client_key_only_the_hash_is_kept(world):
    database = (world.data / "omniroute.db").read_bytes()
    for slot in ("command-client", "http-client"):
        assert base64.b64encode(hashlib.sha256(world.made[slot].encode()).digest()) in database


async def test_sealed_keys_are_whole_when_they_are_unsealed(world, tmp_path):
    loaded = settings.load(
        config=world.gateway.directory / "omniroute.toml", data_dir=world.data, environ=VARIABLES, cwd=tmp_path
    )
    gateway = await Gateway.open(loaded, serving=False)
    try:
        for slot in ("stdin-account", "http-account"):
            (account,) = gateway.accounts.of(slot)
            assert (account.origin, account.credential.access.reveal()) == ("database", UPSTREAM[slot])
    finally:
        await gateway.close()
