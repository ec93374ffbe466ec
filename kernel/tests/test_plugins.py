import base64
import hashlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from omniroute.errors import PluginConflict, PluginError, SettingsError
from omniroute.hookspecs import hookimpl
from omniroute.plugins import Plugins, hook_names, installed_plugins, load_plugins
from omniroute.settings import PluginSettings

HOOK = "from omniroute.hookspecs import hookimpl\n@hookimpl\ndef {name}({arguments}):\n    {body}\n"
GOOD = HOOK.format(name="register_strategies", arguments="", body="return []")


class Site:
    """A directory of installed distributions, as an installer leaves it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def install(self, distribution: str, plugins: dict[str, str], *, version: str = "1.0", requires: str = "") -> None:
        """`plugins`: entry point → source of its module, which is called as the entry point, with underscores."""
        info = f"{distribution.replace('-', '_')}-{version}.dist-info"
        modules = {name: name.replace("-", "_") for name in plugins}
        files = {f"{module}.py": plugins[name] for name, module in modules.items()}
        files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n{requires}"
        if plugins:
            points = "".join(f"{name} = {module}\n" for name, module in modules.items())
            files[f"{info}/entry_points.txt"] = f"[omniroute]\n{points}"
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        rows = [f"{name},sha256={_digest(text)},{len(text)}\n" for name, text in files.items()]
        rows += [f"{info}/INSTALLER,sha256=AAAA,2\n", "../../bin/tool,sha256=AAAA,2\n", f"{info}/RECORD,,\n"]
        (self.root / info / "RECORD").write_text("".join(rows))

    def installed(self):
        return installed_plugins([str(self.root)])


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Site(tmp_path)
    for name, found in list(sys.modules.items()):
        if str(getattr(found, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def load(site: Site, *, safe_mode: bool = False, **settings) -> Plugins:
    return load_plugins(PluginSettings(**settings), installed=site.installed(), safe_mode=safe_mode)


def module(name: str, **hooks) -> ModuleType:
    made = ModuleType(name)
    for hook, function in hooks.items():
        setattr(made, hook, hookimpl(function))
    return made


# --- what is installed ------------------------------------------------------------------------------------------------


def test_plugins_are_listed_by_name_without_importing_them(site):
    site.install("acme-two", {"acme-b": "raise SystemExit", "acme-a": "raise SystemExit"}, version="2.5")
    listed = [(plugin.name, plugin.distribution, plugin.version) for plugin in site.installed()]
    assert listed == [("acme-a", "acme-two", "2.5"), ("acme-b", "acme-two", "2.5")]
    assert "acme_a" not in sys.modules


def test_the_hash_is_of_the_wheels_files_and_not_of_what_installers_add(site):
    site.install("acme", {"acme": GOOD})
    [before] = site.installed()
    record = site.root / "acme-1.0.dist-info" / "RECORD"
    record.write_text(record.read_text().replace("sha256=AAAA", "sha256=BBBB"))
    assert [plugin.sha256 for plugin in site.installed()] == [before.sha256]
    site.install("acme", {"acme": GOOD + "# changed\n"})
    assert [plugin.sha256 for plugin in site.installed()] != [before.sha256]


def test_an_installation_without_a_record_of_its_code_has_no_hash(site):
    site.install("acme", {"acme": GOOD})
    record = site.root / "acme-1.0.dist-info" / "RECORD"
    record.write_text("".join(line for line in record.read_text().splitlines(True) if not line.startswith("acme.py")))
    assert [plugin.sha256 for plugin in site.installed()] == [None]


def test_ours_are_what_the_metapackage_requires_and_not_what_is_named_alike(site):
    site.install("omniroute", {}, requires="Requires-Dist: omniroute-provider_One>=1 ; extra == 'all'\n")
    site.install("omniroute-provider-one", {"one": GOOD})
    site.install("omniroute-provider-one-more", {"two": GOOD})
    assert {plugin.name: plugin.is_ours for plugin in site.installed()} == {"one": True, "two": False}


# --- loading ----------------------------------------------------------------------------------------------------------


def test_a_good_plugin_is_loaded_and_says_which_hooks_it_has(site):
    site.install("acme", {"acme": GOOD})
    plugins = load(site)
    assert plugins.names == ("acme",)
    assert plugins.hooks("acme") == ("register_strategies",)


BROKEN = {
    "missing": ("import no_such_module\n", "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
    "raising": ("1 / 0\n", "cannot be imported: ZeroDivisionError: division by zero"),
    "syntax": ("def\n", "cannot be imported: SyntaxError: "),
    "exiting": ("raise SystemExit('bye')\n", "cannot be imported: SystemExit: bye"),
    "unknown": (
        HOOK.format(name="register_provider", arguments="settings", body="return []"),
        "implements a hook that does not exist: register_provider; did you mean 'register_providers'?",
    ),
    "arguments": (
        HOOK.format(name="register_strategies", arguments="setings", body="return []"),
        "has a hook that does not fit: ",
    ),
    "wrapping": (
        GOOD.replace("@hookimpl", "@hookimpl(wrapper=True)").replace("return []", "return (yield)"),
        "wraps the hook register_strategies; hooks return objects and are not wrapped",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_plugin_that_cannot_be_loaded_is_named_with_the_reason_and_the_way_out(site, kind):
    source, reason = BROKEN[kind]
    site.install("acme-dist", {f"acme-{kind}": source})
    with pytest.raises(PluginError) as caught:
        load(site)
    [finding] = caught.value.findings
    assert finding.startswith(f"plugin 'acme-{kind}' (acme-dist 1.0) {reason}")
    assert f'[plugins] disabled = ["acme-{kind}"]' in caught.value.fix
    assert "--safe-mode" in caught.value.fix


def test_a_failing_import_is_reported_with_its_line(site):
    site.install("acme", {"acme": "x = 1\n1 / 0\n"})
    with pytest.raises(PluginError, match=r"acme\.py:2\)"):
        load(site)


def test_all_broken_plugins_are_reported_at_once_and_disabled_ones_are_not_touched(site):
    site.install("acme", {kind: source for kind, (source, _) in BROKEN.items()} | {"good": GOOD})
    with pytest.raises(PluginError) as caught:
        load(site, disabled=("syntax",))
    assert len(caught.value.findings) == len(BROKEN) - 1
    assert all(finding in caught.value.message for finding in caught.value.findings)
    assert load(site, disabled=tuple(BROKEN)).names == ("good",)


def test_safe_mode_leaves_out_what_fails_and_lists_it(site):
    site.install("acme", {kind: source for kind, (source, _) in BROKEN.items()} | {"good": GOOD})
    plugins = load(site, safe_mode=True)
    assert plugins.names == ("good",)
    assert plugins.failed.keys() == BROKEN.keys()
    assert all(plugins.failed[kind].startswith(reason) for kind, (_, reason) in BROKEN.items())


def test_only_the_named_plugins_are_loaded(site):
    site.install("acme", {"good": GOOD, "better": GOOD, "bad": "1 / 0"})
    assert load(site, only=("good",)).names == ("good",)
    assert load(site, only=()).names == ()


def test_a_wanted_plugin_that_is_not_installed_is_an_error_and_an_unwanted_one_a_note(site):
    site.install("acme", {"good": GOOD})
    with pytest.raises(SettingsError, match="names 'god', which is not installed; did you mean 'good'"):
        load(site, only=("god",))
    plugins = load(site, disabled=("gone",))
    assert plugins.notes == ["[plugins] disabled names 'gone', which is not installed"]


def test_two_distributions_with_one_plugin_name_are_both_named(site):
    site.install("acme-one", {"acme": GOOD})
    site.install("acme-two", {"acme": GOOD})
    with pytest.raises(PluginConflict, match=r"acme-one 1\.0 and acme-two 1\.0"):
        load(site)
    plugins = load(site, safe_mode=True)
    assert plugins.names == ()
    assert "acme" in plugins.failed


def test_two_names_for_one_object_are_refused():
    same = module("same")
    with pytest.raises(PluginError, match="is the same object as plugin 'b'"):
        load_plugins(PluginSettings(), installed=(), given={"a": same, "b": same})


def test_every_gateway_has_plugins_of_its_own(site):
    site.install("acme", {"acme": GOOD})
    first = load(site)
    assert load_plugins(PluginSettings(), installed=()).names == ()
    assert first.names == ("acme",)


# --- trust ------------------------------------------------------------------------------------------------------------

WRITES = "import pathlib\npathlib.Path(__file__).with_name('imported').write_text('')\n" + GOOD


def test_with_trust_allowed_strangers_are_listed_but_not_imported(site):
    site.install("acme", {"acme": WRITES})
    plugins = load(site, trust="allowed")
    [stranger] = plugins.installed
    assert plugins.names == ()
    assert plugins.withheld == {
        "acme": f'it is not allowed; to allow it as it is: [plugins.allowed] acme = "{stranger.sha256}"'
    }
    assert not (site.root / "imported").exists()


def test_with_trust_allowed_a_stranger_is_loaded_by_its_hash(site):
    site.install("acme", {"acme": WRITES})
    [stranger] = site.installed()
    assert load(site, trust="allowed", allowed={"acme": stranger.sha256}).names == ("acme",)
    assert (site.root / "imported").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param("reinstalled", "it has changed since it was allowed; look at it again", id="another wheel"),
        pytest.param("edited", "its file acme.py is not the one that was installed", id="edited in place"),
        pytest.param("removed", "its file acme.py is not the one that was installed", id="removed"),
        pytest.param("unrecorded", "its RECORD does not list the code it would run", id="no longer in the RECORD"),
    ],
)
def test_with_trust_allowed_a_changed_stranger_is_not_imported(site, change, reason):
    site.install("acme", {"acme": GOOD})
    [stranger] = site.installed()
    code, record = site.root / "acme.py", site.root / "acme-1.0.dist-info" / "RECORD"
    match change:
        case "reinstalled":
            site.install("acme", {"acme": WRITES})
        case "edited":
            code.write_text(WRITES)
        case "removed":
            code.unlink()
        case "unrecorded":
            code.write_text(WRITES)
            record.write_text("")
    plugins = load(site, trust="allowed", allowed={"acme": stranger.sha256})
    assert plugins.names == ()
    assert plugins.withheld["acme"].startswith(reason)
    assert not (site.root / "imported").exists()


def test_with_trust_allowed_ours_are_loaded_as_ever(site):
    site.install("omniroute", {}, requires="Requires-Dist: acme\n")
    site.install("acme", {"acme": GOOD})
    assert load(site, trust="allowed").names == ("acme",)


# --- calling hooks ----------------------------------------------------------------------------------------------------


def given(**modules: ModuleType) -> Plugins:
    return load_plugins(PluginSettings(), installed=(), given=modules)


def test_a_hook_is_asked_in_the_order_of_the_names_and_says_who_gave_what():
    plugins = given(
        b=module("b", register_strategies=lambda: [2, 3]),
        a=module("a", register_strategies=lambda: (number for number in (1,))),
        c=module("c", register_strategies=lambda: None),
        d=module("d"),
    )
    assert plugins.collect("register_strategies") == [("a", 1), ("b", 2), ("b", 3)]


def test_a_plugin_takes_only_the_arguments_it_names():
    plugins = given(
        a=module("a", register_transports=lambda settings: [settings]), b=module("b", register_transports=lambda: ["b"])
    )
    assert plugins.collect("register_transports", settings="s") == [("a", "s"), ("b", "b")]


def test_the_first_plugin_with_an_answer_opens_the_store():
    plugins = given(
        a=module("a", open_store=lambda: None),
        b=module("b", open_store=lambda settings: "store"),
        c=module("c", open_store=lambda: 1 / 0),
    )
    assert plugins.first("open_store", settings=None) == ("b", "store")
    assert plugins.first("open_fast", settings=None) is None
    plugins.check()


def _generator():
    yield 1
    raise ValueError("half-way")


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        pytest.param(lambda: 1 / 0, "failed in register_strategies: ZeroDivisionError: division by zero", id="raises"),
        pytest.param(_generator, "failed in register_strategies: ValueError: half-way", id="raises half-way"),
        pytest.param(lambda: 5, "returned int from register_strategies, which is no list", id="no list"),
        pytest.param(lambda: "ab", "returned str from register_strategies, which is no list", id="text"),
    ],
)
def test_a_hook_that_fails_is_reported_by_its_plugin_and_the_others_go_on(hook, reason):
    plugins = given(bad=module("bad", register_strategies=hook), good=module("good", register_strategies=lambda: [1]))
    assert plugins.collect("register_strategies") == [("good", 1)]
    with pytest.raises(PluginError) as caught:
        plugins.check()
    assert caught.value.findings[0].startswith(f"plugin 'bad' {reason}")


def test_in_safe_mode_a_plugin_that_failed_once_is_asked_no_more():
    bad = module("bad", register_strategies=lambda: 1 / 0, register_translators=lambda: [1])
    plugins = load_plugins(PluginSettings(), installed=(), given={"bad": bad}, safe_mode=True)
    assert plugins.collect("register_strategies") == []
    assert plugins.collect("register_translators") == []
    assert plugins.failed.keys() == {"bad"}
    plugins.check()


def test_what_a_plugin_finds_wrong_with_its_section_is_a_finding_in_the_settings():
    def refuse():
        raise SettingsError(["omniroute.toml:2: plugins.a.x: no such key"])

    plugins = given(a=module("a", register_strategies=refuse))
    assert plugins.collect("register_strategies") == []
    with pytest.raises(SettingsError) as caught:
        plugins.check(["another"])
    assert caught.value.findings == ("omniroute.toml:2: plugins.a.x: no such key", "another")


def test_every_spec_is_a_hook():
    assert {"register_translators", "register_providers", "open_store"} <= set(hook_names())
    assert "hookspec" not in hook_names()
