"""What both forms of the data hold, under the names of the older one."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from omniroute.importing.files import CannotRead

__all__ = ["MAX_ROWS", "Raw", "as_list", "as_object", "from_document", "json_or_none"]

MAX_ROWS = 10_000
Object: TypeAlias = Mapping[str, Any]


class Raw(msgspec.Struct, kw_only=True):
    connections: Sequence[Object] = ()
    nodes: Sequence[Object] = ()
    combos: Sequence[Object] = ()
    aliases: Object = {}
    proxies: Object = {}
    """`global`, `providers`, `keys`: each a proxy, or proxies by provider or connection id."""
    key_names: Sequence[str] = ()
    """Of client keys; never the keys."""
    version: str | None = None


def from_document(content: bytes) -> Raw:
    """`db.json`. Raises `CannotRead`."""
    found = json_or_none(content)
    if not isinstance(found, dict):
        raise CannotRead("it is no JSON object that can be read")
    if "providerConnections" not in found:
        raise CannotRead("it is no data of an OmniRoute: it has no providerConnections")
    return Raw(
        connections=as_list(found.get("providerConnections")),
        nodes=as_list(found.get("providerNodes")),
        combos=as_list(found.get("combos")),
        aliases=as_object(found.get("modelAliases")),
        proxies=as_object(found.get("proxyConfig")),
        key_names=[str(key.get("name") or "unnamed") for key in as_list(found.get("apiKeys"))],
    )


def as_list(value: object) -> list[Object]:
    found: list[Object] = [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
    return found[:MAX_ROWS]


def as_object(value: object) -> Object:
    return value if isinstance(value, dict) else {}


def json_or_none(content: bytes | str) -> Any:
    try:
        return msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
