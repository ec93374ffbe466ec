"""Arguments fit the schema they are made for."""

import pytest

from omniroute_provider_demo.arguments import example


def wrapped(schema, name="x"):
    return {"type": "object", "properties": {name: schema}, "required": [name]}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "demo"),
        ({}, "demo"),
        (True, "demo"),
        ({"type": "string", "minLength": 8}, "demo...."),
        ({"type": "string", "maxLength": 2}, "de"),
        ({"type": "string", "pattern": "^[A-Z][0-9]$"}, "A1"),
        ({"type": "string", "pattern": "^demo"}, "demo"),
        ({"type": "string", "pattern": "("}, "demo"),
        ({"type": "string", "format": "date-time"}, "2026-01-01T00:00:00Z"),
        ({"type": "string", "enum": ["b", "a"]}, "b"),
        ({"const": 7}, 7),
        ({"type": "integer", "default": 5}, 5),
        ({"type": "integer"}, 1),
        ({"type": "integer", "minimum": 10}, 10),
        ({"type": "integer", "exclusiveMinimum": 10}, 11),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "integer", "exclusiveMaximum": 0}, -1),
        ({"type": "integer", "minimum": 10, "multipleOf": 4}, 12),
        ({"type": "number", "exclusiveMinimum": 1}, 1.5),
        ({"type": "number", "minimum": 0, "maximum": 0.5}, 0.5),
        ({"type": "boolean"}, False),
        ({"type": "null"}, None),
        ({"type": ["null", "integer"]}, 1),
        ({"type": "array", "items": {"type": "integer"}}, [1]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        ({"type": "array", "items": {"type": "integer"}, "maxItems": 0}, []),
        ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "null"}]}, [1, None]),
        ({"type": "array"}, []),
        ({"type": "object"}, {}),
        ({"properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a"]}, {"a": 1}),
        ({"type": "object", "required": ["a"]}, {"a": "demo"}),
        ({"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 3}]}, 3),
        ({"oneOf": [{"type": "null"}]}, None),
        ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"a": {"type": "integer"}}}, {"a": 1}),
        (
            {
                "allOf": [
                    {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                    {"properties": {"b": {"type": "null"}}, "required": ["b"]},
                ]
            },
            {"a": 1, "b": None},
        ),
    ],
)
def test_a_value_fits_its_schema(schema, value):
    assert example(wrapped(schema)) == {"x": value}


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("command", "echo hello from the demo", "echo hello again from the demo"),
        ("file_path", "demo.txt", "demo2.txt"),
        ("city", "Paris", "Oslo"),
        ("anything", "demo", "demo2"),
    ],
)
def test_a_propertys_name_says_what_it_wants(name, first, second):
    schema = wrapped({"type": "string"}, name)
    assert [example(schema, variant)[name] for variant in (0, 1)] == [first, second]


def test_references_are_followed():
    schema = {
        "$defs": {
            "a/b": {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}, "required": ["n"]},
            "n": {"enum": [3]},
        },
        **wrapped({"$ref": "#/$defs/a~1b", "description": "kept"}),
    }
    assert example(schema) == {"x": {"n": 3}}


def test_a_reference_to_nowhere_is_no_failure():
    assert example(wrapped({"$ref": "#/$defs/missing/deeper"})) == {"x": "demo"}


def test_a_schema_that_contains_itself_comes_to_an_end():
    node = {
        "type": "object",
        "properties": {"next": {"$ref": "#"}, "all": {"$ref": "#/x"}},
        "required": ["next", "all"],
    }
    assert example({**node, "x": {"$ref": "#/x"}})["next"]["next"]
