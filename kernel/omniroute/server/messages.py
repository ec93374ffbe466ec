"""Small helpers for ASGI applications behind this server: a request's body, and which upstream headers go back.

Client headers need no such list: what goes upstream is what the translator names (`request_headers`), so hop-by-hop
headers, `Host`, `X-Forwarded-*`, cookies and our own keys cannot get there.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from omniroute.errors import PayloadTooLarge
from omniroute.server.asgi import Receive

__all__ = ["ClientDisconnected", "read_body", "relayed_headers"]


class ClientDisconnected(Exception):
    """The client went away, or was refused by the server, before its request was whole. There is nobody to answer."""


async def read_body(declared: str | None, receive: Receive, limit: int) -> bytes:
    """The request's body, whose `Content-Length` is `declared`. A body that came in one piece is not copied.

    Raises `PayloadTooLarge` as soon as more than `limit` bytes are declared or have come; a client that waits for
    `100 Continue` then never sends them. Raises `ClientDisconnected`.
    """
    if declared is not None and int(declared) > limit:
        raise _too_large(limit)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnected
    first: bytes = message.get("body", b"")
    if not message.get("more_body", False) and len(first) <= limit:
        return first
    pieces, size = [first], len(first)
    while size <= limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if not message.get("more_body", False) and size <= limit:
            return b"".join(pieces)
    raise _too_large(limit)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"the request body is larger than {limit} bytes",
        fix="send less (fewer or smaller images, a shorter history), or raise [limits] max_body_bytes",
    )


_RELAYED = {
    name: name.encode() for name in ("content-type", "retry-after", "retry-after-ms", "request-id", "x-request-id")
}
_RELAYED["request-id"] = _RELAYED["x-request-id"] = b"x-upstream-request-id"
_RATE_LIMIT = re.compile(r"(?:[a-z0-9-]+-)?ratelimit(?:-[a-z0-9-]+)?")
"""Whatever the vendor puts before it: clients show from these how much of the plan is left."""


@lru_cache(maxsize=512)
def _name_for_client(name: str) -> bytes | None:
    if name in _RELAYED:
        return _RELAYED[name]
    return name.encode() if _RATE_LIMIT.fullmatch(name) else None


def relayed_headers(upstream_headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """The headers of an upstream's answer that a client may see: type, retry hints, rate limits, the upstream's id.

    Everything else is dropped: hop-by-hop and length (ours differ), cookies, CORS and CSP (another site's promises),
    organisation and account ids. Names are lower case.
    """
    kept = []
    for name, value in upstream_headers.items():
        ours = _name_for_client(name)
        if ours is not None and value.isprintable():
            kept.append((ours, value.encode("latin-1", "replace")))
    return kept
