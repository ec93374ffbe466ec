"""Bodies that come compressed though we asked for `identity`. Little is inflated at a time, so that a bomb stays small."""

import zlib
from collections.abc import Iterator

from omniroute.errors import UpstreamError, UpstreamFailed, UpstreamGarbled
from omniroute.transport.reasons import BROKEN

__all__ = ["Inflater", "inflater"]

STEP_BYTES = 64 * 1024
GZIP, ZLIB, RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


class Inflater:
    """Fed compressed bytes, yields at most `STEP_BYTES` at a time; whoever counts what comes out decides how much is enough."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._machine: zlib._Decompress | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._machine is None or self._machine.eof:  # gzip may hold several members
                self._machine = zlib.decompressobj(self._window_bits(data))
            try:
                piece = self._machine.decompress(data, STEP_BYTES)
            except zlib.error as error:
                raise _failed(f"its {self._encoding} data is damaged") from error
            data = self._machine.unconsumed_tail or self._machine.unused_data
            if piece:
                yield piece

    def close(self) -> None:
        """Raises `UpstreamFailed` when the data was cut."""
        if self._machine is not None and not self._machine.eof:
            raise _failed(f"its {self._encoding} data ends too early")

    def _window_bits(self, data: bytes) -> int:
        if self._encoding == "gzip":
            return GZIP
        return ZLIB if data[0] & 0x0F == zlib.DEFLATED else RAW  # "deflate" is zlib, and many send it bare


class Unreadable(Inflater):
    """An encoding we have no way to read; said when the body is read, for the status may be all that is wanted."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        raise UpstreamGarbled("the upstream's answer is encoded in a way nobody asked for", why=self._encoding[:40])


def inflater(content_encoding: str) -> Inflater | None:
    encoding = content_encoding.strip().lower()
    if encoding in ("", "identity"):
        return None
    return Inflater(encoding.removeprefix("x-")) if encoding in ("gzip", "x-gzip", "deflate") else Unreadable(encoding)


def _failed(why: str) -> UpstreamError:
    return UpstreamFailed(BROKEN, why=why)
