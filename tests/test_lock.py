"""The locks: complete, hashed, without addresses, and true to what the projects ask for."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECTS = [ROOT / "pyproject.toml", ROOT / "kernel/pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]
LOCKS = [ROOT / "requirements.lock", ROOT / "requirements-sdk-previous.lock"]
ENTRY = re.compile(r"[A-Za-z0-9._-]+==[^\s;]+( ; [^\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+")


def entries(lock: Path) -> Iterator[str]:
    """The text of each locked package: its requirement line and the hashes below it."""
    yield from re.split(r"\n(?=\S)", lock.read_text(encoding="utf-8").strip())


def locked(lock: Path) -> dict[str, list[Requirement]]:
    """name → the locked requirements of that name; more than one where versions differ by platform."""
    found: dict[str, list[Requirement]] = {}
    for entry in entries(lock):
        requirement = Requirement(entry.split(" \\\n")[0])
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def version(requirement: Requirement) -> Version:
    return Version(str(requirement.specifier).removeprefix("=="))


def projects() -> Iterator[tuple[str, list[Requirement]]]:
    """(name, everything it asks for), the development groups and build requirements included."""
    for path in PROJECTS:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        texts = [*data["project"].get("dependencies", []), *data["build-system"]["requires"]]
        for group in (
            *data["project"].get("optional-dependencies", {}).values(),
            *data.get("dependency-groups", {}).values(),
        ):
            texts += [text for text in group if isinstance(text, str)]
        yield data["project"]["name"], [Requirement(text) for text in texts]


MEMBERS = {canonicalize_name(name) for name, _ in projects()}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_entry_is_one_version_with_hashes_and_no_address(lock):
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index" not in text
    odd = [entry.splitlines()[0] for entry in entries(lock) if not ENTRY.fullmatch(entry)]
    assert odd == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_no_member_of_the_workspace_is_locked(lock):
    assert MEMBERS.isdisjoint(locked(lock))


def test_the_lock_satisfies_every_requirement_of_every_project():
    lock = locked(LOCKS[0])
    unmet = [
        f"{project}: {wanted}"
        for project, requirements in projects()
        for wanted in requirements
        if canonicalize_name(wanted.name) not in MEMBERS
        and not any(wanted.specifier.contains(version(found)) for found in lock.get(canonicalize_name(wanted.name), []))
    ]
    assert unmet == [], "run scripts/lock"


def test_the_lock_holds_each_package_once_for_one_platform():
    environment = {**default_environment(), "extra": ""}
    twice = {
        name: [str(entry) for entry in found]
        for name, found in locked(LOCKS[0]).items()
        if sum(entry.marker is None or entry.marker.evaluate(environment) for entry in found) > 1
    }
    assert twice == {}


def test_the_previous_sdks_are_one_major_behind_the_newest():
    newest, previous = locked(LOCKS[0]), locked(LOCKS[1])
    majors = {
        name: (version(newest[name][0]).major, version(previous[name][0]).major) for name in ("openai", "anthropic")
    }
    assert all(new - 1 == old for new, old in majors.values()), majors


def test_the_previous_lock_satisfies_its_input():
    wanted = [Requirement(line) for line in (ROOT / "tests/sdk_previous/requirements.in").read_text().split()]
    lock = locked(LOCKS[1])
    assert wanted
    assert all(w.specifier.contains(version(lock[w.name][0])) for w in wanted), "run scripts/lock"


def test_members_ask_for_a_python_the_root_supports():
    floors = {path.parent.name: tomllib.loads(path.read_text())["project"]["requires-python"] for path in PROJECTS}
    assert set(floors.values()) == {">=3.11"}, floors


def test_the_address_bearing_lock_is_not_tracked():
    tracked = subprocess.run(
        ["git", "ls-files", "--", "uv.lock", "*/uv.lock"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert tracked.stdout == ""
