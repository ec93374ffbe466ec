"""What README and docs say, held against what is there: code, settings, commands, links, dependencies, figures."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import msgspec
import pytest
from packaging.requirements import Requirement

from omniroute.cli.root import cli
from omniroute.settings import load

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), ROOT / "kernel/README.md", *ROOT.glob("docs/**/*.md")])
PROJECTS = [ROOT / "pyproject.toml", ROOT / "kernel/pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]\n]*\]\((?P<target>[^)\s]+)\)")


class Block(NamedTuple):
    page: Path
    line: int
    info: list[str]
    """The words after the fence: the language, then marks such as `run`."""
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(language: str) -> list[Block]:
    """All code blocks in that language."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            info = match["info"].split()
            if info[:1] == [language]:
                found.append(Block(page, text.count("\n", 0, match.start()) + 1, info, match["text"]))
    return found


# --- code -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_blocks_compile(block):
    code = compile(block.text, str(block), "exec")
    assert code.co_code


@pytest.mark.parametrize("block", [b for b in blocks("python") if "run" in b.info], ids=str)
def test_python_blocks_marked_run_do(block):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block.text], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_the_readmes_provider_is_the_example_that_is_installed_and_tested():
    [shown] = [
        block.text for block in blocks("python") if block.page.name == "README.md" and "FactsProvider" in block.text
    ]
    example = ROOT / "docs/examples/provider_acme/omniroute_provider_acme/__init__.py"
    assert shown == example.read_text(encoding="utf-8")
    assert shown.count("\n") <= 45


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_toml_blocks_are_good_settings(block, tmp_path):
    """Those of a package's pyproject.toml only have to be TOML, and cases for `route test` have a test of their own."""
    tree = tomllib.loads(block.text)
    if "project" in tree or "tool" in tree or "cases" in block.info:
        return
    config = tmp_path / "omniroute.toml"
    config.write_text(block.text, encoding="utf-8")
    variables = dict.fromkeys(re.findall(r"\$\{env:(\w+)\}", block.text), "test-key-1")
    loaded = load(config=config, environ=variables, cwd=tmp_path, config_dir=tmp_path / "none")
    assert loaded.files == (config,)


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_blocks_are_json(block):
    assert msgspec.json.decode(block.text)


# --- commands ---------------------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, str]]:
    """(where, what stands behind `omniroute`) of every command line in a shell block or in backticks."""
    for block in blocks("sh"):
        for line in block.text.replace("\\\n", " ").splitlines():
            for match in re.finditer(r"(?:^|&& |\$\(|uv run |# )omniroute ((?!#)[^)|\n]+?)(?=\)| *#| *\||$)", line):
                yield str(block), match[1]
    for page in PAGES:
        for match in re.finditer(r"`(?:uv run )?omniroute ([a-z][^`\n]*)`", page.read_text(encoding="utf-8")):
            yield str(page.relative_to(ROOT)), match[1]


@pytest.mark.parametrize(("where", "line"), sorted(set(commands())))
def test_commands_exist_with_their_options(where, line):
    words = re.findall(r'"[^"]*"|\S+', line)
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group) and words and re.fullmatch("[a-z-]+", words[0]):
        found = command.get_command(context, words[0])
        assert found, f"there is no `omniroute {line}`"
        command, words = found, words[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert used <= known | {"--help"}


def test_the_readme_shows_the_two_commands():
    shown = {line for block in blocks("sh") if block.page.name == "README.md" for line in block.text.splitlines()}
    assert {"pip install uv && uv run omniroute serve", "pip install uv && uv run pytest"} <= shown


# --- links ------------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """Headings as they are linked to: lower case, words joined by hyphens, other signs left out."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(page):
    broken = []
    for match in LINK.finditer(FENCE.sub("", page.read_text(encoding="utf-8"))):
        address, _, anchor = match["target"].partition("#")
        if re.match(r"[a-z]+:", address):
            continue
        target = (page.parent / address).resolve() if address else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(match["target"])
    assert broken == []


def test_every_page_is_reached_from_the_readme():
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        targets = [match["target"].partition("#")[0] for match in LINK.finditer(page.read_text(encoding="utf-8"))]
        found = {(page.parent / target).resolve() for target in targets if target.endswith(".md") and ":" not in target}
        ahead += found - reached - set(ahead)
    assert set((ROOT / "docs").glob("**/*.md")) - reached == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_exist(page):
    named = re.findall(r"`((?:kernel|plugins|tests|docs|scripts|\.ci)/[\w./-]+)`", page.read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []


# --- facts ------------------------------------------------------------------------------------------------------------


def declared_dependencies() -> set[str]:
    """What the projects of the workspace ask for, without each other and without what builds them."""
    data = [tomllib.loads(path.read_text(encoding="utf-8")) for path in PROJECTS]
    members = {project["project"]["name"] for project in data}
    texts = [text for project in data for text in project["project"].get("dependencies", [])]
    texts += [text for project in data for group in project.get("dependency-groups", {}).values() for text in group]
    return {Requirement(text).name for text in texts} - members


def test_each_dependency_has_its_reason_and_each_reason_its_dependency():
    rows = re.findall(r"^\| ([a-z0-9-]+) \| (.+) \|$", (ROOT / "docs/dependencies.md").read_text(), re.MULTILINE)
    reasons = {name: reason for name, reason in rows if name != "package"}
    assert set(reasons) == declared_dependencies()
    assert all(len(reason) > 10 for reason in reasons.values())


def test_the_architecture_names_every_room_of_the_kernel_and_no_other():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    table = text.split("## Rooms of the kernel")[1].split("\n## ")[0]
    named = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    rooms = {path.stem for path in (ROOT / "kernel/omniroute").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert named == {room for room in rooms if not room.startswith("_")}


def test_the_changelog_has_a_place_for_what_is_new():
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased"


def test_decisions_are_numbered_without_gaps():
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_performance_page_shows_the_run_beside_it(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from benchmark.results import Run
    from docs_performance import SOURCE, TARGET, render

    run = msgspec.json.decode(SOURCE.read_bytes(), type=Run)
    assert TARGET.read_text(encoding="utf-8") == render(run), "run scripts/docs_performance.py"


# --- what no file may hold --------------------------------------------------------------------------------------------

REGISTRY_HOSTS = re.compile(
    r"\b(?:pypi|npmjs|pythonhosted|crates|rubygems)\.(?:org|com|io)\b|//(?:[\w-]+\.)*debian\.org"
)
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:work|farm|root)/(?=\w)")


def files() -> list[Path]:
    """What git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("pattern", [REGISTRY_HOSTS, MACHINE_PATHS], ids=["registry hosts", "paths of one machine"])
def test_no_file_names(pattern):
    found = {}
    for path in files():
        if match := pattern.search(path.read_text(encoding="utf-8", errors="replace")):
            found[str(path.relative_to(ROOT))] = match[0]
    assert found == {}
