"""What a process holds, read from outside every so often, and whether it holds ever more."""

import os
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

HOUR_S = 3600.0
HAS_PROC = Path("/proc/self/statm").exists()


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    at_s: float
    """Since the load began."""
    rss_mb: float
    fds: int
    sockets: int
    """Among the fds."""
    threads: int
    tasks: int
    """Of the event loop, as the gateway says."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a run may show and still be sound."""

    slope_mb_per_h: float = 1.0
    """Of the RSS, in a run that was warm for an hour or longer; the slope of a shorter one says nothing."""
    growth_mb: float = 20.0
    """Of the RSS in a shorter run, from its first third to its last."""
    left_over: int = 8
    """Fds, and tasks, that may be more at the end than before the load, connections to the upstream aside."""
    good_share: float = 0.95
    """Of the requests whose client stayed."""
    stalls: int | None = 0
    """Of the event loop, beyond `server.stall_s`; None for a machine that has other things to do."""


def sample(pid: int, *, at_s: float, tasks: int) -> Sample:
    home = Path(f"/proc/{pid}")
    links = [_target(entry) for entry in (home / "fd").iterdir()]
    return Sample(
        at_s=at_s,
        rss_mb=int((home / "statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6,
        fds=len(links),
        sockets=sum(link.startswith("socket:") for link in links),
        threads=len(list((home / "task").iterdir())),
        tasks=tasks,
    )


def _target(entry: Path) -> str:
    try:
        return os.readlink(entry)
    except OSError:
        return ""  # closed meanwhile


def slope_mb_per_h(samples: Sequence[Sample]) -> float:
    """Of the line through the samples' RSS."""
    if len(samples) < 2:
        return 0.0
    times_h = [each.at_s / HOUR_S for each in samples]
    return statistics.linear_regression(times_h, [each.rss_mb for each in samples]).slope


def growth(samples: Sequence[Sample], of: Callable[[Sample], float]) -> float:
    """From the median of the first third to that of the last."""
    third = max(len(samples) // 3, 1)
    return statistics.median(map(of, samples[-third:])) - statistics.median(map(of, samples[:third]))


def drifting(warm: Sequence[Sample], limits: Limits) -> list[str]:
    """Problems of a run's warm samples: memory that grows, or things held that become more while the load stays the same."""
    if len(warm) < 3:
        return [f"{len(warm)} samples are too few to judge by"]
    problems = []
    span_s, slope, grown_mb = warm[-1].at_s - warm[0].at_s, slope_mb_per_h(warm), growth(warm, lambda each: each.rss_mb)
    if span_s >= HOUR_S and slope > limits.slope_mb_per_h:
        problems.append(f"the RSS grows by {slope:.1f} MB/h, at most {limits.slope_mb_per_h:g} are allowed")
    elif span_s < HOUR_S and grown_mb > limits.growth_mb:
        problems.append(f"the RSS has grown by {grown_mb:.1f} MB, at most {limits.growth_mb:g} are allowed")
    for what in ("fds", "sockets", "tasks", "threads"):
        first = statistics.median(getattr(each, what) for each in warm[: max(len(warm) // 3, 1)])
        more = growth(warm, lambda each, what=what: getattr(each, what))  # type: ignore[misc]
        if more > first * 0.25 + limits.left_over:
            problems.append(f"{what} went from {first:g} to {first + more:g} under a steady load")
    return problems


def left_over(before: Sample, after: Sample, limits: Limits, *, upstream_connections: int) -> list[str]:
    """Problems of a gateway whose load is over."""
    allowed = {"fds": upstream_connections, "sockets": upstream_connections, "tasks": 0, "threads": 0}
    return [
        f"{what}: {getattr(before, what)} before the load, {getattr(after, what)} when it was over"
        for what, kept in allowed.items()
        if getattr(after, what) > getattr(before, what) + kept + limits.left_over
    ]
