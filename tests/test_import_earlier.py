"""The data directory of an earlier OmniRoute: both of its forms, encrypted or not, damaged or hostile."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import tomllib
from contextlib import closing
from pathlib import Path

import pytest

import omniroute_provider_claude
import omniroute_provider_openai
import omniroute_provider_qwen
from omniroute.importing import ImportSources, Machine, import_provider
from omniroute.importing.earlier import earlier_directories, read_earlier
from omniroute.importing.earlier.raw import Raw
from omniroute.importing.earlier.settings_text import settings_text
from omniroute.importing.reading import read_source
from omniroute.settings import load
from omniroute_providers_compatible import ROWS

FIXTURES = Path(__file__).parent / "fixtures/import"
NOW = 1_800_000_000.0
FACTS = [
    omniroute_provider_claude.FACTS,
    omniroute_provider_openai.FACTS,
    omniroute_provider_qwen.FACTS,
    *(row for row in ROWS if row.name == "groq"),
]
SOURCES = ImportSources(
    providers=tuple(import_provider(facts) for facts in FACTS),
    prefixes={name: facts.name for facts in FACTS for name in (facts.name, *facts.aliases)},
    dialects=("openai-chat", "openai-responses", "anthropic", "gemini"),
)
watching: list[set[str]] = []
"""What is opened, while somebody looks."""


def _watch(event, arguments):
    if watching:
        watching[0] |= {event, *(str(each) for each in arguments[:1])} if event != "import" else set()


sys.addaudithook(_watch)
POSIX = pytest.mark.skipif(os.name != "posix", reason="links as POSIX has them")


def machine(home, system="linux", **environ):
    return Machine(home=home, environ=environ, system=system, now_s=NOW)


def make(directory, script="storage.sql", *more, journal="WAL"):
    """`storage.sqlite`, as the program leaves it behind when it ends."""
    directory.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(directory / "storage.sqlite")) as database:
        database.execute(f"PRAGMA journal_mode = {journal}")
        database.executescript((FIXTURES / script).read_text(encoding="utf-8"))
        for statement in more:
            database.execute(statement)
        database.commit()
    return directory


def make_json(directory, content=None):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "db.json").write_bytes((FIXTURES / "db.json").read_bytes() if content is None else content)
    return directory


def keys(data):
    return {each.name: each.tokens.key.reveal() for each in data.found if each.tokens.key}


def problems(data):
    return {each.name: each.problem for each in data.found if each.problem}


# --- both forms


@pytest.mark.parametrize("form", [make, make_json], ids=["SQLite", "JSON"])
def test_both_forms_hold_the_same(tmp_path, form):
    directory = form(tmp_path / ".omniroute")
    data = read_earlier(directory, SOURCES, machine(tmp_path))
    assert keys(data) == {"work": "fake-openai-key-1", "behind http": "fake-groq-key-2"}
    found = {each.name: each for each in data.found}
    assert found["work"].priority == 1
    claude = found["dev@example.com"]
    assert (claude.provider, claude.metadata, claude.expires_at_s) == (
        "claude",
        {"email": "dev@example.com"},
        1_800_007_200.0,
    )
    assert (claude.tokens.access.reveal(), claude.tokens.refresh.reveal()) == (
        "fake-claude-access-9",
        "fake-claude-refresh-9",
    )
    assert claude.moves
    qwen = found["paused one"]
    assert (qwen.paused, qwen.metadata) == (True, {"resource_url": "portal.qwen.ai"})
    assert found["behind http"].proxy.reveal() == "http://user:fake-pass@proxy.example.com:3128"
    assert found["not here"].problem is None  # planning says that nobody provides it
    assert problems(data) == {
        "lab": "it needs the table [providers.lab] first, which is shown below",
        "empty": "it holds no credential",
        "behind socks": "it goes through a proxy that cannot be used here: SOCKS proxies need a library that is not part of this program",
    }
    assert len({each.origin for each in data.found}) == 8


@pytest.mark.parametrize("form", [make, make_json], ids=["SQLite", "JSON"])
def test_combos_aliases_and_nodes_become_lines_for_the_settings_file(tmp_path, form):
    data = read_earlier(form(tmp_path / "data"), SOURCES, machine(tmp_path))
    assert tomllib.loads(data.settings) == {
        "providers": {
            "lab": {"dialect": "openai-chat", "base_url": "http://127.0.0.1:8080/v1", "auth": "api-key"},
            "prox": {"dialect": "anthropic", "base_url": "https://proxy.example.com/v1", "auth": "api-key"},
        },
        "aliases": {"fast": "groq/llama-3.3-70b", 'quote"d': "glm/glm-4.7"},
        "combos": {
            "always-on": {"strategy": "fill-first", "models": ["cc/claude-opus-4-6", "glm/glm-4.7"]},
            "by-weight": {
                "strategy": "weighted",
                "models": ["glm/glm-4.7", "openai/gpt-5"],
                "weights": {"glm/glm-4.7": 70, "openai/gpt-5": 30},
            },
        },
    }
    (tmp_path / "omniroute.toml").write_text(data.settings, encoding="utf-8")
    load(config=tmp_path / "omniroute.toml", environ={}, cwd=tmp_path, config_dir=tmp_path / "none")


def test_what_is_left_behind_is_said_and_no_client_key_is_read(tmp_path):
    data = read_earlier(make(tmp_path / "data"), SOURCES, machine(tmp_path))
    said = "\n".join(data.notes)
    assert "client keys are not taken over (laptop)" in said
    assert "passwords, request logs, usage and prices stay there" in said
    assert "stop the OmniRoute of" in said
    assert "sk-fake-client-key-1" not in repr(data)
    assert "$2a$" not in repr(data)


def test_a_pasted_table_brings_its_account_with_the_next_run(tmp_path):
    lab = import_provider(ROWS[0]).__class__(name="lab", base_url="http://127.0.0.1:8080/v1")
    sources = ImportSources(providers=(*SOURCES.providers, lab), prefixes={**SOURCES.prefixes, "lab": "lab"})
    data = read_earlier(make(tmp_path / "data"), sources, machine(tmp_path))
    assert keys(data)["lab"] == "fake-lab-key-1"
    assert {each.name: each.provider for each in data.found}["lab"] == "lab"


def test_a_key_for_another_place_keeps_going_there(tmp_path):
    connection = {"id": "1", "provider": "openai", "name": "eu", "apiKey": "fake-openai-key-1",
                  "providerSpecificData": {"baseUrl": "https://eu.api.openai.example/v1"}}  # fmt: skip
    usual = {**connection, "name": "usual", "providerSpecificData": {"baseUrl": "https://api.openai.com/v1/"}}
    document = json.dumps({"providerConnections": [connection, usual]}).encode()
    data = read_earlier(make_json(tmp_path / "data", document), SOURCES, machine(tmp_path))
    assert [each.base_url for each in data.found] == ["https://eu.api.openai.example/v1", None]


def test_the_newer_form_counts_where_there_are_both(tmp_path):
    directory = make(tmp_path / "data", "encrypted.sql")
    make_json(directory)
    assert len(read_earlier(directory, SOURCES, machine(tmp_path)).found) == 4


# --- encrypted

PASSPHRASE = "fake-storage-passphrase-1"
OTHERWISE = "it is encrypted in a way that is not known here"


def test_with_the_passphrase_both_derivations_open(tmp_path):
    directory = make(tmp_path / "data", "encrypted.sql")
    data = read_earlier(directory, SOURCES, machine(tmp_path, STORAGE_ENCRYPTION_KEY=PASSPHRASE))
    assert keys(data) == {"first": "fake-openai-key-7", "second": "fake-openai-key-8", "plain": "fake-openai-key-9"}
    assert problems(data) == {"newer": OTHERWISE}


@pytest.mark.parametrize("file", ["server.env", ".env"])
@pytest.mark.parametrize(
    "line",
    ["STORAGE_ENCRYPTION_KEY={}", 'export STORAGE_ENCRYPTION_KEY="{}"', "A=b\r\nSTORAGE_ENCRYPTION_KEY = {}\r\n"],
)
def test_the_passphrase_may_be_in_the_data_directory(tmp_path, file, line):
    directory = make(tmp_path / "data", "encrypted.sql")
    (directory / file).write_text(line.format(PASSPHRASE))
    assert keys(read_earlier(directory, SOURCES, machine(tmp_path)))["first"] == "fake-openai-key-7"


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        pytest.param({}, "it is encrypted, and the key is not here: set STORAGE_ENCRYPTION_KEY as it was there", id="no key"),
        pytest.param({"STORAGE_ENCRYPTION_KEY": "another"}, "it is encrypted with another key: set STORAGE_ENCRYPTION_KEY as it was there", id="another key"),
    ],
)  # fmt: skip
def test_what_cannot_be_opened_is_named_and_skipped(tmp_path, environ, why):
    data = read_earlier(make(tmp_path / "data", "encrypted.sql"), SOURCES, machine(tmp_path, **environ))
    assert problems(data) == {"first": why, "second": why, "newer": OTHERWISE}
    assert keys(data) == {"plain": "fake-openai-key-9"}


@pytest.mark.parametrize("value", ["enc:v1:zz:00:00", "enc:v1:00:00", "enc:v1:00:00:00", "enc:v1:::"])
def test_a_damaged_value_is_named_and_skipped(tmp_path, value):
    document = json.dumps(
        {"providerConnections": [{"id": "1", "provider": "openai", "name": "x", "apiKey": value}]}
    ).encode()
    here = machine(tmp_path, STORAGE_ENCRYPTION_KEY=PASSPHRASE)
    [found] = read_earlier(make_json(tmp_path / "data", document), SOURCES, here).found
    assert "encrypted" in found.problem
    assert found.tokens.key is None


# --- damaged and hostile


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b'{"providerConnections": [', "no JSON object", id="cut off"),
        pytest.param(b"[]", "no JSON object", id="a list"),
        pytest.param(b"{}", "no data of an OmniRoute", id="something else"),
        pytest.param(b'{"a": "\xff"}', "no JSON object", id="not UTF-8"),
    ],
)
def test_a_document_that_cannot_be_read_is_named(tmp_path, content, why):
    [found] = read_earlier(make_json(tmp_path / "data", content), SOURCES, machine(tmp_path)).found
    assert why in found.problem


@pytest.mark.parametrize(
    "odd",
    [
        {"providerConnections": {"a": 1}},
        {
            "providerConnections": [
                7,
                None,
                {},
                {"provider": 7, "apiKey": 8, "priority": "x", "providerSpecificData": "y"},
            ]
        },
        {"providerConnections": [{"provider": "openai", "apiKey": "two words"}]},
        {
            "providerConnections": [],
            "combos": [{"name": 7}, {"name": "x", "models": 7}, {"name": "y", "models": [7, {}]}],
        },
        {
            "providerConnections": [],
            "modelAliases": ["a"],
            "proxyConfig": 7,
            "apiKeys": {"a": 1},
            "providerNodes": [{}],
        },
        {"providerConnections": [{"provider": "openai", "name": "\x1b[31m", "apiKey": "fake", "expiresAt": [1]}]},
    ],
)
def test_values_of_other_kinds_than_expected_break_nothing(tmp_path, odd):
    directory = make_json(tmp_path / "data", json.dumps(odd).encode())
    data = read_earlier(directory, SOURCES, machine(tmp_path))
    assert [each for each in data.found if each.problem == ""] == []
    tomllib.loads(data.settings)


def test_a_damaged_database_is_named(tmp_path):
    path = make(tmp_path / "data") / "storage.sqlite"
    content = bytearray(path.read_bytes())
    content[4096:12288] = b"\xee" * 8192
    path.write_bytes(content)
    [found] = read_earlier(path.parent, SOURCES, machine(tmp_path)).found
    assert "damaged" in found.problem or "no SQLite database" in found.problem


@pytest.mark.parametrize("content", [b"", b"not a database at all", b"SQLite format 3\0" + b"\xff" * 4096])
def test_what_is_no_database_is_named(tmp_path, content):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/storage.sqlite").write_bytes(content)
    [found] = read_earlier(tmp_path / "data", SOURCES, machine(tmp_path)).found
    assert "no SQLite database" in found.problem or "no data of an OmniRoute" in found.problem


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW provider_connections AS SELECT 'x' AS id, 'openai' AS provider, 'fake-key' AS api_key",
        "CREATE VIRTUAL TABLE provider_connections USING fts5(id, provider, api_key)",
        "CREATE TABLE other (id TEXT)",
    ],
    ids=["a view", "a virtual table", "no such table"],
)
def test_only_a_real_table_is_read(tmp_path, statement):
    (tmp_path / "data").mkdir()
    with closing(sqlite3.connect(tmp_path / "data/storage.sqlite")) as database:
        database.execute(statement)
        database.commit()
    [found] = read_earlier(tmp_path / "data", SOURCES, machine(tmp_path)).found
    assert "it has no table provider_connections" in found.problem


def test_triggers_run_nothing_and_odd_values_break_nothing(tmp_path):
    directory = make(
        tmp_path / "data", "storage.sql",
        "CREATE TRIGGER t AFTER INSERT ON call_logs BEGIN DELETE FROM provider_connections; END",
        "UPDATE provider_connections SET priority = x'00ff', email = 3.5 WHERE id = 'c-2'",
        "UPDATE combos SET data = 'no json' WHERE id = 'k-1'",
    )  # fmt: skip
    data = read_earlier(directory, SOURCES, machine(tmp_path))
    assert len(data.found) == 8
    assert "always-on" not in data.settings


def test_a_newer_layout_is_said_and_what_is_known_of_it_read(tmp_path):
    directory = make(
        tmp_path / "data", "storage.sql",
        "UPDATE db_meta SET value = '7'",
        "ALTER TABLE provider_connections DROP COLUMN email",
        "ALTER TABLE provider_connections ADD COLUMN quota_group TEXT",
        "DROP TABLE provider_nodes",
    )  # fmt: skip
    data = read_earlier(directory, SOURCES, machine(tmp_path))
    assert "a version that is not known here (7)" in data.notes[0]
    assert keys(data)["work"] == "fake-openai-key-1"


@POSIX
@pytest.mark.parametrize("name", ["storage.sqlite", "db.json", "storage.sqlite-wal"])
def test_a_link_out_of_the_directory_is_refused(tmp_path, name):
    outside = make_json(make(tmp_path / "outside"))
    (outside / "storage.sqlite-wal").write_bytes(b"x" * 100)
    directory = tmp_path / "data"
    directory.mkdir()
    if name.endswith("-wal"):
        shutil.copyfile(outside / "storage.sqlite", directory / "storage.sqlite")
    (directory / name).symlink_to(outside / name)
    [found] = read_earlier(directory, SOURCES, machine(tmp_path)).found
    assert "leads out" in found.problem


# --- without a trace


def snapshot(directory):
    """With the directory's own time, which tells of files that came and went."""
    files = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in directory.iterdir()}
    return directory.stat().st_mtime_ns, files


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_reading_leaves_nothing_behind(tmp_path, journal):
    directory = make(tmp_path / "data", journal=journal)
    before = snapshot(directory)
    assert len(read_earlier(directory, SOURCES, machine(tmp_path)).found) == 8
    assert snapshot(directory) == before


def test_what_is_only_in_the_log_of_a_program_that_was_killed_is_read_too(tmp_path, monkeypatch):
    directory = make(tmp_path / "data")
    script = (
        "import os, sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute('PRAGMA wal_autocheckpoint = 0');"
        "d.execute(\"UPDATE provider_connections SET api_key = 'fake-openai-key-new' WHERE id = 'c-1'\"); d.commit(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", script, str(directory / "storage.sqlite")], check=False)
    assert (directory / "storage.sqlite-wal").stat().st_size
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    before = snapshot(directory)
    assert keys(read_earlier(directory, SOURCES, machine(tmp_path)))["work"] == "fake-openai-key-new"
    assert snapshot(directory) == before
    assert list(scratch.iterdir()) == []


def test_only_its_own_files_are_opened(tmp_path):
    directory = make_json(make(tmp_path / "data", "encrypted.sql"))
    for stranger in ("settings.json", "call_logs/log.json", "db_backups/db.sqlite", "id_rsa"):
        (directory / stranger).parent.mkdir(exist_ok=True)
        (directory / stranger).write_text("fake")
    watching.append(set())
    try:
        read_earlier(directory, SOURCES, machine(tmp_path))
    finally:
        seen = watching.pop()
    own = {str(path) for path in directory.rglob("*")}
    assert {Path(path).name for path in seen & own} <= {"storage.sqlite"}
    assert {event for event in seen if event in {"subprocess.Popen", "os.posix_spawn", "os.listdir"}} == set()


# --- where it is


@pytest.mark.parametrize(
    ("at", "system", "variable"),
    [
        pytest.param(".omniroute", "linux", None, id="the home"),
        pytest.param("config/omniroute", "linux", "XDG_CONFIG_HOME", id="XDG"),
        pytest.param("roaming/omniroute", "win32", "APPDATA", id="Windows"),
    ],
)
def test_its_usual_places_are_looked_at(tmp_path, at, system, variable):
    environ = {variable: str((tmp_path / at).parent)} if variable else {}
    here = machine(tmp_path, system, **environ)
    assert earlier_directories(here) == []
    (tmp_path / at).mkdir(parents=True)
    assert earlier_directories(here) == []  # a directory of that name may be ours
    make_json(tmp_path / at)
    assert earlier_directories(here) == [tmp_path / at]
    assert len(read_source(None, SOURCES, here).found) == 8
    assert len(read_source(str(tmp_path / at), SOURCES, here).found) == 8


@pytest.mark.parametrize(
    ("name", "fit"),
    [("a.b", "a.b"), ('quo"te', "quo-te"), ("new\nline", "new-line"), ("ünï", "-n-"), ("${env:HOME}", "-env-HOME-"),
     ("\x7f", "-"), ("[x]", "-x-"), ("x" * 200, "x" * 90)],
)  # fmt: skip
def test_any_name_makes_settings_that_can_be_read(tmp_path, name, fit):
    """Combos get a name that can be one, and those that refer to them follow; models and aliases stay what they are."""
    raw = Raw(
        combos=[{"name": name, "models": ["a/b", "c/${d}"]}, {"name": "all", "models": [name]}], aliases={name: "a/b"}
    )
    text = settings_text(raw, ())
    tree = tomllib.loads(text)
    assert set(tree["combos"]) == {fit, "all"}
    assert tree["combos"]["all"]["models"] == [fit]
    assert tree["aliases"] == {name: "a/b"}
    (tmp_path / "omniroute.toml").write_text(text, encoding="utf-8")
    loaded = load(config=tmp_path / "omniroute.toml", environ={}, cwd=tmp_path, config_dir=tmp_path / "none")
    assert loaded.settings.combos[fit].models == ("a/b", "c/${d}")


def test_two_names_that_become_one_stay_two():
    raw = Raw(combos=[{"name": "a b", "models": ["x/1"]}, {"name": "a-b", "models": ["x/2"]}])
    assert {name: table["models"] for name, table in tomllib.loads(settings_text(raw, ()))["combos"].items()} == {
        "a-b": ["x/1"],
        "a-b-2": ["x/2"],
    }
