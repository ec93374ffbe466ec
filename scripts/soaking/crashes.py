"""Cycles of `kill -9`: a gateway under traffic and edits dies at a random moment, and another starts on what it left.

What the dead one had acknowledged must be there: keys work, accounts are listed or gone, requests older than a second are
accounted for, and both databases are sound.
"""

import asyncio
import contextlib
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from omniroute.testing import FakeUpstream, ReceivedRequest, Reply
from soaking.gateway import base_url, kill, management_headers, process

CLIENT_KEY = "test-client-key-0001"
LONGEST_LIFE_S = 2.0
"""Of a gateway, from when it answers."""
DATABASES = ("omniroute.db", "requests.db")
CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "up",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
ASK = {"model": "p/m", "messages": [{"role": "user", "content": "hi"}]}


@dataclass
class Acknowledged:
    """What callers were told has happened."""

    keys: dict[str, str] = field(default_factory=dict)
    """Name → the key."""
    added: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    requests: dict[str, float] = field(default_factory=dict)
    """Id → when it was answered, monotonic; of this life."""
    kept: set[str] = field(default_factory=set)
    """Ids of requests that were accounted for once."""


@dataclass
class Report:
    cycles: int = 0
    starts_s: list[float] = field(default_factory=list)
    """Until a gateway answered."""
    loss_s: float = 0.0
    """How old the oldest request was that was answered and never accounted for, when its gateway died."""
    requests: int = 0
    keys: int = 0
    accounts: int = 0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        starts = sorted(self.starts_s) or [0.0]
        return (
            f"{self.cycles} cycles: {self.requests} requests, {self.keys} keys and {self.accounts} accounts acknowledged; "
            f"starts took {starts[len(starts) // 2]:.1f} s, at most {starts[-1]:.1f} s; "
            f"at most the last {self.loss_s:.2f} s of usage lost; {len(self.problems)} problems"
        )


class Gateway:
    def __init__(self, url: str, directory: Path, http: httpx.AsyncClient) -> None:
        self.url = url
        self.http = http
        self._management = management_headers(directory)

    async def manage(self, method: str, path: str, body: object = None) -> httpx.Response:
        return await self.http.request(method, f"{self.url}/api{path}", json=body, headers=self._management)

    async def ask(self, key: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"}
        return await self.http.post(f"{self.url}/v1/chat/completions", json=ASK, headers=headers)


async def cycles(
    count: int,
    directory: Path,
    *,
    seed: int,
    say: Callable[[str], None] = lambda _: None,
    options: tuple[str, ...] = (),
) -> Report:
    """`count` lives and deaths on one data directory, below `directory`, which is there. `options` are further ones of `serve`."""
    chance, report, told = random.Random(seed), Report(), Acknowledged()

    def answer(request: ReceivedRequest) -> Reply:
        return Reply.json(CHAT)

    async with FakeUpstream(answer=answer) as upstream, httpx.AsyncClient(timeout=10, trust_env=False) as http:
        (directory / "omniroute.toml").write_text(
            f'[[auth.keys]]\nname = "crashes"\nkey = "{CLIENT_KEY}"\n'
            f'[providers.p]\ndialect = "openai-chat"\nbase_url = "{upstream.base_url}"\napi_key = "test-key-1"\n'
        )
        for cycle in range(count):
            killed_s = await _life(cycle, directory, http, chance, report, told, options)
            _check_databases(directory, report, told, killed_s)
            report.cycles += 1
            report.requests, report.keys = len(told.kept), len(told.keys)
            report.accounts = len(told.added) + len(told.removed)
            if (cycle + 1) % 20 == 0:
                say(str(report))
    return report


async def _life(
    cycle: int,
    directory: Path,
    http: httpx.AsyncClient,
    chance: random.Random,
    report: Report,
    told: Acknowledged,
    options: tuple[str, ...],
) -> float:
    """One gateway from its start to its end; when that was."""
    async with process(directory, *options) as running:
        if cycle % 7 == 6:  # some do not even live to see their first request
            await asyncio.wait({asyncio.create_task(running.wait())}, timeout=chance.random())
            return await kill(running)
        started_s = time.monotonic()
        url = await base_url(running)
        if url is None:
            report.problems.append(f"cycle {cycle}: did not start; see {directory / 'stderr.txt'}")
            return await kill(running)
        report.starts_s.append(time.monotonic() - started_s)
        gateway = Gateway(url, directory, http)
        report.problems += [f"cycle {cycle}: {problem}" for problem in await _missing(gateway, told)]
        busy = [
            *(asyncio.create_task(_traffic(gateway, told)) for _ in range(3)),
            asyncio.create_task(_make_keys(gateway, told, cycle)),
            asyncio.create_task(_edit_accounts(gateway, told, cycle, chance)),
        ]
        done, _ = await asyncio.wait(
            busy, timeout=LONGEST_LIFE_S * chance.random(), return_when=asyncio.FIRST_COMPLETED
        )
        report.problems += [f"cycle {cycle}: {task.exception()!r}" for task in done]
        killed_s = await kill(running)
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
        return killed_s


# --- what goes on meanwhile -------------------------------------------------------------------------------------------


async def _until_dead(work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except httpx.HTTPError:
            await asyncio.Event().wait()  # dead; whoever killed it ends this


async def _traffic(gateway: Gateway, told: Acknowledged) -> None:
    async def once() -> None:
        answer = await gateway.ask(CLIENT_KEY)
        answer.raise_for_status()
        told.requests[answer.headers["x-request-id"]] = time.monotonic()

    await _until_dead(once)


async def _make_keys(gateway: Gateway, told: Acknowledged, cycle: int) -> None:
    number = 0

    async def once() -> None:
        nonlocal number
        number += 1
        name = f"key-{cycle}-{number}"
        answer = await gateway.manage("POST", "/keys", {"name": name})
        answer.raise_for_status()
        told.keys[name] = answer.json()["key"]

    await _until_dead(once)


async def _edit_accounts(gateway: Gateway, told: Acknowledged, cycle: int, chance: random.Random) -> None:
    number = 0

    async def once() -> None:
        nonlocal number
        number += 1
        name = f"a-{cycle}-{number}"
        added = await gateway.manage("POST", "/accounts", {"provider": "p", "name": name, "api_key": "test-key-2"})
        added.raise_for_status()
        told.added.add(name)
        if chance.random() < 0.5:
            told.added.discard(name)  # until the answer is here, either is right
            (await gateway.manage("DELETE", f"/accounts/p/{name}")).raise_for_status()
            told.removed.add(name)

    await _until_dead(once)


# --- what must be there -----------------------------------------------------------------------------------------------


async def _missing(gateway: Gateway, told: Acknowledged) -> list[str]:
    listed = {key["name"] for key in (await gateway.manage("GET", "/keys")).json()}
    problems = [f"the key {name} is gone" for name in told.keys if name not in listed]
    if told.keys:
        newest = list(told.keys)[-1]
        if (await gateway.ask(told.keys[newest])).status_code != 200:
            problems.append(f"the key {newest} does not work")
    accounts = {account["name"]: account for account in (await gateway.manage("GET", "/accounts")).json()}
    problems += [f"the account {name} is gone" for name in told.added if name not in accounts]
    problems += [f"the account {name} is back" for name in told.removed if name in accounts]
    locked = [name for name, account in accounts.items() if account["state"] == "locked"]
    return problems + [f"the account {name} is locked" for name in locked]


def _check_databases(directory: Path, report: Report, told: Acknowledged, killed_s: float) -> None:
    for name in DATABASES:
        path = directory / "data" / name
        if not path.exists():
            continue
        with contextlib.closing(sqlite3.connect(path)) as database:
            found = database.execute("PRAGMA integrity_check").fetchone()[0]
            if found != "ok":
                report.problems.append(f"{name}: {found}")
            if name == "requests.db":
                _check_usage(
                    {row[0] for row in database.execute("SELECT request_id FROM requests")}, report, told, killed_s
                )


def _check_usage(rows: set[str], report: Report, told: Acknowledged, killed_s: float) -> None:
    report.problems += [f"the request {id_} was accounted for and is not any more" for id_ in told.kept - rows]
    lost_s = [killed_s - at_s for id_, at_s in told.requests.items() if id_ not in rows]
    report.loss_s = max([report.loss_s, *lost_s])
    told.kept |= told.requests.keys() & rows
    told.requests.clear()
