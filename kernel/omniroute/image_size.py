"""How many pixels an image has, read from its first bytes: PNG, JPEG, GIF and WebP. Decodes no picture."""

import binascii
from collections.abc import Callable

__all__ = ["image_size"]

HEAD_CHARS = 64
LONG_HEAD_CHARS = 256 * 1024
"""Of a JPEG, whose size comes after its metadata; a colour profile or a preview can be long."""
JPEG_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_LONELY_MARKERS = frozenset({0x01, 0xFF, *range(0xD0, 0xD9)})
"""Without a length; 0xFF is padding."""


def image_size(data: str) -> tuple[int, int] | None:
    """(width, height) of a base64 image; None when it is none of the four, broken, or without pixels."""
    head = _decoded(data[:HEAD_CHARS])
    size: tuple[int, int] | None = None
    if head.startswith(b"\xff\xd8"):
        size = _jpeg(_decoded(data[:LONG_HEAD_CHARS]))
    else:
        read = next((read for mark, read in READERS.items() if head.startswith(mark)), None)
        size = None if read is None else read(head.ljust(HEAD_CHARS, b"\0"))
    return size if size is not None and all(size) else None


def _decoded(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text[: len(text) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""


def _png(head: bytes) -> tuple[int, int] | None:
    return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])


def _gif(head: bytes) -> tuple[int, int] | None:
    return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")


def _webp(head: bytes) -> tuple[int, int] | None:
    match head[8:16]:
        case b"WEBPVP8 ":
            return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
        case b"WEBPVP8L":
            bits = int.from_bytes(head[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"WEBPVP8X":
            return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    return None


READERS: dict[bytes, Callable[[bytes], tuple[int, int] | None]] = {
    b"\x89PNG\r\n\x1a\n": _png,
    b"GIF8": _gif,
    b"RIFF": _webp,
}


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """Segment by segment to the frame header. Source: ITU-T T.81, B.1.1 and B.2.2."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in JPEG_FRAME_MARKERS:
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        at += (
            (1 if marker == 0xFF else 2) if marker in JPEG_LONELY_MARKERS else 2 + int.from_bytes(data[at + 2 : at + 4])
        )
    return None
