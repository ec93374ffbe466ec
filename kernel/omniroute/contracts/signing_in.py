"""What a sign-in knows, what it may ask for, and the credential it ends with.

Most vendors differ in data alone, so `OAuthFacts` has a field for each thing in which they are known to differ, and a provider
states its own. The schemes that read these facts are plugins; the steps below are all that they can do.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from omniroute.contracts.http import HttpRequest
from omniroute.contracts.translator import CredentialPlace
from omniroute.secret import Secret

__all__ = [
    "AskRandom",
    "AskTime",
    "AuthStep",
    "AwaitRedirect",
    "Credential",
    "ExchangeFacts",
    "FieldPath",
    "Keep",
    "OAuthFacts",
    "OpenRedirect",
    "ShowUser",
    "Sleep",
    "UserinfoFacts",
]

FieldPath: TypeAlias = tuple[str, ...]
"""Where a value stands in a JSON object: the keys from the outside in, `("data", "apiKey")`."""


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """What proves to a provider who pays. Stored encrypted; `access` goes on the wire."""

    access: Secret
    refresh: Secret | None = None
    expires_at_s: float | None = None
    """Unix time; None does not expire."""
    metadata: Mapping[str, str] = {}
    """Facts that came with it and are not secret: `account_id`, `email`, `plan`, `client_id`, a resource URL."""
    secrets: Mapping[str, Secret] = {}
    """Further secrets that came with it: `grant` is the token that `access` was exchanged for, `client_secret` one that was
    given with this account alone. Whatever else a provider's own steps put there is theirs."""


# --- facts ------------------------------------------------------------------------------------------------------------


class UserinfoFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint that says whose token it is. Asked once after a sign-in; that it fails spoils nothing."""

    url: str
    method: Literal["GET", "POST"] = "GET"
    headers: Mapping[str, str] = {}
    place: CredentialPlace = CredentialPlace()
    """Where the token goes."""
    fields: Mapping[str, FieldPath] = {}
    """Name in `Credential.metadata` → where the answer has it."""


class ExchangeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A second request that buys what goes on the wire with the token of the sign-in (the grant).

    Done after each sign-in and each refresh. Where `expires_at` or `expires_in` is set the bought token has a life of its own,
    and a refresh begins with buying another: the grant is only renewed, if it can be, when it is refused.
    """

    url: str
    method: Literal["GET", "POST"] = "GET"
    headers: Mapping[str, str] = {}
    body: bytes = b""
    place: CredentialPlace = CredentialPlace()
    """The header that carries the grant: `CredentialPlace(prefix="token ")`."""
    query_parameter: str | None = None
    """Vendors that want the grant in the URL instead: the parameter's name. The URL is never logged or shown."""
    token: FieldPath = ("token",)
    """Where the answer has the bought token."""
    expires_at: FieldPath | None = None
    """Where the answer has the Unix time, in seconds, at which it ends."""
    expires_in: FieldPath | None = None
    """Where the answer has its life in seconds."""
    fields: Mapping[str, FieldPath] = {}
    """Name in `Credential.metadata` → where the answer has it: a plan, the API's own host."""


class OAuthFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How to sign in to one vendor, and how to stay signed in. `ProviderFacts.auth` names the scheme that reads them:

    `oauth` (authorization code, PKCE, loopback or paste), `oauth-device` (device code), `token-exchange` (a long-lived token
    that was pasted buys short-lived ones, see `exchange`), `imported-token` (tokens that another program got).
    All of them refresh, exchange and learn who it is in the same way. Client ids are public; a client secret is never a fact.
    """

    client_id: str
    token_url: str
    client_secret: Secret | None = None
    """Only ever from the settings or the environment; a plugin leaves it alone."""
    needs_client_secret: bool = False
    """The vendor refuses this client without its secret, which the user has to supply."""
    client_id_env: tuple[str, ...] = ()
    """Variables that give an own client id, beneath `[providers.NAME] oauth_client_id`; the first one set counts."""
    client_secret_env: tuple[str, ...] = ()
    """The same for its secret."""
    issuer: str | None = None
    """Compared with the redirect's `iss`, where the redirect has one."""
    scopes: tuple[str, ...] = ()
    pkce: bool = True
    """S256. False only for a vendor that refuses it."""

    # authorization code
    authorize_url: str | None = None
    authorize_params: Mapping[str, str | None] = {}
    """Added to the standard ones; None takes a standard one out (`{"response_type": None}`)."""
    redirect_parameter: str = "redirect_uri"
    """What the authorize URL calls the redirect."""
    redirect_path: str = "/callback"
    redirect_ports: tuple[int, ...] = ()
    """The ports that the vendor has registered, tried in order; empty is any free one."""
    redirect_host: Literal["localhost", "127.0.0.1"] = "localhost"
    """How the redirect spells this machine. The listener binds 127.0.0.1 whatever it says."""
    paste_url: str | None = None
    """A redirect to the vendor's own page, or to a scheme of its own, that shows the code for pasting; used where no browser
    can reach this machine. None: the loopback redirect is used there too, and the URL of the failed page is pasted."""
    always_paste: bool = False
    """There is no loopback redirect: `paste_url` is the only one."""

    # device code
    device_url: str | None = None
    device_params: Mapping[str, str] = {}
    """Added to client id, scope and challenge."""
    verification_url: str | None = None
    """What is shown where the answer has no `verification_uri`; `{user_code}` stands for the code."""
    poll_interval_s: float = 5.0
    """Where the answer has no `interval`."""

    # the token endpoint
    encoding: Literal["form", "json"] = "form"
    client_auth: Literal["body", "basic", "both"] = "body"
    """Where client id and secret go: the body, HTTP Basic, or both."""
    headers: Mapping[str, str] = {}
    """Of every request to token and device endpoint."""
    token_params: Mapping[str, str] = {}
    """Added when a code is redeemed."""
    sends_state: bool = False
    """The state goes along when a code is redeemed."""
    default_life_s: float | None = None
    """How long a token lives whose answer does not say; None is without end."""

    # refresh
    refresh_url: str | None = None
    """None is `token_url`."""
    refresh_params: Mapping[str, str] = {}
    """Added when a token is refreshed (`{"scope": "openid"}`)."""
    refresh_lead_s: float = 300.0
    """Tokens are refreshed this long before they end."""
    rotates: bool = True
    """A refresh token works once: the answer brings the next. False: the same one works again and again."""
    definitive_errors: tuple[str, ...] = ("invalid_grant",)
    """Codes of the refresh answer which say that only a new sign-in helps."""
    lane: str | None = None
    """Refreshes in one lane never overlap. None is the client id."""

    # who it is
    token_fields: Mapping[str, FieldPath] = {}
    """Name in `Credential.metadata` → where the token answer has it; read at each refresh too."""
    claims: Mapping[str, FieldPath] = {}
    """Name in `Credential.metadata` → where the answer's `id_token` has it: `("https://vendor.example/auth", "plan")`."""
    userinfo: UserinfoFacts | None = None
    exchange: ExchangeFacts | None = None
    base_url: str | None = None
    """The account's own API root, made of metadata: `{resource_url}/v1`. Unset where one of the names is missing, and where
    the host is not allowed."""
    base_url_hosts: tuple[str, ...] = ()
    """Domains in which that root may be, with all below them; a token is never sent to another."""


# --- steps ------------------------------------------------------------------------------------------------------------


class ShowUser(msgspec.Struct, frozen=True, kw_only=True):
    """Something the person signing in must see: a URL to open, a code to type. Resumes with None, at once."""

    message: str
    url: str | None = None
    code: str | None = None
    expires_in_s: float | None = None


class OpenRedirect(msgspec.Struct, frozen=True, kw_only=True):
    """Make ready for the browser to come back; resumes with the redirect URI to send it to.

    That is a loopback listener's, or `paste_url` where the person asked to paste and there is one. A listener that cannot be
    opened is no failure: its URI is returned all the same, and the person pastes what the browser shows.
    """

    path: str = "/callback"
    ports: tuple[int, ...] = ()
    """Tried in order; empty is any free one."""
    host: Literal["localhost", "127.0.0.1"] = "localhost"
    paste_url: str | None = None
    always_paste: bool = False


class AwaitRedirect(msgspec.Struct, frozen=True, kw_only=True):
    """Wait for the browser to come back, or for the person to paste; resumes with the redirect's query as a mapping.

    Only what carries `state` gets through, once; a bare code that was pasted has none. Follows an `OpenRedirect`. Raises
    `InvalidRequest` inside the scheme when the time is up.
    """

    state: str
    timeout_s: float = 600.0


class Sleep(msgspec.Struct, frozen=True, kw_only=True):
    seconds_s: float


class AskTime(msgspec.Struct, frozen=True, kw_only=True):
    """Resumes with the Unix time in seconds, a float."""


class AskRandom(msgspec.Struct, frozen=True, kw_only=True):
    """Resumes with so many random bytes, fit for secrets."""

    size_bytes: int = 32


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """Put the credential on the disk before it is used; resumes with None when it is there.

    A scheme yields it as soon as it has new tokens, before any further request. During a sign-in there is no account yet and
    nothing is done.
    """

    credential: Credential


AuthStep: TypeAlias = HttpRequest | ShowUser | OpenRedirect | AwaitRedirect | Sleep | AskTime | AskRandom | Keep
