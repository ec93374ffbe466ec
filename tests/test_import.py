"""Finding sign-ins and keys on this machine: every format there is, and everything that is wrong with one. Nothing is sent."""

import json
import os
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import omniroute_provider_claude
import omniroute_provider_codex
import omniroute_provider_copilot
import omniroute_provider_gemini
import omniroute_provider_gemini_cli
import omniroute_provider_openai
import omniroute_provider_qwen
from omniroute.api import Account, Credential, Secret
from omniroute.importing import (
    Candidate,
    Found,
    ImportProvider,
    ImportSources,
    Machine,
    Tokens,
    import_provider,
    planned,
)
from omniroute.importing.preparing import prepared
from omniroute.importing.reading import UnknownSource, read_source
from omniroute.importing.values import token_id

FIXTURES = Path(__file__).parent / "fixtures/import"
NOW = 1_800_000_000.0
"""15 January 2027; the fixtures' tokens end some hours later."""
MODULES = (
    omniroute_provider_claude,
    omniroute_provider_codex,
    omniroute_provider_copilot,
    omniroute_provider_gemini,
    omniroute_provider_gemini_cli,
    omniroute_provider_openai,
    omniroute_provider_qwen,
)
FACTS = {module.FACTS.name: module.FACTS for module in MODULES}
SOURCES = ImportSources(
    providers=tuple(import_provider(facts) for facts in FACTS.values()),
    prefixes={name: facts.name for facts in FACTS.values() for name in (facts.name, *facts.aliases)},
    dialects=("openai-chat", "openai-responses", "anthropic", "gemini"),
)
HOMES = {
    "claude-code": ".claude/.credentials.json",
    "codex": ".codex/auth.json",
    "gemini-cli": ".gemini/oauth_creds.json",
    "qwen-code": ".qwen/oauth_creds.json",
    "copilot-apps": ".config/github-copilot/apps.json",
    "copilot-hosts": ".config/github-copilot/hosts.json",
}
POSIX = pytest.mark.skipif(os.name != "posix", reason="modes and links as POSIX has them")


def machine(home, system="linux", **environ):
    return Machine(home=home, environ=environ, system=system, now_s=NOW)


def put(home, name, content=None, at=None):
    """A program's file with the fixture in it, or with `content`."""
    path = home / (at or HOMES[name])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((FIXTURES / f"{name}.json").read_bytes() if content is None else content)
    path.chmod(0o600)
    return path


def provider(name):
    return next(each for each in SOURCES.providers if each.name == name)


def revealed(found):
    tokens = found.tokens
    return tuple(None if each is None else each.reveal() for each in (tokens.access, tokens.refresh))


# --- formats


@pytest.mark.parametrize(
    ("name", "source", "owner", "tokens", "expires_at_s", "metadata"),
    [
        pytest.param(
            "claude-code", "claude", "claude", ("fake-claude-access-1", "fake-claude-refresh-1"), 1_800_020_000.0,
            {"plan": "max"}, id="Claude Code",
        ),
        pytest.param(
            "gemini-cli", "gc", "gemini-cli", ("fake-google-access-1", "fake-google-refresh-1"), 1_800_003_600.123, {},
            id="Gemini CLI",
        ),
        pytest.param(
            "qwen-code", "qwen-code", "qwen", ("fake-qwen-access-1", "fake-qwen-refresh-1"), 1_800_021_600.0,
            {"resource_url": "portal.qwen.ai"}, id="Qwen Code",
        ),
    ],
)  # fmt: skip
def test_the_sign_in_of_a_program_is_read_as_its_facts_say(
    tmp_path, name, source, owner, tokens, expires_at_s, metadata
):
    put(tmp_path, name)
    [found] = read_source(source, SOURCES, machine(tmp_path)).found
    assert (found.provider, found.name, found.problem, found.notes) == (owner, name, None, ())
    assert revealed(found) == tokens
    assert (found.expires_at_s, found.metadata) == (expires_at_s, metadata)
    assert found.source.endswith(f"~/{HOMES[name]}")


def test_codex_says_whose_it_is_and_when_it_ends_inside_its_tokens(tmp_path):
    put(tmp_path, "codex")
    [found] = read_source("codex", SOURCES, machine(tmp_path)).found
    assert found.metadata == {"account_id": "acct-0001", "email": "dev@example.com", "plan": "plus"}
    assert found.expires_at_s == 1_800_864_000.0
    assert revealed(found)[1] == "fake-codex-refresh-1"


@pytest.mark.parametrize(
    ("name", "logins"), [("copilot-apps", ["octo-dev", "octo-second"]), ("copilot-hosts", ["octo-dev"])]
)
def test_of_copilots_logins_only_those_of_the_vendors_own_host_are_taken(tmp_path, name, logins):
    put(tmp_path, name)
    found = read_source("copilot", SOURCES, machine(tmp_path)).found
    assert [each.metadata["login"] for each in found] == logins
    assert "fake-enterprise-token" not in [token for each in found for token in revealed(each)]


def test_without_a_source_everything_is_looked_at(tmp_path):
    for name in HOMES:
        put(tmp_path, name)
    here = machine(tmp_path, OPENAI_API_KEY="fake-openai-key-1", GOOGLE_API_KEY="fake-google-key-1")
    found = read_source(None, SOURCES, here).found
    assert sorted({each.origin for each in found}) == [
        "claude-code", "codex", "copilot", "env:GOOGLE_API_KEY", "env:OPENAI_API_KEY", "gemini-cli", "qwen-code",
    ]  # fmt: skip
    assert [each.problem for each in found] == [None] * len(found)


def test_every_fact_of_a_login_says_where_it_is_from_and_when_it_was_checked():
    logins = [login for facts in FACTS.values() for login in facts.logins]
    assert len(logins) == 6
    assert all(login.source and login.checked and login.places for login in logins)


# --- where it is


@pytest.mark.parametrize(
    ("name", "at", "variable", "system"),
    [
        pytest.param("claude-code", ".credentials.json", "CLAUDE_CONFIG_DIR", "linux", id="Claude Code"),
        pytest.param("codex", "auth.json", "CODEX_HOME", "darwin", id="Codex"),
        pytest.param("gemini-cli", ".gemini/oauth_creds.json", "GEMINI_CLI_HOME", "linux", id="Gemini CLI"),
        pytest.param("qwen-code", "oauth_creds.json", "QWEN_HOME", "win32", id="Qwen Code"),
        pytest.param("copilot-apps", "github-copilot/apps.json", "XDG_CONFIG_HOME", "linux", id="Copilot"),
        pytest.param("copilot-apps", "github-copilot/apps.json", "LOCALAPPDATA", "win32", id="Copilot on Windows"),
    ],
)
def test_a_variable_moves_the_file_and_then_the_usual_place_is_not_looked_at(tmp_path, name, at, variable, system):
    elsewhere, home = tmp_path / "elsewhere", tmp_path / "home"
    put(home, name)
    here = machine(home, system, **{variable: str(elsewhere)})
    source = name.partition("-apps")[0]
    assert read_source(source, SOURCES, here).found == ()
    put(elsewhere, name, at=at)
    assert read_source(source, SOURCES, here).found[0].problem is None


def test_a_variable_that_is_no_whole_path_is_not_followed(tmp_path):
    put(tmp_path, "codex")
    [found] = read_source("codex", SOURCES, machine(tmp_path, CODEX_HOME="somewhere")).found
    assert found.problem is None


def test_where_the_system_keeps_it_instead_nobody_looks_and_people_are_told(tmp_path):
    (tmp_path / ".claude").mkdir()
    [found] = read_source("claude-code", SOURCES, machine(tmp_path, "darwin")).found
    assert "Keychain" in found.problem
    assert "omniroute account add claude" in found.problem
    assert read_source("claude-code", SOURCES, machine(tmp_path, "linux")).found == ()


def test_a_program_that_is_not_signed_in_is_named(tmp_path):
    reading = read_source("claude", SOURCES, machine(tmp_path))
    assert (reading.found, reading.notes) == ((), ("Claude Code is not signed in on this machine",))


@pytest.mark.parametrize(
    ("source", "why", "lists"),
    [
        pytest.param("nobody", "nothing is called 'nobody' here", True, id="no name and no directory"),
        pytest.param("openai", "nothing is called 'openai' here", True, id="a provider without a program"),
        pytest.param("{home}", "no data directory of an earlier OmniRoute", False, id="some directory"),
        pytest.param("{home}/own", "is a data directory of this version", False, id="one of our own"),
    ],
)
def test_what_is_no_source_is_refused(tmp_path, source, why, lists):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/omniroute.db").touch()
    with pytest.raises(UnknownSource, match=why) as refused:
        read_source(source.format(home=tmp_path), SOURCES, machine(tmp_path))
    assert ("claude-code" in refused.value.known) is lists


# --- what is wrong with it


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b'{"claudeAiOauth": {"accessToken": "fake-secret', "no JSON that can be read", id="cut off"),
        pytest.param(b"", "no JSON that can be read", id="empty"),
        pytest.param(b"\xff\xfe\x00", "no JSON that can be read", id="not UTF-8"),
        pytest.param(b"[" * 100_000, "no JSON that can be read", id="nested too deep"),
        pytest.param(b'["fake-secret"]', "no JSON object", id="a list"),
        pytest.param(b"{}", "holds no sign-in", id="nothing in it"),
        pytest.param(b'{"claudeAiOauth": null}', "holds no sign-in", id="signed out"),
        pytest.param(b'{"claudeAiOauth": {"accessToken": 7}}', "holds no sign-in", id="a number"),
        pytest.param(b'{"claudeAiOauth": {"accessToken": "fake secret"}}', "holds no sign-in", id="two words"),
        pytest.param(b'{"claudeAiOauth": {"accessToken": "fake\\u0000secret"}}', "holds no sign-in", id="NUL"),
        pytest.param(b'{"claudeAiOauth": {"accessToken": "f%s"}}' % (b"x" * 20_000), "holds no sign-in", id="too long"),
        pytest.param(b'{"pad": "%s"}' % (b"x" * 1_100_000), "more than 1048576 bytes", id="too large"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason_and_nothing_of_it(tmp_path, content, problem):
    put(tmp_path, "claude-code", content)
    [found] = read_source("claude-code", SOURCES, machine(tmp_path)).found
    assert problem in found.problem
    assert "fake" not in found.problem
    assert revealed(found) == (None, None)


@pytest.mark.parametrize("value", [None, True, "soon", -1, 0, 1e400, 1e300, {}, "NaN"])
def test_an_end_that_makes_no_sense_is_not_known(tmp_path, value):
    content = json.dumps({"claudeAiOauth": {"accessToken": "fake-1", "expiresAt": value}}).replace("Infinity", "1e999")
    put(tmp_path, "claude-code", content.encode())
    for found in read_source("claude-code", SOURCES, machine(tmp_path)).found:
        assert found.expires_at_s is None  # or it was no JSON at all


def test_a_codex_file_with_a_key_alone_holds_no_sign_in(tmp_path):
    put(tmp_path, "codex", b'{"OPENAI_API_KEY": "fake-openai-key-1", "tokens": null}')
    [found] = read_source("codex", SOURCES, machine(tmp_path)).found
    assert "uses a key" in found.problem


@POSIX
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_file_that_others_can_read_is_remarked_on(tmp_path, mode):
    put(tmp_path, "qwen-code").chmod(mode)
    [found] = read_source("qwen-code", SOURCES, machine(tmp_path)).found
    assert (found.problem, found.notes) == (None, ("other users of this machine can read this file",))


@POSIX
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path):
    put(tmp_path, "qwen-code").chmod(0)
    [found] = read_source("qwen-code", SOURCES, machine(tmp_path)).found
    assert found.problem == "permission denied"


@POSIX
def test_a_link_that_leads_out_of_the_home_is_refused_and_one_within_it_is_followed(tmp_path):
    home, outside = tmp_path / "home", put(tmp_path / "outside", "codex")
    (home / ".codex").mkdir(parents=True)
    link = home / ".codex/auth.json"
    link.symlink_to(outside)
    [found] = read_source("codex", SOURCES, machine(home)).found
    assert found.problem == f"it is a link that leads out of {home}"
    link.unlink()
    link.symlink_to(put(home / "dotfiles", "codex"))
    assert read_source("codex", SOURCES, machine(home)).found[0].problem is None


@POSIX
def test_a_folder_that_is_a_link_out_of_the_home_is_refused_as_well(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / ".codex").symlink_to(put(tmp_path / "outside", "codex").parent)
    assert "leads out" in read_source("codex", SOURCES, machine(home)).found[0].problem


@POSIX
@pytest.mark.parametrize("kind", ["a pipe", "a directory", "a link to itself"])
def test_what_is_no_plain_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / HOMES["gemini-cli"]
    path.parent.mkdir(parents=True)
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a directory":
        path.mkdir()
    else:
        path.symlink_to(path)
    [found] = read_source("gemini-cli", SOURCES, machine(tmp_path)).found
    assert found.problem


# --- the environment


@pytest.mark.parametrize(
    ("variable", "owner"),
    [("OPENAI_API_KEY", "openai"), ("GEMINI_API_KEY", "gemini"), ("GOOGLE_API_KEY", "gemini"), ("CLAUDE_CODE_OAUTH_TOKEN", "claude")],
)  # fmt: skip
def test_keys_are_found_under_the_names_that_the_facts_give(tmp_path, variable, owner):
    [found] = read_source(
        "env", SOURCES, machine(tmp_path, **{variable: " fake-key-1\n", "UNKNOWN_API_KEY": "fake"})
    ).found
    assert (found.provider, found.kind, found.source) == (owner, "key", f"${variable}")
    assert found.tokens.key.reveal() == "fake-key-1"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("two words", "no key"),
        ("k€y", "no key"),
        ("omr_abcdefgh_x", "a key of this gateway"),
        ("omrm_x", "a key of this gateway"),
    ],
)
def test_what_is_no_key_of_the_provider_is_left_alone(tmp_path, value, problem):
    [found] = read_source("env", SOURCES, machine(tmp_path, OPENAI_API_KEY=value)).found
    assert problem in found.problem
    assert found.tokens.key is None


def test_an_empty_variable_is_none(tmp_path):
    assert read_source("env", SOURCES, machine(tmp_path, OPENAI_API_KEY="")).found == ()


# --- nothing else is touched

watching: list[list[tuple[str, str]]] = []


def _watch(event, arguments):
    if watching and event in {"open", "sqlite3.connect", "subprocess.Popen", "os.exec", "os.listdir", "os.scandir",
                                          "os.remove", "os.rename", "os.mkdir", "os.chmod", "socket.connect", "os.posix_spawn"}:  # fmt: skip
        watching[0].append((event, str(arguments[0])))


sys.addaudithook(_watch)  # for good: there is no way to take one away


@pytest.fixture
def watched():
    watching.append([])
    yield watching[0]
    watching.clear()


def test_only_the_files_that_the_facts_name_are_opened_and_nothing_is_written(tmp_path, watched):
    paths = {str(put(tmp_path, name)) for name in HOMES}
    for stranger in (".ssh/id_rsa", ".aws/credentials", ".claude.json", ".codex/config.toml", ".netrc"):
        put(tmp_path, stranger, b"fake", at=stranger)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    watched.clear()
    reading = read_source(None, SOURCES, machine(tmp_path, OPENAI_API_KEY="fake-key-1"))
    seen = list(watched)
    assert len(reading.found) == 8
    assert {event for event, _ in seen} == {"open"}
    assert {path for _, path in seen} - {path for _, path in seen if path.isdigit()} == paths
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_one_source_reads_its_own_file_alone(tmp_path, watched):
    for name in HOMES:
        put(tmp_path, name)
    watched.clear()
    read_source("codex", SOURCES, machine(tmp_path, OPENAI_API_KEY="fake-key-1"))
    assert {path for _, path in watched if not path.isdigit()} == {str(tmp_path / HOMES["codex"])}


# --- what is taken along

ONE_USE, MANY_USES = ImportProvider(name="acme", rotates=True), ImportProvider(name="acme", rotates=False)


def login(*, access="fake-access-1", refresh="fake-refresh-1", expires_at_s=NOW + 3600, **more):
    tokens = Tokens(access=access and Secret(access), refresh=refresh and Secret(refresh))
    return Found(
        provider="acme", name="acme-cli", source="Acme CLI, ~/.acme", origin="acme-cli", tokens=tokens,
        expires_at_s=expires_at_s, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "owner", "move", "taken"),
    [
        pytest.param(login(), ONE_USE, False, ("fake-access-1", None), id="a token for one use stays"),
        pytest.param(login(), ONE_USE, True, ("fake-access-1", "fake-refresh-1"), id="unless it is to move"),
        pytest.param(
            login(moves=True), ONE_USE, False, ("fake-access-1", "fake-refresh-1"), id="from an earlier one it moves"
        ),
        pytest.param(login(), MANY_USES, False, ("fake-access-1", "fake-refresh-1"), id="one for many uses is shared"),
        pytest.param(login(refresh=None), ONE_USE, False, ("fake-access-1", None), id="there may be none"),
        pytest.param(login(expires_at_s=None), ONE_USE, False, ("fake-access-1", None), id="an end nobody knows"),
        pytest.param(
            login(expires_at_s=NOW), ONE_USE, True, ("fake-access-1", "fake-refresh-1"), id="ended, but it moves"
        ),
        pytest.param(login(expires_at_s=NOW), MANY_USES, False, (None, "fake-refresh-1"), id="ended, renewed at once"),
        pytest.param(login(expires_at_s=NOW), ONE_USE, False, None, id="ended, and the rest stays"),
        pytest.param(login(expires_at_s=NOW + 30), ONE_USE, False, None, id="about to end"),
        pytest.param(login(expires_at_s=NOW, refresh=None), MANY_USES, False, None, id="ended, and there is no rest"),
        pytest.param(login(problem="it is no plain file"), ONE_USE, True, None, id="it could not be read"),
    ],
)
def test_a_refresh_token_that_works_once_is_with_one_program(found, owner, move, taken):
    ready = prepared(found, owner, move=move, now_s=NOW)
    if taken is None:
        assert ready.wanted is None
        assert ready.found.problem
    else:
        assert (ready.wanted.access, ready.wanted.refresh) == taken
        assert ready.wanted.token_ids == found.tokens.ids


def test_what_stays_and_what_moves_is_said():
    stays = prepared(login(), ONE_USE, move=False, now_s=NOW).notes
    moves = prepared(login(), ONE_USE, move=True, now_s=NOW).notes
    assert "stays with Acme CLI, which stays signed in" in stays[0]
    assert "Acme CLI will have to sign in again" in moves[0]
    assert prepared(login(), MANY_USES, move=False, now_s=NOW).notes == ()


def test_a_plan_is_asked_for_without_secrets_and_nothing_shows_one():
    ready = prepared(login(), ONE_USE, move=True, now_s=NOW)
    assert b"fake-" not in msgspec.json.encode(ready.candidate)
    assert "fake-" not in repr(ready)
    assert token_id(Secret("fake-access-1")) == token_id(Secret("fake-access-1")) != token_id(Secret("fake-access-2"))


# --- what is there already


def candidate(number=1, *, kind="login", expires_at_s=NOW + 3600, name="acme-cli", **metadata):
    ids = tuple(token_id(Secret(f"fake-{what}-{number}")) for what in ("access", "refresh"))
    return Candidate(
        provider="acme",
        name=name,
        origin="acme-cli",
        kind=kind,
        token_ids=ids,
        expires_at_s=expires_at_s,
        metadata=metadata,
    )


def account(number=1, name="mine", *, refresh=False, expires_at_s=NOW + 600, origin="database", **metadata):
    return Account(
        provider="acme", name=name, base_url="https://api.acme.example/v1", origin=origin,
        credential=Credential(
            access=Secret(f"fake-access-{number}"), refresh=Secret(f"fake-refresh-{number}") if refresh else None,
            expires_at_s=expires_at_s, metadata=metadata,
        ),
    )  # fmt: skip


FROM_THERE = {"imported_from": "acme-cli"}
PREFIXES = {"acme": "acme", "ac": "acme"}


@pytest.mark.parametrize(
    ("wanted", "there", "state", "account_id"),
    [
        pytest.param(candidate(), [], "new", "acme/acme-cli", id="nothing is there"),
        pytest.param(candidate(), [account()], "same", "acme/mine", id="the very same token"),
        pytest.param(candidate(), [account(2, imported_ids=f"x {token_id(Secret('fake-refresh-1'))}")], "renew", "acme/mine",
                     id="it was imported from that refresh token, and has ended since"),
        pytest.param(candidate(), [account(2, refresh=True, imported_ids=token_id(Secret("fake-refresh-1")))], "same",
                     "acme/mine", id="it looks after itself"),
        pytest.param(candidate(3, email="a@b.example"), [account(2, email="a@b.example")], "renew", "acme/mine",
                     id="the same person, newer"),
        pytest.param(candidate(3, expires_at_s=NOW + 60, email="a@b.example"), [account(2, email="a@b.example")], "same",
                     "acme/mine", id="the same person, older"),
        pytest.param(candidate(3, email="a@b.example"), [account(2, email="a@b.example", origin="settings")], "same",
                     "acme/mine", id="the settings have it"),
        pytest.param(candidate(3, email="c@d.example"), [account(2, name="acme-cli", email="a@b.example")], "new",
                     "acme/acme-cli-2", id="somebody else, and the name is taken"),
        pytest.param(candidate(3, account_id="team", email="c@d.example"), [account(2, account_id="team", email="a@b.example")],
                     "new", "acme/acme-cli", id="another member of one team"),
        pytest.param(candidate(3), [account(2, expires_at_s=NOW - 1, **FROM_THERE)], "renew", "acme/mine",
                     id="from the same file, and what came before has ended"),
        pytest.param(candidate(3), [account(2, **FROM_THERE)], "same", "acme/mine",
                     id="from the same file, and what came before works"),
        pytest.param(candidate(3), [account(2, email="a@b.example", **FROM_THERE)], "new", "acme/acme-cli",
                     id="from the same file, but the vendor can say whose it is"),
        pytest.param(candidate(3), [account(2, imported_from="other")], "new", "acme/acme-cli", id="from elsewhere"),
        pytest.param(candidate(3, kind="key", email="a@b.example"), [account(2, email="a@b.example", **FROM_THERE)], "new",
                     "acme/acme-cli", id="another key is another account"),
        pytest.param(candidate(name="a/b\n"), [], "new", "acme/a-b-", id="a name that cannot be one"),
        pytest.param(candidate(name="///"), [account(2, name="-")], "new", "acme/--2", id="and one that is taken"),
    ],
)  # fmt: skip
def test_what_is_there_already_is_recognised(wanted, there, state, account_id):
    [plan] = planned([wanted], there, PREFIXES, NOW)
    assert (plan.state, plan.account) == (state, account_id)


def test_a_provider_that_nobody_installed_is_named():
    [plan] = planned([msgspec.structs.replace(candidate(), provider="kiro")], [], PREFIXES, NOW)
    assert (plan.state, plan.why) == ("blocked", "no installed plugin provides 'kiro'")


def test_the_same_login_in_two_places_becomes_one_account_and_two_logins_two():
    twice = planned([candidate(), candidate(), candidate(2)], [], PREFIXES, NOW)
    assert [(plan.state, plan.account) for plan in twice] == [
        ("new", "acme/acme-cli"), ("same", "acme/acme-cli"), ("new", "acme/acme-cli-2"),
    ]  # fmt: skip
    people = planned(
        [candidate(1, login="one"), candidate(2, login="one"), candidate(3, login="two")], [], PREFIXES, NOW
    )
    assert [plan.state for plan in people] == ["new", "same", "new"]


SOMEBODY = st.one_of(st.just({}), st.fixed_dictionaries({"email": st.sampled_from(["a@b", "c@d"])}))
TIMES = st.sampled_from([NOW - 10, NOW + 10, NOW + 1000, None])
ACCOUNTS = st.lists(
    st.builds(
        lambda number, name, refresh, ends, who, more: account(number, name, refresh=refresh, expires_at_s=ends, **who, **more),
        st.integers(1, 4), st.sampled_from(["acme-cli", "mine", "x"]), st.booleans(), TIMES, SOMEBODY,
        st.sampled_from([{}, FROM_THERE]),
    ),
    max_size=3, unique_by=lambda each: each.name,
)  # fmt: skip
CANDIDATES = st.lists(
    st.builds(
        lambda number, kind, ends, who: candidate(number, kind=kind, expires_at_s=ends, **who),
        st.integers(1, 6), st.sampled_from(["login", "key"]), TIMES, SOMEBODY,
    ),
    max_size=4,
)  # fmt: skip


@given(there=ACCOUNTS, wanted=CANDIDATES)
def test_no_plan_takes_an_account_from_anybody(there, wanted):
    """New accounts have new names; tokens are replaced only for the same person, or where none work any more."""
    by_id = {each.id: each for each in there}
    plans = planned(wanted, there, PREFIXES, NOW)
    made = [plan.account for plan in plans if plan.state == "new"]
    assert len(made) == len(set(made))
    assert not set(made) & by_id.keys()
    for each, plan in zip(wanted, plans, strict=True):
        if plan.state != "renew" or plan.account not in by_id:
            continue
        old = by_id[plan.account].credential
        same_person = "email" in each.metadata and each.metadata.get("email") == old.metadata.get("email")
        same_token = bool({token_id(old.access)} & set(each.token_ids))
        assert same_person or same_token or old.expires_at_s <= NOW
        assert (
            old.metadata.get("email") in {None, each.metadata.get("email")}
            or same_token
            or "email" not in each.metadata
        )
        assert old.refresh is None
        assert each.expires_at_s > old.expires_at_s
