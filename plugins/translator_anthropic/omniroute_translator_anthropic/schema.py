"""JSON schemas as this dialect wants them: a tool's is an object without unions at its root, an answer's is closed.

A schema that already fits is returned as the very bytes the client wrote.
"""

from typing import Any

import msgspec
from msgspec import Raw

from omniroute.api import Ledger, referred_schema
from omniroute_translator_anthropic.wire import Wire, read, read_object, starts_with

__all__ = ["EMPTY_SCHEMA", "FREE_TEXT_SCHEMA", "closed_schema", "input_schema"]

EMPTY_SCHEMA: Wire = {"type": "object", "properties": {}}
FREE_TEXT_SCHEMA: Wire = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
"""Of a tool that takes text in no JSON."""

_ANY = msgspec.json.Decoder()
_UNIONS = ("anyOf", "oneOf", "allOf")
_OBJECT_TYPE = b'"object"'

MAX_DEPTH = 32
MAX_WORK = 20_000
"""Of branches within branches, and of branches with their properties, each as often as something leads to it."""


def input_schema(parameters: Raw | None, pointer: str, ledger: Ledger) -> Wire | Raw:
    if parameters is None:
        return EMPTY_SCHEMA
    if not starts_with(parameters, b"{"):
        ledger.approximated(pointer, "the schema is no object; one without properties was sent")
        return EMPTY_SCHEMA
    fields = read_object(parameters, pointer)
    if bytes(fields.get("type", b"")) == _OBJECT_TYPE and not any(union in fields for union in _UNIONS):
        return parameters
    schema: Wire = read(_ANY, parameters, pointer)
    if any(union in schema for union in _UNIONS):
        ledger.approximated(pointer, "a union at the schema's root is not taken; its branches were merged")
        merger = _Merger(schema)
        schema = merger.merged(schema)
        if merger.has_left_out:
            ledger.approximated(pointer, "the schema's unions are too deep or too large; some branches were left out")
    schema["type"] = "object"
    return schema


class _Merger:
    """Makes one schema of a schema and the branches of its unions. References lead wherever they like, and as often: the work is
    bounded, and what lies beyond the bounds is left out."""

    def __init__(self, root: Wire) -> None:
        self._root = root
        self._work = 0
        self.has_left_out = False

    def merged(self, schema: Wire, depth: int = 0) -> Wire:
        """`schema` with the properties of its branches. Only what every branch of a union requires stays required."""
        merged: Wire = {name: value for name, value in schema.items() if name not in _UNIONS}
        properties: Wire = {}
        required = set(_names(schema))
        for union in _UNIONS:
            branches = [self._branch(branch, depth) for branch in _list(schema.get(union)) if isinstance(branch, dict)]
            for branch in branches:
                properties.update(_dict(branch.get("properties")))
            needed = [set(_names(branch)) for branch in branches]
            if needed:
                required |= set.union(*needed) if union == "allOf" else set.intersection(*needed)
        merged["properties"] = {**properties, **_dict(schema.get("properties"))}
        merged["required"] = [name for name in merged["properties"] if name in required]
        if not merged["required"]:
            del merged["required"]
        return merged

    def _branch(self, branch: Wire, depth: int) -> Wire:
        """A branch of a union, looked up when it is a reference into the same schema."""
        target: Any = branch
        if isinstance(branch.get("$ref"), str):
            try:
                target = referred_schema(self._root, branch["$ref"])
            except LookupError:
                target = None
        if not isinstance(target, dict):
            return {}
        self._work += 1 + len(target) + len(_dict(target.get("properties"))) + len(_list(target.get("required")))
        if depth == MAX_DEPTH or self._work > MAX_WORK:
            self.has_left_out = True
            return {}
        return self.merged(target, depth + 1)


def _names(schema: Wire) -> list[str]:
    return [name for name in _list(schema.get("required")) if isinstance(name, str)]


def _dict(value: Any) -> Wire:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def closed_schema(schema: Raw, pointer: str, ledger: Ledger) -> Wire | Raw:
    """The schema of an answer, every object of which must say `additionalProperties: false`."""
    tree = read(_ANY, schema, pointer)
    if not _close(tree):
        return schema
    ledger.approximated(
        pointer, "objects were closed with additionalProperties: false, which structured output requires"
    )
    closed: Wire = tree
    return closed


_SCHEMAS_BY_NAME = ("properties", "$defs", "definitions")


def _close(schema: Any) -> bool:
    """Close every object schema below, in place. True when there was one to close."""
    if isinstance(schema, list):
        closed = [_close(branch) for branch in schema]
        return any(closed)
    if not isinstance(schema, dict):
        return False
    kinds = schema.get("type")
    is_object = kinds == "object" or "object" in _list(kinds)
    is_open = is_object and schema.get("additionalProperties") is not False
    if is_open:
        schema["additionalProperties"] = False
    below = [_close(value) for name in _SCHEMAS_BY_NAME for value in _dict(schema.get(name)).values()]
    below += [_close(schema.get(name)) for name in ("items", *_UNIONS)]
    return is_open or any(below)
