"""What breaks the dialect's rules is refused before any upstream is called, with the place and the rule."""

import msgspec
import pytest

from omniroute.api import MAX_SCHEMA_BYTES, InvalidRequest
from omniroute_translator_gemini.schema import MAX_BYTES

HI = {"role": "user", "parts": [{"text": "hi"}]}
CALL = {"functionCall": {"name": "f"}}
RESULT = {"functionResponse": {"name": "f", "response": {}}}


def parts(*items, role="user"):
    return {"contents": [{"role": role, "parts": list(items)}]}


@pytest.mark.parametrize(
    ("wire", "param"),
    [
        pytest.param({"contents": [HI, {"role": "system", "parts": [{"text": "a"}]}]}, "/contents/1/role", id="a role"),
        pytest.param({"contents": [{"role": "user"}]}, "/contents/0/parts", id="no parts"),
        pytest.param({"contents": [{"role": "user", "parts": []}]}, "/contents/0/parts", id="empty parts"),
        pytest.param({"contents": ["hi"]}, "/contents/0", id="a content that is a text"),
        pytest.param(parts({}), "/contents/0/parts/0", id="an empty part"),
        pytest.param(parts({"text": "a"}, {"hologram": {}}), "/contents/0/parts/1", id="an unknown part"),
        pytest.param(parts({"text": "a", "inlineData": {}}), "/contents/0/parts/0", id="two parts in one"),
        pytest.param(parts({"text": 5}), "/contents/0/parts/0/text", id="a number for a text"),
        pytest.param(parts({"inline_data": {"data": "aGk"}}, CALL), "/contents/0/parts/1", id="a call of the user"),
        pytest.param(parts(RESULT, role="model"), "/contents/0/parts/0", id="a result of the model"),
        pytest.param(parts(RESULT), "/contents/0/parts/0/functionResponse", id="a result without a call"),
        pytest.param(
            {"contents": [HI, {"role": "model", "parts": [CALL]}, {"parts": [RESULT, RESULT]}]},
            "/contents/2/parts/1/functionResponse",
            id="a second result of one call",
        ),
        pytest.param(
            parts({"functionCall": {"name": "f", "args": "x"}}, role="model"),
            "/contents/0/parts/0/functionCall/args",
            id="arguments that are no object",
        ),
        pytest.param(
            parts({"function_call": {"args": {}}}, role="model"),
            "/contents/0/parts/0/function_call/name",
            id="a call without a name",
        ),
        pytest.param(
            parts({"inlineData": {"mimeType": "image/png", "data": "%%%"}}),
            "/contents/0/parts/0/inlineData/data",
            id="data that is not base64",
        ),
        pytest.param(
            parts({"inlineData": {"mimeType": "image/png", "data": ""}}),
            "/contents/0/parts/0/inlineData/data",
            id="no data",
        ),
        pytest.param(parts({"fileData": {}}), "/contents/0/parts/0/fileData/fileUri", id="a file without an address"),
        pytest.param(
            {"systemInstruction": {"parts": [{"text": "a"}, {"inlineData": {"mimeType": "a/b", "data": "aGk="}}]}},
            "/systemInstruction/parts/1",
            id="an image in the system instruction",
        ),
        pytest.param(
            {"tools": [{"functionDeclarations": [{"name": "a"}, {"description": "d"}]}]},
            "/tools/0/functionDeclarations/1/name",
            id="a function without a name",
        ),
        pytest.param(
            {"tools": [{"function_declarations": [{"name": "a", "parameters": {}, "parameters_json_schema": {}}]}]},
            "/tools/0/function_declarations/0/parameters",
            id="two schemas",
        ),
        pytest.param(
            {"tools": [{"functionDeclarations": [{"name": "a", "parameters": [1]}]}]},
            "/tools/0/functionDeclarations/0/parameters",
            id="a schema that is a list",
        ),
        pytest.param(
            {"tools": [{"functionDeclarations": [{"name": "a", "parametersJsonSchema": {"$ref": "#"}}]}]},
            "/tools/0/functionDeclarations/0/parametersJsonSchema/$ref",
            id="a schema that is itself",
        ),
        pytest.param(
            {
                "tools": [
                    {
                        "function_declarations": [
                            {
                                "name": "a",
                                "parameters": {
                                    "type": "OBJECT",
                                    "properties": {"any_of": {"any_of": [{"type": "STRING"}, {"ref": "#/defs/a"}]}},
                                    "defs": {"a": {"any_of": [{"type": "STRING"}, {"ref": "#/defs/a"}]}},
                                },
                            }
                        ]
                    }
                ]
            },
            "/tools/0/function_declarations/0/parameters/defs/a/any_of/1/ref",
            id="the same in the dialect's own spelling",
        ),
        pytest.param({"tools": ["search"]}, "/tools/0", id="a tool that is a text"),
        pytest.param({"generationConfig": {"candidateCount": 2}}, "/generationConfig/candidateCount", id="two answers"),
        pytest.param(
            {"generationConfig": {"thinkingConfig": {"thinkingLevel": "UTMOST"}}},
            "/generationConfig/thinkingConfig/thinkingLevel",
            id="an unknown level",
        ),
        pytest.param(
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": -2}}},
            "/generationConfig/thinkingConfig/thinkingBudget",
            id="a negative budget",
        ),
        pytest.param(
            {"generationConfig": {"responseJsonSchema": "x"}},
            "/generationConfig/responseJsonSchema",
            id="a text for a schema of the answer",
        ),
        pytest.param(
            {"generation_config": {"response_schema": {"items": {"ref": "#/items"}}}},
            "/generation_config/response_schema/items/ref",
            id="a schema of the answer that is itself",
        ),
        pytest.param(
            {"generationConfig": {"responseSchema": {"anyOf": [{}], "any_of": [{}, {"ref": "#"}]}}},
            "/generationConfig/responseSchema/anyOf/1/$ref",
            id="one that says a keyword in both spellings",
        ),
    ],
)
def test_it_is_refused_with_its_pointer(decode, wire, param):
    with pytest.raises(InvalidRequest) as caught:
        decode(**wire)
    assert caught.value.param == param
    assert param in caught.value.message


def test_long_histories_are_looked_through_in_one_pass(decode):
    """A second pass for each turn or call would take hours."""
    assert len(decode(contents=[HI] * 100_000).messages) == 100_000
    with pytest.raises(InvalidRequest) as caught:
        decode(contents=[HI, {"role": "model", "parts": [CALL] * 20_000}, {"parts": [RESULT] * 20_001}])
    assert caught.value.param == "/contents/2/parts/20000/functionResponse"


def long(size):
    return {"type": "object", "properties": {"a": {"type": "string", "description": "x" * size}}}


@pytest.mark.parametrize("field", ["parameters", "parametersJsonSchema"])
def test_a_schema_beyond_all_measure_is_refused(decode, field):
    with pytest.raises(InvalidRequest, match=str(MAX_SCHEMA_BYTES)) as caught:
        decode(tools=[{"functionDeclarations": [{"name": "a"}, {"name": "b", field: long(5_000_000)}]}])
    assert caught.value.param == f"/tools/0/functionDeclarations/1/{field}"


def test_no_schema_is_sent_that_is_longer_than_the_service_takes(decode, translator):
    schema = long(MAX_BYTES)
    request = decode(tools=[{"functionDeclarations": [{"name": "a"}, {"name": "b", "parametersJsonSchema": schema}]}])
    with pytest.raises(InvalidRequest) as caught:
        translator.encode_request(request)
    assert caught.value.param == "/tools/1/parameters"
    assert f"{MAX_BYTES // 1024} kB" in caught.value.message


@pytest.mark.parametrize("levels", [5000, 100_000])
def test_a_schema_without_end_is_refused(decode, levels):
    deep = msgspec.Raw(b'{"type":"ARRAY","items":' * levels + b"{}" + b"}" * levels)
    with pytest.raises(InvalidRequest, match="nested too deep"):
        decode(tools=[{"functionDeclarations": [{"name": "a", "parameters": deep}]}])
