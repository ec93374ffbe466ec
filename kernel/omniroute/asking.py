"""Questions to an upstream about one account, off the request's path: which models, how much is left.

With a token that is good now, through the account's own proxy, once more with a new token when the old one is refused.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from omniroute.contracts import Account, HttpRequest, HttpResponse

__all__ = ["Asking", "Tokens"]

REFUSED = 401


class Tokens(Protocol):
    """Who renews tokens."""

    async def current(self, account: Account) -> Account:
        """The account with a token that is good now. Raises `UpstreamError`."""
        ...

    async def renewed(self, account: Account) -> Account | None:
        """The account with another token than this one, which was refused; None when there is none to be had."""
        ...


class Asking:
    """One per gateway. `send` is the control plane's."""

    def __init__(self, send: Callable[..., Awaitable[HttpResponse]], tokens: Tokens | None = None) -> None:
        self._send = send
        self._tokens = tokens

    async def ask(
        self, account: Account, question: Callable[[Account], HttpRequest | None], *, timeout_s: float
    ) -> HttpResponse | None:
        """The answer, whatever its status; None when there is no question. Raises `GatewayError` when nobody answers."""
        if self._tokens is not None:
            account = await self._tokens.current(account)
        response = await self._ask(account, question, timeout_s)
        if response is None or response.status != REFUSED or self._tokens is None:
            return response
        renewed = await self._tokens.renewed(account)
        return response if renewed is None else await self._ask(renewed, question, timeout_s)

    async def _ask(
        self, account: Account, question: Callable[[Account], HttpRequest | None], timeout_s: float
    ) -> HttpResponse | None:
        request = question(account)
        if request is None:
            return None
        proxy = None if account.proxy is None else account.proxy.reveal()
        return await self._send(msgspec.structs.replace(request, proxy=proxy), timeout_s=timeout_s)
