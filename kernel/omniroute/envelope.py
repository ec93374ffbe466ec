"""Answers that arrive inside an object, `{"response": {…}}`: whole ones, and each event of a stream. Sync, pure.

What does not have the object's form is left as it is: errors often come bare, and garbage is for the dialect to name.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from omniroute.contracts import Frame, Framing, Splitter, Writer

__all__ = ["Enveloped", "opened"]

FIELDS = msgspec.json.Decoder(dict[str, Raw])


def opened(body: bytes, key: str) -> bytes:
    """What stands under `key`."""
    try:
        inner = FIELDS.decode(body).get(key)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return body
    return body if inner is None else bytes(inner)


class Enveloped:
    """A framing whose frames are opened as they are read. What is written is not wrapped."""

    def __init__(self, framing: Framing, key: str) -> None:
        self._framing = framing
        self._key = key
        self.name = framing.name
        self.content_type = framing.content_type
        self.keepalive = framing.keepalive

    def splitter(self) -> Splitter:
        return _Opening(self._framing.splitter(), self._key)

    def encode(self, frame: Frame) -> bytes:
        return self._framing.encode(frame)

    def writer(self) -> Writer:
        return self._framing.writer()


class _Opening:
    __slots__ = ("_key", "_splitter", "complete")

    def __init__(self, splitter: Splitter, key: str) -> None:
        self._splitter = splitter
        self._key = key
        self.complete = b""

    def feed(self, data: bytes) -> Sequence[Frame]:
        return self._opened(self._splitter.feed(data))

    def close(self) -> Sequence[Frame]:
        return self._opened(self._splitter.close())

    def _opened(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        self.complete = self._splitter.complete
        return [Frame(opened(frame.data, self._key), frame.event) for frame in frames]

    @property
    def pending(self) -> bool:
        return self._splitter.pending
