import msgspec
import pytest

from omniroute.api import Headers, InvalidRequest, RequestHead

NO_HEADERS = Headers({})
PARAMS = {"operation": "chat", "model": "m", "stream": "false"}
HI = [{"role": "user", "parts": [{"text": "hi"}]}]


def body(**fields):
    wire = {"contents": HI, **fields}
    return msgspec.json.encode({name: value for name, value in wire.items() if value is not msgspec.UNSET})


@pytest.mark.parametrize(
    ("params", "fields", "head"),
    [
        pytest.param({}, {}, RequestHead(model="m"), id="the least"),
        pytest.param({"stream": "true"}, {}, RequestHead(model="m", stream=True), id="stream"),
        pytest.param({"model": "models/a/b:8b"}, {}, RequestHead(model="a/b:8b"), id="a model with slash and colon"),
        pytest.param({}, {"contents": {"parts": {"text": "x"}}}, RequestHead(model="m"), id="a lone content"),
        pytest.param({}, {"tools": [{"googleSearch": {}}]}, RequestHead(model="m", has_tools=True), id="tools"),
        pytest.param({}, {"tools": []}, RequestHead(model="m"), id="an empty list of tools"),
        pytest.param(
            {},
            {"generation_config": {"max_output_tokens": 9}},
            RequestHead(model="m", max_output_tokens=9),
            id="snake_case",
        ),
        pytest.param(
            {},
            {"generationConfig": {"maxOutputTokens": 9, "temperature": 2, "topP": 0, "topK": 1, "seed": -1}},
            RequestHead(model="m", max_output_tokens=9),
            id="the ends of the ranges",
        ),
        pytest.param(
            {},
            {"tools": None, "generationConfig": None, "systemInstruction": None},
            RequestHead(model="m"),
            id="null is absent",
        ),
    ],
)
def test_the_head_says_what_routing_needs(translator, params, fields, head):
    found = translator.read_head(body(**fields), {**PARAMS, **params}, NO_HEADERS)
    assert msgspec.structs.replace(found, opening=(), turns=None) == head


def test_the_head_shows_how_the_conversation_begins(translator):
    fields = {"systemInstruction": {"parts": [{"text": "be brief"}]}, "tools": [{"googleSearch": {}}]}
    found = translator.read_head(body(**fields), PARAMS, NO_HEADERS)
    assert list(map(bytes, found.opening)) == [msgspec.json.encode(value) for value in fields.values()]
    assert bytes(found.turns) == msgspec.json.encode(HI)


def test_contents_and_tools_are_not_looked_into(translator):
    assert translator.read_head(b'{"contents":[7],"tools":[null]}', PARAMS, NO_HEADERS).has_tools


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        pytest.param({"contents": msgspec.UNSET}, "/contents", id="no contents"),
        pytest.param({"contents": []}, "/contents", id="empty contents"),
        pytest.param({"contents": "hi"}, "/contents", id="contents in a string"),
        pytest.param({"generationConfig": []}, "/generationConfig", id="a list for a configuration"),
        pytest.param({"generationConfig": {"maxOutputTokens": 0}}, "/generationConfig/maxOutputTokens", id="no output"),
        pytest.param({"generationConfig": {"maxOutputTokens": 2**63}}, "/generationConfig/maxOutputTokens", id="2^63"),
        pytest.param({"generationConfig": {"maxOutputTokens": "5"}}, "/generationConfig/maxOutputTokens", id="a text"),
        pytest.param({"generationConfig": {"temperature": 2.1}}, "/generationConfig/temperature", id="too hot"),
        pytest.param(
            {"generationConfig": {"temperature": msgspec.Raw(b"1e999")}}, "/generationConfig/temperature", id="1e999"
        ),
        pytest.param({"generationConfig": {"topP": 1.5}}, "/generationConfig/topP", id="topP above 1"),
        pytest.param({"generationConfig": {"topK": 0}}, "/generationConfig/topK", id="topK 0"),
        pytest.param({"generationConfig": {"seed": 2**31}}, "/generationConfig/seed", id="a seed of 33 bits"),
        pytest.param(
            {"generation_config": {"stop_sequences": ["a", 1]}},
            "/generation_config/stop_sequences/1",
            id="a number to stop at, in the client's spelling",
        ),
    ],
)
def test_a_bad_value_is_refused_with_its_pointer(translator, fields, param):
    for read in (translator.read_head, translator.decode_request):
        with pytest.raises(InvalidRequest) as caught:
            read(body(**fields), PARAMS, NO_HEADERS)
        assert caught.value.param == param
        assert caught.value.status == 400


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"contents":"\xff"}', id="no UTF-8"),
        pytest.param(b'{"contents":NaN}', id="NaN"),
        pytest.param(b'{"contents":' + b"[" * 100_000, id="endless depth"),
    ],
)
def test_what_is_no_json_object_is_refused(translator, broken):
    for read in (translator.read_head, translator.decode_request):
        with pytest.raises(InvalidRequest):
            read(broken, PARAMS, NO_HEADERS)


def test_a_path_without_a_model_is_refused(translator):
    with pytest.raises(InvalidRequest, match="no model"):
        translator.read_head(body(), {**PARAMS, "model": "models/"}, NO_HEADERS)


@pytest.mark.parametrize(
    ("headers", "session"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({b"x-session-id": b"s1", b"x-session-affinity": b"s2"}, "s1", id="x-session-id"),
        pytest.param({b"x-session-affinity": b"s2"}, "s2", id="x-session-affinity"),
    ],
)
def test_the_session_is_what_the_client_calls_it(translator, headers, session):
    assert translator.read_head(body(), PARAMS, Headers(headers)).session == session
    assert translator.decode_request(body(), PARAMS, Headers(headers)).session == session
