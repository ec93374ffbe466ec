"""What was tried of a request so far, what it may still cost, and the error that says so when nothing answered."""

import math
from collections.abc import Collection, Iterable, Iterator

from msgspec import Struct, field
from msgspec.structs import replace

from omniroute.contracts import Target
from omniroute.cooling import Hold
from omniroute.errors import (
    ContextTooLong,
    GatewayError,
    InvalidRequest,
    NoCandidate,
    PermissionDenied,
    PluginFailed,
    QuotaExhausted,
    RateLimited,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from omniroute.health import Health
from omniroute.routing import Candidate
from omniroute.screening import OTHER_CLIENT, PINNED, TOO_SMALL, Needs, Screening, Skip

__all__ = ["Tries", "beyond", "insistent", "verdict"]

MAX_NAMED = 20
LIMITED = frozenset({"throttled", "quota_exhausted", "rate_limited", "busy"})
PASSING = LIMITED | {"overloaded", "breaker_open"}
"""Reasons that time alone removes: a client may be told when to come back."""


class Tries(Struct, kw_only=True):
    """Mutable, one per request."""

    limit: int
    left: int
    """Attempts that may still be sent: at first `limit`."""
    started_s: float
    """Monotonic."""
    deadline_s: float
    """Counts from the request's arrival; 0 is none."""
    needs: Needs
    seen: int = 0
    """Candidates that can serve the request, if not now."""
    answered: bool = False
    """The last attempt's upstream sent at least a status."""
    has_renewed: bool = False
    """An account's tokens were renewed because the upstream refused them."""
    silent: set[Target] = field(default_factory=set)
    """Were sent the request and said nothing: not to be asked again, and only one other may be."""
    failed: list[tuple[Candidate, UpstreamError]] = field(default_factory=list)
    unable: list[InvalidRequest] = field(default_factory=list)
    held: list[tuple[Candidate, Hold]] = field(default_factory=list)
    untried: list[tuple[Candidate, str]] = field(default_factory=list)
    """Could have been asked, and why they were not."""
    skipped: list[tuple[Candidate, Skip]] = field(default_factory=list)
    """Those that must not be asked, whatever else fails."""

    def skip(self, candidate: Candidate, skip: Skip) -> None:
        """It is not asked in its turn. What is `held` may be, once nothing else is left."""
        self.seen += skip.due_s is not None
        if skip.hold is not None:
            self.held.append((candidate, skip.hold))
        else:
            self.skipped.append((candidate, skip))

    def too_long(self, candidate: Candidate) -> None:
        """It has said that the prompt is too long: from here on only a larger window will do."""
        window = candidate.model.context_tokens or self.needs.input_tokens_estimate
        self.needs = replace(self.needs, larger_than=max(window, self.needs.larger_than or 0))
        self.held = [(other, hold) for other, hold in self.held if (other.model.context_tokens or 0) > window]

    def has_failed_at(self, provider: str) -> bool:
        return any(candidate.target.provider == provider for candidate, _ in self.failed)

    def lost(self, candidate: Candidate, error: UpstreamError) -> None:
        """An attempt was sent, or could not be, and failed. An upstream that took a request and said nothing may be working
        on it: then only one other is asked."""
        self.left = max(0, self.left - 1)
        unsent = isinstance(error, UpstreamUnreachable | PluginFailed)
        if isinstance(error, UpstreamTimeout) or not (self.answered or unsent):
            self.silent.add(candidate.target)
            self.left = min(self.left, 1)


def insistent(tries: Tries, health: Health) -> Candidate | None:
    """The one to be asked when nothing else is left: of those that are out for a while only, the first to be due."""
    held = tries.held
    if tries.seen == 1:
        held = [(candidate, health.hold(candidate, alone=True) or hold) for candidate, hold in held]
    soonest = min(
        (pair for pair in held if pair[1].may_insist and pair[1].since_s <= tries.started_s),
        key=lambda pair: pair[1].due_s,
        default=None,
    )
    return soonest[0] if soonest is not None else None


def beyond(
    tries: Tries, asked: Collection[Target], candidates: Iterable[Candidate], screening: Screening
) -> Candidate | None:
    """Of the last resort's `candidates` the one to be asked after those that were `asked` in vain; None when the request itself
    is what cannot be served."""
    if not (asked or tries.held or any(skip.due_s is not None for _, skip in tries.skipped)):
        return None
    return next(
        (each for each in candidates if each.target not in asked and screening.skip(each, tries.needs) is None), None
    )


def verdict(tries: Tries, health: Health) -> GatewayError:
    """What to tell the client when no candidate answered: what each one said, or why it was not asked, and until when."""
    now = health.clock()
    if not tries.failed:
        if tries.held or any(skip.due_s is not None for _, skip in tries.skipped):
            return _all_held(tries, now)
        if tries.unable:
            return tries.unable[0]
        if tries.skipped:
            return _unserved(tries, now)
        lines = list(_lines(tries, now))
        return NoCandidate("no candidate can serve this request", candidates=lines, why=_joined(lines) or None)
    last = tries.failed[-1][1]
    if tries.seen > 1 or tries.skipped:
        cut = "not every candidate was asked, and the others" if tries.untried else "all candidates"
        last.why = f"{cut} failed: {_joined(list(_lines(tries, now)))}"
    waits = list(_waits(tries, health, now))
    if waits:
        last.retry_after_s = max(1, math.ceil(min(waits)))
    return last


def _all_held(tries: Tries, now: float) -> GatewayError:
    lines = list(_lines(tries, now))
    passing = [(skip.reason, skip.due_s) for _, skip in tries.skipped if skip.due_s is not None]
    passing += [(hold.reason, hold.due_s) for _, hold in tries.held]
    retry_after_s = max(1, math.ceil(min(due_s for _, due_s in passing) - now))
    reasons = {reason for reason, _ in passing}
    if reasons == {"quota_exhausted"}:
        return QuotaExhausted(
            "the quota of every candidate is used up", why=_joined(lines), retry_after_s=retry_after_s
        )
    if reasons <= LIMITED:
        return RateLimited("every candidate is throttled", why=_joined(lines), retry_after_s=retry_after_s)
    return NoCandidate(
        "no candidate can be asked now", candidates=lines, why=_joined(lines), retry_after_s=retry_after_s
    )


def _unserved(tries: Tries, now: float) -> GatewayError:
    """Every candidate is known to be unable, so it is the request that has to change."""
    why = _joined(list(_lines(tries, now)))
    reasons = {skip.reason for _, skip in tries.skipped}
    if reasons == {TOO_SMALL}:
        tokens = tries.needs.input_tokens_estimate + (tries.needs.max_output_tokens or 0)
        largest = max(candidate.model.context_tokens or 0 for candidate, _ in tries.skipped)
        return ContextTooLong(f"prompt is too long: {tokens} tokens > {largest} maximum", why=why)
    if reasons == {OTHER_CLIENT}:
        return PermissionDenied(
            "the subscriptions that have this model serve the vendor's own client only",
            why=why,
            fix="their owner can let others use one: omniroute account allow PROVIDER/NAME",
        )
    if reasons == {PINNED}:
        return InvalidRequest(
            "the answer that this request goes on from is kept by an account that does not serve this model",
            why=why,
            fix="start a new thread, or send the whole conversation without previous_response_id",
            param="/previous_response_id",
        )
    return InvalidRequest(
        "no candidate can serve this request",
        why=why,
        fix="ask for another model; skip_incapable = false in [routing] has them asked all the same",
    )


def _lines(tries: Tries, now: float) -> Iterator[str]:
    for candidate, error in tries.failed:
        yield f"{_named(candidate)}: {error.code}"
    for candidate, hold in tries.held:
        left_s = math.ceil(hold.due_s - now)
        yield f"{_named(candidate)}: {hold.reason}, " + (f"again in {left_s} s" if left_s > 0 else "being probed")
    for candidate, skip in tries.skipped:
        detail = f" ({skip.detail})" if skip.detail else ""
        again = "" if skip.due_s is None else f", again in {max(1, math.ceil(skip.due_s - now))} s"
        yield f"{_named(candidate)}: {skip.reason}{detail}{again}"
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
    yield from (skip.due_s - now for _, skip in tries.skipped if skip.due_s is not None)
    yield from (0.0 for _ in tries.untried)


def _named(candidate: Candidate) -> str:
    target = candidate.target
    return f"{target.provider}/{target.model} ({target.account})"


def _joined(lines: list[str]) -> str:
    more = f"; and {len(lines) - MAX_NAMED} more" if len(lines) > MAX_NAMED else ""
    return "; ".join(lines[:MAX_NAMED]) + more
