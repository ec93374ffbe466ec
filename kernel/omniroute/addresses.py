"""What a host is, judged by how it is written: an address, this machine. Names are never resolved."""

import ipaddress
from typing import TypeAlias
from urllib.parse import urlsplit

__all__ = ["Address", "address_of", "is_loopback", "is_loopback_url"]

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


def address_of(host: str) -> Address | None:
    """The address `host` is written as, with or without brackets and zone; None for a name.

    An IPv4 address inside an IPv6 one is that IPv4 address.
    """
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine and nothing else: a loopback address or `localhost`."""
    address = address_of(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def is_loopback_url(url: str) -> bool:
    """Whether a URL leads to this machine. False for what is no URL."""
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False
