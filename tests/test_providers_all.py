"""One table over all shipped providers: sign in, refresh, quota, models, failures, and a chat in each client dialect.

Each meets a scripted authorization server made of its own facts and a scripted upstream that answers in its dialect, on
loopback, behind a real gateway with all plugins.
"""

import asyncio
import contextlib
from pathlib import Path

import httpx
import msgspec
import pytest

import omniroute_auth_oauth
import omniroute_provider_anthropic
import omniroute_provider_claude
import omniroute_provider_codex
import omniroute_provider_copilot
import omniroute_provider_deepseek
import omniroute_provider_gemini
import omniroute_provider_gemini_cli
import omniroute_provider_glm
import omniroute_provider_iflow
import omniroute_provider_openai
import omniroute_provider_openrouter
import omniroute_provider_qwen
from omniroute import settings
from omniroute.api import (
    AccountBlocked,
    ChatResponse,
    CredentialRejected,
    HttpResponse,
    ListedModel,
    OutOfCredit,
    Overloaded,
    QuotaExhausted,
    QuotaWindow,
    RateLimited,
    Secret,
    Target,
    TextPart,
    UpstreamModelMissing,
    UpstreamRefused,
    Usage,
    hookimpl,
)
from omniroute.app import build_app
from omniroute.gateway import Gateway
from omniroute.management.account_values import AddAccount, BeginSignIn, Paste
from omniroute.management.service import Management
from omniroute.plugins import load_plugins
from omniroute.server import running
from omniroute.testing import FRAMINGS, FakeAuthorization, FakeUpstream, Reply, Stream, check_provider, explode

CLIENT_KEY = "test-client-key-0001"
POLL_S = 5
SHIPPED = (
    omniroute_provider_anthropic,
    omniroute_provider_claude,
    omniroute_provider_codex,
    omniroute_provider_copilot,
    omniroute_provider_deepseek,
    omniroute_provider_gemini,
    omniroute_provider_gemini_cli,
    omniroute_provider_glm,
    omniroute_provider_iflow,
    omniroute_provider_openai,
    omniroute_provider_openrouter,
    omniroute_provider_qwen,
)
PROVIDERS = {provider.facts.name: provider for module in SHIPPED for provider in module.register_providers()}
ALL = pytest.mark.parametrize("name", PROVIDERS)
SIGNED_IN = pytest.mark.parametrize("name", [name for name, p in PROVIDERS.items() if p.facts.oauth is not None])
METADATA = {"gemini-cli": {"project": "p-1"}}
"""What signing in leaves for requests to need."""

ANSWER = ChatResponse(
    id="r-1",
    model="m",
    parts=(TextPart(text="pong"),),
    finish_reason="stop",
    usage=Usage(input_tokens=5, output_tokens=2),
)
ENDINGS = {
    "/chat/completions": "openai-chat",
    "/responses": "openai-responses",
    "/messages": "anthropic",
    ":generateContent": "gemini",
    ":streamGenerateContent": "gemini",
}
USER = [{"role": "user", "content": "ping"}]
CONTENTS = [{"role": "user", "parts": [{"text": "ping"}]}]
CLIENTS = {
    "openai-chat": ("/v1/chat/completions", {"messages": USER}),
    "openai-responses": ("/v1/responses", {"input": "ping"}),
    "anthropic": ("/v1/messages", {"max_tokens": 50, "messages": USER}),
    "gemini": ("/v1beta/models/{model}:{verb}", {"contents": CONTENTS}),
}
USAGE = {
    "claude": ("/api/oauth/usage", {"five_hour": {"utilization": 60.0, "resets_at": "2030-01-01T00:00:00Z"}}),
    "codex": (
        "/backend-api/wham/usage",
        {"rate_limit": {"primary_window": {"used_percent": 60, "reset_at": 1893456000}}},
    ),
    "github": (
        "/copilot_internal/user",
        {
            "quota_reset_date": "2030-01-01",
            "quota_snapshots": {
                "premium_interactions": {"entitlement": 300, "remaining": 120, "percent_remaining": 40.0},
                "chat": {"entitlement": 300, "remaining": 120, "percent_remaining": 40.0},
            },
        },
    ),
    "gemini-cli": (
        "/v1:retrieveUserQuota",
        {
            "buckets": [
                {"modelId": model.id, "remainingFraction": 0.4, "resetTime": "2030-01-01T00:00:00Z"}
                for model in PROVIDERS["gemini-cli"].facts.models
            ]
        },
    ),
    "glm": (
        "/api/monitor/usage/quota/limit",
        {"data": {"limits": [{"type": "TOKENS_LIMIT", "percentage": 60, "nextResetTime": 1893456000000}]}},
    ),
    "openrouter": ("/v1/key", {"data": {"limit": 10, "limit_remaining": 4, "usage": 6}}),
}


# --- the other side ---------------------------------------------------------------------------------------------------


class Vendor:
    """Answers as the provider's upstream does: in its dialects, to its credentials, inside its envelope."""

    def __init__(self, tokens):
        self.tokens = tokens
        self.facts = None
        self.translators = {}
        self.refused = {}
        """Credential → what requests with it are answered."""
        self.asked = []
        """The credentials that came, in order."""
        self.bodies = []

    def __call__(self, request):
        path = request.path
        if path == USAGE.get(self.facts.name, ("", None))[0]:
            return Reply.json(USAGE[self.facts.name][1])
        if path.endswith(":loadCodeAssist"):
            return Reply.json({"cloudaicompanionProject": "p-1"})
        credential = self.credential(request)
        self.asked.append(credential)
        if self.tokens is not None and not self.tokens.accepts_token(credential):
            return Reply.json({"error": {"message": "expired", "code": "unauthorized"}}, 401)
        if credential in self.refused:
            return self.refused[credential]
        if path.endswith("/models"):
            listed = ListedModel(id="live-1", provider="x", name="Live", context_tokens=4096)
            dialect = self.translators[self.facts.dialect]
            return Reply(200, {"content-type": "application/json"}, dialect.encode_models([listed]))
        ending = next((ending for ending in ENDINGS if path.endswith(ending)), None)
        assert ending is not None, path
        return self.chat(request, self.translators[ENDINGS[ending]], streams=ending == ":streamGenerateContent")

    def credential(self, request):
        place = self.facts.credential or self.translators[self.facts.dialect].credential
        found = request.header(place.header) or ""
        assert found.startswith(place.prefix), f"no credential in {place.header}"
        return found.removeprefix(place.prefix)

    def chat(self, request, translator, *, streams):
        body = self.opened(request.json())
        self.bodies.append(body)
        streams = streams or body.get("stream") is True
        params = {"model": "m", "operation": "streamGenerateContent" if streams else "generateContent"}
        decoded = translator.decode_request(msgspec.json.encode(body), params, _Headers(request))
        said = [part.text for message in decoded.messages for part in message.parts if isinstance(part, TextPart)]
        assert said[-1] == "ping", said
        if not streams:
            whole = translator.encode_response(ANSWER, decoded)
            return Reply(200, {"content-type": "application/json"}, self.wrapped(whole))
        encoder = translator.response_encoder(msgspec.structs.replace(decoded, stream=True))
        frames = [frame for event in explode(ANSWER) for frame in encoder.feed(event)]
        framing = FRAMINGS[translator.framing]
        writer = framing.writer()
        chunks = [
            writer.encode(msgspec.structs.replace(frame, data=self.wrapped(frame.data)))
            for frame in [*frames, *encoder.close()]
        ]
        return Stream([*chunks, writer.close()], content_type=framing.content_type)

    def opened(self, body):
        if self.facts.envelope is None:
            return body
        assert body["project"] == "p-1"
        assert body["model"]
        return body["request"]

    def wrapped(self, data):
        return data if self.facts.envelope is None else b'{"%b":%b}' % (self.facts.envelope.encode(), data)


class _Headers:
    def __init__(self, request):
        self.get = request.header


class Plugin:
    def __init__(self, provider):
        self.provider = provider

    @hookimpl
    def register_providers(self):
        return [self.provider]


class World:
    def __init__(self, gateway, url, vendor, tokens, http):
        self.gateway, self.url, self.vendor, self.tokens, self.http = gateway, url, vendor, tokens, http
        self.manager = Management(gateway)
        self.provider = gateway.registry.providers[vendor.facts.name]

    async def add(self, name="work", **more):
        provider = self.vendor.facts.name
        if self.tokens is None:
            await self.manager.add_account(AddAccount(provider=provider, name=name, api_key=f"test-key-{name}", **more))
        else:
            await self.sign_in(name, **more)
        return self.gateway.accounts.get(f"{provider}/{name}")

    async def sign_in(self, name, **more):
        wanted = BeginSignIn(provider=self.vendor.facts.name, name=name, paste=True, other_clients=True, **more)
        view = await self.moved(await self.manager.begin_sign_in(wanted), {"working"})
        assert view.state == "waiting", view.error
        if view.code is not None:
            self.tokens.approve(view.code)
        else:
            await self.manager.paste_redirect(view.id, Paste(text=self.tokens.redirect(view.url)))
        view = await self.moved(view, {"working", "waiting"})
        assert view.state == "done", view.error

    async def moved(self, view, states):
        async with asyncio.timeout(10):
            while view.state in states:
                view = await self.manager.sign_in(view.id, after=view.changed, wait_s=5)
        return view

    async def ask(self, dialect="openai-chat", *, model=None, stream=False):
        model = f"{self.vendor.facts.name}/{model or self.vendor.facts.models[0].id}"
        path, body = CLIENTS[dialect]
        if dialect == "gemini":
            verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
            path = path.format(model=model, verb=verb)
        else:
            body = {**body, "model": model, **({"stream": True} if stream else {})}
        headers = {"authorization": f"Bearer {CLIENT_KEY}"}
        return await self.http.post(self.url + path, json=body, headers=headers)


@contextlib.asynccontextmanager
async def world_of(name, directory):
    async with contextlib.AsyncExitStack() as stack:
        shipped = PROVIDERS[name]
        facts, tokens = shipped.facts, None
        if facts.oauth is not None:
            tokens = await stack.enter_async_context(FakeAuthorization(facts))
            facts = tokens.facts
        vendor = Vendor(tokens)
        upstream = await stack.enter_async_context(FakeUpstream(answer=vendor))
        facts = vendor.facts = msgspec.structs.replace(facts, base_url=upstream.base_url)
        http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=30))
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
        given = {"shipped": Plugin(type(shipped)(facts)), "auth-oauth": omniroute_auth_oauth}
        gateway = await Gateway.open(loaded, given=given)
        stack.push_async_callback(gateway.close)
        gateway.driver.sleep = _sooner
        vendor.translators = gateway.registry.translators
        server = await stack.enter_async_context(running(build_app(gateway)))
        yield World(gateway, server.base_url, vendor, tokens, http)


async def _sooner(seconds):
    """Pauses between polls are for people."""
    await asyncio.sleep(0 if seconds <= POLL_S else seconds)


# --- every provider ---------------------------------------------------------------------------------------------------


@ALL
def test_a_provider_is_one_the_kernel_can_work_with(name):
    check_provider(PROVIDERS[name], metadata=METADATA.get(name, {}))


def test_so_is_every_other_provider_that_is_installed():
    installed = load_plugins(settings.Settings().plugins).collect("register_providers", settings=settings.Settings())
    others = {provider.facts.name: provider for _, provider in installed if provider.facts.name not in PROVIDERS}
    assert {"demo", "groq", "local"} <= others.keys()
    for provider in others.values():
        check_provider(provider)


def test_every_folder_of_a_provider_with_an_upstream_of_its_own_is_in_the_table():
    folders = {path.name for path in (Path(__file__).parent.parent / "plugins").glob("provider_*")}
    assert folders - {"provider_demo", "provider_local"} == {m.__name__.removeprefix("omniroute_") for m in SHIPPED}


@ALL
async def test_a_client_of_each_dialect_gets_its_answer_whole_and_streamed(name, tmp_path):
    async with world_of(name, tmp_path) as world:
        await world.add()
        for dialect in CLIENTS:
            for stream in (False, True):
                answer = await world.ask(dialect, stream=stream)
                assert answer.status_code == 200, (dialect, stream, answer.text)
                assert "pong" in answer.text, (dialect, stream, answer.text)
                assert answer.headers["content-type"].startswith("text/event-stream") is stream, (dialect, stream)


async def test_models_of_one_provider_may_speak_two_dialects(tmp_path):
    async with world_of("github", tmp_path) as world:
        await world.add()
        for model in ("gpt-4.1", "gpt-5.3-codex"):
            for dialect in CLIENTS:
                answer = await world.ask(dialect, model=model)
                assert (answer.status_code, "pong" in answer.text) == (200, True), (model, dialect, answer.text)


@pytest.mark.parametrize(
    ("thinking", "sent"),
    [
        ([{"type": "thinking", "thinking": "I look.", "signature": ""}], {"reasoning_content": "I look."}),
        ([], {"thinking": {"type": "disabled"}}),
    ],
    ids=["kept by the client", "dropped by the client"],
)
async def test_thinking_goes_back_to_who_wants_it_back_and_is_switched_off_where_it_is_lost(thinking, sent, tmp_path):
    turns = [
        *USER,
        {"role": "assistant", "content": [*thinking, {"type": "tool_use", "id": "t1", "name": "look", "input": {}}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "seen"},
                {"type": "text", "text": "ping"},
            ],
        },
    ]
    async with world_of("deepseek", tmp_path) as world:
        await world.add()
        body = {
            "model": "ds/deepseek-v4-pro",
            "max_tokens": 2000,
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "tools": [{"name": "look", "input_schema": {"type": "object", "properties": {}}}],
            "messages": turns,
        }
        headers = {"authorization": f"Bearer {CLIENT_KEY}"}
        answer = await world.http.post(f"{world.url}/v1/messages", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        got = world.vendor.bodies[-1]
        assistant = next(message for message in got["messages"] if message["role"] == "assistant")
        assert {name: {**got, **assistant}.get(name) for name in sent} == sent


# --- sign in ----------------------------------------------------------------------------------------------------------


@SIGNED_IN
async def test_signing_in_makes_an_account_whose_tokens_are_renewed_and_used(name, tmp_path):
    async with world_of(name, tmp_path) as world:
        before = await world.add()
        assert (await world.ask()).status_code == 200
        world.tokens.expire()
        assert (await world.ask()).status_code == 200, "renewed when it was refused"
        after = world.gateway.accounts.get(before.id)
        assert after.credential.access != before.credential.access
        assert after.credential.metadata.items() >= METADATA.get(name, {}).items()
        assert len(world.tokens.refreshes) == 1


@SIGNED_IN
@pytest.mark.parametrize("has_ended", [True, False], ids=["ended", "refused"])
async def test_fifty_requests_with_a_token_that_is_no_more_make_one_refresh(name, has_ended, tmp_path):
    async with world_of(name, tmp_path) as world:
        account = await world.add()
        world.tokens.expire()
        if has_ended:
            await world.gateway.accounts.sign_in_again(account.id, ended(account.credential))
        answers = await asyncio.gather(*(world.ask() for _ in range(50)))
        assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers[:3]]
        assert len(world.tokens.refreshes) == 1
        assert (account.credential.access.reveal() in world.vendor.asked) is not has_ended


@SIGNED_IN
async def test_ten_accounts_that_end_together_are_renewed_one_after_the_other(name, tmp_path):
    async with world_of(name, tmp_path) as world:
        accounts, first = world.gateway.accounts, await world.add("a0")
        await accounts.sign_in_again(first.id, ended(first.credential))
        for number in range(1, 10):
            secrets = {"grant": Secret(world.tokens.issue())} if "grant" in first.credential.secrets else {}
            refresh = Secret(world.tokens.issue_refresh())
            sibling = msgspec.structs.replace(ended(first.credential), refresh=refresh, secrets=secrets)
            await accounts.add(name, f"a{number}", sibling)
        send, in_flight, most = world.gateway.driver._send, 0, 0

        async def counted(request):
            nonlocal in_flight, most
            in_flight += 1
            most = max(most, in_flight)
            try:
                return await send(request)
            finally:
                in_flight -= 1

        world.gateway.driver._send = counted
        renewed = await asyncio.gather(*map(world.gateway.refresher.current, accounts.of(name)))
        assert len({account.credential.access.reveal() for account in renewed}) == 10
        assert all(world.tokens.accepts_token(account.credential.access.reveal()) for account in renewed)
        assert most == 1, "no request of a refresh while another one's runs"


def ended(credential):
    return msgspec.structs.replace(credential, expires_at_s=1.0)


@SIGNED_IN
async def test_a_sign_in_that_was_revoked_says_that_only_a_person_can_help(name, tmp_path):
    async with world_of(name, tmp_path) as world:
        account = await world.add()
        world.tokens.revoke()
        for _ in range(3):
            answer = await world.ask()
        assert answer.status_code >= 400
        assert world.gateway.accounts.get(account.id).credential is not None, "tokens are never thrown away"


# --- quota ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", USAGE)
async def test_what_is_left_of_a_plan_is_read_and_known_to_routing(name, tmp_path):
    async with world_of(name, tmp_path) as world:
        account = await world.add()
        assert await world.manager.quota() != [], "it is known to be metered before it is read"
        await world.gateway.quota_reader().read()
        [reading] = await world.manager.quota()
        assert (reading.account, reading.error) == (account.id, None)
        assert {each.window.share_left for each in reading.windows} == {0.4}
        target = Target(provider=name, model=world.vendor.facts.models[0].id, account="work")
        assert world.gateway.router.standing.view[target].quota_left == 0.4


@pytest.mark.parametrize(("left", "served_by"), [(0.5, "first"), (0.01, "second"), (0.0, "second")])
async def test_an_account_that_is_nearly_used_up_passes_its_turn(left, served_by, tmp_path):
    async with world_of("glm", tmp_path) as world:
        first = await world.add("first", priority=1)
        await world.add("second")
        world.gateway.quotas.answered(first, [QuotaWindow(name="5h", share_left=left)])
        answer = await world.ask()
        assert (answer.status_code, answer.headers["x-omniroute-attempts"]) == (200, "1"), answer.text
        assert world.vendor.asked[-1] == f"test-key-{served_by}"


@pytest.mark.parametrize(("left", "status"), [(0.01, 200), (0.0, 429)])
async def test_what_is_left_is_used_when_there_is_nothing_else_but_nothing_beyond_that(left, status, tmp_path):
    async with world_of("glm", tmp_path) as world:
        account = await world.add()
        world.gateway.quotas.answered(account, [QuotaWindow(name="5h", share_left=left)])
        assert (await world.ask()).status_code == status


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        ("claude", {"anthropic-ratelimit-unified-5h-utilization": "0.6"}),
        ("codex", {"x-codex-primary-used-percent": "60"}),
    ],
)
async def test_the_headers_of_an_answer_say_it_too(name, headers, tmp_path):
    async with world_of(name, tmp_path) as world:
        account = await world.add()
        token = account.credential.access.reveal()
        chat = world.vendor.chat

        def telling(request, translator, *, streams):
            answer = chat(request, translator, streams=streams)
            return msgspec.structs.replace(answer, headers={**dict(answer.headers), **headers})

        world.vendor.chat = telling
        assert (await world.ask()).status_code == 200
        [reading] = await world.manager.quota()
        assert [each.window.share_left for each in reading.windows] == [0.4]
        assert token not in repr(reading)


# --- models -----------------------------------------------------------------------------------------------------------


@ALL
async def test_live_models_are_listed_where_there_is_a_list_and_those_of_the_facts_elsewhere(name, tmp_path):
    async with world_of(name, tmp_path) as world:
        await world.add()
        await world.gateway.model_lists().read(world.gateway.accounts.all())
        answer = await world.http.get(f"{world.url}/v1/models", headers={"authorization": f"Bearer {CLIENT_KEY}"})
        listed = {model["id"]: model for model in answer.json()["data"]}
        facts = world.vendor.facts
        prefix = (facts.aliases or (facts.name,))[0]
        has_list = facts.operations is None or "models" in facts.operations
        if has_list:
            assert list(listed) == [f"{prefix}/live-1"]
            live = listed[f"{prefix}/live-1"]
            assert live.get("context_length") in {4096, None}
            assert "pricing" not in live, "a price nobody knows is not there"
        else:
            assert set(listed) == {f"{prefix}/{model.id}" for model in facts.models}
            unknown = [model.id for model in facts.models if model.context_tokens is None]
            assert all("context_length" not in listed[f"{prefix}/{model}"] for model in unknown)


# --- failures ---------------------------------------------------------------------------------------------------------


def error(**fields):
    return {"error": {"message": "no", **fields}}


def google(word, *details):
    return {"error": {"code": 0, "message": "no", "status": word, "details": list(details)}}


PER_DAY = {"@type": "…QuotaFailure", "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}]}
FAILURES = [
    ("anthropic", 401, error(type="authentication_error"), {}, CredentialRejected, "account"),
    ("anthropic", 429, error(type="rate_limit_error"), {"retry-after": "5"}, RateLimited, "bucket"),
    ("anthropic", 529, error(type="overloaded_error"), {}, Overloaded, "model"),
    ("claude", 401, error(type="authentication_error"), {}, CredentialRejected, "account"),
    ("claude", 403, error(type="permission_error"), {}, AccountBlocked, "account"),
    ("claude", 429, error(type="rate_limit_error"), {}, RateLimited, "bucket"),
    (
        "claude",
        429,
        error(type="rate_limit_error"),
        {"anthropic-ratelimit-unified-status": "rejected"},
        QuotaExhausted,
        "account",
    ),
    ("claude", 529, error(type="overloaded_error"), {}, Overloaded, "model"),
    ("codex", 401, error(code="token_expired"), {}, CredentialRejected, "account"),
    ("codex", 429, error(type="usage_limit_reached", resets_in_seconds=60), {}, QuotaExhausted, "bucket"),
    ("codex", 429, error(type="usage_not_included"), {}, AccountBlocked, "account"),
    ("deepseek", 402, error(type="unknown_error"), {}, OutOfCredit, "account"),
    ("deepseek", 422, error(type="invalid_request_error"), {}, UpstreamRefused, "nothing"),
    ("gemini", 400, google("INVALID_ARGUMENT", {"reason": "API_KEY_INVALID"}), {}, CredentialRejected, "account"),
    ("gemini", 429, google("RESOURCE_EXHAUSTED"), {}, RateLimited, "bucket"),
    ("gemini", 429, google("RESOURCE_EXHAUSTED", PER_DAY), {}, QuotaExhausted, "bucket"),
    ("gemini-cli", 403, google("PERMISSION_DENIED", {"reason": "SERVICE_DISABLED"}), {}, AccountBlocked, "account"),
    ("gemini-cli", 429, google("X", {"reason": "QUOTA_EXHAUSTED"}), {}, QuotaExhausted, "bucket"),
    ("gemini-cli", 429, google("X", {"reason": "MODEL_CAPACITY_EXHAUSTED"}), {}, Overloaded, "model"),
    ("github", 401, error(code="unauthorized"), {}, CredentialRejected, "account"),
    ("github", 402, error(code="quota_exceeded"), {}, QuotaExhausted, "bucket"),
    ("github", 400, error(code="model_not_supported"), {}, UpstreamModelMissing, "model"),
    ("glm", 429, error(code="1113"), {}, OutOfCredit, "account"),
    ("glm", 429, error(code="1308"), {}, QuotaExhausted, "bucket"),
    ("glm", 429, error(code="1302"), {}, RateLimited, "bucket"),
    ("iflow", 401, error(code="401"), {}, CredentialRejected, "account"),
    ("iflow", 429, error(code="429"), {}, RateLimited, "bucket"),
    ("openai", 429, error(code="insufficient_quota"), {}, QuotaExhausted, "bucket"),
    ("openai", 401, error(code="invalid_api_key"), {}, CredentialRejected, "account"),
    ("openrouter", 402, error(code=402), {}, OutOfCredit, "account"),
    ("openrouter", 403, error(code=403, metadata={"reasons": ["x"]}), {}, UpstreamRefused, "nothing"),
    ("qwen", 401, error(code="invalid_access_token"), {}, CredentialRejected, "account"),
    ("qwen", 429, error(code="insufficient_quota"), {}, QuotaExhausted, "bucket"),
]


@pytest.mark.parametrize(
    ("name", "status", "body", "headers", "kind", "cools"),
    [pytest.param(*row, id=f"{row[0]} {row[1]} {row[4].__name__}") for row in FAILURES],
)
def test_a_failure_as_the_vendor_says_it_means_and_cools(name, status, body, headers, kind, cools):
    found = PROVIDERS[name].classify(HttpResponse(status=status, headers=headers, body=msgspec.json.encode(body)))
    assert isinstance(found, kind), found
    assert found.cools == cools


def test_every_provider_has_its_failures_in_the_table():
    assert {row[0] for row in FAILURES} == set(PROVIDERS)


@ALL
async def test_an_account_whose_quota_is_used_up_is_left_alone_and_the_next_one_answers(name, tmp_path):
    exhausted = next(
        (row for row in FAILURES if row[0] == name and issubclass(row[4], RateLimited | AccountBlocked)), None
    )
    assert exhausted is not None
    async with world_of(name, tmp_path) as world:
        first = await world.add("first", priority=1)
        await world.add("second")
        refusal = Reply.json(exhausted[2], exhausted[1], exhausted[3])
        world.vendor.refused[first.credential.access.reveal()] = refusal
        for attempts in ("2", "1"):
            answer = await world.ask()
            assert (answer.status_code, answer.headers["x-omniroute-attempts"]) == (200, attempts), answer.text
