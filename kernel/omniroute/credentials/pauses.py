"""Pauses after refreshes that failed: an account is not refreshed for a while, longer with each failure in a row."""

from collections.abc import Callable

import msgspec

from omniroute.errors import GatewayError, SignInRequired

__all__ = ["Pause", "Pauses"]

FIRST_S, LONGEST_S = 5.0, 300.0


class Pause(msgspec.Struct):
    until_s: float
    """Monotonic."""
    failures: int
    error: GatewayError
    """The last one."""


class Pauses:
    def __init__(self, monotonic: Callable[[], float], *, after_refusal_s: float) -> None:
        """After a refusal for good the pause is at least `after_refusal_s`: that long the next one would not count."""
        self._monotonic = monotonic
        self._after_refusal_s = after_refusal_s
        self._pauses: dict[str, Pause] = {}

    def begin(self, account_id: str, error: GatewayError) -> None:
        before = self._pauses.get(account_id)
        failures = 1 if before is None else before.failures + 1
        pause_s = min(FIRST_S * 2 ** (failures - 1), LONGEST_S)
        if isinstance(error, SignInRequired):
            pause_s = max(pause_s, self._after_refusal_s)
        self._pauses[account_id] = Pause(until_s=self._monotonic() + pause_s, failures=failures, error=error)

    def of(self, account_id: str) -> Pause | None:
        """The one that lasts."""
        pause = self._pauses.get(account_id)
        return pause if pause is not None and pause.until_s > self._monotonic() else None

    def left_s(self, account_id: str) -> float | None:
        pause = self.of(account_id)
        return None if pause is None else pause.until_s - self._monotonic()

    def end(self, account_id: str) -> None:
        """A refresh went well, or a person knows better."""
        self._pauses.pop(account_id, None)
