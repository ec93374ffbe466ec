"""What failures take out of selection, for how long, and how it comes back. Pure state, on a monotonic clock that is given.

A failure marks what its error's `cools` names: an account's quota bucket, an account, or a model at a provider. A mark keeps
that out until it is due: as long as the upstream said, else twice as long with each failure in a row. When it is due one
request at a time may probe; a success takes the mark away, a failure sets it anew. The count of failures outlives the
cooldowns, so that an empty quota is not asked every few seconds for ever. Requests that were under way when the mark was set
and fail as well are the same failure seen again, and count no second time.

State is in memory; `keeping` writes down what `dump` gives and hands it to `load`: deadlines as Unix time there, monotonic here.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from omniroute.contracts import Target
from omniroute.errors import (
    AccountBlocked,
    CredentialRejected,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    UpstreamError,
    UpstreamModelMissing,
)

__all__ = ["Cooled", "Cooling", "Hold", "Mark", "Reason", "SavedMark", "Ticket"]

Reason: TypeAlias = Literal[
    "throttled",
    "quota_exhausted",
    "overloaded",
    "auth_suspect",
    "account_blocked",
    "model_missing",
    "failing",
    "breaker_open",
]

Scope: TypeAlias = Literal["account", "bucket", "model", "account_model"]
Key: TypeAlias = tuple[Scope, str, str, str]
"""Scope, provider, account, and bucket or model; empty where the scope has none."""

MAX_MARKS = 10_000
"""Names of models come from clients. Beyond this, what is due goes, else the oldest tenth."""


class Rule(msgspec.Struct, frozen=True):
    """How long a kind of failure cools, when the upstream did not say."""

    reason: Reason
    first_s: float | None = None
    """Doubled with each failure in a row; None is the cap."""
    longest_s: float | None = None
    """None is the cap."""


RULES: Mapping[type[UpstreamError], Rule] = {
    RateLimited: Rule("throttled", 1, 120),
    QuotaExhausted: Rule("quota_exhausted"),
    Overloaded: Rule("overloaded", 15, 300),
    CredentialRejected: Rule("auth_suspect", 120),
    AccountBlocked: Rule("account_blocked"),
    UpstreamModelMissing: Rule("model_missing", 600, 600),
    UpstreamError: Rule("failing", 15, 300),
}
"""The nearest ancestor of an error's class counts, so a plugin's own errors need no entry."""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Why a target is left out now."""

    reason: Reason
    since_s: float
    """Monotonic, as is `due_s`."""
    due_s: float
    """When it may be asked again. In the past: it may be, but somebody else is asking it right now."""
    may_insist: bool
    """A request that has nothing else may ask all the same."""


class Cooled(msgspec.Struct, frozen=True, kw_only=True):
    """A mark, for people."""

    scope: Scope
    provider: str
    account: str
    name: str
    """Of the bucket or model."""
    reason: Reason
    failures: int
    """In a row."""
    left_s: float
    """Until it may be asked again; 0 when it may be now, to see whether it is well."""
    hinted_s: float | None
    """Until the moment the upstream named, which may be later."""


class SavedMark(msgspec.Struct, frozen=True, kw_only=True):
    """A mark as it is written down."""

    key: Key
    reason: Reason
    failures: int
    due_at_s: float
    """Unix time, as is `hinted_at_s`."""
    hinted_at_s: float | None = None


class Mark:
    """Mutable: one per key, kept until a success."""

    __slots__ = ("due_s", "failures", "hinted_s", "probing", "reason", "set_s", "turn")

    def __init__(self, reason: Reason) -> None:
        self.reason: Reason = reason
        self.failures = 0
        self.set_s = 0.0
        self.due_s = 0.0
        self.hinted_s: float | None = None
        """When the upstream said to come back; beyond `due_s` if that is later than the cap."""
        self.turn = 0
        self.probing = False


class Ticket(msgspec.Struct, frozen=True):
    """One attempt that is under way. Hand it back with `leave`, whatever became of it."""

    target: Target
    bucket: str
    turn: int
    """Counts attempts and marks: a clock may stand still between two of them."""
    probes: tuple[Mark, ...]


class Cooling:
    def __init__(self, *, cap_s: float, clock: Callable[[], float]) -> None:
        """`cap_s`: the longest anything is left out before it is probed, whatever an upstream says."""
        self._cap_s = cap_s
        self._clock = clock
        self.marks: dict[Key, Mark] = {}
        """What cools down: mostly nothing, and then there is nothing to ask."""
        self._known: dict[Target, tuple[Hold | None, float]] = {}
        """What `hold` found out since a mark last changed, and until when it is true."""
        self._turn = 0
        self.changes = 0
        """Rises with each mark that is set, changed or taken away."""

    def __len__(self) -> int:
        return len(self.marks)

    # --- asking -------------------------------------------------------------------------------------------------------

    def hold(self, target: Target, bucket: str, *, alone: bool = False) -> Hold | None:
        """What keeps the target out; None when it may be asked. `alone`: the request has no other target to go to."""
        if not self.marks:
            return None
        now = self._clock()
        if alone:
            return self._look(target, bucket, now, alone=True)[0]
        known = self._known.get(target)
        if known is None or known[1] <= now:
            if len(self._known) >= MAX_MARKS:
                self._known = {}
            known = self._known[target] = self._look(target, bucket, now, alone=False)
        return known[0]

    def _look(self, target: Target, bucket: str, now: float, *, alone: bool) -> tuple[Hold | None, float]:
        """The hold, and the moment from which it may be another although no mark changed."""
        worst: Mark | None = None
        may_insist, until_s = True, math.inf
        for mark in self._of(target, bucket):
            if mark.due_s > now:
                until_s = min(until_s, mark.due_s)
            elif not mark.probing:
                continue
            may_insist = may_insist and _may_insist(mark, now, alone)
            if worst is None or (_is_final(mark), mark.due_s) > (_is_final(worst), worst.due_s):
                worst = mark
        if worst is None:
            return None, until_s
        return Hold(reason=worst.reason, since_s=worst.set_s, due_s=worst.due_s, may_insist=may_insist), until_s

    def turn(self) -> int:
        """An attempt begins, and nothing is marked: what its ticket will be made of, should anybody need one."""
        self._turn += 1
        return self._turn

    def enter(self, target: Target, bucket: str) -> Ticket:
        """An attempt begins: until it is handed back it is the probe of whatever is marked and has none."""
        self._turn += 1
        if not self.marks:
            return Ticket(target, bucket, self._turn, ())
        probes = tuple(mark for mark in self._of(target, bucket) if not mark.probing)
        for mark in probes:
            mark.probing = True
            self._known = {}
        return Ticket(target, bucket, self._turn, probes)

    def leave(self, ticket: Ticket) -> None:
        for mark in ticket.probes:
            mark.probing = False
            self._known = {}

    # --- what became of it --------------------------------------------------------------------------------------------

    def succeeded(self, ticket: Ticket) -> None:
        """Take away every mark of the target that was set before this attempt began."""
        if not self.marks:
            return
        for key in _keys(ticket.target, ticket.bucket):
            mark = self.marks.get(key)
            if mark is not None and mark.turn < ticket.turn:
                del self.marks[key]
                self._changed()

    def failed(self, ticket: Ticket, error: UpstreamError) -> Mark | None:
        """Mark what the error cools. None when that is nothing, or known already."""
        if error.cools == "nothing":
            return None
        rule = _rule(type(error))
        key = _key(error, rule, ticket)
        self._changed()
        mark = self.marks.get(key)
        if mark is None:
            self._make_room()
            mark = self.marks[key] = Mark(rule.reason)
        elif mark.turn > ticket.turn:
            self._seen_again(mark, rule, error.retry_after_s)
            return None
        mark.failures += 1
        self._turn += 1
        mark.turn = self._turn
        mark.reason, mark.set_s = rule.reason, self._clock()
        mark.due_s, mark.hinted_s = self._until(rule, mark, error.retry_after_s)
        return mark

    def capped(self, seconds: float) -> float:
        return min(seconds, self._cap_s)

    def _seen_again(self, mark: Mark, rule: Rule, hint_s: float | None) -> None:
        """By a request that was under way already: only what is new in it counts."""
        due_s, hinted_s = self._until(rule, mark, hint_s)
        if due_s > mark.due_s and (hint_s or rule.reason != mark.reason):
            mark.reason, mark.due_s, mark.hinted_s = rule.reason, due_s, hinted_s

    def _until(self, rule: Rule, mark: Mark, hint_s: float | None) -> tuple[float, float | None]:
        now = self._clock()
        if hint_s:  # 0 would have us ask again at once, for ever
            return now + self.capped(hint_s), now + hint_s
        if rule.first_s is None:
            return now + self._cap_s, None
        longest_s = self._cap_s if rule.longest_s is None else rule.longest_s
        doubled_s = rule.first_s * 2.0 ** min(mark.failures - 1, 32)
        return now + self.capped(min(doubled_s, longest_s)), None

    # --- forgetting ---------------------------------------------------------------------------------------------------

    def forget(self, provider: str, account: str | None = None) -> int:
        """Take away a provider's marks, or one account's: a person or a quota reading knows better. Returns how many.

        The account `""` has those that name none.
        """
        gone = [key for key in self.marks if key[1] == provider and account in {None, key[2]}]
        for key in gone:
            del self.marks[key]
        self._changed()
        return len(gone)

    def refilled(self, provider: str, account: str) -> int:
        """The account's quota is there again, whatever an upstream said before. Returns how many marks that took away."""
        gone = [
            key
            for key, mark in self.marks.items()
            if key[1:3] == (provider, account) and mark.reason == "quota_exhausted" and not mark.probing
        ]
        for key in gone:
            del self.marks[key]
        if gone:
            self._changed()
        return len(gone)

    def _changed(self) -> None:
        self._known = {}
        self.changes += 1

    def _make_room(self) -> None:
        if len(self.marks) < MAX_MARKS:
            return
        now = self._clock()
        due = [key for key, mark in self.marks.items() if mark.due_s <= now]
        for key in due or list(self.marks)[: MAX_MARKS // 10]:
            del self.marks[key]

    # --- telling ------------------------------------------------------------------------------------------------------

    def reasons(self) -> Sequence[Cooled]:
        """Everything that is marked, longest first."""
        now = self._clock()
        found = [
            Cooled(
                scope=key[0],
                provider=key[1],
                account=key[2],
                name=key[3],
                reason=mark.reason,
                failures=mark.failures,
                left_s=max(0.0, mark.due_s - now),
                hinted_s=None if mark.hinted_s is None else max(0.0, mark.hinted_s - now),
            )
            for key, mark in self.marks.items()
        ]
        return sorted(found, key=lambda cooled: -cooled.left_s)

    def dump(self, wall_s: float) -> Sequence[SavedMark]:
        """`wall_s` is the Unix time now, here and in `load`."""
        ahead_s = wall_s - self._clock()
        return [
            SavedMark(
                key=key,
                reason=mark.reason,
                failures=mark.failures,
                due_at_s=mark.due_s + ahead_s,
                hinted_at_s=None if mark.hinted_s is None else mark.hinted_s + ahead_s,
            )
            for key, mark in self.marks.items()
        ]

    def load(self, saved: Iterable[SavedMark], wall_s: float) -> None:
        """Add what was dumped, but for what has been over for longer than the cap.

        A clock that was set back meanwhile keeps nothing out for longer than the cap either.
        """
        now = self._clock()
        self._known = {}
        for entry in saved:
            if wall_s - entry.due_at_s > self._cap_s or len(self.marks) >= MAX_MARKS:
                continue
            mark = self.marks[entry.key] = Mark(entry.reason)
            mark.failures = entry.failures
            mark.set_s = now
            mark.due_s = now + self.capped(entry.due_at_s - wall_s)
            mark.hinted_s = None if entry.hinted_at_s is None else now + entry.hinted_at_s - wall_s

    def _of(self, target: Target, bucket: str) -> Iterable[Mark]:
        marks = self.marks
        return [mark for key in _keys(target, bucket) if (mark := marks.get(key)) is not None]


def _is_final(mark: Mark) -> bool:
    return mark.reason == "quota_exhausted"


def _may_insist(mark: Mark, now: float, alone: bool) -> bool:
    """Whether a request that has nothing else may ask before the mark is due.

    Never a quota that is used up. An upstream that throttles only when there is no other candidate at all: then its own word
    is worth more to the client than ours. One at a time while it cools; once it is due the wait is over for everybody.
    """
    if _is_final(mark):
        return False
    if mark.due_s <= now:
        return True
    return not mark.probing and (alone or mark.reason != "throttled")


def _keys(target: Target, bucket: str) -> tuple[Key, ...]:
    provider, model, account = target.provider, target.model, target.account
    return (
        ("account", provider, account, ""),
        ("bucket", provider, account, bucket),
        ("model", provider, "", model),
        ("account_model", provider, account, model),
    )


def _key(error: UpstreamError, rule: Rule, ticket: Ticket) -> Key:
    account, bucket, model, account_model = _keys(ticket.target, ticket.bucket)
    match error.cools:
        case "account":
            return account
        case "bucket":
            return bucket
        case _:  # one account's plan may lack a model that another's has
            return account_model if rule.reason == "model_missing" else model


def _rule(kind: type[UpstreamError]) -> Rule:
    return next(rule for ancestor in kind.__mro__ if (rule := RULES.get(ancestor)) is not None)
