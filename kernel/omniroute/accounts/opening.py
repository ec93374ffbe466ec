"""From a row to an account: unsealed, with its API root, or with the reason why it cannot be used."""

from collections.abc import Mapping

from omniroute.accounts.rows import Stored, derived_base_url, origin_of
from omniroute.base_url import check_base_url
from omniroute.contracts import Account, Credential, Provider
from omniroute.credentials.vault import Vault
from omniroute.errors import CredentialLocked
from omniroute.secret import Secret
from omniroute.settings import Settings

__all__ = ["Opener"]

MOVED = (
    "the settings lead its provider to another host than the one its credential came for, where it is not sent;"
    " sign in again, or set the old base URL"
)


class Opener:
    def __init__(self, providers: Mapping[str, Provider], settings: Settings, vault: Vault) -> None:
        self._providers = providers
        self._settings = settings
        self._vault = vault

    def opened(self, key: str, stored: Stored) -> tuple[Account, str | None]:
        """The account, and why it is locked; a locked one has no credential."""
        provider = key.partition("/")[0]
        if provider not in self._providers:
            return self.account(key, stored), f"no installed plugin provides {provider!r}"
        if self._has_moved(provider, stored):
            return self.account(key, stored), MOVED
        try:
            credential = stored.opened_credential(self._vault, key)
            proxy = stored.opened_proxy(self._vault, key)
        except CredentialLocked as error:  # never without the proxy it should have
            return self.account(key, stored), error.text
        return self.account(key, stored, credential, proxy), None

    def account(
        self, key: str, stored: Stored, credential: Credential | None = None, proxy: Secret | None = None
    ) -> Account:
        provider, _, name = key.partition("/")
        return Account(
            provider=provider,
            name=name,
            base_url=stored.base_url or self._root(provider, credential),
            credential=credential,
            priority=stored.priority,
            paused=stored.paused,
            limits=stored.limits,
            other_clients=stored.other_clients,
            proxy=proxy,
        )

    def _root(self, provider: str, credential: Credential | None) -> str:
        """The API root of an account that has none of its own."""
        known, table = self._providers.get(provider), self._settings.providers.get(provider)
        if known is None:
            return ""
        if credential is not None and (table is None or table.base_url is None):
            return derived_base_url(known.facts.oauth, credential.metadata) or known.facts.base_url
        return known.facts.base_url

    def _has_moved(self, provider: str, stored: Stored) -> bool:
        """The settings lead the provider to another origin than the one that the credential came for."""
        table = self._settings.providers.get(provider)
        if table is None or table.base_url is None or stored.base_url is not None or stored.credential is None:
            return False
        return stored.origin not in {None, origin_of(check_base_url(table.base_url))}
