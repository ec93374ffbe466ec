import msgspec
import pytest

from omniroute.api import (
    BodyReader,
    CacheMark,
    CredentialRejected,
    InvalidRequest,
    Ledger,
    Loss,
    Malformed,
    NameRule,
    Overloaded,
    RateLimited,
    TextPart,
    ToolNames,
    UpstreamFailed,
    UpstreamRefused,
    is_retryable,
    read_json,
    read_json_list,
    read_json_object,
    reported,
    retry_headers,
    short_digest,
    with_model,
)
from omniroute.errors import Draining


class Inner(msgspec.Struct):
    size: int


class Outer(msgspec.Struct):
    items: list[Inner] = []
    role: str = ""


OUTER = msgspec.json.Decoder(Outer)


# --- names ------------------------------------------------------------------------------------------------------------

PLAIN = NameRule(max_chars=16)
DOTTED = NameRule(max_chars=16, characters="a-z0-9.", first="a-z")


@pytest.mark.parametrize(
    ("rule", "name", "allowed"),
    [
        pytest.param(PLAIN, "read_file-2", True, id="plain"),
        pytest.param(PLAIN, "x" * 16, True, id="as long as may be"),
        pytest.param(PLAIN, "x" * 17, False, id="too long"),
        pytest.param(PLAIN, "fs.read", False, id="a dot"),
        pytest.param(PLAIN, "é", False, id="no letter of the dialect's"),
        pytest.param(PLAIN, "read\n", False, id="a line's end"),
        pytest.param(PLAIN, "", False, id="nothing"),
        pytest.param(DOTTED, "fs.read", True, id="a dot where it may stand"),
        pytest.param(DOTTED, "3d", False, id="a digit where it may not begin"),
    ],
)
def test_a_name_is_allowed_or_replaced_by_one_that_is(rule, name, allowed):
    assert rule.allows(name) is allowed
    assert (rule.fitted(name) == name) is allowed
    assert len(rule.fitted(name)) <= 16
    assert rule.fitted(name) == rule.fitted(name)
    assert rule is DOTTED or rule.allows(rule.fitted(name))


def test_names_are_mapped_to_distinct_ones_and_back():
    asked = ["read", "fs/read", "fs.read", "fs read", PLAIN.fitted("fs/read"), "x" * 20, "x" * 21, "read"]
    names = ToolNames(asked, PLAIN)
    sent = {name: names.sent(name) for name in asked}
    assert len(set(sent.values())) == len(set(asked))
    assert all(PLAIN.allows(name) for name in sent.values())
    assert sent["read"] == "read"
    assert {names.changed.get(name, name): name for name in sent.values()} == sent


def test_a_digest_takes_any_text():
    assert short_digest("\ud800") != short_digest("\ud801")
    assert len(short_digest("a", 40)) == 40


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "pointer", "reason"),
    [
        pytest.param(
            b'{"items":[{"size":1},{"size":"x"}]}', "/at/items/1/size", "Expected `int`, got `str`", id="type"
        ),
        pytest.param(b'{"items":[{}]}', "/at/items/0/size", "Object missing required field `size`", id="missing"),
        pytest.param(b"{", "/at", "not valid JSON: Input data was truncated", id="cut"),
        pytest.param(b'{"role":"\xff"}', "/at", "not valid JSON: ", id="no UTF-8"),
        pytest.param(b'{"x":' + b"[" * 100_000, "/at", "the JSON is nested too deep", id="deep"),
    ],
)
def test_what_is_wrong_is_named_by_its_pointer(data, pointer, reason):
    with pytest.raises(Malformed) as caught:
        read_json(OUTER, data, "/at")
    assert caught.value.pointer == pointer
    assert caught.value.reason.startswith(reason)
    assert str(caught.value) == f"{pointer}: {caught.value.reason}"


def test_objects_and_lists_are_read_one_level_deep():
    assert read_json_object(b'{"a": [1]}') == {"a": msgspec.Raw(b"[1]")}
    assert read_json_list(b'[{"a": 1}, 2]') == [msgspec.Raw(b'{"a": 1}'), msgspec.Raw(b"2")]
    with pytest.raises(Malformed, match=r"^Expected `object`"):
        read_json_object(b"[]")


READER = BodyReader({"size": "send a whole number"})


@pytest.mark.parametrize(
    ("data", "at", "message", "param", "fix"),
    [
        pytest.param(
            b'{"items":[{"size":"x"}]}',
            "",
            "/items/0/size is not valid: expected `int`, got `str`",
            "/items/0/size",
            "send a whole number",
            id="deep down",
        ),
        pytest.param(b'{"role":5}', "", "role is not valid: expected `str`, got `int`", "role", None, id="at the top"),
        pytest.param(b'{"items":[{}]}', "/a", "/a/items/0/size is missing", "/a/items/0/size", None, id="missing"),
        pytest.param(b"[]", "", "the body is not a JSON object", None, None, id="a list"),
        pytest.param(b"{", "/a", "the body is not valid JSON", "a", "send one JSON object", id="cut"),
        pytest.param(b'{"role":"\xff"}', "", "the body is not valid UTF-8", None, None, id="no UTF-8"),
        pytest.param(b'{"x":' + b"[" * 100_000, "", "the body is nested too deeply", None, None, id="deep"),
    ],
)
def test_a_body_that_does_not_fit_is_the_client_s_mistake(data, at, message, param, fix):
    with pytest.raises(InvalidRequest) as caught:
        READER.decode(OUTER, data, at)
    assert (caught.value.message, caught.value.param, caught.value.fix) == (message, param, fix)


def test_half_a_surrogate_pair_is_called_by_its_name():
    with pytest.raises(InvalidRequest) as caught:
        READER.decode(OUTER, b'{"role":"\\ud800"}')
    assert "may lack its other half" in str(caught.value.why)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("data:image/png;base64,AAAA", ("image/png", "AAAA")),
        ("DATA:Text/Plain;charset=utf-8;BASE64,QQ==", ("text/plain", "QQ==")),
        ("data:;base64,QQ==", (None, "QQ==")),
    ],
)
def test_a_data_url_is_a_media_type_and_base64(url, found):
    assert READER.data_url(url, "/a/url") == found


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("data:image/png,AAAA", "expected a data URL"),
        ("data:image/png;base64", "expected a data URL"),
        ("data:image/png;base64,A", "not base64"),
        ("data:image/png;base64,AA AA", "not base64"),
        ("data:image/png;base64,", "no data"),
    ],
)
def test_what_is_no_data_url_is_refused_with_its_place(url, wrong):
    with pytest.raises(InvalidRequest, match=wrong) as caught:
        READER.data_url(url, "/a/url")
    assert caught.value.param == "/a/url"


# --- losses -----------------------------------------------------------------------------------------------------------


def test_a_ledger_has_what_was_written_into_it_in_order():
    ledger = Ledger((Loss(pointer="/x", kind="dropped", reason="before"),))
    ledger.approximated("/a", "nearly")
    ledger.invented("/b", "made up")
    ledger.dropped("/c", "gone")
    assert [(loss.pointer, loss.kind, loss.reason) for loss in ledger.losses()] == [
        ("/x", "dropped", "before"),
        ("/a", "approximated", "nearly"),
        ("/b", "invented", "made up"),
        ("/c", "dropped", "gone"),
    ]


@pytest.mark.parametrize(
    ("cache", "lost"),
    [(None, ["/p/cache_control", "/p/signature"]), (CacheMark(), ["/p/signature"])],
    ids=["unmarked", "a mark that was read"],
)
def test_what_other_dialects_attached_is_lost(cache, lost):
    metadata = {"mine": {"id": 1}, "theirs": {"cache_control": 1, "signature": "s", "empty": "", "declaration": 1}}
    ledger = Ledger()
    ledger.foreign(TextPart(text="a", cache=cache, provider_metadata=metadata), "/p", "mine")
    assert [loss.pointer for loss in ledger.losses()] == lost


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "kind", "status"),
    [
        pytest.param({"words": ("invalid_api_key", "x")}, CredentialRejected, 401, id="its code"),
        pytest.param({"words": (None, "overloaded_error")}, Overloaded, 503, id="its type"),
        pytest.param({"words": (7, ["a"]), "code": 429}, RateLimited, 429, id="a status for a code"),
        pytest.param({"words": ("429",), "code": "429"}, RateLimited, 429, id="as text"),
        pytest.param({"words": (), "code": 418}, UpstreamRefused, 418, id="some status of refusals"),
        pytest.param({"words": (), "code": 599}, UpstreamFailed, 599, id="some status of failures"),
        pytest.param({"words": ("odd",), "code": "42"}, UpstreamFailed, 502, id="nothing that is known"),
        pytest.param({"words": ("odd",), "meanings": {"odd": Overloaded}}, Overloaded, 503, id="words of its own"),
    ],
)
def test_an_error_within_an_answer_is_what_its_words_say(fields, kind, status):
    error = reported("no", **fields)
    assert (type(error), error.message) == (kind, "no")
    assert error.status in {status, kind.http_status}


@pytest.mark.parametrize(("message", "param"), [(None, None), ("", 3), (["a"], {})])
def test_an_error_whose_fields_are_odd_is_still_one(message, param):
    error = reported(message, words=(), param=param)
    assert (error.message, error.param) == ("the upstream reported an error", None)
    assert reported("no", words=(), param="/a").param == "/a"


@pytest.mark.parametrize(
    ("seconds", "headers"), [(None, {}), (0.2, {"retry-after": "1"}), (12.1, {"retry-after": "13"})]
)
def test_when_to_come_back_is_in_whole_seconds(seconds, headers):
    assert retry_headers(RateLimited("slow", retry_after_s=seconds)) == headers


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (Overloaded("x"), True),
        (UpstreamRefused("x"), False),
        (InvalidRequest("x"), False),
        (Draining("x", retry_after_s=1), True),
    ],
)
def test_a_failure_says_whether_another_try_may_help(error, retryable):
    assert is_retryable(error) is retryable


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(b'{"model":"a","x":1}', b'{"model":"new","x":1}', id="first"),
        pytest.param(b' {\n "n": -1.5e3 , "s" : true,"t":"a, b: {", "model" : "a" }', b' {\n "n": -1.5e3 , "s" : true,"t":"a, b: {", "model" : "new" }', id="behind plain members"),
        pytest.param(b'{"models":"a","model":"b","y":{"model":"c"}}', b'{"models":"a","model":"new","y":{"model":"c"}}', id="not another key"),
        pytest.param(b'{"x":"model","model":""}', b'{"x":"model","model":"new"}', id="not a value"),
    ],
)  # fmt: skip
def test_a_model_is_replaced_and_no_other_byte(before, after):
    assert with_model(before, "new") == after


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"messages":[{"model":"a"}],"model":"b"}', id="behind a list"),
        pytest.param(b'{"x":{"model":"a"},"model":"b"}', id="behind an object"),
        pytest.param(b'{"x":"say \\"model\\":","model":"b"}', id="behind an escape"),
        pytest.param(b'{"model":"a\\u0062"}', id="an escaped name"),
        pytest.param(b'{"model":7}', id="no name"),
        pytest.param(b'{"mod\\u0065l":"a"}', id="an escaped key"),
        pytest.param(b'["model":"a"]', id="no object"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_where_a_model_cannot_be_seen_at_a_glance_nothing_is_replaced(body):
    assert with_model(body, "new") is None


def test_a_name_that_needs_escapes_gets_them():
    assert with_model(b'{"model":"a"}', 'a"b/\u00e9') == '{"model":"a\\"b/\u00e9"}'.encode()
