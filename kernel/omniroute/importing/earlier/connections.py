"""From a connection of the earlier OmniRoute to a login or key that can be taken over."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec

from omniroute.accounts.rows import IDENTITY
from omniroute.errors import InvalidRequest
from omniroute.importing.earlier.raw import Object, Raw, as_object
from omniroute.importing.earlier.sealed import Opener
from omniroute.importing.files import CannotRead
from omniroute.importing.logins import claims_of, expires_at_s, seconds_of, text_at, token_of
from omniroute.importing.values import Found, ImportProvider, ImportSources, Tokens
from omniroute.proxies import check_proxy
from omniroute.secret import Secret

__all__ = ["connections_in"]

SECRETS = ("apiKey", "accessToken", "refreshToken", "idToken")


def connections_in(raw: Raw, sources: ImportSources, opener: Opener, where: str) -> Iterator[Found]:
    known = {provider.name: provider for provider in sources.providers}
    prefixes = {str(node.get("id")): str(node.get("prefix") or "") for node in raw.nodes}
    for number, connection in enumerate(raw.connections, 1):
        stated = str(connection.get("provider") or "")
        provider = prefixes.get(stated) or stated
        found = Found(
            provider=provider,
            name=_name(connection) or f"earlier-{number}",
            source=f"OmniRoute, {where}",
            origin=f"omniroute:{connection.get('id') or number}",
            moves=True,
            paused=connection.get("isActive") in (0, False),
            priority=_priority(connection.get("priority")),
        )
        name = sources.prefixes.get(provider)
        is_node = stated in prefixes
        try:
            yield _taken(found, connection, raw, known.get(name or ""), opener, is_node=is_node)
        except CannotRead as problem:
            yield msgspec.structs.replace(found, problem=str(problem))


def _taken(
    found: Found, connection: Object, raw: Raw, provider: ImportProvider | None, opener: Opener, *, is_node: bool
) -> Found:
    if provider is None and is_node:
        raise CannotRead(f"it needs the table [providers.{found.provider}] first, which is shown below")
    key, access, refresh, id_token = (token_of(opener.opened(_text(connection.get(name)))) for name in SECRETS)
    if key is None and access is None and refresh is None:
        raise CannotRead("it holds no credential")
    tokens = Tokens(key=key) if key else Tokens(access=access, refresh=refresh, id_token=id_token)
    data = as_object(connection.get("providerSpecificData"))
    stated = connection.get("tokenExpiresAt") or connection.get("expiresAt")
    return msgspec.structs.replace(
        found,
        kind="key" if key else "login",
        tokens=tokens,
        expires_at_s=None if key else _ends(stated, access),
        metadata={} if key or provider is None else _metadata(connection, data, provider, id_token),
        base_url=_base_url(data, provider),
        proxy=_proxy(connection, raw),
    )


def _ends(stated: object, access: Secret | None) -> float | None:
    """Dates, or Unix time in milliseconds."""
    return seconds_of(stated, "date" if isinstance(stated, str) and "-" in stated else "ms") or expires_at_s(
        None, "s", access
    )


def _metadata(connection: Object, data: Object, provider: ImportProvider, id_token: Secret | None) -> dict[str, str]:
    """What is kept beside this provider's tokens, under the names it has here."""
    claims = claims_of(id_token)
    kept: dict[str, str] = {}
    stated = {_snake(name): value for name, value in (*connection.items(), *data.items())}
    for name in {*provider.metadata, *IDENTITY}:
        text = text_at(stated, (name,)) or (text_at(claims, provider.claims[name]) if name in provider.claims else None)
        if text is not None:
            kept[name] = text
    return kept


def _base_url(data: Object, provider: ImportProvider | None) -> str | None:
    """The account's own, for its key came for that place."""
    url = data.get("baseUrl")
    if not isinstance(url, str) or not url or provider is None or url.rstrip("/") == provider.base_url:
        return None
    return url


def _proxy(connection: Object, raw: Raw) -> Secret | None:
    """The nearest one. Raises `CannotRead` when there is one that cannot be used here: without it would be another way."""
    levels = [as_object(raw.proxies.get(level)) for level in ("keys", "providers")]
    named = [level.get(str(connection.get(field))) for level, field in zip(levels, ("id", "provider"), strict=True)]
    proxy = next((as_object(each) for each in (*named, raw.proxies.get("global")) if as_object(each).get("host")), None)
    if proxy is None:
        return None
    user, password = (quote(str(proxy.get(name) or ""), safe="") for name in ("username", "password"))
    sign_in = f"{user}:{password}@" if user or password else ""
    port = f":{proxy['port']}" if proxy.get("port") else ""
    try:
        return check_proxy(Secret(f"{proxy.get('type') or 'http'}://{sign_in}{proxy['host']}{port}"))
    except InvalidRequest as error:
        raise CannotRead(f"it goes through a proxy that cannot be used here: {error.why}") from None


def _name(connection: Object) -> str:
    names = (connection.get(name) for name in ("name", "displayName", "email"))
    return next((name.strip() for name in names if isinstance(name, str) and name.strip()), "")


def _priority(value: object) -> int | None:
    return min(max(value, 1), 100) if isinstance(value, int) and not isinstance(value, bool) and value else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _snake(name: str) -> str:
    return re.sub("([A-Z])", r"_\1", name).lower()
