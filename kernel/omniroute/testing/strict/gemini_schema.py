"""The subset of OpenAPI schemas that Gemini takes as `parameters` and `responseSchema`.

Schemas are walked, not keys: a property may have the name of a keyword. The shape (unknown keywords among it) has been checked
against the SDK's type, which names three keywords too many.
"""

from collections.abc import Mapping
from typing import Any

from omniroute.testing.strict.shape import Violation

__all__ = ["check_json_schema", "check_schema"]

NOT_TAKEN = ("additionalProperties", "defs", "ref")
FORMATS: Mapping[str, frozenset[str]] = {
    "STRING": frozenset({"enum", "date-time"}),
    "NUMBER": frozenset({"float", "double"}),
    "INTEGER": frozenset({"int32", "int64"}),
}


def check_json_schema(schema: Any, place: str) -> None:
    """`parametersJsonSchema` takes any JSON schema of an object."""
    if not isinstance(schema, dict):
        raise Violation(place, "must be a JSON schema, which is an object")
    if str(schema.get("type", "object")).lower() != "object":
        raise Violation(place, f"schema must be of type OBJECT, not {schema['type']!r}")


def check_schema(schema: Mapping[str, Any], place: str, *, root: bool = False) -> None:
    """Raise `Violation`. `root` asks for an object, as a function's parameters are."""
    for name in NOT_TAKEN:
        if name in schema:
            raise Violation(place, f'Unknown name "{name}": Cannot find field.')
    kind = str(schema.get("type") or "").upper()
    if not kind and "anyOf" not in schema:
        raise Violation(f"{place}.type", "must be specified")
    if root and kind != "OBJECT":
        raise Violation(f"{place}.type", "schema at the top-level should be of type OBJECT")
    _check_object(schema, kind, place)
    _check_enum(schema, kind, place)
    wanted = schema.get("format")
    if wanted is not None and kind in FORMATS and wanted not in FORMATS[kind]:
        raise Violation(
            f"{place}.format", f"only {sorted(FORMATS[kind])} are supported for {kind} type, not {wanted!r}"
        )
    if kind == "ARRAY" and "items" not in schema:
        raise Violation(f"{place}.items", "missing field.")
    if schema.get("items") is not None:
        check_schema(schema["items"], f"{place}.items")
    for position, branch in enumerate(schema.get("anyOf") or ()):
        check_schema(branch, f"{place}.any_of[{position}]")


def _check_object(schema: Mapping[str, Any], kind: str, place: str) -> None:
    properties = schema.get("properties")
    if properties == {} and kind == "OBJECT":
        raise Violation(f"{place}.properties", "should be non-empty for OBJECT type")
    for position, name in enumerate(schema.get("required") or ()):
        if name not in (properties or {}):
            raise Violation(f"{place}.required[{position}]", f"property is not defined: {name!r}")
    for name in schema.get("propertyOrdering") or ():
        if name not in (properties or {}):
            raise Violation(f"{place}.property_ordering", f"property is not defined: {name!r}")
    for name, inner in (properties or {}).items():
        check_schema(inner, f"{place}.properties[{name}]")


def _check_enum(schema: Mapping[str, Any], kind: str, place: str) -> None:
    values = schema.get("enum")
    if values is None:
        return
    if kind != "STRING":
        raise Violation(f"{place}.enum", "only allowed for STRING type")
    for position, value in enumerate(values):
        if not value:
            raise Violation(f"{place}.enum[{position}]", "cannot be empty")
