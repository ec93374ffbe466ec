"""Connections whose callers nobody knows yet, counted per address, so that one address cannot take them all.

A connection stops counting with the first request on it that showed a valid key: the application says so to
the request's `attendant`. Behind a proxy everybody has one address, and so have many sessions on one machine: loopback
is not counted, and a proxy's connections count only until somebody's key came through.
"""

from ipaddress import IPv6Address, IPv6Network

from omniroute.addresses import address_of, is_loopback

__all__ = ["Strangers"]

IPV6_NETWORK_BITS = 64
"""What one subscriber gets: counting single addresses there would count nothing."""


class Strangers:
    """Bounded by the server's connections: an address without any is forgotten."""

    def __init__(self, limit: int, *, trusts_loopback: bool = True) -> None:
        """`limit` per address, 0 is none."""
        self._limit = limit
        self._trusts_loopback = trusts_loopback
        self._counts: dict[str, int] = {}

    def place(self, host: str) -> str:
        """The name under which a connection from `host` is counted; empty when it is not."""
        if not self._limit or not host or (self._trusts_loopback and is_loopback(host)):
            return ""
        address = address_of(host)
        if isinstance(address, IPv6Address):
            return str(IPv6Network((address, IPV6_NETWORK_BITS), strict=False))
        return host if address is None else str(address)

    def arrive(self, place: str) -> bool:
        """Count one more; False, and not counted, when the place is full."""
        count = self._counts.get(place, 0)
        if count >= self._limit:
            return False
        self._counts[place] = count + 1
        return True

    def leave(self, place: str) -> None:
        """It is closed, or known by now. Once per arrival."""
        count = self._counts.pop(place) - 1
        if count:
            self._counts[place] = count

    def __len__(self) -> int:
        """How many addresses are counted."""
        return len(self._counts)
