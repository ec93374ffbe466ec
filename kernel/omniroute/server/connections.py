"""What the connections of one server share."""

import asyncio
from typing import TYPE_CHECKING

from uvicorn.server import ServerState

from omniroute.logs import get_logger
from omniroute.server.limits import ServerLimits
from omniroute.server.refusals import Refusal
from omniroute.server.strangers import Strangers

if TYPE_CHECKING:
    from omniroute.server.protocol import GuardedProtocol

__all__ = ["Connections"]

log = get_logger("omniroute.server")

LOGGED_PER_S = 20
"""Refusals; further ones are counted. Anybody can cause them, and a log must not be filled from outside."""


class Connections(ServerState):
    def __init__(self, limits: ServerLimits) -> None:
        super().__init__()
        self.limits = limits
        self.strangers = Strangers(limits.max_strangers, trusts_loopback=limits.trusts_loopback)
        self.draining = False
        """Answers say `connection: close` from here on."""
        self.turned_away: set[GuardedProtocol] = set()
        """Beyond a limit: being told so."""
        self.none_left = asyncio.Event()
        self.none_left.set()
        self._refused = 0

    def log_refusal(self, refusal: Refusal) -> None:
        self._refused += 1
        if self._refused <= LOGGED_PER_S:
            log.info("request refused", status=refusal.status, code=refusal.code, reason=refusal.message)

    def next_second(self) -> None:
        if self._refused > LOGGED_PER_S:
            log.warning("more requests refused", requests=self._refused - LOGGED_PER_S)
        self._refused = 0
