"""Settings in variables: `OMNIROUTE_SERVER__PORT=20129`, sections and keys joined by two underscores.

Names that people give (of providers, combos, plugins) are matched however they are spelt in the file, as a variable's name
has no room for `-`; a name the file does not know is lower case with `-` for `_`. Values are text where text is wanted,
else TOML or JSON. An empty variable is an unset one.
"""

import re
import tomllib
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from omniroute.secret import Secret
from omniroute.settings.checking import core, is_struct, keys_of
from omniroute.settings.paths import PLUGINS, KeyPath, closest
from omniroute.settings.schema import ComboSettings, PluginSettings, Settings

__all__ = ["CONFIG", "DATA_DIR", "nearest_variable", "read_environment"]

PREFIX = "OMNIROUTE_"
CONFIG = "OMNIROUTE_CONFIG"
DATA_DIR = ("OMNIROUTE_DATA_DIR", "DATA_DIR")
"""The first one set counts."""
ONLY = "OMNIROUTE_PLUGINS"
NO_SETTINGS = frozenset({CONFIG, DATA_DIR[0], "OMNIROUTE_API_KEY", "OMNIROUTE_CLIENT_KEY", "OMNIROUTE_URL"})
"""The last three belong to clients of a gateway, which often share its shell."""


def read_environment(
    environ: Mapping[str, str], *, written: Mapping[str, object], referenced: Collection[str]
) -> Iterator[tuple[str, KeyPath | None, object]]:
    """(variable, path, value) of every setting in the environment; the path is None for a variable that names none.

    `written` is what the layers below hold, to spell names as they do. Variables in `referenced` are values of
    `${env:…}` and may be called anything.
    """
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or not text or name in NO_SETTINGS or name in referenced:
            continue
        if name == ONLY:
            yield name, (PLUGINS, "only"), [plugin.strip() for plugin in text.split(",") if plugin.strip()]
            continue
        path, kind = _located(name.removeprefix(PREFIX).split("__"), written)
        yield name, path, text if path is None else _value(text, kind)


def nearest_variable(name: str) -> str | None:
    """The variable that `name` may have been meant to be."""
    found = closest(name.removeprefix(PREFIX), ("__".join(path).upper() for path in _fixed_paths(Settings)))
    return found and PREFIX + found


def _fixed_paths(kind: Any) -> Iterator[tuple[str, ...]]:
    for key, of in keys_of(kind).items():
        yield (key,)
        if is_struct(inner := core(of)):
            yield from ((key, *path) for path in _fixed_paths(inner))


def _located(steps: list[str], written: Mapping[str, object]) -> tuple[KeyPath | None, Any]:
    """Where the steps of a variable's name lead: a path and the type that is wanted there."""
    path: KeyPath = ()
    kind: Any = Settings
    here: object = written
    for step in steps:
        key, kind = _entered(step, core(kind), here if isinstance(here, Mapping) else {})
        if key is None:
            return None, None
        path = (*path, key)
        here = here.get(key) if isinstance(here, Mapping) else None
    return path, kind


def _entered(step: str, kind: Any, here: Mapping[str, object]) -> tuple[str | None, Any]:
    """The key that `step` names in a table of type `kind`, and that key's own type."""
    key = step.lower()
    if not step:
        return None, None
    if kind is Any:
        return _spelt(step, here, key), Any
    if typing.get_origin(kind) is dict:
        return _spelt(step, here, key.replace("_", "-")), typing.get_args(kind)[1]
    if not is_struct(kind):
        return None, None
    keys = keys_of(kind)
    if key in keys:
        return key, keys[key]
    if kind is ComboSettings:
        return _spelt(step, here, key), Any
    if kind is PluginSettings:
        return _spelt(step, here, key.replace("_", "-")), Any
    return None, None


def _spelt(step: str, here: Mapping[str, object], otherwise: str) -> str:
    """The key of `here` that a variable can only write as `step`."""
    return next((key for key in here if re.sub(r"[^A-Z0-9]", "_", key.upper()) == step.upper()), otherwise)


def _value(text: str, kind: Any) -> object:
    inner = core(kind)
    if inner in (str, Secret) or typing.get_origin(inner) is typing.Literal:
        return text
    try:
        table = tomllib.loads(f"value = {text}")
        if table.keys() == {"value"}:
            return table["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        pass
    try:
        return msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text
