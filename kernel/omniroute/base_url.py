"""What may be the root of an upstream's API."""

import ipaddress
import re
import socket
from urllib.parse import SplitResult, urlsplit

from omniroute.addresses import Address, address_of
from omniroute.errors import InvalidRequest

__all__ = ["check_base_url"]

ENDPOINTS = (
    "/chat/completions",
    "/completions",
    "/responses",
    "/messages",
    ":generateContent",
    ":streamGenerateContent",
)
METADATA_ADDRESSES = frozenset({"fd00:ec2::254", "100.100.100.200"})
"""Where clouds hand out the machine's own credentials, beside the link-local addresses."""
UNSAFE = re.compile(r"[^\x21-\x7e]|\\")


def check_base_url(url: str) -> str:
    """The URL without a trailing slash. Raises `InvalidRequest` saying what is wrong with it.

    Only addresses written in the URL are looked at; a name is not resolved.
    """
    if UNSAFE.search(url):
        raise _refused("it holds spaces, backslashes, or characters that are not printable ASCII")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _refused(str(error)) from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise _refused("it must begin with http:// or https:// and a host, perhaps with a port")
    if parts.username is not None or parts.password is not None:
        raise _refused("it holds a user name or password", fix="give the credential as the account's key")
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise _refused("it has a query or a fragment")
    if _is_metadata(parts.hostname):
        raise _refused("its address hands out this machine's own credentials or is link-local")
    return _without_endpoint(url, parts)


def _without_endpoint(url: str, parts: SplitResult) -> str:
    root = url.rstrip("/")
    for endpoint in ENDPOINTS:
        if parts.path.rstrip("/").endswith(endpoint):
            raise _refused(f"it ends in the endpoint {endpoint}", fix="give the API root, up to the version")
    return root


def _is_metadata(host: str) -> bool:
    host = host.rstrip(".").lower()
    if host == "metadata" or host.startswith("metadata."):
        return True
    address = address_of(host) or _unusual_address(host)
    return address is not None and (address.is_link_local or str(address) in METADATA_ADDRESSES)


def _unusual_address(host: str) -> Address | None:
    """The address in one of the other spellings that resolvers take (`0xa9fea9fe`, `169.254.43518`)."""
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _refused(why: str, *, fix: str = "give the API root, such as https://api.example.com/v1") -> InvalidRequest:
    return InvalidRequest("this base URL cannot be used", why=why, fix=fix, param="base_url")
