"""A clock that stands still until a test moves it."""

import asyncio
import heapq
import itertools

__all__ = ["FakeClock"]


class FakeClock:
    """Monotonic and wall time, and sleeps that end when the test says so.

    Hand its bound methods to what would take `time.monotonic`, `time.time` and `asyncio.sleep`.
    """

    def __init__(self, *, monotonic_s: float = 1000.0, wall_s: float = 1_800_000_000.0) -> None:
        self._monotonic_s = monotonic_s
        self._wall_s = wall_s
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._fell_asleep = asyncio.Event()

    def monotonic(self) -> float:
        """Seconds since some past moment; never goes back."""
        return self._monotonic_s

    def wall(self) -> float:
        """Unix time in seconds."""
        return self._wall_s

    def advance(self, seconds: float) -> None:
        """Let time pass: both clocks move, and sleeps that are over end in their order."""
        if seconds < 0:
            raise ValueError("time does not go back; `jump_wall` sets the wall clock")
        self._wall_s += seconds
        self._monotonic_s += seconds
        while self._sleepers and self._sleepers[0][0] <= self._monotonic_s:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)

    def jump_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back, as a user or NTP does; the monotonic clock does not notice."""
        self._wall_s += seconds

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic_s + seconds, next(self._order), future))
        self._fell_asleep.set()
        await future

    async def sleepers(self, count: int, *, timeout_s: float = 5.0) -> None:
        """Wait until at least so many sleeps are going on."""
        try:
            async with asyncio.timeout(timeout_s):
                while sum(not future.done() for _, _, future in self._sleepers) < count:
                    self._fell_asleep.clear()
                    await self._fell_asleep.wait()
        except TimeoutError:
            raise AssertionError(f"FakeClock: waited {timeout_s:g} s for {count} sleeps") from None
