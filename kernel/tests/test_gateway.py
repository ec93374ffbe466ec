from collections.abc import Mapping
from pathlib import Path

import pytest

from omniroute import settings
from omniroute.api import Credential, FactsProvider, ProviderFacts, Secret, hookimpl
from omniroute.errors import PluginError, SettingsError, StartError, StoreError, StoreLocked
from omniroute.gateway import Gateway
from omniroute.logs import Redactor
from omniroute.store import SqliteStore

FACTS = ProviderFacts(name="acme", dialect="test", base_url="http://127.0.0.1:9/v1")


class TestDialect:
    dialect = "test"
    framing = "sse"
    ingress = ()


class Scheme:
    name = "api-key"


class Nobody:
    async def authenticate(self, headers, query, peer):
        return None


class Acme:
    """A plugin with one provider, its dialect, its auth scheme and an authenticator."""

    @hookimpl
    def register_translators(self):
        return [TestDialect()]

    @hookimpl
    def register_auth_schemes(self):
        return [Scheme()]

    @hookimpl
    def register_authenticators(self):
        return [Nobody()]

    @hookimpl
    def register_providers(self):
        return [FactsProvider(FACTS)]


def load(tmp_path: Path, environ: Mapping[str, str] | None = None, **overrides: object) -> settings.LoadedSettings:
    return settings.load(
        data_dir=tmp_path / "data",
        environ=environ or {},
        cwd=tmp_path,
        config_dir=tmp_path,
        overrides={"plugins.only": [], **overrides},
    )


async def test_what_was_stored_is_there_again_after_a_restart(tmp_path):
    gateway = await Gateway.open(load(tmp_path), given={"acme": Acme()})
    await gateway.accounts.add("acme", "work", Credential(access=Secret("test-key-1")))
    _, text = await gateway.keys.create("laptop")
    management = gateway.management_key.key
    await gateway.close()
    again = await Gateway.open(load(tmp_path), given={"acme": Acme()})
    try:
        assert again.accounts.of("acme")[0].credential == Credential(access=Secret("test-key-1"))
        assert again.keys.match(text.reveal()).name == "laptop"
        assert again.management_key.match(management.reveal())
    finally:
        await again.close()


async def test_two_gateways_do_not_share_a_data_directory(tmp_path):
    first = await Gateway.open(load(tmp_path), given={"acme": Acme()})
    try:
        with pytest.raises(StoreLocked):
            await Gateway.open(load(tmp_path), given={"acme": Acme()})
    finally:
        await first.close()


async def test_a_failed_start_leaves_the_directory_free(tmp_path):
    with pytest.raises(SettingsError):
        await Gateway.open(load(tmp_path, **{"aliases.fast": "nobody/model"}), given={"acme": Acme()})
    gateway = await Gateway.open(load(tmp_path), given={"acme": Acme()})
    await gateway.close()


class BadTransport:
    name = "bad"

    def __init__(self) -> None:
        self.closed = 0

    async def start(self):
        raise OSError("no such device: test-key-secret-1")

    async def close(self):
        self.closed += 1
        raise RuntimeError("cannot close either")


class WithBadTransport(Acme):
    def __init__(self) -> None:
        self.transport = BadTransport()

    @hookimpl
    def register_transports(self):
        return [self.transport]


async def test_a_transport_that_does_not_start_is_named_and_all_else_is_closed(tmp_path):
    plugin = WithBadTransport()
    redactor = Redactor()
    redactor.add("test-key-secret-1")
    with pytest.raises(StartError, match="'bad'") as caught:
        await Gateway.open(load(tmp_path), given={"acme": plugin}, redactor=redactor)
    assert caught.value.why == "OSError: no such device: ***"
    assert plugin.transport.closed == 1
    gateway = await Gateway.open(load(tmp_path), given={"acme": Acme()})  # the lock is free
    await gateway.close()


async def test_without_serving_transports_and_sinks_stay_shut(tmp_path):
    plugin = WithBadTransport()
    gateway = await Gateway.open(load(tmp_path), given={"acme": plugin}, serving=False)
    await gateway.close()
    assert plugin.transport.closed == 0


class Broken:
    @hookimpl
    def register_providers(self):
        raise RuntimeError("half installed")


async def test_safe_mode_starts_without_the_plugin_that_fails(tmp_path):
    given = {"acme": Acme(), "broken": Broken()}
    with pytest.raises(PluginError, match="half installed"):
        await Gateway.open(load(tmp_path), given=given)
    gateway = await Gateway.open(load(tmp_path), given={"acme": Acme(), "broken": Broken()}, safe_mode=True)
    try:
        assert list(gateway.plugins.failed) == ["broken"]
        assert list(gateway.registry.providers) == ["acme"]
    finally:
        await gateway.close()


async def test_a_changed_account_is_routed_to_at_once(tmp_path):
    gateway = await Gateway.open(load(tmp_path, **{"providers.acme.models": ["one"]}), given={"acme": Acme()})
    try:
        assert gateway.router.listed() == ()
        await gateway.accounts.add("acme", "work", Credential(access=Secret("test-key-1")))
        assert [model.id for model in gateway.router.listed()] == ["acme/one"]
    finally:
        await gateway.close()


async def test_logs_know_every_credential_as_long_as_it_is_in_use(tmp_path):
    redactor = Redactor()
    loaded = load(tmp_path, {"KEY": "settings-value-1"}, **{"auth.keys": [{"name": "ci", "key": "client-value-123"}]})
    gateway = await Gateway.open(loaded, given={"acme": Acme()}, redactor=redactor)
    try:
        await gateway.accounts.add("acme", "work", Credential(access=Secret("account-value-1")))
        management = gateway.management_key.key.reveal()
        said = redactor.text(f"a client-value-123 b account-value-1 c {management} d")
        assert said == "a *** b *** c *** d"
        await gateway.accounts.remove("acme", "work")
        assert redactor.text("account-value-1") == "account-value-1"
    finally:
        await gateway.close()


# --- readiness --------------------------------------------------------------------------------------------------------


async def test_an_open_gateway_is_ready(tmp_path):
    gateway = await Gateway.open(load(tmp_path), given={"acme": Acme()})
    try:
        assert await gateway.problem() is None
        gateway.draining = True
        assert await gateway.problem() == "shutting down"
    finally:
        await gateway.close()


async def test_a_gateway_whose_database_is_gone_is_not_ready(tmp_path):
    gateway = await Gateway.open(load(tmp_path), given={"acme": Acme()})
    await gateway.store.close()
    try:
        assert await gateway.problem() == "the database does not answer"
    finally:
        await gateway.close()


@pytest.mark.parametrize(
    ("hook", "problem"),
    [("register_translators", "translator"), ("register_authenticators", "authenticator")],
)
async def test_a_gateway_that_would_refuse_everything_is_not_ready(tmp_path, hook, problem):
    class Poor(Acme):
        @hookimpl
        def register_providers(self):
            return []

    setattr(Poor, hook, hookimpl(lambda self: []))
    gateway = await Gateway.open(load(tmp_path), given={"poor": Poor()})
    try:
        assert problem in await gateway.problem()
    finally:
        await gateway.close()


# --- stores of plugins ------------------------------------------------------------------------------------------------


class WithStore(Acme):
    def __init__(self, store: object) -> None:
        self.store = store

    @hookimpl
    def open_store(self):
        return self.store


async def test_a_plugins_store_is_used_instead_of_our_own(tmp_path):
    store = SqliteStore(tmp_path / "elsewhere.db")
    gateway = await Gateway.open(load(tmp_path), given={"acme": WithStore(store)})
    await gateway.close()
    assert gateway.store is store
    assert [path.name for path in (tmp_path / "data").glob("*.db")] == []


async def test_a_lost_key_file_is_never_replaced(tmp_path):
    gateway = await Gateway.open(load(tmp_path), given={"acme": Acme()})
    await gateway.close()
    (tmp_path / "data" / "secret.key").unlink()
    with pytest.raises(StoreError, match="missing"):
        await Gateway.open(load(tmp_path), given={"acme": Acme()})
