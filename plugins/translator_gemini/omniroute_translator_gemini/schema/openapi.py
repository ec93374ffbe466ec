"""The dialect's own schemas (`parameters`, `responseSchema`) as the JSON schemas every other dialect takes.

Types are written in upper case, null is a flag, counts may be strings, keywords come in two spellings. The names under
`properties` are the user's and stay as they are. A schema that needs no change is returned as the very bytes it came in.
"""

from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Raw

from omniroute.api import check_schema
from omniroute_translator_gemini.wire import Malformed, Wire, camel_case, dump, read

__all__ = ["json_schema"]

_ANY = msgspec.json.Decoder()
_COUNTS = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})
_SCHEMAS = ("items", "additionalProperties")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_BY_NAME = ("properties", "$defs")
_RENAMED = {"defs": "$defs", "ref": "$ref"}
_REFERENCE = "#/defs/"
_NULL = {"type": "null"}


def json_schema(schema: Raw, pointer: str) -> Raw:
    """Raises `Malformed` for what `check_schema` refuses in either spelling, and when it is nested too deep."""
    check_schema(schema, pointer)
    tree = read(_ANY, schema, pointer)
    try:
        converted = _converted(tree)
        if converted == tree:
            return schema
    except RecursionError:
        raise Malformed(pointer, "the schema is nested too deep") from None
    respelt = Raw(dump(converted))
    try:
        check_schema(respelt, pointer)
    except Malformed as error:
        below = error.pointer.removeprefix(pointer)
        with suppress(LookupError, TypeError):  # one keyword in both spellings: the canonical one is as good a place
            below = _as_written(tree, below)
        raise Malformed(pointer + below, error.reason, fix=error.fix) from None
    return respelt


def _as_written(tree: Any, pointer: str) -> str:
    """The pointer by the names that the client wrote."""
    written = ""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(tree, list):
            tree, written = tree[int(step)], f"{written}/{step}"
        elif name in tree:
            tree, written = tree[name], f"{written}/{step}"
        else:
            name = next((key for key in tree if _keyword(key) == name), name)
            tree, written = tree[name], f"{written}/{name}"
    return written


def _converted(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    wire: Wire = {}
    for written, value in schema.items():
        keyword = _keyword(written)
        wire[keyword] = _value(keyword, value)
    nullable = wire.pop("nullable", None)
    return _with_null(wire) if nullable is True else wire


def _keyword(written: str) -> str:
    camel = camel_case(written)
    return _RENAMED.get(camel, camel)


def _value(keyword: str, value: Any) -> Any:
    match value:
        case str() if keyword == "type":
            return value.lower()
        case str() if keyword in _COUNTS and value.isascii() and value.isdigit():
            return int(value)
        case str() if keyword == "$ref" and value.startswith(_REFERENCE):
            return "#/$defs/" + value.removeprefix(_REFERENCE)
        case dict() if keyword in _SCHEMAS:
            return _converted(value)
        case list() if keyword in _LISTS:
            return [_converted(branch) for branch in value]
        case dict() if keyword in _BY_NAME:
            return {name: _converted(branch) for name, branch in value.items()}
        case _:
            return value


def _with_null(wire: Wire) -> Wire:
    """The schema with null as one more value it allows."""
    if isinstance(wire.get("type"), str):
        wire["type"] = [wire["type"], "null"]
    elif isinstance(wire.get("anyOf"), list):
        wire["anyOf"] = [*wire["anyOf"], _NULL]
    if isinstance(wire.get("enum"), list) and None not in wire["enum"]:
        wire["enum"] = [*wire["enum"], None]
    return wire
