"""JSON as it is on the wire: reading it piece by piece, with the pointer to whatever is wrong in it.

Structs name only the fields that are used. Blocks and tools are read through `Fields`, because what nobody here knows must
survive: it is left over, kept as `Raw`, and written back to an upstream of the same dialect.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import Raw

from omniroute.api import CacheMark, Malformed, Part
from omniroute.api import read_json as read
from omniroute.api import read_json_list as read_list
from omniroute.api import read_json_object as read_object

__all__ = [
    "BOOL",
    "DIALECT",
    "ENCODER",
    "INTEGER",
    "RAWS",
    "STRING",
    "STRINGS",
    "Fields",
    "Malformed",
    "Metadata",
    "Wire",
    "is_absent",
    "own",
    "place_of",
    "read",
    "read_cache_mark",
    "read_list",
    "read_object",
    "starts_with",
]

DIALECT = "anthropic"

T = TypeVar("T")
Wire: TypeAlias = dict[str, Any]
"""A JSON object about to be encoded."""
Metadata: TypeAlias = dict[str, dict[str, Any]]

ENCODER = msgspec.json.Encoder()
STRING = msgspec.json.Decoder(str)
STRINGS = msgspec.json.Decoder(list[str])
BOOL = msgspec.json.Decoder(bool)
INTEGER = msgspec.json.Decoder(int)
RAWS = msgspec.json.Decoder(list[Raw])
_ABSENT = (Raw(), Raw(b"null"))


def starts_with(data: Raw, byte: bytes) -> bool:
    """Whether a JSON value begins with this byte, which tells its type."""
    return bytes(memoryview(data)[:1]) == byte


def is_absent(data: Raw) -> bool:
    """Whether a field that defaults to `Raw()` is missing or null."""
    return data in _ABSENT  # a tenth of what a look at its first byte costs


class Fields:
    """The fields of one JSON object, taken one by one. What is left over has no canonical home. null is absent."""

    __slots__ = ("_left", "pointer")

    def __init__(self, data: bytes | Raw | dict[str, Raw], pointer: str) -> None:
        self.pointer = pointer
        self._left = data if isinstance(data, dict) else read_object(data, pointer)

    def take(self, name: str, decoder: "msgspec.json.Decoder[T]") -> T | None:
        """The field's value, or None when it is absent or null."""
        raw = self.take_raw(name)
        return None if raw is None else read(decoder, raw, f"{self.pointer}/{name}")

    def need(self, name: str, decoder: "msgspec.json.Decoder[T]") -> T:
        value = self.take(name, decoder)
        if value is None:
            raise Malformed(f"{self.pointer}/{name}", "Field required")
        return value

    def take_raw(self, name: str) -> Raw | None:
        raw = self._left.pop(name, None)
        return None if raw is None or is_absent(raw) else raw

    def take_cache_mark(self) -> CacheMark | None:
        raw = self.take_raw("cache_control")
        return None if raw is None else read_cache_mark(raw, f"{self.pointer}/cache_control")

    def rest(self) -> dict[str, Raw]:
        """Everything not taken."""
        return {name: raw for name, raw in self._left.items() if not is_absent(raw)}

    def metadata(self, **known: Any) -> Metadata:
        """`rest` and what `known` adds, under the dialect's name; empty when there is nothing."""
        kept = {**self.rest(), **{name: value for name, value in known.items() if value}}
        return {DIALECT: kept} if kept else {}


class _CacheControl(msgspec.Struct):
    type: str
    ttl: str | None = None


_CACHE_CONTROL = msgspec.json.Decoder(_CacheControl)


def read_cache_mark(raw: Raw, pointer: str) -> CacheMark:
    mark = read(_CACHE_CONTROL, raw, pointer)
    if mark.type != "ephemeral":
        raise Malformed(f"{pointer}/type", f"{mark.type!r} is not 'ephemeral', the only kind there is")
    match mark.ttl:
        case None:
            return CacheMark()
        case "5m":
            return CacheMark(ttl="5m")
        case "1h":
            return CacheMark(ttl="1h")
        case _:
            raise Malformed(f"{pointer}/ttl", f"{mark.ttl!r} is neither '5m' nor '1h'")


def place_of(part: Part) -> str:
    """The pointer to the block, or text, that a part was read from."""
    return part.source.pointer if part.source else ""


def own(metadata: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """What rides under this dialect's name."""
    return metadata.get(DIALECT, {})
