"""All that a JSON schema says of one value: itself, by reference, and through `allOf`.

In this order, and what comes first wins. A reference that leads back into itself ends in an open object. The work is bounded,
however references and branches are woven.
"""

from typing import Any
from urllib.parse import unquote

import msgspec

from omniroute.api import LossKind, referred_schema
from omniroute_translator_gemini.wire import Wire

__all__ = ["UNIONS", "Gathered", "Gatherer", "Note", "Place", "as_dict", "as_list"]

MAX_DEPTH = 32
MAX_NOTES = 100

UNIONS = ("anyOf", "oneOf")
_GATHERED = frozenset({"$ref", "allOf", "properties", "required", "$defs", "definitions"})
_ROOT = "#"


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Something the reduced schema does not say."""

    pointer: str
    """Into the schema."""
    kind: LossKind
    reason: str


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A value in the schema, and the way that led to it."""

    schema: Any
    at: str = ""
    path: frozenset[str] = frozenset({_ROOT})
    """References followed on the way."""
    depth: int = 0

    def below(self, schema: Any, *steps: str | int) -> "Place":
        at = self.at + "".join(f"/{_escaped(str(step))}" for step in steps)
        return Place(schema=schema, at=at, path=self.path, depth=self.depth + 1)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


class Gathered:
    """What has been gathered of one value."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.keywords: dict[str, Place] = {}
        self.properties: dict[str, Place] = {}
        self.required: dict[str, str] = {}
        """name -> where it is asked for."""
        self.is_cut = False

    def value(self, keyword: str) -> Any:
        place = self.keywords.get(keyword)
        return None if place is None else place.schema


class Gatherer:
    """One per schema."""

    def __init__(self, root: Any, *, known: frozenset[str], merged: frozenset[str], max_work: int) -> None:
        """`known`: the keywords somebody will look at, others are noted as dropped. `merged`: those of which a second one
        is no loss. `max_work`: schemas, keywords and properties looked at; beyond that only open objects follow."""
        self._root = root
        self._max_work = max_work
        self._known = known
        self._merged = merged
        self._work = 0
        self.notes: dict[tuple[str, str], Note] = {}

    def note(self, pointer: str, kind: LossKind, reason: str) -> None:
        if len(self.notes) < MAX_NOTES:
            self.notes.setdefault((pointer, kind), Note(pointer=pointer, kind=kind, reason=reason))

    def may_go_on(self, work: int) -> bool:
        """Count work that is about to be done; False when there has been too much."""
        self._work += work
        return self._work <= self._max_work

    def gather(self, place: Place) -> Gathered:
        gathered = Gathered(place.at)
        self.add(place, gathered)
        return gathered

    def add(self, place: Place, into: Gathered) -> None:
        schema = place.schema
        if not isinstance(schema, dict):
            if schema is not True:
                self.note(place.at, "approximated", "this is no schema that the dialect has; it stands for any value")
            return
        if place.depth > MAX_DEPTH or not self.may_go_on(1 + len(schema)):
            self.note(place.at, "approximated", "the schema is too deep or too large; an open object stands here")
            into.is_cut = True
            return
        self._add_keywords(place, schema, into)
        self._add_properties(place, schema, into)
        if isinstance(schema.get("$ref"), str):
            self._follow(place, schema["$ref"], into)
        for at, branch in enumerate(as_list(schema.get("allOf"))):
            self.add(place.below(branch, "allOf", at), into)

    def inherit(self, gathered: Gathered, base: Gathered, leave: frozenset[str]) -> None:
        """Let `gathered` say what `base` says, but for the keywords to leave."""
        if not self.may_go_on(len(base.keywords) + len(base.properties) + len(base.required)):
            return
        for keyword, place in base.keywords.items():
            if keyword not in leave:
                gathered.keywords.setdefault(keyword, place)
        for name, place in base.properties.items():
            gathered.properties.setdefault(name, place)
        gathered.required = {**base.required, **gathered.required}

    def _add_keywords(self, place: Place, schema: Wire, into: Gathered) -> None:
        for keyword, value in schema.items():
            if keyword in _GATHERED:
                continue
            found = place.below(value, keyword)
            if keyword not in self._known:
                self.note(found.at, "dropped", "the dialect has no such keyword")
            elif into.keywords.setdefault(keyword, found).schema != value and keyword not in self._merged:
                self.note(found.at, "approximated", f"another {keyword} of the same schema was kept")

    def _add_properties(self, place: Place, schema: Wire, into: Gathered) -> None:
        properties, required = as_dict(schema.get("properties")), as_list(schema.get("required"))
        if not self.may_go_on(len(properties) + len(required)):
            self.note(place.at, "approximated", "the schema is too large; its properties were left out")
            return
        for name, value in properties.items():
            into.properties.setdefault(name, place.below(value, "properties", name))
        for at, name in enumerate(required):
            if isinstance(name, str):
                into.required.setdefault(name, f"{place.at}/required/{at}")

    def _follow(self, place: Place, reference: str, into: Gathered) -> None:
        try:
            target = referred_schema(self._root, reference)
        except LookupError:
            self.note(f"{place.at}/$ref", "approximated", "the reference leads nowhere in this schema")
            into.is_cut = True
            return
        if reference in place.path:
            self.note(
                f"{place.at}/$ref", "approximated", "the schema refers back to itself; an open object stands here"
            )
            into.is_cut = True
            if "description" in as_dict(target):
                into.keywords.setdefault("description", place.below(target["description"], "description"))
        else:
            at, path = unquote(reference[1:]), place.path | {reference}
            self.add(Place(schema=target, at=at, path=path, depth=place.depth + 1), into)


def as_dict(value: Any) -> Wire:
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
