"""Who may call: client keys, and the one management key. Only digests are kept, and matching takes constant time.

The two kinds never stand in for each other: `omr_…` is a client key, `omrm_…` the management key.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
import string
import time
from collections.abc import Callable

import msgspec

from omniroute.contracts import ClientKey, Limits, LossPolicy, Store
from omniroute.datadir import DataDir
from omniroute.errors import Conflict, InvalidRequest, SettingsError, StoreError, VersionConflict
from omniroute.secret import Secret
from omniroute.settings import Settings
from omniroute.settings.paths import dotted

__all__ = ["KeyTable", "ManagementKey"]

TABLE = "client_keys"
PREFIX = "omr_"
MANAGEMENT_PREFIX = "omrm_"
ID_ALPHABET = string.ascii_lowercase + string.digits
ID_LENGTH = 8
SECRET_BYTES = 32
"""43 characters in base64url."""
NAME = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
SHORTEST_KEY = 16

CLIENT_KEY_FILE = "client.key"
MANAGEMENT_KEY_FILE = "management.key"
FIRST_KEY_NAME = "first-run"
NOBODY = bytes(hashlib.sha256().digest_size)


class KeyTable:
    """Implements `ClientKeys`. Call `load` before matching. `clock` is Unix time."""

    def __init__(self, settings: Settings, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._from_settings = _keys_of(settings)
        self._by_digest = {key.sha256: key for key in self._from_settings}
        self._by_id: dict[str, ClientKey] = {}
        self._changing = asyncio.Lock()

    def match(self, presented: str) -> ClientKey | None:
        digest = _digest(presented)
        key = self._by_digest.get(digest)
        if key is None and presented.startswith(PREFIX):
            key = self._by_id.get(presented[len(PREFIX) :][:ID_LENGTH])
        if not hmac.compare_digest(digest, NOBODY if key is None else key.sha256):
            return None
        return key if key is not None and self._is_live(key) else None

    def list(self) -> tuple[ClientKey, ...]:
        """Every key, revoked and expired ones too; those of the settings first, then by age."""
        return (*self._from_settings, *sorted(self._by_id.values(), key=lambda key: (key.created_s, key.id)))

    async def load(self) -> None:
        """Read the keys of the database. Raises `StoreError` when one cannot be read."""
        rows = await self._store.scan(TABLE)
        try:
            self._by_id = {row.key: msgspec.json.decode(row.value, type=ClientKey) for row in rows}
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StoreError(
                "a client key in the database cannot be read", why=str(error), fix="restore a backup of the database"
            ) from error

    async def create(
        self,
        name: str,
        expires_at_s: float | None = None,
        *,
        loss: LossPolicy | None = None,
        limits: Limits | None = None,
    ) -> tuple[ClientKey, Secret]:
        """Make a key; this is the only time its text is known. `expires_at_s` is Unix time, None does not expire.

        Raises `InvalidRequest` for an unusable name, `Conflict` when a live key has it.
        """
        async with self._changing:
            key, text = self._make(name, expires_at_s)
            key = msgspec.structs.replace(key, loss=loss, limits=limits or None)
            await self._insert(key)
            return key, text

    async def revoke(self, id_or_name: str) -> bool:
        """False when no live key has this id or name. Raises `Conflict` for one that comes from the settings."""
        async with self._changing:
            live = [key for key in self.list() if self._is_live(key)]
            key = next((key for key in live if key.id == id_or_name), None) or next(
                (key for key in live if key.name == id_or_name), None
            )
            if key is None:
                return False
            if key in self._from_settings:
                raise Conflict(f"the key {key.name} is set in the settings", fix="remove it there")
            revoked = msgspec.structs.replace(key, revoked=True)
            await self._store.put(TABLE, key.id, msgspec.json.encode(revoked))
            self._by_id[key.id] = revoked
            return True

    async def ensure_first_key(self, data_dir: DataDir) -> Secret | None:
        """Make the key `first-run` where there has never been any, and keep its text in `client.key` (0600).

        None when there is a key, or was one: revoking the last does not bring another.
        """
        async with self._changing:
            if self.list():
                return None
            key, text = self._make(FIRST_KEY_NAME, None)
            data_dir.write_private(CLIENT_KEY_FILE, text.reveal().encode())  # first: a key nobody knows helps nobody
            await self._insert(key)
            return text

    def _make(self, name: str, expires_at_s: float | None) -> tuple[ClientKey, Secret]:
        if not NAME.fullmatch(name):
            raise InvalidRequest("a key's name has 1 to 64 printable characters", param="name")
        if any(key.name == name and self._is_live(key) for key in self.list()):
            raise Conflict(
                f"there is a key called {name!r} already", fix="choose another name, or revoke that one first"
            )
        id_ = "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_LENGTH))
        text = f"{PREFIX}{id_}_{secrets.token_urlsafe(SECRET_BYTES)}"
        key = ClientKey(id=id_, name=name, sha256=_digest(text), created_s=self._clock(), expires_at_s=expires_at_s)
        return key, Secret(text)

    async def _insert(self, key: ClientKey) -> None:
        try:
            await self._store.put(TABLE, key.id, msgspec.json.encode(key), expect=0)
        except VersionConflict:  # one in 2.8 × 10¹²
            raise Conflict("the new key's id is taken", fix="try once more") from None
        self._by_id[key.id] = key

    def _is_live(self, key: ClientKey) -> bool:
        return not key.revoked and (key.expires_at_s is None or key.expires_at_s > self._clock())


class ManagementKey:
    """The key to `/api`, for this machine's own commands. Never in the database."""

    def __init__(self, key: Secret) -> None:
        self.key = key
        self._digest = _digest(key.reveal())

    def match(self, presented: str) -> bool:
        return hmac.compare_digest(_digest(presented), self._digest)

    @classmethod
    def ensure(cls, data_dir: DataDir) -> "ManagementKey":
        """Read it from `management.key`; the first time, make it."""
        kept = cls.read(data_dir)
        if kept is None:
            kept = cls(Secret(MANAGEMENT_PREFIX + secrets.token_urlsafe(SECRET_BYTES)))
            data_dir.write_private(MANAGEMENT_KEY_FILE, kept.key.reveal().encode())
        return kept

    @classmethod
    def read(cls, data_dir: DataDir) -> "ManagementKey | None":
        """None when no gateway has started on this directory yet. Raises `StoreError` when the file holds no such key."""
        content = data_dir.read_private(MANAGEMENT_KEY_FILE)
        if content is None:
            return None
        text = content.decode("ascii", "replace").strip()
        if not text.startswith(MANAGEMENT_PREFIX) or len(text) < len(MANAGEMENT_PREFIX) + 43:
            raise StoreError(
                f"the file {data_dir.path / MANAGEMENT_KEY_FILE} holds no management key",
                fix="remove it and start the gateway again: it makes a new one",
            )
        return cls(Secret(text))


def _keys_of(settings: Settings) -> tuple[ClientKey, ...]:
    findings: list[str] = []
    keys: list[ClientKey] = []
    for number, entry in enumerate(settings.auth.keys):
        text = entry.key.reveal()
        if problem := _problem(text):
            path = ("auth", "keys", number, "key")
            findings.append(f"{settings.place(path)}: {dotted(path)}: {problem}")
        # of the name: an id is public, and a key somebody thought up himself must not be guessed from it
        id_ = hashlib.sha256(entry.name.encode()).hexdigest()[:ID_LENGTH]
        limits = Limits(max_concurrency=entry.max_concurrency, rpm=entry.rpm, tpm=entry.tpm) or None
        keys.append(
            ClientKey(id=id_, name=entry.name, sha256=_digest(text), created_s=0.0, loss=entry.loss, limits=limits)
        )
    if findings:
        raise SettingsError(findings)
    return tuple(keys)


def _problem(key: str) -> str | None:
    if len(key) < SHORTEST_KEY:
        return f"the key has {len(key)} characters; at least {SHORTEST_KEY} are needed"
    if key.startswith(MANAGEMENT_PREFIX):
        return "the key is a management key, which clients may not use; choose another"
    return None


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
