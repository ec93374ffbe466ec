"""An upstream: its facts, its accounts, and what only it does."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

from omniroute.contracts.http import HttpRequest, HttpResponse
from omniroute.contracts.models import ModelFacts
from omniroute.contracts.translator import CredentialPlace, Operation, UpstreamOperation
from omniroute.errors import UpstreamError
from omniroute.model import ChatRequest
from omniroute.secret import Secret

__all__ = [
    "Account",
    "Call",
    "Credential",
    "ModelListing",
    "Probe",
    "Provider",
    "ProviderFacts",
    "Tier",
    "TimeoutFacts",
]


Tier: TypeAlias = Literal["subscription", "api-key", "cheap", "free"]


class TimeoutFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Overrides of `[timeouts]`; None leaves the setting as it is, 0 switches the clock off."""

    connect_s: float | None = None
    first_byte_s: float | None = None
    idle_s: float | None = None
    total_s: float | None = None


class ProviderFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A provider as a table. `[providers.NAME]` in the settings overrides it field by field."""

    name: str
    dialect: str
    base_url: str
    """The API root with its version segment, without a trailing slash."""
    auth: str = "api-key"
    """Name of the auth scheme that gets its credentials; `none` for keyless ones."""
    aliases: tuple[str, ...] = ()
    """Further prefixes in model strings (`cc` for claude)."""
    display_name: str | None = None
    docs_url: str | None = None
    terms_url: str | None = None
    checked: str | None = None
    """Date (YYYY-MM-DD) the facts were last compared with their source."""
    tier: Tier = "api-key"
    status: Literal["live", "withdrawn"] = "live"
    models: tuple[ModelFacts, ...] = ()
    any_model: bool = False
    """Models beyond the list are passed on as they are (a gateway with a catalogue of its own)."""
    headers: Mapping[str, str] = {}
    """Static headers of every request."""
    query: str = ""
    """Fixed query string of every request, without `?`."""
    credential: CredentialPlace | None = None
    """None: as the dialect has it."""
    operations: tuple[Operation, ...] | None = None
    """What this upstream offers of its dialect's operations; None is all."""
    transport: str | None = None
    """Name of a registered transport; None is the one of the settings."""
    streams: Literal["asked", "always", "never"] = "asked"
    """Whether it streams when asked to, can do nothing else, or never does; clients get what they asked for all the same."""
    is_quirky: bool = False
    """Its answers bend the dialect's rules: they are read and written anew instead of being relayed."""
    timeouts: TimeoutFacts = TimeoutFacts()
    drops: tuple[str, ...] = ()
    """As `ModelFacts.drops`, for every model."""


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """What proves to a provider who pays. Stored encrypted; `access` goes on the wire."""

    access: Secret
    refresh: Secret | None = None
    expires_at_s: float | None = None
    """Unix time; None does not expire."""
    metadata: Mapping[str, str] = {}
    """Facts that came with it and are not secret: plan, account id, resource URL."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One credential for a provider, as the router sees it."""

    provider: str
    name: str
    base_url: str
    """The account's own, else the provider's."""
    credential: Credential | None = None
    """None for keyless providers."""
    priority: int = 50
    """1 is asked first, 100 last."""
    models: tuple[ModelFacts, ...] | None = None
    """The live list where the kernel read one; None: the provider's facts."""
    origin: Literal["settings", "database", "discovered", "builtin"] = "database"
    paused: bool = False

    @property
    def id(self) -> str:
        return f"{self.provider}/{self.name}"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request about to be sent, for `Provider.prepare` to turn into HTTP."""

    operation: UpstreamOperation
    account: Account
    model: str
    """The upstream's id; empty for operations without a model."""
    stream: bool
    body: bytes
    headers: Mapping[str, str]
    """Of the dialect and the client, lower case."""
    credential_place: CredentialPlace


class ModelListing(msgspec.Struct, frozen=True, kw_only=True):
    """A request that asks a provider for its models; the answer is read by the dialect's `decode_models`."""

    request: HttpRequest


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """A look whether a keyless server runs on this machine. Loopback only, 200 ms; any 2xx means that it is there."""

    name: str
    """Becomes the account's name."""
    url: str
    base_url: str
    """Becomes the account's base URL."""
    display_name: str


class Provider(Protocol):
    """An upstream. Sync, pure."""

    facts: ProviderFacts

    def adapt(self, request: ChatRequest, model: ModelFacts) -> ChatRequest:
        """Change what this upstream wants changed; return the very same object when that is nothing."""
        ...

    def adapts(self, model: ModelFacts) -> bool:
        """Whether `adapt` can change anything for this model; False lets the kernel relay without decoding."""
        ...

    def prepare(self, call: Call) -> HttpRequest: ...
    def classify(self, response: HttpResponse) -> UpstreamError | None:
        """What an answer means; None when it is no failure. Not called for status 200."""
        ...

    def bucket(self, model: ModelFacts) -> str:
        """Whatever shares a rate limit or quota of an account has one name: by default each model is its own bucket."""
        return model.id

    def list_models(self, account: Account, place: CredentialPlace) -> ModelListing | None:
        """None when the provider has no model endpoint."""
        ...

    def probe(self) -> Sequence[Probe]:
        """Servers to look for at start; empty for anything that is not on this machine."""
        return ()
