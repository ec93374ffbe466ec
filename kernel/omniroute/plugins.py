"""Plugins: found by entry point, judged before they are imported, loaded once per gateway.

Every failure is reported by the plugin's name, with the reason and the setting that leaves it out; all at once. In safe
mode a plugin that fails is left out and listed instead. Nothing here knows what hooks are for; the registry calls them.
"""

import base64
import csv
import hashlib
import importlib.metadata
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import Distribution, EntryPoint
from typing import Any

import msgspec
import pluggy

from omniroute import hookspecs
from omniroute.errors import PluginConflict, PluginError, SettingsError
from omniroute.hookspecs import ENTRY_POINT_GROUP
from omniroute.settings import PluginSettings
from omniroute.settings.paths import did_you_mean

__all__ = ["InstalledPlugin", "Plugins", "hook_names", "installed_plugins", "load_plugins"]

METAPACKAGE = "omniroute"
"""Our own distributions are those it requires: an exact list, where a prefix of the name would let anybody in."""
INSTALLER_FILES = re.compile(r"\.dist-info/(?!METADATA$|entry_points\.txt$)|^\.\.")
"""Rows of RECORD that differ from one machine or installer to the next."""


# --- what is installed ------------------------------------------------------------------------------------------------


class InstalledPlugin(msgspec.Struct, frozen=True, kw_only=True):
    """What can be known of a plugin without importing it."""

    name: str
    """Of the entry point; what `[plugins] disabled` and `[plugins.NAME]` call it."""
    distribution: str
    version: str
    sha256: str | None
    """Of the files its RECORD lists, as `sha256:…`; the same wherever this wheel is installed. None when the RECORD does
    not list the code it would run, as in an editable install."""
    is_ours: bool
    """Comes with the `omniroute` metapackage."""
    entry_point: EntryPoint
    home: Distribution

    @property
    def title(self) -> str:
        return f"plugin {self.name!r} ({self.distribution} {self.version})"


def installed_plugins(path: Sequence[str] | None = None) -> tuple[InstalledPlugin, ...]:
    """Everything in the entry-point group `omniroute`, by name, without importing any of it. `path` replaces `sys.path`."""
    found: dict[str, Distribution] = {}
    metapackage: Distribution | None = None
    for distribution in importlib.metadata.distributions(path=list(sys.path if path is None else path)):
        if any(point.group == ENTRY_POINT_GROUP for point in distribution.entry_points):
            found.setdefault(_canonical(distribution.name), distribution)
        elif metapackage is None and _canonical(distribution.name) == METAPACKAGE:
            metapackage = distribution
    ours = {_canonical(requirement) for requirement in (metapackage.requires if metapackage else None) or ()}
    plugins = [
        InstalledPlugin(
            name=point.name,
            distribution=distribution.name,
            version=distribution.version,
            sha256=_fingerprint(distribution, point.module),
            is_ours=name in ours,
            entry_point=point,
            home=distribution,
        )
        for name, distribution in found.items()
        for point in distribution.entry_points
        if point.group == ENTRY_POINT_GROUP
    ]
    return tuple(sorted(plugins, key=lambda plugin: (plugin.name, plugin.distribution)))


def _canonical(requirement: str) -> str:
    """The normal form of the distribution name that a requirement starts with."""
    found = re.match(r"[A-Za-z0-9._-]*", requirement)
    return re.sub(r"[-_.]+", "-", found[0] if found else "").lower()


def _recorded(distribution: Distribution) -> list[tuple[str, str]]:
    """(path, `algorithm=digest`) of each file that came in the wheel; nothing without a RECORD."""
    text = distribution.read_text("RECORD") or ""
    rows = [row for row in csv.reader(text.splitlines()) if len(row) == 3]
    return sorted((path, digest) for path, digest, _ in rows if digest and not INSTALLER_FILES.search(path))


def _fingerprint(distribution: Distribution, module: str) -> str | None:
    rows = _recorded(distribution)
    source = module.replace(".", "/")
    if not any(path in (f"{source}.py", f"{source}/__init__.py") for path, _ in rows):
        return None
    return "sha256:" + hashlib.sha256("".join(f"{path},{digest}\n" for path, digest in rows).encode()).hexdigest()


# --- trust ------------------------------------------------------------------------------------------------------------


def _distrust(plugin: InstalledPlugin, settings: PluginSettings) -> str | None:
    """Why this plugin may not be imported with `trust = "allowed"`; None when it may."""
    if plugin.is_ours:
        return None
    if plugin.sha256 is None:
        return "its RECORD does not list the code it would run (an editable install?), so no hash can stand for it"
    allowed = settings.allowed.get(plugin.name)
    if allowed is None:
        return f'it is not allowed; to allow it as it is: [plugins.allowed] {plugin.name} = "{plugin.sha256}"'
    if allowed != plugin.sha256:
        return f"it has changed since it was allowed; look at it again, then allow {plugin.sha256}"
    changed = next((path for path, digest in _recorded(plugin.home) if not _matches(plugin, path, digest)), None)
    return f"its file {changed} is not the one that was installed" if changed else None


def _matches(plugin: InstalledPlugin, path: str, expected: str) -> bool:
    algorithm, _, value = expected.partition("=")
    try:
        with open(str(plugin.home.locate_file(path)), "rb") as file:
            digest = hashlib.file_digest(file, algorithm).digest()
    except (OSError, ValueError):
        return False
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == value


# --- what is loaded ---------------------------------------------------------------------------------------------------


def hook_names() -> tuple[str, ...]:
    """Every hook there is."""
    manager = pluggy.PluginManager(ENTRY_POINT_GROUP)
    return tuple(name for name in dir(hookspecs) if manager.parse_hookspec_opts(hookspecs, name) is not None)


class Plugins:
    """The plugins of one gateway, with a `PluginManager` of their own. Hooks are called in the order of the names."""

    def __init__(self, installed: Sequence[InstalledPlugin] = (), *, safe_mode: bool = False) -> None:
        self.installed = tuple(installed)
        self.safe_mode = safe_mode
        self.failed: dict[str, str] = {}
        """Safe mode: plugin → why it was left out."""
        self.withheld: dict[str, str] = {}
        """`trust = "allowed"`: plugin → why it was not imported."""
        self.notes: list[str] = []
        """What looks odd and stops nobody."""
        self.problems: list[str] = []
        self._manager = pluggy.PluginManager(ENTRY_POINT_GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._titles = {plugin.name: plugin.title for plugin in installed}
        self._to_blame: dict[str, None] = {}
        self._has_conflict = False

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are loaded."""
        return tuple(sorted(name for name, _ in self._manager.list_name_plugin()))

    @property
    def known(self) -> frozenset[str]:
        """Those that are loaded or could be."""
        return frozenset((*self._titles, *self.names))

    def title(self, name: str) -> str:
        return self._titles.get(name, f"plugin {name!r}")

    def hooks(self, name: str) -> tuple[str, ...]:
        """Names of the hooks a loaded plugin implements."""
        callers = self._manager.get_hookcallers(self._manager.get_plugin(name)) or ()
        return tuple(sorted(caller.name for caller in callers))

    def add(self, name: str, plugin: object) -> None:
        """Take in a plugin object: a module, or anything that has hook implementations."""
        if plugin in self._manager.get_plugins():
            self.blame(name, f"is the same object as plugin {self._manager.get_name(plugin)!r}")
            return
        try:
            self._manager.register(plugin, name)
        except (pluggy.PluginValidationError, TypeError, ValueError) as error:
            self.blame(name, f"has a hook that does not fit: {' '.join(str(error).split())}")
            return
        for problem in self._unfit(name):
            self.blame(name, problem)

    def _unfit(self, name: str) -> list[str]:
        plugin = self._manager.get_plugin(name)
        problems = []
        for caller in self._manager.get_hookcallers(plugin) or ():
            implementations = [found for found in caller.get_hookimpls() if found.plugin is plugin]
            if not caller.has_spec() and not all(found.optionalhook for found in implementations):
                hint = did_you_mean(caller.name, hook_names())
                problems.append(f"implements a hook that does not exist: {caller.name}{hint}")
            if any(found.wrapper or found.hookwrapper for found in implementations):
                problems.append(f"wraps the hook {caller.name}; hooks return objects and are not wrapped")
        return problems

    def collect(self, hook: str, **arguments: object) -> list[tuple[str, Any]]:
        """Call a hook once; (plugin, object) for everything the plugins return."""
        found: list[tuple[str, Any]] = []
        for name, result in self._call(hook, arguments):
            if isinstance(result, Iterable) and not isinstance(result, str | bytes):
                found += [(name, thing) for thing in result]
            else:
                self.blame(name, f"returned {type(result).__name__} from {hook}, which is no list")
        return found

    def first(self, hook: str, **arguments: object) -> tuple[str, Any] | None:
        """(plugin, object) of the first plugin that answers a hook like `open_store`."""
        return next(self._call(hook, arguments), None)

    def _call(self, hook: str, arguments: Mapping[str, object]) -> Iterator[tuple[str, Any]]:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        for implementation in reversed(caller.get_hookimpls()):
            name = implementation.plugin_name
            try:
                result = implementation.function(*(arguments[each] for each in implementation.argnames))
                if isinstance(result, Iterator):
                    result = list(result)  # a generator raises here, where it is known whose it is
            except SettingsError as error:
                self.problems += error.findings
            except Exception as error:
                self.blame(name, f"failed in {hook}: {_reason(error)}")
            else:
                if result is not None:
                    yield name, result

    def blame(self, name: str, reason: str, *, is_conflict: bool = False) -> None:
        """Something is wrong with a plugin: reported by `check`, or in safe mode it is listed and asked no more."""
        if self.safe_mode:
            self.failed[name] = f"{self.failed[name]}; {reason}" if name in self.failed else reason
            if self._manager.has_plugin(name):
                self._manager.unregister(name=name)
            return
        self._to_blame[name] = None
        self._has_conflict |= is_conflict
        self.problems.append(f"{self.title(name)} {reason}")

    def check(self, findings: Sequence[str] = ()) -> None:
        """Raise everything that was found wrong so far, with `findings` about the settings.

        `PluginConflict` when plugins are in each other's way, `PluginError` when one is at fault, else `SettingsError`.
        """
        everything = [*self.problems, *findings]
        if not everything:
            return
        if not self._to_blame:
            raise SettingsError(everything)
        names = ", ".join(f'"{name}"' for name in self._to_blame)
        raise (PluginConflict if self._has_conflict else PluginError)(
            "\n  ".join(everything),
            fix=f"mend or uninstall, or leave out with `[plugins] disabled = [{names}]`, or start with --safe-mode",
            findings=everything,
        )


def load_plugins(
    settings: PluginSettings,
    *,
    safe_mode: bool = False,
    installed: Sequence[InstalledPlugin] | None = None,
    given: Mapping[str, object] | None = None,
) -> Plugins:
    """Import and take in what the settings let in.

    `installed` is `installed_plugins()` unless somebody says otherwise; `given` are plugin objects by name that need no
    installation. Raises `PluginError` with every plugin that cannot be loaded, unless in safe mode.
    """
    found = installed_plugins() if installed is None else tuple(installed)
    plugins = Plugins(found, safe_mode=safe_mode)
    candidates: dict[str, list[InstalledPlugin]] = {}
    for plugin in found:
        if plugin.name not in settings.disabled and (settings.only is None or plugin.name in settings.only):
            candidates.setdefault(plugin.name, []).append(plugin)
    for name in sorted({*candidates, *(given or {})}, reverse=True):  # pluggy asks the last one first
        if given and name in given:
            plugins.add(name, given[name])
        elif len(candidates[name]) > 1:
            homes = " and ".join(f"{plugin.distribution} {plugin.version}" for plugin in candidates[name])
            plugins.blame(name, f"is the name of two plugins, in {homes}; uninstall one", is_conflict=True)
        else:
            _load(plugins, candidates[name][0], settings)
    for name in settings.disabled:
        if name not in plugins.known:
            plugins.notes.append(f"[plugins] disabled names {name!r}, which is not installed")
    plugins.check(
        [
            f"[plugins] only (OMNIROUTE_PLUGINS) names {name!r}, which is not installed{did_you_mean(name, plugins.known)}"
            for name in settings.only or ()
            if name not in plugins.known
        ]
    )
    return plugins


def _load(plugins: Plugins, plugin: InstalledPlugin, settings: PluginSettings) -> None:
    if settings.trust == "allowed" and (reason := _distrust(plugin, settings)):
        plugins.withheld[plugin.name] = reason
        return
    try:
        loaded = plugin.entry_point.load()
    except (Exception, SystemExit) as error:
        plugins.blame(plugin.name, f"cannot be imported: {_reason(error)}")
        return
    plugins.add(plugin.name, loaded)


def _reason(error: BaseException) -> str:
    """The error in one line, with the place in the plugin that raised it."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if frame.filename != __file__ and "importlib" not in frame.filename]
    return f"{text} ({theirs[-1].filename}:{theirs[-1].lineno})" if theirs else text
