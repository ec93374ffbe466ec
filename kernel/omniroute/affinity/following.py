"""One request's side of affinity: who is asked first for the sake of its conversation, and what that meant once it is served."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from omniroute.affinity.bindings import Binding, Bindings, SavedBinding
from omniroute.affinity.keys import SessionKeys, asks_for_an_hour
from omniroute.affinity.price import Side, weigh
from omniroute.affinity.threads import Threads
from omniroute.contracts import AffinityDecision, AffinityRecord, AttemptRecord, Price, RequestHead, Standing, Target
from omniroute.health import Health
from omniroute.routing import Candidate, Route
from omniroute.screening import BYTES_PER_TOKEN

if TYPE_CHECKING:
    from omniroute.exchange import Exchange

__all__ = ["Affinity", "Following", "SavedAffinity"]

SECRET_BYTES = 32

ESCAPES = 2
"""In a row, and the conversation moves for good."""
GONE = "gone"
LASTING = frozenset(
    {
        GONE,
        "account_blocked",
        "auth_suspect",
        "context_length_exceeded",
        "model_missing",
        "model_not_found",
        "no_tools",
        "no_vision",
        "quota_exhausted",
        "sign_in_required",
        "upstream_account_blocked",
        "upstream_credential_rejected",
        "window_too_small",
    }
)
"""Why a target could not serve its conversation that will hold for the next turn too."""
MAX_WEIGHED = 8
"""Candidates looked at for one that could be asked instead."""


class SavedAffinity(msgspec.Struct, frozen=True, kw_only=True):
    """As it is written down; without the secret the keys would tell no conversation again."""

    secret: bytes
    bindings: Sequence[SavedBinding]


class Affinity:
    """One per gateway. In memory and sync; asking changes nothing, so that it may be rehearsed."""

    def __init__(self, health: Health) -> None:
        """What a target's health is, it is told on `health`'s clock."""
        self._keys = SessionKeys(secrets.token_bytes(SECRET_BYTES))
        self._health = health
        self.bindings = Bindings(clock=health.clock)
        self.threads = Threads()

    def follow(
        self,
        exchange: "Exchange",
        route: Route,
        standing: Mapping[Target, Standing],
        *,
        reader: tuple[str, str] | None = None,
    ) -> "Following | None":
        """None when there is nothing to follow: affinity is off, or nobody to choose among, or nothing to tell the
        conversation by. `reader` is the provider and account that alone can read what the request carries: it is asked first
        whatever that costs, for anybody else gets the request without."""
        head, principal = exchange.head, exchange.principal
        if len(route.overview.by_target) < 2 or exchange.operation != "chat":
            return None
        if reader is not None and (pinned := _at(route, reader)) is not None:
            return Following(self, b"", None, route, standing, tokens=0, long=False, pinned=pinned)
        if not route.terms.session_affinity:
            return None
        assert head is not None
        assert principal is not None
        conversation = self._keys.of(principal.key_id, head.model, head)
        if conversation is None:
            return None
        binding = None if conversation.is_new else self.bindings.of(conversation.key)
        long = asks_for_an_hour(head, exchange.translator.hour_mark)
        return Following(
            self, conversation.key, binding, route, standing, tokens=len(exchange.body) // BYTES_PER_TOKEN, long=long
        )

    def hold(self, candidate: Candidate) -> str | None:
        """Why it is left out now."""
        hold = self._health.hold(candidate)
        return None if hold is None else hold.reason

    # --- for keeping it: `wall_s` is the Unix time

    def dump(self, wall_s: float) -> SavedAffinity:
        return SavedAffinity(secret=self._keys.secret, bindings=self.bindings.dump(wall_s))

    def load(self, saved: SavedAffinity, wall_s: float) -> None:
        """Raises `ValueError` when that cannot be."""
        if len(saved.secret) != SECRET_BYTES:
            raise ValueError("the secret of the digests has another length")
        self._keys = SessionKeys(saved.secret)
        self.bindings.load(saved.bindings, wall_s)

    # --- threads that an upstream keeps

    def pin(self, key_id: str, head: RequestHead) -> tuple[str, str] | None:
        """Provider and account that alone can go on with what the request continues; None when nobody knows of any."""
        if head.previous_response_id is None:
            return None
        return self.threads.owner(self._keys.of_thread(key_id, head.previous_response_id))

    def stored(self, key_id: str, answer_id: str, owner: Candidate) -> None:
        """An upstream keeps this answer, and a later request may go on from it."""
        self.threads.stored(self._keys.of_thread(key_id, answer_id), owner.target.provider, owner.target.account)


class Following:
    """Of one request whose conversation is known by `key`."""

    __slots__ = (
        "_affinity",
        "_binding",
        "_bound",
        "_key",
        "_long",
        "_pinned",
        "_route",
        "_standing",
        "_tokens",
        "record",
    )

    def __init__(
        self,
        affinity: Affinity,
        key: bytes,
        binding: Binding | None,
        route: Route,
        standing: Mapping[Target, Standing],
        *,
        tokens: int,
        long: bool,
        pinned: Candidate | None = None,
    ) -> None:
        self._affinity = affinity
        self._key = key
        self._binding = binding
        self._route = route
        self._standing = standing
        self._tokens = tokens
        self._long = long
        self._pinned = pinned
        self._bound = pinned if binding is None else route.overview.by_target.get(binding.target)
        self.record = AffinityRecord(decision="new" if pinned is None else "pin")
        """What was decided, so far."""
        if binding is not None:
            self._decide(*(("rebind", GONE) if self._bound is None else ("stay", "")))

    def order(self, candidates: Iterator[Candidate]) -> Iterator[Candidate]:
        """`candidates`, and before them the one that served the conversation last, unless leaving it costs less."""
        return candidates if self._bound is None else self._ordered(candidates, self._bound)

    def _ordered(self, candidates: Iterator[Candidate], bound: Candidate) -> Iterator[Candidate]:
        looked_at: list[Candidate] = []
        if self._pinned is None and self._leaves(candidates, bound, looked_at):
            yield from chain(looked_at, candidates)
            return
        yield bound
        for candidate in chain(looked_at, candidates):
            if candidate is not bound:
                yield candidate

    # --- what it costs

    def _leaves(self, candidates: Iterator[Candidate], bound: Candidate, looked_at: list[Candidate]) -> bool:
        """Strategies are asked whom they would choose only when the best price in the route could make that one the cheaper
        way: asking a round-robin counts a turn."""
        least = Side(price=Price(input_usd=self._route.overview.cheapest_rate))
        if self._weigh(bound, least) or (other := self._other(candidates, bound, looked_at)) is None:
            self._decide("stay", "", self.record.warm_usd, self.record.cold_usd)
            return False
        return not self._weigh(bound, self._side(other))

    def _other(self, candidates: Iterator[Candidate], bound: Candidate, looked_at: list[Candidate]) -> Candidate | None:
        """Whom the strategies would choose; None when that is the same, or nobody who may be asked."""
        for candidate in candidates:
            looked_at.append(candidate)
            if candidate is bound or len(looked_at) == MAX_WEIGHED:
                return None
            if self._affinity.hold(candidate) is None:
                return candidate
        return None

    def _weigh(self, bound: Candidate, other: Side) -> bool:
        """Whether it stays; noted."""
        assert self._binding is not None
        weighed = weigh(self._side(bound), other, input_tokens=self._tokens, warm_tokens=self._binding.tokens)
        self._decide("stay" if weighed.stays else "switch", weighed.reason, weighed.warm_usd, weighed.cold_usd)
        return weighed.stays

    def _side(self, candidate: Candidate) -> Side:
        standing = self._standing[candidate.target]
        return Side(price=candidate.model.price, error_rate=standing.error_rate, quota_left=standing.quota_left)

    # --- what became of it

    def served(self, by: Candidate, attempts: Sequence[AttemptRecord]) -> None:
        """Somebody has answered. `attempts` are those of this request, skips too."""
        if self._pinned is not None:
            if by is not self._pinned:
                self._decide("rebind", self._why_not(self._pinned, attempts))
            return
        bindings, binding = self._affinity.bindings, self._binding
        if by.target not in self._route.overview.by_target:
            return  # the last resort is no place to stay
        if binding is None or self._bound is None or by is self._bound or self.record.decision == "switch":
            bindings.bind(self._key, by.target, tokens=self._tokens, long=self._long)
            return
        why = self._why_not(self._bound, attempts)
        if why in LASTING or binding.escapes + 1 >= ESCAPES:
            self._decide("rebind", why, self.record.warm_usd, self.record.cold_usd)
            bindings.bind(self._key, by.target, tokens=self._tokens, long=self._long)
        else:
            self._decide("escape", why, self.record.warm_usd, self.record.cold_usd)
            bindings.escape(self._key, binding, long=self._long)

    def _why_not(self, bound: Candidate, attempts: Sequence[AttemptRecord]) -> str:
        target = bound.target
        said = [
            attempt.error
            for attempt in attempts
            if attempt.error is not None
            and (attempt.account, attempt.provider, attempt.model) == (target.account, target.provider, target.model)
        ]
        now = self._affinity.hold(bound)
        found = [*said, *([now] if now else [])]
        return next((why for why in found if why in LASTING), found[-1] if found else "not asked")

    def _decide(
        self, decision: AffinityDecision, reason: str, warm_usd: float | None = None, cold_usd: float | None = None
    ) -> None:
        self.record = AffinityRecord(decision=decision, reason=reason, warm_usd=warm_usd, cold_usd=cold_usd)


def _at(route: Route, account: tuple[str, str]) -> Candidate | None:
    """The route's first candidate at this provider and account."""
    found = route.overview.by_target.values()
    return next((each for each in found if (each.target.provider, each.target.account) == account), None)
