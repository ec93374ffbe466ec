"""Render docs/performance.md from docs/performance.json, which `scripts/bench --json docs/performance.json` wrote.

Run it after the bench; a test compares the two.
"""

import sys
from pathlib import Path

import msgspec
from benchmark.results import Run, table

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "docs/performance.json"
TARGET = ROOT / "docs/performance.md"
PAGE = """\
# Performance

<!-- Written by scripts/docs_performance.py from performance.json. Run `scripts/bench --json docs/performance.json`, then it. -->

What the gateway costs, measured beside a bare proxy in the same run: asyncio protocols, uvloop and httptools that pass
bytes through and look at no JSON, no key and no account. The bare proxy is the limit of this language and machine; the
ratio says how far from it the gateway is.

{rows}

CPU is user and system time of the gateway's one process, telemetry and accounting on, as `omniroute serve` runs by
default. Each figure is the median of {rounds} rounds of {slice_s:g} s, gateway and bare proxy in turns. "Added" is the
time of a request through the gateway minus the same request straight to the upstream. Streams "as fast as they come" hold
200 events each; slow ones are 200 streams of 20 events a second side by side, where every event is a wake-up of its own.
One figure stands beside something else than the bare proxy, and says so: that of a gateway with a full store. The upstream and the load generator run on other cores than what is measured. One machine and one run: compare the ratios
rather than the figures, and measure on yours.

| | |
|---|---|
{facts}

## Measure it yourself

```sh
uv run scripts/bench --quick          # a minute and a half
uv run scripts/bench --json bench-today.json
uv run scripts/bench --check bench-today.json    # exit code 1 when a cost has grown by more than a quarter
uv run scripts/bench --only memory --setting server.transport=aiohttp
uv run scripts/bench --profile --only relay-1k   # where the time goes
```
"""


def render(run: Run) -> str:
    lines = ["| measure | gateway | bare proxy | ratio |", "|---|--:|--:|--:|"]
    lines += [f"| {' | '.join(cells)} |" for cells in table(run.rows)]
    facts = {
        "command": f"`{run.command}`",
        "date": run.date,
        "commit": run.commit,
        "machine": f"{run.machine.cpu}, {run.machine.cores} cores, {run.machine.memory_gb} GB, {run.machine.system}",
        "Python": run.machine.python,
        "versions": ", ".join(f"{name} {version}" for name, version in run.versions.items()),
    }
    return PAGE.format(
        rows="\n".join(lines),
        rounds=run.rounds,
        slice_s=run.slice_s,
        facts="\n".join(f"| {name} | {value} |" for name, value in facts.items()),
    )


def main() -> int:
    TARGET.write_text(render(msgspec.json.decode(SOURCE.read_bytes(), type=Run)), encoding="utf-8", newline="\n")
    print(f"wrote {TARGET.relative_to(ROOT)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
