"""The HTTP server: uvicorn's protocol with limits of our own, and a life cycle that drains.

`serve` runs an ASGI application until a signal, `running` does it inside a test. What is refused before the application
is asked is in `limits` and `protocol`; whom the gateway may listen to in `hosts`.
"""

from omniroute.server.hosts import Exposed, HostCheck, check_exposure
from omniroute.server.limits import ServerLimits, limits_of
from omniroute.server.listen import CannotListen, PortInUse
from omniroute.server.messages import ClientDisconnected, read_body, relayed_headers
from omniroute.server.run import Server, loop_factory, running, serve

__all__ = [
    "CannotListen",
    "ClientDisconnected",
    "Exposed",
    "HostCheck",
    "PortInUse",
    "Server",
    "ServerLimits",
    "check_exposure",
    "limits_of",
    "loop_factory",
    "read_body",
    "relayed_headers",
    "running",
    "serve",
]
