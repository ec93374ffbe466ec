"""Hosts: what a Host header may say, and what it takes to serve beyond this machine.

Where a request comes from is told by its socket, never by its Host (a web page can be made to resolve to 127.0.0.1).
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from omniroute.addresses import address_of, is_loopback
from omniroute.errors import SettingsError, StartError
from omniroute.settings import Settings

__all__ = ["Exposed", "HostCheck", "check_exposure", "host_is_well_formed", "is_wildcard", "url_host"]

_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,255})(?::[0-9]{1,5})?")
_NAMES_PORT = re.compile(r"(?:\[.*\]|[^:]+):\d+")


@lru_cache(maxsize=256)
def host_is_well_formed(host: bytes) -> bool:
    """Whether a Host header's value is a name or address with or without a port."""
    return _HOST.fullmatch(host) is not None


class HostCheck:
    """The hosts a request may be addressed to (DNS rebinding): loopback, where we listen, and what the settings name.

    Each with its own port or without one; an allowed host that names a port counts with that one only.
    """

    def __init__(self, host: str, port: int, allowed_hosts: Iterable[str] = ()) -> None:
        own = ["127.0.0.1", "localhost", "[::1]"]
        if not is_wildcard(host):
            own.append(url_host(host))
        given = [name if _NAMES_PORT.fullmatch(name) else url_host(name) for name in map(str.strip, allowed_hosts)]
        exact = {name for name in given if _NAMES_PORT.fullmatch(name)}
        bare = {*own, *given} - exact
        self._allowed = frozenset(map(_as_sent, exact | bare | {f"{name}:{port}" for name in bare}))

    def allows(self, host: bytes) -> bool:
        return host in self._allowed or host.lower() in self._allowed


def _as_sent(name: str) -> bytes:
    try:
        return name.lower().encode("ascii" if name.isascii() else "idna")
    except UnicodeError as error:
        raise SettingsError([f"server.allowed_hosts: {name!r} is no host name ({error})"]) from error


def is_wildcard(host: str) -> bool:
    """Whether `host` stands for every address of the machine."""
    address = address_of(host)
    return host in ("", "*") if address is None else address.is_unspecified


def url_host(host: str) -> str:
    """`host` as it stands in a URL or Host header: IPv6 addresses in their short form, in brackets."""
    address = address_of(host)
    if address is None:
        return host
    return f"[{address}]" if address.version == 6 else str(address)


class Exposed(StartError):
    code = "exposed"


def check_exposure(settings: Settings, *, insecure_http: bool = False) -> None:
    """Refuse to listen beyond loopback without client keys, or in plain HTTP unless that is said to be wanted.

    `insecure_http` is the flag; the setting counts as well. Raises `Exposed` with every reason.
    """
    host = settings.server.host
    if is_loopback(host):
        return
    reasons, ways_out = [], []
    if not settings.auth.require_client_key:
        reasons.append("it would serve anybody without a key ([auth] require_client_key = false)")
        ways_out.append("set require_client_key = true")
    if not (insecure_http or settings.server.insecure_http):
        reasons.append("keys and prompts would cross the network unencrypted")
        ways_out.append("pass --insecure-http if something in front encrypts or the network is trusted")
    if reasons:
        raise Exposed(
            f"not listening on {host or 'every address'}",
            why=" and ".join(reasons),
            fix=f"{' and '.join(ways_out)}, or listen on 127.0.0.1",
        )
