"""Values that an earlier OmniRoute encrypted: `enc:v1:<iv>:<ciphertext>:<tag>` in hexadecimal, AES-256-GCM."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from omniroute.importing.files import CannotRead, read
from omniroute.secret import Secret

__all__ = ["KEY_VARIABLE", "Opener", "find_key"]

KEY_VARIABLE = "STORAGE_ENCRYPTION_KEY"
KEY_FILES = ("server.env", ".env")
MAX_KEY_FILE_BYTES = 256 * 1024
PREFIX = "enc:"
VERSION = "enc:v1:"
SALT = b"omniroute-field-encryption-v1"
TAG_BYTES = 16


def find_key(directory: Path, environ: Mapping[str, str]) -> Secret | None:
    """The passphrase: from the environment, else from the files in which the data directory may keep it."""
    if environ.get(KEY_VARIABLE):
        return Secret(environ[KEY_VARIABLE])
    for name in KEY_FILES:
        try:
            found = read(directory / name, directory, MAX_KEY_FILE_BYTES)
        except CannotRead:
            continue
        for line in [] if found is None else found[0].splitlines():
            variable, _, value = line.decode("utf-8", "replace").strip().partition("=")
            if variable.removeprefix("export ").strip() == KEY_VARIABLE and value.strip():
                return Secret(value.strip().strip("\"'"))
    return None


class Opener:
    def __init__(self, passphrase: Secret | None) -> None:
        self._passphrase = passphrase
        self._keys: list[bytes] | None = None

    def opened(self, value: str) -> str:
        """The text; what was never encrypted is returned as it is. Raises `CannotRead`."""
        if not value.startswith(PREFIX):
            return value
        if not value.startswith(VERSION):
            raise CannotRead("it is encrypted in a way that is not known here")
        if self._passphrase is None:
            raise CannotRead(f"it is encrypted, and the key is not here: set {KEY_VARIABLE} as it was there")
        try:
            iv, ciphertext, tag = (bytes.fromhex(part) for part in value.removeprefix(VERSION).split(":"))
        except ValueError:
            raise CannotRead("what is encrypted is damaged") from None
        for key in self._derived(self._passphrase):
            text = _decrypted(key, iv, ciphertext + tag)
            if text is not None:
                return text
        raise CannotRead(f"it is encrypted with another key: set {KEY_VARIABLE} as it was there")

    def _derived(self, passphrase: Secret) -> list[bytes]:
        """Two derivations were in use."""
        if self._keys is None:
            text = passphrase.reveal().encode()
            salts = (SALT, hashlib.sha256(text).digest()[:16])
            self._keys = [hashlib.scrypt(text, salt=salt, n=16384, r=8, p=1, dklen=32) for salt in salts]
        return self._keys


def _decrypted(key: bytes, iv: bytes, sealed: bytes) -> str | None:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(iv, sealed, None).decode()
    except (InvalidTag, ValueError):
        return None
