"""How a stream is cut into frames, and put together again."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

__all__ = [
    "Frame",
    "Framing",
    "Splitter",
    "Writer",
]


class Frame(msgspec.Struct, frozen=True):
    """One message of a stream: an SSE event, a line of NDJSON. `event` is SSE's event name, None when it has none."""

    data: bytes
    event: str | None = None


class Splitter(Protocol):
    """Bytes in, frames out; sync, one per response."""

    complete: bytes
    """The bytes, as they came, that made up the frames of the last call; ends at a frame's end."""

    def feed(self, data: bytes) -> Sequence[Frame]:
        """Raises `UpstreamGarbled` when a frame grows beyond all reason."""
        ...

    def close(self) -> Sequence[Frame]:
        """What the end of the stream completes."""
        ...

    @property
    def pending(self) -> bool:
        """Part of a frame has arrived and its end has not."""
        ...


class Writer(Protocol):
    """Frames in, bytes out; sync, one per response."""

    def encode(self, frame: Frame) -> bytes: ...
    def close(self) -> bytes:
        """What stands behind the last frame, be it the stream's end or its error."""
        ...


class Framing(Protocol):
    """How a dialect cuts its stream into frames. Sync, pure."""

    name: str
    content_type: str
    keepalive: bytes = b"\n"
    """What may be sent between frames, before the first too, and means nothing to who reads the stream."""

    def splitter(self) -> Splitter: ...
    def encode(self, frame: Frame) -> bytes:
        """The frame alone."""
        ...

    def writer(self) -> Writer:
        """For a whole stream: with what stands around and between its frames."""
        ...
