"""What runs on this machine: model servers that answer on loopback become accounts, with the models they have now.

Plain GETs to this machine only, 200 ms each, all at once and never before the gateway is ready. Nothing here fails a
start: a server that does not answer, or answers nonsense, is not there.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from omniroute.accounts import Accounts
from omniroute.addresses import is_loopback_url
from omniroute.asking import Asking
from omniroute.contracts import Account, HttpRequest, ModelFacts, Probe, Provider
from omniroute.control import ControlClient
from omniroute.errors import GatewayError
from omniroute.logs import get_logger
from omniroute.model_lists import read_list
from omniroute.registry import Registry

__all__ = ["Discovery", "Found"]

PROBE_TIMEOUT_S = 0.2
LIST_TIMEOUT_S = 2.0
PAUSE_S = 30.0
"""Between two looks: a server started after the gateway is found without a restart."""

CONFIGURED = frozenset({"settings", "database"})

log = get_logger(__name__)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One place that was looked at."""

    provider: str
    probe: Probe
    answers: bool
    models: tuple[str, ...] = ()


class Discovery:
    """Looks, and keeps the accounts current. One per gateway."""

    def __init__(self, registry: Registry, accounts: Accounts, control: ControlClient) -> None:
        self._registry = registry
        self._accounts = accounts
        self._control = control
        self._asking = Asking(control.send)
        self._last: tuple[Found, ...] = ()

    async def look(self) -> tuple[Found, ...]:
        """Look once at everything the providers know of, and make what answers into accounts."""
        found = [await self._look_for(provider) for provider in self._registry.providers.values()]
        self._last = tuple(one for of_provider in found for one in of_provider)
        return self._last

    async def keep_looking(self, pause_s: float = PAUSE_S) -> None:
        """Look again and again until cancelled; returns at once when no provider has anything to look for."""
        while any(provider.probe() for provider in self._registry.providers.values()):
            await asyncio.sleep(pause_s)
            before = {one.probe.name: one.models for one in self._last if one.answers}
            after = {one.probe.name: one.models for one in await self.look() if one.answers}
            for name in after.keys() - before.keys():
                log.info("found a local model server", name=name, models=len(after[name]))
            for name in before.keys() - after.keys():
                log.info("a local model server is gone", name=name)

    async def _look_for(self, provider: Provider) -> Sequence[Found]:
        probes = [probe for probe in provider.probe() if _is_local(probe, provider)]
        if not probes:
            return ()
        name = provider.facts.name
        found, _ = await asyncio.gather(
            asyncio.gather(*(self._try(provider, probe) for probe in probes)), self._refresh_configured(provider)
        )
        self._accounts.set_discovered(name, [account for account in found if account is not None])
        return [
            Found(
                provider=name,
                probe=probe,
                answers=account is not None,
                models=tuple(model.id for model in (account.models if account else None) or ()),
            )
            for probe, account in zip(probes, found, strict=True)
        ]

    async def _try(self, provider: Provider, probe: Probe) -> Account | None:
        if not await self._answers(probe):
            return None
        account = Account(provider=provider.facts.name, name=probe.name, base_url=probe.base_url, origin="discovered")
        return msgspec.structs.replace(account, models=await self._models_of(provider, account))

    async def _refresh_configured(self, provider: Provider) -> None:
        """Servers of the same kind that somebody named, wherever they are."""
        accounts = [account for account in self._accounts.of(provider.facts.name) if account.origin in CONFIGURED]
        lists = await asyncio.gather(*(self._models_of(provider, account) for account in accounts))
        for account, models in zip(accounts, lists, strict=True):
            self._accounts.set_models(account.id, models)

    async def _answers(self, probe: Probe) -> bool:
        try:
            response = await self._control.send(HttpRequest(method="GET", url=probe.url), timeout_s=PROBE_TIMEOUT_S)
        except GatewayError:
            return False
        return 200 <= response.status < 300

    async def _models_of(self, provider: Provider, account: Account) -> tuple[ModelFacts, ...] | None:
        """What the account's server serves now; None when it does not say."""
        translator = self._registry.translators[provider.facts.dialect]
        try:
            return await read_list(self._asking, account, provider, translator, timeout_s=LIST_TIMEOUT_S)
        except GatewayError as error:
            log.warning("no model list", account=account.id, error=error.code, reason=error.message)
        except Exception as error:  # a plugin's fault
            log.error("no model list", account=account.id, exc_info=error)
        return None


def _is_local(probe: Probe, provider: Provider) -> bool:
    """A probe is a call nobody asked for, so it stays on this machine, whatever a plugin says."""
    local = is_loopback_url(probe.url) and is_loopback_url(probe.base_url)
    if not local:
        log.error("a probe beyond this machine was refused", provider=provider.facts.name, probe=probe.name)
    return local
