"""An account's row in the database: what people set, and the tokens, which only sign-in and refresh write."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from omniroute.contracts import Credential, Limits, OAuthFacts
from omniroute.credentials.vault import Vault
from omniroute.secret import Secret

__all__ = [
    "DEFINITIVE",
    "TABLE",
    "Login",
    "Stored",
    "context",
    "derived_base_url",
    "identity_of",
    "origin_of",
]

TABLE = "accounts"
DEFINITIVE = 2
"""So often must the vendor have said of the newest tokens that only a new sign-in helps."""
IDENTITY = ("account_id", "user_id", "email", "login")
"""Metadata that tells one person's account from another's; what comes first counts."""


class Login(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of the last refresh. Nothing of it is derived from a token's end: only from real answers."""

    begun_at_s: float | None = None
    """A refresh began at this Unix time and how it ended is not known: the process died, or nobody answered."""
    refusals: int = 0
    """How often in a row the vendor refused the newest tokens for good."""
    refused_at_s: float | None = None
    problem: str | None = None
    """Error code of the last refresh, when it failed."""
    refreshed_at_s: float | None = None

    @property
    def is_needed(self) -> bool:
        """Only a person can help, by signing in again."""
        return self.refusals >= DEFINITIVE


class Stored(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The row; its key is `provider/name`."""

    credential: bytes | None = None
    """Sealed for its row."""
    previous: bytes | None = None
    """The one before the last refresh, sealed likewise; never used, kept for a vendor's or our own mistake."""
    previous_until_s: float | None = None
    login: Login = Login()
    origin: str | None = None
    """Where the credential may be sent: scheme, host and port of the API root when it came."""
    base_url: str | None = None
    priority: int = 50
    paused: bool = False
    other_clients: bool = False
    limits: Limits = Limits()
    proxy: bytes | None = None
    """Sealed for its row: it may hold a password."""
    renamed_from: str | None = None
    """The row that this one replaces; it may still be there when the gateway died meanwhile."""

    def sealed_for(self, vault: Vault, old: str, new: str) -> "Stored":
        """The row under another name, or under the vault's current key. Raises `CredentialLocked`."""
        changes: dict[str, bytes] = {}
        for column in ("credential", "previous", "proxy"):
            sealed = getattr(self, column)
            if sealed is not None and (old != new or not vault.is_current(sealed)):
                changes[column] = vault.seal(vault.unseal(sealed, context(old, column)), context(new, column))
        return msgspec.structs.replace(self, **changes)

    def opened_proxy(self, vault: Vault, key: str) -> Secret | None:
        return None if self.proxy is None else Secret(vault.unseal(self.proxy, context(key, "proxy")).decode())

    def opened_credential(self, vault: Vault, key: str) -> Credential | None:
        if self.credential is None:
            return None
        return vault.unseal_credential(self.credential, context(key, "credential"))


def context(key: str, column: str) -> str:
    """`previous` is a `credential` that has moved within its row: both are sealed for the same place."""
    return f"{TABLE}|{key}|{'credential' if column == 'previous' else column}"


def identity_of(credential: Credential | None) -> str | None:
    """Whose it is, as far as anybody said."""
    metadata = {} if credential is None else credential.metadata
    return next((f"{name} {metadata[name]}" for name in IDENTITY if metadata.get(name)), None)


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def derived_base_url(oauth: OAuthFacts | None, metadata: Mapping[str, str]) -> str | None:
    """The API root that the vendor gave this account; None when it gave none, or one where a token must not go."""
    if oauth is None or oauth.base_url is None:
        return None
    tail = oauth.base_url.rpartition("}")[2]  # which some answers have already
    try:
        url = oauth.base_url.format_map(
            {name: value.rstrip("/").removesuffix(tail).rstrip("/") for name, value in metadata.items()}
        )
    except (KeyError, ValueError, IndexError, AttributeError):
        return None
    url = (url if "://" in url else f"https://{url}").rstrip("/")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    allowed = any(host == domain or host.endswith(f".{domain}") for domain in oauth.base_url_hosts)
    return url if parts.scheme == "https" and allowed and not parts.username and port in {None, 443} else None
