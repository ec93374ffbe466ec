"""The vault: bytes are encrypted at rest with AES-256-GCM.

Each ciphertext is bound to its place (`table|row id|column`), so one moved elsewhere does not open, and names its key, so
a wrong key is told from damage, and a second key can open what was sealed before a rotation. Knows no files.
"""

import hashlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from omniroute.contracts import Credential
from omniroute.errors import CredentialLocked
from omniroute.secret import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["KEY_BYTES", "Vault"]

KEY_BYTES = 32
VERSION = b"\x01"
KEY_ID_BYTES = 8
NONCE_BYTES = 12
HEAD_BYTES = len(VERSION) + KEY_ID_BYTES + NONCE_BYTES
TAG_BYTES = 16


class _Plain(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A credential in the clear, as it is between encoding and sealing."""

    access: str
    refresh: str | None = None
    expires_at_s: float | None = None
    metadata: Mapping[str, str] = {}
    secrets: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return "_Plain(***)"


class Vault:
    """Seals bytes: version (1), key id (8), nonce (12), ciphertext and tag. A key is 32 random bytes.

    Seals with `key`, opens what `key` or one of `others` sealed.
    """

    def __init__(self, key: bytes, *others: bytes) -> None:
        self._ciphers: dict[bytes, AESGCM] = {}
        for each in (*others, key):
            self.turn_to(each)

    def __repr__(self) -> str:
        return f"Vault(key {self.key_id})"

    @property
    def key_id(self) -> str:
        """Tells keys apart without giving anything of them away."""
        return self._key_id.hex()

    @property
    def is_turning(self) -> bool:
        """Something may still be sealed with a key that is to go."""
        return len(self._ciphers) > 1

    def turn_to(self, key: bytes) -> None:
        """Seal with this key from now on; what the ones before it sealed still opens."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if len(key) != KEY_BYTES:
            raise ValueError(f"a vault key has {KEY_BYTES} bytes, not {len(key)}")
        self._key_id = hashlib.sha256(b"omniroute-vault-key:" + key).digest()[:KEY_ID_BYTES]
        self._ciphers[self._key_id] = AESGCM(key)

    def forget_others(self) -> None:
        """Nothing is sealed with another key any more."""
        self._ciphers = {self._key_id: self._ciphers[self._key_id]}

    def is_current(self, sealed: bytes) -> bool:
        """It was sealed with the key that seals now."""
        return sealed[len(VERSION) :][:KEY_ID_BYTES] == self._key_id

    def reseal(self, sealed: bytes, context: str) -> bytes:
        """The same under the current key. Raises `CredentialLocked`."""
        return sealed if self.is_current(sealed) else self.seal(self.unseal(sealed, context), context)

    def seal(self, plaintext: bytes, context: str) -> bytes:
        """`context` is where the result will be kept, as `table|row id|column`; it opens nowhere else."""
        nonce = os.urandom(NONCE_BYTES)
        return VERSION + self._key_id + nonce + self._ciphers[self._key_id].encrypt(nonce, plaintext, context.encode())

    def unseal(self, sealed: bytes, context: str) -> bytes:
        """Raises `CredentialLocked` when it was sealed with another key or for another place, or was changed."""
        from cryptography.exceptions import InvalidTag

        if len(sealed) < HEAD_BYTES + TAG_BYTES or not sealed.startswith(VERSION):
            raise _locked("what is stored there was not sealed by this version")
        key_id = sealed[len(VERSION) :][:KEY_ID_BYTES]
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise _locked(f"it was sealed with the key {key_id.hex()}; this gateway has {self.key_id}")
        nonce = sealed[HEAD_BYTES - NONCE_BYTES : HEAD_BYTES]
        try:
            return cipher.decrypt(nonce, sealed[HEAD_BYTES:], context.encode())
        except InvalidTag as error:
            raise _locked("it was changed, or copied from another place") from error

    def seal_credential(self, credential: Credential, context: str) -> bytes:
        plain = _Plain(
            access=credential.access.reveal(),
            refresh=None if credential.refresh is None else credential.refresh.reveal(),
            expires_at_s=credential.expires_at_s,
            metadata=credential.metadata,
            secrets={name: secret.reveal() for name, secret in credential.secrets.items()},
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
            secrets={name: Secret(value) for name, value in plain.secrets.items()},
        )


def _locked(why: str) -> CredentialLocked:
    return CredentialLocked(
        "a stored credential cannot be decrypted",
        why=why,
        fix="restore the key file that belongs to the database, or remove the account and add it again",
    )
