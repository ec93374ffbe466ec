"""JSON schemas for the two fields the service has for them, and its own schemas as JSON schemas."""

import time

import msgspec
import pytest
from google.genai.types import Schema
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from omniroute.testing.strict.gemini_schema import check_schema
from omniroute_translator_gemini.schema import fit, json_schema, reduced
from omniroute_translator_gemini.wire import Malformed

STRING = {"type": "string"}
LOOP = {"$ref": "#/$defs/Node"}
NODE = {"type": "object", "description": "A node.", "properties": {"next": LOOP}}


def raw(value):
    return Raw(msgspec.json.encode(value))


def fitted(schema, *, is_object_schema=True):
    found = fit(raw(schema), "/p", is_object_schema=is_object_schema)
    value = msgspec.json.decode(found.schema) if isinstance(found.schema, Raw) else found.schema
    return found.is_json_schema, value, [f"{note.kind} {note.pointer}" for note in found.notes]


# --- which field ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"type": "object"}, id="the least"),
        pytest.param({"type": "object", "properties": {}, "additionalProperties": False}, id="closed and empty"),
        pytest.param(
            {
                "type": "object",
                "title": "t",
                "properties": {
                    "title": {"type": ["string", "null"], "description": "d", "format": "uri"},
                    "pattern": {"enum": ["a", 1, 2.5]},
                    "default": {"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": 3},
                    "$ref": {"oneOf": [STRING, {"type": "object", "additionalProperties": STRING}]},
                    "any": {},
                },
                "required": ["title"],
            },
            id="names of keywords are names here",
        ),
        pytest.param(
            {"type": "object", "properties": {"a": LOOP, "b": LOOP}, "$defs": {"Node": STRING}}, id="references"
        ),
    ],
)
def test_what_is_heeded_goes_as_it_is(schema):
    written = Raw(msgspec.json.format(msgspec.json.encode(schema), indent=1))
    found = fit(written, "/p", is_object_schema=True)
    assert (found.schema, found.is_json_schema, found.notes) == (written, True, ())


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}}, id="a pattern"),
        pytest.param({"type": "object", "properties": {"a": {**LOOP, "description": "d"}}, "$defs": {"Node": STRING}}, id="a reference that is not alone"),
        pytest.param({"type": "object", "properties": {"a": LOOP}, "$defs": {"Node": NODE}}, id="a circle"),
        pytest.param({"type": "object", "properties": {"a": {"$ref": "#"}}}, id="a circle through the root"),
        pytest.param({"type": "object", "properties": {"a": LOOP}}, id="a reference to nothing"),
        pytest.param({"type": "object", "definitions": {}}, id="the older place of definitions"),
        pytest.param({"type": "object", "properties": {"a": True}}, id="a schema that is no object"),
        pytest.param({"type": "object", "properties": {"a": {"enum": [None, "x"]}}}, id="null among the values"),
        pytest.param({"type": "object", "required": "a"}, id="a text where a list belongs"),
        pytest.param({"anyOf": [{"type": "object"}]}, id="arguments that are not said to be an object"),
    ],
)  # fmt: skip
def test_what_is_not_heeded_is_reduced(schema):
    assert fitted(schema)[0] is False


def test_the_version_of_json_schema_stands_in_nobodys_way():
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": False,
    }
    assert fitted(schema) == (True, {"type": "object", "additionalProperties": False}, ["dropped /$schema"])


def test_a_schema_that_only_unrolls_into_a_huge_one_is_reduced():
    laughs = {
        f"d{n}": {"type": "object", "properties": {x: {"$ref": f"#/$defs/d{n + 1}"} for x in "abcdefgh"}}
        for n in range(30)
    }
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": {**laughs, "d30": STRING}}
    started_s = time.process_time()
    is_json_schema, value, _ = fitted(schema)
    assert (is_json_schema, time.process_time() - started_s < 5) == (False, True)
    assert len(msgspec.json.encode(value)) < 1_000_000


# --- the subset -------------------------------------------------------------------------------------------------------

PROPERTIES = [
    pytest.param({**STRING, "description": "d"}, {**STRING, "description": "d"}, [], id="nothing to do"),
    pytest.param({"type": "STRING"}, STRING, [], id="upper case"),
    pytest.param({"type": ["string", "null"]}, {**STRING, "nullable": True}, [], id="a type or null"),
    pytest.param(
        {"type": ["string", "integer", "null"], "minLength": 1, "minimum": 2, "description": "d"},
        {
            "anyOf": [{**STRING, "minLength": 1}, {"type": "integer", "minimum": 2}],
            "description": "d",
            "nullable": True,
        },
        [],
        id="several types",
    ),
    pytest.param(
        {"anyOf": [{"type": "integer", "description": "inner"}, {"type": "null"}], "description": "outer"},
        {"type": "integer", "description": "outer", "nullable": True},
        [],
        id="a union with null",
    ),
    pytest.param(
        {"anyOf": [{"type": "integer", "description": "inner"}, {"type": "null"}]},
        {"type": "integer", "description": "inner", "nullable": True},
        [],
        id="a union with null that says nothing itself",
    ),
    pytest.param(
        {"anyOf": [{**STRING, "title": "in"}, {**STRING, "title": "in"}], "title": "out"},
        {**STRING, "title": "out"},
        [],
        id="a union of one and the same",
    ),
    pytest.param(
        {"oneOf": [STRING, {"type": "integer"}, {"type": "null"}]},
        {"anyOf": [STRING, {"type": "integer"}], "nullable": True},
        ["approximated /oneOf"],
        id="another kind of union",
    ),
    pytest.param(
        {"type": "object", "properties": {"a": STRING}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {"type": "object", "properties": {"a": STRING}},
        ["dropped /anyOf/0", "dropped /anyOf/1"],
        id="a union of mere conditions",
    ),
    pytest.param(
        {
            "type": "object",
            "properties": {"a": STRING},
            "anyOf": [{"properties": {"b": STRING}}, {"properties": {"c": STRING}, "required": ["c"]}],
        },
        {
            "anyOf": [
                {"type": "object", "properties": {"b": STRING, "a": STRING}},
                {"type": "object", "properties": {"c": STRING, "a": STRING}, "required": ["c"]},
            ]
        },
        [],
        id="a union beside properties of all",
    ),
    pytest.param(
        {"allOf": [{"properties": {"a": STRING}, "required": ["a"]}, {"$ref": "#/$defs/B"}], "description": "d"},
        {"type": "object", "properties": {"a": STRING, "b": {"type": "integer"}}, "required": ["a"], "description": "d"},
        [],
        id="a sum",
    ),
    pytest.param(
        {"type": "string", "allOf": [{"type": "integer"}]}, STRING, ["approximated /allOf/0/type"], id="a sum at odds"
    ),
    pytest.param({"$ref": "#/$defs/B/properties/b"}, {"type": "integer"}, [], id="any pointer"),
    pytest.param({"$ref": "#/$defs/with~1slash"}, STRING, [], id="an escaped pointer"),
    pytest.param(
        {"$ref": "#/$defs/B", "description": "mine"},
        {"type": "object", "properties": {"b": {"type": "integer"}}, "description": "mine"},
        [],
        id="a reference with a description of its own",
    ),
    pytest.param({"$ref": "#/$defs/None"}, {"type": "object"}, ["approximated /$ref"], id="a reference to nothing"),
    pytest.param(
        {"$ref": "https://schemas.example/x"}, {"type": "object"}, ["approximated /$ref"], id="a reference elsewhere"
    ),
    pytest.param(
        {"$ref": "#/$defs/Node"},
        {
            "type": "object",
            "properties": {"next": {"type": "object", "description": "A node."}},
            "description": "A node.",
        },
        ["approximated /$defs/Node/properties/next/$ref"],
        id="a circle ends at its second visit",
    ),
    pytest.param({"const": "a"}, {**STRING, "enum": ["a"]}, [], id="one text"),
    pytest.param({"enum": ["a", "b", "a", None]}, {**STRING, "enum": ["a", "b"], "nullable": True}, [], id="texts or null"),
    pytest.param({**STRING, "enum": ["", "a"]}, {**STRING, "enum": ["a"]}, ["approximated /enum"], id="an empty text"),
    pytest.param(
        {"type": "integer", "enum": [1, 2], "description": "d"},
        {"type": "integer", "description": "d\nAllowed values: 1, 2"},
        ["approximated /enum"],
        id="numbers keep their type",
    ),
    pytest.param(
        {"const": True}, {"type": "boolean", "description": "Allowed values: true"}, ["approximated /const"], id="one boolean"
    ),
    pytest.param(
        {"enum": [1, 2.5]}, {"type": "number", "description": "Allowed values: 1, 2.5"}, ["approximated /enum"], id="numbers"
    ),
    pytest.param({**STRING, "format": "date-time"}, {**STRING, "format": "date-time"}, [], id="a format it has"),
    pytest.param({**STRING, "format": "uri"}, STRING, ["dropped /format"], id="a format it has not"),
    pytest.param({"type": "integer", "format": "int64"}, {"type": "integer", "format": "int64"}, [], id="a number's format"),
    pytest.param({"type": "integer", "format": "float"}, {"type": "integer"}, ["dropped /format"], id="a wrong one"),
    pytest.param(
        {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10},
        {"type": "integer", "minimum": 1, "maximum": 9},
        [],
        id="limits left out, of integers",
    ),
    pytest.param(
        {"type": "number", "exclusiveMinimum": 0, "minimum": 5},
        {"type": "number", "minimum": 5},
        ["approximated /exclusiveMinimum"],
        id="limits left out, of numbers",
    ),
    pytest.param(
        {"type": "integer", "minimum": 3, "exclusiveMinimum": True}, {"type": "integer", "minimum": 4}, [], id="the older way"
    ),
    pytest.param({"type": "array"}, {"type": "array", "items": STRING}, ["approximated "], id="items of any kind"),
    pytest.param(
        {"type": "array", "items": {"type": "array"}},
        {"type": "array", "items": {"type": "array", "items": STRING}},
        ["approximated /items"],
        id="at depth",
    ),
    pytest.param(
        {"prefixItems": [STRING, {"type": "integer"}, STRING]},
        {"type": "array", "items": {"anyOf": [STRING, {"type": "integer"}]}},
        ["approximated /prefixItems"],
        id="a tuple",
    ),
    pytest.param({"items": [STRING, STRING]}, {"type": "array", "items": STRING}, ["approximated /items"], id="the older tuple"),
    pytest.param({"type": "object", "properties": {}}, {"type": "object"}, [], id="an object without properties"),
    pytest.param(
        {"properties": {"a": STRING}, "required": ["a", "b"]},
        {"type": "object", "properties": {"a": STRING}, "required": ["a"]},
        ["dropped /required/1"],
        id="what is required and not there",
    ),
    pytest.param(
        {"type": "object", "properties": dict.fromkeys(("type", "format", "title", "$ref", "items", "x-y"), STRING)},
        {"type": "object", "properties": dict.fromkeys(("type", "format", "title", "$ref", "items", "x-y"), STRING)},
        [],
        id="names of keywords",
    ),
    pytest.param({}, STRING, ["approximated "], id="anything"),
    pytest.param(True, STRING, ["approximated "], id="true"),
    pytest.param({"type": "any"}, STRING, ["approximated /type", "approximated "], id="no such type"),
    pytest.param(
        {
            "type": "object",
            "properties": {"a": STRING},
            "additionalProperties": False,
            "patternProperties": {},
            "not": {},
            "if": {},
            "x-order": 1,
            "examples": [],
        },
        {"type": "object", "properties": {"a": STRING}},
        [f"dropped /{name}" for name in ("additionalProperties", "patternProperties", "not", "if", "x-order", "examples")],
        id="what the dialect has no word for",
    ),
    pytest.param(
        {**STRING, "minLength": "1", "pattern": 5, "title": None, "default": None},
        STRING,
        ["dropped /pattern", "dropped /minLength", "dropped /title", "dropped /default"],
        id="values of the wrong type",
    ),
    pytest.param(
        {**STRING, "title": "t", "default": "x", "example": "y", "minLength": 1, "maxLength": 2, "pattern": "p"},
        {**STRING, "title": "t", "default": "x", "example": "y", "minLength": 1, "maxLength": 2, "pattern": "p"},
        [],
        id="what it has a word for",
    ),
]  # fmt: skip

DEFS = {
    "B": {"type": "object", "properties": {"b": {"type": "integer"}}},
    "Node": NODE,
    "with/slash": STRING,
}


@pytest.mark.parametrize(("before", "after", "notes"), PROPERTIES)
def test_a_property_says_what_the_subset_can_say(before, after, notes):
    schema = {"type": "object", "properties": {"p": before}, "$defs": DEFS}
    found, noted = reduced(schema, is_object_schema=True)
    assert found == {"type": "object", "properties": {"p": after}}
    assert sorted(f"{note.kind} {note.pointer.removeprefix('/properties/p')}" for note in noted) == sorted(notes)
    check_schema(found, "", root=True)
    Schema.model_validate(found)


@pytest.mark.parametrize(
    ("before", "after", "notes"),
    [
        pytest.param(STRING, {"type": "object"}, ["approximated /type"], id="no object"),
        pytest.param({"properties": {"a": STRING}}, {"type": "object", "properties": {"a": STRING}}, [], id="no type"),
        pytest.param(
            {
                "anyOf": [
                    {"type": "object", "properties": {"a": STRING, "k": STRING}, "required": ["a", "k"]},
                    {"$ref": "#/$defs/B"},
                ],
                "$defs": {"B": {"properties": {"b": STRING, "k": STRING}, "required": ["k"]}},
            },
            {"type": "object", "properties": {"a": STRING, "k": STRING, "b": STRING}, "required": ["k"]},
            ["approximated "],
            id="a union",
        ),
        pytest.param({"$ref": "#"}, {"type": "object"}, ["approximated /$ref"], id="itself"),
        pytest.param([1], {"type": "object"}, ["approximated "], id="a list"),
    ],
)
def test_arguments_are_an_object_whatever_the_schema_says(before, after, notes):
    found, noted = reduced(before, is_object_schema=True)
    assert (found, [f"{note.kind} {note.pointer}" for note in noted]) == (after, notes)


def test_an_answer_may_be_of_any_type():
    assert reduced({"type": "array", "items": {"const": "a"}}, is_object_schema=False) == (
        {"type": "array", "items": {**STRING, "enum": ["a"]}},
        (),
    )


def test_depth_ends_in_an_open_object():
    deep = STRING
    for _ in range(200):
        deep = {"type": "object", "properties": {"a": deep}}
    found, [note] = reduced(deep, is_object_schema=True)
    assert note.pointer.startswith("/properties/a/properties/a")
    check_schema(found, "", root=True)


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(
            {
                "type": "object",
                "properties": {f"p{n}": {"type": "string", "pattern": "x"} for n in range(5000)},
                "anyOf": [{"type": "object", "title": str(n)} for n in range(5000)],
            },
            id="5000 branches with 5000 properties",
        ),
        pytest.param({"type": "object", "properties": {"p": {"enum": [*range(50_000), "x"]}}}, id="50 000 values"),
        pytest.param({"allOf": [{"$ref": "#"}] * 5000}, id="5000 ways back to itself"),
        pytest.param(
            {"$ref": "#/$defs/0", "$defs": {str(n): {"$ref": f"#/$defs/{n + 1}"} for n in range(9000)}},
            id="a long chain",
        ),
    ],
)
def test_no_schema_takes_long(schema):
    started_s = time.process_time()
    found, notes = reduced(schema, is_object_schema=True)
    assert time.process_time() - started_s < 5
    assert notes
    check_schema(found, "", root=True)


# --- laws -------------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "type", "items", "$ref", "properties"])
LEAVES = st.sampled_from(
    [
        {},
        True,
        STRING,
        {"type": ["integer", "null"], "exclusiveMaximum": 3},
        {"type": "boolean", "enum": [True]},
        {"const": "x"},
        {"enum": ["a", "", 1, None]},
        {"$ref": "#"},
        {"$ref": "#/$defs/D"},
        {"type": "array", "minItems": 1},
        {"type": "number", "format": "uuid", "not": {}},
    ]
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(
            lambda properties, required: {"type": "object", "properties": properties, "required": required},
            st.dictionaries(NAMES, inner, max_size=3),
            st.lists(NAMES, max_size=2),
        ),
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(
            lambda keyword, branches: {keyword: branches},
            st.sampled_from(["anyOf", "oneOf", "allOf", "prefixItems"]),
            st.lists(inner, max_size=3),
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(schema=SCHEMAS, definition=SCHEMAS)
def test_every_schema_is_reduced_to_one_the_service_takes_and_to_itself_after_that(schema, definition):
    if isinstance(schema, dict):
        schema = {**schema, "$defs": {"D": definition}}
    before = msgspec.json.encode(schema)
    found, _ = reduced(schema, is_object_schema=True)
    assert msgspec.json.encode(schema) == before
    check_schema(found, "", root=True)
    Schema.model_validate(found)
    again, notes = reduced(found, is_object_schema=True)
    assert again == found
    assert all(note.kind == "approximated" for note in notes) or not notes


@settings(max_examples=200, deadline=None)
@given(schema=SCHEMAS)
def test_names_of_properties_are_never_lost(schema):
    """Unless a reference leads back, or a condition stands in the way, each of an object's own properties is there."""
    wrapped = {
        "type": "object",
        "properties": {"title": schema, "$defs": schema, "pattern": STRING},
        "required": ["title"],
    }
    found, _ = reduced(wrapped, is_object_schema=True)
    assert list(found["properties"]) == ["title", "$defs", "pattern"]
    assert found["required"] == ["title"]


# --- from the vendor's form -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "schema"),
    [
        pytest.param({"type": "STRING"}, STRING, id="upper case"),
        pytest.param(
            {"type": "OBJECT", "properties": {"any_of": {"any_of": [{"type": "INTEGER"}]}}, "property_ordering": ["any_of"]},
            {"type": "object", "properties": {"any_of": {"anyOf": [{"type": "integer"}]}}, "propertyOrdering": ["any_of"]},
            id="keywords in snake_case, and names as they are",
        ),
        pytest.param({"type": "STRING", "nullable": True}, {"type": ["string", "null"]}, id="or null"),
        pytest.param({"anyOf": [STRING], "nullable": True}, {"anyOf": [STRING, {"type": "null"}]}, id="a union or null"),
        pytest.param(
            {"type": "STRING", "enum": ["a"], "nullable": True}, {"type": ["string", "null"], "enum": ["a", None]}, id="values or null"
        ),
        pytest.param({"type": "STRING", "nullable": False}, STRING, id="not null"),
        pytest.param({"type": "ARRAY", "min_items": "1", "items": {"type": "NUMBER"}}, {"type": "array", "minItems": 1, "items": {"type": "number"}}, id="a count in a text"),
        pytest.param({"ref": "#/defs/A", "defs": {"A": {"type": "STRING"}}}, {"$ref": "#/$defs/A", "$defs": {"A": STRING}}, id="references"),
        pytest.param({"type": "STRING", "default": {"type": "X"}, "enum": ["TYPE"]}, {"type": "string", "default": {"type": "X"}, "enum": ["TYPE"]}, id="values as they are"),
    ],
)  # fmt: skip
def test_the_vendors_schema_becomes_a_json_schema(own, schema):
    assert msgspec.json.decode(json_schema(raw(own), "/p")) == schema


def test_a_schema_that_is_one_already_keeps_its_bytes():
    written = Raw(b'{ "type":"object", "properties" : {"a":{"type":"string"}} }')
    assert json_schema(written, "/p") is written


def test_a_schema_that_is_no_object_is_refused():
    with pytest.raises(Malformed):
        json_schema(Raw(b'"x"'), "/p")
