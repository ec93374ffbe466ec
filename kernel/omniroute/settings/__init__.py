"""Settings: one TOML file and the environment, to Structs.

Written by people, never by the program. Precedence: flags > environment > file > database > default. Unknown keys are
findings with the closest good name; all findings are reported at once.
"""

from omniroute.settings.loading import LoadedSettings, default_config_dir, default_data_dir, load
from omniroute.settings.schema import (
    AccountSettings,
    AuthSettings,
    ClientKeySettings,
    ComboSettings,
    LimitSettings,
    PluginSettings,
    PriceSettings,
    ProviderSettings,
    RoutingSettings,
    ServerSettings,
    Settings,
    TimeoutSettings,
)
from omniroute.settings.showing import Row, effective

__all__ = [
    "AccountSettings",
    "AuthSettings",
    "ClientKeySettings",
    "ComboSettings",
    "LimitSettings",
    "LoadedSettings",
    "PluginSettings",
    "PriceSettings",
    "ProviderSettings",
    "RoutingSettings",
    "Row",
    "ServerSettings",
    "Settings",
    "TimeoutSettings",
    "default_config_dir",
    "default_data_dir",
    "effective",
    "load",
]
