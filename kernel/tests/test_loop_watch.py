"""The loop's lag, and the stack it stands in when it stands still."""

import asyncio
import threading
from queue import Queue

import pytest

from omniroute.loop_watch import BOUNDS_S, Lag, LoopWatch


async def test_a_loop_that_stands_still_is_reported_once_with_the_place():
    reports: Queue[tuple[float, list[str]]] = Queue()
    reported = threading.Event()

    def report(late_s: float, stack: list[str]) -> None:
        reports.put((late_s, stack))
        reported.set()

    def hold_up_the_loop() -> None:
        assert reported.wait(20)

    with LoopWatch(0.05, report=report) as watch:
        await asyncio.sleep(0)
        hold_up_the_loop()
        while not watch.lag.stalls:
            await asyncio.sleep(0)
    late_s, stack = reports.get_nowait()
    assert late_s > 0.05
    assert any(line.startswith(f"{__name__}:") and line.endswith(" hold_up_the_loop") for line in stack)
    assert reports.empty()
    assert (watch.lag.stalls, watch.lag.longest_s > 0.05) == (1, True)


async def test_without_a_limit_nothing_runs():
    before = threading.active_count()
    with LoopWatch(0) as watch:
        assert threading.active_count() == before
    assert watch.lag == Lag(p99_s=BOUNDS_S[0])


LAGS = [
    pytest.param([], Lag(p99_s=0.001), id="no beat yet"),
    pytest.param([0.0005] * 99 + [0.3], Lag(beats=100, longest_s=0.3, p99_s=0.001, stalls=1), id="one in a hundred"),
    pytest.param([0.0005] * 98 + [0.004, 0.01], Lag(beats=100, longest_s=0.01, p99_s=0.005), id="the bound above"),
    pytest.param([-0.001, 0.0], Lag(beats=2, longest_s=0.0, p99_s=0.001), id="a timer that came too early"),
    pytest.param([5.0], Lag(beats=1, longest_s=5.0, p99_s=None, stalls=1), id="beyond every bound"),
]


@pytest.mark.parametrize(("lags", "expected"), LAGS)
def test_the_summary(lags, expected):
    watch = LoopWatch(0.25)
    for lag_s in lags:
        watch.note(lag_s)
    assert watch.lag == expected
