"""The live table of upstream accounts: from the settings, the database, servers found on this machine, keyless providers.

Where two are named alike, the settings win over the database, and both over what was found. Reading is sync and in memory;
the routing tables are rebuilt through `on_change`.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any

import msgspec

from omniroute.accounts.declared import accounts_of, unknown_provider
from omniroute.accounts.merging import by_provider, in_order, merge
from omniroute.accounts.opening import Opener
from omniroute.accounts.rows import TABLE, Login, Stored, context, identity_of, origin_of
from omniroute.accounts.writing import AccountRows, already_exists, decoded
from omniroute.base_url import check_base_url
from omniroute.contracts import Account, Credential, Lease, Limits, ModelFacts, Provider, Row, Store
from omniroute.credentials.vault import Vault
from omniroute.errors import Conflict, CredentialLocked, InvalidRequest, NotFound
from omniroute.proxies import check_proxy
from omniroute.secret import Secret
from omniroute.settings import Settings

__all__ = ["Accounts"]

NAME = re.compile(r"[^/\s]([^/\x00-\x1f\x7f]{0,98}[^/\s])?")
NO_LOGIN = Login()
UNREADABLE = "what the database holds of it cannot be read; remove the account and add it again"


PREVIOUS_KEPT_S = 7 * 86_400.0
"""How long the tokens before the last refresh are kept."""


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
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._providers = providers
        self._settings = settings
        self._store = store
        self._vault = vault
        self._rows = AccountRows(store)
        self._opener = Opener(providers, settings, vault)
        self._clock = clock
        self.on_change = on_change
        """Called after each change of the table, in the event loop."""
        self._from_settings: dict[str, Account] = {}
        self._from_database: dict[str, Account] = {}
        self._discovered: dict[str, dict[str, Account]] = {}
        self._models: dict[str, tuple[ModelFacts, ...]] = {}
        self._last_models: dict[str, tuple[ModelFacts, ...]] = {}
        """Provider → the list of its that was read last."""
        self._unreadable: dict[str, str] = {}
        """Of the database's, as `locked`."""
        self._logins: dict[str, Login] = {}
        self._locked: dict[str, str] = {}
        self._all: tuple[Account, ...] = ()
        self._by_id: dict[str, Account] = {}
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

    def get(self, account_id: str) -> Account | None:
        return self._by_id.get(account_id)

    def why_none(self, provider: str) -> str:
        """Why no account of it can be used."""
        out = [account.id for account in self._all if account.provider == provider]
        needed = [account_id for account_id in out if self.login(account_id).is_needed]
        if needed:
            return f"{', '.join(needed[:5])} needs a new sign-in"
        if out:
            return f"no account of provider {provider!r} can be used: {', '.join(out[:5])} is locked or paused"
        return f"provider {provider!r} has no account"

    def login(self, account_id: str) -> Login:
        """How the account's last refresh ended."""
        return self._logins.get(account_id, NO_LOGIN)

    # --- changing

    async def load(self) -> None:
        """Read settings and database. What cannot be read there locks the one account."""
        self._from_settings = accounts_of(self._settings, self._providers)
        rows = await self._store.scan(TABLE)
        self._unreadable, self._logins = {}, {}
        self._from_database = {row.key: self._read(row) for row in rows}
        await self._finish_renaming(rows)
        self._rebuild()

    async def add(
        self,
        provider: str,
        name: str,
        credential: Credential | None,
        *,
        base_url: str | None = None,
        priority: int = 50,
        limits: Limits | None = None,
        proxy: Secret | None = None,
        other_clients: bool = False,
    ) -> Account:
        """Keep a new account in the database.

        Raises `InvalidRequest` for an unknown provider, an unusable name, URL or priority, `Conflict` when it exists.
        """
        if provider not in self._providers:
            raise unknown_provider(provider, self._providers)
        _check_name(name)
        _check_priority(priority)
        if base_url is not None:
            base_url = check_base_url(base_url)
        account_id = f"{provider}/{name}"
        if any(account.id == account_id and account.origin != "discovered" for account in self._all):
            raise already_exists(account_id)
        key = context(account_id, "credential")
        stored = Stored(
            credential=None if credential is None else self._vault.seal_credential(credential, key),
            origin=origin_of(base_url or self._providers[provider].facts.base_url),
            base_url=base_url,
            priority=priority,
            limits=limits or Limits(),
            other_clients=other_clients,
            proxy=self._sealed_proxy(account_id, proxy),
        )
        await self._rows.create(account_id, stored)
        return self._adopt(account_id, stored)

    async def remove(self, provider: str, name: str) -> bool:
        """False when the database has no such account. Raises `Conflict` for one that comes from the settings."""
        account_id = f"{provider}/{name}"
        if not await self._store.delete(TABLE, account_id):
            if account_id in self._from_settings:
                raise Conflict(f"the account {account_id} is set in the settings", fix="remove it there")
            return False
        self._from_database.pop(account_id, None)
        self._unreadable.pop(account_id, None)
        self._logins.pop(account_id, None)
        self._rebuild()
        return True

    async def edit(
        self,
        account_id: str,
        *,
        priority: int | None = None,
        paused: bool | None = None,
        other_clients: bool | None = None,
        limits: Limits | None = None,
        proxy: Secret | None = None,
    ) -> Account:
        """Change what people set; None leaves it. An empty `proxy` is none. Never touches tokens.

        Raises `NotFound`, `Conflict` for an account that is not the database's, and `InvalidRequest`.
        """
        given = {"priority": priority, "paused": paused, "other_clients": other_clients, "limits": limits}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if priority is not None:
            _check_priority(priority)
        if proxy is not None:
            changes["proxy"] = self._sealed_proxy(account_id, proxy or None)
        return await self._write(account_id, lambda stored: msgspec.structs.replace(stored, **changes))

    async def rename(self, account_id: str, name: str) -> Account:
        """Give it another name. Whoever calls sees to it that no refresh runs meanwhile. Raises as `edit`."""
        _check_name(name)
        new_id = f"{account_id.partition('/')[0]}/{name}"
        if self.get(new_id) is not None:
            raise already_exists(new_id)
        stored = await self._stored(account_id)
        moved = msgspec.structs.replace(stored, renamed_from=account_id).sealed_for(self._vault, account_id, new_id)
        await self._rows.create(new_id, moved)
        await self._store.delete(TABLE, account_id)
        models = self._models.get(account_id)
        self._forget(account_id)
        if models is not None:
            self._models[new_id] = models
        return await self._write(new_id, _settled)

    # --- tokens

    async def reread(self, account_id: str) -> Account | None:
        """The account as the database has it now; None when it is gone, or is none of the database's."""
        row = await self._store.get(TABLE, account_id)
        if row is None:
            return None
        known = self._from_database.get(account_id), self._logins.get(account_id)
        account = self._from_database[account_id] = self._read(row)
        if known != (account, self._logins.get(account_id)):
            self._rebuild()
        return self.get(account_id) or account

    async def write_tokens(self, account_id: str, credential: Credential, login: Login, fence: Lease | None) -> Account:
        """Keep new tokens, and the ones before for a while. On the disk first, then in use.

        Raises `VersionConflict` when the lease went to somebody else: their tokens count, not these.
        """
        sealed = self._vault.seal_credential(credential, context(account_id, "credential"))

        def change(stored: Stored) -> Stored:
            return msgspec.structs.replace(
                stored,
                credential=sealed,
                previous=stored.credential,
                previous_until_s=self._clock() + PREVIOUS_KEPT_S,
                login=login,
            )

        return await self._write(account_id, change, fence)

    async def write_login(self, account_id: str, login: Login, fence: Lease | None) -> Account:
        """Keep how a refresh stands. The tokens stay. Raises as `write_tokens`."""

        def change(stored: Stored) -> Stored:
            if stored.previous_until_s is not None and stored.previous_until_s < self._clock():
                stored = msgspec.structs.replace(stored, previous=None, previous_until_s=None)
            return msgspec.structs.replace(stored, login=login)

        return await self._write(account_id, change, fence)

    async def sign_in_again(self, account_id: str, credential: Credential, *, replace: bool = False) -> Account:
        """New tokens from a new sign-in. Raises `Conflict` when they are another person's, unless that is meant."""
        stored = await self._stored(account_id)
        try:
            old = stored.opened_credential(self._vault, account_id)
        except CredentialLocked:
            old = None  # nobody can tell any more
        before, after = identity_of(old), identity_of(credential)
        if before is not None and after is not None and before != after and not replace:
            raise Conflict(
                f"{account_id} belongs to {before}, and you signed in as {after}",
                fix="add it under another name, or replace it on purpose with --replace",
            )
        sealed = self._vault.seal_credential(credential, context(account_id, "credential"))
        known = self._providers.get(account_id.partition("/")[0])

        def change(stored: Stored) -> Stored:
            root = stored.base_url or (None if known is None else known.facts.base_url)
            origin = None if root is None else origin_of(root)
            return msgspec.structs.replace(stored, credential=sealed, login=NO_LOGIN, origin=origin)

        return await self._write(account_id, change)

    async def reseal(self) -> None:
        """Seal every row with the vault's current key; what is locked stays as it is."""
        for row in await self._store.scan(TABLE):
            try:
                await self._write(row.key, partial(Stored.sealed_for, vault=self._vault, old=row.key, new=row.key))
            except (NotFound, Conflict, CredentialLocked):
                continue

    async def _stored(self, account_id: str) -> Stored:
        with self._in_the_database(account_id):
            return decoded(await self._rows.row(account_id))

    async def _write(self, account_id: str, change: Callable[[Stored], Stored], fence: Lease | None = None) -> Account:
        """On the disk, then in the table. Raises `NotFound`, `Conflict` for what is not the database's, `VersionConflict`."""
        with self._in_the_database(account_id):
            return self._adopt(account_id, await self._rows.change(account_id, change, fence))

    @contextmanager
    def _in_the_database(self, account_id: str) -> Iterator[None]:
        """An account that is not there may be somewhere else."""
        try:
            yield
        except NotFound as error:
            if self.get(account_id) is None:
                raise
            why = f"the account {account_id} is not in the database"
            raise Conflict(why, fix="change it where it is set") from error

    async def _finish_renaming(self, rows: Sequence[Row]) -> None:
        """Two rows with one credential must not be: the gateway died between writing the new and removing the old."""
        for row in rows:
            try:
                old = decoded(row).renamed_from
            except Conflict:
                continue
            if old is not None:
                await self._store.delete(TABLE, old)
                self._forget(old)
                await self._write(row.key, _settled)

    def _forget(self, account_id: str) -> None:
        for table in (self._from_database, self._unreadable, self._logins, self._models):
            table.pop(account_id, None)

    def _sealed_proxy(self, account_id: str, proxy: Secret | None) -> bytes | None:
        if proxy is None:
            return None
        return self._vault.seal(check_proxy(proxy).reveal().encode(), context(account_id, "proxy"))

    # --- what was found

    def set_discovered(self, provider: str, accounts: Sequence[Account]) -> None:
        """Replace what was found of `provider` on this machine."""
        self._discovered[provider] = {account.id: account for account in accounts}
        self._rebuild()

    def set_models(self, account_id: str, models: Sequence[ModelFacts] | None) -> None:
        """Replace the account's live list of models; None goes back to the provider's facts."""
        self.set_model_lists({account_id: models})

    def set_model_lists(self, lists: Mapping[str, Sequence[ModelFacts] | None]) -> None:
        """The same for several accounts, and one change."""
        for account_id, models in lists.items():
            if models is None:
                self._models.pop(account_id, None)
            else:
                self._models[account_id] = self._shared(account_id.partition("/")[0], tuple(models))
        self._rebuild()

    def _shared(self, provider: str, models: tuple[ModelFacts, ...]) -> tuple[ModelFacts, ...]:
        """The very list that another account of the provider has, if they are equal: most are, and they are long."""
        last = self._last_models.get(provider)
        if last == models and last is not None:
            return last
        self._last_models[provider] = models
        return models

    # --- the table

    def _rebuild(self) -> None:
        merged = merge(self._providers, *self._discovered.values(), self._from_database, self._from_settings)
        self._models = {account_id: models for account_id, models in self._models.items() if account_id in merged}
        for account_id, models in self._models.items():
            merged[account_id] = msgspec.structs.replace(merged[account_id], models=models)
        self._locked = {
            account_id: why for account_id, why in self._unreadable.items() if merged[account_id].origin == "database"
        }
        before = self._all, self._usable
        self._all = in_order(merged.values())
        self._by_id = merged
        self._usable = by_provider(account for account in self._all if self._may_be_used(account))
        if before != (self._all, self._usable):
            self.on_change()

    def _may_be_used(self, account: Account) -> bool:
        return not (account.paused or account.id in self._locked or self.login(account.id).is_needed)

    def _read(self, row: Row) -> Account:
        """What a row says. When it cannot be used there is no credential, and the reason is kept."""
        try:
            return self._opened(row.key, decoded(row))
        except Conflict:
            self._unreadable[row.key] = UNREADABLE
            return self._opener.account(row.key, Stored())

    def _adopt(self, account_id: str, stored: Stored) -> Account:
        account = self._from_database[account_id] = self._opened(account_id, stored)
        self._rebuild()
        return self.get(account_id) or account

    def _opened(self, key: str, stored: Stored) -> Account:
        account, locked = self._opener.opened(key, stored)
        self._unreadable.pop(key, None)
        if locked is not None:
            self._unreadable[key] = locked
        self._logins[key] = stored.login
        return account


def _settled(stored: Stored) -> Stored:
    return msgspec.structs.replace(stored, renamed_from=None)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise InvalidRequest("an account's name is one line of 1 to 100 characters without a slash", param="name")


def _check_priority(priority: int) -> None:
    if not 1 <= priority <= 100:
        raise InvalidRequest(f"priority {priority} is not between 1 and 100", param="priority")
