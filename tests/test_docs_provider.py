"""The tutorial's plugin is the example's own files: what docs/write-a-provider.md shows is what is tested here."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from omniroute import testing

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "docs/examples/provider_acme"
PAGE = (ROOT / "docs/write-a-provider.md").read_text(encoding="utf-8")
SOURCES = [path.read_text(encoding="utf-8") for path in EXAMPLE.rglob("*.py")]
SEEN_IN_SIGNATURES = {"Answer", "Connection", "ReceivedRequest", "Script", "Step", "Validator"}


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.splitlines()[0])
def test_a_python_block_stands_in_the_example_word_for_word(block):
    assert any(block in source for source in SOURCES)


def test_the_tutorial_shows_facts_quirk_hook_and_tests():
    shown = "".join(blocks("python"))
    assert all(word in shown for word in ("ProviderFacts(", "class Acme(", "@hookimpl", "check_provider("))


def test_the_package_block_is_the_examples_pyproject():
    assert (EXAMPLE / "pyproject.toml").read_text(encoding="utf-8") in blocks("toml")


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


def test_every_name_of_the_testing_kit_is_explained():
    page = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
    assert [name for name in testing.__all__ if name not in SEEN_IN_SIGNATURES and name not in page] == []
