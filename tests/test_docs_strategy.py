"""docs/write-a-strategy.md shows the example's own files, names all that a strategy is given, and tests pass."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from omniroute.contracts import RouteContext, Standing
from omniroute.plugins import load_plugins
from omniroute.settings import PluginSettings

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "docs/examples/strategy_canary"
PAGE = (ROOT / "docs/write-a-strategy.md").read_text(encoding="utf-8")
CONFIGURATION = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", ["omniroute_strategy_canary/__init__.py", "tests/test_strategy_canary.py"])
def test_the_page_shows_the_examples_files(file):
    assert (EXAMPLE / file).read_text(encoding="utf-8") in re.findall(
        r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
    )


def test_the_package_block_is_the_examples_pyproject():
    blocks = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert (EXAMPLE / "pyproject.toml").read_text(encoding="utf-8") in blocks


def test_the_examples_own_tests_pass():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(EXAMPLE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


@pytest.mark.parametrize("field", [*RouteContext.__struct_fields__, *Standing.__struct_fields__])
def test_everything_a_strategy_is_given_is_explained(field):
    assert re.search(rf"^\|.*`{field}[`(\[].*\|$", PAGE, re.MULTILINE)


def test_every_strategy_and_option_of_ours_is_in_the_configuration():
    plugins = load_plugins(PluginSettings())
    ours = {plugin.name for plugin in plugins.installed if plugin.is_ours}
    kinds = [kind for plugin, kind in plugins.collect("register_strategies") if plugin in ours]
    rows = dict(re.findall(r"^\| ([a-z0-9-]+) \|(.*)\|$", CONFIGURATION, re.MULTILINE))
    missing = [
        (kind.name, option)
        for kind in kinds
        for option in ("", *kind.options_type.__struct_fields__)
        if kind.name not in rows or (option and f"`{option}`" not in rows[kind.name])
    ]
    assert len(kinds) >= 10
    assert missing == []
