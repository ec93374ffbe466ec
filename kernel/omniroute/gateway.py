"""The gateway: everything that lives from start to stop, opened in order and closed in reverse.

No sockets of its own and no HTTP: the application (`app.py`) and the server are built around it, commands without a server
use it as it is. What cannot be opened is a `StartError`, and what was open by then is closed again.
"""

import functools
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from omniroute.accounts import Accounts
from omniroute.affinity import Affinity, SavedAffinity
from omniroute.asking import Asking
from omniroute.contracts import Fast, Limits, Store, Transport
from omniroute.control import ControlClient
from omniroute.credentials import Vault, VaultKey
from omniroute.credentials.clients import secret_in
from omniroute.credentials.driver import Driver
from omniroute.credentials.refresh import Refresher
from omniroute.credentials.screens import for_own_clients, renewable
from omniroute.credentials.sign_ins import SignIns
from omniroute.datadir import DataDir
from omniroute.errors import GatewayError, StartError, StoreError
from omniroute.exchange import Exchange
from omniroute.explaining.explainer import Explainer
from omniroute.fast import MemoryFast
from omniroute.framing import FRAMINGS
from omniroute.gates import Gates, gated
from omniroute.health import Health
from omniroute.keeping import Identities, Keeper, Part, parts_of
from omniroute.keys import KeyTable, ManagementKey
from omniroute.logs import Redactor, get_logger
from omniroute.loop_watch import LoopWatch
from omniroute.model_lists import ModelLists
from omniroute.passport import Origin, Passports, has_carrier
from omniroute.planning import Planner
from omniroute.plugins import Plugins, load_plugins
from omniroute.quota import QuotaReader, Quotas, spent
from omniroute.registry import Registry, build_registry
from omniroute.routing import Router, terms_of
from omniroute.screening import Screening, incapable, resting
from omniroute.secret import Secret
from omniroute.settings import LoadedSettings, Settings
from omniroute.sharing import Sharing
from omniroute.store import SqliteStore
from omniroute.telemetry import Telemetry
from omniroute.transport import own_transports

__all__ = ["Gateway"]

DATABASE_FILE = "omniroute.db"
PROBE = "readiness"

log = get_logger(__name__)


class Gateway:
    """Made by `open`. Attributes are for reading; `draining` is the server's to set."""

    def __init__(self, loaded: LoadedSettings, data_dir: DataDir, redactor: Redactor) -> None:
        self.loaded = loaded
        self.settings: Settings = loaded.settings
        self.data_dir = data_dir
        self.redactor = redactor
        self.started_at_s = time.time()
        """Unix time."""
        self.draining = False
        """Requests that run are finished, new ones refused."""
        self.plugins: Plugins
        self.registry: Registry
        self.store: Store
        self.fast: Fast
        self.vault_key: VaultKey
        self.vault: Vault
        self.driver: Driver
        self.refresher: Refresher
        self.sign_ins = SignIns()
        self.keys: KeyTable
        self.management_key: ManagementKey
        self.accounts: Accounts
        self.router: Router
        self.health: Health
        self.gates: Gates
        self.identities: Identities
        self.sharing: Sharing
        self.keeper: Keeper
        self.asking: Asking
        self.quotas: Quotas
        self.screening: Screening
        self.affinity: Affinity
        self.planner: Planner
        self.telemetry: Telemetry
        self.control = ControlClient()
        self.loop_watch = LoopWatch(loaded.settings.server.stall_s)
        """Runs while the gateway serves."""
        self._closing = AsyncExitStack()
        self._redacted: frozenset[str] = frozenset()
        self._started: set[str] = set()

    # --- opening

    @classmethod
    async def open(
        cls,
        loaded: LoadedSettings,
        *,
        serving: bool = True,
        safe_mode: bool = False,
        given: Mapping[str, object] | None = None,
        redactor: Redactor | None = None,
    ) -> "Gateway":
        """Open everything.

        Without `serving`, as for a command that changes something while no gateway runs, transports and telemetry stay
        shut. `safe_mode` leaves out plugins that fail, `given` are plugin objects by name that need no installation.
        `redactor` learns every credential. Raises `StartError`.
        """
        gateway = cls(loaded, DataDir(loaded.settings.data_dir), redactor or Redactor())
        try:
            await gateway._open_state(safe_mode=safe_mode, given=given)
            await gateway._open_tables()
            gateway._open_selection()
            await gateway._open_memory()
            if serving:
                await gateway._start()
        except BaseException:
            await gateway.close()
            raise
        return gateway

    async def _open_state(self, *, safe_mode: bool, given: Mapping[str, object] | None) -> None:
        self.data_dir.lock()
        self._later("data directory", _as_async(self.data_dir.unlock))
        self.data_dir.remove_runtime()  # of one that crashed
        self._later("control client", self.control.close)
        self.plugins = load_plugins(self.settings.plugins, safe_mode=safe_mode, given=given)
        self.store = self._stored()
        self._later("store", self.store.close)
        await self._starting("the store", self.store.open())
        found = self.plugins.first("open_fast", settings=self.settings)
        self.fast = found[1] if found else MemoryFast()
        self._later("fast state", self.fast.close)

    def _stored(self) -> Store:
        found = self.plugins.first("open_store", settings=self.settings)
        return found[1] if found else SqliteStore(self.data_dir.path / DATABASE_FILE)

    async def _open_tables(self) -> None:
        settings = self.settings
        self.vault_key = VaultKey(self.data_dir, self.store, settings.vault.key)
        self.vault = await self.vault_key.open()
        self.management_key = ManagementKey.ensure(self.data_dir)
        self.keys = KeyTable(settings, self.store)
        await self.keys.load()
        self.registry = build_registry(
            self.plugins,
            settings,
            keys=self.keys,
            transports=own_transports(settings.server.transport),
            framings=FRAMINGS.values(),
        )
        self.accounts = Accounts(self.registry.providers, settings, self.store, self.vault)
        await self.accounts.load()
        await self.vault_key.finish(self.vault, self.accounts.reseal)
        self._open_sign_in()
        self.router = self.new_router(self.registry)

    def _open_selection(self) -> None:
        """What says who is asked, and who is left out."""
        settings, limits = self.settings, self.settings.limits
        self.health = Health(cap_s=settings.routing.cooldown_cap_s)
        self.gates = Gates(
            Limits(max_concurrency=limits.max_concurrency, rpm=limits.rpm, tpm=limits.tpm),
            queue_timeout_s=limits.queue_timeout_s,
            queue_length=limits.queue_length,
        )
        self.asking = Asking(self.control.send, self.refresher)
        self.quotas = Quotas(self.registry.providers, on_change=self.router.standing.quota_changed)
        self.router.standing.quota_of = self.quotas.of_target
        self.screening = Screening(
            [
                incapable,
                for_own_clients,
                renewable(self.refresher),
                resting(self.health),
                spent(self.quotas, settings.quota.skip_at),
                gated(self.gates),
            ]
        )
        self.affinity = Affinity(self.health)
        self.planner = Planner(
            settings,
            self.router,
            affinity=self.affinity,
            reader_of=self._minted_by,
        )

    async def _open_memory(self) -> None:
        """What is learned, kept and told; the last that is opened."""
        self.identities = Identities()
        self.sharing = Sharing(self.fast, self.router.standing)
        self.keeper = Keeper(
            self.store,
            [
                *parts_of(self.health, self.gates, self.router.standing, self.identities, self.accounts.all),
                Part(
                    name="affinity",
                    changes=lambda: self.affinity.bindings.changes,
                    dump=self.affinity.dump,
                    load=self.affinity.load,
                    type=SavedAffinity,
                ),
            ],
            beside=[self.sharing.sync] if self.sharing.is_on else [],
        )
        await self.keeper.load()
        self._later("what was learned", self.keeper.close)
        self.accounts.on_change = self._accounts_changed
        self._accounts_changed()
        self.telemetry = Telemetry(tuple(self.registry.sinks.values()))
        self._later("telemetry", self.telemetry.close)

    def _open_sign_in(self) -> None:
        self.driver = Driver(self.control.send)
        self.refresher = Refresher(
            self.accounts,
            self.registry.providers,
            self.registry.auth_schemes,
            self.store,
            self.driver,
            owner=f"{socket.gethostname()}:{self.data_dir.path.resolve()}",
            environ=os.environ,
        )
        self._later("refreshes", self.refresher.close)
        self._later("sign-ins", self.sign_ins.close)
        for provider in self.registry.providers.values():
            if (secret := secret_in(provider.facts, os.environ)) is not None:
                self.redactor.add(secret.reveal())

    async def _start(self) -> None:
        for transport in self.registry.transports.values():
            await self._start_transport(transport)
        await self.telemetry.start()
        self.keeper.start()
        self._later("what is shared", self.sharing.sync)
        self._later("refreshing ahead", self.refresher.start())

    async def _start_transport(self, transport: Transport) -> None:
        self._started.add(transport.name)
        self._later(f"transport {transport.name}", transport.close)
        await self._starting(f"the transport {transport.name!r}", transport.start())

    async def _starting(self, what: str, work: Awaitable[None]) -> None:
        """What a plugin brings may fail in any way; here that is a `StartError`."""
        try:
            await work
        except StartError:
            raise
        except Exception as error:
            reason = self.redactor.text(f"{type(error).__name__}: {error}")
            raise StartError(f"{what} cannot be opened", why=reason) from error

    @functools.cached_property
    def passports(self) -> Passports:
        """Who signed what, as far as this process has seen."""
        return Passports(self.registry.translators.values())

    def new_router(self, registry: Registry, build: Callable[..., Router] = Router) -> Router:
        """A router over these settings and accounts, with standings of its own."""
        return build(
            registry,
            self.accounts,
            aliases=self.settings.aliases,
            transports=registry.transports,
            default_transport=self.settings.server.transport,
            terms=terms_of(self.settings),
            last_resort=self.settings.routing.last_resort,
        )

    def _minted_by(self, exchange: Exchange) -> Origin | None:
        if has_carrier(exchange.body):
            return self.passports.carried_from(exchange.request())
        return self.passports.minted_by(exchange.translator.dialect, exchange.body)

    async def use(self, transports: Iterable[str]) -> None:
        """Have these transports started, where a command without a server needs them. Raises `StartError`."""
        for name in transports:
            if name not in self._started:
                await self._start_transport(self.registry.transports[name])

    @functools.cached_property
    def explainer(self) -> Explainer:
        """Tells where a request would go."""
        return Explainer(
            self.settings,
            translators=self.registry.translators,
            router=self.router,
            planner=self.planner,
            screening=self.screening,
            health=self.health,
            passports=self.passports,
        )

    def quota_reader(self) -> QuotaReader:
        """Who asks how much is left of the accounts that may be used."""
        quota = self.settings.quota
        return QuotaReader(
            self.quotas,
            self.registry.providers,
            lambda: [account for name in self.registry.providers for account in self.accounts.of(name)],
            self.asking,
            self.health.cooling,
            interval_s=quota.interval_s,
            skip_at=quota.skip_at,
            clock=time.time,
        )

    def model_lists(self) -> ModelLists:
        """Who asks which models the accounts have."""
        registry = self.registry
        return ModelLists(
            registry.providers,
            registry.translators,
            self.accounts,
            self.asking,
            interval_s=self.settings.models.refresh_s,
            stated={name for name, table in self.settings.providers.items() if table.models is not None},
        )

    # --- closing

    def _later(self, what: str, close: Callable[[], Awaitable[None]]) -> None:
        async def isolated() -> None:
            try:
                await close()
            except Exception as error:
                log.error("not closed cleanly", what=what, exc_info=error)

        self._closing.push_async_callback(isolated)

    async def close(self) -> None:
        """Close what is open, in reverse. A part that fails is logged, and keeps no other from being closed."""
        await self._closing.aclose()

    # --- state

    async def problem(self) -> str | None:
        """Why no request can be served now; None when they can. Tries the database and the key, for a start that only
        looks good helps nobody; fit for strangers' eyes."""
        if self.draining:
            return "shutting down"
        if not self.registry.translators:
            return "no translator is loaded"
        if not self.registry.authenticators:
            return "no authenticator is loaded: every call would be refused"
        try:
            await self.store.get(PROBE, PROBE)
            self.vault.unseal(self.vault.seal(b"", PROBE), PROBE)
        except StoreError:
            return "the database does not answer"
        except GatewayError:
            return "the encryption key does not work"
        return None

    def _limits_of(self, provider: str) -> Limits:
        """What all accounts of a provider together may be asked for."""
        known = self.registry.providers.get(provider)
        return Limits() if known is None else known.facts.limits

    def _accounts_changed(self) -> None:
        self.router.forget()
        accounts = self.accounts.all()
        self.gates.set_accounts(accounts, self._limits_of)
        for provider, name in self.identities.changed(accounts):
            self.health.cooling.forget(provider, name)
        held = [(account.credential, account.proxy) for account in accounts]  # not their models, which may be many
        secrets = frozenset(_secrets_in([self.settings, held, self.management_key.key]))
        if secrets != self._redacted:
            self.redactor.change(secrets - self._redacted, self._redacted - secrets)
            self._redacted = secrets


def _secrets_in(value: Any) -> "list[str]":
    """The text of every `Secret` in a tree of Structs, dicts and sequences."""
    match value:
        case Secret():
            return [value.reveal()]
        case msgspec.Struct():
            return [text for name in value.__struct_fields__ for text in _secrets_in(getattr(value, name))]
        case dict():
            return [text for inner in value.values() for text in _secrets_in(inner)]
        case list() | tuple():
            return [text for inner in value for text in _secrets_in(inner)]
        case _:
            return []


def _as_async(function: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def call() -> None:
        function()

    return call
