"""Whether a JSON schema says nothing beyond what the fields for JSON Schema heed.

Stricter than the service: a reference must lead to a definition at the root and stand alone, and none may lead in a circle.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from omniroute_translator_gemini.schema.values import is_count, is_number, is_text
from omniroute_translator_gemini.wire import Wire

__all__ = ["VERSION", "is_heeded"]

MAX_NODES = 5000
"""References count with all they lead to; what is larger when unrolled is reduced."""
MAX_DEPTH = 32

TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
DEFINITIONS = "#/$defs/"
VERSION = "$schema"
"""Says which version of JSON Schema is meant; at the root it stands in nobody's way."""


def is_heeded(root: Wire) -> bool:
    return _Heeded(root).holds()


class _Beyond(Exception):
    """The schema says something that is not heeded."""


def _is_type(value: Any) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(name, str) and name in TYPES for name in names)


def _is_enum(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(is_text(each) or is_number(each) for each in value)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_text, value))


_VALUES: Mapping[str, Callable[[Any], bool]] = {
    "type": _is_type,
    "format": is_text,
    "title": is_text,
    "description": is_text,
    "enum": _is_enum,
    "minItems": is_count,
    "maxItems": is_count,
    "minimum": is_number,
    "maximum": is_number,
    "required": _is_texts,
    "propertyOrdering": _is_texts,
}


class _Heeded:
    """Looks through one schema. Its definitions are looked at where references lead to them."""

    def __init__(self, root: Wire) -> None:
        self._root = root
        definitions = root.get("$defs", {})
        self._definitions: Wire = definitions if isinstance(definitions, dict) else {}
        self._sizes: dict[str, int] = {}
        self._open: set[str] = set()

    def holds(self) -> bool:
        try:
            return (
                self._size({key: value for key, value in self._root.items() if key not in ("$defs", VERSION)}, 0)
                <= MAX_NODES
            )
        except _Beyond:
            return False

    def _size(self, schema: Any, depth: int) -> int:
        """How many schemas there are below, references followed. Raises `_Beyond`."""
        if not isinstance(schema, dict) or depth > MAX_DEPTH:
            raise _Beyond
        if "$ref" in schema:
            return self._referred(schema, depth)
        size = 1
        for keyword, value in schema.items():
            if (fits := _VALUES.get(keyword)) is not None:
                if not fits(value):
                    raise _Beyond
            else:
                size += sum(self._size(below, depth + 1) for below in _below(keyword, value))
            if size > MAX_NODES:
                raise _Beyond
        return size

    def _referred(self, schema: Wire, depth: int) -> int:
        name = schema["$ref"]
        if len(schema) > 1 or not isinstance(name, str) or not name.startswith(DEFINITIONS):
            raise _Beyond
        name = name.removeprefix(DEFINITIONS)
        if name in self._open or name not in self._definitions:
            raise _Beyond
        if name not in self._sizes:
            self._open.add(name)
            self._sizes[name] = self._size(self._definitions[name], depth + 1)
            self._open.discard(name)
        return self._sizes[name]


def _below(keyword: str, value: Any) -> Iterable[Any]:
    match keyword, value:
        case "properties", dict():
            return value.values()
        case "items", dict():
            return (value,)
        case "anyOf" | "oneOf" | "prefixItems", list() if value:
            return value
        case "additionalProperties", bool():
            return ()
        case "additionalProperties", dict():
            return (value,)
        case _:
            raise _Beyond
