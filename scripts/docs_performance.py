"""Render docs/performance.md and docs/performance.svg from docs/performance.json, which `scripts/bench --json
docs/performance.json` wrote.

Run it after the bench; a test compares the three.
"""

import sys
from pathlib import Path

import msgspec
from benchmark import goals
from benchmark.picture import picture
from benchmark.results import Run, table

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "docs/performance.json"
TARGET = ROOT / "docs/performance.md"
PICTURE = ROOT / "docs/performance.svg"
PAGE = """\
# Performance

<!-- Written by scripts/docs_performance.py from performance.json. Run `scripts/bench --json docs/performance.json`, then it. -->

What the gateway costs, measured beside a bare proxy in the same run: asyncio protocols, uvloop and httptools that pass
bytes through and look at no JSON, no key and no account. The bare proxy is the limit of this language and machine; the
ratio says how far from it the gateway is.

## Goals

Nothing is switched off for them: keys, routing, affinity, limits, breaker, the request's record and its log line are all
in what is measured. Costs are goals in multiples of the bare proxy, so that they are the same on every machine.

{goals}

## What grows with what

![Cost per request as logged requests, targets, accounts, plugins, streams and bodies grow](performance.svg)

The cost of a request should not depend on how much is stored, configured or installed; it is linear in the bytes of the
body. The figures behind the curves are in the table below.

## Figures

{rows}

CPU is user and system time of the gateway's one process, telemetry and accounting on, as `omniroute serve` runs by
default. Each figure is the median of {rounds} rounds of {slice_s:g} s, gateway and bare proxy in turns; the curves take three
rounds, half as long. Beside what is translated stands the bare proxy relaying the same amount. "Added" is the time of a
request through the gateway minus the same request straight to the upstream. Streams "as fast as they come" hold 200 events
each; slow ones are streams of 20 events a second side by side, where every event is a wake-up of its own. Bodies are long
texts, except those "of an agent": a dozen tools with nested schemas and a conversation of tool calls over code, which is
dense JSON with ten brackets and a hundred quotes in every kB. The upstream and the load generator run on other cores than
what is measured. One machine and one run: compare the ratios rather than the figures, and measure on yours.

| | |
|---|---|
{facts}

## Measure it yourself

```sh
uv run scripts/bench --quick          # two minutes
uv run scripts/bench --json bench-today.json     # twelve minutes
uv run scripts/bench --check bench-today.json    # exit code 1 when a cost has grown by more than a quarter
uv run scripts/bench --only memory --setting server.transport=aiohttp
uv run scripts/bench --only growth-accounts
uv run scripts/bench --profile --only relay-1k   # where the time goes
uv run scripts/bench --gate           # whether a cost has grown, by instructions; needs valgrind
uv run scripts/soak --seconds 3600    # whether anything grows under a steady load with faults, or a request is not accounted for
```

Every change has to pass `scripts/bench --gate`. It counts the instructions that gateway and bare proxy take in user space for
each request or event, with valgrind's callgrind, and compares their ratio with `scripts/benchmark/baseline.json`; one that is
more than a quarter above it fails. Such counts repeat: three runs of one tree, on two cores with other work for three, differed
by less than 2 % in seven of the ten ratios and by at most 6 % in the others, where the ratio of CPU times had been seen between
10 and 18; another build of the same Python moved them by up to 15 %. But instructions are no time: nothing the kernel does for
a process is in them and no waiting for memory, and since the bare proxy leaves nearly all of its work to the kernel, their
ratios are several times those of the figures above. A change that is meant to cost more, or that costs less from now on, brings
a new baseline: `uv run scripts/bench --baseline`.
"""
HEAD = ["| measure | gateway | bare proxy | ratio |", "|---|--:|--:|--:|"]
GOALS_HEAD = ["| figure | target | aim | measured | |", "|---|--:|--:|--:|---|"]


def render(run: Run) -> str:
    facts = {
        "command": f"`{run.command}`",
        "date": run.date,
        "commit": run.commit,
        "machine": f"{run.machine.cpu}, {run.machine.cores} cores, {run.machine.memory_gb} GB, {run.machine.system}",
        "Python": run.machine.python,
        "versions": ", ".join(f"{name} {version}" for name, version in run.versions.items()),
    }
    return PAGE.format(
        goals="\n".join([*GOALS_HEAD, *(f"| {' | '.join(cells)} |" for cells in goals.table(run))]),
        rows="\n".join([*HEAD, *(f"| {' | '.join(cells)} |" for cells in table(run.rows))]),
        rounds=run.rounds,
        slice_s=run.slice_s,
        facts="\n".join(f"| {name} | {value} |" for name, value in facts.items()),
    )


def main() -> int:
    run = msgspec.json.decode(SOURCE.read_bytes(), type=Run)
    for path, text in ((TARGET, render(run)), (PICTURE, picture(run.rows))):
        path.write_text(text, encoding="utf-8", newline="\n")
        print(f"wrote {path.relative_to(ROOT)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
