"""JSON schemas that clients send: what no service could use is refused, whoever would be asked.

References lead by JSON pointer into the schema itself; those by `$anchor` or address are nobody's to follow here.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote

import msgspec
from msgspec import Raw

from omniroute.toolbox.json_reading import Malformed, read_json

__all__ = ["MAX_SCHEMA_BYTES", "check_schema", "referred_schema"]

MAX_SCHEMA_BYTES = 1_048_576
"""Of one schema. No service takes one as long (their own limits are well below, and a model would pay for each word of it), and
looking through it would hold up everybody else."""

Schema: TypeAlias = dict[str, Any]

_ANY = msgspec.json.Decoder()
_INDEX = re.compile(r"0|[1-9]\d{0,8}")
_ROOT = "#"


class _Kind(NamedTuple):
    """What the value of a keyword holds: schemas, alone, in a list or by names."""

    is_in_place: bool
    """They say something of the very value that the schema is about, not of something inside it."""
    is_by_name: bool = False


_HOLDS: Mapping[str, _Kind] = {
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "not", "if", "then", "else"), _Kind(True)),
    **dict.fromkeys(("dependentSchemas", "dependencies"), _Kind(True, is_by_name=True)),
    **dict.fromkeys(("items", "prefixItems", "additionalItems", "unevaluatedItems", "contains"), _Kind(False)),
    **dict.fromkeys(("additionalProperties", "unevaluatedProperties", "propertyNames", "contentSchema"), _Kind(False)),
    **dict.fromkeys(("properties", "patternProperties", "$defs", "definitions"), _Kind(False, is_by_name=True)),
}


def check_schema(schema: Raw, pointer: str) -> None:
    """`pointer` is where the schema stands. Raises `Malformed` for one that is no object, is longer than `MAX_SCHEMA_BYTES`,
    or in which a `$ref` leads back to itself without a step into the value, so that nobody can say what it allows.

    A schema that refers to itself from a property or an item is recursive, and fine.
    """
    data = bytes(schema)  # half of what a look at it in place costs
    if not data.startswith(b"{"):
        raise Malformed(pointer, "expected a JSON schema, which is an object")
    if len(data) > MAX_SCHEMA_BYTES:
        raise Malformed(
            pointer,
            f"the schema has {len(data)} bytes, and at most {MAX_SCHEMA_BYTES} are taken",
            fix="shorten its descriptions and lists of values, or make several tools of it",
        )
    may_be_escaped = b"\\" in data and data.rfind(rb"\u00") >= 0  # any letter of it
    if not may_be_escaped and data.rfind(b'$ref"') < 0:  # finds nothing faster than `in`
        return
    root = read_json(_ANY, data, pointer)
    if (circular := _Search(root).circular()) is not None:
        raise Malformed(
            f"{pointer}{_pointer_to(circular, root)}/$ref",
            f"the reference {circular['$ref'][:80]!r} leads back to itself, so that the schema has no meaning",
            fix="let it lead to a schema that says something, or refer back from a property or an item only",
        )


def referred_schema(root: Any, reference: str) -> Any:
    """What `reference`, a `$ref` within the schema `root`, leads to. Raises `LookupError` when that is nothing in this schema."""
    if reference != _ROOT and not reference.startswith("#/"):
        raise LookupError(reference)
    target = root
    for step in unquote(reference).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(target, dict):
            target = target[name]
        elif isinstance(target, list) and _INDEX.fullmatch(name):
            target = target[int(name)]
        else:
            raise LookupError(reference)
    return target


class _Search:
    """Goes through a schema once, depth first, each way in place to its end. Keeps its own stack: schemas may lead to one another
    for longer than Python's goes."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._starts = [root]
        """Schemas that something else than the value at hand is to fit."""
        self._trail: list[tuple[Schema, Iterator[Schema]]] = []
        """The way in place that is being followed: each schema, and what of it is still to be looked at."""
        self._open: set[int] = set()
        """Identities of those on the trail; of those that lead into no circle:"""
        self._finished: set[int] = set()
        self._targets: dict[str, Schema | None] = {}

    def circular(self) -> Schema | None:
        """A schema whose `$ref` is part of a circle."""
        while self._starts:
            self._enter(self._starts.pop())
            while self._trail:
                schema, applied = self._trail[-1]
                following = next(applied, None)
                if following is None:
                    self._trail.pop()
                    self._open.discard(id(schema))
                    self._finished.add(id(schema))
                elif id(following) in self._open:
                    return self._culprit(following)
                else:
                    self._enter(following)
        return None

    def _enter(self, schema: Schema) -> None:
        if id(schema) in self._finished:
            return
        applied: list[Schema] = []
        for keyword, value in schema.items():
            if keyword == "$ref":
                target = self._target(value)
                applied += [] if target is None or id(target) in self._finished else [target]
            elif (kind := _HOLDS.get(keyword)) is not None:
                (applied if kind.is_in_place else self._starts).extend(_schemas(value, kind))
        if applied:
            self._trail.append((schema, iter(applied)))
            self._open.add(id(schema))
        else:
            self._finished.add(id(schema))

    def _target(self, reference: Any) -> Schema | None:
        if not isinstance(reference, str):
            return None
        if reference not in self._targets:
            try:
                target = referred_schema(self._root, reference)
            except LookupError:
                target = None
            self._targets[reference] = target if isinstance(target, dict) else None
        return self._targets[reference]

    def _culprit(self, first: Schema) -> Schema:
        """The first schema on the circle from `first` that is left by its `$ref`. One is: everything else leads down a tree."""
        trail = [schema for schema, _ in self._trail]
        circle = trail[next(at for at, schema in enumerate(trail) if schema is first) :]
        return next(
            schema
            for schema, following in zip(circle, [*circle[1:], first], strict=True)
            if self._target(schema.get("$ref")) is following
        )


def _schemas(value: Any, kind: _Kind) -> list[Schema]:
    """Those that say anything."""
    if isinstance(value, dict):
        value = [*value.values()] if kind.is_by_name else [value]
    return [schema for schema in value if schema and isinstance(schema, dict)] if isinstance(value, list) else []


def _pointer_to(wanted: Schema, root: Schema) -> str:
    """Where in `root` this very object stands."""
    places: list[tuple[Any, Any]] = [(root, ())]
    while places:
        value, way = places.pop()
        if value is wanted:
            break
        if isinstance(value, dict | list):
            inner = value.items() if isinstance(value, dict) else enumerate(value)
            places.extend((below, (way, step)) for step, below in inner)
    steps = []
    while way:
        way, step = way
        steps.append(str(step).replace("~", "~0").replace("/", "~1"))
    return "".join(f"/{step}" for step in reversed(steps))
