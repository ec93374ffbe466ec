"""What the gateway should cost, and whether a run's figures say that it does.

Costs are compared with the bare proxy's in the same run, so that a goal is the same on every machine; times and memory are
what they are.
"""

from collections.abc import Iterator
from typing import Literal

import msgspec

from benchmark.results import Run, shown

Verdict = Literal["aim met", "met", "missed", "not measured"]


class Goal(msgspec.Struct, frozen=True):
    """At most so much, and better still no more than the aim."""

    row: str
    """Name of the figure; of one that is measured at another size in a short run, the size is part of it."""
    what: str
    target: float
    aim: float | None = None
    unit: str | None = None
    """None: times what stands beside it, the bare proxy's figure in the same run."""
    beside: str = "bare"


GOALS = (
    Goal("relay-1k", "relayed, 1 kB: CPU per request", 8, 6),
    Goal("relay-100k", "relayed, 100 kB: CPU per request", 7, 5),
    Goal("relay-burst", "relayed stream of 200 events in bursts: CPU per event", 3, 2),
    Goal("slow-streams", "200 slow streams: CPU per event", 2.6, 2),
    Goal("slow-delay-p50", "200 slow streams: added delay, p50", 0.4, unit="ms"),
    Goal("slow-delay-p99", "200 slow streams: added delay, p99", 5, unit="ms"),
    Goal("translate-1k", "translated Anthropic to OpenAI, 1 kB: CPU per request", 10, 7),
    Goal("translate-100k", "translated Anthropic to OpenAI, 100 kB: CPU per request", 14, 11),
    Goal("translate-burst", "translated stream: CPU per event", 4, 3),
    Goal("alone-json-p50", "added latency, one connection, p50", 0.3, 0.2, unit="ms"),
    Goal("alone-json-p99", "added latency, one connection, p99", 1, 0.5, unit="ms"),
    Goal("growth-logged-1000000", "CPU per request with 1,000,000 logged requests", 1.1, 1.0, beside="an empty store"),
    Goal("start", "start to first answer, standard set, empty data directory", 1000, 600, unit="ms"),
    Goal("rss-idle", "RSS, idle", 80, 65, unit="MB"),
    Goal("rss-streams-500", "RSS with 500 open streams", 180, unit="MB"),
    Goal("rss-bodies-50", "RSS at most, 50 bodies of 10 MB at once", 1200, 600, unit="MB"),
    Goal("rss-client-10000", "RSS per idle keep-alive client, 1,000 to 10,000", 30, 15, unit="kB"),
)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    goal: Goal
    measured: float | None
    verdict: Verdict


def results(run: Run) -> Iterator[Result]:
    rows = {row.name: row for row in run.rows}
    for goal in GOALS:
        row = rows.get(goal.row)
        measured = None if row is None else row.ratio if goal.unit is None else row.gateway.median
        yield Result(goal=goal, measured=measured, verdict=verdict(goal, measured))


def verdict(goal: Goal, measured: float | None) -> Verdict:
    if measured is None:
        return "not measured"
    measured = float(shown(measured).replace(",", ""))  # what people read is what is judged
    if goal.aim is not None and measured <= goal.aim:
        return "aim met"
    return "met" if measured <= goal.target else "missed"


def table(run: Run) -> list[tuple[str, str, str, str, str]]:
    """(figure, target, aim, measured, verdict), as text."""
    return [
        (each.goal.what, _limit(each.goal, each.goal.target), _limit(each.goal, each.goal.aim),
         "–" if each.measured is None else _valued(each.goal, shown(each.measured)), each.verdict)
        for each in results(run)
    ]  # fmt: skip


def _limit(goal: Goal, value: float | None) -> str:
    return "–" if value is None else _valued(goal, f"≤ {value:,g}")


def _valued(goal: Goal, value: str) -> str:
    return f"{value} × {goal.beside}" if goal.unit is None else f"{value} {goal.unit}"
