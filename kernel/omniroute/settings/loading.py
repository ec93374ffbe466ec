"""From files, variables and flags to `Settings`: later layers over earlier ones, then one check that reports everything.

Layers, lowest first: database, settings files, environment, flags. `${env:NAME}` is read in files only: what the database
holds comes from a user interface, which must not be able to read the environment.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import platformdirs

from omniroute.errors import SettingsError
from omniroute.settings.checking import Problem, check, decode, keys_of
from omniroute.settings.environment import CONFIG, DATA_DIR, nearest_variable, read_environment
from omniroute.settings.layers import Layers, Source
from omniroute.settings.paths import PLUGINS, KeyPath, dotted
from omniroute.settings.references import Expansion, referenced
from omniroute.settings.rules import broken_rules
from omniroute.settings.schema import ComboSettings, PluginSettings, Settings
from omniroute.settings.toml_lines import key_lines

__all__ = ["FILE_NAME", "LoadedSettings", "default_config_dir", "default_data_dir", "load"]

FILE_NAME = "omniroute.toml"
FLAG = Source("flag", "flag")
DATABASE = Source("database", "database")
DEFAULT = "default"


class LoadedSettings(msgspec.Struct, frozen=True, kw_only=True):
    settings: Settings
    origins: Mapping[str, str]
    """Dotted key → `flag`, `environment NAME`, `file PATH` or `database`, for what was set."""
    written: Mapping[str, str]
    """Dotted key → the string as it was written, where it held a `${env:…}`."""
    files: tuple[Path, ...]
    """What was read, lowest first."""

    def origin(self, key: str) -> str:
        """Who set this dotted key; `default` when nobody did."""
        return self.origins.get(key, DEFAULT)


def default_config_dir() -> Path:
    return platformdirs.user_config_path("omniroute", appauthor=False)


def default_data_dir() -> Path:
    return platformdirs.user_data_path("omniroute", appauthor=False)


def load(
    *,
    config: Path | None = None,
    data_dir: Path | None = None,
    environ: Mapping[str, str],
    cwd: Path,
    overrides: Mapping[str, object] | None = None,
    database: Mapping[str, object] | None = None,
    config_dir: Path | None = None,
) -> LoadedSettings:
    """Read all layers.

    `config` and `data_dir` are the flags of those names, `overrides` the other flags and `database` what users changed
    while running, both by dotted key (None: not given). `config_dir` is the platform's own unless somebody says otherwise.
    Raises `SettingsError` with every finding of every layer.
    """
    layers, files, findings = Layers(), list[Path](), list[str]()
    _add_keys(layers, database, DATABASE)
    for path, is_required in _candidates(config, environ, cwd, config_dir or default_config_dir()):
        if is_required or path.exists():
            problem = _add_file(layers, path, cwd)
            files.append(path)
            findings += [problem] if problem else []
    findings += _add_environment(layers, environ)
    _add_keys(layers, overrides, FLAG)

    expansion = Expansion(environ, applies=lambda path: layers.source(path).is_file)
    settings, problems = _judged(expansion.tree(layers.tree), expansion.problems)
    findings += [f"{layers.source(path).place}: {dotted(path)}: {problem}" for path, problem in problems]
    if findings or settings is None:
        raise SettingsError(findings)
    directory, directory_origin = _data_dir(data_dir, environ, cwd)
    places = {dotted(path): place for path, place in layers.places()}
    return LoadedSettings(
        settings=msgspec.structs.replace(settings, data_dir=directory, places=places),
        origins={**{dotted(path): origin for path, origin in layers.origins()}, "data_dir": directory_origin},
        written={dotted(path): text for path, text in expansion.written.items()},
        files=tuple(files),
    )


# --- layers -----------------------------------------------------------------------------------------------------------


def _add_keys(layers: Layers, values: Mapping[str, object] | None, source: Source) -> None:
    for key, value in (values or {}).items():
        if value is not None:
            layers.add(_split(key), value, source)


def _split(key: str) -> KeyPath:
    """The path that a dotted key, written as in TOML, means."""
    tree: object = tomllib.loads(f"{key} = 0")
    path: KeyPath = ()
    while isinstance(tree, dict):
        [(step, tree)] = tree.items()
        path = (*path, step)
    return path


def _candidates(
    config: Path | None, environ: Mapping[str, str], cwd: Path, config_dir: Path
) -> Iterator[tuple[Path, bool]]:
    """(settings file, whether it must exist), lowest first."""
    given = config or environ.get(CONFIG)
    if given:
        yield cwd / Path(given).expanduser(), True
    else:
        yield from ((path, False) for path in dict.fromkeys((config_dir / FILE_NAME, cwd / FILE_NAME)))


def _add_file(layers: Layers, path: Path, cwd: Path) -> str | None:
    """The finding when the file cannot be read."""
    shown = str(path.relative_to(cwd) if path.is_relative_to(cwd) else path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        tree = tomllib.loads(text)
    except FileNotFoundError:
        return f"{shown}: there is no such file; it was named by --config or {CONFIG}"
    except OSError as error:
        return f"{shown}: cannot be read: {error.strerror or type(error).__name__}"
    except UnicodeDecodeError as error:
        return f"{shown}: is not UTF-8 text (byte {error.start + 1})"
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return f"{shown}: is not valid TOML: {error}"
    lines = key_lines(text)

    def source(at: KeyPath) -> Source:
        line = next(lines[at[:end]] for end in range(len(at), 0, -1) if at[:end] in lines)
        return Source(f"file {path}", f"{shown}:{line}", is_file=True)

    layers.add_tree(tree, source)
    return None


def _add_environment(layers: Layers, environ: Mapping[str, str]) -> list[str]:
    """The findings about variables that are no settings."""
    findings = []
    found = read_environment(environ, written=layers.tree, referenced=set(referenced(layers.tree)))
    for name, path, value in list(found):
        if path is None:
            nearest = nearest_variable(name)
            hint = f"did you mean {nearest}?" if nearest else "unset it, or see docs/configuration.md for the names"
            findings.append(f"environment {name}: no such setting; {hint}")
        else:
            layers.add(path, value, Source(f"environment {name}", f"environment {name}"))
    return findings


def _data_dir(given: Path | None, environ: Mapping[str, str], cwd: Path) -> tuple[Path, str]:
    """The data directory and its origin."""
    if given is not None:
        return cwd / given.expanduser(), FLAG.origin
    for name in DATA_DIR:
        if environ.get(name):
            return cwd / Path(environ[name]).expanduser(), f"environment {name}"
    return default_data_dir(), DEFAULT


# --- judgement --------------------------------------------------------------------------------------------------------


def _judged(tree: dict[str, Any], problems: list[Problem]) -> tuple[Settings | None, list[Problem]]:
    """The settings a tree means and all that is wrong with it; `problems` are known already."""
    options, sections = _taken_out(tree)
    known = {path for path, _ in problems}
    problems = [*problems, *(problem for problem in check(Settings, tree) if problem[0] not in known)]
    for path, _ in problems:
        _prune(tree, path)
    try:
        settings = decode(Settings, tree)
    except msgspec.ValidationError:
        return None, problems  # what was wrong cannot be cut out, so the rules have to wait for the next run
    combos = {
        name: msgspec.structs.replace(combo, options=options.get(name, {})) for name, combo in settings.combos.items()
    }
    settings = msgspec.structs.replace(settings, combos=combos, plugin_sections=sections)
    return settings, [*problems, *broken_rules(settings)]


def _taken_out(tree: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Take options out of the combos' tables and plugins' own sections out of `[plugins]`; others check those."""
    options = {}
    for name, combo in _tables(tree.get("combos")):
        options[name] = _popped(combo, [key for key in combo if key not in keys_of(ComboSettings)])
    plugins = tree.get(PLUGINS)
    if not isinstance(plugins, dict):
        return options, {}
    return options, _popped(plugins, [name for name, _ in _tables(plugins) if name not in keys_of(PluginSettings)])


def _tables(value: object) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        yield from ((key, inner) for key, inner in value.items() if isinstance(inner, dict))


def _popped(table: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: table.pop(key) for key in list(keys)}


def _prune(tree: dict[str, Any], path: KeyPath) -> None:
    """Cut out what stands at `path`, or the whole array it is in, so that indexes keep their meaning."""
    here: Any = tree
    *around, last = path[: next((at for at, step in enumerate(path) if isinstance(step, int)), len(path))]
    for step in around:
        here = here.get(step, {})
    here.pop(last, None)
