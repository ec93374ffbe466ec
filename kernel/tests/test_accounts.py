import pytest

from omniroute.accounts import Accounts, Login
from omniroute.accounts.rows import derived_base_url
from omniroute.contracts import Account, Credential, ModelFacts, OAuthFacts, Probe, ProviderFacts
from omniroute.credentials import Vault
from omniroute.errors import Conflict, InvalidRequest, NotFound
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


# --- what people set, names, tokens


async def test_settings_of_an_account_are_edited_one_by_one_and_survive_a_restart(loaded):
    accounts = await loaded()
    await accounts.add("acme", "work", ONE)
    await accounts.edit("acme/work", priority=3)
    await accounts.edit("acme/work", paused=True, proxy=Secret("http://127.0.0.1:3128"))
    await accounts.edit("acme/work", other_clients=True)
    for table in (accounts, await loaded()):
        account = table.get("acme/work")
        assert (account.priority, account.paused, account.other_clients) == (3, True, True)
        assert account.proxy == Secret("http://127.0.0.1:3128")
        assert account.credential == ONE
    assert (await accounts.edit("acme/work", proxy=Secret(""))).proxy is None


@pytest.mark.parametrize(
    ("account_id", "changes", "error", "message"),
    [
        pytest.param("acme/nobody", {"priority": 3}, NotFound, "no account is called 'acme/nobody'", id="nobody"),
        pytest.param("open/builtin", {"priority": 3}, Conflict, "not in the database", id="not the database's"),
        pytest.param("acme/work", {"priority": 0}, InvalidRequest, "between 1 and 100", id="priority"),
        pytest.param("acme/work", {"proxy": Secret("socks5://x")}, InvalidRequest, "proxy", id="proxy"),
    ],
)
async def test_what_cannot_be_edited_says_why(loaded, account_id, changes, error, message):
    accounts = await loaded()
    await accounts.add("acme", "work", ONE)
    with pytest.raises(error, match=message):
        await accounts.edit(account_id, **changes)


async def test_a_renamed_account_is_sealed_for_its_new_name_and_the_old_one_is_gone(loaded):
    accounts = await loaded()
    await accounts.add("acme", "work", ONE, proxy=Secret("http://127.0.0.1:3128"))
    accounts.set_models("acme/work", [ModelFacts(id="m1")])
    renamed = await accounts.rename("acme/work", "home")
    assert (renamed.id, renamed.credential, renamed.models) == ("acme/home", ONE, (ModelFacts(id="m1"),))
    again = await loaded()
    assert ids(again.of("acme")) == ["acme/home"]
    assert not again.locked
    await accounts.add("acme", "work", TWO)
    with pytest.raises(Conflict, match="acme/work exists"):
        await accounts.rename("acme/home", "work")
    with pytest.raises(InvalidRequest, match="without a slash"):
        await accounts.rename("acme/home", "a/b")


async def test_a_renaming_cut_short_between_its_writes_is_gone_through_with(loaded, store):
    accounts = await loaded()
    await accounts.add("acme", "work", ONE)
    row = await store.get("accounts", "acme/work")
    await accounts.rename("acme/work", "home")
    moved = await store.get("accounts", "acme/home")
    await store.put("accounts", "acme/work", row.value)  # it was never removed
    await store.put("accounts", "acme/home", moved.value[:-1] + b',"renamed_from":"acme/work"}')
    again = await loaded()
    assert ids(again.of("acme")) == ["acme/home"]
    await again.add("acme", "work", TWO)
    assert ids((await loaded()).of("acme")) == ["acme/home", "acme/work"]


async def test_the_tokens_before_are_kept_for_a_week(loaded, store):
    now = 1_800_000_000.0
    accounts = await loaded(clock=lambda: now)
    await accounts.add("acme", "work", ONE)
    await accounts.write_tokens("acme/work", TWO, Login(), None)
    assert b'"previous"' in (await store.get("accounts", "acme/work")).value
    now += 8 * 86_400
    await accounts.write_login("acme/work", Login(problem="upstream_failed"), None)
    assert b'"previous"' not in (await store.get("accounts", "acme/work")).value
    assert accounts.get("acme/work").credential == TWO


# --- where a credential may go


DERIVED = OAuthFacts(
    client_id="c", token_url="https://v.example/t", base_url="{resource_url}/v1", base_url_hosts=("vendor.example",)
)


@pytest.mark.parametrize(
    ("told", "base_url"),
    [
        pytest.param("portal.vendor.example", "https://portal.vendor.example/v1", id="a host"),
        pytest.param("https://vendor.example", "https://vendor.example/v1", id="a URL"),
        pytest.param("https://vendor.example/", "https://vendor.example/v1", id="a slash at its end"),
        pytest.param("portal.vendor.example/v1", "https://portal.vendor.example/v1", id="a host with the version"),
        pytest.param("https://vendor.example/v1/", "https://vendor.example/v1", id="a URL with the version"),
        pytest.param("evil.example", None, id="another domain"),
        pytest.param("evilvendor.example", None, id="another domain that ends alike"),
        pytest.param("vendor.example@evil.example", None, id="a user in it"),
        pytest.param("http://vendor.example", None, id="no TLS"),
        pytest.param("vendor.example:8443", None, id="another port"),
        pytest.param("[::1", None, id="no URL"),
        pytest.param(None, None, id="nothing"),
    ],
)
def test_an_api_root_that_the_vendor_names_is_taken_within_its_own_domains_only(told, base_url):
    metadata = {} if told is None else {"resource_url": told}
    assert derived_base_url(DERIVED, metadata) == base_url


async def test_the_root_of_an_account_is_its_own_else_the_settings_else_what_the_vendor_named_else_the_facts(loaded):
    providers = {"acme": FactsProvider(facts("acme", oauth=DERIVED))}
    told = Credential(access=Secret("t"), metadata={"resource_url": "portal.vendor.example"})
    accounts = await loaded(providers=providers)
    await accounts.add("acme", "own", told, base_url="http://127.0.0.1:9000/v1")
    await accounts.add("acme", "told", told)
    await accounts.add("acme", "plain", ONE)
    assert {account.name: account.base_url for account in accounts.of("acme")} == {
        "own": "http://127.0.0.1:9000/v1",
        "told": "https://portal.vendor.example/v1",
        "plain": "https://acme.example/v1",
    }
    table = {"acme": ProviderSettings(base_url="https://acme.example/v2")}
    accounts = await loaded(Settings(providers=table), providers=providers)
    assert {account.base_url for account in accounts.of("acme")} == {
        "http://127.0.0.1:9000/v1",
        "https://acme.example/v1",
    }


async def test_lists_of_models_that_are_equal_are_kept_once_and_change_the_table_once(loaded):
    accounts = await loaded(providers={"acme": FactsProvider(facts("acme"))})
    for name in ("one", "two", "three"):
        await accounts.add("acme", name, ONE)
    changes = []
    accounts.on_change = lambda: changes.append(1)
    accounts.set_model_lists(
        {
            "acme/one": [ModelFacts(id="m"), ModelFacts(id="n")],
            "acme/two": [ModelFacts(id="m"), ModelFacts(id="n")],
            "acme/three": [ModelFacts(id="other")],
        }
    )
    lists = {account.name: account.models for account in accounts.of("acme")}
    assert lists["one"] is lists["two"]
    assert lists["three"] == (ModelFacts(id="other"),)
    assert len(changes) == 1
