import httpx
import msgspec
import pytest
from google.genai._api_client import HttpResponse

from omniroute.api import Frame, Headers
from omniroute.testing import check_translator
from omniroute_translator_gemini import GeminiTranslator, register_translators


def test_the_kernel_can_work_with_it(translator):
    check_translator(translator)


def test_it_is_found_through_its_hook():
    assert [translator.dialect for translator in register_translators()] == ["gemini"]


def test_clients_may_call_either_version_or_none(translator):
    posts = {(entry.path, entry.operation, entry.params["stream"]) for entry in translator.ingress if entry.params}
    assert posts == {
        (f"{root}/models/{{model}}:{verb}", operation, stream)
        for root in ("/v1beta", "/v1", "")
        for verb, operation, stream in (
            ("generateContent", "chat", "false"),
            ("streamGenerateContent", "chat", "true"),
            ("countTokens", "count_tokens", "false"),
        )
    }
    gets = {(entry.method, entry.path, entry.operation) for entry in translator.ingress if not entry.params}
    assert gets == {("GET", "/v1beta/models", "models"), ("GET", "/v1beta/models/{model}", "models")}


def test_upstreams_are_asked_at_the_vendors_paths(translator):
    assert {name: (found.method, found.path) for name, found in translator.operations.items()} == {
        "chat": ("POST", "models/{model}:generateContent"),
        "count_tokens": ("POST", "models/{model}:countTokens"),
        "models": ("GET", "models"),
    }
    assert translator.operations["chat"].stream_path == "models/{model}:streamGenerateContent?alt=sse"
    assert (translator.credential.header, translator.credential.prefix) == ("x-goog-api-key", "")


def test_no_header_of_a_client_goes_along(translator):
    sent = Headers({b"x-goog-api-key": b"test-key-1", b"x-goog-api-client": b"sdk/1"})
    assert (translator.request_headers(sent), translator.default_headers()) == ({}, {})


@pytest.mark.parametrize(
    ("params", "framing"),
    [
        pytest.param({"alt": "sse"}, "sse", id="as events"),
        pytest.param({}, "json-array", id="as one list"),
        pytest.param({"alt": "json"}, "json-array", id="as one list, by name"),
    ],
)
def test_the_query_chooses_how_a_stream_is_framed(translator, params, framing):
    assert translator.stream_framing(params) == framing


def read_by_sdk(stream):
    return list(HttpResponse({}, httpx.Response(200, stream=httpx.ByteStream(stream))).segments())


def test_the_sdk_is_not_disturbed_by_what_a_waiting_client_gets(translator):
    """A comment, which the standard has for this, ends its stream with an error."""
    keepalive, answer = translator.keepalive, b'data: {"candidates":[]}\n\n'
    assert read_by_sdk(keepalive + answer + keepalive) == [{}, {"candidates": []}, {}]
    with pytest.raises(Exception, match="Failed to parse"):
        read_by_sdk(b": keep-alive\n\n" + answer)


def test_what_a_waiting_client_gets_is_no_content_to_another_gateway(translator):
    decoder, tap = translator.response_decoder(), translator.tap()
    frame = Frame(b"{}")
    tap.feed(frame)
    assert [type(event).__name__ for event in decoder.feed(frame)] == ["Ping"]
    assert (tap.content, tap.ended, tap.error) == (False, False, None)


def test_token_counts_have_the_vendors_form(translator):
    assert translator.encode_token_count(42) == b'{"totalTokens":42}'
    assert translator.decode_token_count(b'{"totalTokens": 42, "promptTokensDetails": []}') == 42


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(b'{ "contents":[ {"a" : 1.0} ] }', b'{ "contents":[ {"a" : 1.0} ] }', id="nothing to rename"),
        pytest.param(
            b'{"generateContentRequest": {"model": "models/old", "contents":[ 1.0 ]}}',
            b'{"generateContentRequest":{"model":"models/new/m","contents":[ 1.0 ]}}',
            id="the request inside a token count",
        ),
    ],
)
def test_the_model_is_renamed_where_a_body_names_one(translator, before, after):
    assert translator.rename_model(before, "new/m") == after


def test_a_token_count_of_a_whole_request_stays_one(translator, accept_request):
    inner = {
        "model": "models/m",
        "contents": [{"parts": [{"text": "hi"}]}],
        "systemInstruction": {"parts": {"text": "s"}},
    }
    body = msgspec.json.encode({"generateContentRequest": inner})
    params = {"operation": "count_tokens", "model": "gemini-2.5-flash", "stream": "false"}
    assert translator.read_head(body, params, Headers({})).model == "gemini-2.5-flash"
    request = translator.decode_request(body, params, Headers({}))
    assert [message.role for message in request.messages] == ["system", "user"]
    sent = translator.encode_request(request).body
    accept_request(sent, verb="countTokens")
    assert msgspec.json.decode(sent)["generateContentRequest"]["model"] == "models/gemini-2.5-flash"


def test_every_translator_makes_ids_of_its_own():
    body = b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]},"finishReason":"STOP"}]}'
    ids = {GeminiTranslator().decode_response(body).parts[0].id for _ in range(5)}
    assert len(ids) == 5
