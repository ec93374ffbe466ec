"""How a credential is got and renewed, and who is calling."""

from collections.abc import Generator, Mapping
from typing import Any, Protocol, TypeAlias

import msgspec

from omniroute.contracts.http import Headers, HttpRequest
from omniroute.contracts.provider import Credential, ProviderFacts
from omniroute.contracts.translator import LossPolicy
from omniroute.secret import Secret

__all__ = [
    "AuthScheme",
    "AuthStep",
    "Authenticator",
    "AwaitRedirect",
    "ClientKey",
    "ClientKeys",
    "Principal",
    "ShowUser",
    "Sleep",
]


class ShowUser(msgspec.Struct, frozen=True, kw_only=True):
    """Something the person signing in must see: a URL to open, a code to type."""

    message: str
    url: str | None = None
    code: str | None = None


class AwaitRedirect(msgspec.Struct, frozen=True, kw_only=True):
    """Wait for the browser to come back to a loopback listener; resumes with the redirect's query as a mapping."""

    path: str
    port: int = 0
    """0 is any free port."""
    timeout_s: float = 600.0


class Sleep(msgspec.Struct, frozen=True, kw_only=True):
    seconds_s: float


AuthStep: TypeAlias = HttpRequest | ShowUser | AwaitRedirect | Sleep


class AuthScheme(Protocol):
    """How an upstream credential is got and renewed. Sync generators; the kernel does what they yield and sends the result.

    An `HttpRequest` resumes with an `HttpResponse`, the others with None (`AwaitRedirect`: a mapping).
    """

    name: str

    def sign_in(self, facts: ProviderFacts, given: Mapping[str, Secret]) -> Generator[AuthStep, Any, Credential]:
        """`given` is what the user supplied, e.g. `{"api_key": …}`. Raises `InvalidRequest` when something is missing."""
        ...

    def refresh(self, facts: ProviderFacts, credential: Credential) -> Generator[AuthStep, Any, Credential]:
        """Return the credential unchanged when there is nothing to renew."""
        ...


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who is calling."""

    key_id: str
    """Public id of the client key; `local` in keyless mode."""
    name: str
    scopes: frozenset[str] = frozenset()
    loss: LossPolicy | None = None
    """What this key's requests may lose in translation; None leaves it to combo and settings."""


class ClientKey(msgspec.Struct, frozen=True, kw_only=True):
    """A client key as it is stored: never the key itself."""

    id: str
    """Eight characters, part of the key, public."""
    name: str
    sha256: bytes
    """Digest of the whole key."""
    created_s: float
    expires_at_s: float | None = None
    revoked: bool = False
    loss: LossPolicy | None = None


class ClientKeys(Protocol):
    """The live table of client keys, kept current by the kernel. Sync, in memory."""

    def match(self, presented: str) -> ClientKey | None:
        """The valid key this text is; None when it is none, or one that is revoked or expired. Takes constant time."""
        ...


class Authenticator(Protocol):
    """Says who is calling the model API. Async; asked in order, the first Principal wins."""

    async def authenticate(self, headers: Headers, query: Mapping[str, str], peer: str) -> Principal | None:
        """None when this authenticator sees no credential of its own. Raises `AuthenticationFailed` for a bad one,
        `InvalidRequest` when several places hold different ones. `peer` is the socket's address."""
        ...
