"""Asks providers how much is left: in the background, a few at a time, no account more often than it must be.

Never for a page or a command: those are told what is known. What cannot be asked is asked more and more seldom.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from omniroute.asking import Asking
from omniroute.contracts import Account, Provider
from omniroute.cooling import Cooling
from omniroute.errors import GatewayError, UpstreamGarbled
from omniroute.logs import get_logger
from omniroute.quota.readings import Quotas

__all__ = ["QuotaReader"]

AT_ONCE = 8
TIMEOUT_S = 15.0
PAUSE_S = 30.0
"""Between two looks for accounts that are due."""
MOST_FAILURES = 5
"""Each doubles the pause, up to thirty-two times."""

log = get_logger(__name__)


class QuotaReader:
    """One per gateway."""

    def __init__(
        self,
        quotas: Quotas,
        providers: Mapping[str, Provider],
        accounts: Callable[[], Iterable[Account]],
        asking: Asking,
        cooling: Cooling | None = None,
        *,
        interval_s: float,
        skip_at: float = 0.0,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`accounts`: those that may be used now. `cooling` is told when a quota turns out to be there again."""
        self._quotas = quotas
        self._providers = providers
        self._accounts = accounts
        self._asking = asking
        self._cooling = cooling
        self._interval_s = interval_s
        self._skip_at = skip_at
        self._clock = clock
        self._sleep = sleep
        self._failures: dict[str, int] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def keep_reading(self) -> None:
        """Until cancelled; returns at once when the interval is 0. A start has better things to do first."""
        while self._interval_s:
            await self._sleep(min(PAUSE_S, self._interval_s))
            await self.read()

    async def read(self, *, due_only: bool = True) -> None:
        """Ask once for every account that is due."""
        accounts = list(self._accounts())
        self._quotas.keep(accounts)
        wanted = [account for account in accounts if not due_only or self._is_due(account)]
        await asyncio.gather(*(self._read(account) for account in wanted))

    def _is_due(self, account: Account) -> bool:
        asked_at_s = self._quotas.asked_at_s(account)
        pause_s = self._interval_s * 2 ** self._failures.get(account.id, 0)
        return asked_at_s is None or self._clock() - asked_at_s >= pause_s

    async def _read(self, account: Account) -> None:
        provider = self._providers[account.provider]
        if provider.quota(account) is None:
            return
        async with self._slots:
            try:
                response = await self._asking.ask(account, provider.quota, timeout_s=TIMEOUT_S)
                if response is None:
                    return
                if response.status != 200:
                    raise provider.classify(response) or UpstreamGarbled(f"the upstream answered {response.status}")
                windows = tuple(provider.read_quota(response))
            except GatewayError as error:
                self._failed(account, error.text)
                log.info("quota not read", account=account.id, error=error.code)
                return
            except Exception as error:  # a plugin's fault
                self._failed(account, "its plugin failed")
                log.error("quota not read", account=account.id, exc_info=error)
                return
        self._failures.pop(account.id, None)
        self._quotas.answered(account, windows)
        if windows and self._cooling is not None and not self._quotas.is_low(account, self._skip_at):
            self._cooling.refilled(account.provider, account.name)

    def _failed(self, account: Account, reason: str) -> None:
        self._failures[account.id] = min(self._failures.get(account.id, 0) + 1, MOST_FAILURES)
        self._quotas.failed(account, reason)
