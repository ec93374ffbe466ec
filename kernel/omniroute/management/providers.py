"""Providers and what is left of their plans. Values in, values out, as all of `Management`."""

from typing import TYPE_CHECKING

import msgspec

from omniroute.accounts import unknown_provider
from omniroute.contracts import Account, ModelFacts, OAuthFacts
from omniroute.errors import NotFound
from omniroute.quota import QuotaReading

if TYPE_CHECKING:
    from omniroute.gateway import Gateway

__all__ = ["ProviderDetails", "ProviderManagement", "SignInNeeds"]


class SignInNeeds(msgspec.Struct, frozen=True, kw_only=True):
    """What signing in takes besides a person."""

    own_secret: bool
    """The vendor refuses the client without its secret, which the user has to supply."""
    client_id_env: tuple[str, ...]
    client_secret_env: tuple[str, ...]


class ProviderDetails(msgspec.Struct, frozen=True, kw_only=True):
    """Everything its facts say that helps people."""

    name: str
    aliases: tuple[str, ...]
    display_name: str | None
    dialect: str
    base_url: str
    auth: tuple[str, ...]
    """Names of the schemes it can be signed in to with; the first is used unasked."""
    sign_in: SignInNeeds | None
    tier: str
    status: str
    note: str | None
    docs_url: str | None
    terms_url: str | None
    checked: str | None
    any_model: bool
    models: tuple[ModelFacts, ...]
    accounts: tuple[str, ...]
    """Ids of those that may be used."""


class ProviderManagement:
    _gateway: "Gateway"

    async def provider(self, name: str) -> ProviderDetails:
        """By name or alias. Raises `NotFound`."""
        registry = self._gateway.registry
        found = registry.providers.get(registry.prefixes.get(name, name))
        if found is None:
            unknown = unknown_provider(name, registry.prefixes)
            raise NotFound(unknown.message, fix=unknown.fix)
        facts = found.facts
        return ProviderDetails(
            name=facts.name,
            aliases=facts.aliases,
            display_name=facts.display_name,
            dialect=facts.dialect,
            base_url=facts.base_url,
            auth=(facts.auth, *facts.auth_also),
            sign_in=None if facts.oauth is None else _needs(facts.oauth),
            tier=facts.tier,
            status=facts.status,
            note=facts.note,
            docs_url=facts.docs_url,
            terms_url=facts.terms_url,
            checked=facts.checked,
            any_model=facts.any_model,
            models=facts.models,
            accounts=tuple(account.id for account in self._gateway.accounts.of(facts.name)),
        )

    async def quota(self) -> list[QuotaReading]:
        """What was last heard of each account's plan. Asks nobody."""
        gateway = self._gateway
        return [gateway.quotas.reading(account) for account in gateway.accounts.all() if self._is_metered(account)]

    async def read_quota(self) -> None:
        """Ask every provider now; for commands while no gateway runs, which have heard nothing yet."""
        await self._gateway.quota_reader().read(due_only=False)

    def _is_metered(self, account: Account) -> bool:
        provider = self._gateway.registry.providers.get(account.provider)
        if provider is None:
            return False
        return provider.quota(account) is not None or bool(self._gateway.quotas.reading(account).windows)


def _needs(oauth: OAuthFacts) -> SignInNeeds:
    return SignInNeeds(
        own_secret=oauth.needs_client_secret,
        client_id_env=oauth.client_id_env,
        client_secret_env=oauth.client_secret_env,
    )
