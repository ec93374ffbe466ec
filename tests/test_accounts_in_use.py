"""Accounts that were signed in to, as requests meet them: renewed in time, renewed when refused, and only for whom they are."""

import asyncio
import contextlib

import httpx
import msgspec
import pytest

import omniroute_auth_oauth
from omniroute import settings
from omniroute.api import Credential, FactsProvider, ModelFacts, OAuthFacts, ProviderFacts, Secret, hookimpl
from omniroute.app import build_app
from omniroute.gateway import Gateway
from omniroute.management.account_values import EditAccount
from omniroute.management.service import Management
from omniroute.server import running
from omniroute.testing import FakeAuthorization, FakeUpstream, Reply

CLIENT_KEY = "test-client-key-0001"
CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
FACTS = ProviderFacts(
    name="acme",
    dialect="openai-chat",
    base_url="https://api.acme.example/v1",
    auth="oauth",
    models=(ModelFacts(id="m"),),
    oauth=OAuthFacts(client_id="public-client", token_url="https://vendor.example/token"),
)
OWN = {"user-agent": "acme-cli/1.0"}


class Plugin:
    def __init__(self, facts):
        self.facts = facts

    @hookimpl
    def register_providers(self):
        return [FactsProvider(self.facts)]


class World:
    """A served gateway, a vendor that gives out tokens, and an upstream that takes those which are good."""

    def __init__(self, gateway, url, vendor, upstream, http):
        self.gateway, self.url, self.vendor, self.upstream, self.http = gateway, url, vendor, upstream, http
        self.manager = Management(gateway)

    async def add(self, name="work", *, ends_in_s=3600.0, **more):
        credential = Credential(
            access=Secret(self.vendor.issue()),
            refresh=Secret(self.vendor.issue_refresh()),
            expires_at_s=self.gateway.driver.clock() + ends_in_s,
        )
        return await self.gateway.accounts.add("acme", name, credential, **more)

    async def ask(self, **headers):
        body = {"model": "acme/m", "messages": [{"role": "user", "content": "hi"}]}
        headers = {"authorization": f"Bearer {CLIENT_KEY}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return await self.http.post(f"{self.url}/v1/chat/completions", json=body, headers=headers)


@contextlib.asynccontextmanager
async def world_of(directory, facts=FACTS, answer=None, **overrides):
    async with FakeAuthorization(facts) as vendor:

        def guarded(request):
            if answer is not None and (said := answer(request)) is not None:
                return said
            if not vendor.accepts(request):
                return Reply.json(
                    {"error": {"message": "token expired", "type": "x", "param": None, "code": None}}, 401
                )
            return Reply.json(CHAT)

        async with FakeUpstream(answer=guarded) as upstream, httpx.AsyncClient(trust_env=False, timeout=30) as http:
            there = msgspec.structs.replace(vendor.facts, base_url=upstream.base_url)
            loaded = settings.load(
                data_dir=directory / "data", environ={}, cwd=directory, config_dir=directory,
                overrides={
                    "plugins.only": ["auth-apikey", "translator-openai-chat", "strategy-fillfirst"],
                    "auth.keys": [{"name": "laptop", "key": CLIENT_KEY}],
                    **overrides,
                },
            )  # fmt: skip
            given = {"acme": Plugin(there), "auth-oauth": omniroute_auth_oauth}
            gateway = await Gateway.open(loaded, given=given)
            try:
                async with running(build_app(gateway)) as server:
                    yield World(gateway, server.base_url, vendor, upstream, http)
            finally:
                await gateway.close()


@pytest.fixture
async def world(tmp_path):
    async with world_of(tmp_path) as world:
        yield world


# --- renewed


async def test_fifty_requests_with_an_expired_token_make_one_refresh_and_all_succeed(world):
    await world.add(ends_in_s=-1)
    world.vendor.hold()
    asking = [asyncio.create_task(world.ask()) for _ in range(50)]
    await world.vendor.upstream.received(1)
    world.vendor.stop_holding()
    assert {answer.status_code for answer in await asyncio.gather(*asking)} == {200}
    assert len(world.vendor.refreshes) == 1
    assert len(world.upstream.requests) == 50, "nothing was sent with the old token"


async def test_fifty_requests_with_a_token_that_is_refused_make_one_refresh_and_all_succeed(world):
    await world.add()
    world.vendor.expire()
    answers = await asyncio.gather(*(world.ask() for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(world.vendor.refreshes) == 1


async def test_a_token_that_is_refused_again_after_its_refresh_is_left_for_the_next_account(tmp_path):
    bad = set()

    def answer(request):
        if request.header("authorization") in bad:
            return Reply.json({"error": {"message": "no", "type": "x", "param": None, "code": None}}, 401)
        return None

    async with world_of(tmp_path, answer=answer) as world:
        first = await world.add("first", priority=1)
        await world.add("second")
        bad.add(f"Bearer {first.credential.access.reveal()}")
        world.vendor.queue(Reply.json({"access_token": "fake-still-bad", "expires_in": 3600}))
        bad.add("Bearer fake-still-bad")
        answer = await world.ask()
        assert answer.status_code == 200
        assert len(world.vendor.refreshes) == 1, "once for each request"
        assert len(world.upstream.requests) == 3
        assert (await world.ask()).status_code == 200
        assert len(world.upstream.requests) == 4, "the first one cools down"


async def test_a_refresh_that_fails_costs_no_attempt_and_the_next_account_answers(world):
    await world.add("first", priority=1, ends_in_s=-1)
    await world.add("second")
    world.vendor.queue(Reply(500))
    answer = await world.ask()
    assert answer.status_code == 200
    assert len(world.upstream.requests) == 1
    assert (await world.ask()).status_code == 200
    assert len(world.vendor.refreshes) == 1, "not asked again at once"


async def test_when_no_account_can_be_renewed_the_client_is_told_which_and_when_to_come_back(world):
    await world.add(ends_in_s=-1)
    world.vendor.queue(Reply(500))
    for _ in range(2):
        answer = await world.ask()
        assert answer.status_code == 503
        assert "acme" in answer.text
        assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert world.upstream.requests == []


async def test_an_account_that_needs_a_sign_in_is_not_asked_and_the_list_says_so(world):
    await world.add(ends_in_s=-1)
    world.vendor.refuse("invalid_grant")
    assert (await world.ask()).status_code in {401, 503}
    login = world.gateway.accounts.login("acme/work")
    old = msgspec.structs.replace(login, refused_at_s=login.refused_at_s - 61)
    await world.gateway.accounts.write_login("acme/work", old, None)
    world.vendor.refuse("invalid_grant")
    with contextlib.suppress(Exception):
        await world.manager.refresh_account("acme", "work")
    (view,) = await world.manager.accounts()
    assert view.state == "needs_login"
    assert view.reason == "sign_in_required; omniroute account login acme/work"
    refused = await world.ask()
    assert refused.status_code == 404, "nobody comes back by itself for this"
    assert "acme/work needs a new sign-in" in refused.text
    assert world.upstream.requests == []


# --- other clients


SUBSCRIPTION = msgspec.structs.replace(
    FACTS,
    tier="subscription",
    own_clients=("acme-cli/",),
    imitators=("acme-cli/0.",),
    terms_url="https://vendor.example/terms",
)


async def test_a_subscription_serves_the_vendors_own_client_and_others_only_when_its_owner_allows_it(tmp_path):
    async with world_of(tmp_path, SUBSCRIPTION) as world:
        await world.add()
        assert (await world.ask(**OWN)).status_code == 200
        refused = await world.ask(user_agent="curl/8")
        assert refused.status_code == 403
        assert "own client" in refused.text
        await world.manager.edit_account("acme", "work", EditAccount(other_clients=True))
        assert (await world.ask(user_agent="curl/8")).status_code == 200
        await world.manager.edit_account("acme", "work", EditAccount(other_clients=False))
        assert (await world.ask(user_agent="curl/8")).status_code == 403
    assert len(world.upstream.requests) == 2


async def test_a_client_that_only_mentions_the_vendors_is_not_taken_for_it(tmp_path):
    async with world_of(tmp_path, SUBSCRIPTION) as world:
        await world.add()
        for agent in ("curl acme-cli/1.0", "ACME-CLI/1.0", "", "acme-cl", "acme-cli/0.24.4 (external)"):
            assert (await world.ask(user_agent=agent)).status_code == 403


async def test_requests_go_to_the_accounts_that_may_serve_them(tmp_path):
    async with world_of(tmp_path, SUBSCRIPTION) as world:
        mine = await world.add("mine", priority=1)
        shared = await world.add("shared", other_clients=True)
        assert (await world.ask(**OWN)).status_code == (await world.ask(user_agent="curl/8")).status_code == 200
        used = [request.header("authorization").removeprefix("Bearer ") for request in world.upstream.requests]
        assert used == [mine.credential.access.reveal(), shared.credential.access.reveal()]


async def test_an_account_with_an_api_key_serves_everybody(world):
    await world.add()
    assert (await world.ask(user_agent="curl/8")).status_code == 200


# --- where credentials go (S-24, S-32)


async def test_a_credential_is_not_sent_to_another_host_that_the_settings_name_later(tmp_path):
    async with world_of(tmp_path) as world:
        await world.gateway.accounts.add("acme", "work", Credential(access=Secret("fake-key")))
        await world.gateway.accounts.add(
            "acme", "own", Credential(access=Secret("fake-own")), base_url="http://127.0.0.1:9/v1"
        )
    async with FakeUpstream(answer=Reply.json(CHAT)) as elsewhere:
        override = {"providers": {"acme": {"base_url": elsewhere.base_url}}}
        async with world_of(tmp_path, **override) as world:
            assert list(world.gateway.accounts.locked) == ["acme/work"]
            view = await world.manager.account("acme", "work")
            assert (view.state, "another host" in view.reason) == ("locked", True)
            assert (await world.ask()).status_code != 200
            assert elsewhere.requests == []
            await world.gateway.accounts.sign_in_again("acme/work", Credential(access=Secret("fake-new")))
            assert not world.gateway.accounts.locked
        assert all("fake-key" not in (request.header("authorization") or "") for request in elsewhere.requests)


async def test_a_row_that_cannot_be_decrypted_is_locked_and_nothing_is_sent_for_it(world):
    await world.add()
    row = await world.gateway.store.get("accounts", "acme/work")
    broken = bytearray(row.value)
    at = broken.index(b'"credential":"') + 40
    broken[at] = ord("A") if broken[at] != ord("A") else ord("B")
    await world.gateway.store.put("accounts", "acme/work", bytes(broken))
    await world.gateway.accounts.load()
    assert (await world.ask()).status_code == 404
    assert world.upstream.requests == []
    assert (await world.manager.account("acme", "work")).state == "locked"


# --- tried by hand


MODELS = {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "a"}] * 3}
TRIALS = [
    pytest.param(Reply.json(MODELS), None, ("ok", "models", 3), id="a list of models"),
    pytest.param(Reply.json({}, 404), Reply.json(CHAT), ("ok", "completion", None), id="no list, and an answer"),
    pytest.param(Reply.json({}, 405), Reply.json({}, 400), ("ok", "completion", None), id="no list, and a refusal"),
    pytest.param(Reply.json({}, 404), Reply.json({}, 401), ("credential_rejected", "completion", None), id="rejected"),
    pytest.param(Reply.json({}, 403), None, ("account_blocked", "models", None), id="blocked"),
    pytest.param(Reply.json({}, 429), None, ("rate_limited", "models", None), id="throttled"),
    pytest.param(Reply.json({}, 500), None, ("upstream_error", "models", None), id="broken"),
    pytest.param(Reply.json({}, 404), Reply.json({}, 503), ("upstream_error", "completion", None), id="overloaded"),
]


@pytest.mark.parametrize(("listing", "chat", "expected"), TRIALS)
async def test_an_account_is_tried_by_its_models_and_else_by_one_token(tmp_path, listing, chat, expected):
    def answer(request):
        return listing if request.path.endswith("/models") else chat

    async with world_of(tmp_path, answer=answer) as world:
        await world.gateway.accounts.add("acme", "work", Credential(access=Secret("fake-key")))
        trial = await world.manager.test_account("acme", "work")
        assert (trial.diagnosis, trial.by, trial.models) == expected
        assert trial.ok == (expected[0] == "ok")
        if chat is not None:
            asked = world.upstream.requests[-1].json()
            assert asked.get("max_tokens", asked.get("max_completion_tokens")) == 1


async def test_a_trial_renews_a_token_that_is_refused_and_says_when_it_cannot(world):
    await world.add()
    world.vendor.expire()
    assert (await world.manager.test_account("acme", "work")).ok
    assert len(world.vendor.refreshes) == 1
    await world.add("late", ends_in_s=-1)
    world.vendor.queue(Reply(500))
    trial = await world.manager.test_account("acme", "late")
    assert (trial.ok, trial.diagnosis, trial.by) == (False, "refresh_failed", None)


async def test_a_trial_asks_in_the_dialects_way_and_counts_only_what_it_has_seen_to_the_end(tmp_path):
    lists = [{"data": [{"id": "m"}], "has_more": more, "last_id": "m"} for more in (False, True)]
    facts = msgspec.structs.replace(FACTS, dialect="anthropic")
    plugins = ["auth-apikey", "translator-openai-chat", "translator-anthropic", "strategy-fillfirst"]
    async with world_of(tmp_path, facts, lambda _: Reply.json(lists.pop(0)), **{"plugins.only": plugins}) as world:
        await world.add()
        trials = [await world.manager.test_account("acme", "work") for _ in range(2)]
        assert [(trial.diagnosis, trial.by, trial.models) for trial in trials] == [
            ("ok", "models", 1),
            ("ok", "models", None),
        ]
        assert world.upstream.requests[0].header("anthropic-version"), "the service refuses a request without"


async def test_a_trial_of_an_upstream_that_is_not_there_says_so(tmp_path):
    async with world_of(tmp_path) as world:
        await world.gateway.accounts.add("acme", "w", Credential(access=Secret("k")), base_url="http://127.0.0.1:9/v1")
        assert (await world.manager.test_account("acme", "w")).diagnosis == "unreachable"


# --- the key of the vault (S-30)


async def test_the_key_is_rotated_under_traffic_and_everything_opens_after_a_restart(tmp_path):
    async with world_of(tmp_path) as world:
        names = [f"a{number}" for number in range(5)]
        for name in names:
            await world.add(name, proxy=None)
        before = world.gateway.vault.key_id
        answers, view = await asyncio.gather(
            asyncio.gather(*(world.ask() for _ in range(20))), world.manager.rotate_vault()
        )
        assert {answer.status_code for answer in answers} == {200}
        assert view.key_id == world.gateway.vault.key_id != before
        await world.manager.refresh_account("acme", "a0")
    async with world_of(tmp_path) as world:
        assert world.gateway.vault.key_id == view.key_id
        assert not world.gateway.accounts.locked
        assert len(world.gateway.accounts.of("acme")) == 5
