"""The live table of upstream accounts: from the settings, the database, servers found on this machine, keyless providers.

Where two are named alike, the settings win over the database, and both over what was found. Reading is sync and in memory;
the routing tables are rebuilt through `on_change`.
"""

import difflib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from omniroute.base_url import check_base_url
from omniroute.contracts import Account, Credential, ModelFacts, Provider, Row, Store
from omniroute.credentials import Vault
from omniroute.errors import Conflict, CredentialLocked, InvalidRequest, VersionConflict
from omniroute.settings import AccountSettings, Settings

__all__ = ["Accounts", "unknown_provider"]

TABLE = "accounts"
NAME = re.compile(r"[^/\s]([^/\x00-\x1f\x7f]{0,98}[^/\s])?")
BUILTIN = "builtin"
UNREADABLE = "what the database holds of it cannot be read; remove the account and add it again"


class _Stored(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row of the table; its key is `provider/name`."""

    credential: bytes | None = None
    """Sealed for its row."""
    base_url: str | None = None
    priority: int = 50
    paused: bool = False


class Accounts:
    """Every account of every installed provider. Call `load` before reading."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        settings: Settings,
        store: Store,
        vault: Vault,
        *,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._providers = providers
        self._settings = settings
        self._store = store
        self._vault = vault
        self.on_change = on_change
        """Called after each change of the table, in the event loop."""
        self._from_settings: dict[str, Account] = {}
        self._from_database: dict[str, Account] = {}
        self._discovered: dict[str, dict[str, Account]] = {}
        self._models: dict[str, tuple[ModelFacts, ...]] = {}
        self._unreadable: dict[str, str] = {}
        """Of the database's, as `locked`."""
        self._locked: dict[str, str] = {}
        self._all: tuple[Account, ...] = ()
        self._usable: dict[str, tuple[Account, ...]] = {}

    # --- reading

    def of(self, provider: str) -> tuple[Account, ...]:
        """The accounts of `provider` that may be used, by priority, then name."""
        return self._usable.get(provider, ())

    def all(self) -> tuple[Account, ...]:
        """Every account, paused and locked ones too, by provider, priority and name."""
        return self._all

    @property
    def locked(self) -> Mapping[str, str]:
        """account id → why it cannot be used. Nothing is ever sent with these."""
        return MappingProxyType(self._locked)

    # --- changing

    async def load(self) -> None:
        """Read settings and database. What cannot be read there locks the one account."""
        self._from_settings = _accounts_of(self._settings, self._providers)
        rows = await self._store.scan(TABLE)
        self._unreadable = {}
        self._from_database = {row.key: self._read(row) for row in rows}
        self._rebuild()

    async def add(
        self,
        provider: str,
        name: str,
        credential: Credential | None,
        *,
        base_url: str | None = None,
        priority: int = 50,
    ) -> Account:
        """Keep a new account in the database.

        Raises `InvalidRequest` for an unknown provider, an unusable name, URL or priority, `Conflict` when it exists.
        """
        if provider not in self._providers:
            raise unknown_provider(provider, self._providers)
        if not NAME.fullmatch(name):
            raise InvalidRequest("an account's name is one line of 1 to 100 characters without a slash", param="name")
        if not 1 <= priority <= 100:
            raise InvalidRequest(f"priority {priority} is not between 1 and 100", param="priority")
        if base_url is not None:
            base_url = check_base_url(base_url)
        account_id = f"{provider}/{name}"
        if any(account.id == account_id and account.origin != "discovered" for account in self._all):
            raise _exists(account_id)
        sealed = None if credential is None else self._vault.seal_credential(credential, _context(account_id))
        stored = _Stored(credential=sealed, base_url=base_url, priority=priority)
        try:
            await self._store.put(TABLE, account_id, msgspec.json.encode(stored), expect=0)
        except VersionConflict:
            raise _exists(account_id) from None
        account = self._account(provider, name, stored, credential)
        self._from_database[account_id] = account
        self._rebuild()
        return account

    async def remove(self, provider: str, name: str) -> bool:
        """False when the database has no such account. Raises `Conflict` for one that comes from the settings."""
        account_id = f"{provider}/{name}"
        if not await self._store.delete(TABLE, account_id):
            if account_id in self._from_settings:
                raise Conflict(f"the account {account_id} is set in the settings", fix="remove it there")
            return False
        self._from_database.pop(account_id, None)
        self._unreadable.pop(account_id, None)
        self._rebuild()
        return True

    def set_discovered(self, provider: str, accounts: Sequence[Account]) -> None:
        """Replace what was found of `provider` on this machine."""
        self._discovered[provider] = {account.id: account for account in accounts}
        self._rebuild()

    def set_models(self, account_id: str, models: Sequence[ModelFacts] | None) -> None:
        """Replace the account's live list of models; None goes back to the provider's facts."""
        if models is None:
            self._models.pop(account_id, None)
        else:
            self._models[account_id] = tuple(models)
        self._rebuild()

    # --- the table

    def _rebuild(self) -> None:
        merged: dict[str, Account] = {}
        for found in self._discovered.values():
            merged |= found
        merged |= self._from_database
        merged |= self._from_settings
        with_account = {account.provider for account in merged.values()}
        for name, provider in self._providers.items():
            if name not in with_account and provider.facts.auth == "none" and not provider.probe():
                builtin = Account(provider=name, name=BUILTIN, base_url=provider.facts.base_url, origin="builtin")
                merged[builtin.id] = builtin
        self._models = {account_id: models for account_id, models in self._models.items() if account_id in merged}
        for account_id, models in self._models.items():
            merged[account_id] = msgspec.structs.replace(merged[account_id], models=models)
        self._locked = {
            account_id: why for account_id, why in self._unreadable.items() if merged[account_id].origin == "database"
        }
        table = tuple(sorted(merged.values(), key=lambda account: (account.provider, account.priority, account.name)))
        usable: defaultdict[str, list[Account]] = defaultdict(list)
        for account in table:
            if not account.paused and account.id not in self._locked:
                usable[account.provider].append(account)
        before = self._all, self._usable
        self._all = table
        self._usable = {provider: tuple(accounts) for provider, accounts in usable.items()}
        if before != (self._all, self._usable):
            self.on_change()

    def _read(self, row: Row) -> Account:
        """What a row says. When it cannot be used there is no credential, and the reason is kept."""
        provider, _, name = row.key.partition("/")
        try:
            stored = msgspec.json.decode(row.value, type=_Stored)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._unreadable[row.key] = UNREADABLE
            return self._account(provider, name, _Stored(), None)
        credential = None
        if provider not in self._providers:
            self._unreadable[row.key] = f"no installed plugin provides {provider!r}"
        elif stored.credential is not None:
            try:
                credential = self._vault.unseal_credential(stored.credential, _context(row.key))
            except CredentialLocked as error:
                self._unreadable[row.key] = error.text
        return self._account(provider, name, stored, credential)

    def _account(self, provider: str, name: str, stored: _Stored, credential: Credential | None) -> Account:
        known = self._providers.get(provider)
        return Account(
            provider=provider,
            name=name,
            base_url=stored.base_url or ("" if known is None else known.facts.base_url),
            credential=credential,
            priority=stored.priority,
            paused=stored.paused,
        )


def _accounts_of(settings: Settings, providers: Mapping[str, Provider]) -> dict[str, Account]:
    """The accounts the settings make: `[[accounts]]`, and one named `default` for each `[providers.NAME] api_key`.

    Names and URLs were checked when the settings were read, providers when the registry was built; one that is missing
    all the same belongs to a plugin that safe mode left out.
    """
    entries = [
        *settings.accounts,
        *(
            AccountSettings(provider=name, api_key=table.api_key)
            for name, table in settings.providers.items()
            if table.api_key is not None
        ),
    ]
    accounts = [_account_of(entry, providers[entry.provider]) for entry in entries if entry.provider in providers]
    return {account.id: account for account in accounts}


def _account_of(entry: AccountSettings, provider: Provider) -> Account:
    return Account(
        provider=entry.provider,
        name=entry.name,
        base_url=provider.facts.base_url if entry.base_url is None else check_base_url(entry.base_url),
        credential=None if entry.api_key is None else Credential(access=entry.api_key),
        priority=entry.priority,
        origin="settings",
    )


def _context(account_id: str) -> str:
    return f"{TABLE}|{account_id}|credential"


def _exists(account_id: str) -> Conflict:
    return Conflict(f"the account {account_id} exists already", fix="choose another name, or remove it first")


def unknown_provider(name: str, known: Iterable[str]) -> InvalidRequest:
    """`known` are the names and aliases that would have been understood."""
    closest = difflib.get_close_matches(name, list(known), n=3)
    return InvalidRequest(
        f"no provider is called {name!a}" + (f"; closest: {', '.join(closest)}" if closest else ""),
        fix="install the plugin that brings it, or make it with a [providers.NAME] table",
        param="provider",
    )
