"""The measurements. Gateway and bare proxy take turns round by round, so that a busy machine is unkind to both alike."""

import base64
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from benchmark import load, wire
from benchmark.process import Process
from benchmark.results import Row, figure
from benchmark.targets import BodyKind, Target, check

BURST_EVENTS = wire.STREAM_EVENTS
STRAIGHT_EVENTS = 60
SLOW_WINDOW_S = 0.6
"""At least: shorter ones are lost in the steps of the clock."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how often."""

    rounds: int
    slice_s: float
    warm_s: float
    alone_requests: int
    starts: int
    streams: int
    idle_clients: tuple[int, ...]
    """How many there are when the RSS is read, in order."""
    large_bodies: int
    logged: int
    slow_streams: int = 200
    curve_rounds: int = 3
    curve_points: int | None = None
    """Of curves whose last points take long; None is all of them."""

    @property
    def slow_events(self) -> int:
        """Events of a slow stream that outlasts its ramp and all its windows."""
        return int((load.RAMP_S + self.rounds * max(self.slice_s, SLOW_WINDOW_S) + 1.5) * wire.SLOW_EVENTS_PER_S)

    @property
    def slow_kind(self) -> str:
        return f"slow/{self.slow_events}"


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """One closed-loop scenario."""

    name: str
    label: str
    per: Literal["request", "event"] = "request"
    front: str = wire.CHAT
    behind: str = wire.CHAT
    body: BodyKind = "words"
    body_bytes: int = 1000
    connections: int = 32

    @property
    def kind(self) -> str:
        return "burst" if self.per == "event" else "json"

    @property
    def relayed(self) -> "Slice":
        """The same as a bare proxy can do it, which translates nothing."""
        return msgspec.structs.replace(self, front=self.behind)

    @property
    def units(self) -> int:
        """Of what costs are given for, in one request."""
        return BURST_EVENTS if self.per == "event" else 1

    def request(self, target: Target, model: str | None = None) -> bytes:
        return target.request(self.kind, front=self.front, behind=self.behind, body=self.body, body_bytes=self.body_bytes,
                              stream=self.per == "event", model=model)  # fmt: skip

    def check(self, target: Target) -> None:
        """That it is answered well, before anything is measured."""
        check(target, self.request(target), front=self.front, stream=self.per == "event")


SLICES = (
    Slice(name="relay-1k", label="relayed, 1 kB body"),
    Slice(name="relay-100k", label="relayed, 100 kB body", body_bytes=100_000, connections=8),
    Slice(name="relay-burst", label="relayed stream of 200 events, as fast as they come", per="event", connections=16),
    Slice(name="messages-1k", label="relayed, 1 kB body (Anthropic)", front=wire.MESSAGES, behind=wire.MESSAGES),
    Slice(
        name="messages-burst", label="relayed stream of 200 events, as fast as they come (Anthropic)", per="event",
        front=wire.MESSAGES, behind=wire.MESSAGES, connections=16,
    ),
    Slice(name="translate-1k", label="translated Anthropic to OpenAI, 1 kB body", front=wire.MESSAGES),
    Slice(
        name="translate-100k", label="translated Anthropic to OpenAI, 100 kB body", front=wire.MESSAGES,
        body_bytes=100_000, connections=8,
    ),
    Slice(
        name="translate-burst", label="translated stream of 200 events, as fast as they come", per="event", front=wire.MESSAGES,
        connections=16,
    ),
    Slice(
        name="messages-agent-20k", label="relayed, 20 kB of an agent (Anthropic)", front=wire.MESSAGES, behind=wire.MESSAGES,
        body="agent", body_bytes=20_000, connections=16,
    ),
    Slice(
        name="messages-agent-100k", label="relayed, 100 kB of an agent (Anthropic)", front=wire.MESSAGES, behind=wire.MESSAGES,
        body="agent", body_bytes=100_000, connections=8,
    ),
    Slice(
        name="translate-agent-20k", label="translated Anthropic to OpenAI, 20 kB of an agent", front=wire.MESSAGES,
        body="agent", body_bytes=20_000, connections=16,
    ),
    Slice(
        name="translate-agent-100k", label="translated Anthropic to OpenAI, 100 kB of an agent", front=wire.MESSAGES,
        body="agent", body_bytes=100_000, connections=8,
    ),
    Slice(name="translate-back-1k", label="translated OpenAI to Anthropic, 1 kB body", behind=wire.MESSAGES),
    Slice(
        name="translate-back-100k", label="translated OpenAI to Anthropic, 100 kB body", behind=wire.MESSAGES,
        body_bytes=100_000, connections=8,
    ),
    Slice(
        name="translate-back-burst", label="translated stream of 200 events, as fast as they come (from Anthropic)", per="event",
        behind=wire.MESSAGES, connections=16,
    ),
)  # fmt: skip


class Bench:
    """One run over targets that are up."""

    def __init__(self, plan: Plan, generator: Process, direct: Target, proxy: Target, gateway: Target) -> None:
        self.plan = plan
        self.generator = generator
        self.direct, self.proxy, self.gateway = direct, proxy, gateway

    def closed_loop(self, item: Slice) -> Iterator[Row]:
        """CPU per request or event, and requests per second, with all connections busy."""
        both = ((self.gateway, item), (self.proxy, item.relayed))
        rounds: dict[str, list[tuple[float, float]]] = {target.name: [] for target, _ in both}
        for target, asked in both:
            asked.check(target)
        for _ in range(self.plan.rounds):
            for target, asked in both:
                rounds[target.name].append(self.busy_slice(asked, target))
        unit = "µs CPU per event" if item.per == "event" else "µs CPU per request"
        pairs = [("", unit, 0)] + ([("-rate", "requests/s", 1)] if item.per == "request" else [])
        for suffix, what, column in pairs:
            figures = {name: figure([pair[column] for pair in taken]) for name, taken in rounds.items()}
            yield Row(name=item.name + suffix, label=item.label, unit=what, gateway=figures["gateway"],
                      proxy=figures["proxy"])  # fmt: skip

    def busy_slice(self, item: Slice, target: Target, model: str | None = None) -> tuple[float, float]:
        """(µs CPU per unit, requests per second) of one slice."""
        assert target.process
        self.load("closed", target, item.request(target, model), connections=item.connections, seconds=self.plan.slice_s,
                  warm_s=self.plan.warm_s)  # fmt: skip
        self.answer()
        before_s = target.process.cpu_s
        self.generator.say("go")
        result = self.answer()
        cpu_s = target.process.cpu_s - before_s
        return cpu_s / (result["requests"] * item.units) * 1e6, result["requests"] / result["elapsed_s"]

    def slow_streams(self) -> Iterator[Row]:
        """CPU per event when each is a wake-up of its own, and how much later content comes, with 200 streams open."""
        count = self.plan.slow_streams
        results = {target.name: self.slow_rounds(target, count) for target in (self.gateway, self.proxy)}
        straight = self.slow_straight()
        costs = {name: costs for name, (costs, _) in results.items()}
        yield pair("slow-streams", f"{count} streams of {wire.SLOW_EVENTS_PER_S} events/s", "µs CPU per event", costs)
        for what, label in (("first", "time to first content"), ("delay", "delay of an event")):
            for percentile in ("p50_ms", "p99_ms"):
                added = {name: [result[what][percentile] - straight[what][percentile]]
                         for name, (_, result) in results.items()}  # fmt: skip
                name = f"slow-{what}-{percentile[:3]}"
                yield pair(name, f"added {label}, {count} slow streams, {percentile[:3]}", "ms", added)

    def slow_rounds(self, target: Target, count: int) -> tuple[list[float], dict[str, Any]]:
        assert target.process
        request = target.request(self.plan.slow_kind, front=wire.CHAT, behind=wire.CHAT, body_bytes=1000, stream=True)
        self.load("slow", target, request, connections=count)
        self.answer()
        costs = []
        for _ in range(self.plan.rounds):
            before = self.counted(target.process)
            time.sleep(max(self.plan.slice_s, SLOW_WINDOW_S))
            after = self.counted(target.process)
            costs.append((after[0] - before[0]) / (after[1] - before[1]) * 1e6)
        self.generator.say("finish")
        result = self.answer()
        expected = count * self.plan.slow_events
        if result["events"] < expected * 0.99:
            raise SystemExit(f"{target.name} passed on {result['events']} of {expected} events")
        return costs, result

    def slow_straight(self) -> dict[str, Any]:
        """The same without anything between, for as long as it takes to know."""
        kind = f"slow/{STRAIGHT_EVENTS}"
        request = self.direct.request(kind, front=wire.CHAT, behind=wire.CHAT, body_bytes=1000, stream=True)
        self.load("slow", self.direct, request, connections=self.plan.slow_streams)
        self.answer()
        self.generator.say("finish")
        return self.answer()

    def counted(self, process: Process) -> tuple[float, int]:
        self.generator.say("count")
        events: int = self.answer()["events"]
        return process.cpu_s, events

    def latency(self) -> Iterator[Row]:
        """What the gateway adds to a request that is alone: its time minus the upstream's own, in the same round."""
        kinds = (
            ("json", "whole", "added latency, 1 kB, one connection"),
            ("burst", "first", "added time to first content"),
        )
        for kind, what, label in kinds:
            taken: dict[str, list[dict[str, float]]] = {"direct": [], "proxy": [], "gateway": []}
            for _ in range(self.plan.rounds):
                for target in (self.direct, self.proxy, self.gateway):
                    taken[target.name].append(self.alone(kind, target)[what])
            for percentile in ("p50", "p99"):
                added = {
                    name: [mine[f"{percentile}_ms"] - base[f"{percentile}_ms"]
                           for mine, base in zip(taken[name], taken["direct"], strict=True)]
                    for name in ("gateway", "proxy")
                }  # fmt: skip
                yield pair(f"alone-{kind}-{percentile}", f"{label}, {percentile}", "ms", added)

    def alone(self, kind: str, target: Target) -> dict[str, dict[str, float]]:
        request = target.request(kind, front=wire.CHAT, behind=wire.CHAT, body_bytes=1000, stream=kind != "json")
        count = self.plan.alone_requests // (1 if kind == "json" else 4)
        self.load("alone", target, request, requests=count, warm_requests=20)
        return self.answer()

    def load(self, kind: str, target: Target, request: bytes, **options: float) -> None:
        job = {"kind": kind, "host": target.host, "port": target.port, "request": base64.b64encode(request).decode()}
        self.generator.say(json.dumps({**job, **options}))

    def answer(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.generator.line())
        return said


def pair(name: str, label: str, unit: str, rounds: Mapping[str, list[float]]) -> Row:
    return Row(name=name, label=label, unit=unit, gateway=figure(rounds["gateway"]), proxy=figure(rounds["proxy"]))
