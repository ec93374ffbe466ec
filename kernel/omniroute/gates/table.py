"""Which gates a request meets: those of its client key and of the whole gateway, then those of a provider and an account.

What has no limits has no gate, and costs a dictionary's look-up at most. A key that is over its limits is refused at once; for
what it shares with others a request waits in line. Counts of this process only: a second one on other data counts for itself.
"""

import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from omniroute.contracts import Account, Limits, Principal
from omniroute.errors import TooManyRequests
from omniroute.exchange import Exchange
from omniroute.gates.gate import Block, Gate, SavedGate
from omniroute.gates.lines import Later, Lines, Pass, Way
from omniroute.routing import Candidate
from omniroute.screening import Needs, Screen, Skip, needs_of

__all__ = ["Admission", "Gates", "gated"]

OUTPUT_TOKENS = 1024
"""Reserved for an answer at most, whatever the client allows it: agents allow 32,000 and get a few hundred."""
MAX_KEYS = 10_000


class Admission(msgspec.Struct, kw_only=True, gc=False):
    """What a request has taken for itself. Handed back once it is over."""

    passes: tuple[Pass, ...]
    headers: tuple[tuple[bytes, bytes], ...]
    """What the answer says of its key's limits."""

    def close(self, used: int | None) -> None:
        for taken in self.passes:
            taken.close(used)


class Gates:
    def __init__(
        self,
        whole: Limits | None = None,
        *,
        queue_timeout_s: float = 30.0,
        queue_length: int = 256,
        clock: Callable[[], float] = time.monotonic,
        later: Later | None = None,
    ) -> None:
        """`whole` limits the gateway. `queue_timeout_s`: how long a request may wait for a place."""
        self._clock = clock
        self._timeout_s = queue_timeout_s
        self.lines = Lines(longest=queue_length, clock=clock, later=later)
        self._gates: dict[str, Gate] = {}
        self._saved: dict[str, tuple[SavedGate, float]] = {}
        """What was kept of gates that nobody has needed since, with the seconds to add to a clock of now."""
        self.ways: dict[str, Way] = {}
        """Account id → its own gate and its provider's."""
        self._whole = self._way("gateway", whole)

    # --- what there is ------------------------------------------------------------------------------------------------

    def set_accounts(self, accounts: Iterable[Account], providers: Callable[[str], Limits]) -> None:
        """The accounts are these now; `providers` says what a provider's are limited to together. Counts go on."""
        before = self.ways
        self.ways = {
            account.id: way
            for account in accounts
            if (
                way := (
                    *self._way(f"account:{account.id}", account.limits),
                    *self._way(f"provider:{account.provider}", providers(account.provider)),
                )
            )
        }
        for gone in before.keys() - self.ways.keys():
            self._gates.pop(f"account:{gone}", None)
        for way in self.ways.values():
            for gate in way:
                self.lines.look(gate)  # whose limits may be wider now

    def _way(self, name: str, limits: Limits | None) -> Way:
        if not limits:
            return ()
        gate = self._gates.get(name)
        if gate is None:
            gate = self._gates[name] = Gate(name, limits)
            saved = self._saved.pop(name, None)
            if saved is not None:
                gate.load(saved[0], saved[1], self._clock())
        elif gate.limits != limits:
            gate.set_limits(limits)
        return (gate,)

    # --- a request ----------------------------------------------------------------------------------------------------

    def concern(self, principal: Principal) -> bool:
        """Whether its requests have to be admitted: most keys have no limits."""
        return bool(principal.limits or self._whole)

    async def admit(self, exchange: Exchange) -> None:
        """Through the gates of its key and of the gateway. Raises `TooManyRequests`."""
        principal = exchange.principal
        assert principal is not None
        tokens = tokens_of(needs_of(exchange))
        key = self.of_key(principal)
        taken: list[Pass] = []
        if key is not None:
            entered = self.lines.enter((key,), tokens)
            if isinstance(entered, Block):
                raise self._refusal(entered, f"the client key {principal.name!r} is over its limit", key)
            taken.append(entered)
        try:
            if self._whole:
                taken.append(await self._enter_whole(tokens))
        except BaseException:
            for held in taken:
                held.close(sent=False)
            raise
        headers = () if key is None else [(name.encode(), text.encode()) for name, text in self.headers(key).items()]
        exchange.admission = Admission(passes=tuple(taken), headers=tuple(headers))

    async def _enter_whole(self, tokens: int) -> Pass:
        entered = self.lines.enter(self._whole, tokens)
        if isinstance(entered, Pass):
            return entered
        found = await self.lines.wait([self._whole], tokens, self._timeout_s)
        if isinstance(found, Block):
            raise self._refusal(found, "the gateway is at its limit")
        return found[1]

    def of_key(self, principal: Principal) -> Gate | None:
        """The gate of a client key; None where it has no limits."""
        if not principal.limits:
            return None
        if len(self._gates) > MAX_KEYS:
            self._forget_idle()
        return self._way(f"key:{principal.key_id}", principal.limits)[0]

    def _forget_idle(self) -> None:
        idle = [name for name, gate in self._gates.items() if name.startswith("key:") and not gate.running]
        for name in idle[: MAX_KEYS // 10]:
            del self._gates[name]

    def _refusal(self, block: Block, message: str, key: Gate | None = None) -> TooManyRequests:
        limit = getattr(block.gate.limits, block.limit, None)
        left_s = max(0.0, block.due_s - self._clock())
        error = TooManyRequests(
            message,
            why="too many requests wait already" if limit is None else f"{block.limit} is {limit:g}",
            fix="send fewer requests at a time, or raise the limit",
            retry_after_s=max(1.0, left_s),
        )
        if key is not None:
            error.headers = self.headers(key)
        return error

    def headers(self, key: Gate) -> dict[str, str]:
        """What a client may know of its own limits, in the form most SDKs read."""
        found = {}
        for unit, (limit, left, wait_s) in key.left(self._clock()).items():
            found[f"x-ratelimit-limit-{unit}"] = str(limit)
            found[f"x-ratelimit-remaining-{unit}"] = str(left)
            found[f"x-ratelimit-reset-{unit}"] = f"{wait_s:.0f}s"
        return found

    # --- candidates ---------------------------------------------------------------------------------------------------

    def blocked(self, candidate: Candidate, needs: Needs) -> Block | None:
        """What keeps the request from going to the candidate now."""
        if not self.ways or not needs.cools:
            return None
        way = self.ways.get(candidate.account.id)
        return None if way is None else self.lines.blocked(way, tokens_of(needs))

    def enter(self, candidate: Candidate, needs: Needs) -> Pass | Block | None:
        """Take the room there is at the candidate. None where nothing is limited."""
        if not self.ways or not needs.cools:
            return None
        way = self.ways.get(candidate.account.id)
        return None if way is None else self.lines.enter(way, tokens_of(needs))

    async def wait(
        self, candidates: Sequence[Candidate], needs: Needs, timeout_s: float | None = None
    ) -> tuple[Candidate, Pass] | None:
        """Wait for the first of the candidates that has room. None when none had any in time."""
        ways = [self.ways.get(candidate.account.id, ()) for candidate in candidates]
        limit_s = self._timeout_s if timeout_s is None else min(timeout_s, self._timeout_s)
        found = await self.lines.wait(ways, tokens_of(needs), limit_s)
        return None if isinstance(found, Block) else (candidates[found[0]], found[1])

    # --- keeping ------------------------------------------------------------------------------------------------------

    def dump(self, wall_s: float) -> Sequence[SavedGate]:
        ahead_s = wall_s - self._clock()
        waiting = (entry for entry, _ in self._saved.values() if not entry.is_over(wall_s))
        return [*(gate.dump(ahead_s) for gate in self._gates.values()), *waiting]

    def load(self, saved: Iterable[SavedGate], wall_s: float) -> None:
        """What was dumped, for gates that are there and those that will be."""
        now_s = self._clock()
        for entry in saved:
            gate = self._gates.get(entry.name)
            if entry.is_over(wall_s):
                continue
            if gate is None:
                self._saved[entry.name] = (entry, wall_s - now_s)
            else:
                gate.load(entry, wall_s - now_s, now_s)


def gated(gates: Gates) -> Screen:
    """Leaves out what is at its limit, so that a request goes elsewhere at once where there is anything else."""

    def screen(candidate: Candidate, needs: Needs) -> Skip | None:
        if not gates.ways:
            return None
        block = gates.blocked(candidate, needs)
        return None if block is None else block.skip

    return screen


def tokens_of(needs: Needs) -> int:
    """What a request will use, roughly; its end says how much it was."""
    answer = OUTPUT_TOKENS if needs.max_output_tokens is None else min(needs.max_output_tokens, OUTPUT_TOKENS)
    return needs.input_tokens_estimate + answer
