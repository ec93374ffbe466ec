"""What may stand between the gateway and an upstream: an HTTP proxy of one account's own."""

from urllib.parse import urlsplit

from omniroute.errors import InvalidRequest
from omniroute.secret import Secret

__all__ = ["check_proxy", "shown_proxy"]


def check_proxy(proxy: Secret) -> Secret:
    """Raises `InvalidRequest` saying what is wrong, without repeating any of it: it may hold a password."""
    text = proxy.reveal()
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _refused("it is no URL") from None
    if parts.scheme.startswith("socks"):
        raise _refused("SOCKS proxies need a library that is not part of this program")
    if parts.scheme != "http" or not host or port == 0:
        raise _refused("it must begin with http:// and a host")
    if parts.path not in {"", "/"} or parts.query or parts.fragment or not text.isascii() or not text.isprintable():
        raise _refused("it has more than a host, a port, a user and a password")
    return proxy


def shown_proxy(proxy: Secret | None) -> str | None:
    """Without user and password."""
    return None if proxy is None else "http://" + urlsplit(proxy.reveal()).netloc.rpartition("@")[2]


def _refused(why: str) -> InvalidRequest:
    fix = "give an HTTP proxy, such as http://user:password@proxy.example.com:3128"
    return InvalidRequest("this proxy cannot be used", why=why, fix=fix, param="proxy")
