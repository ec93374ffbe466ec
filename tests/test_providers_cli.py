"""`omniroute provider` and `omniroute account quota`, without a gateway and beside one."""

import asyncio
import contextlib
import io
import json

import pytest

from omniroute.cli import main
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

    def run(*arguments, config=""):
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


def test_no_account_with_a_plan_says_so(run):
    shown = run("account", "quota")
    assert (shown.code, shown.out) == (Exit.OK, "")
    assert "No account has a plan" in shown.err


def test_a_time_of_another_day_has_its_day():
    assert clock(1_800_000_000, 1_800_000_000) == clock(1_800_000_000, 1_800_000_060)
    assert len(clock(1_800_000_000 + 3 * 86_400, 1_800_000_000)) > len("15:42")
