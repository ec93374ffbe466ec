"""No account is lost: one refresh at a time, tokens on the disk before their use, nothing given up because something failed."""

import asyncio
import contextlib
import os
import signal
import sys
import textwrap
import time
from pathlib import Path

import msgspec
import pytest

from omniroute.accounts import Accounts
from omniroute.api import (
    Credential,
    CredentialPlace,
    ExchangeFacts,
    FactsProvider,
    OAuthFacts,
    ProviderFacts,
    Secret,
)
from omniroute.control import ControlClient
from omniroute.credentials import Vault, refresh
from omniroute.credentials.driver import Driver
from omniroute.credentials.refresh import AGAIN_S, JITTER_S, LEASE_S, Refresher
from omniroute.errors import NotFound, RefreshFailed, SignInRequired, StoreError
from omniroute.plugins import load_plugins
from omniroute.settings import Settings
from omniroute.store import SqliteStore
from omniroute.testing import FakeAuthorization, FakeClock, Reply
from omniroute_auth_oauth import register_auth_schemes

KEY = bytes(range(32))
OAUTH = OAuthFacts(
    client_id="public-client",
    authorize_url="https://vendor.example/authorize",
    token_url="https://vendor.example/token",
)
FACTS = ProviderFacts(
    name="acme", dialect="openai-chat", base_url="https://api.acme.example/v1", auth="oauth", oauth=OAUTH
)
NOW = 1_800_000_000.0
SCHEMES = {scheme.name: scheme for scheme in register_auth_schemes()}


class World:
    """One process's part of it: a store, the accounts in it, and what refreshes them."""

    def __init__(self, path, vendor, *, clock=None, owner="one", store=None):
        self.clock = clock or FakeClock(wall_s=NOW)
        self.vendor = vendor
        self.store = store or SqliteStore(path, clock=self.clock.wall)
        self.control = ControlClient()
        self.settings = Settings()
        self.owner = owner

    async def __aenter__(self):
        await self.store.open()
        await self.load()
        return self

    async def load(self):
        """As a start does."""
        providers = {"acme": FactsProvider(self.vendor.facts)}
        self.accounts = Accounts(providers, self.settings, self.store, Vault(KEY), clock=self.clock.wall)
        await self.accounts.load()
        driver = Driver(self.control.send, clock=self.clock.wall, sleep=self.clock.sleep)
        self.refresher = Refresher(
            self.accounts,
            providers,
            SCHEMES,
            self.store,
            driver,
            owner=self.owner,
            monotonic=self.clock.monotonic,
            draw=lambda: 0.5,
        )

    async def __aexit__(self, *_):
        await self.control.close()
        await self.store.close()

    async def add(self, name="work", *, ends_in_s=10.0, **more):
        credential = Credential(
            access=Secret(self.vendor.issue()),
            refresh=Secret(self.vendor.issue_refresh()),
            expires_at_s=self.clock.wall() + ends_in_s,
        )
        return await self.accounts.add("acme", name, msgspec.structs.replace(credential, **more))

    def token(self, name="work"):
        return self.accounts.get(f"acme/{name}").credential.access.reveal()

    def login(self, name="work"):
        return self.accounts.login(f"acme/{name}")


@pytest.fixture
async def vendor():
    async with FakeAuthorization(FACTS) as vendor:
        yield vendor


@pytest.fixture
async def world(tmp_path, vendor):
    async with World(tmp_path / "omniroute.db", vendor) as world:
        yield world


async def settled(condition):
    """Let other tasks go on until it holds."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


# --- one at a time


async def test_fifty_requests_on_one_expiring_account_make_one_refresh(world):
    account = await world.add()
    world.vendor.hold()
    asking = [asyncio.create_task(world.refresher.current(account)) for _ in range(50)]
    await settled(lambda: world.vendor.refreshes)
    world.vendor.let_go()
    tokens = {(await task).credential.access.reveal() for task in asking}
    assert len(world.vendor.refreshes) == 1
    assert tokens == {world.token()}
    assert not world.refresher.is_due(world.accounts.get("acme/work"))


async def test_a_request_that_leaves_does_not_end_the_refresh_of_the_others(world):
    account = await world.add()
    world.vendor.hold()
    first, second = (asyncio.create_task(world.refresher.current(account)) for _ in range(2))
    await settled(lambda: world.vendor.refreshes)
    first.cancel()
    world.vendor.let_go()
    assert (await second).credential.access.reveal() == world.token()
    assert len(world.vendor.refreshes) == 1


async def test_ten_siblings_of_one_client_are_never_two_in_flight(world):
    accounts = [await world.add(f"a{number}") for number in range(10)]
    world.vendor.hold()
    asking = [asyncio.create_task(world.refresher.current(account)) for account in accounts]
    for done in range(1, 11):
        await settled(lambda done=done: len(world.vendor.refreshes) == done)
        assert world.vendor.let_go()
    await asyncio.gather(*asking)
    assert world.vendor.most_in_flight == 1
    assert len(set(world.vendor.refreshes)) == 10


async def test_whoever_was_refused_with_an_older_token_takes_the_newer_one_without_a_refresh(world):
    old = await world.add(ends_in_s=3600)
    new = await world.refresher.refresh("acme/work")
    assert await world.refresher.renewed(old) == new
    assert len(world.vendor.refreshes) == 1
    newest = await world.refresher.renewed(new)
    assert newest.credential.access != new.credential.access
    assert len(world.vendor.refreshes) == 2


async def test_another_gateway_on_the_same_store_waits_and_takes_what_the_first_one_got(tmp_path, vendor, world):
    account = await world.add()
    async with World(tmp_path / "omniroute.db", vendor, clock=world.clock, owner="two") as other:
        vendor.hold()
        first = asyncio.create_task(world.refresher.current(account))
        await settled(lambda: vendor.refreshes)
        second = asyncio.create_task(other.refresher.current(other.accounts.get("acme/work")))
        await world.clock.sleepers(1)
        vendor.let_go()
        await first
        world.clock.advance(1.0)
        assert (await second).credential == (await first).credential
    assert len(vendor.refreshes) == 1


async def test_a_request_does_not_wait_for_ever_and_the_refresh_goes_on_without_it(world, monkeypatch):
    monkeypatch.setattr(refresh, "PATIENCE_S", 0.05)
    account = await world.add(ends_in_s=-1)
    world.vendor.hold()
    with pytest.raises(RefreshFailed, match="takes too long"):
        await world.refresher.current(account)
    await settled(lambda: world.vendor.refreshes)
    world.vendor.let_go()
    await world.refresher.close()
    assert not world.refresher.is_due(world.accounts.get("acme/work"))
    assert len(world.vendor.refreshes) == 1


async def test_a_key_that_was_pasted_is_not_renewed_and_says_so(world):
    await world.accounts.add("acme", "key", Credential(access=Secret("fake-key")))
    with pytest.raises(RefreshFailed, match="nothing to renew"):
        await world.refresher.refresh("acme/key")
    with pytest.raises(NotFound):
        await world.refresher.refresh("acme/nobody")


# --- what is written


async def test_settings_changed_during_a_refresh_and_new_tokens_both_survive(world):
    account = await world.add()
    world.vendor.hold()
    refreshing = asyncio.create_task(world.refresher.current(account))
    await settled(lambda: world.vendor.refreshes)
    proxy = Secret("http://user:test-password@127.0.0.1:3128")
    await world.accounts.edit("acme/work", priority=7, proxy=proxy, other_clients=True)
    world.vendor.let_go()
    renewed = await refreshing
    await world.load()
    kept = world.accounts.get("acme/work")
    assert (kept.priority, kept.proxy, kept.other_clients) == (7, proxy, True)
    assert kept.credential == renewed.credential != account.credential


async def test_an_answer_without_a_refresh_token_keeps_the_old_one(world):
    account = await world.add()
    world.vendor.queue(Reply.json({"access_token": "fake-new", "expires_in": 60}))
    renewed = await world.refresher.current(account)
    assert renewed.credential.access.reveal() == "fake-new"
    assert renewed.credential.refresh == account.credential.refresh
    assert renewed.credential.expires_at_s == NOW + 60


FAILURES = [
    pytest.param(Reply(500), "upstream_failed", id="500"),
    pytest.param(Reply(502, body=b"<html>"), "upstream_failed", id="a web page with an error"),
    pytest.param(Reply(200, {"content-type": "text/html"}, b"<html>"), "upstream_garbled", id="a web page"),
    pytest.param(Reply.json({}), "upstream_garbled", id="no token"),
    pytest.param(Reply.json({"access_token": ""}), "upstream_garbled", id="an empty token"),
    pytest.param(Reply.json({"error": "slow"}, status=429), "rate_limit_exceeded", id="429"),
    pytest.param(
        Reply.json({"error": "invalid_client"}, status=401), "upstream_failed", id="our client, not the account"
    ),
    pytest.param(Reply(302, {"location": "http://127.0.0.1:9/"}), "upstream_failed", id="a redirect"),
]


@pytest.mark.parametrize(("answer", "code"), FAILURES)
async def test_a_refresh_that_fails_keeps_the_tokens_and_asks_for_no_sign_in(world, answer, code):
    account = await world.add(ends_in_s=-1)
    world.vendor.queue(answer)
    with pytest.raises(RefreshFailed, match="acme/work could not be renewed") as raised:
        await world.refresher.current(account)
    assert raised.value.retry_after_s == 5
    await world.load()
    assert world.accounts.get("acme/work").credential == account.credential
    assert world.login().problem == code
    assert not world.login().is_needed
    assert world.accounts.of("acme"), "it stays in use"
    assert (await world.refresher.current(account)).credential.access.reveal() == world.token()


async def test_a_token_that_still_works_is_used_while_its_refresh_fails(world):
    account = await world.add(ends_in_s=20)
    world.vendor.queue(Reply(500))
    assert await world.refresher.current(account) == account
    assert await world.refresher.current(account) == account, "and nobody asks again at once"
    assert len(world.vendor.refreshes) == 1
    assert world.refresher.is_out(account) is None
    world.clock.advance(6)
    assert (await world.refresher.current(account)).credential != account.credential


async def test_failures_are_asked_about_less_and_less_often(world):
    account = await world.add(ends_in_s=-1)
    for pause_s in (5, 10, 20, 40, 80, 160, 300, 300):
        world.vendor.queue(Reply(500))
        with pytest.raises(RefreshFailed):
            await world.refresher.current(account)
        asked = len(world.vendor.refreshes)
        world.clock.advance(pause_s - 1)
        with pytest.raises(RefreshFailed):
            await world.refresher.current(account)
        assert len(world.vendor.refreshes) == asked
        assert world.refresher.is_out(account) == world.clock.monotonic() + 1
        world.clock.advance(1)


# --- when only a person can help


async def test_only_the_second_definitive_answer_asks_for_a_sign_in(world):
    account = await world.add(ends_in_s=-1)
    world.vendor.refuse("invalid_grant", "invalid_grant", "invalid_grant")
    with pytest.raises(SignInRequired):
        await world.refresher.current(account)
    assert world.login().refusals == 1
    assert world.accounts.of("acme"), "not yet"
    with contextlib.suppress(SignInRequired):
        await world.refresher.refresh("acme/work")
    assert world.login().refusals == 1, "two in one minute are one"
    world.clock.advance(AGAIN_S)
    with pytest.raises(SignInRequired, match="answered 400") as raised:
        await world.refresher.current(account)
    assert raised.value.fix == "omniroute account login acme/work"
    assert world.login().is_needed
    assert world.accounts.of("acme") == ()
    await world.load()
    assert world.login().is_needed, "also after a restart"
    assert world.accounts.get("acme/work").credential == account.credential, "and nothing was thrown away"


async def test_a_success_between_two_definitive_answers_clears_the_first(world):
    await world.add(ends_in_s=-1)
    for _ in range(3):
        world.vendor.refuse("invalid_grant")
        with pytest.raises(SignInRequired):
            await world.refresher.refresh("acme/work")
        world.clock.advance(AGAIN_S)
        await world.refresher.refresh("acme/work")
    assert world.login().refusals == 0
    assert world.accounts.of("acme")


async def test_a_new_sign_in_brings_the_account_back(world):
    await world.add(ends_in_s=-1)
    for _ in range(2):
        world.vendor.refuse("invalid_grant")
        with pytest.raises(SignInRequired):
            await world.refresher.refresh("acme/work")
        world.clock.advance(AGAIN_S)
    assert world.accounts.of("acme") == ()
    fresh = Credential(access=Secret("fake-a"), refresh=Secret(world.vendor.issue_refresh()), expires_at_s=NOW + 9999)
    async with world.refresher.alone("acme/work"):
        await world.accounts.sign_in_again("acme/work", fresh)
    assert world.accounts.of("acme")[0].credential == fresh
    assert (await world.refresher.refresh("acme/work")).credential != fresh


async def test_the_vendor_is_not_asked_for_an_account_that_needs_a_sign_in(world):
    account = await world.add(ends_in_s=-1)
    for _ in range(2):
        world.vendor.refuse("invalid_grant")
        with pytest.raises(SignInRequired):
            await world.refresher.refresh("acme/work")
        world.clock.advance(AGAIN_S)
    asked = len(world.vendor.refreshes)
    with pytest.raises(SignInRequired, match="needs a new sign-in"):
        await world.refresher.current(account)
    assert len(world.vendor.refreshes) == asked


# --- ahead of time


async def test_what_ends_soon_is_refreshed_before_anybody_asks_spread_over_a_minute(world):
    for number in range(3):
        await world.add(f"a{number}", ends_in_s=100)
    await world.add("later", ends_in_s=OAUTH.refresh_lead_s + JITTER_S + 1)
    await world.add("endless", expires_at_s=None)
    patrol = asyncio.create_task(world.refresher.patrol())
    await world.clock.sleepers(4)  # three that are due, and the patrol
    assert world.vendor.refreshes == []
    world.clock.advance(JITTER_S * 0.5)
    await settled(lambda: len(world.vendor.refreshes) == 3)
    await world.refresher.close()
    patrol.cancel()
    assert world.vendor.most_in_flight == 1


async def test_after_a_long_sleep_nothing_is_refreshed_at_once(world):
    for number in range(20):
        await world.add(f"a{number}", ends_in_s=3600)
    patrol = asyncio.create_task(world.refresher.patrol())
    await world.clock.sleepers(1)
    world.clock.advance(8 * 3600)
    await world.clock.sleepers(21)
    assert world.vendor.refreshes == []
    patrol.cancel()


async def test_paused_accounts_and_those_that_cannot_be_renewed_are_left_alone(world):
    await world.add("paused")
    await world.accounts.edit("acme/paused", paused=True)
    bare = await world.add("bare", refresh=None)
    world.refresher.look()
    await asyncio.sleep(0)
    assert not world.refresher.is_due(bare)
    assert await world.refresher.renewed(bare) is None
    assert world.vendor.refreshes == []


# --- cut short


class Killed(BaseException):
    """As if the process had been killed here: nothing after this point runs."""


class DyingStore(SqliteStore):
    """Dies before or after its n-th write."""

    die_at = None
    writes = 0

    async def put(self, *arguments, **named):
        return await self._counted(super().put, *arguments, **named)

    async def acquire(self, *arguments, **named):
        return await self._counted(super().acquire, *arguments, **named)

    async def release(self, *arguments, **named):
        if self.die_at is not None and self.writes > self.die_at[0]:
            return  # dead
        await super().release(*arguments, **named)

    async def _counted(self, work, *arguments, **named):
        number, self.writes = self.writes, self.writes + 1
        if self.die_at == (number, "before"):
            raise Killed
        result = await work(*arguments, **named)
        if self.die_at == (number, "after"):
            raise Killed
        return result


STEPS = ["lane lease", "account lease", "mark", "tokens"]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", range(len(STEPS)), ids=STEPS)
async def test_an_account_survives_a_death_at_every_step_where_the_vendor_forgives_a_repetition(tmp_path, step, moment):
    async with FakeAuthorization(FACTS, reuse_grace=True) as vendor:
        clock = FakeClock(wall_s=NOW)
        store = DyingStore(tmp_path / "omniroute.db", clock=clock.wall)
        async with World(None, vendor, clock=clock, store=store) as world:
            account = await world.add(ends_in_s=-1)
            store.writes, store.die_at = 0, (step, moment)
            with pytest.raises(Killed):
                await world.refresher.current(account)
        async with World(tmp_path / "omniroute.db", vendor, clock=clock) as after:
            assert after.accounts.of("acme")
            renewed = await after.refresher.current(after.accounts.get("acme/work"))
            assert renewed.credential.expires_at_s > clock.wall()
            assert not after.login().is_needed
            assert after.login().begun_at_s is None


SHIPPED = [
    provider.facts
    for _, provider in load_plugins(Settings().plugins).collect("register_providers", settings=Settings())
    if provider.facts.oauth is not None
]
MOST_WRITES = 6


@pytest.mark.parametrize("facts", SHIPPED, ids=lambda facts: facts.name)
async def test_no_account_of_any_provider_is_lost_at_whatever_step_of_a_refresh_the_gateway_dies(tmp_path, facts):
    steps = [(step, moment) for step in range(MOST_WRITES) for moment in ("before", "after")]
    died = [step for step in steps if await dies_and_comes_back(tmp_path / f"{step[0]}-{step[1]}.db", facts, step)]
    assert died == steps[: len(died)]
    assert len(STEPS) <= len(died) / 2 < MOST_WRITES, "every step was tried"


async def dies_and_comes_back(path, facts, step):
    """Whether there was such a step to die at; the account works either way."""
    async with FakeAuthorization(msgspec.structs.replace(facts, name="acme"), reuse_grace=True) as vendor:
        clock = FakeClock(wall_s=time.time())  # some vendors say when tokens end by their own clock
        store = DyingStore(path, clock=clock.wall)
        async with World(None, vendor, clock=clock, store=store) as world:
            account = await world.add(ends_in_s=-1, secrets={"grant": Secret(vendor.issue())})
            store.writes, store.die_at = 0, step
            try:
                await world.refresher.current(account)
                died = False
            except Killed:
                died = True
        async with World(path, vendor, clock=clock) as after:
            renewed = await after.refresher.current(after.accounts.get("acme/work"))
            assert vendor.accepts_token(renewed.credential.access.reveal())
            assert renewed.credential.expires_at_s is None or renewed.credential.expires_at_s > clock.wall()
            assert (after.login().is_needed, after.login().begun_at_s) == (False, None)
        return died


async def test_a_refresh_that_was_cut_short_and_is_not_forgiven_says_so_once_it_is_sure(tmp_path, vendor):
    clock = FakeClock(wall_s=NOW)
    store = DyingStore(tmp_path / "omniroute.db", clock=clock.wall)
    async with World(None, vendor, clock=clock, store=store) as world:
        account = await world.add(ends_in_s=-1)
        store.writes, store.die_at = 0, (STEPS.index("tokens"), "before")
        with pytest.raises(Killed):
            await world.refresher.current(account)
    async with World(tmp_path / "omniroute.db", vendor, clock=clock) as after:
        assert after.login().begun_at_s == NOW, "shown as unknown until then"
        for _ in range(2):
            with pytest.raises(SignInRequired):
                await after.refresher.current(account)
            clock.advance(AGAIN_S)
        assert after.login().is_needed
        assert after.login().problem in {"refresh_unknown", "sign_in_required"}


class FullDisk(SqliteStore):
    is_full = False

    async def put(self, *arguments, **named):
        if self.is_full:
            raise StoreError("the database refused", why="disk full")
        return await super().put(*arguments, **named)


async def test_tokens_that_cannot_be_written_are_not_used_nor_lost_and_written_when_they_can(tmp_path, vendor):
    clock = FakeClock(wall_s=NOW)
    store = FullDisk(tmp_path / "omniroute.db", clock=clock.wall)
    async with World(None, vendor, clock=clock, store=store) as world:
        account = await world.add(ends_in_s=-1)
        vendor.hold()
        asking = asyncio.create_task(world.refresher.current(account))
        await settled(lambda: vendor.refreshes)
        store.is_full = True
        vendor.stop_holding()
        with pytest.raises(RefreshFailed, match="could not be renewed"):
            await asking
        assert world.accounts.get("acme/work") == account
        store.is_full = False
        clock.advance(5)
        renewed = await world.refresher.current(account)
        assert renewed.credential.access != account.credential.access
        assert len(vendor.refreshes) == 1, "the tokens of the first answer"


async def test_a_refresher_that_was_stopped_longer_than_its_lease_cannot_write_over_the_newer_tokens(tmp_path):
    async with FakeAuthorization(FACTS, reuse_grace=True) as vendor:
        clock = FakeClock(wall_s=NOW)
        path = tmp_path / "omniroute.db"
        async with World(path, vendor, clock=clock) as slow, World(path, vendor, clock=clock, owner="two") as quick:
            account = await slow.add(ends_in_s=-1)
            await quick.load()
            vendor.hold()
            stopped = asyncio.create_task(slow.refresher.current(account))
            await settled(lambda: vendor.refreshes)
            clock.advance(LEASE_S + 1)
            other = asyncio.create_task(quick.refresher.current(account))
            await settled(lambda: len(vendor.refreshes) == 2)
            first, second = vendor._held
            second.set()
            newer = await other
            first.set()
            with pytest.raises(RefreshFailed, match="could not be renewed") as raised:
                await stopped
            assert "written by somebody else" in raised.value.why
            assert (await slow.accounts.reread("acme/work")).credential == newer.credential


PROGRAM = """
    import asyncio, sys
    from pathlib import Path
    import msgspec
    from omniroute.accounts import Accounts
    from omniroute.api import FactsProvider, OAuthFacts, ProviderFacts
    from omniroute.control import ControlClient
    from omniroute.credentials import Vault, refresh
    from omniroute.credentials.driver import Driver
    from omniroute.credentials.refresh import Refresher
    from omniroute.settings import Settings
    from omniroute.store import SqliteStore
    from omniroute_auth_oauth import AuthorizationCode

    async def main(path, token_url, owner):
        oauth = OAuthFacts(client_id="public-client", token_url=token_url)
        facts = ProviderFacts(name="acme", dialect="x", base_url="https://a.example/v1", auth="oauth", oauth=oauth)
        providers = {"acme": FactsProvider(facts)}
        store = SqliteStore(Path(path))
        await store.open()
        accounts = Accounts(providers, Settings(), store, Vault(bytes(range(32))))
        await accounts.load()
        control = ControlClient()
        refresher = Refresher(accounts, providers, {"oauth": AuthorizationCode()}, store, Driver(control.send), owner=owner)
        print("ready", flush=True)
        sys.stdin.readline()
        account = accounts.get("acme/work")
        tokens = await asyncio.gather(*(refresher.current(account) for _ in range(25)))
        print(*{each.credential.access.reveal() for each in tokens}, flush=True)
        await control.close()
        await store.close()

    asyncio.run(main(*sys.argv[1:]))
"""


@contextlib.asynccontextmanager
async def real_process(path: Path, vendor: FakeAuthorization, owner: str):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(PROGRAM), str(path), vendor.facts.oauth.token_url, owner,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env={**os.environ},
    )  # fmt: skip
    try:
        assert await asyncio.wait_for(process.stdout.readline(), 60) == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def go(process):
    process.stdin.write(b"go\n")
    await process.stdin.drain()


async def test_two_processes_on_one_store_refresh_once(tmp_path, vendor):
    path = tmp_path / "omniroute.db"
    async with World(path, vendor) as world:
        credential = Credential(access=Secret("fake-old"), refresh=Secret(vendor.issue_refresh()), expires_at_s=1.0)
        await world.accounts.add("acme", "work", credential)
    async with real_process(path, vendor, "one") as one, real_process(path, vendor, "two") as two:
        await asyncio.gather(go(one), go(two))
        answers = [await asyncio.wait_for(process.stdout.readline(), 60) for process in (one, two)]
        assert await asyncio.gather(one.wait(), two.wait()) == [0, 0]
    assert len(vendor.refreshes) == 1
    assert answers[0] == answers[1] != b"fake-old\n"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
async def test_a_process_killed_between_answer_and_write_leaves_an_account_that_works(tmp_path):
    async with FakeAuthorization(FACTS, reuse_grace=True) as vendor:
        path = tmp_path / "omniroute.db"
        async with World(path, vendor) as world:
            credential = Credential(access=Secret("fake-old"), refresh=Secret(vendor.issue_refresh()), expires_at_s=1.0)
            await world.accounts.add("acme", "work", credential)
        vendor.hold()
        async with real_process(path, vendor, "gateway") as process:
            await go(process)
            await settled(lambda: vendor.refreshes)  # the vendor has renewed; nobody has the answer
            process.send_signal(signal.SIGKILL)
            await process.wait()
        vendor.stop_holding()
        async with real_process(path, vendor, "gateway") as process:  # the same data directory: the same owner
            await go(process)
            token = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip()
        assert len(vendor.refreshes) == 2
        assert token.startswith("fake-access")


# --- exchanges: the grant is kept before it is spent


EXCHANGING = msgspec.structs.replace(
    FACTS,
    oauth=msgspec.structs.replace(
        OAUTH,
        exchange=ExchangeFacts(
            url="https://vendor.example/me", query_parameter="accessToken", token=("data", "apiKey")
        ),
    ),
)


async def test_a_new_grant_is_on_the_disk_before_it_is_exchanged(tmp_path):
    async with FakeAuthorization(EXCHANGING) as vendor, World(tmp_path / "omniroute.db", vendor) as world:
        account = await world.add(ends_in_s=-1, access=Secret("fake-key"), secrets={"grant": Secret("fake-grant")})
        real = vendor._routes["/vendor.example/me"]
        vendor._routes["/vendor.example/me"] = lambda request: Reply(503)
        with pytest.raises(RefreshFailed):
            await world.refresher.current(account)
        await world.load()
        kept = world.accounts.get("acme/work").credential
        assert kept.refresh != account.credential.refresh
        assert kept.access == account.credential.access
        vendor._routes["/vendor.example/me"] = real
        renewed = await world.refresher.current(account)
        assert renewed.credential.access.reveal().startswith("fake-bought")
        assert world.vendor.refreshes == [account.credential.refresh.reveal(), kept.refresh.reveal()]


async def test_a_bought_token_is_bought_again_and_the_grant_only_renewed_when_it_is_refused(tmp_path):
    exchange = ExchangeFacts(
        url="https://vendor.example/token2", place=CredentialPlace(prefix="token "), expires_at=("expires_at",)
    )
    facts = msgspec.structs.replace(FACTS, oauth=msgspec.structs.replace(OAUTH, exchange=exchange))
    async with FakeAuthorization(facts) as vendor, World(tmp_path / "omniroute.db", vendor) as world:
        grant = Secret(vendor.issue())
        account = await world.add(ends_in_s=-1, secrets={"grant": grant})
        bought = await world.refresher.current(account)
        assert vendor.refreshes == []
        assert bought.credential.secrets["grant"] == grant
        vendor.expire()
        again = await world.refresher.renewed(bought)
        assert len(vendor.refreshes) == 1
        assert again.credential.access.reveal().startswith("fake-bought")
        assert again.credential.secrets["grant"] != grant
