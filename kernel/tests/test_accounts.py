import pytest

from omniroute.accounts import Accounts
from omniroute.contracts import Account, Credential, ModelFacts, Probe, ProviderFacts
from omniroute.credentials import Vault
from omniroute.errors import Conflict, InvalidRequest
from omniroute.provider import FactsProvider
from omniroute.secret import Secret
from omniroute.settings import AccountSettings, ProviderSettings, Settings
from omniroute.store import SqliteStore

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
ONE, TWO = (Credential(access=Secret(f"test-key-{number}")) for number in (1, 2))


class Found(FactsProvider):
    def probe(self):
        return (Probe(name="x", url="http://127.0.0.1:1/", base_url="http://127.0.0.1:1/v1", display_name="X"),)


def facts(name, **more):
    return ProviderFacts(name=name, dialect="openai-chat", base_url=f"https://{name}.example/v1", **more)


PROVIDERS = {
    "acme": FactsProvider(facts("acme")),
    "zeta": FactsProvider(facts("zeta")),
    "open": FactsProvider(facts("open", auth="none")),
    "near": Found(facts("near", auth="none")),
}


@pytest.fixture
async def store(tmp_path):
    store = SqliteStore(tmp_path / "omniroute.db")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def loaded(store):
    async def make(settings=None, *, key=KEY, providers=PROVIDERS, **options):
        accounts = Accounts(providers, settings or Settings(), store, Vault(key), **options)
        await accounts.load()
        return accounts

    return make


def ids(accounts):
    return [account.id for account in accounts]


# --- where accounts come from


async def test_with_nothing_set_only_keyless_providers_that_need_no_probing_have_an_account(loaded):
    accounts = await loaded()
    builtin = Account(provider="open", name="builtin", base_url="https://open.example/v1", origin="builtin")
    assert accounts.all() == (builtin,)
    assert accounts.of("open") == (builtin,)
    assert accounts.of("acme") == accounts.of("near") == accounts.of("nobody") == ()


async def test_the_settings_make_accounts_of_both_kinds_of_table(loaded):
    settings = Settings(
        accounts=(
            AccountSettings(provider="acme", name="work", api_key=Secret("test-key-1"), priority=10),
            AccountSettings(provider="acme", name="home", base_url="http://127.0.0.1:9000/v1/"),
            AccountSettings(provider="open", name="mine"),
        ),
        providers={"zeta": ProviderSettings(api_key=Secret("test-key-2")), "open": ProviderSettings()},
    )
    accounts = await loaded(settings)
    assert accounts.of("acme") == (
        Account(
            provider="acme",
            name="work",
            base_url="https://acme.example/v1",
            credential=ONE,
            priority=10,
            origin="settings",
        ),
        Account(provider="acme", name="home", base_url="http://127.0.0.1:9000/v1", origin="settings"),
    )
    assert accounts.of("zeta") == (
        Account(provider="zeta", name="default", base_url="https://zeta.example/v1", credential=TWO, origin="settings"),
    )
    assert ids(accounts.of("open")) == ["open/mine"], "an account of one's own replaces the built-in one"


async def test_accounts_whose_provider_is_not_there_are_passed_over(loaded):
    """The registry has refused them by now, or safe mode has left their plugin out."""
    settings = Settings(
        accounts=(AccountSettings(provider="gone"), AccountSettings(provider="acme")),
        providers={"lost": ProviderSettings(api_key=Secret("test-key-1"))},
    )
    assert ids((await loaded(settings)).all()) == ["acme/default", "open/builtin"]


async def test_the_settings_win_over_the_database_and_both_over_what_was_found(loaded):
    accounts = await loaded()
    await accounts.add("near", "x", ONE)
    await accounts.add("acme", "default", ONE)
    settings = Settings(accounts=(AccountSettings(provider="acme", api_key=Secret("test-key-2")),))
    accounts = await loaded(settings)
    accounts.set_discovered(
        "near", [Account(provider="near", name="x", base_url="http://127.0.0.1:1", origin="discovered")]
    )
    assert [(account.id, account.origin) for account in accounts.all()] == [
        ("acme/default", "settings"),
        ("near/x", "database"),
        ("open/builtin", "builtin"),
    ]
    assert accounts.of("acme")[0].credential == TWO


async def test_what_was_found_is_replaced_whole(loaded):
    accounts = await loaded()
    first, second = (
        Account(provider="near", name=name, base_url=f"http://127.0.0.1:{name}", origin="discovered") for name in "12"
    )
    accounts.set_discovered("near", [first, second])
    assert accounts.of("near") == (first, second)
    accounts.set_discovered("near", [second])
    assert accounts.of("near") == (second,)
    accounts.set_discovered("near", [])
    assert accounts.of("near") == ()


# --- adding and removing


async def test_an_added_account_is_there_at_once_and_after_a_restart(loaded, store):
    accounts = await loaded()
    added = await accounts.add("acme", "me@example.com", ONE, base_url="http://127.0.0.1:9000/v1/", priority=5)
    assert added == Account(
        provider="acme", name="me@example.com", base_url="http://127.0.0.1:9000/v1", credential=ONE, priority=5
    )
    assert accounts.of("acme") == (added,)
    assert (await loaded()).of("acme") == (added,)
    assert [b"test-key" in row.value for row in await store.scan("accounts")] == [False]


async def test_accounts_are_ordered_by_priority_then_name(loaded):
    accounts = await loaded()
    for name, priority in (("c", 50), ("b", 50), ("a", 90), ("d", 1)):
        await accounts.add("acme", name, ONE, priority=priority)
    assert ids(accounts.of("acme")) == ["acme/d", "acme/b", "acme/c", "acme/a"]


async def test_an_account_that_exists_is_not_replaced(loaded):
    accounts = await loaded(Settings(accounts=(AccountSettings(provider="zeta", name="set"),)))
    blind = await loaded()
    await accounts.add("acme", "work", ONE)
    for name, table in (("work", accounts), ("work", blind)):
        with pytest.raises(Conflict, match="acme/work exists"):
            await table.add("acme", name, TWO)
    with pytest.raises(Conflict, match="zeta/set exists"):
        await accounts.add("zeta", "set", TWO)
    assert (await loaded()).of("acme")[0].credential == ONE


@pytest.mark.parametrize(
    ("given", "param", "message"),
    [
        pytest.param({"provider": "acne"}, "provider", "no provider is called 'acne'; closest: acme", id="provider"),
        pytest.param({"name": "a/b"}, "name", "without a slash", id="slash"),
        pytest.param({"name": ""}, "name", "1 to 100 characters", id="empty name"),
        pytest.param({"name": "a\nb"}, "name", "one line", id="two lines"),
        pytest.param({"name": " a"}, "name", "one line", id="space in front"),
        pytest.param({"priority": 0}, "priority", "between 1 and 100", id="priority"),
        pytest.param({"base_url": "https://u:p@acme.example"}, "base_url", "base URL", id="userinfo"),
    ],
)
async def test_an_unusable_account_is_refused_with_the_field(loaded, store, given, param, message):
    accounts = await loaded()
    with pytest.raises(InvalidRequest, match=message) as raised:
        await accounts.add(**{"provider": "acme", "name": "work", "credential": ONE, **given})
    assert raised.value.param == param
    assert not await store.scan("accounts")


async def test_a_removed_account_is_gone_and_its_name_free(loaded):
    accounts = await loaded()
    await accounts.add("acme", "work", ONE)
    assert await accounts.remove("acme", "work")
    assert accounts.of("acme") == ()
    assert not await accounts.remove("acme", "work")
    assert not await accounts.remove("open", "builtin")
    await accounts.add("acme", "work", TWO)
    assert (await loaded()).of("acme")[0].credential == TWO


async def test_an_account_of_the_settings_is_removed_in_the_settings(loaded):
    accounts = await loaded(Settings(accounts=(AccountSettings(provider="acme"),)))
    with pytest.raises(Conflict, match="set in the settings"):
        await accounts.remove("acme", "default")
    assert ids(accounts.of("acme")) == ["acme/default"]


# --- accounts that cannot be used


async def test_an_account_sealed_with_another_key_is_listed_as_locked_and_never_used(loaded):
    await (await loaded()).add("acme", "work", ONE)
    accounts = await loaded(key=OTHER_KEY)
    assert accounts.of("acme") == ()
    assert (accounts.all()[0].id, accounts.all()[0].credential) == ("acme/work", None)
    assert list(accounts.locked) == ["acme/work"]
    assert "sealed with the key" in accounts.locked["acme/work"]
    assert await accounts.remove("acme", "work")
    assert not accounts.locked


async def test_a_credential_copied_to_another_account_is_locked(loaded, store):
    accounts = await loaded()
    await accounts.add("acme", "work", ONE)
    await accounts.add("acme", "home", TWO)
    await store.put("accounts", "acme/home", (await store.get("accounts", "acme/work")).value)
    accounts = await loaded()
    assert ids(accounts.of("acme")) == ["acme/work"]
    assert "copied" in accounts.locked["acme/home"]


@pytest.mark.parametrize("value", [b"", b"{", b'{"credential": 5}', b"\xff"])
async def test_an_unreadable_row_locks_that_account_alone(loaded, store, value):
    await (await loaded()).add("acme", "work", ONE)
    await store.put("accounts", "acme/broken", value)
    accounts = await loaded()
    assert ids(accounts.of("acme")) == ["acme/work"]
    assert list(accounts.locked) == ["acme/broken"]


async def test_an_account_of_a_provider_that_is_not_installed_waits_for_it(loaded):
    await (await loaded()).add("zeta", "work", ONE)
    without = await loaded(providers={"acme": PROVIDERS["acme"]})
    assert without.of("zeta") == ()
    assert "'zeta'" in without.locked["zeta/work"]
    assert (await loaded()).of("zeta")[0].credential == ONE


async def test_a_locked_account_hidden_by_one_of_the_settings_is_not_shown_as_locked(loaded, store):
    await store.put("accounts", "acme/default", b"{")
    accounts = await loaded(Settings(accounts=(AccountSettings(provider="acme", api_key=Secret("test-key-1")),)))
    assert not accounts.locked
    assert accounts.of("acme")[0].credential == ONE


async def test_a_paused_account_is_listed_and_not_used(loaded, store):
    await store.put("accounts", "acme/work", b'{"paused": true}')
    accounts = await loaded()
    assert accounts.of("acme") == ()
    assert ids(accounts.all()) == ["acme/work", "open/builtin"]


# --- live models, and who is told


async def test_a_live_list_of_models_belongs_to_one_account(loaded):
    accounts = await loaded()
    await accounts.add("acme", "a", ONE)
    await accounts.add("acme", "b", ONE)
    accounts.set_models("acme/a", [ModelFacts(id="m1")])
    assert [account.models for account in accounts.of("acme")] == [(ModelFacts(id="m1"),), None]
    accounts.set_models("acme/b", [])
    assert accounts.of("acme")[1].models == ()
    accounts.set_models("acme/a", None)
    assert accounts.of("acme")[0].models is None
    await accounts.remove("acme", "b")
    await accounts.add("acme", "b", ONE)
    assert accounts.of("acme")[1].models is None, "a new account of that name starts anew"


async def test_listeners_are_told_of_changes_and_of_nothing_else(loaded):
    told = []
    accounts = await loaded(on_change=lambda: told.append(ids(accounts.all()) if told else "loaded"))
    assert told == ["loaded"]
    await accounts.add("acme", "work", ONE)
    accounts.set_models("acme/work", [ModelFacts(id="m1")])
    accounts.set_models("acme/work", [ModelFacts(id="m1")])
    accounts.set_discovered("near", [])
    await accounts.remove("acme", "nobody")
    await accounts.remove("acme", "work")
    assert told[1:] == [["acme/work", "open/builtin"]] * 2 + [["open/builtin"]]
