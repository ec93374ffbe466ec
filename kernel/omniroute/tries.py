"""What was tried of a request so far, what it may still cost, and the error that says so when nothing answered."""

import math
from collections.abc import Iterator

from omniroute.contracts import Target
from omniroute.cooling import Hold
from omniroute.errors import (
    GatewayError,
    InvalidRequest,
    NoCandidate,
    QuotaExhausted,
    RateLimited,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from omniroute.health import Health
from omniroute.routing import Candidate

__all__ = ["Tries", "verdict"]

MAX_NAMED = 20
LIMITED = frozenset({"throttled", "quota_exhausted"})
PASSING = LIMITED | {"overloaded", "breaker_open"}
"""Reasons that time alone removes: a client may be told when to come back."""


class Tries:
    """Mutable, one per request."""

    __slots__ = ("answered", "cools", "deadline_s", "failed", "held", "left", "limit", "seen", "silent", "started_s", "unable", "untried")  # fmt: skip

    def __init__(self, *, limit: int, started_s: float, deadline_s: float, cools: bool) -> None:
        """`started_s` is monotonic, `deadline_s` counts from the request's arrival; 0 is none."""
        self.limit = self.left = limit
        """Attempts that may still be sent."""
        self.started_s = started_s
        self.deadline_s = deadline_s
        self.cools = cools
        """Not for token counts: they have limits of their own, and a missing endpoint says nothing of the model."""
        self.seen = 0
        self.answered = False
        """The last attempt's upstream sent at least a status."""
        self.silent: set[Target] = set()
        """Were sent the request and said nothing: not to be asked again, and only one other may be."""
        self.failed: list[tuple[Candidate, UpstreamError]] = []
        self.unable: list[InvalidRequest] = []
        self.held: list[tuple[Candidate, Hold]] = []
        self.untried: list[tuple[Candidate, str]] = []
        """Could have been asked, and why they were not."""

    def has_failed_at(self, provider: str) -> bool:
        return any(candidate.target.provider == provider for candidate, _ in self.failed)

    def lost(self, candidate: Candidate, error: UpstreamError) -> None:
        """An attempt was sent, or could not be, and failed. An upstream that took a request and said nothing may be working
        on it: then only one other is asked."""
        self.left = max(0, self.left - 1)
        unsent = isinstance(error, UpstreamUnreachable)
        if isinstance(error, UpstreamTimeout) or not (self.answered or unsent):
            self.silent.add(candidate.target)
            self.left = min(self.left, 1)


def verdict(tries: Tries, health: Health) -> GatewayError:
    """What to tell the client when no candidate answered: what each one said, or why it was not asked, and until when."""
    now = health.clock()
    if not tries.failed:
        if not tries.held:
            return tries.unable[0] if tries.unable else NoCandidate("no candidate can serve this request")
        return _all_held(tries, now)
    last = tries.failed[-1][1]
    if tries.seen > 1:
        cut = "not every candidate was asked, and the others" if tries.untried else "all candidates"
        last.why = f"{cut} failed: {_joined(list(_lines(tries, now)))}"
    waits = list(_waits(tries, health, now))
    if waits:
        last.retry_after_s = max(1, math.ceil(min(waits)))
    return last


def _all_held(tries: Tries, now: float) -> GatewayError:
    lines = list(_lines(tries, now))
    retry_after_s = max(1, math.ceil(min(hold.due_s for _, hold in tries.held) - now))
    reasons = {hold.reason for _, hold in tries.held}
    if reasons == {"quota_exhausted"}:
        return QuotaExhausted(
            "the quota of every candidate is used up", why=_joined(lines), retry_after_s=retry_after_s
        )
    if reasons <= LIMITED:
        return RateLimited("every candidate is throttled", why=_joined(lines), retry_after_s=retry_after_s)
    return NoCandidate(
        "no candidate can be asked now", candidates=lines, why=_joined(lines), retry_after_s=retry_after_s
    )


def _lines(tries: Tries, now: float) -> Iterator[str]:
    for candidate, error in tries.failed:
        yield f"{_named(candidate)}: {error.code}"
    for candidate, hold in tries.held:
        left_s = math.ceil(hold.due_s - now)
        yield f"{_named(candidate)}: {hold.reason}, " + (f"again in {left_s} s" if left_s > 0 else "being probed")
    for candidate, why in tries.untried:
        yield f"{_named(candidate)}: not asked, {why}"


def _waits(tries: Tries, health: Health, now: float) -> Iterator[float]:
    """Seconds until each candidate may be asked again, of those where waiting helps."""
    for candidate, error in tries.failed:
        hold = health.hold(candidate)
        if hold is not None and hold.reason in PASSING:
            yield hold.due_s - now
        elif error.retry_after_s is not None:
            yield health.cooling.capped(error.retry_after_s)
    yield from (hold.due_s - now for _, hold in tries.held if hold.reason in PASSING)
    yield from (0.0 for _ in tries.untried)


def _named(candidate: Candidate) -> str:
    target = candidate.target
    return f"{target.provider}/{target.model} ({target.account})"


def _joined(lines: list[str]) -> str:
    more = f"; and {len(lines) - MAX_NAMED} more" if len(lines) > MAX_NAMED else ""
    return "; ".join(lines[:MAX_NAMED]) + more
