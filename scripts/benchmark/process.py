"""Processes of a run: serving a protocol on a loopback port, starting others on cores of their own, reading what they use."""

import asyncio
import contextlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

try:
    import uvloop
except ImportError:  # Windows
    new_event_loop = asyncio.new_event_loop
else:
    new_event_loop = uvloop.new_event_loop

SCRIPTS = Path(__file__).resolve().parent.parent
LINUX = platform.system() == "Linux"
STOP_S = 20.0


def serve(protocol: Callable[[], asyncio.Protocol]) -> None:
    """Listen on a free loopback port, print the base URL, run until standard input closes."""
    raise_file_limit()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(protocol))


def raise_file_limit() -> None:
    """To what the system lets us have: every client is an open file."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


async def _serve(protocol: Callable[[], asyncio.Protocol]) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


class Process:
    """A child whose standard input stays open for as long as it should run, and whose first line says that it is ready."""

    def __init__(
        self, command: Sequence[str], *, cores: set[int] | None, environment: Mapping[str, str], log: Path | None
    ) -> None:
        self.log = log
        self.started_s = time.perf_counter()
        with pinned(cores), log.open("ab") if log else nullcontext() as errors:
            self.child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=dict(environment),
                cwd=SCRIPTS,
            )

    def line(self) -> str:
        assert self.child.stdout
        line = self.child.stdout.readline().strip()
        if not line:
            log = self.log.read_text(encoding="utf-8", errors="replace")[-2000:] if self.log else ""
            raise SystemExit(f"{self.child.args!r} ended with exit code {self.child.wait()}\n{log}")
        return line

    def say(self, line: str) -> None:
        assert self.child.stdin
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()

    @property
    def cpu_s(self) -> float:
        """User and system time of all its threads so far; in steps of 10 ms where the system does not say it finer."""
        if LINUX and (taken_ns := self._scheduled_ns()):
            return taken_ns / 1e9
        if LINUX:
            fields = Path(f"/proc/{self.child.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        if os.name == "nt":
            raise SystemExit("CPU time of another process is read on Linux and macOS only")
        shown = self._ps("time").replace("-", ":").split(":")
        return sum(float(part) * 60.0**place for place, part in enumerate(reversed(shown)))

    def _scheduled_ns(self) -> int:
        """Of the threads that live; those of a gateway do as long as it. 0 where the kernel does not count."""
        taken_ns = 0
        for thread in Path(f"/proc/{self.child.pid}/task").iterdir():
            with contextlib.suppress(OSError):  # ended meanwhile, or no such file here
                taken_ns += int((thread / "schedstat").read_text(encoding="ascii").split()[0])
        return taken_ns

    @property
    def rss_mb(self) -> float:
        if LINUX:
            pages = int(Path(f"/proc/{self.child.pid}/statm").read_text(encoding="ascii").split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        return int(self._ps("rss")) * 1024 / 1e6

    def forget_peak(self) -> None:
        Path(f"/proc/{self.child.pid}/clear_refs").write_text("5", encoding="ascii")

    @property
    def peak_mb(self) -> float:
        """The highest RSS since `forget_peak`; on Linux only."""
        lines = Path(f"/proc/{self.child.pid}/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e6

    def _ps(self, column: str) -> str:
        command = ["ps", "-o", f"{column}=", "-p", str(self.child.pid)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def stop(self) -> None:
        assert self.child.stdin
        assert self.child.stdout
        self.child.stdin.close()
        self.child.terminate()
        try:
            self.child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()


@contextmanager
def pinned(cores: set[int] | None) -> Iterator[None]:
    """Children started here inherit these cores."""
    if cores is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def share_cores() -> tuple[set[int] | None, set[int] | None]:
    """(one core for what is measured, the others for upstream and load); (None, None) where there is no choice."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    cores = sorted(os.sched_getaffinity(0))
    return ({cores[0]}, set(cores[1:])) if len(cores) > 1 else (None, None)


@contextmanager
def running(
    command: Sequence[str],
    *,
    cores: set[int] | None = None,
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> Iterator[Process]:
    """`log` takes its standard error, which else is ours."""
    environment = os.environ if environment is None else environment
    process = Process(command, cores=cores, environment=environment, log=log)
    try:
        yield process
    finally:
        process.stop()
