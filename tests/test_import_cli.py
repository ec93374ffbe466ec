"""`omniroute import` as people use it, with a gateway running and without one. The programs here need no vendor to be asked."""

import asyncio
import http.client
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from omniroute.cli import main

FIXTURES = Path(__file__).parent / "fixtures/import"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def call(home: Path, *arguments: str, typed: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """`omniroute …` in this process, in a home of its own, where nobody sits at a terminal unless something is typed."""
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for name in ("stdout", "stderr")}
    places = {name: str(home) for name in ("HOME", "USERPROFILE", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "APPDATA")}
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            patch.delenv(name)
        for name, value in {**kept, **places, **more}.items():
            patch.setenv(name, value)
        patch.chdir(home)
        patch.setattr(sys, "stdin", io.StringIO() if typed is None else Terminal(typed))
        for name, stream in streams.items():
            patch.setattr(sys, name, stream)
        code = main(arguments)
    for stream in streams.values():
        stream.flush()
    out, said = (stream.buffer.getvalue().decode() for stream in streams.values())
    return subprocess.CompletedProcess(arguments, code, out, said)


def put(home, name, at):
    path = home / at
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(FIXTURES / name, path)
    path.chmod(0o600)
    return path


@pytest.fixture
def home(tmp_path):
    put(tmp_path, "codex.json", ".codex/auth.json")
    put(tmp_path, "qwen-code.json", ".qwen/oauth_creds.json")
    return tmp_path


def accounts(home, *where):
    done = call(home, "account", "list", "--json", *where)
    return {each["id"]: each for each in json.loads(done.stdout) if each["origin"] == "database"}


def quiet(done):
    """Nobody sees a token."""
    assert "fake-" not in done.stdout + done.stderr
    return done


def test_the_plan_shows_what_is_here_and_changes_nothing(home):
    done = quiet(call(home, "import", "--plan", GROQ_API_KEY="fake-groq-key-1"))
    assert done.returncode == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["sign-in", "Codex,", "~/.codex/auth.json", "codex/codex", "new"] in lines
    assert ["key", "$GROQ_API_KEY", "groq/env", "new"] in lines
    assert "which stays signed in" in done.stderr
    assert accounts(home) == {}


def test_it_is_done_after_a_yes_and_only_once(home):
    done = quiet(call(home, "import", "--yes", GROQ_API_KEY="fake-groq-key-1"))
    assert (done.returncode, accounts(home).keys()) == (0, {"codex/codex", "qwen/qwen-code", "groq/env"})
    before = accounts(home)
    assert before["codex/codex"]["plan"] == "plus"
    assert [each["other_clients"] for each in before.values()] == [False] * 3
    again = quiet(call(home, "import", "--yes", GROQ_API_KEY="fake-groq-key-1"))
    assert (again.returncode, accounts(home)) == (0, before)
    assert "there already" in again.stdout


def test_with_nobody_to_ask_it_shows_the_plan_and_says_what_is_missing(home):
    done = quiet(call(home, "import"))
    assert done.returncode == 2
    assert "codex/codex" in done.stdout
    assert "error[not-asked]" in done.stderr
    assert "omniroute import --yes" in done.stderr
    assert accounts(home) == {}


@pytest.mark.parametrize(
    ("typed", "code", "there"), [("y\n", 0, {"codex/codex"}), ("n\n", 1, set()), ("\n", 1, set()), ("", 130, set())]
)
def test_at_a_terminal_it_asks_once_and_silence_is_a_no(home, typed, code, there):
    done = quiet(call(home, "import", "codex", typed=typed))
    assert (done.returncode, accounts(home).keys()) == (code, there)
    assert done.stderr.count("Take over it?") == 1


def test_scripts_get_json(home):
    done = quiet(call(home, "import", "codex", "--yes", "--json"))
    said = json.loads(done.stdout)
    assert said["imported"] == [{"account": "codex/codex", "state": "new"}]
    assert [(each["account"], each["state"]) for each in said["plan"]] == [("codex/codex", "new")]
    again = json.loads(call(home, "import", "codex", "--yes", "--json").stdout)
    assert (again["imported"], [each["state"] for each in again["plan"]]) == ([], ["same"])


@pytest.mark.parametrize("source", ["nobody", "./empty"])
def test_a_source_that_is_none_is_an_error_of_usage(home, source):
    (home / "empty").mkdir()
    done = call(home, "import", source)
    assert done.returncode == 2
    assert "error[no-source]" in done.stderr


def test_where_there_is_nothing_it_says_so(tmp_path):
    done = call(tmp_path, "import", "codex", "--yes")
    assert (done.returncode, done.stdout) == (0, "")
    assert "Codex is not signed in on this machine" in done.stderr


def test_what_fails_keeps_nothing_else_back(home):
    """The vendor of Gemini CLI wants a client secret that nobody has set."""
    put(home, "gemini-cli.json", ".gemini/oauth_creds.json")
    done = quiet(call(home, "import", "--yes"))
    assert done.returncode == 1
    assert "gemini-cli/gemini-cli is not taken over: gemini-cli wants the secret of its OAuth client" in done.stderr
    assert accounts(home).keys() == {"codex/codex", "qwen/qwen-code"}


def test_an_earlier_data_directory_is_taken_over_and_stays_as_it_is(tmp_path):
    directory = tmp_path / "earlier"
    directory.mkdir()
    with closing(sqlite3.connect(directory / "storage.sqlite")) as database:
        database.executescript((FIXTURES / "encrypted.sql").read_text(encoding="utf-8"))
        database.commit()
    before = (directory / "storage.sqlite").read_bytes()
    done = quiet(call(tmp_path, "import", str(directory), "--yes", STORAGE_ENCRYPTION_KEY="fake-storage-passphrase-1"))
    assert done.returncode == 0, done.stderr
    assert accounts(tmp_path).keys() == {"openai/first", "openai/second", "openai/plain"}
    assert "encrypted in a way that is not known here" in done.stdout
    assert (directory / "storage.sqlite").read_bytes() == before
    again = call(
        tmp_path, "import", str(directory), "--yes", "--json", STORAGE_ENCRYPTION_KEY="fake-storage-passphrase-1"
    )
    assert json.loads(again.stdout)["imported"] == []


def test_lines_for_the_settings_file_are_shown_and_not_written(tmp_path):
    put(tmp_path, "db.json", ".omniroute/db.json")
    done = quiet(call(tmp_path, "import", "--plan"))
    assert "[combos.always-on]" in done.stdout
    assert "client keys are not taken over (laptop)" in done.stderr
    assert not list(tmp_path.rglob("omniroute.toml"))


async def test_a_running_gateway_is_asked_and_told(home, start_gateway):
    async with start_gateway("") as gateway:
        data = gateway.directory / "data"
        where = ("--data-dir", str(data))
        done = quiet(await asyncio.to_thread(call, home, "import", "--yes", *where, GROQ_API_KEY="fake-groq-key-1"))
        assert done.returncode == 0, done.stderr
        there = await asyncio.to_thread(accounts, home, *where)
        assert there.keys() == {"codex/codex", "qwen/qwen-code", "groq/env"}
        again = await asyncio.to_thread(call, home, "import", "--yes", "--json", *where)
        assert json.loads(again.stdout)["imported"] == []
        assert (
            await asyncio.to_thread(status, gateway.base_url, gateway.client_key) == 401
        )  # a client key is none for this
    assert "fake-" not in gateway.log
    assert b"fake-" not in b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())


def status(url, key):
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    with closing(connection):
        connection.request("GET", "/api/import", headers={"authorization": f"Bearer {key}"})
        return connection.getresponse().status


@pytest.mark.skipif(os.name != "posix", reason="links as POSIX has them")
def test_a_link_to_something_else_is_refused_and_named(tmp_path):
    (tmp_path / "home/.codex").mkdir(parents=True)
    (tmp_path / "home/.codex/auth.json").symlink_to("/etc/passwd")
    done = call(tmp_path / "home", "import", "codex", "--yes")
    assert "cannot be read: it is a link that leads out of" in done.stdout
    assert "root" not in done.stdout.replace(str(tmp_path), "")
