"""Which JSON schemas nobody could use: too long, no schemas, or with a reference that leads back to itself."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from omniroute.api import MAX_SCHEMA_BYTES, BodyReader, InvalidRequest, Malformed, check_schema, referred_schema

AT = "/tools/0/parameters"
LONGEST_S = 10.0
"""Of CPU, for any schema that is not too long; without a bound it would be hours."""


def raw(schema):
    return Raw(json.dumps(schema, separators=(",", ":")).encode())


def refusal(schema):
    with pytest.raises(Malformed) as caught:
        check_schema(schema if isinstance(schema, Raw) else raw(schema), AT)
    return caught.value


def ref(name):
    return {"$ref": f"#/$defs/{name}"}


def defined(**schemas):
    return {"type": "object", "$defs": schemas}


LEAF = {"type": "string"}
CIRCLES = [
    pytest.param({"$ref": "#"}, "/$ref", id="the root is itself"),
    pytest.param({"$ref": "#/"}, None, id="a property without a name"),
    pytest.param({**ref("a"), **defined(a=ref("a"))}, "/$defs/a/$ref", id="a reference to itself"),
    pytest.param(defined(a=ref("b"), b=ref("a")), "/$defs/b/$ref", id="two that lead to each other"),
    pytest.param(defined(a={"description": "A.", **ref("a")}), "/$defs/a/$ref", id="beside other words"),
    pytest.param(defined(a={"allOf": [LEAF, ref("a")]}), "/$defs/a/allOf/1/$ref", id="by allOf"),
    pytest.param(defined(a={"anyOf": [LEAF, ref("a")]}), "/$defs/a/anyOf/1/$ref", id="by anyOf"),
    pytest.param(defined(a={"oneOf": [ref("a")]}), "/$defs/a/oneOf/0/$ref", id="by oneOf"),
    pytest.param(defined(a={"not": ref("a")}), "/$defs/a/not/$ref", id="by not"),
    pytest.param(defined(a={"if": LEAF, "then": ref("a")}), "/$defs/a/then/$ref", id="by then"),
    pytest.param(defined(a={"dependentSchemas": {"x": ref("a")}}), "/$defs/a/dependentSchemas/x/$ref", id="by what depends"),
    pytest.param(
        {"properties": {"a/b~": {"allOf": [{"$ref": "#/properties/a~1b~0"}]}}},
        "/properties/a~1b~0/allOf/0/$ref",
        id="within a property whose name is escaped",
    ),
    pytest.param(
        {"items": {"anyOf": [{"$ref": "#/items/anyOf/1"}, {"$ref": "#/items/anyOf/0"}]}},
        "/items/anyOf/0/$ref",
        id="members of a list",
    ),
    pytest.param(
        {"components": {"a b": {"$ref": "#/components/a%20b"}}, "$ref": "#/components/a%20b"},
        "/components/a b/$ref",
        id="where no schema is looked for, percent-encoded",
    ),
    pytest.param(Raw(b'{"\\u0024\\u0072ef":"#"}'), "/$ref", id="spelt in escapes"),
    pytest.param({"properties": {"child": {"$ref": "#"}}}, None, id="recursive: a property is like the root"),
    pytest.param(defined(a={"items": ref("a")}), None, id="recursive: an item"),
    pytest.param(defined(a={"anyOf": [LEAF, {"items": ref("a")}]}), None, id="recursive: an item of a branch"),
    pytest.param(defined(a={"additionalProperties": ref("a")}), None, id="recursive: any property"),
    pytest.param(defined(a=ref("b"), b=ref("c"), c=LEAF), None, id="a chain with an end"),
    pytest.param(defined(a={"allOf": [ref("b"), ref("b")]}, b=LEAF), None, id="one schema twice"),
    pytest.param(defined(a=ref("nowhere")), None, id="a reference to nothing"),
    pytest.param(defined(a={"$ref": "https://example.com/a"}), None, id="a reference to elsewhere"),
    pytest.param(defined(a={"$ref": "#/$defs/a/title", "title": "A"}), None, id="a reference to a text"),
    pytest.param(defined(a={"$ref": 5}), None, id="a reference that is none"),
    pytest.param({"properties": {"$ref": {"type": "string"}}}, None, id="a property of that name"),
    pytest.param({"const": {"$ref": "#"}, "enum": [{"$ref": "#"}], "default": {"$ref": "#"}}, None, id="a value"),
    pytest.param(defined(a={"allOf": "x", "not": True, "items": [5]}, b=ref("a")), None, id="keywords of nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "place"), CIRCLES)
def test_a_reference_must_not_lead_back_to_itself_in_place(schema, place):
    if place is None:
        check_schema(raw(schema), AT)
        return
    refused = refusal(schema)
    assert refused.pointer == AT + place
    assert "leads back to itself" in refused.reason
    assert refused.fix


@pytest.mark.parametrize("value", [True, None, 5, "x", [], [{"type": "object"}]])
def test_a_schema_is_an_object(value):
    assert (refusal(value).pointer, refusal(value).reason) == (AT, "expected a JSON schema, which is an object")


def test_a_schema_has_a_mebibyte_at_most():
    room = MAX_SCHEMA_BYTES - len(raw({"title": ""}))
    check_schema(raw({"title": "x" * room}), AT)
    refused = refusal({"title": "x" * (room + 1)})
    assert refused.pointer == AT
    assert str(MAX_SCHEMA_BYTES) in refused.reason
    assert str(MAX_SCHEMA_BYTES + 1) in refused.reason
    assert refused.fix


def test_json_that_cannot_be_read_is_no_schema():
    assert "nested too deep" in refusal(Raw(b'{"$ref":"#","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")).reason
    assert "not valid JSON" in refusal(Raw(b'{"$ref":"\xff"}')).reason


def chain(end):
    """Each leads to the next, further than Python's stack goes."""
    last = 25_000
    return {"$ref": "#/$defs/0", "$defs": {**{str(at): ref(at + 1) for at in range(last)}, str(last): end}}


@pytest.mark.parametrize(
    ("schema", "is_circular"),
    [
        pytest.param(chain(LEAF), False, id="a long chain"),
        pytest.param(chain({"$ref": "#"}), True, id="a long circle"),
        pytest.param({"anyOf": [ref("a")] * 45_000, "$defs": {"a": LEAF}}, False, id="many references to one"),
        pytest.param(
            defined(**{str(at): {"allOf": [ref(at + 1)] * 30} for at in range(1000)}, **{"1000": LEAF}),
            False,
            id="more ways than anybody can go",
        ),
        pytest.param({"anyOf": [{"$ref": "#" + "/anyOf/0" * 1000}] * 120}, False, id="long pointers"),
    ],
)
def test_the_longest_schema_is_looked_through_at_once(schema, is_circular):
    wire = raw(schema)
    assert len(wire) <= MAX_SCHEMA_BYTES
    began = time.thread_time()
    if is_circular:
        refusal(wire)
    else:
        check_schema(wire, AT)
    assert time.thread_time() - began < LONGEST_S


NAMES = st.sampled_from("abcde")
EDGES = st.sampled_from(["$ref", "allOf", "anyOf", "not", "then", "items", "properties"])


@given(st.dictionaries(NAMES, st.dictionaries(EDGES, NAMES, max_size=4), min_size=1))
def test_what_is_refused_is_what_has_a_circle_in_place(edges):
    """Take away, again and again, whatever leads to nothing in place: where something is left, there is a circle."""
    left = {
        name: {target for edge, target in leading.items() if edge not in ("items", "properties")} & edges.keys()
        for name, leading in edges.items()
    }
    while ended := [name for name, targets in left.items() if not targets & left.keys()]:
        for name in ended:
            del left[name]
    made = {
        "$ref": lambda target: ref(target)["$ref"],
        "allOf": lambda target: [LEAF, ref(target)],
        "anyOf": lambda target: [ref(target)],
        "properties": lambda target: {"$ref": ref(target)},
    }
    schema = defined(
        **{
            name: {edge: made.get(edge, ref)(target) for edge, target in leading.items()}
            for name, leading in edges.items()
        }
    )
    if not left:
        check_schema(raw(schema), AT)
        return
    pointer = refusal(schema).pointer.removeprefix(AT)
    assert pointer.startswith("/$defs/")
    assert pointer.endswith("/$ref")
    assert referred_schema(schema, f"#{pointer}").startswith("#/$defs/")


@pytest.mark.parametrize(
    "reference", ["#a", "#/$defs/b", "#/list/2", "#/list/00", "#/list/x", "#/$defs/a/type/x", "a#", ""]
)
def test_a_reference_that_leads_nowhere_is_none(reference):
    schema = {**defined(a=LEAF), "list": [{}, {}]}
    assert referred_schema(schema, "#") is schema
    assert referred_schema(schema, "#/list/1") == {}
    with pytest.raises(LookupError):
        referred_schema(schema, reference)


def test_a_body_s_reader_makes_it_the_client_s_mistake():
    with pytest.raises(InvalidRequest) as caught:
        BodyReader({}).check_schema(raw({"$ref": "#"}), AT)
    assert caught.value.param == f"{AT}/$ref"
    assert caught.value.fix == refusal({"$ref": "#"}).fix
