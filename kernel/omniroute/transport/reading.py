"""Reading an answer whole."""

from omniroute.contracts import UpstreamStream
from omniroute.transport.stream import LeanStream

__all__ = ["read_at_once", "read_whole"]


def read_at_once(stream: UpstreamStream) -> bytes | None:
    """The body, where all of it came with the head and nobody has to wait for it; None: it must be read in pieces."""
    return stream.rest() if isinstance(stream, LeanStream) else None


async def read_whole(stream: UpstreamStream, limit_bytes: int) -> bytes:
    """The whole body, or its first `limit_bytes`; the stream is closed when there is more."""
    parts: list[bytes] = []
    size = 0
    async for data in stream.chunks():
        parts.append(data)
        size += len(data)
        if size > limit_bytes:
            stream.close()
            break
    return parts[0] if len(parts) == 1 else b"".join(parts)
