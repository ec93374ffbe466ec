"""The vault: credentials are encrypted at rest with AES-256-GCM, under a key kept beside the data.

Each ciphertext is bound to its place (`table|row id|column`), so one moved elsewhere does not open, and names its key, so
a wrong key is told from damage. The file mode of the key protects backups of the database and from other users, not from
a thief of the whole directory.
"""

import hashlib
import os
from collections.abc import Mapping

import msgspec

from omniroute.contracts import Credential, Store
from omniroute.datadir import DataDir
from omniroute.errors import CredentialLocked, StoreError, VersionConflict
from omniroute.secret import Secret

__all__ = ["Vault", "open_vault"]

KEY_FILE = "secret.key"
KEY_BYTES = 32
VERSION = b"\x01"
KEY_ID_BYTES = 8
NONCE_BYTES = 12
HEAD_BYTES = len(VERSION) + KEY_ID_BYTES + NONCE_BYTES
TAG_BYTES = 16

CANARY_TABLE = "vault"
CANARY_KEY = "canary"
CANARY_CONTEXT = f"{CANARY_TABLE}|{CANARY_KEY}|value"
CANARY = b"omniroute"


class _Plain(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A credential in the clear, as it is between encoding and sealing."""

    access: str
    refresh: str | None = None
    expires_at_s: float | None = None
    metadata: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return "_Plain(***)"


class Vault:
    """Seals bytes: version (1), key id (8), nonce (12), ciphertext and tag. `key` is 32 random bytes."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if len(key) != KEY_BYTES:
            raise ValueError(f"a vault key has {KEY_BYTES} bytes, not {len(key)}")
        self._cipher = AESGCM(key)
        self._key_id = hashlib.sha256(b"omniroute-vault-key:" + key).digest()[:KEY_ID_BYTES]

    def __repr__(self) -> str:
        return f"Vault(key {self.key_id})"

    @property
    def key_id(self) -> str:
        """Tells keys apart without giving anything of them away."""
        return self._key_id.hex()

    def seal(self, plaintext: bytes, context: str) -> bytes:
        """`context` is where the result will be kept, as `table|row id|column`; it opens nowhere else."""
        nonce = os.urandom(NONCE_BYTES)
        return VERSION + self._key_id + nonce + self._cipher.encrypt(nonce, plaintext, context.encode())

    def unseal(self, sealed: bytes, context: str) -> bytes:
        """Raises `CredentialLocked` when it was sealed with another key or for another place, or was changed."""
        from cryptography.exceptions import InvalidTag

        if len(sealed) < HEAD_BYTES + TAG_BYTES or not sealed.startswith(VERSION):
            raise _locked("what is stored there was not sealed by this version")
        key_id = sealed[len(VERSION) :][:KEY_ID_BYTES]
        if key_id != self._key_id:
            raise _locked(f"it was sealed with the key {key_id.hex()}; {KEY_FILE} is {self.key_id}")
        nonce = sealed[HEAD_BYTES - NONCE_BYTES : HEAD_BYTES]
        try:
            return self._cipher.decrypt(nonce, sealed[HEAD_BYTES:], context.encode())
        except InvalidTag as error:
            raise _locked("it was changed, or copied from another place") from error

    def seal_credential(self, credential: Credential, context: str) -> bytes:
        plain = _Plain(
            access=credential.access.reveal(),
            refresh=None if credential.refresh is None else credential.refresh.reveal(),
            expires_at_s=credential.expires_at_s,
            metadata=credential.metadata,
        )
        return self.seal(msgspec.json.encode(plain), context)

    def unseal_credential(self, sealed: bytes, context: str) -> Credential:
        """Raises `CredentialLocked`."""
        try:
            plain = msgspec.json.decode(self.unseal(sealed, context), type=_Plain)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise _locked("what was sealed is no credential") from None  # the cause may quote it
        return Credential(
            access=Secret(plain.access),
            refresh=None if plain.refresh is None else Secret(plain.refresh),
            expires_at_s=plain.expires_at_s,
            metadata=plain.metadata,
        )


async def open_vault(data_dir: DataDir, store: Store) -> Vault:
    """The vault of this data directory; makes its key at the very first start.

    A sealed canary in the store remembers that there is a key: raises `StoreError` when the key is missing or is not the
    one that sealed it, and never makes another then.
    """
    key = data_dir.read_private(KEY_FILE)
    canary = await store.get(CANARY_TABLE, CANARY_KEY)
    path = data_dir.path / KEY_FILE
    restore = f"restore {path} from a backup; without it the stored credentials stay locked"
    if key is None:
        if canary is not None:
            raise StoreError(
                f"the encryption key {path} is missing", why="the database holds data sealed with it", fix=restore
            )
        key = os.urandom(KEY_BYTES)
        data_dir.write_private(KEY_FILE, key)
    elif len(key) != KEY_BYTES:
        raise StoreError(
            f"the encryption key {path} is damaged", why=f"it has {len(key)} bytes, not {KEY_BYTES}", fix=restore
        )
    vault = Vault(key)
    if canary is None:
        try:
            await store.put(CANARY_TABLE, CANARY_KEY, vault.seal(CANARY, CANARY_CONTEXT), expect=0)
        except VersionConflict:  # somebody else on the same store was faster
            canary = await store.get(CANARY_TABLE, CANARY_KEY)
    if canary is not None:
        try:
            vault.unseal(canary.value, CANARY_CONTEXT)
        except CredentialLocked as error:
            raise StoreError(
                f"the encryption key {path} does not belong to the database", why=error.why, fix=restore
            ) from error
    return vault


def _locked(why: str) -> CredentialLocked:
    return CredentialLocked(
        "a stored credential cannot be decrypted",
        why=why,
        fix="restore the key file that belongs to the database, or remove the account and add it again",
    )
