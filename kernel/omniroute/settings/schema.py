"""What can be set: one Struct per section, with types, ranges and defaults. Says nothing of files or variables.

The text below a field is its meaning in docs/configuration.md.
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import msgspec
from msgspec import Meta

from omniroute.contracts import CredentialPlace, LossPolicy, Operation, Tier, TimeoutFacts
from omniroute.errors import SettingsError
from omniroute.secret import Secret
from omniroute.settings.checking import check, decode
from omniroute.settings.paths import PLUGINS, dotted

__all__ = [
    "AccountSettings",
    "AuthSettings",
    "ClientKeySettings",
    "ComboSettings",
    "LimitSettings",
    "ModelSettings",
    "PluginSettings",
    "PriceSettings",
    "ProviderSettings",
    "QuotaSettings",
    "RoutingSettings",
    "ServerSettings",
    "Settings",
    "TimeoutSettings",
    "TranslationSettings",
    "VaultSettings",
]

YEAR_S = 31_536_000
Seconds = Annotated[float, Meta(ge=0, le=YEAR_S)]
Dollars = Annotated[float, Meta(ge=0)]
Interval = Annotated[float, Meta(ge=0, le=3600)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1)]
Name = Annotated[
    str, Meta(pattern=r"^[^/\s]([^/\x00-\x1f]*[^/\s])?$", max_length=100, description="one line without a slash")
]
Digest = Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$", description="'sha256:' and 64 hexadecimal digits")]
SamplingField = Literal["temperature", "top_p", "top_k", "stop", "seed", "presence_penalty", "frequency_penalty"]
T = TypeVar("T")


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    INTERNAL: ClassVar[frozenset[str]] = frozenset()
    """Fields that are filled by the loader and are no settings of their own."""


class ServerSettings(_Section, frozen=True, kw_only=True):
    host: str = "127.0.0.1"
    """Address to listen on. Beyond loopback, clients must have keys."""
    port: Port = 20128
    """0 is any free port."""
    transport: str = "lean"
    """The data path's client, by its registered name."""
    insecure_http: bool = False
    """Plain HTTP beyond loopback, as `serve --insecure-http`."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names besides the loopback ones and `host` that requests may be addressed to."""
    max_connections: Count = 1024
    """Client connections at a time."""
    stall_s: Seconds = 0.25
    """When the event loop stands still for longer, the log says where. 0 = never."""


class ClientKeySettings(_Section, frozen=True, kw_only=True):
    name: Name
    """What the key is called in logs and reports."""
    key: Secret
    """The key itself; better `"${env:NAME}"` than the text. Never shown."""
    loss: LossPolicy | None = None
    """What requests with this key may lose in translation, before what combo and `[translation]` say."""
    max_concurrency: Count | None = None
    """Requests with this key at a time. One beyond any limit of the key is a 429, and nothing is sent upstream."""
    rpm: Count | None = None
    """Requests with this key in any 60 s."""
    tpm: Count | None = None
    """Tokens of its requests and answers in any 60 s."""


class AuthSettings(_Section, frozen=True, kw_only=True):
    require_client_key: bool = True
    """Whether clients must send a key. False is refused on anything but loopback."""
    keys: tuple[ClientKeySettings, ...] = ()
    """Client keys besides those made with `omniroute key create`."""


class AccountSettings(_Section, frozen=True, kw_only=True):
    provider: str
    """Name of an installed provider, or of a `[providers.NAME]` table."""
    name: Name = "default"
    """Tells several accounts of one provider apart."""
    api_key: Secret | None = None
    """The provider's key for this account; better `"${env:NAME}"` than the text. Never shown."""
    base_url: str | None = None
    """Replaces the provider's own API root."""
    priority: Annotated[int, Meta(ge=1, le=100)] = 50
    """1 is asked first, 100 last."""
    other_clients: bool = False
    """Whether clients may use this subscription that are not the vendor's own. Read the provider's terms first."""
    proxy: Secret | None = None
    """URL of the proxy that everything of this account goes through. Never shown."""
    max_concurrency: Count | None = None
    """Requests to it at a time; when all are under way another candidate is asked, else the request waits in line."""
    min_interval_s: Interval | None = None
    """Between the beginnings of two requests to it."""
    rpm: Count | None = None
    """Requests to it in any 60 s."""
    tpm: Count | None = None
    """Tokens of requests to it and their answers in any 60 s."""


class ProviderTimeouts(TimeoutFacts, frozen=True, kw_only=True, forbid_unknown_fields=True):
    connect_s: Seconds | None = None
    """As `timeouts.connect_s`, for this provider or model."""
    first_byte_s: Seconds | None = None
    """As `timeouts.first_byte_s`, for this provider or model."""
    idle_s: Seconds | None = None
    """As `timeouts.idle_s`, for this provider or model."""
    total_s: Seconds | None = None
    """As `timeouts.total_s`, for this provider or model."""


class ProviderLimits(_Section, frozen=True, kw_only=True):
    max_concurrency: Count | None = None
    """Requests to all of its accounts at a time."""
    min_interval_s: Interval | None = None
    """Between the beginnings of two requests to any of its accounts."""
    rpm: Count | None = None
    """Requests to all of its accounts in any 60 s."""
    tpm: Count | None = None
    """Tokens of requests to all of its accounts, and their answers, in any 60 s."""


class ProviderBreaker(_Section, frozen=True, kw_only=True):
    failures: Count | None = None
    """So many in a row open the circuit of a model; else 5, or 3 where accounts sign in."""
    open_s: Seconds | None = None
    """How long it stays open the first time; else 30, or 60 where accounts sign in."""


class ProviderCredentialPlace(CredentialPlace, frozen=True, kw_only=True, forbid_unknown_fields=True):
    header: str = "authorization"
    """Name of the header that carries the credential."""
    prefix: str = "Bearer "
    """What stands before the credential in that header."""


class ProviderSettings(_Section, frozen=True, kw_only=True):
    """For an installed provider it overrides facts field by field; for a new name it makes a provider."""

    dialect: str | None = None
    """The wire format it speaks: `openai-chat`, `openai-responses`, `anthropic`, `gemini`. A new provider needs it."""
    base_url: str | None = None
    """The API root with its version segment. A new provider needs it."""
    api_key: Secret | None = None
    """Makes the account `default` of this provider. Never shown."""
    auth: str | None = None
    """Name of the auth scheme; a new provider has `api-key` when it has a key, else `none`."""
    models: tuple[str, ...] | None = None
    """Model ids. They replace the provider's own list and the one its upstream tells; what either knows of an id is kept."""
    any_model: bool | None = None
    """Whether models beyond the list are passed on as they are; true for a new provider without a list."""
    headers: dict[str, Secret] | None = None
    """Static headers, added to the provider's own; one of the same name replaces it. Values are never shown."""
    aliases: tuple[str, ...] | None = None
    """Further prefixes in model strings, instead of the provider's own."""
    query: str | None = None
    """Fixed query string of every request, without `?`. No place for a credential."""
    credential: ProviderCredentialPlace | None = None
    """The header that carries the credential, where it is not the dialect's usual one."""
    operations: tuple[Operation, ...] | None = None
    """What the upstream offers of its dialect's operations."""
    drops: tuple[SamplingField, ...] | None = None
    """Sampling fields the upstream refuses, left out for every model."""
    transport: str | None = None
    """Name of a registered transport, instead of `server.transport`."""
    streams: Literal["asked", "always", "never"] | None = None
    """Whether it streams when asked to, can do nothing else, or never does; clients get what they asked for all the same."""
    is_quirky: bool | None = None
    """Its answers bend the dialect's rules: they are read and written anew instead of being relayed."""
    refuses_reasoning: bool | None = None
    """It refuses requests that bring reasoning of earlier turns back: none is sent to it."""
    timeouts: ProviderTimeouts | None = None
    """Overrides of `[timeouts]`; what is not set stays as it is."""
    model_timeouts: dict[str, ProviderTimeouts] | None = None
    """The same for single models, by id; before what the provider has."""
    display_name: str | None = None
    """What people call it."""
    docs_url: str | None = None
    """Where its API is described."""
    terms_url: str | None = None
    """Where its terms of use are."""
    checked: str | None = None
    """Date (YYYY-MM-DD) these facts were last compared with their source."""
    tier: Tier | None = None
    """How it is paid for; a label."""
    status: Literal["live", "withdrawn"] | None = None
    """`withdrawn` says that the vendor no longer offers it."""
    oauth_client_id: str | None = None
    """An OAuth client of your own to sign in with, instead of the provider's public one."""
    oauth_client_secret: Secret | None = None
    """Its secret; needed for a vendor whose client has one, as none is shipped. Never shown."""
    oauth_redirect_url: str | None = None
    """The redirect that is registered for it, where that is not this machine; the URL it leads to is pasted."""
    limits: ProviderLimits | None = None
    """What may be asked of all of its accounts together."""
    breaker: ProviderBreaker | None = None
    """When the circuit breaker of its models opens, and for how long."""
    note: str | None = None
    """What people should know before they rely on it."""
    forwards: tuple[str, ...] | None = None
    """Client headers, in lower case, that go along when the client speaks the provider's own dialect."""
    envelope: str | None = None
    """Key of the object in which each answer and each event arrives, where they do not come bare."""


class ComboSettings(_Section, frozen=True, kw_only=True):
    """Further keys are the strategy's options; the registry decodes them into its `options_type`."""

    INTERNAL: ClassVar[frozenset[str]] = frozenset({"options"})

    models: Annotated[tuple[str, ...], Meta(min_length=1)]
    """What to try: `prefix/model`, an alias, a model's bare name, or another combo (three deep at most)."""
    strategy: str = "fill-first"
    """Who orders the models, by its registered name. Other keys of the table are its options."""
    label: str | None = None
    """What people read instead of the name."""
    loss: LossPolicy | None = None
    """What requests to this combo may lose in translation, before what `[translation]` says."""
    max_attempts: Count | None = None
    """As `routing.max_attempts`, for requests to this combo; combos inside it share it."""
    first_byte_s: Seconds | None = None
    """As `timeouts.first_byte_s`, for requests to this combo; before what providers have."""
    first_content_deadline_s: Seconds | None = None
    """As `timeouts.first_content_deadline_s`, for requests to this combo."""
    session_affinity: bool | None = None
    """As `routing.session_affinity`, for requests to this combo."""
    skip_incapable: bool | None = None
    """As `routing.skip_incapable`, for requests to this combo."""
    options: dict[str, Any] = {}


class TimeoutSettings(_Section, frozen=True, kw_only=True):
    """0 = none."""

    connect_s: Seconds = 10
    """To reach the upstream: name, connection, TLS."""
    failover_connect_s: Seconds = 2
    """The same while there is another upstream that could be asked instead; the shorter of the two holds."""
    first_byte_s: Seconds = 120
    """From request sent to the first content event, of an answer in one piece to its first byte; then the next candidate."""
    first_content_deadline_s: Seconds = 180
    """The same over all candidates of a request."""
    idle_s: Seconds = 120
    """Between upstream bytes; then an error event."""
    total_s: Seconds = 0
    """For the whole request, from its arrival."""
    write_s: Seconds = 60
    """For a client that stopped reading."""
    keepalive_s: Seconds = 15
    """Between signs of life to a streaming client, from the start of the request."""


class LimitSettings(_Section, frozen=True, kw_only=True):
    max_body_bytes: Count = 33_554_432
    """Of a request."""
    max_json_depth: Count = 64
    """How deep a request's JSON may be nested."""
    drain_s: Seconds = 120
    """How long running requests may go on after SIGTERM."""
    max_concurrency: Count | None = None
    """Model requests of all clients at a time."""
    rpm: Count | None = None
    """Model requests of all clients in any 60 s."""
    tpm: Count | None = None
    """Tokens of all clients' requests and answers in any 60 s."""
    queue_timeout_s: Seconds = 30
    """How long a request waits in line for the gateway, a provider or an account that is at its limit; then it gets a 429."""
    queue_length: Count = 256
    """So many may wait for the same; the next one gets a 429 at once."""
    unready_s: Seconds = 5
    """The part of it for which connections are still accepted, so that a load balancer learns from `/readyz` that it must go
    elsewhere. On loopback only as long as something is being answered."""


class RoutingSettings(_Section, frozen=True, kw_only=True):
    session_affinity: bool = True
    """Whether a session stays with the account that served it, for the sake of prompt caches."""
    skip_incapable: bool = True
    """Whether models that are known to lack tools, vision or room for the prompt are left out; what nobody knows is asked."""
    last_resort: str | None = None
    """A model or combo that is asked, once, when nothing else could answer; not for what is wrong with the request itself."""
    account_strategy: str = "fill-first"
    """Who chooses among the accounts of a provider, by a strategy's registered name. `fill-first` goes by priority."""
    account_options: dict[str, Any] = {}
    """The options of that strategy."""
    max_attempts: Count = 3
    """Sent attempts per request."""
    cooldown_cap_s: Seconds = 3600
    """The longest anything is left out before it is probed, whatever an upstream says."""
    idempotency: bool = True
    """Whether a request that repeats an `Idempotency-Key` gets the first one's answer again, for 24 h."""
    dedup_window_s: Seconds = 0
    """Same request, same client key, begun so soon after another: both get one answer. 0 is off; not for streams."""


class PriceSettings(_Section, frozen=True, kw_only=True):
    """US dollars per million tokens, over what the provider's facts say, field by field. 0 is free."""

    input_usd: Dollars | None = None
    """Of the prompt."""
    output_usd: Dollars | None = None
    """Of the answer."""
    cached_usd: Dollars | None = None
    """Of the part of the prompt that was read from the upstream's cache."""
    cache_write_usd: Dollars | None = None
    """Of the part of the prompt that was written to it."""
    cache_write_1h_usd: Dollars | None = None
    """Of the part that was written to be kept for an hour."""
    reasoning_usd: Dollars | None = None
    """Of thinking, where it is not charged like the answer."""


class TranslationSettings(_Section, frozen=True, kw_only=True):
    loss: LossPolicy = "allow"
    """When a translation would lose something: `allow` goes on, `warn` logs it too, `strict` refuses before sending."""


class QuotaSettings(_Section, frozen=True, kw_only=True):
    interval_s: Seconds = 300
    """Between two questions to a provider how much of an account's plan is left; 0 asks nobody."""
    skip_at: Annotated[float, Meta(ge=0, le=1)] = 0.02
    """With this share of its quota or less, an account is asked only when nothing else is left, until it is full again."""


class ModelSettings(_Section, frozen=True, kw_only=True):
    refresh_s: Seconds = 21_600
    """Between two questions to a provider which models an account has; 0 asks nobody, and what is known beforehand counts."""


class VaultSettings(_Section, frozen=True, kw_only=True):
    key: Literal["file", "keyring"] = "file"
    """Where the key is kept that stored credentials are encrypted with: `secret.key` in the data directory, or the operating
    system's keyring (needs the library `keyring`). `omniroute vault rotate` moves it."""


class PluginSettings(_Section, frozen=True, kw_only=True):
    """Tables below `[plugins]` are the plugins' own sections, kept in `Settings.plugin_sections`."""

    disabled: tuple[str, ...] = ()
    """Plugins that are not loaded, by the name `omniroute plugin list` shows."""
    only: tuple[str, ...] | None = None
    """Load only these. `OMNIROUTE_PLUGINS=a,b` is the same."""
    trust: Literal["installed", "allowed"] = "installed"
    """`installed`: pip install is consent. `allowed`: third parties are loaded only when listed in `allowed`."""
    allowed: dict[str, Digest] = {}
    """Plugin name to the hash of its distribution, as `omniroute plugin list` shows it; read with `trust = "allowed"`."""


class Settings(_Section, frozen=True, kw_only=True):
    """All settings as they hold. The last three fields are the loader's."""

    INTERNAL: ClassVar[frozenset[str]] = frozenset({"plugin_sections", "data_dir", "places"})

    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    accounts: tuple[AccountSettings, ...] = ()
    """Credentials for providers; several per provider."""
    providers: dict[str, ProviderSettings] = {}
    aliases: dict[str, str] = {}
    """Another name for a model or combo. `*` stands for any run of characters and `?` for one; the closest pattern wins."""
    combos: dict[str, ComboSettings] = {}
    timeouts: TimeoutSettings = TimeoutSettings()
    limits: LimitSettings = LimitSettings()
    routing: RoutingSettings = RoutingSettings()
    prices: dict[str, PriceSettings] = {}
    translation: TranslationSettings = TranslationSettings()
    quota: QuotaSettings = QuotaSettings()
    models: ModelSettings = ModelSettings()
    vault: VaultSettings = VaultSettings()
    plugins: PluginSettings = PluginSettings()
    plugin_sections: dict[str, dict[str, Any]] = {}
    """`[plugins.NAME]` as written; strings that hold a `${env:…}` are `Secret`."""
    data_dir: Path = Path()
    """Where the database, keys and logs live."""
    places: dict[str, str] = {}
    """Dotted key → where it was set (`omniroute.toml:14`, `environment NAME`), for messages about it."""

    def plugin(self, name: str, kind: type[T]) -> T:
        """This plugin's own section `[plugins.NAME]` as `kind`, with its defaults where the file says nothing.

        Raises `SettingsError` naming every key that does not fit.
        """
        section = self.plugin_sections.get(name, {})
        problems = check(kind, section, (PLUGINS, name))
        if problems:
            raise SettingsError([f"{self.place(path)}: {dotted(path)}: {problem}" for path, problem in problems])
        return decode(kind, section)

    def place(self, path: tuple[str | int, ...]) -> str:
        """Where the setting at `path`, or the table around it, was set; `settings` when nothing is known."""
        for end in range(len(path), 0, -1):
            if found := self.places.get(dotted(path[:end])):
                return found
        return "settings"
