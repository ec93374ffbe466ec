"""What is known of quotas: the last word on each window, and how it came to be. Sync, in memory, on clocks that are given.

Windows come from a provider's usage endpoint, whole, and from the headers of answers, one by one; the newest word on a window
counts. A window whose reset has passed is full again, until somebody says otherwise.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from omniroute.contracts import Account, ModelFacts, Provider, QuotaWindow, Target
from omniroute.cooling import Hold, Reason
from omniroute.provider import FactsProvider
from omniroute.quota.forecast import Forecast, Sample, forecast
from omniroute.routing import Candidate
from omniroute.screening import Needs, Screen, Skip

__all__ = ["QuotaReading", "Quotas", "WindowReading", "spent"]

MOST_SAMPLES = 48
LEAST_APART_S = 60.0
"""Between two samples: headers come with every answer."""
REFILL = 0.02
"""A share that rose by more was filled up meanwhile: what came before says nothing any more."""
STALE_S = 3600.0
"""An older word is not acted upon."""
EXHAUSTED: Reason = "quota_exhausted"
WORTH_TELLING = 0.005
Left: TypeAlias = tuple[float, float | None]
"""Share, and the monotonic time at which it is all there again."""


class WindowReading(msgspec.Struct, frozen=True, kw_only=True):
    """A window, and where it leads."""

    window: QuotaWindow
    read_at_s: float
    forecast: Forecast | None = None


class QuotaReading(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one account. Times are Unix time."""

    account: str
    windows: tuple[WindowReading, ...] = ()
    error: str | None = None
    """Why it could not be asked the last time."""
    asked_at_s: float | None = None


class _Kept:
    __slots__ = ("read_at_s", "samples", "told", "window")

    def __init__(self, window: QuotaWindow, read_at_s: float) -> None:
        self.window = window
        self.read_at_s = read_at_s
        self.samples: deque[Sample] = deque(maxlen=MOST_SAMPLES)
        self.told: float | None = None
        """The share that others know of."""

    def hear(self, window: QuotaWindow, now_s: float) -> None:
        self.window, self.read_at_s = window, now_s
        if window.share_left is None:
            return
        if self.samples and window.share_left > self.samples[-1][1] + REFILL:
            self.samples.clear()
        if not self.samples or now_s - self.samples[-1][0] >= LEAST_APART_S:
            self.samples.append((now_s, window.share_left))

    def left(self, now_s: float) -> float | None:
        """None when that is not known any more."""
        if now_s - self.read_at_s > STALE_S:
            return None
        resets_at_s = self.window.resets_at_s
        return 1.0 if resets_at_s is not None and resets_at_s <= now_s else self.window.share_left


class _Known:
    __slots__ = ("asked_at_s", "error", "windows")

    def __init__(self) -> None:
        self.windows: dict[tuple[str, str | None], _Kept] = {}
        self.error: str | None = None
        self.asked_at_s: float | None = None


NOBODY: Mapping[str, _Known] = {}


class Quotas:
    """One per gateway. `on_change` is called with provider and account whenever a window's share is another."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        *,
        on_change: Callable[[str, str], None] = lambda provider, account: None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._providers = providers
        self._telling = frozenset(name for name, provider in providers.items() if _tells(provider))
        self.on_change = on_change
        self._clock = clock
        self._monotonic = monotonic
        self._known: dict[str, dict[str, _Known]] = {}

    # --- hearing ------------------------------------------------------------------------------------------------------

    def heard(self, target: Target, headers: Mapping[str, str]) -> None:
        """An answer has come; what its headers say of quotas counts."""
        if target.provider in self._telling:
            windows = self._providers[target.provider].read_rate_headers(headers)
            if windows:
                self._take(target.provider, target.account, windows)

    def answered(self, account: Account, windows: Sequence[QuotaWindow]) -> None:
        """The usage endpoint has said all there is: windows it does not name any more are gone."""
        known = self._take(account.provider, account.name, windows)
        named = {(window.name, window.bucket) for window in windows}
        known.windows = {key: kept for key, kept in known.windows.items() if key in named}
        known.error, known.asked_at_s = None, self._clock()

    def failed(self, account: Account, error: str) -> None:
        known = self._of(account.provider, account.name)
        known.error, known.asked_at_s = error, self._clock()

    def keep(self, accounts: Iterable[Account]) -> None:
        """Forget all other accounts."""
        wanted = {(account.provider, account.name) for account in accounts}
        self._known = {
            provider: {name: known for name, known in of_provider.items() if (provider, name) in wanted}
            for provider, of_provider in self._known.items()
        }

    def _take(self, provider: str, account: str, windows: Sequence[QuotaWindow]) -> _Known:
        known, now_s, is_other = self._of(provider, account), self._clock(), False
        for window in windows:
            key = window.name, window.bucket
            kept = known.windows.get(key)
            if kept is None:
                kept = known.windows[key] = _Kept(window, now_s)
            kept.hear(window, now_s)
            if _differ(kept.told, window.share_left):
                kept.told, is_other = window.share_left, True
        if is_other:
            self.on_change(provider, account)
        return known

    def _of(self, provider: str, account: str) -> _Known:
        return self._known.setdefault(provider, {}).setdefault(account, _Known())

    def _get(self, provider: str, account: str) -> _Known | None:
        return self._known.get(provider, NOBODY).get(account)

    # --- telling ------------------------------------------------------------------------------------------------------

    def reading(self, account: Account) -> QuotaReading:
        known, now_s = self._get(account.provider, account.name), self._clock()
        if known is None:
            return QuotaReading(account=account.id)
        windows = tuple(
            WindowReading(
                window=kept.window,
                read_at_s=kept.read_at_s,
                forecast=forecast(kept.samples, now_s, kept.window.resets_at_s),
            )
            for kept in known.windows.values()
        )
        return QuotaReading(account=account.id, windows=windows, error=known.error, asked_at_s=known.asked_at_s)

    def asked_at_s(self, account: Account) -> float | None:
        known = self._get(account.provider, account.name)
        return None if known is None else known.asked_at_s

    def knows(self, provider: str, account: str) -> bool:
        """Whether it is worth asking for more. Asked per candidate."""
        return bool(self._known) and self._get(provider, account) is not None

    def of_target(self, target: Target) -> Left | None:
        """As `left`. Of a target without an account it is that of its best account."""
        accounts = self._known.get(target.provider)
        if not accounts:
            return None
        bucket = self._providers[target.provider].bucket(ModelFacts(id=target.model))
        if target.account:
            return self.left(target.provider, target.account, bucket)
        found = [left for account in accounts if (left := self.left(target.provider, account, bucket)) is not None]
        return max(found, key=lambda left: left[0], default=None)

    def left(self, provider: str, account: str, bucket: str) -> Left | None:
        """The share left of the tightest window that counts for the bucket, and the monotonic time it is full again.

        None when nothing is known.
        """
        known = self._get(provider, account)
        if known is None or not known.windows:
            return None
        now_s = self._clock()
        found = [
            (left, kept.window.resets_at_s)
            for kept in known.windows.values()
            if kept.window.bucket in (None, bucket) and (left := kept.left(now_s)) is not None
        ]
        if not found:
            return None
        share, resets_at_s = min(found, key=lambda pair: (pair[0], -(pair[1] or 0.0)))
        return share, None if resets_at_s is None else resets_at_s - now_s + self._monotonic()

    def is_low(self, account: Account, share: float) -> bool:
        """Some window that counts for all of the account's models, or is the only one, has no more than that left."""
        known, now_s = self._get(account.provider, account.name), self._clock()
        lefts = [kept.left(now_s) for kept in known.windows.values()] if known is not None else []
        return any(left is not None and left <= share for left in lefts)


def spent(quotas: Quotas, skip_at: float, monotonic: Callable[[], float] = time.monotonic) -> Screen:
    """Leaves out accounts with no more than the share `skip_at` left, until it is full again.

    A request that has nothing else may have what is left; of what is all used up, nobody is asked.
    """

    def screen(candidate: Candidate, needs: Needs) -> Skip | None:
        target = candidate.target
        if not needs.cools or not quotas.knows(target.provider, target.account):
            return None
        known = quotas.left(target.provider, target.account, candidate.provider.bucket(candidate.model))
        if known is None:
            return None
        left, due_s = known
        if left > skip_at:
            return None
        now_s = monotonic()
        due_s = now_s + STALE_S if due_s is None else due_s
        hold = Hold(reason=EXHAUSTED, since_s=0.0, due_s=due_s, may_insist=left > 0)
        return Skip(reason=EXHAUSTED, detail=f"{left:.0%} of its quota is left", due_s=due_s, hold=hold)

    return screen


def _differ(told: float | None, share: float | None) -> bool:
    """By more than nobody cares about: shares move with every answer."""
    if told is None or share is None:
        return told is not share
    return abs(told - share) >= WORTH_TELLING or (share == 0) != (told == 0)


def _tells(provider: Provider) -> bool:
    """Its answers' headers are worth a look."""
    reads = getattr(type(provider), "read_rate_headers", None)
    return reads is not None and reads not in (FactsProvider.read_rate_headers, Provider.read_rate_headers)
