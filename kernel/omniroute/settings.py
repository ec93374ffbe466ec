"""Settings: one TOML file and the environment, to Structs.

Written by people, never by the program. Precedence: flags > environment > file > database > default. Unknown keys are
findings with the closest good name; all findings are reported at once.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from omniroute.contracts import TimeoutFacts

__all__ = ["Settings"]

Seconds = Annotated[float, Meta(ge=0)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1)]
T = TypeVar("T")


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class ServerSettings(_Section, frozen=True, kw_only=True):
    host: str = "127.0.0.1"
    port: Port = 20128
    transport: str = "aiohttp"
    """The data path's client, by its registered name."""
    insecure_http: bool = False
    """Plain HTTP beyond loopback, as `serve --insecure-http`."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names besides the loopback ones and `host` that requests may be addressed to."""
    max_connections: Count = 1024


class ClientKeySettings(_Section, frozen=True, kw_only=True):
    name: str
    key: str


class AuthSettings(_Section, frozen=True, kw_only=True):
    require_client_key: bool = True
    """False is refused on anything but loopback."""
    keys: tuple[ClientKeySettings, ...] = ()


class AccountSettings(_Section, frozen=True, kw_only=True):
    provider: str
    name: str = "default"
    api_key: str | None = None
    base_url: str | None = None
    priority: Annotated[int, Meta(ge=1, le=100)] = 50


class ProviderSettings(_Section, frozen=True, kw_only=True):
    """For an installed provider it overrides facts field by field; for a new name it makes a provider."""

    dialect: str | None = None
    base_url: str | None = None
    api_key: str | None = None
    models: tuple[str, ...] | None = None
    headers: dict[str, str] | None = None
    timeouts: TimeoutFacts | None = None


class ComboSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Further keys are the strategy's options; the registry decodes them into its `options_type`."""

    models: Annotated[tuple[str, ...], Meta(min_length=1)]
    strategy: str = "fill-first"
    options: dict[str, Any] = {}


class TimeoutSettings(_Section, frozen=True, kw_only=True):
    """0 = none."""

    connect_s: Seconds = 10
    first_byte_s: Seconds = 120
    first_content_deadline_s: Seconds = 180
    idle_s: Seconds = 120
    total_s: Seconds = 0
    write_s: Seconds = 60
    keepalive_s: Seconds = 15


class LimitSettings(_Section, frozen=True, kw_only=True):
    max_body_bytes: Count = 33_554_432
    max_json_depth: Count = 64
    drain_s: Seconds = 120


class RoutingSettings(_Section, frozen=True, kw_only=True):
    session_affinity: bool = True
    max_attempts: Count = 3
    cooldown_cap_s: Seconds = 3600


class PluginSettings(_Section, frozen=True, kw_only=True):
    """Tables below `[plugins]` are the plugins' own sections, kept in `Settings.plugin_sections`."""

    disabled: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None
    """`OMNIROUTE_PLUGINS`: load only these."""
    trust: Literal["installed", "allowed"] = "installed"


class Settings(_Section, frozen=True, kw_only=True):
    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    accounts: tuple[AccountSettings, ...] = ()
    providers: dict[str, ProviderSettings] = {}
    aliases: dict[str, str] = {}
    combos: dict[str, ComboSettings] = {}
    timeouts: TimeoutSettings = TimeoutSettings()
    limits: LimitSettings = LimitSettings()
    routing: RoutingSettings = RoutingSettings()
    plugins: PluginSettings = PluginSettings()
    plugin_sections: dict[str, dict[str, Any]] = {}
    data_dir: Path = Path()
    """Where the database, keys and logs live."""

    def plugin(self, name: str, kind: type[T]) -> T:
        """This plugin's own section `[plugins.NAME]` as `kind`, with its defaults where the file says nothing.

        Raises `SettingsError` naming the key that does not fit.
        """
        raise NotImplementedError
