"""A gateway under a steady mixed load for as long as one likes: requests, streams, clients that leave, upstreams that fail,
tokens that end. Looks at what it holds meanwhile and afterwards, and whether each answer was accounted for exactly once."""

import asyncio
import contextlib
import os
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from plugin_folder import add_plugin

from omniroute import settings
from omniroute.api import Credential, FactsProvider, Secret, hookimpl
from omniroute.gateway import Gateway
from omniroute.loop_watch import Lag
from omniroute.testing import FakeAuthorization, FakeUpstream
from soaking.clients import CUT, GOOD, LEFT, LOST, REFUSED, WAITING, Clients, Ledger, request_id
from soaking.gateway import base_url, management_headers, process
from soaking.samples import HOUR_S, Limits, Sample, drifting, growth, left_over, sample, slope_mb_per_h
from soaking.upstream import FACTS, MODEL, TOKEN_LIFE_S, VENDOR, Models, forget, plugin, provider

CLIENT_KEY = "test-client-key-0001"
KEYS, SIGNED_IN = 4, 2
"""Accounts with an API key, and those with tokens that end."""
SETTLE_S = 15.0
"""For connections to be noticed as closed, and requests that were left behind to end."""
STOP_S = 30.0
SETTINGS = """
[[auth.keys]]
name = "soak"
key = "{key}"
[providers.p]
dialect = "openai-chat"
base_url = "{base_url}"
models = ["{model}"]
[combos.soak]
strategy = "round-robin"
models = ["p/{model}", "{vendor}/{model}"]
[models]
refresh_s = 0
[quota]
interval_s = 0
"""
ACCOUNT = """
[[accounts]]
provider = "p"
name = "a{number}"
api_key = "test-key-{number}"
"""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    seconds: float
    rate: float = 50.0
    """Requests per second, beside the streams."""
    streams: int = 200
    seed: int = 1

    @property
    def warm_up_s(self) -> float:
        return min(HOUR_S, self.seconds / 3)

    @property
    def interval_s(self) -> float:
        """Between two samples."""
        return max(0.5, self.seconds / 2000)


class Report(msgspec.Struct, kw_only=True):
    load: Load
    requests: int = 0
    good: int = 0
    refused: int = 0
    cut: int = 0
    left: int = 0
    lost: int = 0
    faults: int = 0
    """Of the upstream."""
    refreshes: int = 0
    loop: Lag = Lag()
    before: Sample | None = None
    after: Sample | None = None
    samples: list[Sample] = []
    problems: list[str] = []

    @property
    def warm(self) -> list[Sample]:
        return [each for each in self.samples if each.at_s >= self.load.warm_up_s]

    def __str__(self) -> str:
        warm, before, after = self.warm, self.before, self.after
        held = ""
        if warm and before and after:
            held = (
                f"RSS {warm[-1].rss_mb:.0f} MB, {growth(warm, lambda each: each.rss_mb):+.1f} MB while warm "
                f"({slope_mb_per_h(warm):+.1f} MB/h); before → after: fds {before.fds} → {after.fds}, sockets "
                f"{before.sockets} → {after.sockets}, tasks {before.tasks} → {after.tasks}; "
            )
        return (
            f"{self.load.seconds:g} s: {self.requests} requests, {self.good} good, {self.refused} refused, {self.cut} cut, "
            f"{self.left} left, {self.lost} lost; {self.faults} faults, {self.refreshes} refreshes; {held}"
            f"{self.loop.stalls} stalls; {len(self.problems)} problems"
        )


async def soak(
    load: Load, directory: Path, *, limits: Limits | None = None, say: Callable[[str], None] = lambda _: None
) -> Report:
    """`directory` is there and empty; a folder `data` in it is left to look at."""
    limits = limits or Limits()
    report, ledger, chance = Report(load=load), Ledger(), random.Random(load.seed)
    async with FakeAuthorization(FACTS, life_s=TOKEN_LIFE_S) as vendor:
        models = Models(vendor, chance)
        async with FakeUpstream(answer=models.answer) as upstream, _gateway(directory, vendor, upstream) as gateway:
            report.before = await gateway.sample()
            clients = Clients(gateway.url, CLIENT_KEY, ledger, chance)
            busy = asyncio.create_task(clients.run(seconds=load.seconds, rate=load.rate, streams=load.streams))
            async for taken in _sampled(gateway, upstream, busy, load.interval_s):
                report.samples.append(taken)
                if len(report.samples) % 100 == 0:
                    say(_progress(taken, ledger))
            busy.result()
            report.after = await _settled(gateway, upstream, report.before, limits)
            report.loop = await gateway.loop()
            report.problems += await gateway.lame_accounts()
            report.problems += left_over(report.before, report.after, limits, upstream_connections=_open(upstream))
            report.problems += await gateway.stop()
        report.faults, report.refreshes = models.faults, len(vendor.refreshes)
    _count(report, ledger)
    report.problems += [*drifting(report.warm, limits), *unsound(report, limits), *ledger.problems]
    report.problems += misaccounted(directory / "data/requests.db", ledger)
    return report


def _progress(taken: Sample, ledger: Ledger) -> str:
    return f"{taken.at_s:.0f} s: {len(ledger.fates)} requests, {ledger.count(LOST)} lost; RSS {taken.rss_mb:.1f} MB, {taken.fds} fds, {taken.tasks} tasks"


# --- the gateway ------------------------------------------------------------------------------------------------------


class _Running:
    """The process, seen from outside."""

    def __init__(self, url: str, process: asyncio.subprocess.Process, directory: Path, http: httpx.AsyncClient) -> None:
        self.url = url
        self._process = process
        self._http = http
        self._headers = management_headers(directory)
        self.began_s = time.monotonic()

    async def _manage(self, path: str) -> Any:
        answer = await self._http.get(f"{self.url}/api{path}", headers=self._headers)
        return answer.raise_for_status().json()

    async def sample(self) -> Sample:
        tasks = (await self._manage("/status"))["tasks"]
        return sample(self._process.pid, at_s=time.monotonic() - self.began_s, tasks=tasks)

    async def loop(self) -> Lag:
        return msgspec.convert((await self._manage("/status"))["loop"], Lag)

    async def lame_accounts(self) -> list[str]:
        states = {f"{each['provider']}/{each['name']}": each["state"] for each in await self._manage("/accounts")}
        return [f"the account {id_} is {state}" for id_, state in states.items() if state in {"needs_login", "locked"}]

    async def stop(self) -> list[str]:
        """In order, so that what is still to be accounted for is."""
        self._process.terminate()
        code = await asyncio.wait_for(self._process.wait(), STOP_S)
        return [] if code == 0 else [f"the gateway ended with exit code {code}"]


@asynccontextmanager
async def _gateway(directory: Path, vendor: FakeAuthorization, upstream: FakeUpstream) -> AsyncIterator[_Running]:
    toml = SETTINGS.format(key=CLIENT_KEY, base_url=upstream.base_url, model=MODEL, vendor=VENDOR)
    toml += "".join(ACCOUNT.format(number=number) for number in range(KEYS))
    (directory / "omniroute.toml").write_text(toml, encoding="utf-8")
    await _sign_in(directory, vendor, upstream)
    add_plugin(directory / "packages", VENDOR, plugin(vendor, upstream))
    path = os.pathsep.join(filter(None, [str(directory / "packages"), os.environ.get("PYTHONPATH")]))
    async with (
        process(directory, environment={"PYTHONPATH": path}) as running,
        httpx.AsyncClient(timeout=30, trust_env=False) as http,
    ):
        url = await base_url(running)
        if url is None:
            raise RuntimeError((directory / "stderr.txt").read_text(errors="replace"))
        yield _Running(url, running, directory, http)


class _Plugin:
    def __init__(self, provider: FactsProvider) -> None:
        self.provider = provider

    @hookimpl
    def register_providers(self) -> list[FactsProvider]:
        return [self.provider]


async def _sign_in(directory: Path, vendor: FakeAuthorization, upstream: FakeUpstream) -> None:
    """Accounts as a sign-in leaves them, with tokens that are about to end."""
    loaded = settings.load(
        config=directory / "omniroute.toml", data_dir=directory / "data", environ={}, cwd=directory,
        config_dir=directory,
    )  # fmt: skip
    gateway = await Gateway.open(loaded, serving=False, given={VENDOR: _Plugin(provider(upstream))})
    for number in range(SIGNED_IN):
        credential = Credential(
            access=Secret(vendor.issue()), refresh=Secret(vendor.issue_refresh()), expires_at_s=time.time() + 1
        )
        await gateway.accounts.add(VENDOR, f"a{number}", credential, other_clients=True)
    await gateway.close()


# --- what is looked at ------------------------------------------------------------------------------------------------


async def _sampled(
    gateway: _Running, upstream: FakeUpstream, busy: "asyncio.Task[None]", interval_s: float
) -> AsyncIterator[Sample]:
    gateway.began_s = time.monotonic()
    while not busy.done():
        await asyncio.wait({busy}, timeout=interval_s)
        forget(upstream)
        if not busy.done():
            yield await gateway.sample()


async def _settled(gateway: _Running, upstream: FakeUpstream, before: Sample, limits: Limits) -> Sample:
    """What is held when nothing is left over any more, or after a while."""
    end_s = time.monotonic() + SETTLE_S
    while True:
        taken = await gateway.sample()
        if time.monotonic() > end_s or not left_over(before, taken, limits, upstream_connections=_open(upstream)):
            return taken
        await asyncio.sleep(0.2)


def _open(upstream: FakeUpstream) -> int:
    return sum(not connection.closed for connection in upstream.connections)


def _count(report: Report, ledger: Ledger) -> None:
    report.requests = len(ledger.fates)
    report.good, report.refused, report.cut = (ledger.count(fate) for fate in (GOOD, REFUSED, CUT))
    report.left, report.lost = ledger.count(LEFT), ledger.count(LOST, WAITING)


def unsound(report: Report, limits: Limits) -> Iterator[str]:
    stayed = report.requests - report.left
    if report.lost:
        yield f"{report.lost} requests got no answer"
    if report.good < stayed * limits.good_share:
        yield f"{report.good} of {stayed} answers are good, {limits.good_share:.0%} should be"
    if not report.refreshes:
        yield "no token was refreshed"
    if limits.stalls is not None and report.loop.stalls > limits.stalls:
        yield f"the event loop stood still {report.loop.stalls} times, up to {report.loop.longest_s:.2f} s; see stderr.txt"


def misaccounted(database: Path, ledger: Ledger) -> list[str]:
    """Every answered request has one row, and nobody has two. Who left before the request was there has none."""
    rows = bytearray(len(ledger.fates))
    problems = []
    with contextlib.closing(sqlite3.connect(database)) as connection:
        for (id_,) in connection.execute("SELECT request_id FROM requests"):
            number = int(id_.rpartition("-")[2]) if id_.startswith("soak-") else -1
            if not 0 <= number < len(rows):
                problems.append(f"a row for {id_}, which nobody asked for")
            else:
                rows[number] += rows[number] < 2
    answered = {GOOD, REFUSED, CUT}
    without = [number for number, fate in enumerate(ledger.fates) if fate in answered and not rows[number]]
    twice = [number for number, count in enumerate(rows) if count > 1]
    for numbers, what in ((without, "were answered and have no row"), (twice, "have two rows")):
        if numbers:
            problems.append(f"{len(numbers)} requests {what}, {request_id(numbers[0])} the first of them")
    return problems
