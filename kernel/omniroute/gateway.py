"""The gateway: everything that lives from start to stop, opened in order and closed in reverse.

No sockets of its own and no HTTP: the application (`app.py`) and the server are built around it, commands without a server
use it as it is. What cannot be opened is a `StartError`, and what was open by then is closed again.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from omniroute.accounts import Accounts
from omniroute.contracts import Fast, Store, Transport
from omniroute.control import ControlClient
from omniroute.credentials import Vault, open_vault
from omniroute.datadir import DataDir
from omniroute.errors import GatewayError, StartError, StoreError
from omniroute.fast import MemoryFast
from omniroute.framing import FRAMINGS
from omniroute.keys import KeyTable, ManagementKey
from omniroute.logs import Redactor, get_logger
from omniroute.plugins import Plugins, load_plugins
from omniroute.registry import Registry, build_registry
from omniroute.routing import Router
from omniroute.secret import Secret
from omniroute.settings import LoadedSettings, Settings
from omniroute.store import SqliteStore
from omniroute.telemetry import Telemetry
from omniroute.transport import AiohttpTransport

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
        self.vault: Vault
        self.keys: KeyTable
        self.management_key: ManagementKey
        self.accounts: Accounts
        self.router: Router
        self.telemetry: Telemetry
        self.control = ControlClient()
        self._closing = AsyncExitStack()
        self._redacted: frozenset[str] = frozenset()

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
        self.vault = await open_vault(self.data_dir, self.store)
        self.management_key = ManagementKey.ensure(self.data_dir)
        self.keys = KeyTable(settings, self.store)
        await self.keys.load()
        self.registry = build_registry(
            self.plugins, settings, keys=self.keys, transports=[AiohttpTransport()], framings=FRAMINGS.values()
        )
        self.accounts = Accounts(self.registry.providers, settings, self.store, self.vault)
        await self.accounts.load()
        self.router = Router(
            self.registry,
            self.accounts,
            aliases=settings.aliases,
            transports=self.registry.transports,
            default_transport=settings.server.transport,
        )
        self.accounts.on_change = self._accounts_changed
        self._accounts_changed()
        self.telemetry = Telemetry(tuple(self.registry.sinks.values()))

    async def _start(self) -> None:
        for transport in self.registry.transports.values():
            await self._start_transport(transport)
        self._later("telemetry", self.telemetry.close)
        await self.telemetry.start()

    async def _start_transport(self, transport: Transport) -> None:
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

    def _accounts_changed(self) -> None:
        self.router.forget()
        secrets = frozenset(_secrets_in([self.settings, self.accounts.all(), self.management_key.key]))
        for value in secrets - self._redacted:
            self.redactor.add(value)
        for value in self._redacted - secrets:
            self.redactor.discard(value)
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
