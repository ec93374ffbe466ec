"""What a run leaves behind: figures, the machine they are from, and the table people read."""

import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from benchmark.process import LINUX

COSTS = ("µs CPU", "instructions", "MB", "kB")
VERSIONS = ("omniroute-kernel", "aiohttp", "httptools", "litestar", "msgspec", "uvicorn", "uvloop")


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """The median of several rounds, and the rounds."""

    median: float
    rounds: tuple[float, ...]


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing measured, of the gateway and where it makes sense of the bare proxy."""

    name: str
    label: str
    unit: str
    gateway: Figure
    proxy: Figure | None = None
    curve: str | None = None
    """Of the points that show together what it grows with."""
    at: int | None = None
    """Where on the curve."""

    @property
    def ratio(self) -> float | None:
        return self.gateway.median / self.proxy.median if self.proxy and self.proxy.median else None


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    cpu: str
    cores: int
    memory_gb: int
    system: str
    python: str


class Run(msgspec.Struct, frozen=True, kw_only=True):
    command: str
    date: str
    commit: str
    """Short hash, with `+` when files differed from it."""
    rounds: int
    slice_s: float
    """How long a round was; 0 where it was so many requests."""
    machine: Machine
    versions: dict[str, str]
    rows: tuple[Row, ...]


def figure(rounds: Sequence[float]) -> Figure:
    return Figure(median=round(statistics.median(rounds), 3), rounds=tuple(round(value, 3) for value in rounds))


def this_machine() -> Machine:
    return Machine(cpu=cpu_name(), cores=os.cpu_count() or 1, memory_gb=memory_gb(), system=f"{platform.system()} {platform.machine()}",
                   python=interpreter())  # fmt: skip


def interpreter() -> str:
    """Which one, and whose: the same version is a tenth faster or slower as it was built."""
    said = f"{platform.python_implementation()} {platform.python_version()}"
    if sys.base_prefix == "/usr" and LINUX:
        said += f" of {platform.freedesktop_os_release()['PRETTY_NAME']}"
    return said


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def memory_gb() -> int:
    try:
        first = Path("/proc/meminfo").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return round(int(first) / 1e6)


def versions() -> dict[str, str]:
    return {name: version(name) for name in VERSIONS}


def commit(root: Path) -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def shown(value: float) -> str:
    """Three significant digits, thousands with a comma."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(rows: Sequence[Row]) -> list[tuple[str, str, str, str]]:
    """(measure, gateway, bare proxy, ratio), as text."""
    return [
        (
            f"{row.label}, {row.unit}",
            shown(row.gateway.median),
            shown(row.proxy.median) if row.proxy else "–",
            f"{row.ratio:.1f}" if row.ratio else "–",
        )
        for row in rows
    ]


def worse(run: Run, baseline: Run, *, allowed: float = 1.25) -> dict[str, str]:
    """A line for each cost, by name, whose ratio to the bare proxy has grown beyond `allowed` times the baseline's.

    Ratios only, for machines differ; of CPU, instructions and memory only, for times of single requests depend on who else
    is busy.
    """
    before = {row.name: row.ratio for row in baseline.rows}
    return {
        row.name: f"{row.label}: {row.ratio:.2f} times the bare proxy, {was:.2f} in the baseline"
        for row in run.rows
        if row.unit.startswith(COSTS)
        and row.ratio is not None
        and (was := before.get(row.name)) is not None
        and row.ratio > was * allowed
    }


def print_table(run: Run) -> None:
    print_lines([("", "gateway", "bare proxy", "ratio"), *table(run.rows)])


def print_compared(run: Run, baseline: Run) -> None:
    before = {row.name: row.ratio for row in baseline.rows}
    print_lines(
        [
            ("", "gateway", "bare proxy", "ratio", "baseline"),
            *(
                (*line, f"{was:.1f}" if (was := before.get(row.name)) else "–")
                for row, line in zip(run.rows, table(run.rows), strict=True)
            ),
        ]
    )


def print_lines(lines: Sequence[Sequence[str]]) -> None:
    """In columns, the first of them to the left."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *others in lines:
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        print(first.ljust(widths[0]), *cells, sep="  ")
