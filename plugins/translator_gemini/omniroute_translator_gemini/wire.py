"""JSON as it is on the wire: reading it piece by piece, with the pointer to whatever is wrong in it, and writing it.

Requests are read through `Fields`, because what nobody here knows must survive: it is left over, kept as `Raw`, and written
back to an upstream of the same dialect. Every name may be spelt in camelCase or snake_case; a pointer has the client's spelling.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import Raw

from omniroute.api import Malformed
from omniroute.api import read_json as read
from omniroute.api import read_json_list as read_list
from omniroute.api import read_json_object as read_object

__all__ = [
    "BOOL",
    "DIALECT",
    "INTEGER",
    "NUMBER",
    "STRING",
    "STRINGS",
    "Fields",
    "Malformed",
    "Metadata",
    "Wire",
    "camel_case",
    "compact_text",
    "dump",
    "is_absent",
    "is_object",
    "json_text",
    "own",
    "read",
    "read_list",
    "read_object",
]

DIALECT = "gemini"

T = TypeVar("T")
Wire: TypeAlias = dict[str, Any]
"""A JSON object about to be encoded."""
Metadata: TypeAlias = dict[str, dict[str, Any]]

STRING = msgspec.json.Decoder(str)
STRINGS = msgspec.json.Decoder(list[str])
BOOL = msgspec.json.Decoder(bool)
INTEGER = msgspec.json.Decoder(int)
NUMBER = msgspec.json.Decoder(float)
_ENCODER = msgspec.json.Encoder()

_SNAKE = re.compile(r"(?<=[^_])_+([a-z0-9])")
_LINE_END = re.compile(b"\xe2\x80[\xa8\xa9]|\xc2\x85")
_ESCAPED = {b"\xe2\x80\xa8": b"\\u2028", b"\xe2\x80\xa9": b"\\u2029", b"\xc2\x85": b"\\u0085"}


# --- writing ----------------------------------------------------------------------------------------------------------


def dump(value: Any) -> bytes:
    """One line of JSON. Characters that only some readers take for a line's end are escaped: several of this dialect's
    clients cut their streams there."""
    data = _ENCODER.encode(value)
    if b"\n" in data or b"\r" in data:  # of a `Raw`, between its values; no text in JSON has one
        data = data.replace(b"\n", b" ").replace(b"\r", b" ")
    return data if data.isascii() else _LINE_END.sub(_escape, data)


def _escape(found: re.Match[bytes]) -> bytes:
    return _ESCAPED[found[0]]


# --- reading ----------------------------------------------------------------------------------------------------------


def is_absent(data: Raw) -> bool:
    """Whether a field that defaults to `Raw()` is missing or null."""
    return bytes(memoryview(data)[:1]) in (b"", b"n")


def is_object(data: Raw) -> bool:
    return bytes(memoryview(data)[:1]) == b"{"


def json_text(data: Raw, pointer: str = "") -> str:
    """The JSON text itself, as it stood in the body."""
    try:
        return bytes(data).decode()
    except UnicodeDecodeError as error:
        raise Malformed(pointer, f"not valid UTF-8: {error.reason}") from None


def compact_text(data: Raw, pointer: str = "") -> str:
    """As `json_text`, without spaces and line ends between values."""
    try:
        return msgspec.json.format(bytes(data), indent=-1).decode()
    except RecursionError:
        raise Malformed(pointer, "the JSON is nested too deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(pointer, f"not valid JSON: {error}") from None


def camel_case(name: str) -> str:
    """`function_call` and `functionCall` are one name."""
    return _SNAKE.sub(lambda found: found[1].upper(), name) if "_" in name else name


class Fields:
    """The fields of one JSON object, taken one by one, by their camelCase names. null is absent."""

    __slots__ = ("_left", "_spelt", "pointer")

    def __init__(self, data: bytes | Raw, pointer: str) -> None:
        self.pointer = pointer
        self._left: dict[str, Raw] = {}
        self._spelt: dict[str, str] = {}
        for name, raw in read_object(data, pointer).items():
            camel = camel_case(name)
            if is_absent(raw) or (camel != name and camel in self._left):
                continue
            self._left[camel] = raw
            if camel != name:
                self._spelt[camel] = name

    def at(self, name: str) -> str:
        """The pointer to a field, as the client spells it."""
        return f"{self.pointer}/{self._spelt.get(name, name)}"

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def look(self, name: str) -> Raw | None:
        return self._left.get(name)

    def take_raw(self, name: str) -> Raw | None:
        return self._left.pop(name, None)

    def take(self, name: str, decoder: "msgspec.json.Decoder[T]") -> T | None:
        """The field's value, or None when it is absent or null."""
        raw = self.take_raw(name)
        return None if raw is None else read(decoder, raw, self.at(name))

    def need(self, name: str, decoder: "msgspec.json.Decoder[T]") -> T:
        value = self.take(name, decoder)
        if value is None:
            raise Malformed(self.at(name), "Field required")
        return value

    def take_object(self, name: str) -> "Fields | None":
        raw = self.take_raw(name)
        return None if raw is None else Fields(raw, self.at(name))

    def take_items(self, name: str) -> "Iterator[tuple[Raw, str]]":
        """Each item of a list and its pointer; a lone object is a list of one, as in the vendor's own parser."""
        raw = self.take_raw(name)
        if raw is None:
            return
        pointer = self.at(name)
        if is_object(raw):
            yield raw, pointer
            return
        for at, item in enumerate(read_list(raw, pointer)):
            yield item, f"{pointer}/{at}"

    def rest(self) -> dict[str, Raw]:
        """Everything not taken."""
        return self._left

    def rest_as_written(self, known: frozenset[str]) -> dict[str, Raw]:
        """Everything not taken, under the client's own spelling but for the `known` names."""
        return {name if name in known else self._spelt.get(name, name): raw for name, raw in self._left.items()}

    def spelt(self, below: str) -> dict[str, str]:
        """Fields that the client spells in its own way → where they stand, as seen from the pointer `below`."""
        inside = self.pointer.removeprefix(below)
        return {name: f"{inside}/{written}" for name, written in self._spelt.items()}

    def metadata(self, **known: Any) -> Metadata:
        """`rest` and what `known` adds, under the dialect's name; empty when there is nothing."""
        kept = {**self._left, **{name: value for name, value in known.items() if value}}
        return {DIALECT: kept} if kept else {}


def own(metadata: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """What rides under this dialect's name."""
    return metadata.get(DIALECT, {})
