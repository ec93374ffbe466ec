"""A JSON schema reduced to the OpenAPI subset that `parameters` and `responseSchema` take.

Walks schemas, never the names of a user's properties: each value's schema is gathered, then built anew from the keywords that
the subset has.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from omniroute_translator_gemini.schema.gathering import (
    UNIONS,
    Gathered,
    Gatherer,
    Note,
    Place,
    as_dict,
    as_list,
)
from omniroute_translator_gemini.schema.values import is_anything, is_count, is_number, is_text
from omniroute_translator_gemini.wire import Wire, dump

__all__ = ["DEFAULT_WORK", "reduced"]

DEFAULT_WORK = 10_000
"""More than any schema that people or their programs write."""
MAX_NAMED_VALUES = 100

SHAPING = frozenset({"type", "properties", "items", "prefixItems", "enum", "const", "$ref", "allOf", *UNIONS})
"""Keywords by which a branch of a union is a schema of its own, not only a further condition."""

OF_ANY_TYPE: Mapping[str, Callable[[Any], bool]] = {
    "title": is_text,
    "description": is_text,
    "default": is_anything,
    "example": is_anything,
}
OF_TYPE: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    "string": {"pattern": is_text, "minLength": is_count, "maxLength": is_count},
    "number": {"minimum": is_number, "maximum": is_number},
    "integer": {"minimum": is_number, "maximum": is_number},
    "boolean": {},
    "array": {"minItems": is_count, "maxItems": is_count},
    "object": {"minProperties": is_count, "maxProperties": is_count},
}
FORMATS: Mapping[str, frozenset[str]] = {
    "string": frozenset({"date-time", "enum"}),
    "number": frozenset({"float", "double"}),
    "integer": frozenset({"int32", "int64"}),
}
EXCLUSIVE: Mapping[str, tuple[str, int, Callable[..., float]]] = {
    "exclusiveMinimum": ("minimum", 1, max),
    "exclusiveMaximum": ("maximum", -1, min),
}
KNOWN = frozenset(
    {
        *("type", "nullable", "enum", "const", "format", "items", "prefixItems", "propertyOrdering"),
        *(*UNIONS, *EXCLUSIVE, *OF_ANY_TYPE),
        *(name for names in OF_TYPE.values() for name in names),
    }
)
_BESIDE_UNION = frozenset({"nullable", *OF_ANY_TYPE, *UNIONS})
"""What stands beside a union and not in its branches."""


def reduced(schema: Any, *, is_object_schema: bool, max_work: int = DEFAULT_WORK) -> tuple[Wire, tuple[Note, ...]]:
    """The schema in the subset. `is_object_schema`: it must be an object's, whatever it says."""
    gatherer = Gatherer(schema, known=KNOWN, merged=frozenset(OF_ANY_TYPE), max_work=max_work)
    reduction = _Reduction(gatherer)
    gathered = gatherer.gather(Place(schema=schema))
    if is_object_schema:
        reduction.make_object(gathered)
    return reduction.build(gathered), tuple(gatherer.notes.values())


class _Reduction:
    def __init__(self, gatherer: Gatherer) -> None:
        self._gatherer = gatherer
        self._note = gatherer.note

    def build(self, gathered: Gathered) -> Wire:
        types, nullable = self._types(gathered)
        alternatives = self._alternatives(gathered)
        if any(_is_null(place.schema) for place in alternatives):
            nullable = True
            alternatives = [place for place in alternatives if not _is_null(place.schema)]
        for union in UNIONS:
            gathered.keywords.pop(union, None)
        if len(alternatives) == 1:
            self._gatherer.add(alternatives[0], gathered)
            gathered.keywords["nullable"] = Place(schema=nullable or gathered.value("nullable"))
            return self.build(gathered)
        wire: Wire = {}
        branches = self._branches(gathered, types, alternatives)
        if branches:
            choices = _distinct(map(self.build, branches))
            beside = OF_ANY_TYPE.keys() & gathered.keywords.keys()
            wire = {"anyOf": choices} if len(choices) > 1 else {k: v for k, v in choices[0].items() if k not in beside}
        elif self._plain(gathered, types, wire):
            nullable = True
        for keyword, fits in OF_ANY_TYPE.items():
            if keyword not in wire and self._fits(gathered, keyword, fits):
                wire[keyword] = gathered.value(keyword)
        if nullable:
            wire["nullable"] = True
        return wire

    # --- types and unions ---------------------------------------------------------------------------------------------

    def _types(self, gathered: Gathered) -> tuple[list[str], bool]:
        """The types stated, and whether null is one of them."""
        stated = gathered.value("type")
        names = [name.lower() for name in (stated if isinstance(stated, list) else [stated]) if isinstance(name, str)]
        types = [name for name in dict.fromkeys(names) if name in OF_TYPE]
        if stated is not None and not types and names != ["null"]:
            self._note(gathered.keywords["type"].at, "approximated", "the dialect has no such type")
        return types, "null" in names or gathered.value("nullable") is True

    def _all_branches(self, gathered: Gathered) -> Iterator[Place]:
        for union in UNIONS:
            if (place := gathered.keywords.get(union)) is not None:
                for at, branch in enumerate(as_list(place.schema)):
                    yield place.below(branch, at)

    def _alternatives(self, gathered: Gathered) -> list[Place]:
        """The branches that are schemas of their own. Mere conditions on the same value cannot be said."""
        if "oneOf" in gathered.keywords:
            self._note(gathered.keywords["oneOf"].at, "approximated", "oneOf was sent as anyOf")
        found = []
        for place in self._all_branches(gathered):
            if isinstance(place.schema, dict) and not SHAPING & place.schema.keys():
                self._note(place.at, "dropped", "the dialect has no conditions on a value")
            else:
                found.append(place)
        return found

    def _branches(self, gathered: Gathered, types: Sequence[str], alternatives: Sequence[Place]) -> list[Gathered]:
        """What stands in `anyOf`: the alternatives, or one branch for each type; with all that is said of the whole."""
        if alternatives:
            branches = [self._gatherer.gather(place) for place in alternatives]
        elif len(types) > 1:
            branches = [_of_type(gathered, name) for name in types]
        else:
            return []
        for branch in branches:
            self._gatherer.inherit(branch, gathered, _BESIDE_UNION)
        return branches

    def make_object(self, gathered: Gathered) -> None:
        """Turn a root of another kind into an object: the branches of its unions become optional properties."""
        places = [place for place in self._all_branches(gathered) if not _is_null(place.schema)]
        branches = [self._gatherer.gather(place) for place in places]
        for union in UNIONS:
            gathered.keywords.pop(union, None)
        for branch in branches:
            for name, place in branch.properties.items():
                gathered.properties.setdefault(name, place)
        if branches:
            self._note(gathered.at, "approximated", "a union at the root is not taken; its branches were merged")
            for name in set.intersection(*(set(branch.required) for branch in branches)):
                gathered.required.setdefault(name, gathered.at)
        if gathered.value("type") != "object":
            if "type" in gathered.keywords:
                self._note(gathered.keywords["type"].at, "approximated", "arguments are an object")
            gathered.keywords["type"] = Place(schema="object", at=gathered.at)

    # --- one type -----------------------------------------------------------------------------------------------------

    def _plain(self, gathered: Gathered, types: Sequence[str], wire: Wire) -> bool:
        """A schema of one type. True when null is among the values it is limited to."""
        values, has_null = _values(gathered)
        kind = types[0] if types else self._guessed(gathered, values)
        wire["type"] = kind
        if values:
            self._enum(gathered, kind, values, wire)
        self._format(gathered, kind, wire)
        for keyword, fits in OF_TYPE[kind].items():
            if self._fits(gathered, keyword, fits):
                wire[keyword] = gathered.value(keyword)
        if kind in ("number", "integer"):
            self._exclusive(gathered, kind, wire)
        elif kind == "array":
            wire["items"] = self._items(gathered)
        elif kind == "object":
            self._object(gathered, wire)
        return has_null

    def _guessed(self, gathered: Gathered, values: Sequence[Any]) -> str:
        if gathered.is_cut or gathered.properties:
            return "object"
        if "items" in gathered.keywords or "prefixItems" in gathered.keywords:
            return "array"
        if values:
            return _type_of(values)
        self._note(gathered.at, "approximated", "a value of any type was declared as a string")
        return "string"

    def _fits(self, gathered: Gathered, keyword: str, fits: Callable[[Any], bool]) -> bool:
        place = gathered.keywords.get(keyword)
        if place is None or fits(place.schema):
            return place is not None
        self._note(place.at, "dropped", f"this is no value for {keyword}")
        return False

    def _enum(self, gathered: Gathered, kind: str, values: Sequence[Any], wire: Wire) -> None:
        """Only texts can be enumerated; other values are named in the description."""
        place = gathered.keywords.get("const") or gathered.keywords["enum"]
        texts = list(dict.fromkeys(value for value in values if isinstance(value, str) and value))
        if kind == "string" and texts:
            wire["enum"] = texts
            if not all(isinstance(value, str) and value for value in values):
                self._note(place.at, "approximated", "only texts that are not empty can be enumerated")
            return
        self._note(place.at, "approximated", "only texts can be enumerated; the values are named in the description")
        named = "Allowed values: " + ", ".join(dump(value).decode() for value in values[:MAX_NAMED_VALUES])
        said = gathered.value("description")
        wire["description"] = f"{said}\n{named}" if isinstance(said, str) and said else named

    def _format(self, gathered: Gathered, kind: str, wire: Wire) -> None:
        place = gathered.keywords.get("format")
        if place is None:
            return
        if isinstance(place.schema, str) and place.schema in FORMATS.get(kind, ()):
            wire["format"] = place.schema
        else:
            self._note(place.at, "dropped", f"the dialect has no such format for type {kind}")

    def _exclusive(self, gathered: Gathered, kind: str, wire: Wire) -> None:
        """A limit that is itself excluded becomes the next integer; for other numbers it is allowed."""
        for keyword, (limit, step, tighter) in EXCLUSIVE.items():
            place = gathered.keywords.get(keyword)
            if place is None or place.schema is False:
                continue
            excluded = wire.get(limit) if place.schema is True else place.schema  # true is how older schemas put it
            if not is_number(excluded):
                self._note(place.at, "dropped", f"this is no value for {keyword}")
                continue
            if kind == "integer" and excluded == int(excluded):
                excluded = int(excluded) + step
            else:
                self._note(place.at, "approximated", "the limit itself is allowed")
            wire[limit] = tighter(excluded, wire.get(limit, excluded))

    # --- what is inside -----------------------------------------------------------------------------------------------

    def _items(self, gathered: Gathered) -> Wire:
        place, members = gathered.keywords.get("items"), gathered.keywords.get("prefixItems")
        if place is not None and isinstance(place.schema, list):  # how older schemas put it
            members = place
        if members is not None and as_list(members.schema):
            self._note(members.at, "approximated", "the dialect has no tuples; each member may stand anywhere")
            places = (members.below(member, at) for at, member in enumerate(members.schema))
            choices = _distinct(self.build(self._gatherer.gather(each)) for each in places)
            return choices[0] if len(choices) == 1 else {"anyOf": choices}
        if place is None or not isinstance(place.schema, dict):
            self._note(gathered.at, "approximated", "items of any type were declared as strings")
            return {"type": "string"}
        return self.build(self._gatherer.gather(place))

    def _object(self, gathered: Gathered, wire: Wire) -> None:
        properties: Wire = {}
        for name, place in gathered.properties.items():
            if not self._gatherer.may_go_on(1):
                self._note(gathered.at, "approximated", "the schema is too large; some properties were left out")
                break
            properties[name] = self.build(self._gatherer.gather(place))
        for name, at in gathered.required.items():
            if name not in properties:
                self._note(at, "dropped", f"{name!r} is required and no property")
        if not properties:
            return
        wire["properties"] = properties
        if required := [name for name in properties if name in gathered.required]:
            wire["required"] = required
        order = as_list(gathered.value("propertyOrdering"))
        if order and sorted(map(str, order)) == sorted(properties):
            wire["propertyOrdering"] = order


# --- small questions --------------------------------------------------------------------------------------------------


def _is_null(schema: Any) -> bool:
    match schema:
        case {"type": "null" | "NULL" | ["null"]} | {"const": None} | {"enum": [None]}:
            return True
        case _:
            return False


def _of_type(gathered: Gathered, name: str) -> Gathered:
    branch = Gathered(gathered.at)
    branch.keywords["type"] = Place(schema=name, at=gathered.at)
    return branch


def _values(gathered: Gathered) -> tuple[list[Any], bool]:
    """The values the schema is limited to, if any, and whether null is one of them."""
    values = [gathered.value("const")] if "const" in gathered.keywords else as_list(gathered.value("enum"))
    kept = [value for value in values if value is not None]
    return kept, len(kept) < len(values)


def _type_of(values: Sequence[Any]) -> str:
    """The type all the values have; string where there is none."""
    if all(isinstance(value, bool) for value in values):
        return "boolean"
    if all(map(is_number, values)):
        return "integer" if all(isinstance(value, int) for value in values) else "number"
    return "object" if all(map(as_dict, values)) else "string"


def _distinct(schemas: Iterable[Wire]) -> list[Wire]:
    return list({dump(schema): schema for schema in schemas}.values())
