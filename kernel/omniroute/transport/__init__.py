"""The data path's HTTP clients, behind one seam: `Transport` sends, `UpstreamStream` is an answer that is still coming."""

from omniroute.contracts import Transport
from omniroute.transport.deferred import through_aiohttp
from omniroute.transport.lean import LeanTransport
from omniroute.transport.reading import read_at_once, read_whole

__all__ = ["LeanTransport", "own_transports", "read_at_once", "read_whole"]


def own_transports(default: str) -> list[Transport]:
    """Those the kernel brings. The one called `default` is ready when it was started, the others with their first request."""
    aiohttp = through_aiohttp(at_start=default == "aiohttp")
    return [aiohttp, LeanTransport(proxied=aiohttp)]
