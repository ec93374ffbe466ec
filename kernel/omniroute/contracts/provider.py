"""An upstream: its facts, its accounts, and what only it does."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from omniroute.contracts.http import HttpRequest, HttpResponse
from omniroute.contracts.limits import Limits
from omniroute.contracts.logins import LoginFile
from omniroute.contracts.models import ModelFacts, TimeoutFacts
from omniroute.contracts.signing_in import AuthStep, Credential, OAuthFacts
from omniroute.contracts.translator import CredentialPlace, Operation, UpstreamOperation
from omniroute.errors import UpstreamError
from omniroute.model import ChatRequest
from omniroute.secret import Secret

__all__ = [
    "Account",
    "BreakerFacts",
    "Call",
    "ModelListing",
    "Probe",
    "Provider",
    "ProviderFacts",
    "QuotaPeriod",
    "QuotaWindow",
    "Tier",
]


Tier: TypeAlias = Literal["subscription", "api-key", "cheap", "free"]
QuotaPeriod: TypeAlias = Literal["5h", "daily", "weekly", "monthly"]


class BreakerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """When the circuit breaker of a provider's models opens, and for how long. None is what suits its kind of account."""

    failures: int | None = None
    """In a row."""
    open_s: float | None = None
    """The first time; longer with each further time in a row, to five minutes at most."""


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
    refuses_reasoning: bool = False
    """It answers 400 to a request that brings reasoning of earlier turns back: none is sent to it."""
    timeouts: TimeoutFacts = TimeoutFacts()
    model_timeouts: Mapping[str, TimeoutFacts] = {}
    """By model id, before what `models` and `timeouts` say; also for models beyond the list."""
    limits: Limits = Limits()
    """Over all of its accounts together."""
    breaker: BreakerFacts = BreakerFacts()
    drops: tuple[str, ...] = ()
    """As `ModelFacts.drops`, for every model."""
    drills: Mapping[str, str] = {}
    """Fault → the model that has it on purpose, for drills (`429`, `stall`, `truncate`, `refuse`); `well` → one that answers."""
    auth_also: tuple[str, ...] = ()
    """Further auth schemes that an account may be added with. `auth` is the one that is used unasked, and that refreshes."""
    oauth: OAuthFacts | None = None
    """What the OAuth schemes need to know."""
    own_clients: tuple[str, ...] = ()
    """How the `user-agent` of the vendor's own client begins (`claude-cli/`). Where `tier` is `subscription`, others are
    served only by accounts whose owner allowed it."""
    imitators: tuple[str, ...] = ()
    """How it begins for other programs that call themselves by that client's name: they are others all the same."""
    note: str | None = None
    """What people should know before they rely on it, in a sentence: that it was withdrawn, and when."""
    forwards: tuple[str, ...] = ()
    """Lower-case names of client headers that go along to it, besides those of the dialect, when the client speaks that dialect
    itself: so that the vendor's own program passes as it is."""
    env_keys: tuple[str, ...] = ()
    """Environment variables that people keep a key or token for it in. Where there is none here and `auth` is `api-key`, it is
    the provider's name with `_API_KEY`."""
    logins: tuple[LoginFile, ...] = ()
    """Where other programs keep a sign-in to it, for `omniroute import`."""
    envelope: str | None = None
    """Key of the object in which each answer and each event of a stream arrives; None: they come bare."""


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
    other_clients: bool = False
    """A subscription's owner lets clients use it that are not the vendor's own."""
    proxy: Secret | None = None
    """URL of the proxy that everything of this account goes through; may hold a password."""
    limits: Limits = Limits()

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
    request_id: str = ""
    """The client's request, the same for each attempt at it; printable, without spaces."""
    session: str | None = None
    """What the client calls this conversation, when it says so."""
    now_s: float = 0.0
    """Unix time, for requests that must say when they were made."""


class QuotaWindow(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a plan is left until it is full again. None is unknown; what counts is `share_left`."""

    name: str
    """What people read: `5h`, `weekly`, `weekly opus`, `premium requests`."""
    period: QuotaPeriod | None = None
    """How long the whole window is; None is some other length."""
    bucket: str | None = None
    """As `Provider.bucket` has it; None counts for every model of the account."""
    share_left: float | None = None
    """0 to 1."""
    used: float | None = None
    """Of `limit`, in the provider's own unit."""
    limit: float | None = None
    """None where there is none, or nobody says."""
    resets_at_s: float | None = None
    """Unix time."""


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

    def finish_sign_in(self, credential: Credential) -> Generator[AuthStep, Any, Credential]:
        """What this vendor wants done once after a sign-in, with the new credential: a project to be made, a plan to be read.

        Steps as in an `AuthScheme`. Return the credential, usually with more `metadata`. Raises `UpstreamError`.
        """
        yield from ()
        return credential

    def probe(self) -> Sequence[Probe]:
        """Servers to look for at start; empty for anything that is not on this machine."""
        return ()

    def quota(self, account: Account) -> HttpRequest | None:
        """A request that asks how much of the account's plan is left; None when there is nobody to ask."""
        return None

    def read_quota(self, response: HttpResponse) -> Sequence[QuotaWindow]:
        """The answer to `quota`, with status 200. Raises `UpstreamGarbled`."""
        return ()

    def read_rate_headers(self, headers: Mapping[str, str]) -> Sequence[QuotaWindow]:
        """Windows that the headers of an answer tell; names are lower case. Called for every answer: keep it short."""
        return ()
