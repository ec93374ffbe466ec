"""Which candidates may be asked now: cooling and circuit breakers as one question, and what an attempt means for both."""

import random
import time
from collections.abc import Callable
from typing import Self

import msgspec

from omniroute import breaker
from omniroute.breaker import USUAL, Breaker, Profile
from omniroute.contracts import ProviderFacts
from omniroute.cooling import Cooling, Hold, Mark, Ticket
from omniroute.errors import UpstreamError, UpstreamStalled, UpstreamTimeout, UpstreamUnreachable
from omniroute.routing import Candidate

__all__ = ["Health", "RetryBudget", "Visit"]

FEWEST_RETRIES = 3
RETRY_SHARE = 0.2
SIGNED_IN = Profile(failures=3, open_s=60)


class Visit(msgspec.Struct):
    """One attempt at a candidate that is under way: others keep away from what it probes until the block is over."""

    health: "Health"
    candidate: Candidate
    turn: int
    """Which attempt it is, where it began while everybody was well."""
    tickets: tuple[Ticket, breaker.Ticket] | None = None
    """Made when they are needed: an attempt that began while everybody was well probes nothing, and mostly ends well."""

    @property
    def cooling(self) -> Ticket:
        return self._made()[0]

    @property
    def circuit(self) -> breaker.Ticket:
        return self._made()[1]

    def _made(self) -> tuple[Ticket, breaker.Ticket]:
        if self.tickets is None:
            candidate = self.candidate
            circuit = breaker.Ticket(_circuit(candidate), 0, is_probe=False)
            self.tickets = Ticket(candidate.target, _bucket(candidate), self.turn, ()), circuit
        return self.tickets

    def ended(self, error: UpstreamError | None = None) -> None:
        """So did the stream that `Health.answered` was told of."""
        self.health.ended(self, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.tickets is not None:
            self.health.cooling.leave(self.tickets[0])
            self.health.breaker.leave(self.tickets[1])


class Health:
    """One per gateway. In memory, sync; `cooling` and `breaker` may be read by whoever explains."""

    def __init__(
        self,
        *,
        cap_s: float,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.clock = clock
        self.cooling = Cooling(cap_s=cap_s, clock=clock)
        self.breaker = Breaker(clock=clock, draw=draw)

    def hold(self, candidate: Candidate, *, alone: bool = False) -> Hold | None:
        """Why the candidate is left out now; None when it may be asked. `alone`: the request has no other."""
        bucket = candidate.bucket  # asked for every candidate while anybody is unwell: no call that can be saved
        cooling = self.cooling.hold(candidate.target, _bucket(candidate) if bucket is None else bucket, alone=alone)
        if not self.breaker.circuits or (circuit := self.breaker.holding(_circuit(candidate))) is None:
            return cooling
        assert circuit.due_s is not None
        may_insist = self.breaker.may_insist(circuit) and (cooling is None or cooling.may_insist)
        if cooling is not None and cooling.due_s > circuit.due_s:
            return msgspec.structs.replace(cooling, may_insist=may_insist)
        return Hold(reason="breaker_open", since_s=circuit.opened_s, due_s=circuit.due_s, may_insist=may_insist)

    def visit(self, candidate: Candidate) -> Visit:
        """An attempt begins: for a `with` around it."""
        if not (self.cooling.marks or self.breaker.circuits):
            return Visit(self, candidate, self.cooling.turn())
        tickets = self.cooling.enter(candidate.target, _bucket(candidate)), self.breaker.enter(_circuit(candidate))
        return Visit(self, candidate, tickets[0].turn, tickets)

    def succeeded(self, visit: Visit) -> None:
        if self.cooling.marks:
            self.cooling.succeeded(visit.cooling)
        if self.breaker.circuits:
            self.breaker.succeeded(visit.circuit)

    def answered(self, visit: Visit) -> None:
        """The first content of a stream: the account is well. Of the circuit `Visit.ended` decides, so that an upstream which
        falls silent in mid-answer again and again is found out."""
        if self.cooling.marks:
            self.cooling.succeeded(visit.cooling)
        if self.breaker.circuits:
            self.breaker.answered(visit.circuit)

    def ended(self, visit: Visit, error: UpstreamError | None) -> None:
        """A stream that had begun came to its end, or to an error."""
        if error is None:
            if self.breaker.circuits:
                self.breaker.succeeded(visit.circuit)
        elif not isinstance(error, UpstreamTimeout) or isinstance(
            error, UpstreamStalled
        ):  # else it was our own total_s
            self.failed(visit, error)

    def failed(self, visit: Visit, error: UpstreamError) -> Mark | None:
        """The new mark, if there is one. What names no account and is not the request's own fault counts for the breaker;
        any other refusal shows that the upstream is alive."""
        if error.cools == "nothing" and error.try_next:
            self.breaker.failed(visit.circuit, profile_of(visit.candidate.provider.facts))
            return None
        if not isinstance(error, UpstreamUnreachable):
            self.breaker.succeeded(visit.circuit)
        return self.cooling.failed(visit.cooling, error)

    def forget(self, provider: str, account: str) -> int:
        """A person says that the account is well: its marks go, and what keeps its provider's models out. Returns how many."""
        found = self.cooling.forget(provider, account) + self.cooling.forget(provider, "")
        return found + self.breaker.forget(provider)


def profile_of(facts: ProviderFacts) -> Profile:
    """What the facts say, else what suits the kind of account: a plan somebody signed in to is bothered less than a key."""
    usual = USUAL if facts.auth in {"api-key", "none"} else SIGNED_IN
    stated = facts.breaker
    return Profile(
        failures=usual.failures if stated.failures is None else stated.failures,
        open_s=usual.open_s if stated.open_s is None else stated.open_s,
    )


class RetryBudget:
    """Retries that are under way, over all requests: no more than a share of the requests there are.

    A retry is another attempt at a provider that has already failed the same request. Asking another provider is none: it
    loads nobody twice.
    """

    __slots__ = ("requests", "retries")

    def __init__(self) -> None:
        self.requests = 0
        """Under way; whoever begins one counts it, and takes it off again at its end."""
        self.retries = 0
        """The same."""

    def allows(self) -> bool:
        return self.retries < max(FEWEST_RETRIES, RETRY_SHARE * self.requests)


def _bucket(candidate: Candidate) -> str:
    return candidate.provider.bucket(candidate.model) if candidate.bucket is None else candidate.bucket


def _circuit(candidate: Candidate) -> breaker.Key:
    return candidate.target.provider, candidate.account.base_url, candidate.target.model
