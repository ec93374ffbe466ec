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
    "PluginSettings",
    "PriceSettings",
    "ProviderSettings",
    "RoutingSettings",
    "ServerSettings",
    "Settings",
    "TimeoutSettings",
    "TranslationSettings",
]

YEAR_S = 31_536_000
Seconds = Annotated[float, Meta(ge=0, le=YEAR_S)]
Dollars = Annotated[float, Meta(ge=0)]
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
    transport: str = "aiohttp"
    """The data path's client, by its registered name."""
    insecure_http: bool = False
    """Plain HTTP beyond loopback, as `serve --insecure-http`."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names besides the loopback ones and `host` that requests may be addressed to."""
    max_connections: Count = 1024
    """Client connections at a time."""


class ClientKeySettings(_Section, frozen=True, kw_only=True):
    name: Name
    """What the key is called in logs and reports."""
    key: Secret
    """The key itself; better `"${env:NAME}"` than the text. Never shown."""
    loss: LossPolicy | None = None
    """What requests with this key may lose in translation, before what combo and `[translation]` say."""


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


class ProviderTimeouts(TimeoutFacts, frozen=True, kw_only=True, forbid_unknown_fields=True):
    connect_s: Seconds | None = None
    """As `timeouts.connect_s`, for this provider."""
    first_byte_s: Seconds | None = None
    """As `timeouts.first_byte_s`, for this provider."""
    idle_s: Seconds | None = None
    """As `timeouts.idle_s`, for this provider."""
    total_s: Seconds | None = None
    """As `timeouts.total_s`, for this provider."""


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
    """Model ids. They replace the provider's own list; what is known of an id that stays is kept."""
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
    timeouts: ProviderTimeouts | None = None
    """Overrides of `[timeouts]`; what is not set stays as it is."""
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
    options: dict[str, Any] = {}


class TimeoutSettings(_Section, frozen=True, kw_only=True):
    """0 = none."""

    connect_s: Seconds = 10
    """To reach the upstream."""
    first_byte_s: Seconds = 120
    """From request sent to the first content event; then the next candidate."""
    first_content_deadline_s: Seconds = 180
    """The same over all candidates of a request."""
    idle_s: Seconds = 120
    """Between upstream bytes; then an error event."""
    total_s: Seconds = 0
    """For the whole request."""
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


class RoutingSettings(_Section, frozen=True, kw_only=True):
    session_affinity: bool = True
    """Whether a session stays with the account that served it, for the sake of prompt caches."""
    account_strategy: str = "fill-first"
    """Who chooses among the accounts of a provider, by a strategy's registered name. `fill-first` goes by priority."""
    account_options: dict[str, Any] = {}
    """The options of that strategy."""
    max_attempts: Count = 3
    """Sent attempts per request."""
    cooldown_cap_s: Seconds = 3600
    """The longest a failing target is left out without an upstream's own word."""


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
    reasoning_usd: Dollars | None = None
    """Of thinking, where it is not charged like the answer."""


class TranslationSettings(_Section, frozen=True, kw_only=True):
    loss: LossPolicy = "allow"
    """When a translation would lose something: `allow` goes on, `warn` logs it too, `strict` refuses before sending."""


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
