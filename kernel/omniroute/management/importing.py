"""Taking over logins and keys, on the gateway's side: what may be looked at, what is new, and the accounts that come of it."""

import time
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from omniroute.accounts.rows import IDENTITY
from omniroute.contracts import Account, AuthScheme, Credential, Provider
from omniroute.credentials.clients import with_own_client
from omniroute.discovery import Discovery
from omniroute.errors import Conflict, InvalidRequest
from omniroute.importing.planning import planned
from omniroute.importing.values import (
    IMPORTED_FROM,
    IMPORTED_IDS,
    Candidate,
    ImportSources,
    LocalServer,
    Planned,
    TakeOver,
    import_provider,
)
from omniroute.management.account_values import AccountView, AddAccount
from omniroute.management.accounts import AccountManagement
from omniroute.proxies import check_proxy
from omniroute.secret import Secret

__all__ = ["ImportManagement", "Imported", "PlanImport"]

TAKES_OVER = "imported-token"
"""The auth scheme that begins with another program's tokens."""
ImportState: TypeAlias = Literal["new", "same", "renew"]


class PlanImport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    candidates: Annotated[tuple[Candidate, ...], Meta(max_length=10_000)]


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    account: AccountView
    state: ImportState
    """`same` when it turned out to be there already."""


class ImportManagement(AccountManagement):
    async def import_sources(self) -> ImportSources:
        """Where to look for what this gateway's providers could use."""
        registry = self._gateway.registry
        providers = tuple(import_provider(provider.facts) for provider in registry.providers.values())
        return ImportSources(
            providers=providers, prefixes=dict(registry.prefixes), dialects=tuple(registry.translators)
        )

    async def local_servers(self) -> list[LocalServer]:
        """Look for model servers on this machine, as the gateway does by itself while it runs."""
        gateway = self._gateway
        found = await Discovery(gateway.registry, gateway.accounts, gateway.control).look()
        return [
            LocalServer(
                account=f"{one.provider}/{one.probe.name}",
                display_name=one.probe.display_name,
                base_url=one.probe.base_url,
                models=len(one.models),
            )
            for one in found
            if one.answers
        ]

    async def plan_import(self, wanted: PlanImport) -> list[Planned]:
        """What would become of each, in the same order. Changes nothing."""
        gateway = self._gateway
        plans = planned(wanted.candidates, gateway.accounts.all(), gateway.registry.prefixes, time.time())
        return [
            msgspec.structs.replace(plan, state="blocked", why=why)
            if plan.state != "blocked" and (why := self._why_not(candidate))
            else plan
            for candidate, plan in zip(wanted.candidates, plans, strict=True)
        ]

    async def import_login(self, wanted: TakeOver) -> Imported:
        """Make an account of it, or give new tokens to the one it belongs to. Asks the vendor whose it is, where it can.

        Raises `InvalidRequest` and `Conflict`, and `UpstreamError` when the vendor does not take the token.
        """
        plan = await self._plan(wanted)
        if plan.state != "same":
            provider = self._provider(wanted.provider)
            credential = await self._taken_over(provider, wanted)
            known = {name: value for name, value in credential.metadata.items() if name in IDENTITY}
            wanted = msgspec.structs.replace(wanted, metadata={**wanted.metadata, **known})
            plan = await self._plan(wanted)  # now that it is known whose it is
        if plan.state == "same":
            return Imported(account=self._view(self._found(*plan.account.split("/", 1))), state="same")
        if plan.state == "renew":
            account = await self._again(
                plan.account, credential, replace=True
            )  # planning saw to it that it is the same
            return Imported(account=self._view(account), state="renew")
        return Imported(account=self._view(await self._new(provider, plan, wanted, credential)), state="new")

    async def _plan(self, wanted: TakeOver) -> Planned:
        [plan] = await self.plan_import(PlanImport(candidates=(wanted,)))
        if plan.state == "blocked":
            raise InvalidRequest(f"{wanted.provider}/{wanted.name} cannot be taken over", why=plan.why)
        return plan

    def _why_not(self, candidate: Candidate) -> str | None:
        facts = self._provider(candidate.provider).facts
        if candidate.kind == "login" and TAKES_OVER not in {facts.auth, *facts.auth_also}:
            return f"a sign-in to it cannot be taken over: omniroute account add {facts.name}"
        return None

    async def _taken_over(self, provider: Provider, wanted: TakeOver) -> Credential:
        gateway, proxy = self._gateway, None if wanted.proxy is None else check_proxy(Secret(wanted.proxy))
        facts = with_own_client(provider.facts, gateway.refresher.environ)
        flow = self._scheme_of(provider, wanted).sign_in(facts, _given(wanted))
        credential = await gateway.driver.run(flow, proxy=proxy)
        kept = {*import_provider(facts).metadata, *IDENTITY}
        metadata = {name: value for name, value in wanted.metadata.items() if name in kept} | dict(credential.metadata)
        marks = {IMPORTED_FROM: wanted.origin, IMPORTED_IDS: " ".join(wanted.token_ids)}
        credential = msgspec.structs.replace(credential, metadata=metadata | marks)
        return await gateway.driver.run(provider.finish_sign_in(credential), proxy=proxy)

    def _scheme_of(self, provider: Provider, wanted: TakeOver) -> AuthScheme:
        if wanted.kind == "login":
            return self._gateway.registry.auth_schemes[TAKES_OVER]
        if wanted.api_key is not None and self._gateway.keys.match(wanted.api_key) is not None:
            raise Conflict("this is a client key of this gateway, and no key of the provider")
        scheme = self._scheme(provider, AddAccount(provider=wanted.provider, api_key=wanted.api_key or ""))
        if scheme is None:
            raise InvalidRequest(f"{provider.facts.name} takes no key")
        return scheme

    async def _new(self, provider: Provider, plan: Planned, wanted: TakeOver, credential: Credential) -> Account:
        """Other clients than the vendor's own are left out, until its owner allows them."""
        name = plan.account.split("/", 1)[1]
        account = await self._added(
            provider,
            AddAccount(
                provider=wanted.provider,
                name=name,
                base_url=wanted.base_url,
                priority=wanted.priority,
                proxy=wanted.proxy,
            ),
            credential,
        )
        return await self._gateway.accounts.edit(account.id, paused=True) if wanted.paused else account


def _given(wanted: TakeOver) -> dict[str, Secret]:
    texts = {
        "api_key": wanted.api_key,
        "access": wanted.access,
        "refresh": wanted.refresh,
        "id_token": wanted.id_token,
        "expires_at": None if wanted.expires_at_s is None else str(wanted.expires_at_s),
    }
    return {name: Secret(text) for name, text in texts.items() if text}
