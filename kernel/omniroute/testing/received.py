"""HTTP/1.1 requests as they arrived at a scripted upstream: every header in its place and spelling, the body unpacked."""

from typing import Any
from urllib.parse import urlsplit

import msgspec

__all__ = ["MalformedRequest", "ReceivedRequest", "parse"]


class MalformedRequest(Exception):
    """What arrived is no HTTP/1.1 request."""


class ReceivedRequest(msgspec.Struct, frozen=True, kw_only=True):
    method: str
    target: str
    """As in the request line: path and query."""
    headers: tuple[tuple[str, str], ...]
    body: bytes
    connection: int = 0
    """The number of the connection it came on, from 1."""
    at_s: float = 0.0
    """When it was complete, on the event loop's clock."""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    def header(self, name: str) -> str | None:
        """The last value under this name in any spelling; None when there is none."""
        return next((value for key, value in reversed(self.headers) if key.lower() == name.lower()), None)

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


def parse(data: bytes | bytearray) -> tuple[ReceivedRequest, int] | None:
    """The first request in `data` and how many bytes it takes; None while it is not complete."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = bytes(data[:end]).decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise MalformedRequest(f"not a request line: {lines[0]!r}")
    headers = tuple(map(_header, lines[1:]))
    body = _body(data, end + 4, headers)
    if body is None:
        return None
    content, consumed = body
    return ReceivedRequest(method=words[0], target=words[1], headers=headers, body=content), consumed


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name or name != name.strip():
        raise MalformedRequest(f"not a header line: {line!r}")
    return name, value.strip()


def _body(data: bytes | bytearray, start: int, headers: tuple[tuple[str, str], ...]) -> tuple[bytes, int] | None:
    lengths = [value for name, value in headers if name.lower() == "content-length"]
    codings = [value.lower() for name, value in headers if name.lower() == "transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        raise MalformedRequest(f"more than one length: content-length {lengths}, transfer-encoding {codings}")
    if codings:
        if codings != ["chunked"]:
            raise MalformedRequest(f"unknown transfer-encoding {codings[0]!r}")
        return _chunked(data, start)
    try:
        end = start + int(lengths[0] if lengths else 0)
    except ValueError:
        raise MalformedRequest(f"content-length {lengths[0]!r} is no number") from None
    return (bytes(data[start:end]), end) if len(data) >= end else None


def _chunked(data: bytes | bytearray, position: int) -> tuple[bytes, int] | None:
    parts = []
    while (line_end := data.find(b"\r\n", position)) >= 0:
        try:
            size = int(bytes(data[position:line_end]).split(b";")[0], 16)
        except ValueError:
            raise MalformedRequest(f"not a chunk size: {bytes(data[position:line_end])!r}") from None
        position = line_end + 2 + size
        if len(data) < position + 2:
            return None
        if data[position : position + 2] != b"\r\n":
            raise MalformedRequest("a chunk is longer than it says (or trailers, which nothing here sends)")
        parts.append(bytes(data[line_end + 2 : position]))
        position += 2
        if size == 0:
            return b"".join(parts), position
    return None
