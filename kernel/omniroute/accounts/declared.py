"""Accounts that people wrote down: in `[[accounts]]`, and as the `api_key` of a `[providers.NAME]` table."""

import difflib
from collections.abc import Iterable, Mapping

from omniroute.base_url import check_base_url
from omniroute.contracts import Account, Credential, Limits, Provider
from omniroute.errors import InvalidRequest
from omniroute.settings import AccountSettings, Settings

__all__ = ["accounts_of", "unknown_provider"]


def accounts_of(settings: Settings, providers: Mapping[str, Provider]) -> dict[str, Account]:
    """The accounts the settings make: `[[accounts]]`, and one named `default` for each `[providers.NAME] api_key`.

    Names and URLs were checked when the settings were read, providers when the registry was built; one that is missing
    all the same belongs to a plugin that safe mode left out.
    """
    entries = [
        *settings.accounts,
        *(
            AccountSettings(provider=name, api_key=table.api_key)
            for name, table in settings.providers.items()
            if table.api_key is not None
        ),
    ]
    accounts = [_account_of(entry, providers[entry.provider]) for entry in entries if entry.provider in providers]
    return {account.id: account for account in accounts}


def _account_of(entry: AccountSettings, provider: Provider) -> Account:
    return Account(
        provider=entry.provider,
        name=entry.name,
        base_url=provider.facts.base_url if entry.base_url is None else check_base_url(entry.base_url),
        credential=None if entry.api_key is None else Credential(access=entry.api_key),
        priority=entry.priority,
        origin="settings",
        limits=Limits(
            max_concurrency=entry.max_concurrency, min_interval_s=entry.min_interval_s, rpm=entry.rpm, tpm=entry.tpm
        ),
        proxy=entry.proxy,
        other_clients=entry.other_clients,
    )


def unknown_provider(name: str, known: Iterable[str]) -> InvalidRequest:
    """`known` are the names and aliases that would have been understood."""
    closest = difflib.get_close_matches(name, list(known), n=3)
    return InvalidRequest(
        f"no provider is called {name!a}" + (f"; closest: {', '.join(closest)}" if closest else ""),
        fix="install the plugin that brings it, or make it with a [providers.NAME] table",
        param="provider",
    )
