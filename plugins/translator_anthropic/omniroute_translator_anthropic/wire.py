"""JSON as it is on the wire: reading it piece by piece, with the pointer to whatever is wrong in it.

Structs name only the fields that are used. Blocks and tools are read through `Fields`, because what nobody here knows must
survive: it is left over, kept as `Raw`, and written back to an upstream of the same dialect.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import Raw

from omniroute.api import CacheMark

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
_OBJECT = msgspec.json.Decoder(dict[str, Raw])

_WHERE = re.compile(r" - at `\$(?P<path>.*)`$")
_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+)\]")
_MISSING = re.compile(r"missing required field `(?P<name>\w+)`")


class Malformed(Exception):
    """A piece of JSON that breaks the dialect's rules. Becomes the client's fault or the upstream's, as it came from."""

    def __init__(self, pointer: str, reason: str) -> None:
        super().__init__(f"{pointer}: {reason}" if pointer else reason)
        self.pointer = pointer
        self.reason = reason


def read(decoder: "msgspec.json.Decoder[T]", data: bytes | str | Raw, pointer: str = "") -> T:
    """Decode, or raise `Malformed` with the pointer to the offending value. `pointer` is where `data` stands."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        below, reason = _locate(str(error))
        raise Malformed(pointer + below, reason) from None
    except RecursionError:
        raise Malformed(pointer, "the JSON is nested too deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(pointer, f"not valid JSON: {error}") from None


def read_object(data: bytes | str | Raw, pointer: str = "") -> dict[str, Raw]:
    """The fields of a JSON object, unread, or `Malformed`."""
    return read(_OBJECT, data, pointer)


def read_list(data: bytes | str | Raw, pointer: str = "") -> list[Raw]:
    """The items of a JSON list, unread, or `Malformed`."""
    return read(RAWS, data, pointer)


def _locate(message: str) -> tuple[str, str]:
    """msgspec's message as (JSON pointer, reason)."""
    where = _WHERE.search(message)
    path = where["path"] if where else ""
    pointer = "".join(f"/{step['name'] or step['index']}" for step in _STEP.finditer(path))
    reason = message[: where.start()] if where else message
    if missing := _MISSING.search(reason):
        pointer += f"/{missing['name']}"
    return pointer, reason


def starts_with(data: Raw, byte: bytes) -> bool:
    """Whether a JSON value begins with this byte, which tells its type."""
    return bytes(memoryview(data)[:1]) == byte


def is_absent(data: Raw) -> bool:
    """Whether a field that defaults to `Raw()` is missing or null."""
    return bytes(memoryview(data)[:1]) in (b"", b"n")


class Fields:
    """The fields of one JSON object, taken one by one. What is left over has no canonical home. null is absent."""

    __slots__ = ("_left", "pointer")

    def __init__(self, data: bytes | Raw, pointer: str) -> None:
        self.pointer = pointer
        self._left = read_object(data, pointer)

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


def own(metadata: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """What rides under this dialect's name."""
    return metadata.get(DIALECT, {})
