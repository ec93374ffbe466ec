"""The settings as they hold, row by row, for `omniroute config show`. Secrets are `***`, references as they were written."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from omniroute.secret import Secret
from omniroute.settings.checking import keys_of
from omniroute.settings.loading import LoadedSettings
from omniroute.settings.paths import PLUGINS, KeyPath, dotted
from omniroute.settings.schema import ComboSettings

__all__ = ["Row", "effective"]

HIDDEN = "***"
_CREDENTIAL = re.compile(r"(key|token|secret|password|passphrase|credential)(\[\d+\])?$", re.IGNORECASE)
"""Plugins' own sections have no types here, so their keys' names have to tell."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    """Dotted, as in the file."""
    value: Any
    """Plain JSON."""
    origin: str
    """`flag`, `environment NAME`, `file PATH`, `database` or `default`."""


def effective(loaded: LoadedSettings) -> list[Row]:
    """Everything that is set or has a default; what is neither is left out."""
    settings = loaded.settings
    leaves = [*_leaves(settings, ()), (("data_dir",), str(settings.data_dir))]
    for name, section in settings.plugin_sections.items():
        leaves += _leaves(section, (PLUGINS, name))
    return [
        Row(key=(key := dotted(path)), value=_printable(key, value, loaded.written), origin=loaded.origin(key))
        for path, value in leaves
    ]


def _leaves(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    match value:
        case msgspec.Struct():
            tables = {key: getattr(value, key) for key in keys_of(type(value))}
            extra: Mapping[str, Any] = value.options if isinstance(value, ComboSettings) else {}
            for key, inner in {**tables, **extra}.items():
                yield from _leaves(inner, (*path, key))
        case dict() if value:
            for key, inner in value.items():
                yield from _leaves(inner, (*path, key))
        case tuple() | list() if any(isinstance(inner, msgspec.Struct | dict) for inner in value):
            for at, inner in enumerate(value):
                yield from _leaves(inner, (*path, at))
        case None:
            return
        case _:
            yield path, value


def _printable(key: str, value: Any, written: Mapping[str, str]) -> Any:
    if isinstance(value, Secret) or (isinstance(value, str) and _CREDENTIAL.search(key)):
        return HIDDEN
    if key in written:
        return written[key]
    if isinstance(value, tuple | list):
        return [_printable(f"{key}[{at}]", inner, written) for at, inner in enumerate(value)]
    return value if isinstance(value, str | int | float | bool | dict) else str(value)
