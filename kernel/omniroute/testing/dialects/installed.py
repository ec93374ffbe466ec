"""The translators that come with the metapackage, as they are installed."""

from omniroute.contracts import Translator
from omniroute.plugins import installed_plugins

__all__ = ["installed_translators"]


def installed_translators() -> dict[str, Translator]:
    """By dialect. Imports only the plugins whose names say that they are translators."""
    ours = [plugin for plugin in installed_plugins() if plugin.is_ours and plugin.name.startswith("translator-")]
    found = [translator for plugin in ours for translator in plugin.entry_point.load().register_translators()]
    return {translator.dialect: translator for translator in found}
