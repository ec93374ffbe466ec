"""Accounts of several origins as one table. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from omniroute.contracts import Account, Provider

__all__ = ["by_provider", "in_order", "merge"]

BUILTIN = "builtin"
KEYLESS = "none"


def merge(providers: Mapping[str, Provider], *origins: Mapping[str, Account]) -> dict[str, Account]:
    """By id; a later origin wins over those before it. Keyless providers that need no looking for have an account without
    anybody making one."""
    merged: dict[str, Account] = {}
    for accounts in origins:
        merged |= accounts
    with_account = {account.provider for account in merged.values()}
    for name, provider in providers.items():
        if name not in with_account and provider.facts.auth == KEYLESS and not provider.probe():
            builtin = Account(provider=name, name=BUILTIN, base_url=provider.facts.base_url, origin="builtin")
            merged[builtin.id] = builtin
    return merged


def in_order(accounts: Iterable[Account]) -> tuple[Account, ...]:
    """By provider, priority and name."""
    return tuple(sorted(accounts, key=lambda account: (account.provider, account.priority, account.name)))


def by_provider(accounts: Iterable[Account]) -> dict[str, tuple[Account, ...]]:
    found: defaultdict[str, list[Account]] = defaultdict(list)
    for account in accounts:
        found[account.provider].append(account)
    return {provider: tuple(some) for provider, some in found.items()}
