"""FactsProvider: tables of what goes out and of what an answer means."""

import msgspec
import pytest

from omniroute.api import (
    Account,
    AccountBlocked,
    Call,
    ChatRequest,
    ContextTooLong,
    Credential,
    CredentialPlace,
    CredentialRejected,
    FactsProvider,
    HttpResponse,
    InvalidRequest,
    Loss,
    Message,
    ModelFacts,
    OutOfCredit,
    Overloaded,
    ProviderFacts,
    QuotaExhausted,
    RateLimited,
    ReasoningPart,
    Sampling,
    Secret,
    SignatureRejected,
    TextPart,
    UpstreamFailed,
    UpstreamGarbled,
    UpstreamModelMissing,
    UpstreamOperation,
    UpstreamRefused,
)
from omniroute.provider import MAX_KNOWN, retry_after_s
from omniroute.testing import check_provider

FACTS = ProviderFacts(name="acme", dialect="openai-chat", base_url="https://api.acme.example/v1")
CHAT = UpstreamOperation(path="chat/completions")
GENERATE = UpstreamOperation(
    path="models/{model}:generateContent", stream_path="models/{model}:streamGenerateContent?alt=sse"
)
BEARER = CredentialPlace()
REQUEST = ChatRequest(
    model="m",
    messages=(Message(role="user", parts=(TextPart(text="hi"),)),),
    sampling=Sampling(temperature=0.2, stop=("END",)),
)


def changed(**facts):
    return FactsProvider(msgspec.structs.replace(FACTS, **facts))


def call(**fields):
    account = Account(
        provider="acme", name="a", base_url=FACTS.base_url, credential=Credential(access=Secret("test-key-1"))
    )
    plain = {
        "operation": CHAT,
        "account": account,
        "model": "m",
        "stream": False,
        "body": b"{}",
        "headers": {"content-type": "application/json"},
        "credential_place": BEARER,
    }
    return Call(**{**plain, **fields})


# --- classify ---------------------------------------------------------------------------------------------------------


def openai_error(message="no", code=None, kind="error"):
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})


def anthropic_error(message="no", kind="api_error"):
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message}})


@pytest.mark.parametrize(
    ("status", "error", "try_next", "cools"),
    [
        (300, UpstreamGarbled, True, "nothing"),
        (301, UpstreamGarbled, True, "nothing"),
        (307, UpstreamGarbled, True, "nothing"),
        (308, UpstreamGarbled, True, "nothing"),
        (400, UpstreamRefused, False, "nothing"),
        (401, CredentialRejected, True, "account"),
        (402, OutOfCredit, True, "account"),
        (403, AccountBlocked, True, "account"),
        (404, UpstreamModelMissing, True, "model"),
        (405, UpstreamRefused, False, "nothing"),
        (408, UpstreamFailed, True, "nothing"),
        (409, UpstreamRefused, False, "nothing"),
        (413, UpstreamRefused, False, "nothing"),
        (415, UpstreamRefused, False, "nothing"),
        (422, UpstreamRefused, False, "nothing"),
        (425, UpstreamFailed, True, "nothing"),
        (429, RateLimited, True, "bucket"),
        (451, UpstreamRefused, False, "nothing"),
        (500, UpstreamFailed, True, "nothing"),
        (502, UpstreamFailed, True, "nothing"),
        (503, Overloaded, True, "model"),
        (504, UpstreamFailed, True, "nothing"),
        (520, UpstreamFailed, True, "nothing"),
        (529, Overloaded, True, "model"),
        (599, UpstreamFailed, True, "nothing"),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>", openai_error()], ids=["empty", "a page", "an error"])
def test_a_status_alone_says_what_to_do(status, error, try_next, cools, body):
    found = FactsProvider(FACTS).classify(HttpResponse(status=status, body=body))
    assert (type(found), found.try_next, found.cools) == (error, try_next, cools)
    assert found.status == (status if status >= 400 else 502)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206])
def test_success_is_no_failure(status):
    assert FactsProvider(FACTS).classify(HttpResponse(status=status, body=b"")) is None


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (429, openai_error(code="insufficient_quota"), QuotaExhausted),
        (429, openai_error(kind="insufficient_quota", code="429"), QuotaExhausted),
        (429, openai_error(kind="usage_limit_reached"), QuotaExhausted),
        (429, openai_error(code="billing_hard_limit_reached"), QuotaExhausted),
        (429, b'{"error":{"code":429,"status":"QUOTA_EXCEEDED","message":"no"}}', QuotaExhausted),
        (429, openai_error(code="rate_limit_exceeded"), RateLimited),
        (429, openai_error("you used insufficient_quota words"), RateLimited),
        (400, openai_error(code="context_length_exceeded"), ContextTooLong),
        (400, openai_error("This model's maximum context length is 8192 tokens."), ContextTooLong),
        (400, openai_error(kind="exceed_context_size_error"), ContextTooLong),
        (400, openai_error("the request exceeds the available context size"), ContextTooLong),
        (400, anthropic_error("prompt is too long: 210000 tokens > 200000 maximum"), ContextTooLong),
        (400, anthropic_error("input length and `max_tokens` exceed context limit: 1 + 2 > 2"), ContextTooLong),
        (400, b'{"error":{"code":400,"message":"The input token count (9) exceeds the maximum number of tokens allowed (8)."}}', ContextTooLong),
        (413, openai_error("maximum context length"), ContextTooLong),
        (500, openai_error("maximum context length"), UpstreamFailed),
        (400, anthropic_error("messages.1.content.0: Invalid `signature` in `thinking` block"), SignatureRejected),
        (400, openai_error(code="invalid_encrypted_content"), SignatureRejected),
        (400, openai_error("'messages.1' : property 'reasoning_content' is unsupported"), SignatureRejected),
        (400, openai_error("Unknown parameter: 'messages[1].reasoning_content'."), SignatureRejected),
        (400, openai_error("Please remove the reasoning_content from your message"), SignatureRejected),
        (400, openai_error("The `reasoning_content` in the thinking mode must be passed back"), UpstreamRefused),
        (400, b'{"error":{"code":400,"message":"Thought signature is not valid","status":"INVALID_ARGUMENT"}}', SignatureRejected),
        (400, openai_error(code="model_not_found"), UpstreamModelMissing),
        (401, openai_error(code="model_not_found"), CredentialRejected),
        (400, openai_error("the signature of your function is odd"), UpstreamRefused),
    ],
)  # fmt: skip
def test_the_body_says_more_exactly_what_a_status_means(status, body, error):
    assert type(FactsProvider(FACTS).classify(HttpResponse(status=status, body=body))) is error


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(openai_error("out of beans"), "out of beans", id="OpenAI"),
        pytest.param(anthropic_error("out of beans"), "out of beans", id="Anthropic"),
        pytest.param(b'[{"error":{"code":400,"message":"out of beans"}}]', "out of beans", id="Google, in a list"),
        pytest.param(b'{"error":"out of beans"}', "out of beans", id="Ollama"),
        pytest.param(b'{"detail":"out of beans"}', "out of beans", id="FastAPI"),
        pytest.param(b'{"message":"out of beans","type":"x"}', "out of beans", id="flat"),
        pytest.param(
            b'{"error":{"message":"out of beans","code":7,"details":"no list"}}', "out of beans", id="odd types"
        ),
        pytest.param(b'{"detail":[{"msg":"out of beans"}]}', "the upstream answered 400", id="a list of details"),
        pytest.param(b'{"error":{"message":""}}', "the upstream answered 400", id="no words"),
        pytest.param(b'{"error":null}', "the upstream answered 400", id="null"),
        pytest.param(b"[]", "the upstream answered 400", id="an empty list"),
        pytest.param(b"\xff\xfe", "the upstream answered 400", id="not UTF-8"),
        pytest.param(b'{"a":' * 5000, "the upstream answered 400", id="too deep"),
        pytest.param(b'{"error":{"message":"x","code":1e999}}', "the upstream answered 400", id="too large"),
        pytest.param(openai_error("x" * 5000), "x" * 2000, id="too long"),
    ],
)
def test_the_message_is_the_upstreams_own(body, message):
    assert FactsProvider(FACTS).classify(HttpResponse(status=400, body=body)).message == message


def test_a_rejected_keys_remains_do_not_reach_the_client():
    said = openai_error(
        "Incorrect API key provided: sk-abc***************wxyz. Or test-key-00001111222 was. See https://x.example/keys."
    )
    found = FactsProvider(FACTS).classify(HttpResponse(status=401, body=said))
    assert found.message == "Incorrect API key provided: ***. Or *** was. See https://x.example/keys."


# --- when to come back ------------------------------------------------------------------------------------------------

DATE = {"date": "Sun, 22 Nov 2026 10:00:00 GMT"}


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 7 "}, 7),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "1587827"}, 1587827),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "abc"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "1e3"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "²"}, None),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:30 GMT", **DATE}, 30),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:30 GMT"}, None),
        ({"retry-after": "Sun, 22 Nov 2026 09:00:30 GMT", **DATE}, None),
        ({"retry-after": "Sun, 22 Nov 99999999999 10:00:30 GMT", **DATE}, None),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:30", **DATE}, None),
        ({"retry-after-ms": "1500", "retry-after": "7"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, 360),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "250ms"}, 0.25),
        ({"x-ratelimit-remaining-tokens": "9", "x-ratelimit-reset-tokens": "6m0s"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-requests": "6m0s"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "soon enough, yes"}, None),
        (
            {
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "2.5s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1d1h",
            },
            90000,
        ),
        (
            {
                "acme-ratelimit-input-tokens-remaining": "0",
                "acme-ratelimit-input-tokens-reset": "2026-11-22T10:00:09Z",
                **DATE,
            },
            9,
        ),
        ({"acme-ratelimit-requests-remaining": "0", "acme-ratelimit-requests-reset": "2026-11-22T10:00:09Z"}, None),
        ({"retry-after": "3", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, 3),
        ({"retry-after": "-3", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6s"}, 6),
    ],
)
def test_headers_say_when_to_come_back(headers, wait):
    assert retry_after_s(headers) == wait


@pytest.mark.parametrize(
    ("body", "headers", "wait"),
    [
        (b'{"error":{"resets_in_seconds":90}}', {}, 90),
        (b'{"error":{"resets_in_seconds":90}}', {"retry-after": "5"}, 5),
        (b'{"error":{"resets_in_seconds":-1}}', {}, None),
        (b'{"error":{"resets_at":1795341612}}', DATE, 12),
        (b'{"error":{"resets_at":1795341612}}', {}, None),
        (b'{"error":{"details":[{"@type":"a"},{"retryDelay":"34.5s"}]}}', {}, 34.5),
        (b'{"error":{"details":[{"retryDelay":"soon"}]}}', {}, None),
        (b'{"error":{"details":[7]}}', {}, None),
    ],
)
def test_the_body_says_when_to_come_back_if_the_headers_do_not(body, headers, wait):
    found = FactsProvider(FACTS).classify(HttpResponse(status=429, headers=headers, body=body))
    assert found.retry_after_s == wait


# --- adapt ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by_provider", "by_model", "left"),
    [
        pytest.param((), (), REQUEST.sampling, id="nothing"),
        pytest.param(("top_k", "seed"), ("top_p",), REQUEST.sampling, id="only what is not there"),
        pytest.param(("temperature",), (), Sampling(stop=("END",)), id="by the provider"),
        pytest.param((), ("stop",), Sampling(temperature=0.2), id="by the model"),
        pytest.param(("temperature",), ("stop", "temperature"), Sampling(), id="both"),
    ],
)
def test_adapt_takes_out_what_is_refused_and_nothing_else(by_provider, by_model, left):
    provider, model = changed(drops=by_provider), ModelFacts(id="m", drops=by_model)
    adapted = provider.adapt(REQUEST, model)
    assert msgspec.structs.replace(adapted, losses=()) == msgspec.structs.replace(REQUEST, sampling=left)
    assert (adapted is REQUEST) == (left == REQUEST.sampling)
    assert provider.adapts(model) == bool(by_provider or by_model)


def test_what_adapt_takes_out_is_a_loss_beside_the_earlier_ones():
    earlier = Loss(pointer="/logit_bias", kind="dropped", reason="no such field")
    request = msgspec.structs.replace(REQUEST, losses=(earlier,))
    adapted = changed(drops=("temperature",)).adapt(request, ModelFacts(id="big"))
    assert adapted.losses == (
        earlier,
        Loss(pointer="/temperature", kind="dropped", reason="big does not take it"),
    )


def test_a_provider_with_its_own_adapt_may_change_any_model():
    class Own(FactsProvider):
        def adapt(self, request, model):
            return request

    assert Own(FACTS).adapts(ModelFacts(id="m"))
    assert not FactsProvider(FACTS).adapts(ModelFacts(id="m"))


# --- prepare ----------------------------------------------------------------------------------------------------------

LOCAL = Account(provider="acme", name="l", base_url="http://127.0.0.1:9000/v1")


@pytest.mark.parametrize(
    ("facts", "fields", "url"),
    [
        pytest.param({}, {}, "https://api.acme.example/v1/chat/completions", id="the provider's root"),
        pytest.param({}, {"account": LOCAL}, "http://127.0.0.1:9000/v1/chat/completions", id="the account's own root"),
        pytest.param(
            {"query": "beta=true"}, {}, "https://api.acme.example/v1/chat/completions?beta=true", id="a fixed query"
        ),
        pytest.param(
            {},
            {"operation": GENERATE, "model": "a/b"},
            "https://api.acme.example/v1/models/a/b:generateContent",
            id="the model in the path",
        ),
        pytest.param(
            {"query": "beta=true"},
            {"operation": GENERATE, "stream": True},
            "https://api.acme.example/v1/models/m:streamGenerateContent?alt=sse&beta=true",
            id="a path of its own for streams",
        ),
        pytest.param(
            {},
            {"operation": GENERATE, "model": "a?b#c:d e\r\n%2e"},
            "https://api.acme.example/v1/models/a%3Fb%23c%3Ad%20e%0D%0A%252e:generateContent",
            id="nothing of the model escapes",
        ),
        pytest.param({}, {"stream": True, "model": "../x"}, "https://api.acme.example/v1/chat/completions", id="body"),
    ],
)
def test_the_url_is_the_root_and_the_operations_path(facts, fields, url):
    assert changed(**facts).prepare(call(**fields)).url == url


@pytest.mark.parametrize("model", ["../../admin", "a/../b", ".", "a//b", "/a", ""])
def test_a_model_that_would_lead_elsewhere_is_refused(model):
    with pytest.raises(InvalidRequest, match="cannot be part of a path"):
        FactsProvider(FACTS).prepare(call(operation=GENERATE, model=model))


@pytest.mark.parametrize(
    ("facts", "fields", "headers"),
    [
        pytest.param(
            {},
            {},
            {"content-type": "application/json", "authorization": "Bearer test-key-1"},
            id="as the dialect has it",
        ),
        pytest.param(
            {},
            {"credential_place": CredentialPlace(header="x-api-key", prefix="")},
            {"content-type": "application/json", "x-api-key": "test-key-1"},
            id="another place",
        ),
        pytest.param(
            {"credential": CredentialPlace(header="api-key", prefix="")},
            {},
            {"content-type": "application/json", "api-key": "test-key-1"},
            id="the provider's own place",
        ),
        pytest.param(
            {"headers": {"X-Title": "here", "Content-Type": "application/x-acme"}},
            {},
            {"content-type": "application/x-acme", "x-title": "here", "authorization": "Bearer test-key-1"},
            id="static headers win over the client's",
        ),
        pytest.param({}, {"account": LOCAL}, {"content-type": "application/json"}, id="keyless"),
        pytest.param(
            {"headers": {"authorization": "static"}},
            {"headers": {"authorization": "the client's"}},
            {"authorization": "Bearer test-key-1"},
            id="the credential wins over all",
        ),
    ],
)
def test_headers_are_the_calls_then_the_static_then_the_credential(facts, fields, headers):
    assert changed(**facts).prepare(call(**fields)).headers == headers


def test_what_is_kept_of_an_account_is_no_others_and_goes_no_further_than_its_path():
    provider = FactsProvider(FACTS)
    first = call().account
    renewed = msgspec.structs.replace(first, credential=Credential(access=Secret("test-key-2")))
    elsewhere = msgspec.structs.replace(first, base_url="https://eu.acme.example/v1")
    for _ in range(2):
        for account, key in ((first, "test-key-1"), (renewed, "test-key-2"), (elsewhere, "test-key-1")):
            for path in ("chat/completions", "embeddings"):
                request = provider.prepare(call(account=account, operation=UpstreamOperation(path=path)))
                assert request.url == f"{account.base_url}/{path}"
                assert request.headers["authorization"] == f"Bearer {key}"
    named = provider.prepare(call(account=first, credential_place=CredentialPlace(header="x-key", prefix="")))
    assert named.headers == {"content-type": "application/json", "x-key": "test-key-1"}


def test_a_request_may_be_changed_without_changing_the_next():
    provider, asked = FactsProvider(FACTS), call()
    provider.prepare(asked).headers.clear()
    assert provider.prepare(asked).headers["authorization"] == "Bearer test-key-1"


def test_a_way_of_its_own_with_credentials_or_urls_is_asked_each_time():
    class Signing(FactsProvider):
        turns = 0

        def credential_headers(self, account, place):
            self.turns += 1
            return {"x-turn": str(self.turns)}

    class Wandering(FactsProvider):
        turns = 0

        def url(self, account, path):
            self.turns += 1
            return f"https://{self.turns}.acme.example/{path}"

    signing, wandering, asked = Signing(FACTS), Wandering(FACTS), call()
    assert [signing.prepare(asked).headers["x-turn"] for _ in range(2)] == ["1", "2"]
    assert wandering.prepare(asked).url != wandering.prepare(asked).url


def test_little_is_kept_of_many_accounts_and_no_credential_is_shown():
    provider = FactsProvider(FACTS)
    for _ in range(MAX_KNOWN + 2):
        provider.prepare(call())
    assert len(provider._known) == 2
    assert "test-key" not in repr(provider._known)


def test_method_and_body_go_through_as_they_are():
    body = b'{ "model" : "m" }'
    request = FactsProvider(FACTS).prepare(call(body=body, operation=UpstreamOperation(path="x", method="PUT")))
    assert (request.method, request.body) == ("PUT", body)
    assert request.body is body


# --- models -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "url"),
    [
        pytest.param({}, "https://api.acme.example/v1/models", id="as every dialect has it"),
        pytest.param({"query": "a=b"}, "https://api.acme.example/v1/models?a=b", id="with the fixed query"),
        pytest.param({"operations": ("chat", "models")}, "https://api.acme.example/v1/models", id="offered"),
        pytest.param({"operations": ("chat",)}, None, id="not offered"),
    ],
)
def test_models_are_asked_for_where_they_are_offered(facts, url):
    listing = changed(**facts).list_models(call().account, BEARER)
    assert (listing and listing.request.url) == url
    if listing:
        assert (listing.request.method, listing.request.body) == ("GET", b"")
        assert listing.request.headers == {"authorization": "Bearer test-key-1"}


@pytest.mark.parametrize(
    "facts",
    [{}, {"drops": ("temperature", "stop")}, {"query": "beta=true"}, {"auth": "none", "operations": ("chat",)}],
    ids=["plain", "drops", "query", "keyless"],
)
def test_it_passes_the_check_every_provider_must_pass(facts):
    check_provider(changed(models=(ModelFacts(id="a"), ModelFacts(id="b", drops=("seed",))), **facts))


# --- words, roots and moments -----------------------------------------------------------------------------------------


class Worded(FactsProvider):
    means = {"out-of-luck": QuotaExhausted, "no-such": UpstreamModelMissing}  # noqa: RUF012


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (500, {"code": "Out-Of-Luck"}, QuotaExhausted),
        (400, {"type": "no-such"}, UpstreamModelMissing),
        (403, {"details": [{"reason": "OUT-OF-LUCK"}, "odd", {"reason": 5}]}, QuotaExhausted),
        (400, {"details": {"reason": "out-of-luck"}}, UpstreamRefused),
        (429, {"code": "another"}, RateLimited),
    ],
)
def test_an_upstreams_own_words_count_more_than_its_status(status, error, kind):
    provider = Worded(ProviderFacts(name="p", dialect="d", base_url="https://p.example/v1"))
    found = provider.classify(HttpResponse(status=status, body=msgspec.json.encode({"error": error})))
    assert type(found) is kind


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://api.p.example/v1", "https://vendor.example/usage?all=1"),
        ("http://127.0.0.1:9/other/v1", "http://127.0.0.1:9/usage?all=1"),
    ],
)
def test_what_is_not_below_the_root_stays_on_the_accounts_own_host(base_url, url):
    provider = FactsProvider(ProviderFacts(name="p", dialect="d", base_url="https://changed.example/v1"))
    account = Account(provider="p", name="a", base_url=base_url)
    assert provider.beside(account, "https://vendor.example/usage?all=1", home="https://api.p.example/v1") == url


@pytest.mark.parametrize(
    ("until_s", "date", "wait"),
    [
        (1_795_341_600, "Sun, 22 Nov 2026 09:00:00 GMT", 3600),
        (1_795_330_000, "Sun, 22 Nov 2026 09:00:00 GMT", None),
        (1_795_341_600, "", None),
        (1_795_341_600, "yesterday", None),
    ],
)
def test_a_moment_is_read_against_the_answers_own_date(until_s, date, wait):
    assert FactsProvider.wait_s(until_s, {"date": date}) == wait


def test_a_model_that_takes_no_system_text_is_adapted():
    provider = FactsProvider(ProviderFacts(name="p", dialect="d", base_url="https://p.example/v1"))
    model = ModelFacts(id="m", refuses_system=True)
    system = Message(role="system", parts=(TextPart(text="Be brief."),))
    request = ChatRequest(model="m", messages=(system, Message(role="user", parts=(TextPart(text="hi"),))))
    assert provider.adapts(model)
    assert [message.role for message in provider.adapt(request, model).messages] == ["user"]
    assert provider.adapt(request, ModelFacts(id="m")) is request


def test_an_upstream_that_takes_no_reasoning_back_is_sent_none():
    provider = FactsProvider(
        ProviderFacts(name="p", dialect="d", base_url="https://p.example/v1", refuses_reasoning=True)
    )
    model = ModelFacts(id="m")
    answered = Message(role="assistant", parts=(ReasoningPart(text="hm"), TextPart(text="ok")))
    request = ChatRequest(model="m", messages=(*REQUEST.messages, answered))
    assert provider.adapts(model)
    assert provider.adapt(request, model).messages[1].parts == answered.parts[1:]
    assert provider.adapt(REQUEST, model) is REQUEST
