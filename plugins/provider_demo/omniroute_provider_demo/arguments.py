"""Arguments that fit a JSON schema: the same ones each time, harmless if a client really runs the tool with them."""

import math
import re
from typing import Any

__all__ = ["example"]

WORDS = {
    r"command|cmd": ("echo hello from the demo", "echo hello again from the demo"),
    r"path|file|directory|folder": ("demo.txt", "demo2.txt"),
    r"url|uri": ("http://demo.invalid/", "http://demo.invalid/2"),
    r"city|location|place": ("Paris", "Oslo"),
    r"content|text|message|body": ("Hello from the demo.", "Hello again from the demo."),
}
"""What a property is called says what it wants."""
FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "demo@demo.invalid",
    "hostname": "demo.invalid",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "uri": "http://demo.invalid/",
    "url": "http://demo.invalid/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
GUESSES = ("demo", "1", "a", "A1", "demo.txt", "2026-01-01", "demo-1", "")
"""Tried in turn against a `pattern`."""
MAX_DEPTH = 12


def example(schema: dict[str, Any], variant: int = 0) -> Any:
    """A value that fits. `variant` 1 differs from 0 where the schema leaves room."""
    return _Examples(schema, variant).value(schema, "", 0)


class _Examples:
    def __init__(self, root: dict[str, Any], variant: int) -> None:
        self.root = root
        self.variant = variant

    def value(self, schema: Any, name: str, depth: int) -> Any:
        if not isinstance(schema, dict):  # `true` allows anything
            return "demo"
        schema = self.resolve(schema, depth)
        if "const" in schema:
            return schema["const"]
        if options := schema.get("enum"):
            return options[self.variant % len(options)]
        if "default" in schema:
            return schema["default"]
        match kind_of(schema):
            case "object":
                return self.object(schema, depth)
            case "array":
                return self.array(schema, name, depth)
            case "integer":
                return int(number(schema, 1))
            case "number":
                return number(schema, 0)
            case "boolean":
                return False
            case "null":
                return None
            case _:
                return self.string(schema, name)

    def resolve(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """Without `$ref`, `anyOf`, `oneOf` and `allOf`: one alternative is chosen, siblings stay."""
        for _ in range(MAX_DEPTH):
            rest = {key: value for key, value in schema.items() if key not in {"$ref", "anyOf", "oneOf", "allOf"}}
            if reference := schema.get("$ref"):
                found: Any = self.root if depth < MAX_DEPTH else {}
                for step in str(reference).split("/")[1:] if found else ():
                    found = found.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, dict) else {}
                schema = {**found, **rest} if isinstance(found, dict) else rest
            elif options := schema.get("anyOf") or schema.get("oneOf"):
                wanted = next((option for option in options if kind_of(option) != "null"), options[0])
                schema = merged(rest, wanted)
            elif branches := schema.get("allOf"):
                for branch in branches:
                    rest = merged(rest, self.resolve(branch, depth + 1))
                schema = rest
            else:
                break
        return schema

    def object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        if depth >= MAX_DEPTH:
            return {}
        properties = schema.get("properties", {})
        return {name: self.value(properties.get(name, True), name, depth + 1) for name in schema.get("required", ())}

    def array(self, schema: dict[str, Any], name: str, depth: int) -> list[Any]:
        items = list(schema.get("prefixItems", ()))
        count = max(int(schema.get("minItems", 0)), len(items))
        if count == 0 and depth < MAX_DEPTH and schema.get("maxItems", 1) > 0 and "items" in schema:
            count = 1
        items += [schema.get("items", True)] * (count - len(items))
        return [self.value(item, name, depth + 1) for item in items]

    def string(self, schema: dict[str, Any], name: str) -> str:
        if found := FORMATS.get(schema.get("format", "")):
            return found
        words = next((words for key, words in WORDS.items() if re.search(key, name, re.IGNORECASE)), ("demo", "demo2"))
        text = words[self.variant % len(words)].ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]
        if pattern := schema.get("pattern"):
            return next((guess for guess in (text, *GUESSES) if matches(pattern, guess)), text)
        return text


def kind_of(schema: Any) -> str:
    """The schema's type; where it names none, what its other keys imply."""
    if not isinstance(schema, dict):
        return "string"
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else "string"


def merged(schema: dict[str, Any], other: Any) -> dict[str, Any]:
    if not isinstance(other, dict):
        return schema
    both = {**schema, **other}
    if "properties" in schema and "properties" in other:
        both["properties"] = {**schema["properties"], **other["properties"]}
    if "required" in schema and "required" in other:
        both["required"] = list(dict.fromkeys([*schema["required"], *other["required"]]))
    return both


def number(schema: dict[str, Any], step: float) -> float:
    """As close to 1 as the limits allow. `step` is what separates an exclusive limit from the nearest number."""
    step = step or 0.5
    low = schema.get("minimum", schema.get("exclusiveMinimum", -math.inf))
    high = schema.get("maximum", schema.get("exclusiveMaximum", math.inf))
    if isinstance(low, bool) or isinstance(high, bool):
        return 1
    low += step * ("minimum" not in schema)
    high -= step * ("maximum" not in schema)
    value: float = min(max(1, low), high)
    if multiple := schema.get("multipleOf"):
        value = math.ceil(value / multiple) * multiple
    return value


def matches(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return True
