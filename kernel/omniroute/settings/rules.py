"""Rules between settings, which no single type can hold."""

import re
from collections.abc import Iterable, Iterator
from typing import TypeVar

from omniroute.addresses import is_loopback
from omniroute.base_url import check_base_url
from omniroute.errors import InvalidRequest
from omniroute.proxies import check_proxy
from omniroute.settings.checking import Problem
from omniroute.settings.paths import KeyPath
from omniroute.settings.schema import Settings

__all__ = ["broken_rules"]

COMBO_NAME = re.compile(r"[a-zA-Z0-9_/.-]{1,100}")
PROVIDER_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,100}")
T = TypeVar("T")


def broken_rules(settings: Settings) -> Iterator[Problem]:
    if not settings.auth.require_client_key and not is_loopback(settings.server.host):
        problem = f"false is refused beyond loopback, and server.host is {settings.server.host!r}"
        yield ("auth", "require_client_key"), f"{problem}; anybody in the network could spend your accounts"
    for name in settings.combos:
        if not COMBO_NAME.fullmatch(name):
            yield ("combos", name), "a combo's name is 1 to 100 characters of a-z, A-Z, 0-9, _, /, . and -"
    for name in settings.providers:
        if not PROVIDER_NAME.fullmatch(name):
            yield ("providers", name), "a provider's name is 1 to 100 characters of a-z, A-Z, 0-9, _, . and -"
    yield from _bad_base_urls(settings)
    yield from _bad_proxies(settings)
    yield from _repetitions(settings)


def _bad_base_urls(settings: Settings) -> Iterator[Problem]:
    urls: dict[KeyPath, str | None] = {
        **{("accounts", at, "base_url"): account.base_url for at, account in enumerate(settings.accounts)},
        **{("providers", name, "base_url"): table.base_url for name, table in settings.providers.items()},
    }
    for path, url in urls.items():
        if url is not None:
            try:
                check_base_url(url)
            except InvalidRequest as error:
                yield path, error.text


def _bad_proxies(settings: Settings) -> Iterator[Problem]:
    for at, account in enumerate(settings.accounts):
        if account.proxy is not None:
            try:
                check_proxy(account.proxy)
            except InvalidRequest as error:
                yield ("accounts", at, "proxy"), error.text


def _repetitions(settings: Settings) -> Iterator[Problem]:
    with_key = [name for name, table in settings.providers.items() if table.api_key is not None]
    for at, account in enumerate(settings.accounts):
        if account.provider in with_key and account.name == "default":
            yield ("accounts", at), f"[providers.{account.provider}] api_key makes an account of this name already"
    for at, first in _repeated((account.provider, account.name) for account in settings.accounts):
        provider, name = settings.accounts[at].provider, settings.accounts[at].name
        yield ("accounts", at), f"accounts[{first}] is called {name!r} too, at provider {provider!r}"
    for at, first in _repeated(key.name for key in settings.auth.keys):
        yield ("auth", "keys", at), f"auth.keys[{first}] is called {settings.auth.keys[at].name!r} too"
    for at, first in _repeated(key.key for key in settings.auth.keys):
        yield ("auth", "keys", at), f"is the same key as auth.keys[{first}]"


def _repeated(values: Iterable[T]) -> Iterator[tuple[int, int]]:
    """(index, index of the first one) of each value that came before."""
    first: dict[T, int] = {}
    for at, value in enumerate(values):
        if first.setdefault(value, at) != at:
            yield at, first[value]
