"""Memory that grows with clients, streams and large bodies."""

from collections.abc import Iterator
from itertools import pairwise

import msgspec

from benchmark import wire
from benchmark.measure import Bench, pair
from benchmark.process import LINUX
from benchmark.results import Row
from benchmark.targets import Target

BODY_BYTES = 10_000_000


def memory(bench: Bench) -> Iterator[Row]:
    """RSS of processes that have answered once: idle, with streams open, per idle client, and at most under large bodies."""
    targets = (bench.gateway, bench.proxy)
    yield pair("rss-idle", "RSS after the first answer", "MB", {target.name: [rss(target)] for target in targets})
    streams = {target.name: [with_streams(bench, target)] for target in targets}
    yield pair(f"rss-streams-{bench.plan.streams}", f"RSS with {bench.plan.streams} open streams", "MB", streams)
    yield from idle_clients(bench, targets)
    if LINUX:
        bodies = {target.name: [peak_of_bodies(bench, target)] for target in targets}
        yield pair(
            f"rss-bodies-{bench.plan.large_bodies}",
            f"RSS at most, {bench.plan.large_bodies} bodies of 10 MB at once",
            "MB",
            bodies,
        )


def with_streams(bench: Bench, target: Target) -> float:
    request = target.request(bench.plan.slow_kind, front=wire.CHAT, behind=wire.CHAT, body_bytes=1000, stream=True)
    bench.load("hold", target, request, connections=bench.plan.streams)
    bench.answer()
    used_mb = rss(target)
    bench.generator.say("0")
    bench.answer()
    return used_mb


def idle_clients(bench: Bench, targets: tuple[Target, ...]) -> Iterator[Row]:
    """RSS with ever more clients connected, and what each of them takes: the rounds are the steps, equal where it is linear."""
    counts = bench.plan.idle_clients
    used_mb = {target.name: with_clients(bench, target) for target in targets}
    for at, count in enumerate(counts):
        both = {name: [taken[at]] for name, taken in used_mb.items()}
        row = pair(f"growth-clients-{count}", f"RSS with {count:,} idle keep-alive clients", "MB", both)
        yield msgspec.structs.replace(row, curve="clients", at=count)
    steps = [many - few for few, many in pairwise(counts)]
    each_kb = {name: [1e3 * (after - before) / step for (before, after), step in zip(pairwise(taken), steps, strict=True)]
               for name, taken in used_mb.items()}  # fmt: skip
    label = f"RSS per idle keep-alive client, from {counts[0]:,} to {counts[-1]:,}"
    yield pair(f"rss-client-{counts[-1]}", label, "kB", each_kb)


def with_clients(bench: Bench, target: Target) -> list[float]:
    request = target.request("json", front=wire.CHAT, behind=wire.CHAT, body_bytes=1000, stream=False)
    first, *_ = counts = bench.plan.idle_clients
    bench.load("hold", target, request, connections=first)
    bench.answer()
    used_mb = [rss(target)]
    for few, many in pairwise(counts):
        bench.generator.say(str(many - few))
        bench.answer()
        used_mb.append(rss(target))
    bench.generator.say("0")
    bench.answer()
    return used_mb


def peak_of_bodies(bench: Bench, target: Target) -> float:
    request = target.request("json", front=wire.CHAT, behind=wire.CHAT, body_bytes=BODY_BYTES, stream=False)
    assert target.process
    target.process.forget_peak()
    bench.load("once", target, request, connections=bench.plan.large_bodies)
    bench.answer()
    return target.process.peak_mb


def rss(target: Target) -> float:
    return target.process.rss_mb if target.process else 0.0
