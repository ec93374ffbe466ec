"""The strict Gemini validator accepts what real clients send and refuses what the service refuses."""

import re
from pathlib import Path

import msgspec
import pytest

from omniroute.testing import ReceivedRequest, Recording
from omniroute.testing.strict import gemini

PATH = "/v1beta/models/gemini-2.5-flash-fake:generateContent"
PRO = PATH.replace("flash", "pro")
NEWER = PATH.replace("2.5-flash", "3-pro")
HI = {"role": "user", "parts": [{"text": "hi"}]}
SPOKEN = {"role": "model", "parts": [{"text": "hello"}]}
SCHEMA = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}
LOOK = {"name": "look", "description": "Looks.", "parameters": SCHEMA}
SEARCH = {"googleSearch": {}}
SIGNED = {"thoughtSignature": "c2ln"}


def received(body, target=PATH, **headers):
    plain = {"content-type": "application/json", "x-goog-api-key": "test-key-1", **headers}
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return ReceivedRequest(method="POST", target=target, headers=tuple(plain.items()), body=data)


def ask(*contents, **fields):
    return {"contents": list(contents or [HI]), **fields}


def calls(*names, **fields):
    return {"role": "model", "parts": [{"functionCall": {"name": name, "args": {}}, **fields} for name in names]}


def results(*names, after=(), first=(), **fields):
    parts = [{"functionResponse": {"name": name, "response": {"result": "x"}, **fields}} for name in names]
    return {"role": "user", "parts": [*first, *parts, *after]}


def tools(*declared, **fields):
    return {"tools": [{"functionDeclarations": list(declared or [LOOK])}], **fields}


def schema(**fields):
    return tools({"name": "look", "parameters": {"type": "OBJECT", "properties": {"a": fields}}})


def config(**fields):
    return {"generationConfig": fields}


def thinking(**fields):
    return config(thinkingConfig=fields)


def choice(**fields):
    return {"toolConfig": {"functionCallingConfig": fields}}


GOOD = [
    ask(),
    ask({"parts": [{"text": "no role"}]}),
    ask(HI, HI),
    ask(HI, SPOKEN, HI, systemInstruction={"parts": [{"text": "s"}]}),
    ask(HI, calls("look", "move"), results("move", "look", after=[{"text": "and?"}])),
    ask(HI, calls("look"), {**results("look"), "role": "function"}, SPOKEN, HI, calls("look"), results("look")),
    ask({"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "iVBO"}}, {"text": "what?"}]}),
    ask({"role": "user", "parts": [{"fileData": {"fileUri": "https://x.example/a.png", "mimeType": "image/png"}}]}),
    ask({"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": "ok", **SIGNED}]}, HI),
    ask(**tools(), **choice(mode="ANY", allowedFunctionNames=["look"])),
    ask(**tools({"name": "mcp.fs:read-file_1"}, {"name": "x", "parametersJsonSchema": {"type": "object", "$defs": {}}})),
    ask(tools=[SEARCH]),
    ask(**schema(type="array", items={"type": "string", "format": "date-time"})),
    ask(**schema(type="OBJECT", properties={"format": {"type": "STRING"}, "$ref": {"type": "INTEGER", "format": "int64"}})),
    ask(**schema(anyOf=[{"type": "STRING"}, {"type": "NUMBER"}], description="either")),
    ask(**config(temperature=2, topK=40, stopSequences=list("abcde"), responseMimeType="application/json", responseSchema=SCHEMA)),
    ask(**thinking(thinkingBudget=1024, includeThoughts=True)),
    ask(**thinking(thinkingLevel="THINKING_LEVEL_UNSPECIFIED")),
    ask(safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}], cachedContent="cachedContents/1"),
]  # fmt: skip
BAD = {
    "no contents": ({}, "contents is not specified"),
    "an unknown field": (ask(max_tokens=5), 'Unknown name "max_tokens"'),
    "a field in snake case": (ask(system_instruction={"parts": [{"text": "s"}]}), "system_instruction"),
    "an inner field in snake case": (ask(**config(max_output_tokens=5)), "max_output_tokens: Extra"),
    "a part in snake case": (ask({"parts": [{"inline_data": {"mimeType": "a/b", "data": "AA=="}}]}), "inline_data: Extra"),
    "a role of another dialect": (ask({"role": "assistant", "parts": [{"text": "x"}]}), "valid role"),
    "no parts": (ask({"role": "user", "parts": []}), "parts must not be empty"),
    "a part of nothing": (ask({"parts": [{}]}), "one initialized field"),
    "a part of two": (ask({"parts": [{"text": "x", "inlineData": {"mimeType": "a/b", "data": "AA=="}}]}), "one initialized"),
    "another dialect's part": (ask({"parts": [{"type": "text", "text": "x"}]}), "type: Extra"),
    "data that is no base64": (ask({"parts": [{"inlineData": {"mimeType": "a/b", "data": "!"}}]}), "no base64"),
    "data without a media type": (ask({"parts": [{"inlineData": {"data": "AA=="}}]}), "mimeType: must not be empty"),
    "a name for a blob": (ask({"parts": [{"inlineData": {"mimeType": "a/b", "data": "AA==", "displayName": "x"}}]}), "displayName"),
    "two model turns": (ask(HI, SPOKEN, SPOKEN), "alternate"),
    "a call without a response": (ask(HI, calls("look"), HI), "number of function response parts"),
    "a call at the end": (ask(HI, calls("look")), "response turn comes after"),
    "one response of two": (ask(HI, calls("look", "move"), results("look")), "Calls: 2, responses: 1"),
    "a response too many": (ask(HI, calls("look"), results("look", "look")), "Calls: 1, responses: 2"),
    "a response without a call": (ask(HI, results("look")), "Calls: 0, responses: 1"),
    "responses in two turns": (ask(HI, calls("a", "b"), results("a"), results("b")), "Calls: 2, responses: 1"),
    "a response without a name": (
        ask(HI, calls("look"), {"role": "user", "parts": [{"functionResponse": {"response": {}}}]}),
        "Invalid function name ''",
    ),
    "a response of another name": (ask(HI, calls("look"), results("move")), "other names"),
    "a response of another id": (ask(HI, calls("look"), results("look", id="x")), "other ids"),
    "a response that is a list": (
        ask(HI, calls("look"), {"parts": [{"functionResponse": {"name": "look", "response": []}}]}),
        r"response: \[\] is none of",
    ),
    "words before the response": (ask(HI, calls("look"), results("look", first=[{"text": "x"}])), "must come first"),
    "a call at the beginning": (ask(calls("look"), results("look")), "immediately after a user turn"),
    "arguments as text": (ask(HI, {"role": "model", "parts": [{"functionCall": {"name": "a", "args": "{}"}}]}), "args: '{}' is none of"),
    "an image as system text": (ask(systemInstruction={"parts": [{"inlineData": {"mimeType": "a/b", "data": "AA=="}}]}), "only text"),
    "an empty system text": (ask(systemInstruction={"parts": []}), "must not be empty"),
    "a name that begins with a digit": (ask(**tools({"name": "3d"})), "Invalid function name '3d'"),
    "a name of 129 letters": (ask(**tools({"name": "x" * 129})), "Invalid function name"),
    "two functions of one name": (ask(**tools(LOOK, LOOK)), "Duplicate function declaration"),
    "an empty list of functions": (ask(tools=[{"functionDeclarations": []}]), "must declare something"),
    "both kinds of parameters": (ask(**tools({**LOOK, "parametersJsonSchema": {"type": "object"}})), "mutually exclusive"),
    "a strict tool": (ask(**tools({**LOOK, "strict": True})), "strict: Extra"),
    "parameters that are no object": (ask(**tools({"name": "x", "parameters": {"type": "STRING"}})), "type OBJECT"),
    "parameters without properties": (ask(**tools({"name": "x", "parameters": {"type": "OBJECT", "properties": {}}})), "non-empty"),
    "$schema": (ask(**tools({"name": "x", "parameters": {**SCHEMA, "$schema": "x"}})), r"\$schema: Extra"),
    "additionalProperties": (ask(**tools({"name": "x", "parameters": {**SCHEMA, "additionalProperties": False}})), "additionalProperties"),
    "$ref": (ask(**schema(**{"$ref": "#/$defs/x"})), r"\$ref: Extra"),
    "oneOf": (ask(**schema(oneOf=[{"type": "STRING"}])), "oneOf: Extra"),
    "a list of types": (ask(**schema(type=["string", "null"])), "is none of"),
    "no type": (ask(**schema(description="x")), "type: must be specified"),
    "const": (ask(**schema(type="STRING", const="x")), "const: Extra"),
    "a format of strings": (ask(**schema(type="STRING", format="uri")), "only .* are supported for STRING"),
    "a list without items": (ask(**schema(type="ARRAY")), "items: missing field"),
    "a list of items": (ask(**schema(type="ARRAY", items=[{"type": "STRING"}])), "items: Input should be a valid dict|items"),
    "an enum of numbers": (ask(**schema(type="INTEGER", enum=[1, 2])), "valid str"),
    "an enum of an integer": (ask(**schema(type="INTEGER", enum=["1"])), "only allowed for STRING"),
    "an empty enum value": (ask(**schema(type="STRING", enum=["a", ""])), "cannot be empty"),
    "a required property that is not there": (ask(**tools({"name": "x", "parameters": {**SCHEMA, "required": ["b"]}})), "not defined: 'b'"),
    "a mode without functions": (ask(**choice(mode="ANY")), "without function_declarations"),
    "allowed names with AUTO": (ask(**tools(), **choice(mode="AUTO", allowedFunctionNames=["look"])), "mode is ANY"),
    "an allowed name that is not declared": (ask(**tools(), **choice(mode="ANY", allowedFunctionNames=["x"])), "'x', which is not"),
    "an unknown mode": (ask(**tools(), **choice(mode="REQUIRED")), "'REQUIRED' is none of"),
    "six stops": (ask(**config(stopSequences=list("abcdef"))), "up to 5"),
    "a seed of 64 bits": (ask(**config(seed=2**40)), "seed: .* is outside"),
    "a limit of 0": (ask(**config(maxOutputTokens=0)), "0 is outside"),
    "log probabilities unasked": (ask(**config(logprobs=3)), "response_logprobs"),
    "a schema for plain text": (ask(**config(responseSchema=SCHEMA)), "needs response_mime_type"),
    "both kinds of response schema": (
        ask(**config(responseMimeType="application/json", responseSchema=SCHEMA, responseJsonSchema={"type": "object"})),
        "mutually exclusive",
    ),
    "a response schema beyond the subset": (
        ask(**config(responseMimeType="application/json", responseSchema={**SCHEMA, "additionalProperties": False})),
        "additionalProperties",
    ),
    "level and budget": (ask(**thinking(thinkingLevel="low", thinkingBudget=1024)), "only one of"),
    "a level for an older model": (ask(**thinking(thinkingLevel="low")), "not supported for"),
    "a budget beyond the model's": (ask(**thinking(thinkingBudget=32768)), "between 0 and 24576"),
}  # fmt: skip


@pytest.mark.parametrize("body", GOOD)
def test_a_good_request_passes(body):
    assert gemini(received(body)) is None


@pytest.mark.parametrize(("body", "told"), BAD.values(), ids=BAD)
def test_a_bad_request_is_refused_as_google_does(body, told):
    refusal = gemini(received(body))
    assert refusal is not None
    error = msgspec.json.decode(refusal.body)["error"]
    assert (refusal.status, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert re.search(told, error["message"])


RUNNING = [HI, calls("old"), results("old"), HI]


@pytest.mark.parametrize(
    ("contents", "passes"),
    [
        ([*RUNNING, calls("look"), results("look")], False),
        ([*RUNNING, calls("look", **SIGNED), results("look")], True),
        ([*RUNNING, calls("look", **SIGNED), results("look"), calls("look"), results("look")], False),
        ([*RUNNING, {"role": "model", "parts": [*calls("a", **SIGNED)["parts"], *calls("b")["parts"]]}, results("a", "b")], True),
        ([*RUNNING, {"role": "model", "parts": [*calls("a")["parts"], *calls("b", **SIGNED)["parts"]]}, results("a", "b")], False),
        ([*RUNNING, calls("look"), results("look", after=[{"text": "and?"}])], True),
        (RUNNING, True),
    ],
    ids=["unsigned", "signed", "the second step unsigned", "a sibling unsigned", "only the sibling signed", "words since", "earlier turns"],
)  # fmt: skip
def test_newer_models_want_the_running_turn_s_calls_signed(contents, passes):
    assert (gemini(received(ask(*contents), NEWER)) is None) is passes
    assert gemini(received(ask(*contents))) is None


def test_a_model_that_always_thinks_cannot_be_told_not_to():
    assert b"between 128 and 32768" in gemini(received(ask(**thinking(thinkingBudget=0)), PRO)).body
    assert gemini(received(ask(**thinking(thinkingBudget=0)))) is None


def test_a_token_count_takes_both_forms():
    path = PATH.replace("generateContent", "countTokens")
    whole = {"model": "models/x", **ask(HI, calls("look"))}
    assert gemini(received(ask(), path)) is None
    assert gemini(received({"generateContentRequest": whole}, path)) is None
    assert gemini(received({"generateContentRequest": {**whole, "x": 1}}, path)).status == 400


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (ReceivedRequest(method="POST", target=PATH, headers=(), body=b"{}"), 403, "PERMISSION_DENIED"),
        (received(ask(), "/v1beta/models/m:generate"), 404, "NOT_FOUND"),
        (received(ask(), "/v1beta/chat/completions"), 404, "NOT_FOUND"),
        (received(b"{"), 400, "INVALID_ARGUMENT"),
        (received(b"[]"), 400, "INVALID_ARGUMENT"),
    ],
)
def test_what_surrounds_a_request_counts_too(request_, status, code):
    refusal = gemini(request_)
    assert (refusal.status, msgspec.json.decode(refusal.body)["error"]["status"]) == (status, code)


def test_the_key_may_stand_in_the_address_and_a_model_list_passes():
    body = msgspec.json.encode(ask())
    kind = (("content-type", "application/json"),)
    assert gemini(ReceivedRequest(method="POST", target=f"{PATH}?key=test-key-1", headers=kind, body=body)) is None
    assert gemini(ReceivedRequest(method="GET", target="/v1beta/models?key=k", headers=(), body=b"")) is None


CLIENTS = Path(__file__).resolve().parents[2] / "tests/recordings/clients"
RECORDED = [path for path in sorted(CLIENTS.rglob("*.json")) if "GenerateContent" in Recording.load(path).target]


def test_there_are_recordings():
    assert len(RECORDED) >= 10


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_real_clients_send_passes(path):
    recording = Recording.load(path)
    assert gemini(received(recording.request_body(), recording.target, **recording.headers)) is None
