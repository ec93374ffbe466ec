"""Which way imports point, read from the source. What may import what stands in CONTRIBUTING.md; here it is proved."""

import ast
import inspect
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from omniroute import api, hookspecs, model, testing
from omniroute.api import ProviderFacts, Settings

ROOT = Path(__file__).resolve().parent.parent
KERNEL = ROOT / "kernel/omniroute"
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))

HOMES = {
    "aiohttp": {"transport"},
    "httpx": {"control"},
    "litestar": {"app", "ingress", "management"},
    "sqlite_utils": {"store"},
}
"""Libraries that one room of the kernel has to itself, so that another can take their place."""
PURE_ROOMS = (
    "contracts",
    "errors",
    "framing",
    "losses",
    "model",
    "provider",
    "routing",
    "secret",
    "standing",
    "toolbox",
)
PURE_KINDS = ("provider_", "providers_", "strategy_", "translator_")
EFFECTS = {
    "asyncio", "concurrent", "http", "multiprocessing", "queue", "random", "select", "selectors", "signal", "socket",
    "socketserver", "sqlite3", "ssl", "subprocess", "threading", "time", "urllib.request",
}  # fmt: skip
"""Sockets, clocks, locks, processes, dice: what the kernel does, and values and pure functions do not."""
MAY_HAVE_EFFECTS = {
    "provider_demo": {"asyncio"},  # answers through a transport of its own, and a transport is asynchronous
    "translator_openai_chat": {"time"},  # answers say when they were made; the clock is a parameter, this its default
    "translator_openai_responses": {"time"},  # likewise
}
OWN_LIBRARIES = ("auth_", "dashboard", "store_", "telemetry_", "tokens_", "transport_")
"""Kinds of plugin that bring a library along: an exporter's, a database's, a tokenizer."""
PUBLIC = {"omniroute.api", "omniroute.hookspecs", "omniroute.testing"}
SERVER_LIBRARIES = ("aiohttp", "cryptography", "httpx", "litestar", "sqlite_utils", "uvicorn")


# --- reading ----------------------------------------------------------------------------------------------------------


def python_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "build" not in path.parts)


def sources(plugin: Path) -> list[Path]:
    return [path for package in plugin.glob("omniroute_*") for path in python_files(package)]


def room(path: Path) -> str:
    """`pipeline` for kernel/omniroute/pipeline.py, `store` for kernel/omniroute/store/rows.py."""
    return path.relative_to(KERNEL).parts[0].removesuffix(".py")


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[str]:
    """Every module the file imports, anywhere in it, with the names taken from it: `omniroute.api`, `urllib.request`."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(module: str, parents: Iterable[str]) -> bool:
    return any(module == parent or module.startswith(f"{parent}.") for parent in parents)


def shown(path: Path, found: object) -> str:
    return f"{path.relative_to(ROOT)}: {found}"


# --- directions -------------------------------------------------------------------------------------------------------


def outside(plugin: Path, path: Path, allowed: set[str]) -> Iterator[str]:
    """Imports of the file that are neither the standard library, nor the plugin itself, nor allowed."""
    own = {package.name for package in plugin.glob("omniroute_*")}
    for module in imports(path):
        if not is_within(module, own | allowed) and module.split(".")[0] not in sys.stdlib_module_names:
            if (
                module == "omniroute"
            ):  # `from omniroute import api` also yields `omniroute.api`, which is judged by itself
                continue
            yield shown(path, module)


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_imports_only_the_public_api_msgspec_and_the_standard_library(plugin):
    allowed = {"msgspec", "omniroute.api"}
    if plugin.name.startswith(OWN_LIBRARIES):
        allowed |= {name.replace("-", "_") for name in dependencies(plugin) if not name.startswith("omniroute")}
    assert [found for path in sources(plugin) for found in outside(plugin, path, allowed)] == []


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugins_tests_see_no_private_module_and_no_other_plugin(plugin):
    wrong = [
        shown(path, module)
        for path in python_files(plugin / "tests")
        for module in imports(path)
        if module.startswith("omniroute")
        and module != "omniroute"
        and not is_within(module, PUBLIC | {package.name for package in plugin.glob("omniroute_*")})
    ]
    assert wrong == []


def test_the_kernel_imports_no_plugin():
    assert [shown(p, m) for p in python_files(KERNEL) for m in imports(p) if m.startswith("omniroute_")] == []


@pytest.mark.parametrize("library", HOMES)
def test_a_library_of_the_kernel_is_imported_in_its_own_room_only(library):
    rooms = {room(path) for path in python_files(KERNEL) if any(is_within(m, [library]) for m in imports(path))}
    assert rooms <= HOMES[library], rooms
    elsewhere = [p for plugin in PLUGINS for p in sources(plugin) if any(is_within(m, [library]) for m in imports(p))]
    assert all(path.relative_to(ROOT / "plugins").parts[0].startswith(OWN_LIBRARIES) for path in elsewhere), elsewhere


def test_the_kernel_imports_only_what_it_declares():
    declared = {name.replace("-", "_") for name in dependencies(ROOT / "kernel")} | {"omniroute"}
    project = tomllib.loads((ROOT / "kernel" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for_testing = {re.split(r"[><=]", text)[0] for text in project["optional-dependencies"]["testing"]}
    modules = {"google" if name == "google-genai" else name for name in for_testing}
    wrong = [
        shown(path, module)
        for path in python_files(KERNEL)
        for module in imports(path)
        if module.split(".")[0] not in declared | sys.stdlib_module_names
        and not (room(path) == "testing" and module.split(".")[0] in modules)
    ]
    assert wrong == []


@pytest.mark.parametrize("name", PURE_ROOMS)
def test_a_pure_room_has_no_sockets_clocks_or_locks(name):
    paths = [path for path in python_files(KERNEL) if room(path) == name]
    assert paths
    assert [shown(path, m) for path in paths for m in imports(path) if is_within(m, EFFECTS)] == []


@pytest.mark.parametrize("plugin", [p for p in PLUGINS if p.name.startswith(PURE_KINDS)], ids=lambda path: path.name)
def test_providers_translators_and_strategies_have_no_sockets_clocks_or_locks(plugin):
    effects = EFFECTS - MAY_HAVE_EFFECTS.get(plugin.name, set())
    assert [shown(path, m) for path in sources(plugin) for m in imports(path) if is_within(m, effects)] == []


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["key", "--help"], ["account", "--help"]], ids=" ".join
)
def test_help_imports_nothing_of_the_server(arguments):
    program = (
        "import json, sys\n"
        "from omniroute.cli import main\n"
        f"sys.argv = ['omniroute', *{arguments!r}]\n"
        "try:\n    code = main()\nexcept SystemExit as stop:\n    code = stop.code\n"
        "print(json.dumps([code or 0, sorted(sys.modules)]), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    code, loaded = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    assert done.stdout.strip()
    assert [module for module in loaded if is_within(module, SERVER_LIBRARIES)] == []


# --- names of providers -----------------------------------------------------------------------------------------------


def provider_names(package: str = "") -> set[str]:
    """Names and longer aliases of every installed provider, or of one package's, asked for by the same door as the kernel's."""
    found: set[str] = set()
    for entry in entry_points(group=hookspecs.ENTRY_POINT_GROUP):
        if package not in {"", entry.module}:
            continue
        register = getattr(entry.load(), "register_providers", None)
        if register:
            arguments = [Settings()] if inspect.signature(register).parameters else []
            for provider in register(*arguments):
                facts: ProviderFacts = provider.facts
                found |= {facts.name, *(alias for alias in facts.aliases if len(alias) > 3)}
    return found


def dialect_words() -> set[str]:
    """What dialects are called, in parts: a translator may say its own dialect's name, which is also a vendor's."""
    found: set[str] = set()
    for entry in entry_points(group=hookspecs.ENTRY_POINT_GROUP):
        register = getattr(entry.load(), "register_translators", None)
        for translator in register() if register else ():
            found |= {translator.dialect, *translator.dialect.split("-")}
    return found


def string_values(path: Path) -> Iterator[str]:
    """String constants that are values: not docstrings, and not sentences for people (those have spaces)."""
    tree = parse(path)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in prose
            and " " not in node.value
        ):
            yield node.value


def test_the_installed_providers_and_dialects_are_found():
    assert {"anthropic", "demo", "openai"} <= provider_names()
    assert {"anthropic", "openai-chat"} <= dialect_words()


@pytest.mark.parametrize(
    ("place", "known"),
    [
        pytest.param(python_files(KERNEL), set(), id="kernel"),
        pytest.param(
            [p for plugin in PLUGINS if plugin.name.startswith("translator_") for p in sources(plugin)],
            dialect_words(),
            id="translators",
        ),
    ],
)
def test_no_provider_is_known_by_name(place, known):
    names = provider_names() - known - {"local"}  # `local` is also the caller's name in keyless mode
    assert names
    pattern = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, sorted(names)))})(?![\w-])")
    hits = [shown(p, v) for p in place if "testing" not in p.parts for v in string_values(p) if pattern.search(v)]
    assert hits == [], "a fact is missing from a table: give it a name and let the provider state it"


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda p: p.name)
def test_a_plugin_names_no_provider_but_its_own(plugin):
    """Vendors' names within URLs and model ids are not meant: a gateway of many vendors has them in its models."""
    own = provider_names(f"omniroute_{plugin.name}")
    assert own or not plugin.name.startswith("provider")
    others = provider_names() - own - dialect_words() - {"local"}
    assert [shown(p, v) for p in sources(plugin) for v in string_values(p) if v in others] == []


# --- the public surface -----------------------------------------------------------------------------------------------


def public_names(module: ModuleType) -> set[str]:
    """What a reader would take for public: no underscore, and no module, hook or typing construct that is only used there."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and not hasattr(value, f"{hookspecs.ENTRY_POINT_GROUP}_spec")
        and (name in module.__all__ or getattr(value, "__module__", "typing") not in {"typing", "collections.abc"})
    }


@pytest.mark.parametrize("module", [api, hookspecs, testing], ids=lambda module: module.__name__)
def test_what_is_public_is_listed_once_and_exists(module):
    assert len(module.__all__) == len(set(module.__all__))
    assert public_names(module) == set(module.__all__)


def structs(module: ModuleType) -> list[type[msgspec.Struct]]:
    found = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, msgspec.Struct)]
    return [kind for kind in found if is_within(kind.__module__, [module.__name__])]


@pytest.mark.parametrize("module", [model, import_module("omniroute.contracts")], ids=lambda module: module.__name__)
def test_canonical_values_are_frozen(module):
    assert structs(module)
    assert [kind.__name__ for kind in structs(module) if not kind.__struct_config__.frozen] == []


# --- packaging --------------------------------------------------------------------------------------------------------


def project(folder: Path) -> dict[str, object]:
    data: dict[str, object] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return data


def dependencies(folder: Path) -> list[str]:
    listed = project(folder).get("dependencies", [])
    assert isinstance(listed, list)
    return [re.split(r"[<>=!~;\[ ]", text)[0].lower() for text in listed]


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_is_a_typed_package_named_like_its_folder(plugin):
    assert project(plugin)["name"] == f"omniroute-{plugin.name.replace('_', '-')}"
    assert project(plugin)["entry-points"] == {"omniroute": {plugin.name.replace("_", "-"): f"omniroute_{plugin.name}"}}
    assert (plugin / f"omniroute_{plugin.name}" / "py.typed").exists()
    assert python_files(plugin / "tests"), "a plugin has its tests beside it"
    assert "omniroute-kernel" in dependencies(plugin)


# --- security by construction -----------------------------------------------------------------------------------------

ALL_SOURCES = [*python_files(KERNEL), *(path for plugin in PLUGINS for path in sources(plugin))]
EXECUTES = {"execute", "executemany", "executescript"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MODULES = {"dill", "marshal", "pickle", "shelve", "yaml"}


def is_composed(node: ast.expr) -> bool:
    """Text put together at run time: an f-string with anything but CONSTANTS in it, `+`, `%`, `.format(…)`, `.join(…)`."""
    match node:
        case ast.JoinedStr(values=values):
            holes = [value.value for value in values if isinstance(value, ast.FormattedValue)]
            return not all(isinstance(hole, ast.Name) and hole.id.isupper() for hole in holes)
        case ast.BinOp():
            return True
        case ast.Call(func=ast.Attribute(attr="format" | "join" | "format_map")):
            return True
    return False


def test_sql_is_never_composed_from_values():
    wrong = [
        shown(path, f"line {node.lineno}")
        for path in ALL_SOURCES
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in EXECUTES and node.args and is_composed(node.args[0])
    ]
    assert wrong == [], "bind parameters"


def test_nothing_evaluates_code_or_unpickles():
    calls = [
        shown(path, f"line {node.lineno}: {node.func.id}")
        for path in ALL_SOURCES
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS
    ]
    modules = [shown(p, m) for p in ALL_SOURCES for m in imports(p) if is_within(m, FORBIDDEN_MODULES)]
    assert calls + modules == []


@pytest.mark.parametrize(
    ("expression", "composed"),
    [
        ('f"select {name}"', True),
        ('f"select {self.NAME}"', True),
        ('f"pragma busy_timeout = {BUSY_TIMEOUT_MS:d}"', False),
        ('"select " + name', True),
        ('"select %s" % name', True),
        ('"select {}".format(name)', True),
        ('"select ?"', False),
        ("QUERY", False),
    ],
)
def test_the_check_for_composed_sql_tells_them_apart(expression, composed):
    node = ast.parse(expression, mode="eval").body
    assert is_composed(node) is composed
