"""Which models an account has, by its provider's own word: asked for in the background, kept until something else is heard.

What a list does not say the provider's facts say, field by field. A list that cannot be had leaves what was known.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from functools import partial
from urllib.parse import urlencode

import msgspec

from omniroute.accounts import Accounts
from omniroute.asking import Asking
from omniroute.contracts import Account, HttpRequest, ModelFacts, Provider, ProviderFacts, Translator
from omniroute.errors import GatewayError
from omniroute.logs import get_logger

__all__ = ["ModelLists", "joined", "list_request", "read_list"]

AT_ONCE = 8
BATCH = 64
TIMEOUT_S = 20.0
MAX_PAGES = 20
"""Of one list; what stands behind them is not seen."""
PAUSE_S = 30.0
"""Between two looks for accounts that are new."""
CONFIGURED = frozenset({"settings", "database"})

log = get_logger(__name__)


class ModelLists:
    """One per gateway."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        translators: Mapping[str, Translator],
        accounts: Accounts,
        asking: Asking,
        *,
        interval_s: float,
        stated: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`stated` names the providers whose models the settings list: those are theirs, whatever an upstream says; it is
        asked for all the same what it knows of them."""
        self._providers = providers
        self._translators = translators
        self._accounts = accounts
        self._asking = asking
        self._interval_s = interval_s
        self._stated = stated
        self._clock = clock
        self._sleep = sleep
        self._asked_s: dict[str, float] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def keep_reading(self) -> None:
        """Until cancelled; returns at once when the interval is 0. A start has better things to do first."""
        while self._interval_s:
            await self._sleep(min(PAUSE_S, self._interval_s))
            await self.read(self._due())

    def _due(self) -> list[Account]:
        now_s = self._clock()
        asked = self._asked_s
        return [
            account
            for account in self._accounts.all()
            if account.origin in CONFIGURED
            and not account.paused
            and account.id not in self._accounts.locked
            and account.provider in self._providers
            and (account.id not in asked or now_s - asked[account.id] >= self._interval_s)
        ]

    async def read(self, accounts: Iterable[Account]) -> None:
        """Ask for the lists of these, a few at a time, and use them a batch at a time: each changes the routes."""
        wanted = list(accounts)
        for at in range(0, len(wanted), BATCH):
            batch = wanted[at : at + BATCH]
            found = await asyncio.gather(*(self._read(account) for account in batch))
            lists = {account.id: models for account, models in zip(batch, found, strict=True) if models is not None}
            if lists:
                self._accounts.set_model_lists(lists)

    async def _read(self, account: Account) -> tuple[ModelFacts, ...] | None:
        """None when there is no list to be had."""
        self._asked_s[account.id] = self._clock()
        provider = self._providers[account.provider]
        translator = self._translators[provider.facts.dialect]
        try:
            async with self._slots:
                models = await read_list(self._asking, account, provider, translator, timeout_s=TIMEOUT_S)
        except GatewayError as error:
            log.info("no model list", account=account.id, error=error.code, reason=error.message)
        except Exception as error:  # a plugin's fault
            log.error("no model list", account=account.id, exc_info=error)
        else:
            return None if models is None else self._with_facts(models, provider.facts)
        return None

    def _with_facts(self, models: tuple[ModelFacts, ...], facts: ProviderFacts) -> tuple[ModelFacts, ...]:
        known = {model.id: model for model in facts.models}
        live = {model.id: joined(model, known.get(model.id)) for model in models}
        if facts.name in self._stated:
            return tuple(live.get(model.id, model) for model in facts.models)
        return tuple(live.values())


async def read_list(
    asking: Asking, account: Account, provider: Provider, translator: Translator, *, timeout_s: float
) -> tuple[ModelFacts, ...] | None:
    """The account's list, to its end; None when its provider has none. `timeout_s` is for each page.

    Raises what the provider makes of a refusal, and `UpstreamGarbled`.
    """
    found: dict[str, ModelFacts] = {}
    query = translator.models_query
    for _ in range(MAX_PAGES):
        response = await asking.ask(account, partial(list_request, provider, translator, query), timeout_s=timeout_s)
        if response is None:
            return None
        if response.status != 200 and (error := provider.classify(response)) is not None:
            raise error
        found |= {model.id: model for model in translator.decode_models(response.body)}
        following = translator.next_models_page(response.body)
        if following is None:
            break
        query = {**translator.models_query, **following}
    return tuple(found.values())


def list_request(
    provider: Provider, translator: Translator, query: Mapping[str, str], account: Account
) -> HttpRequest | None:
    """For a page of the list, with the headers that every upstream of the dialect wants; None when there is no list."""
    listing = provider.list_models(account, translator.credential)
    if listing is None:
        return None
    request = listing.request
    url = f"{request.url}{'&' if '?' in request.url else '?'}{urlencode(query)}" if query else request.url
    return msgspec.structs.replace(request, url=url, headers={**translator.default_headers(), **request.headers})


def joined(live: ModelFacts, known: ModelFacts | None) -> ModelFacts:
    """The live word where there is one, else the facts'."""
    if known is None:
        return live
    unsaid = {
        name: value
        for name, value in msgspec.structs.asdict(known).items()
        if getattr(live, name) in (None, (), False) or name == "timeouts"
    }
    return msgspec.structs.replace(live, **unsaid)
