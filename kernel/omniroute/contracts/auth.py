"""How a credential is got and renewed, and who is calling."""

from collections.abc import Generator, Mapping
from typing import Any, Protocol

import msgspec

from omniroute.contracts.http import Headers
from omniroute.contracts.limits import Limits
from omniroute.contracts.provider import ProviderFacts
from omniroute.contracts.signing_in import AuthStep, Credential
from omniroute.contracts.translator import LossPolicy
from omniroute.secret import Secret

__all__ = [
    "AuthScheme",
    "Authenticator",
    "ClientKey",
    "ClientKeys",
    "Principal",
]


class AuthScheme(Protocol):
    """How an upstream credential is got and renewed. Sync generators; the kernel does what they yield and sends the result.

    An `HttpRequest` resumes with an `HttpResponse` whatever its status, the other steps with what they say. An
    `UpstreamError` is raised at a request that nobody answered. Generators are pure: time and randomness are steps too.
    """

    name: str
    interactive: bool = False
    """Signing in needs a person at a browser. Where a provider has several schemes, a key that was given goes to one that is
    not, and a bare `account add` begins one that is."""

    def sign_in(self, facts: ProviderFacts, given: Mapping[str, Secret]) -> Generator[AuthStep, Any, Credential]:
        """`given` is what the user supplied: `api_key`, `access`, `refresh`, `expires_at`, `client_secret`.

        Raises `InvalidRequest` when something is missing or the person refused, `UpstreamError` when the vendor did.
        """
        ...

    def refresh(self, facts: ProviderFacts, credential: Credential) -> Generator[AuthStep, Any, Credential]:
        """Return the credential unchanged when there is nothing to renew.

        Raises `SignInRequired` when the vendor says that only a new sign-in helps, another `UpstreamError` when it did not
        work this time. New tokens are yielded as `Keep` before anything else is done with them.
        """
        ...


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who is calling."""

    key_id: str
    """Public id of the client key; `local` in keyless mode."""
    name: str
    scopes: frozenset[str] = frozenset()
    loss: LossPolicy | None = None
    """What this key's requests may lose in translation; None leaves it to combo and settings."""
    limits: Limits | None = None
    """What this key may ask for."""


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
    limits: Limits | None = None


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
