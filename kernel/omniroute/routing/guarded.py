"""A plugin's strategy on the path of requests: when it fails, only its own order is lost, and nobody's request."""

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from omniroute.contracts import Outcome, RouteContext, Strategy, Target
from omniroute.logs import get_logger

if TYPE_CHECKING:
    from omniroute.registry import Registry

__all__ = ["Guarded", "Guards"]

FAILURES, WINDOW_S = 5, 60.0
"""So many in that time, and it is not asked any more until the next start."""

log = get_logger(__name__)


class Guards:
    """One for each instance of a strategy, for good: what has failed too often stays off when routes are looked up anew."""

    def __init__(self, registry: "Registry") -> None:
        self._registry = registry
        self._made: dict[int, Guarded] = {}

    def of(self, strategy: Strategy) -> Strategy:
        guarded = self._made.get(id(strategy))
        if guarded is None:
            plugin = self._registry.origin_of.get(("strategy", strategy.name), "")
            guarded = self._made[id(strategy)] = Guarded(strategy, plugin)
        return guarded

    def pool(self, provider: str) -> Strategy | None:
        """What chooses among the provider's accounts; None keeps their order."""
        strategy = self._registry.account_strategies.get(provider)
        return None if strategy is None else self.of(strategy)


class Guarded:
    """Stands for one instance of a strategy. What it raises, and an order that is none, leaves the targets as they are.

    Time comes with the call: an outcome counts for the time of the last order.
    """

    def __init__(self, strategy: Strategy, plugin: str) -> None:
        """`plugin` is whom the log names."""
        self.name = strategy.name
        self.options_type = strategy.options_type
        self.is_off = False
        """It has failed too often."""
        self._strategy = strategy
        self._plugin = plugin
        self._now_s = 0.0
        self._failed_s: deque[float] = deque(maxlen=FAILURES)

    def order(self, targets: Sequence[Target], context: RouteContext) -> Sequence[Target]:
        if self.is_off:
            return targets
        self._now_s = context.now_s
        try:
            found = self._strategy.order(targets, context)
            if found is targets or (len(found) == len(targets) and set(found).issuperset(targets)):
                return found
        except Exception as error:  # whatever a stranger's code can raise
            self._failed("order", error)
        else:
            self._failed("order", ValueError("what it returned is not all of the targets, each once"))
        return targets

    def observe(self, outcome: Outcome) -> None:
        if self.is_off:
            return
        try:
            self._strategy.observe(outcome)
        except Exception as error:
            self._failed("observe", error)

    def _failed(self, doing: str, error: Exception) -> None:
        now, failed_s = self._now_s, self._failed_s
        if not failed_s or now - failed_s[-1] > WINDOW_S:  # the first of a row is enough to see what is wrong
            log.error("strategy failed", plugin=self._plugin, strategy=self.name, doing=doing, exc_info=error)
        failed_s.append(now)
        if len(failed_s) == FAILURES and now - failed_s[0] <= WINDOW_S:
            self.is_off = True
            log.error(
                "strategy switched off until the next start: the order of the list holds",
                plugin=self._plugin,
                strategy=self.name,
                failures=FAILURES,
                within_s=WINDOW_S,
            )
