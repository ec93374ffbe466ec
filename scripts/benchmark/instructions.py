"""User-space instructions per request or event, of the gateway and of the bare proxy, as valgrind's callgrind counts them.

They are the same whatever else the machine does, which makes them fit for a gate where CPU time is not. They are no time:
nothing that the kernel does for a process is in them, no waiting for memory, and a division counts as much as an addition.
The bare proxy spends nearly all its time in the kernel, so ratios of instructions are much larger than those of CPU time.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.measure import Bench, Slice
from benchmark.process import Process
from benchmark.results import Row, figure
from benchmark.targets import Target

PROGRAMS = ("valgrind", "vgdb")
MISSING = (
    "instructions cannot be counted: {names} not found. It comes with valgrind, which runs on Linux: "
    "`apt-get install valgrind` on Debian and Ubuntu, `dnf install valgrind` on Fedora."
)
CONNECTIONS = 4
WARM_REQUESTS = 8
FEWEST, MOST = 4, 128
IDLE = 3_000_000
"""Instructions in half a second of a process that nobody asks anything; its clocks tick."""
PATIENCE_S = 120
WINDOW = 80_000_000
"""Instructions in a window, if that is between the fewest and the most requests: a second or two."""
SETTINGS = {
    "server.stall_s": "600", "timeouts.connect_s": "600", "timeouts.failover_connect_s": "600",
    "models.refresh_s": "0", "quota.interval_s": "0",
}  # fmt: skip
"""Of a gateway that is fifty times slower: large requests hold its loop for seconds, which is no fault here. And it asks nobody
for models and quota, which it does by the clock: whatever requests are under way then would seem to cost more."""
COUNTED = re.compile(r"^events-\d+: (\d+)$", re.MULTILINE)
"""In callgrind's status, one for each thread: its instructions so far."""
TIMEOUT_S = 60


def missing() -> str | None:
    """Why nothing can be counted here and what to do, or None."""
    names = [name for name in PROGRAMS if shutil.which(name) is None]
    return MISSING.format(names=" and ".join(names)) if names else None


def callgrind(folder: Path) -> list[str]:
    """What to start a process under. It is not counted until it is `counted`, so that it starts in seconds."""
    files = [f"--log-file={folder}/callgrind-%p.log", f"--callgrind-out-file={os.devnull}"]
    return ["env", "PYTHONHASHSEED=0", "valgrind", "--tool=callgrind", "--instr-atstart=no", *files]


@contextmanager
def counted(*targets: Target) -> Iterator[None]:
    """Count in here; they start and stop ten times faster when nothing is counted."""
    processes = [target.process for target in targets if target.process]
    for process in processes:
        tell(process, "instrumentation on")
    yield
    for process in processes:
        tell(process, "instrumentation off")


def rows(bench: Bench, item: Slice) -> Iterator[Row]:
    """Instructions per unit in as many windows of requests as the plan has rounds, once there is nothing left of what the first
    requests set off: a thread that makes a TLS context takes as much as a hundred of them, a late import even more."""
    both = ((bench.gateway, item), (bench.proxy, item.relayed))
    taken = {target.name: figure(windows(bench, target, asked)) for target, asked in both}
    yield Row(name=item.name, label=item.label, unit=f"instructions per {item.per}", gateway=taken["gateway"],
              proxy=taken["proxy"])  # fmt: skip


def windows(bench: Bench, target: Target, item: Slice) -> list[float]:
    assert target.process
    item.check(target)
    bench.load("shared", target, item.request(target), connections=CONNECTIONS)
    count = requests(window(bench, target.process, WARM_REQUESTS))
    settle(target.process)
    taken = [window(bench, target.process, count) for _ in range(bench.plan.rounds)]
    bench.generator.say("0")
    return [each / item.units for each in taken]


def settle(process: Process) -> None:
    """Wait until it does nothing more by itself.

    Raises:
        SystemExit: It never rests.
    """
    for _ in range(PATIENCE_S * 2):
        before = instructions(process)
        time.sleep(0.5)
        if instructions(process) - before < IDLE:
            return
    raise SystemExit(f"the process is busy with work of its own, and still was after {PATIENCE_S} s")


def window(bench: Bench, process: Process, count: int) -> float:
    """Instructions per request of so many."""
    before = instructions(process)
    bench.generator.say(str(count))
    bench.answer()
    return (instructions(process) - before) / count


def requests(each: float) -> int:
    """In one window when each takes so many instructions: no more than a few seconds of work, under callgrind."""
    return max(FEWEST, min(int(WINDOW / each), MOST))


# --- callgrind --------------------------------------------------------------------------------------------------------


def instructions(process: Process) -> int:
    """Of all its threads, since it is counted."""
    return total(tell(process, "status internal"))


def total(status: str) -> int:
    """The sum over the threads that callgrind's status lists.

    Raises:
        SystemExit: It lists none: nothing is counted.
    """
    counts = COUNTED.findall(status)
    if not counts:
        raise SystemExit(f"callgrind counts nothing; its status is:\n{status}")
    return sum(map(int, counts))


def tell(process: Process, command: str) -> str:
    """What callgrind answers to a command for that process."""
    asked = ["vgdb", f"--pid={process.child.pid}", f"--cmd-time-out={TIMEOUT_S}", "--max-invoke-ms=10", command]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=TIMEOUT_S * 2, check=False)
    if done.returncode:
        raise SystemExit(f"{asked} ended with exit code {done.returncode}\n{done.stderr}")
    return done.stdout
