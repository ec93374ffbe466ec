"""A gateway that is killed, whose disk is full, or whose data directory is not its own: real processes, real signals."""

import asyncio
import contextlib
import json
import os
import sqlite3
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from omniroute.testing import FakeUpstream, Reply

ROOT = Path(__file__).resolve().parent.parent
CLIENT_KEY = "test-client-key-0001"
CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "up",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


def good(request):
    return Reply.json(CHAT)


def refusal(status, code=None, **headers):
    headers = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    return Reply.json({"error": {"message": "no", "type": "x", "param": None, "code": code}}, status, headers)


def settings(base_url, *accounts, table=""):
    """`accounts` are TOML beside provider, name, key and priority."""
    return f'[providers.p]\ndialect = "openai-chat"\nbase_url = "{base_url}"\n{table}' + "".join(
        f'[[accounts]]\nprovider = "p"\nname = "a{number}"\npriority = {number}\n{text}\n'
        for number, text in enumerate(accounts, 1)
    )


KEYS = ('api_key = "test-key-1"', 'api_key = "test-key-2"')


class Life:
    """One gateway process; what it is asked for, and how it is managed."""

    def __init__(self, gateway, http):
        self.process, self.url, self.http = gateway.process, gateway.base_url, http
        self.data = gateway.directory / "data"
        self.gateway = gateway

    async def ask(self, **fields):
        body = {"model": "p/m", "messages": [{"role": "user", "content": "hi"}], **fields}
        headers = {"authorization": f"Bearer {CLIENT_KEY}"}
        return await self.http.post(f"{self.url}/v1/chat/completions", json=body, headers=headers)

    async def manage(self, method, path, body=None):
        key = (self.data / "management.key").read_text().strip()
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        return await self.http.request(method, f"{self.url}/api{path}", json=body, headers=headers)

    async def kill(self):
        self.process.kill()
        await self.process.wait()

    async def kept(self, part, text):
        """Wait until what is written down of a part holds the text."""

        def found():
            with contextlib.closing(sqlite3.connect(self.data / "omniroute.db")) as database:
                row = database.execute(
                    "SELECT value FROM rows WHERE table_name = 'kept' AND key = ?", (part,)
                ).fetchone()
            return row is not None and text in row[0]

        await until(found)


async def until(condition, timeout_s=10.0):
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.fixture
def lives(start_gateway, tmp_path):
    """`async with lives(settings) as life:`, one after the other on one data directory."""

    @asynccontextmanager
    async def live(toml, *arguments):
        options = ("--data-dir", str(tmp_path / "data"), *arguments)
        async with start_gateway(toml, *options) as gateway, httpx.AsyncClient(timeout=30) as http:
            life = Life(gateway, http)
            life.data = tmp_path / "data"
            yield life

    return live


def used(upstream):
    return [request.header("authorization").rpartition("-")[2] for request in upstream.requests]


# --- killed -----------------------------------------------------------------------------------------------------------


async def test_c1_twenty_deaths_at_random_moments_lose_nothing_that_was_acknowledged(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from soaking.crashes import cycles

    report = await cycles(20, tmp_path, seed=7)
    print(report)
    assert report.problems == []
    assert report.cycles == 20
    assert report.loss_s <= 1.5  # a second, and what a busy machine adds to it
    assert min(report.requests, report.keys, report.accounts) > 20


async def test_p30_after_a_kill_a_throttled_account_is_still_left_alone(lives):
    async with FakeUpstream(refusal(429, retry_after=600), answer=good) as upstream:
        toml = settings(upstream.base_url, *KEYS)
        async with lives(toml) as life:
            assert (await life.ask()).headers["x-omniroute-attempts"] == "2"
            await life.kept("cooling", b'"throttled"')
            await life.kill()
        async with lives(toml) as life:
            assert (await life.ask()).headers["x-omniroute-attempts"] == "1"
            assert used(upstream) == ["1", "2", "2"]


async def test_after_a_kill_another_key_for_the_account_is_tried_at_once(lives):
    async with FakeUpstream(refusal(403), answer=good) as upstream:
        async with lives(settings(upstream.base_url, KEYS[0])) as life:
            assert (await life.ask()).status_code == 403
            await life.kept("cooling", b'"account_blocked"')
            await life.kill()
        async with lives(settings(upstream.base_url, KEYS[1])) as life:
            assert (await life.ask()).status_code == 200
            assert used(upstream) == ["1", "2"]


async def test_after_a_kill_a_minute_s_budget_is_not_there_twice(lives):
    async with FakeUpstream(answer=good) as upstream:
        toml = settings(upstream.base_url, KEYS[0] + "\nrpm = 3")
        async with lives(toml) as life:
            assert [(await life.ask()).status_code for _ in range(2)] == [200, 200]
            await life.kept("limits", b",2]")
            await life.kill()
        async with lives(toml) as life:
            assert [(await life.ask()).status_code for _ in range(3)] == [200, 429, 429]
        assert len(upstream.requests) == 3


async def test_after_a_kill_an_open_circuit_is_not_hammered_anew(lives):
    async with FakeUpstream(answer=refusal(500)) as upstream:
        toml = settings(upstream.base_url, KEYS[0])
        async with lives(toml) as life:
            for _ in range(5):
                await life.ask()
            await life.kept("breaker", b'"due_at_s":1')
            calls = len(upstream.requests)
            await life.kill()
        async with lives(toml) as life:
            answers = await asyncio.gather(*(life.ask() for _ in range(10)))
            assert {answer.status_code for answer in answers} <= {502, 503, 500}
            assert len(upstream.requests) - calls <= 1


# --- by hand ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["api", "command"])
async def test_p24_a_person_who_knows_better_resets_an_account(lives, by):
    async with (
        FakeUpstream(refusal(429, "insufficient_quota", retry_after=1_587_827), answer=good) as upstream,
        lives(settings(upstream.base_url, KEYS[0])) as life,
    ):
        assert (await life.ask()).status_code == 429
        assert (await life.ask()).status_code == 429
        assert len(upstream.requests) == 1
        if by == "api":
            answer = await life.manage("POST", "/accounts/p/a1/reset")
            assert answer.json() == {"id": "p/a1", "cleared": 1}
        else:
            said = await command("account", "reset", "p/a1", data=life.data)
            assert said == "p/a1 may be asked again; marks that are gone: 1.\n"
        assert (await life.ask()).status_code == 200


async def test_a_reset_while_nothing_runs_holds_at_the_next_start(lives):
    async with FakeUpstream(refusal(429, "insufficient_quota", retry_after=600), answer=good) as upstream:
        toml = settings(upstream.base_url, table='auth = "api-key"\n')
        async with lives(toml) as life:
            added = await life.manage("POST", "/accounts", {"provider": "p", "name": "a1", "api_key": "test-key-1"})
            assert added.status_code == 201
            assert (await life.ask()).status_code == 429
            config = life.gateway.directory / "omniroute.toml"
        assert "gone: 1." in await command("account", "reset", "p/a1", data=life.data, config=config)
        async with lives(toml) as life:
            assert (await life.ask()).status_code == 200


async def test_resetting_what_is_not_there_says_so(lives):
    async with lives("") as life:
        answer = await life.manage("POST", "/accounts/p/a1/reset")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def command(*words, data, config=None):
    options = ("--data-dir", str(data), *(() if config is None else ("--config", str(config))))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "omniroute", *words, *options, stderr=asyncio.subprocess.PIPE, env=environment()
    )
    _, said = await process.communicate()
    assert process.returncode == 0, said
    return said.decode()


def environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("OMNIROUTE_")}


# --- a full disk ------------------------------------------------------------------------------------------------------


@linux
async def test_c3_with_a_full_disk_requests_keep_flowing_and_are_accounted_for_when_there_is_room_again(lives):
    """No file of the process may grow, its log neither: what SQLite then sees is a write that fails."""
    import resource

    async with FakeUpstream(answer=good) as upstream, lives(settings(upstream.base_url, *KEYS)) as life:
        await life.ask()
        await until(lambda: rows(life.data) == 1)
        _, hard = resource.prlimit(life.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(life.process.pid, resource.RLIMIT_FSIZE, (0, hard))
        asked, began_s = 1, time.monotonic()
        while asked < 20 or time.monotonic() - began_s < 2.5:  # several batches that are not taken
            assert (await life.ask()).status_code == 200
            asked += 1
        assert rows(life.data) == 1
        created = await life.manage("POST", "/keys", {"name": "late"})
        assert created.status_code == 500
        resource.prlimit(life.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        await until(lambda: rows(life.data) == asked)
        assert (await life.manage("POST", "/keys", {"name": "late"})).status_code == 201
        for name in ("omniroute.db", "requests.db"):
            with contextlib.closing(sqlite3.connect(life.data / name)) as database:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def rows(data):
    with contextlib.closing(sqlite3.connect(data / "requests.db")) as database:
        return database.execute("SELECT count(*) FROM requests").fetchone()[0]


# --- a directory that cannot be used ----------------------------------------------------------------------------------


async def refused_start(data, *options):
    """Exit code and what it said, when it should not start."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "omniroute", "serve", "--port", "0", "--data-dir", str(data), *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment(),
    )  # fmt: skip
    out, said = await asyncio.wait_for(process.communicate(), 60)
    assert out == b""
    return process.returncode, said.decode()


@linux
async def test_c4_a_directory_nobody_may_write_to_is_refused_with_the_reason():
    code, said = await refused_start("/sys/kernel")
    assert code == 2
    assert "/sys/kernel/gateway.lock cannot be" in said
    assert "fix:" in said
    assert "Traceback" not in said


async def test_c4_a_database_that_another_process_has_locked_is_refused_with_the_reason(lives):
    async with lives("") as life:
        pass
    with contextlib.closing(sqlite3.connect(life.data / "omniroute.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()
        code, said = await refused_start(life.data)
    assert code == 2
    assert "locked" in said
    assert "Traceback" not in said
    assert time.monotonic() - started < 30


async def test_c4_two_gateways_on_one_directory_are_one_too_many_and_the_first_goes_on(lives):
    async with FakeUpstream(answer=good) as upstream, lives(settings(upstream.base_url, *KEYS)) as life:
        code, said = await refused_start(life.data)
        assert code == 2
        assert "another gateway uses the data directory" in said
        assert str(life.process.pid) in said
        assert (await life.ask()).status_code == 200
        assert json.loads((life.data / "runtime.json").read_text())["pid"] == life.process.pid
