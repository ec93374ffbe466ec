"""Counts of targets, shared with other gateways through `Fast`: what each has counted is told, what all have is taken over.

Once a second, off the request's path: strategies look at `standing`, in memory, which is then behind the others by two ticks
at most. Attempts sent and failed are two counters for each target. Attempts under way are a counter for each slot of wall-clock
time, told for this slot and the next one and read in this one: who is gone tells nothing for the slot after, and so what it had
under way lapses with two slots, at the time the gateways' clocks agree on.

`Fast` may be slow, fail or forget everything. Then this process's own counts go on alone, and what the others were last known to
have under way lapses here too.
"""

import asyncio
import time
from collections.abc import Callable, Iterable

import msgspec

from omniroute.contracts import Fast, Target
from omniroute.logs import get_logger
from omniroute.standing import Counted, Standings

__all__ = ["Shared", "Sharing"]

PREFIX = "omniroute:1:standing"
"""Of every key, with the version of what is behind it."""
SLOT_S = 10.0
SLOT_LIFE = 4
"""Slots that a slot's counter is kept for: from the first that writes, perhaps one whose clock is ahead, to the last that reads."""
TTL_S = 86_400.0
"""Of counters that only rise. When one lapses, what was taken over stays."""
DEADLINE_S = 1.0
"""Of one exchange. What it did not come to is done the next time."""
LOOKS = 256
"""At targets in one go."""
AT_A_TIME = 64
"""Targets that are told together."""

log = get_logger(__name__)


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """How sharing goes."""

    on: bool = False
    """There is a `Fast` that others see too."""
    failures: int = 0
    """Times in a row that it could not be asked."""


class Sharing:
    def __init__(
        self,
        fast: Fast,
        standings: Standings,
        *,
        wall: Callable[[], float] = time.time,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """`wall` is the Unix time."""
        self._fast = fast
        self._standings = standings
        self._wall = wall
        self._told: dict[Target, _Told] = {}
        self._news: int | None = None
        """Where the counter of everybody's changes stood, so that nobody has to look for them."""
        self._changes = 0
        """Those that it does not have yet."""
        self._slot = -1
        self._heard_s = wall()
        self._deadline_s = deadline_s
        self._lock = asyncio.Lock()
        self.is_on: bool = getattr(fast, "is_shared", True)
        self.failures = 0

    @property
    def state(self) -> Shared:
        return Shared(on=self.is_on, failures=self.failures)

    async def sync(self) -> None:
        """Tell what was counted since the last time, and take over what others have. A failure is logged once and shown."""
        if not self.is_on:
            return
        async with self._lock:
            try:
                async with asyncio.timeout(self._deadline_s):
                    await self._exchange()
            except Exception as error:  # whatever a plugin's `Fast` raises
                self._failed(error)
            else:
                self._worked()

    async def _exchange(self) -> None:
        now_s = self._wall()
        slot = int(now_s // SLOT_S)
        targets = dict.fromkeys(self._standings.targets())
        self._told = {target: told for target, told in self._told.items() if target in targets}
        due = await self._due(targets, slot)
        self._changes += len(due)
        await self._share(due, slot)
        changes, expected = self._changes, (self._news or 0) + self._changes
        news = await self._fast.add(f"{PREFIX}:news", changes, ttl_s=TTL_S)
        self._changes -= changes
        if news != expected or self.failures:  # after a failure what others have under way may have lapsed here
            await self._share(targets.keys() - due, slot)
        self._news, self._slot, self._heard_s = news, slot, now_s

    async def _due(self, targets: Iterable[Target], slot: int) -> set[Target]:
        """Those of which something is to be told, or what others had under way may have lapsed."""
        due = set()
        for number, target in enumerate(targets, 1):
            if number % LOOKS == 0:
                await asyncio.sleep(0)  # there may be thousands, and requests are waiting
            count = self._standings.count(target)
            if count is not None and self._is_due(target, count, slot):
                due.add(target)
        return due

    def _is_due(self, target: Target, count: Counted, slot: int) -> bool:
        told = self._told.get(target)
        return told is None or told.differs(count, slot) or (slot != self._slot and count.in_flight_elsewhere > 0)

    async def _share(self, targets: Iterable[Target], slot: int) -> None:
        waiting = list(targets)
        for start in range(0, len(waiting), AT_A_TIME):
            async with asyncio.TaskGroup() as group:
                for target in waiting[start : start + AT_A_TIME]:
                    group.create_task(self._share_one(target, slot))

    async def _share_one(self, target: Target, slot: int) -> None:
        count = self._standings.count(target)
        if count is None:
            return  # forgotten meanwhile
        told = self._told.get(target)
        if told is None:
            told = self._told[target] = _Told(self._fast, f"{target.provider}/{target.account}/{target.model}")
        hear = self._standings.hear  # each at once: what comes after may fail
        hear(target, requests=await told.requests.share(count.requests, known=count.requests_known))
        hear(target, failures=await told.failures.share(count.failures, known=count.failures_known))
        hear(target, in_flight=await told.in_flight.share(count.in_flight, slot))

    def _failed(self, error: BaseException) -> None:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        self.failures += 1
        if self.failures == 1:
            reason = f"{type(error).__name__}: {error}"
            log.error("counts are not shared with other gateways; this one's go on alone", reason=reason)
        if self._wall() - self._heard_s >= 2 * SLOT_S:
            for target in self._standings.targets():
                self._standings.hear(target, in_flight=0)

    def _worked(self) -> None:
        if self.failures:
            log.info("counts are shared with other gateways again", failures=self.failures)
            self.failures = 0


class _Told:
    """A target's counters in `Fast`, and what was told them."""

    __slots__ = ("failures", "in_flight", "requests")

    def __init__(self, fast: Fast, name: str) -> None:
        self.requests = _Rising(fast, f"{PREFIX}:requests:{name}")
        self.failures = _Rising(fast, f"{PREFIX}:failures:{name}")
        self.in_flight = _Level(fast, f"{PREFIX}:in_flight", name)

    def differs(self, count: Counted, slot: int) -> bool:
        return (
            self.requests.told != count.requests
            or self.failures.told != count.failures
            or self.in_flight.differs(count.in_flight, slot)
        )


class _Rising:
    """A counter that only rises, until it lapses and begins anew."""

    __slots__ = ("_fast", "_key", "_total", "told")

    def __init__(self, fast: Fast, key: str) -> None:
        self._fast = fast
        self._key = key
        self._total: int | None = None
        """What it last stood at."""
        self.told = 0

    async def share(self, own: int, *, known: int) -> int:
        """Make `own` of the total ours. How many more others have counted than was known.

        `known` is all that is known at the first look, when nobody can tell which part of the total this gateway has told
        before it was restarted: then the total is good for what is beyond that.
        """
        more = max(0, own - self.told)  # less where the target was forgotten meanwhile and began anew
        total = await self._fast.add(self._key, more, ttl_s=TTL_S)
        before, self._total, self.told = self._total, total, own
        if before is None:
            return max(0, total - known)
        elsewhere = total - before - more
        return elsewhere if elsewhere >= 0 else max(0, total - more)  # it has lapsed


class _Level:
    """A counter for each slot, to which everybody adds what is under way there, again for each slot."""

    __slots__ = ("_fast", "_name", "_prefix", "_told")

    def __init__(self, fast: Fast, prefix: str, name: str) -> None:
        self._fast = fast
        self._prefix = prefix
        self._name = name
        self._told: dict[int, int] = {}
        """Slot → what this gateway has told it."""

    def differs(self, own: int, slot: int) -> bool:
        return self._told.get(slot, 0) != own or self._told.get(slot + 1, 0) != own

    async def share(self, own: int, slot: int) -> int:
        """How much others have under way."""
        self._told = {at: told for at, told in self._told.items() if abs(at - slot) < SLOT_LIFE}
        if self._told.get(slot + 1, 0) != own:
            await self._add(own, slot + 1)
        return max(0, await self._add(own, slot) - own)

    async def _add(self, own: int, slot: int) -> int:
        key = f"{self._prefix}:{slot}:{self._name}"
        total = await self._fast.add(key, own - self._told.get(slot, 0), ttl_s=SLOT_LIFE * SLOT_S)
        self._told[slot] = own
        return total
