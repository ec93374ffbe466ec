"""docs/hooks.md describes every hook as it is, with an example that works, and names who uses it."""

import inspect
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from omniroute import hookspecs
from omniroute.plugins import hook_names, load_plugins
from omniroute.settings import PluginSettings, Settings

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "hooks.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
ARGUMENTS = {"settings": Settings(), "keys": SimpleNamespace()}


def heading(hook: str) -> str:
    return f"{hook}({', '.join(inspect.signature(getattr(hookspecs, hook)).parameters)})"


def test_every_hook_has_its_heading_with_its_arguments_and_no_heading_lacks_a_hook():
    assert sorted(SECTIONS) == sorted(heading(hook) for hook in hook_names())


@pytest.mark.parametrize("hook", hook_names())
def test_the_example_of_a_hook_is_a_plugin_that_works(hook):
    [source] = re.findall(r"^```python\n(.*?)^```$", SECTIONS[heading(hook)], re.MULTILINE | re.DOTALL)
    example = ModuleType("example")
    exec(compile(source, f"docs/hooks.md {hook}", "exec"), vars(example))
    plugins = load_plugins(PluginSettings(), installed=(), given={"example": example})
    assert plugins.hooks("example") == (hook,)
    if hook.startswith("register_"):
        assert plugins.collect(hook, **ARGUMENTS)
    else:
        plugins.first(hook, **ARGUMENTS)
    plugins.check()


@pytest.mark.parametrize("hook", hook_names())
def test_a_hook_names_the_plugins_of_ours_that_use_it(hook):
    plugins = load_plugins(PluginSettings())
    ours = {plugin.name for plugin in plugins.installed if plugin.is_ours}
    [line] = re.findall(r"^Used by: (.*)\.$", SECTIONS[heading(hook)], re.MULTILINE)
    assert set(re.findall(r"`([^`]+)`", line)) == {name for name in ours if hook in plugins.hooks(name)}


@pytest.mark.parametrize("hook", hook_names())
def test_a_spec_says_what_comes_back_and_when(hook):
    text = inspect.getdoc(getattr(hookspecs, hook))
    assert text.startswith("Return ")
    assert "Called once" in text
