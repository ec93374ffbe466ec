"""From a plan to accounts: against a vendor on loopback that counts what it is asked, and takes a refresh token once."""

import asyncio
import contextlib
import time
from pathlib import Path

import msgspec
import pytest

import omniroute_auth_apikey
import omniroute_auth_oauth
from omniroute import settings
from omniroute.api import (
    CredentialPlace,
    ExchangeFacts,
    FactsProvider,
    LoginFile,
    LoginPlace,
    OAuthFacts,
    ProviderFacts,
    Secret,
    UserinfoFacts,
    hookimpl,
)
from omniroute.errors import Conflict, GatewayError, InvalidRequest
from omniroute.gateway import Gateway
from omniroute.importing import Machine, TakeOver
from omniroute.importing.preparing import prepared
from omniroute.importing.reading import read_source
from omniroute.management.account_values import AddAccount, EditAccount, RenameAccount
from omniroute.management.importing import PlanImport
from omniroute.management.service import CreateKey, Management
from omniroute.testing import FakeAuthorization

LOGIN = LoginFile(
    program="Acme CLI",
    name="acme-cli",
    places=(LoginPlace(path=".acme/login.json"),),
    access=("access",),
    refresh=("refresh",),
    expires_at=("ends_ms",),
    source="this test",
    checked="2026-11-22",
)
CODE = OAuthFacts(
    client_id="public-client",
    authorize_url="https://vendor.example/authorize",
    token_url="https://vendor.example/token",
    userinfo=UserinfoFacts(url="https://vendor.example/me", fields={"email": ("email",)}),
)
EXCHANGE = ExchangeFacts(
    url="https://api.vendor.example/v2/token", place=CredentialPlace(prefix="token "), expires_at=("expires_at",)
)


def facts_of(**oauth):
    return ProviderFacts(
        name="acme",
        dialect="test",
        base_url="https://api.acme.example/v1",
        auth="oauth",
        auth_also=("imported-token",),
        oauth=msgspec.structs.replace(CODE, **oauth),
        aliases=("ac",),
        tier="subscription",
        logins=(LOGIN,),
    )


OTHERS = (
    ProviderFacts(name="keyed", dialect="test", base_url="https://api.keyed.example/v1"),
    ProviderFacts(name="open", dialect="test", base_url="http://127.0.0.1:1/v1", auth="none", env_keys=("OPEN_KEY",)),
    msgspec.structs.replace(facts_of(), name="closed", aliases=(), auth_also=(), logins=()),
)


class Dialect:
    dialect = "test"
    framing = "sse"
    ingress = ()


class Plugin:
    def __init__(self, *facts):
        self.facts = facts

    @hookimpl
    def register_translators(self):
        return [Dialect()]

    @hookimpl
    def register_providers(self):
        return [FactsProvider(facts) for facts in self.facts]


class Place:
    """A home, a program that is signed in there, and a gateway."""

    def __init__(self, home: Path, vendor: FakeAuthorization, manager: Management) -> None:
        self.home, self.vendor, self.manager = home, vendor, manager
        self.gateway = manager._gateway

    async def signs_in(self, *, refresh=None):
        """The program has tokens of its own: of a new person, or renewed with `refresh`."""
        scheme, given = (
            omniroute_auth_oauth.ImportedToken(),
            {"refresh": Secret(refresh or self.vendor.issue_refresh())},
        )
        credential = await self.gateway.driver.run(scheme.sign_in(self.vendor.facts, given))
        self.vendor.refreshes.clear()
        self.write(credential.access.reveal(), credential.refresh.reveal(), credential.expires_at_s)
        return credential

    def write(self, access, refresh=None, expires_at_s=None):
        path = self.home / ".acme/login.json"
        path.parent.mkdir(exist_ok=True)
        ends_ms = None if expires_at_s is None else int(expires_at_s * 1000)
        path.write_bytes(msgspec.json.encode({"access": access, "refresh": refresh, "ends_ms": ends_ms}))
        path.chmod(0o600)

    async def ready(self, source="acme-cli", *, move=False, **environ):
        sources = await self.manager.import_sources()
        here = Machine(home=self.home, environ=environ, system="linux", now_s=time.time())
        providers = {each.name: each for each in sources.providers}
        found = read_source(source, sources, here).found
        return [prepared(each, providers.get(each.provider), move=move, now_s=here.now_s) for each in found]

    async def plan(self, **options):
        wanted = [each.candidate for each in await self.ready(**options) if each.candidate]
        return [
            (each.account, each.state) for each in await self.manager.plan_import(PlanImport(candidates=tuple(wanted)))
        ]

    async def take(self, **options):
        """What `omniroute import --yes` does."""
        done = [await self.manager.import_login(each.wanted) for each in await self.ready(**options) if each.wanted]
        return [(each.account.id, each.state) for each in done]

    def account(self, account_id="acme/acme-cli"):
        return self.gateway.accounts.get(account_id)


@contextlib.asynccontextmanager
async def placed(directory, *, environ=None, **oauth):
    async with FakeAuthorization(facts_of(**oauth)) as vendor:
        loaded = settings.load(
            data_dir=directory / "data", environ=environ or {}, cwd=directory, config_dir=directory,
            overrides={"plugins.only": []},
        )  # fmt: skip
        given = {
            "acme": Plugin(vendor.facts, *OTHERS), "auth-oauth": omniroute_auth_oauth, "auth-apikey": omniroute_auth_apikey
        }  # fmt: skip
        gateway = await Gateway.open(loaded, given=given, serving=False)
        (directory / "home").mkdir(exist_ok=True)
        try:
            yield Place(directory / "home", vendor, Management(gateway))
        finally:
            await gateway.close()


@pytest.fixture
async def place(tmp_path):
    async with placed(tmp_path) as place:
        yield place


# --- a sign-in of another program


async def test_a_login_becomes_an_account_and_the_program_stays_signed_in(place, tmp_path):
    theirs = await place.signs_in()
    before = (place.home / ".acme/login.json").read_bytes()
    assert await place.plan() == [("acme/acme-cli", "new")]
    assert await place.take() == [("acme/acme-cli", "new")]
    account = place.account()
    assert account.credential.access == theirs.access
    assert account.credential.refresh is None  # theirs alone
    assert account.credential.metadata["email"].startswith("email-")  # the vendor said so
    assert not account.other_clients
    assert place.vendor.refreshes == []
    assert (place.home / ".acme/login.json").read_bytes() == before
    await place.signs_in(refresh=theirs.refresh.reveal())  # and it still can
    stored = (tmp_path / "data/omniroute.db").read_bytes()
    assert b"fake-" not in stored
    assert place.account().credential.metadata["imported_ids"].encode() not in stored


async def test_a_second_run_imports_nothing_and_asks_nobody(place):
    await place.signs_in()
    await place.take()
    before = place.gateway.accounts.all()
    asked = len(place.vendor._upstream.requests)
    assert await place.plan() == [("acme/acme-cli", "same")]
    assert await place.take() == [("acme/acme-cli", "same")]
    assert place.gateway.accounts.all() == before
    assert len(place.vendor._upstream.requests) == asked


async def test_when_the_program_has_renewed_its_tokens_the_account_gets_the_newer_ones_and_keeps_its_settings(place):
    theirs = await place.signs_in()
    await place.take()
    await place.manager.edit_account("acme", "acme-cli", EditAccount(priority=7, other_clients=True))
    await place.manager.rename_account("acme", "acme-cli", RenameAccount(name="mine"))
    place.vendor.life_s += 60
    renewed = await place.signs_in(refresh=theirs.refresh.reveal())
    assert await place.take() == [("acme/mine", "renew")]
    account = place.account("acme/mine")
    assert account.credential.access == renewed.access
    assert (account.priority, account.other_clients) == (7, True)
    assert len(place.gateway.accounts.of("acme")) == 1


async def test_somebody_else_in_the_same_file_is_another_account(place):
    first = await place.signs_in()
    await place.take()
    await place.signs_in()
    assert await place.take() == [("acme/acme-cli-2", "new")]
    assert place.account().credential.access == first.access
    assert place.account().credential.metadata["email"] != place.account("acme/acme-cli-2").credential.metadata["email"]


async def test_whoever_signed_in_here_already_keeps_the_sign_in_of_his_own(place):
    theirs = await place.signs_in()
    scheme, given = omniroute_auth_oauth.ImportedToken(), {"refresh": theirs.refresh}
    own = await place.gateway.driver.run(scheme.sign_in(place.vendor.facts, given))
    await place.gateway.accounts.add("acme", "own", own)
    assert await place.take() == [("acme/own", "same")]
    assert place.account("acme/own").credential == own


async def test_two_runs_at_a_time_make_one_account(place):
    await place.signs_in()
    [ready] = await place.ready()
    outcomes = await asyncio.gather(
        *(place.manager.import_login(ready.wanted) for _ in range(2)), return_exceptions=True
    )
    assert sum(isinstance(each, Conflict) for each in outcomes) <= 1
    assert [each for each in outcomes if isinstance(each, Exception) and not isinstance(each, Conflict)] == []
    assert [account.id for account in place.gateway.accounts.of("acme")] == ["acme/acme-cli"]


async def test_a_login_that_moves_brings_what_renews_it(place):
    theirs = await place.signs_in()
    assert await place.take(move=True) == [("acme/acme-cli", "new")]
    assert place.account().credential.refresh == theirs.refresh
    assert place.vendor.refreshes == []  # not before it is needed
    await place.manager.refresh_account("acme", "acme-cli")
    assert place.vendor.refreshes == [theirs.refresh.reveal()]
    assert await place.take(move=True) == [
        ("acme/acme-cli", "same")
    ]  # what is in the file is known, though it is worthless now
    assert place.vendor.refreshes == [theirs.refresh.reveal()]


async def test_a_token_that_has_ended_and_its_owner_is_told_what_to_do(place):
    theirs = await place.signs_in()
    place.write(theirs.access.reveal(), theirs.refresh.reveal(), time.time() - 5)
    [ready] = await place.ready()
    assert ready.wanted is None
    assert "start Acme CLI once and import again, or sign in: omniroute account add acme" in ready.found.problem
    assert place.vendor.refreshes == []


async def test_a_refresh_token_for_many_uses_is_shared_and_renews_at_once_what_has_ended(tmp_path):
    async with placed(tmp_path, rotates=False) as place:
        theirs = await place.signs_in()
        place.write(theirs.access.reveal(), theirs.refresh.reveal(), time.time() - 5)
        assert await place.take() == [("acme/acme-cli", "new")]
        assert place.account().credential.refresh == theirs.refresh
        assert place.account().credential.access != theirs.access
        assert place.vendor.accepts_token(place.account().credential.access.reveal())
        assert await place.take() == [("acme/acme-cli", "same")]
        assert len(place.vendor.refreshes) == 1


async def test_a_long_lived_token_is_kept_and_buys_the_short_lived_ones(tmp_path):
    async with placed(tmp_path, exchange=EXCHANGE) as place:
        token = place.vendor.issue()
        place.write(token)
        assert await place.take() == [("acme/acme-cli", "new")]
        credential = place.account().credential
        assert credential.secrets["grant"] == Secret(token)
        assert place.vendor.accepts_token(credential.access.reveal())
        assert await place.take() == [("acme/acme-cli", "same")]


async def test_what_the_vendor_does_not_take_leaves_nothing_behind(tmp_path):
    async with placed(tmp_path, exchange=EXCHANGE) as place:
        place.write("fake-unknown-token")
        with pytest.raises(GatewayError) as refused:
            await place.take()
        assert refused.value.code
        assert "fake-unknown-token" not in f"{refused.value.text} {refused.value.fix}"
        assert place.gateway.accounts.of("acme") == ()


async def test_a_vendor_that_cannot_say_whose_it_is_takes_no_working_login_away(tmp_path):
    async with placed(tmp_path, userinfo=None) as place:
        first = await place.signs_in()
        await place.take()
        await place.signs_in()
        assert await place.take() == [("acme/acme-cli", "same")]
        assert place.account().credential.access == first.access


async def test_what_a_file_says_beside_the_tokens_cannot_steer_a_renewal(place):
    await place.signs_in()
    [ready] = await place.ready(move=True)
    odd = {"client_id": "another-client", "resource_url": "https://evil.example", "organization": "x"}
    await place.manager.import_login(msgspec.structs.replace(ready.wanted, metadata=odd))
    metadata = place.account().credential.metadata
    assert metadata["client_id"] == "public-client"
    assert not {"resource_url", "organization"} & metadata.keys()


# --- keys


async def test_a_key_of_the_environment_becomes_an_account_once(place):
    key = {"source": "env", "KEYED_API_KEY": "fake-keyed-key-1"}
    assert await place.take(**key) == [("keyed/env", "new")]
    assert await place.take(**key) == [("keyed/env", "same")]
    assert await place.take(source="env", KEYED_API_KEY="fake-keyed-key-2") == [("keyed/env-2", "new")]
    assert place.account("keyed/env").credential.access == Secret("fake-keyed-key-1")


async def test_a_key_that_is_in_use_already_is_recognised_whatever_the_account_is_called(place):
    await place.manager.add_account(AddAccount(provider="keyed", name="work", api_key="fake-keyed-key-1"))
    assert await place.plan(source="env", KEYED_API_KEY="fake-keyed-key-1") == [("keyed/work", "same")]


async def test_a_client_key_of_this_gateway_is_no_key_of_a_provider(place):
    made = await place.manager.create_key(CreateKey(name="laptop"))
    wanted = TakeOver(provider="keyed", name="env", origin="env:X", kind="key", api_key=made.key)
    with pytest.raises(Conflict, match="a client key of this gateway"):
        await place.manager.import_login(wanted)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        pytest.param(
            {"provider": "closed", "access": "fake-1"}, "cannot be taken over", id="no scheme that takes tokens"
        ),
        pytest.param({"provider": "nobody", "access": "fake-1"}, "cannot be taken over", id="no such provider"),
        pytest.param({"provider": "open", "kind": "key", "api_key": "fake-1"}, "takes no key", id="a keyless provider"),
        pytest.param({"provider": "acme"}, "no usable token", id="nothing given"),
        pytest.param({"provider": "keyed", "kind": "key"}, "no API key", id="no key given"),
        pytest.param({"provider": "acme", "access": "two words"}, "no usable token", id="no token"),
        pytest.param(
            {"provider": "keyed", "kind": "key", "api_key": "fake-1", "proxy": "socks5://x"}, "proxy", id="a proxy"
        ),
        pytest.param(
            {"provider": "keyed", "kind": "key", "api_key": "fake-1", "base_url": "ftp://x"}, "base URL", id="a root"
        ),
    ],
)
async def test_what_cannot_be_taken_over_is_refused_and_nothing_is_stored(place, wanted, why):
    before = place.gateway.accounts.all()
    with pytest.raises(InvalidRequest, match=why) as refused:
        await place.manager.import_login(TakeOver(name="x", origin="test", **wanted))
    assert "fake-1" not in refused.value.text
    assert place.gateway.accounts.all() == before


async def test_an_earlier_accounts_priority_pause_and_proxy_come_along(place):
    wanted = TakeOver(
        provider="keyed", name="work", origin="omniroute:1", kind="key", api_key="fake-keyed-key-1", priority=3, paused=True,
        proxy="http://user:fake-password@127.0.0.1:1", base_url="https://eu.keyed.example/v1",
    )  # fmt: skip
    view = (await place.manager.import_login(wanted)).account
    assert (view.priority, view.state, view.proxy, view.base_url) == (
        3, "paused", "http://127.0.0.1:1", "https://eu.keyed.example/v1",
    )  # fmt: skip
    assert "fake-" not in repr(wanted)


async def test_accounts_of_the_settings_are_known_and_stay(tmp_path):
    (tmp_path / "omniroute.toml").write_text(
        '[[accounts]]\nprovider = "keyed"\nname = "env"\napi_key = "${env:KEYED_API_KEY}"\n', encoding="utf-8"
    )
    async with placed(tmp_path, environ={"KEYED_API_KEY": "fake-keyed-key-1"}) as place:
        assert await place.take(source="env", KEYED_API_KEY="fake-keyed-key-1") == [("keyed/env", "same")]
        assert await place.take(source="env", KEYED_API_KEY="fake-keyed-key-2") == [("keyed/env-2", "new")]


async def test_local_servers_are_looked_for_and_none_is_there(place):
    assert await place.manager.local_servers() == []
