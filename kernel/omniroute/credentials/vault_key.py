"""Where the vault's key is kept, how it is found at the start, and how it is replaced.

`file` is `secret.key` in the data directory, readable by its owner alone: that protects backups of the database and from
other users, not from a thief of the whole directory. `keyring` is the operating system's (Keychain, Credential Manager,
Secret Service), through the optional library of that name. A key is never made where something was sealed before.
"""

import base64
import binascii
import os
from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol, TypeAlias

from omniroute.contracts import Store
from omniroute.credentials.vault import KEY_BYTES, Vault
from omniroute.datadir import DataDir
from omniroute.errors import CredentialLocked, StoreError, VersionConflict

__all__ = ["KeyPlace", "VaultKey", "open_vault"]

KEY_FILE = "secret.key"
NEXT = ".next"
"""Ending of the name under which a new key waits until nothing is sealed with the old one."""
SERVICE = "omniroute"

CANARY_TABLE = "vault"
CANARY_KEY = "canary"
CANARY_CONTEXT = f"{CANARY_TABLE}|{CANARY_KEY}|value"
CANARY = b"omniroute"

KeyPlace: TypeAlias = Literal["file", "keyring"]


class _Place(Protocol):
    label: str
    """For people."""

    def read(self, ending: str = "") -> bytes | None: ...
    def write(self, key: bytes, ending: str = "") -> None: ...
    def remove(self, ending: str = "") -> None: ...


class _File:
    def __init__(self, data_dir: DataDir) -> None:
        self._data_dir = data_dir
        self.label = str(data_dir.path / KEY_FILE)

    def read(self, ending: str = "") -> bytes | None:
        return self._data_dir.read_private(KEY_FILE + ending)

    def write(self, key: bytes, ending: str = "") -> None:
        self._data_dir.write_private(KEY_FILE + ending, key)

    def remove(self, ending: str = "") -> None:
        self._data_dir.remove_private(KEY_FILE + ending)


class _Keyring:
    """The operating system's key store; one entry for each data directory."""

    def __init__(self, data_dir: DataDir, library: Any) -> None:
        self._keyring = library
        self._user = str(data_dir.path.resolve())
        self.label = f"entry {self._user!r} of the service {SERVICE!r} in the keyring"

    def read(self, ending: str = "") -> bytes | None:
        text = self._using(lambda: self._keyring.get_password(SERVICE, self._user + ending))
        try:
            return None if text is None else base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise StoreError(f"the {self.label} is no key", fix="restore it, or remove the account data") from error

    def write(self, key: bytes, ending: str = "") -> None:
        text = base64.b64encode(key).decode()
        self._using(lambda: self._keyring.set_password(SERVICE, self._user + ending, text))

    def remove(self, ending: str = "") -> None:
        if self.read(ending) is not None:
            self._using(lambda: self._keyring.delete_password(SERVICE, self._user + ending))

    def _using(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except Exception as error:  # each system's backend has errors of its own
            raise StoreError(
                "the operating system's keyring does not answer",
                why=type(error).__name__,
                fix='unlock it, or set [vault] key = "file"',
            ) from error


def _place(kind: KeyPlace, data_dir: DataDir) -> _Place:
    if kind == "file":
        return _File(data_dir)
    return _Keyring(data_dir, keyring_library())


def keyring_library() -> Any:
    """Raises `StoreError` when it is not installed."""
    import importlib

    try:
        return importlib.import_module("keyring")
    except ImportError as error:
        raise StoreError(
            '[vault] key = "keyring" needs the library keyring',
            why="it is not installed",
            fix='pip install keyring, or set [vault] key = "file"',
        ) from error


class VaultKey:
    """The key of one data directory: where it is, and its replacement."""

    def __init__(self, data_dir: DataDir, store: Store, kind: KeyPlace) -> None:
        self._store = store
        self._place = _place(kind, data_dir)
        self._others = [_File(data_dir)] if kind == "keyring" else []
        """Where it may still be from before the setting changed."""

    async def open(self) -> Vault:
        """The vault; makes a key at the very first start.

        A sealed canary in the store remembers that there is a key: raises `StoreError` when the key is missing or is not
        the one that sealed it, and never makes another then.
        """
        canary = await self._store.get(CANARY_TABLE, CANARY_KEY)
        place, key = self._found()
        if key is None:
            if canary is not None:
                raise StoreError(
                    f"the encryption key {place.label} is missing",
                    why="the database holds data sealed with it",
                    fix=_restore(place),
                )
            key = os.urandom(KEY_BYTES)
            place.write(key)
        following = self._checked(self._place, self._place.read(NEXT))
        vault = Vault(key) if following is None else Vault(following, key)
        sealed = await self._seal_canary(vault) if canary is None else canary.value
        try:
            vault.unseal(sealed, CANARY_CONTEXT)
        except CredentialLocked as error:
            raise StoreError(
                f"the encryption key {place.label} does not belong to the database", why=error.why, fix=_restore(place)
            ) from error
        return vault

    async def rotate(self, vault: Vault, reseal: Callable[[], Awaitable[None]]) -> None:
        """Replace the key. Whenever this is cut short, everything opens, and the next call or start goes on.

        `reseal` seals everything anew that is not under the vault's current key.
        """
        if self._checked(self._place, self._place.read(NEXT)) is None:
            following = os.urandom(KEY_BYTES)
            self._place.write(following, NEXT)
            vault.turn_to(following)
        await self.finish(vault, reseal)

    async def finish(self, vault: Vault, reseal: Callable[[], Awaitable[None]]) -> None:
        """Go through with a rotation that has begun; nothing to do when none has."""
        following = self._checked(self._place, self._place.read(NEXT))
        if following is None:
            return
        await reseal()
        await self._reseal_canary(vault)
        self._place.write(following)
        self._place.remove(NEXT)
        for other in self._others:
            other.remove()
        vault.forget_others()

    def _found(self) -> tuple[_Place, bytes | None]:
        for place in (self._place, *self._others):
            if (key := self._checked(place, place.read())) is not None:
                return place, key
        return self._place, None

    def _checked(self, place: _Place, key: bytes | None) -> bytes | None:
        if key is not None and len(key) != KEY_BYTES:
            raise StoreError(
                f"the encryption key {place.label} is damaged",
                why=f"it has {len(key)} bytes, not {KEY_BYTES}",
                fix=_restore(place),
            )
        return key

    async def _seal_canary(self, vault: Vault) -> bytes:
        sealed = vault.seal(CANARY, CANARY_CONTEXT)
        try:
            await self._store.put(CANARY_TABLE, CANARY_KEY, sealed, expect=0)
        except VersionConflict:  # somebody else on the same store was faster
            row = await self._store.get(CANARY_TABLE, CANARY_KEY)
            return sealed if row is None else row.value
        return sealed

    async def _reseal_canary(self, vault: Vault) -> None:
        row = await self._store.get(CANARY_TABLE, CANARY_KEY)
        if row is not None:
            await self._store.put(CANARY_TABLE, CANARY_KEY, vault.reseal(row.value, CANARY_CONTEXT))


async def open_vault(data_dir: DataDir, store: Store, kind: KeyPlace = "file") -> Vault:
    """The vault of this data directory. Raises `StoreError`."""
    return await VaultKey(data_dir, store, kind).open()


def _restore(place: _Place) -> str:
    return f"restore {place.label} from a backup; without it the stored credentials stay locked"
