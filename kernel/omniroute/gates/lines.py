"""Going through several gates in one step, and waiting in line where there is no way through.

Lines are first in, first out, per gate: nobody who comes later goes through while somebody waits there. A waiter stands at
the gate that blocks it; when that opens and another turns out to be shut, it joins the line there. One who may go several ways
waits for all of them, and takes the first. Every wait has an end, and who leaves frees the place at once.

Everything here happens between two awaits of the event loop, so there is no lock.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from omniroute.gates.gate import SOON_S, Block, Entry, Gate, Timer

__all__ = ["Lines", "Pass", "Waiter", "Way"]

Way: TypeAlias = tuple[Gate, ...]
Later: TypeAlias = Callable[[float, Callable[[], None]], Timer]
"""Calls a function after so many seconds."""


class Pass:
    """Room taken in one or more gates. `close` hands it back; only the first call counts."""

    __slots__ = ("_entries", "_lines")

    def __init__(self, lines: "Lines", entries: Sequence[Entry]) -> None:
        self._lines = lines
        self._entries = entries

    def close(self, used: int | None = None, *, sent: bool = True) -> None:
        """`used` tokens; None is unknown. Not `sent`: nothing of it counts."""
        entries, self._entries = self._entries, ()
        if entries:
            self._lines.leave(entries, used, sent=sent)


class Waiter:
    __slots__ = ("future", "places", "tokens", "ways")

    def __init__(self, ways: Sequence[Way], tokens: int, future: "asyncio.Future[tuple[int, Pass]]") -> None:
        self.ways = ways
        self.tokens = tokens
        self.future = future
        self.places: set[Gate] = set()
        """The gates in whose lines it stands."""

    @property
    def was_served(self) -> bool:
        return self.future.done() and not self.future.cancelled()


class Lines:
    """`clock` is monotonic; `longest` is how many may wait at one gate."""

    def __init__(
        self, *, longest: int = 256, clock: Callable[[], float] = time.monotonic, later: Later | None = None
    ) -> None:
        self._longest = longest
        self._clock = clock
        self._later = later
        self.changes = 0
        """Rises with whatever is worth keeping over a restart."""

    def blocked(self, way: Way, tokens: int) -> Block | None:
        """What keeps a newcomer from going through now. Looks and changes nothing."""
        now_s = self._clock()
        for gate in way:
            block = gate.blocked(tokens, now_s)
            if block is not None:
                return block
            if gate.waiting:
                return Block(gate, "busy", "queue", now_s + SOON_S)
        return None

    def enter(self, way: Way, tokens: int) -> Pass | Block:
        """Through all gates of the way at once, or not at all."""
        return self.blocked(way, tokens) or self._through(way, tokens)

    async def wait(self, ways: Sequence[Way], tokens: int, timeout_s: float) -> tuple[int, Pass] | Block:
        """The first of the ways that opens, as its index and the room taken; or what kept all of them shut for so long.

        Does not even begin to wait for what will not open in time, nor where too many wait already.
        """
        waiter = Waiter(ways, tokens, asyncio.get_running_loop().create_future())
        shut: list[Block] = []
        for at, way in enumerate(ways):
            block = self.blocked(way, tokens)
            if block is None:
                self._withdraw(waiter)
                return at, self._through(way, tokens)
            shut.append(block)
            if self._is_worth_it(block, timeout_s):
                self._line_up(waiter, block.gate)
        soonest = min(shut, key=lambda block: block.due_s)
        if not waiter.places:
            return soonest
        try:
            async with asyncio.timeout(timeout_s):
                return await waiter.future
        except TimeoutError:
            return waiter.future.result() if waiter.was_served else soonest
        except asyncio.CancelledError:
            if waiter.was_served:
                waiter.future.result()[1].close(sent=False)
            raise
        finally:
            self._withdraw(waiter)

    def leave(self, entries: Sequence[Entry], used: int | None, *, sent: bool) -> None:
        now_s = self._clock()
        self.changes += 1
        for entry in entries:
            entry.gate.leave(entry, used, now_s, sent=sent)
        for entry in entries:
            self.look(entry.gate)

    def look(self, gate: Gate) -> None:
        """Let through whom the gate has room for, in their order."""
        while gate.waiting:
            waiter = gate.waiting[0]
            if waiter.future.done():  # cancelled, and has not got round to leaving
                gate.waiting.popleft()
                waiter.places.discard(gate)
                continue
            found = self._open_way(waiter, gate)
            if isinstance(found, int):
                waiter.future.set_result((found, self._through(waiter.ways[found], waiter.tokens)))
                self._withdraw(waiter, but=gate)
                continue
            here = next((block for block in found if block.gate is gate), None)
            if here is not None:
                self._look_later(here)
                return
            gate.waiting.popleft()
            waiter.places.discard(gate)
            for block in found:
                self._line_up(waiter, block.gate)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _through(self, way: Way, tokens: int) -> Pass:
        now_s = self._clock()
        self.changes += 1
        return Pass(self, [gate.enter(tokens, now_s) for gate in way])

    def _is_worth_it(self, block: Block, timeout_s: float) -> bool:
        if timeout_s <= 0 or len(block.gate.waiting) >= self._longest:
            return False
        return block.why == "busy" or block.due_s - self._clock() <= timeout_s

    def _open_way(self, waiter: Waiter, here: Gate) -> int | Sequence[Block]:
        """The first of its ways through `here` that is open, else what blocks each of them. Here its turn has come; at other
        gates those who stand in line go first."""
        now_s = self._clock()
        found: list[Block] = []
        for at, way in enumerate(waiter.ways):
            if here not in way:
                continue
            block = None
            for gate in way:
                block = gate.blocked(waiter.tokens, now_s)
                if block is None and gate.waiting and gate is not here and gate not in waiter.places:
                    block = Block(gate, "busy", "queue", now_s + SOON_S)
                if block is not None:
                    break
            if block is None:
                return at
            found.append(block)
        return found

    def _line_up(self, waiter: Waiter, gate: Gate) -> None:
        if gate not in waiter.places:
            waiter.places.add(gate)
            gate.waiting.append(waiter)
            if len(gate.waiting) == 1 and (block := gate.blocked(waiter.tokens, self._clock())) is not None:
                self._look_later(block)

    def _withdraw(self, waiter: Waiter, *, but: Gate | None = None) -> None:
        """Out of every line; whom that lets go on does."""
        places, waiter.places = waiter.places, set()
        for gate in places:
            gate.waiting.remove(waiter)
        for gate in places:
            if gate is not but:
                self.look(gate)

    def _look_later(self, block: Block) -> None:
        """Where time alone opens the gate. A place that has to become free is told by who leaves it."""
        gate = block.gate
        if gate.timer is not None:
            gate.timer.cancel()
            gate.timer = None
        if block.why == "rate_limited":
            later = self._later or asyncio.get_running_loop().call_later
            gate.timer = later(max(0.0, block.due_s - self._clock()), lambda: self._woken(gate))

    def _woken(self, gate: Gate) -> None:
        gate.timer = None
        self.look(gate)
