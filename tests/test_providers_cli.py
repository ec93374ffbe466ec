"""`omniroute provider` and `omniroute account`, without a gateway and beside one."""

import asyncio
import contextlib
import io
import json
import time

import pytest

from omniroute.api import RefreshFailed, SignInRequired
from omniroute.cli import main
from omniroute.cli.command import as_problem
from omniroute.cli.output import Exit
from omniroute.cli.quota import clock
from omniroute.testing import FakeUpstream, Reply


class Ran:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("OMNIROUTE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments, config="", given=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(given))
        (tmp_path / "omniroute.toml").write_text(config)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([*arguments, "--config", str(tmp_path / "omniroute.toml")])
        return Ran(code, out.getvalue(), err.getvalue())

    return run


def test_providers_are_listed_with_what_is_odd_about_them(run):
    shown = run("provider", "list")
    assert shown.code == Exit.OK
    [iflow] = [line for line in shown.out.splitlines() if line.startswith("iflow")]
    assert "withdrawn" in iflow
    views = json.loads(run("provider", "list", "--json").out)
    assert {"claude", "github", "openrouter"} <= {view["name"] for view in views}


def test_a_provider_is_shown_by_name_or_alias_with_what_people_should_know(run):
    by_alias, by_name = run("provider", "show", "gc"), run("provider", "show", "gemini-cli")
    assert by_alias.out == by_name.out
    for expected in ("withdrawn", "June 2026", "GEMINI_CLI_OAUTH_CLIENT_SECRET", "gemini-2.5-pro", "1048576"):
        assert expected in by_alias.out
    found = json.loads(run("provider", "show", "gc", "--json").out)
    assert found["sign_in"]["own_secret"] is True


def test_a_provider_that_is_not_there_is_named_with_the_closest(run):
    failed = run("provider", "show", "clude")
    assert failed.code == Exit.FAILURE
    assert "claude" in failed.err


def test_a_test_without_an_account_says_how_to_add_one(run):
    failed = run("provider", "test", "glm")
    assert (failed.code, "omniroute account add glm" in failed.err) == (Exit.UPSTREAM, True)


USAGE = {"data": {"limits": [{"type": "TOKENS_LIMIT", "percentage": 25, "nextResetTime": 1_893_456_000_000}]}}


def account(upstream):
    return f'[[accounts]]\nprovider = "glm"\nname = "work"\napi_key = "test-key-1"\nbase_url = "{upstream.base_url}"\n'


@pytest.mark.parametrize("as_json", [False, True])
async def test_what_is_left_is_asked_for_when_no_gateway_has_asked_before(run, as_json):
    async with FakeUpstream(Reply.json(USAGE)) as upstream:
        arguments = ("account", "quota", "glm/work", *(["--json"] if as_json else []))
        shown = await asyncio.to_thread(run, *arguments, config=account(upstream))
        assert shown.code == Exit.OK, shown.err
        if as_json:
            [reading] = json.loads(shown.out)
            assert reading["account"] == "glm/work"
            assert reading["windows"][0]["window"]["share_left"] == 0.75
        else:
            assert "glm/work" in shown.out
            assert "75%" in shown.out
        assert [request.path for request in upstream.requests] == ["/api/monitor/usage/quota/limit"]


async def test_a_provider_that_does_not_tell_is_named_with_its_reason(run):
    async with FakeUpstream(Reply(500)) as upstream:
        shown = await asyncio.to_thread(run, "account", "quota", config=account(upstream))
        assert (shown.code, "glm/work: the upstream answered 500" in shown.err) == (Exit.OK, True)


def test_what_is_done_to_an_account_is_told_and_as_json_the_account_is_given(run):
    def changed(*arguments):
        done = run("account", *arguments, "--json")
        assert (done.code, done.err) == (Exit.OK, "")
        return json.loads(done.out)

    assert run("account", "add", "glm", "--api-key-stdin", given="test-key-1\n").code == Exit.OK
    assert changed("pause", "glm")["state"] == "paused"
    assert changed("resume", "glm")["state"] == "usable"
    assert changed("allow", "glm")["other_clients"] is True
    assert changed("rename", "glm", "work")["id"] == "glm/work"
    assert changed("rm", "glm/work") == {"removed": "glm/work"}
    again = run("account", "rm", "glm/work", "--json")
    assert (again.code, json.loads(again.err)["error"]["code"]) == (Exit.FAILURE, "not_found")


def test_an_account_for_what_was_withdrawn_is_added_with_a_warning(run):
    added = run("account", "add", "if", "--api-key-stdin", given="test-key-1\n")
    assert added.code == Exit.OK
    assert "withdrew the service in April 2026" in added.err
    assert "test-key-1" not in added.out + added.err
    assert "withdr" not in run("account", "add", "glm", "--api-key-stdin", given="test-key-1\n").err


@pytest.mark.parametrize(
    ("error", "leave"),
    [(SignInRequired("no"), Exit.AUTH), (RefreshFailed("no"), Exit.UPSTREAM)],
    ids=["for good", "once"],
)
def test_the_exit_code_tells_whether_a_person_has_to_sign_in(error, leave):
    assert as_problem(error).leave == leave


def test_what_is_left_may_be_asked_of_a_provider_by_any_of_its_names_and_of_nothing_else(run):
    config = (
        '[[accounts]]\nprovider = "glm"\nname = "work"\napi_key = "test-key-1"\nbase_url = "http://127.0.0.1:9/v1"\n'
    )
    other = '[[accounts]]\nprovider = "openrouter"\napi_key = "test-key-1"\nbase_url = "http://127.0.0.1:9/v1"\n'
    by_alias = run("account", "quota", "or", "--json", config=config + other)
    assert [reading["account"] for reading in json.loads(by_alias.out)] == ["openrouter/default"]
    for nothing, said in (("glm/nobody", "no account is called"), ("glmm", "closest: glm")):
        failed = run("account", "quota", nothing, config=config)
        assert (failed.code, failed.out, said in failed.err) == (Exit.FAILURE, "", True), failed.err


def test_watching_shows_it_again_at_its_interval_until_it_is_interrupted(run, monkeypatch):
    waited = []

    def wait(seconds):
        waited.append(seconds)
        if len(waited) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", wait)
    shown = run("account", "quota", "--watch", "--interval", "60")
    assert (shown.code, waited) == (Exit.OK, [60, 60, 60])
    assert shown.err.count("No account has a plan") == 3
    assert run("account", "quota", "--watch", "--interval", "0").code == Exit.USAGE


def test_no_account_with_a_plan_says_so(run):
    shown = run("account", "quota")
    assert (shown.code, shown.out) == (Exit.OK, "")
    assert "No account has a plan" in shown.err


def test_a_time_of_another_day_has_its_day():
    assert clock(1_800_000_000, 1_800_000_000) == clock(1_800_000_000, 1_800_000_060)
    assert len(clock(1_800_000_000 + 3 * 86_400, 1_800_000_000)) > len("15:42")
