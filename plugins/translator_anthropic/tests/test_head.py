import msgspec
import pytest

from omniroute.api import Headers, InvalidRequest, RequestHead

CHAT = {"operation": "chat"}
NO_HEADERS = Headers({})
HI = [{"role": "user", "content": "hi"}]


def body(**fields):
    wire = {"model": "m", "max_tokens": 100, "messages": HI, **fields}
    return msgspec.json.encode({name: value for name, value in wire.items() if value is not msgspec.UNSET})


@pytest.mark.parametrize(
    ("fields", "head"),
    [
        pytest.param({}, RequestHead(model="m", max_output_tokens=100), id="the least"),
        pytest.param({"stream": True}, RequestHead(model="m", max_output_tokens=100, stream=True), id="stream"),
        pytest.param(
            {"tools": [{"name": "t"}]}, RequestHead(model="m", max_output_tokens=100, has_tools=True), id="tools"
        ),
        pytest.param({"tools": []}, RequestHead(model="m", max_output_tokens=100), id="an empty list of tools"),
        pytest.param(
            {"tools": None, "stream": None, "temperature": None, "metadata": None},
            RequestHead(model="m", max_output_tokens=100),
            id="null is absent",
        ),
        pytest.param(
            {"temperature": 0, "top_p": 1, "top_k": 0, "stop_sequences": ["x"]},
            RequestHead(model="m", max_output_tokens=100),
            id="the ends of the ranges",
        ),
    ],
)
def test_the_head_says_what_routing_needs(translator, fields, head):
    found = translator.read_head(body(**fields), CHAT, NO_HEADERS)
    assert msgspec.structs.replace(found, opening=(), turns=None) == head


def test_the_head_shows_how_the_conversation_begins(translator):
    found = translator.read_head(body(system="be brief", tools=[{"name": "t"}]), CHAT, NO_HEADERS)
    assert list(map(bytes, found.opening)) == [b'"be brief"', b'[{"name":"t"}]']
    assert bytes(found.turns) == msgspec.json.encode(HI)


def test_messages_and_tools_are_not_looked_into(translator):
    wire = b'{"model":"m","max_tokens":1,"messages":[{"role":7}],"tools":[null],"system":{"no":1}}'
    assert translator.read_head(wire, CHAT, NO_HEADERS).model == "m"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        pytest.param({"model": msgspec.UNSET}, "/model", id="no model"),
        pytest.param({"model": ""}, "/model", id="an empty model"),
        pytest.param({"model": 5}, "/model", id="a number for a model"),
        pytest.param({"messages": msgspec.UNSET}, "/messages", id="no messages"),
        pytest.param({"messages": []}, "/messages", id="empty messages"),
        pytest.param({"messages": "hi"}, "/messages", id="messages in a string"),
        pytest.param({"max_tokens": msgspec.UNSET}, "/max_tokens", id="no max_tokens"),
        pytest.param({"max_tokens": 0}, "/max_tokens", id="max_tokens 0"),
        pytest.param({"max_tokens": -1}, "/max_tokens", id="negative max_tokens"),
        pytest.param({"max_tokens": "5"}, "/max_tokens", id="max_tokens in a string"),
        pytest.param({"max_tokens": 2**63}, "/max_tokens", id="max_tokens of 2^63"),
        pytest.param({"max_tokens": msgspec.Raw(b"9" * 5000)}, "/max_tokens", id="max_tokens of 5000 digits"),
        pytest.param({"max_tokens": msgspec.Raw(b"1e999")}, "/max_tokens", id="max_tokens beyond floats"),
        pytest.param({"max_tokens": True}, "/max_tokens", id="max_tokens true"),
        pytest.param({"temperature": 1.1}, "/temperature", id="temperature above 1"),
        pytest.param({"temperature": -0.1}, "/temperature", id="negative temperature"),
        pytest.param({"temperature": msgspec.Raw(b"1e999")}, "/temperature", id="infinite temperature"),
        pytest.param({"top_p": 2}, "/top_p", id="top_p above 1"),
        pytest.param({"top_k": -1}, "/top_k", id="negative top_k"),
        pytest.param({"stream": "yes"}, "/stream", id="stream in a string"),
        pytest.param({"stop_sequences": ["a", 1]}, "/stop_sequences/1", id="a number to stop at"),
        pytest.param({"metadata": {"user_id": 5}}, "/metadata/user_id", id="a number for a user"),
    ],
)
def test_a_bad_value_is_refused_with_its_pointer(translator, fields, param):
    for read in (translator.read_head, translator.decode_request):
        with pytest.raises(InvalidRequest) as caught:
            read(body(**fields), CHAT, NO_HEADERS)
        assert caught.value.param == param
        assert caught.value.status == 400


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"model":"\xff"}', id="no UTF-8"),
        pytest.param(b'{"model":"\\ud83d"}', id="half a surrogate pair"),
        pytest.param(b'{"model":NaN}', id="NaN"),
        pytest.param(b"\xef\xbb\xbf" + body(), id="a byte order mark"),
        pytest.param(body() + b"x", id="trailing bytes"),
        pytest.param(b'{"messages":' + b"[" * 100_000, id="endless depth"),
    ],
)
def test_what_is_no_json_object_is_refused(translator, broken):
    for read in (translator.read_head, translator.decode_request):
        with pytest.raises(InvalidRequest):
            read(broken, CHAT, NO_HEADERS)


def test_a_missing_max_tokens_says_what_to_do(translator):
    with pytest.raises(InvalidRequest) as caught:
        translator.read_head(body(max_tokens=msgspec.UNSET), CHAT, NO_HEADERS)
    assert "Field required" in caught.value.message
    assert "at least 1" in caught.value.fix


def test_a_token_count_needs_no_max_tokens(translator):
    counted = body(max_tokens=msgspec.UNSET)
    params = {"operation": "count_tokens"}
    assert translator.read_head(counted, params, NO_HEADERS).max_output_tokens is None
    assert translator.decode_request(counted, params, NO_HEADERS).max_output_tokens is None


SESSION = "0b8dd3a6-9a5e-4d68-9f64-1f6a2f5b8c11"


@pytest.mark.parametrize(
    ("headers", "user_id", "session"),
    [
        pytest.param({}, None, None, id="none"),
        pytest.param({b"x-claude-code-session-id": b"s1", b"x-session-id": b"s2"}, None, "s1", id="the CLI's header"),
        pytest.param({b"x-session-id": b"s2", b"x-session-affinity": b"s3"}, None, "s2", id="x-session-id"),
        pytest.param({b"x-session-affinity": b"s3"}, "user_a_session_s9", "s3", id="a header before the user id"),
        pytest.param({}, f'{{"device_id":"d","session_id":"{SESSION}"}}', SESSION, id="JSON in the user id"),
        pytest.param({}, f"user_ab12_account__session_{SESSION}", SESSION, id="text in the user id"),
        pytest.param({}, "somebody", None, id="a user id without a session"),
        pytest.param({}, '{"session_id": 5}', None, id="JSON that is not what it seems"),
        pytest.param({}, "{broken", None, id="broken JSON"),
    ],
)
def test_the_session_is_what_the_client_calls_it(translator, headers, user_id, session):
    wire = body(metadata={"user_id": user_id})
    assert translator.read_head(wire, CHAT, Headers(headers)).session == session
    assert translator.decode_request(wire, CHAT, Headers(headers)).session == session


def test_renaming_the_model_touches_nothing_else(translator):
    before = b'{ "x":[1.0, 1e2,"\\u00e9"], "model" : "old/name","messages":[ {"a" : 1} ] }'
    renamed = translator.rename_model(before, 'new "name"')
    assert renamed == b'{"x":[1.0, 1e2,"\\u00e9"],"model":"new \\"name\\"","messages":[ {"a" : 1} ]}'
