"""Where a request leads and in what order, before anything is sent: the pipeline serves it, a dry run only shows it.

Both take the same steps. The dry run works on copies of the strategies and looks at standings without touching them, so that it
counts no turn and leaves no trace.
"""

import copy
import random
import re
from collections.abc import Callable, Iterator, Mapping

import msgspec

from omniroute.affinity import Affinity
from omniroute.contracts import RouteContext, Standing, Strategy, Target
from omniroute.errors import InternalError
from omniroute.exchange import Exchange
from omniroute.json_guard import check_json, check_model
from omniroute.passport import Origin
from omniroute.routing import Candidate, Route, Router
from omniroute.screening import BYTES_PER_TOKEN
from omniroute.settings import Settings

__all__ = ["Planner", "copied"]

OPENING_BYTES = 4096
"""An answer's id stands in its first event, or at its head."""


class Planner:
    """One per gateway."""

    def __init__(
        self,
        settings: Settings,
        router: Router,
        *,
        affinity: Affinity | None = None,
        reader_of: Callable[[Exchange], Origin | None] | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`reader_of` says who alone can read what is encrypted in a request; `draw` is the strategies' chance, 0 to 1."""
        self._router = router
        self._affinity = affinity
        self._reader_of = reader_of
        self._draw = draw
        self._max_json_depth = settings.limits.max_json_depth
        self._loss_policy = settings.translation.loss

    def read(self, exchange: Exchange) -> Route:
        """The head of the body, where its model leads, and what may be lost on the way, all noted in the exchange.

        Raises `InvalidRequest` and `ModelNotFound`.
        """
        check_json(exchange.body, max_depth=self._max_json_depth)
        head = exchange.head = exchange.translator.read_head(exchange.body, exchange.params, exchange.headers)
        check_model(exchange.body, head.turns)
        route = exchange.route = self._router.resolve(head.model)
        assert exchange.principal is not None
        exchange.loss_policy = exchange.principal.loss or route.loss or self._loss_policy
        if self._affinity is not None and head.previous_response_id is not None and exchange.operation == "chat":
            exchange.pinned = self._affinity.pin(exchange.principal.key_id, head)
        return route

    def candidates(self, exchange: Exchange, now_s: float) -> Iterator[Candidate]:
        """All that may serve what was read, best first; accounts and inner combos are ordered when it is their turn."""
        assert exchange.route is not None
        if len(exchange.route.overview.by_target) < 2:  # no choice: no strategy counts a turn
            return iter(exchange.route.overview.by_target.values())
        return self._ordered(exchange, exchange.route, now_s, self._router.standing.view, self._draw)

    def rehearsed(
        self, exchange: Exchange, now_s: float, draw: Callable[[], float] | None = None
    ) -> Iterator[Candidate]:
        """The same, in the order it would be now, with nothing changed by asking. `draw` is instead of the usual chance."""
        assert exchange.route is not None
        standing = self._router.standing.seen
        return self._ordered(exchange, _rehearsal(exchange.route, {}), now_s, standing, draw or self._draw)

    def _ordered(
        self,
        exchange: Exchange,
        route: Route,
        now_s: float,
        standing: Mapping[Target, Standing],
        draw: Callable[[], float],
    ) -> Iterator[Candidate]:
        assert exchange.head is not None
        context = RouteContext(
            combo="",
            session=exchange.head.session,
            now_s=now_s,
            draw=draw,
            standing=standing,
            input_tokens_estimate=len(exchange.body) // BYTES_PER_TOKEN,
        )
        found = self._router.candidates(route, context)
        if self._affinity is None:
            return found
        reader = self._reader_of(exchange) if self._reader_of is not None else None
        following = exchange.following = self._affinity.follow(exchange, route, standing, reader=reader)
        return found if following is None else following.order(found)

    def served(self, exchange: Exchange, opening: bytes | bytearray) -> None:
        """Somebody answers; `opening` are the answer's first bytes. What follows for the conversation's next turns."""
        served, principal = exchange.served_by, exchange.principal
        if self._affinity is None or served is None or principal is None:
            return
        if exchange.following is not None:
            exchange.following.served(served, exchange.attempts)
        pattern = served.translator.thread_pattern
        if pattern and exchange.relayed and (found := re.search(pattern, opening[:OPENING_BYTES])):
            self._affinity.stored(principal.key_id, found[1].decode("utf-8", "replace"), served)


def _rehearsal(route: Route, copies: dict[int, Strategy]) -> Route:
    """The route with strategies that may be asked without consequences; one that stands in two places has one copy."""
    entries = tuple(
        _rehearsal(entry, copies)
        if isinstance(entry, Route)
        else msgspec.structs.replace(entry, strategy=copied(entry.strategy, copies))
        for entry in route.entries
    )
    return msgspec.structs.replace(
        route,
        entries=entries,
        strategy=copied(route.strategy, copies),
        by_target={entry.target: entry for entry in entries} if route.by_target else {},
    )


def copied(strategy: Strategy | None, copies: dict[int, Strategy]) -> Strategy | None:
    """One that may be asked without consequences; the same for the same. Raises `InternalError` when there can be none."""
    if strategy is None or id(strategy) in copies:
        return None if strategy is None else copies[id(strategy)]
    try:
        made = copies[id(strategy)] = copy.deepcopy(strategy)
    except Exception as error:
        raise InternalError(
            f"the strategy {strategy.name!r} cannot be rehearsed",
            why=f"no copy of it can be made: {type(error).__name__}: {error}",
            fix="its plugin must keep what can be copied with copy.deepcopy",
        ) from error
    return made
