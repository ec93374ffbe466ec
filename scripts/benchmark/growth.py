"""What grows with the number of clients, streams and stored requests, and the size of bodies."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from benchmark import wire
from benchmark.measure import SLICES, Bench, pair
from benchmark.process import LINUX
from benchmark.results import Row, figure
from benchmark.targets import Target

BODY_BYTES = 10_000_000
FILL = """
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
    INSERT INTO requests ({columns}) SELECT {values} FROM (SELECT * FROM requests LIMIT 1), numbers
"""


def memory(bench: Bench) -> Iterator[Row]:
    """RSS of processes that have answered once: idle, with streams open, per idle client, and at most under large bodies."""
    targets = (bench.gateway, bench.proxy)
    yield pair("rss-idle", "RSS after the first answer", "MB", {target.name: [rss(target)] for target in targets})
    streams = {target.name: [with_streams(bench, target)] for target in targets}
    yield pair("rss-streams", f"RSS with {bench.plan.streams} open streams", "MB", streams)
    few, many = bench.plan.idle_clients
    clients = {target.name: [per_client_kb(bench, target)] for target in targets}
    yield pair("rss-client", f"RSS per idle keep-alive client, from {few:,} to {many:,}", "kB", clients)
    if LINUX:
        bodies = {target.name: [peak_of_bodies(bench, target)] for target in targets}
        yield pair("rss-bodies", f"RSS at most, {bench.plan.large_bodies} bodies of 10 MB at once", "MB", bodies)


def with_streams(bench: Bench, target: Target) -> float:
    request = target.request(bench.plan.slow_kind, front=wire.CHAT, behind=wire.CHAT, body_bytes=1000, stream=True)
    bench.load("hold", target, request, connections=bench.plan.streams)
    bench.answer()
    used_mb = rss(target)
    bench.generator.say("0")
    bench.answer()
    return used_mb


def per_client_kb(bench: Bench, target: Target) -> float:
    few, many = bench.plan.idle_clients
    request = target.request("json", front=wire.CHAT, behind=wire.CHAT, body_bytes=1000, stream=False)
    bench.load("hold", target, request, connections=few)
    bench.answer()
    with_few_mb = rss(target)
    bench.generator.say(str(many - few))
    bench.answer()
    with_many_mb = rss(target)
    bench.generator.say("0")
    bench.answer()
    return (with_many_mb - with_few_mb) * 1e3 / (many - few)


def peak_of_bodies(bench: Bench, target: Target) -> float:
    request = target.request("json", front=wire.CHAT, behind=wire.CHAT, body_bytes=BODY_BYTES, stream=False)
    assert target.process
    target.process.forget_peak()
    bench.load("once", target, request, connections=bench.plan.large_bodies)
    bench.answer()
    return target.process.peak_mb


def rss(target: Target) -> float:
    return target.process.rss_mb if target.process else 0.0


# --- stored requests --------------------------------------------------------------------------------------------------


def logged(bench: Bench, folder: Path, gateway: Callable[[Path], AbstractContextManager[Target]]) -> Iterator[Row]:
    """CPU per request with many requests in the store, beside a gateway that has none."""
    count = bench.plan.logged
    full, empty = folder / "full", folder / "empty"
    for made in (full, empty):
        made.mkdir()
    with gateway(full):
        pass  # the first answer is in the store when it has stopped
    fill(full, count)
    item = next(item for item in SLICES if item.name == "relay-1k")
    with gateway(full) as filled, gateway(empty) as fresh:
        costs: dict[str, list[float]] = {"gateway": [], "proxy": []}
        for _ in range(bench.plan.rounds):
            costs["gateway"].append(bench.busy_slice(item, filled)[0])
            costs["proxy"].append(bench.busy_slice(item, fresh)[0])
    label = f"relayed, 1 kB body, with {count:,} logged requests (second figure: with none)"
    yield Row(name="logged", label=label, unit="µs CPU per request", gateway=figure(costs["gateway"]),
              proxy=figure(costs["proxy"]))  # fmt: skip


def fill(folder: Path, count: int) -> None:
    """Copies of the one request that is in there, under ids of their own."""
    for path in folder.rglob("*.db"):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            columns = [row[1] for row in connection.execute("PRAGMA table_info(requests)")]
            if not columns:
                continue
            values = [f"{name} || '-' || n" if name in {"id", "request_id"} else name for name in columns]
            connection.execute(FILL.format(columns=", ".join(columns), values=", ".join(values)), (count,))
            connection.commit()
            return
    raise SystemExit(f"no table of requests in {folder}")
