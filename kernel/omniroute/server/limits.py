"""What one client may use up before anybody knows who it is."""

import msgspec

from omniroute.settings import Settings

__all__ = ["ServerLimits", "limits_of"]


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds, 0 = none; sizes in bytes. The defaults hold for a server that nobody configured."""

    max_connections: int = 1024
    max_strangers: int = 50
    """Connections of one address beyond loopback that have not shown a valid key; 0 = no limit."""
    trusts_loopback: bool = True
    """False counts those of this machine too: for a server that another one on it passes strangers on to."""
    max_body_bytes: int | None = 33_554_432
    """A longer `Content-Length` is refused unread, in no dialect; None leaves that to `read_body`."""
    max_head_bytes: int = 65_536
    """Request line and headers; also the framing (extensions, trailers) around a chunked body."""
    max_headers: int = 100
    max_target_bytes: int = 16_384
    max_pipelined: int = 8
    """Requests in line behind the one being answered."""
    head_s: float = 10.0
    """From the first byte of a request, or from connecting, to the end of its headers."""
    body_window_s: float = 10.0
    body_min_bytes_s: float = 1024.0
    """Rate at which a body must arrive, averaged over each `body_window_s`, unless the gateway itself holds it up."""
    write_s: float = 60.0
    """How long a client may leave a full socket unread."""
    idle_s: float = 75.0
    """Between two requests of a connection."""
    linger_s: float = 2.0
    """How long what a refused client still sends is thrown away, so that the refusal is not lost in a reset."""


def limits_of(settings: Settings) -> ServerLimits:
    return ServerLimits(
        max_connections=settings.server.max_connections,
        max_body_bytes=None,  # every handler keeps to the setting, and refuses in its caller's dialect
        write_s=settings.timeouts.write_s,
    )
