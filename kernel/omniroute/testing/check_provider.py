"""What the kernel expects of every provider."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from urllib.parse import urlsplit

import msgspec

from omniroute.addresses import is_loopback_url
from omniroute.contracts import (
    Account,
    Call,
    Credential,
    CredentialPlace,
    HttpRequest,
    HttpResponse,
    ModelFacts,
    OAuthFacts,
    Provider,
    ProviderFacts,
    UpstreamOperation,
)
from omniroute.errors import GatewayError, UpstreamError
from omniroute.model import ChatRequest, Message, Reasoning, ResponseFormat, Sampling, TextPart, Tool, ToolChoice
from omniroute.secret import Secret
from omniroute.testing.check_accounts import check_quota, check_sign_in

__all__ = ["check_provider"]

KEY = "fake-key-0123456789"
PLACE = CredentialPlace()
CREDENTIAL_HEADERS = frozenset({"authorization", "x-api-key", "x-goog-api-key", "cookie", "proxy-authorization"})
STRANGER = ModelFacts(id="a-model/nobody:knows")
OPERATIONS = (
    UpstreamOperation(path="chat/completions"),
    UpstreamOperation(
        path="models/{model}:generateContent", stream_path="models/{model}:streamGenerateContent?alt=sse"
    ),
)
PLAIN = ChatRequest(model="m", messages=(Message(role="user", parts=(TextPart(text="hi"),)),))
RICH = msgspec.structs.replace(
    PLAIN,
    tools=(Tool(name="look", description="Looks.", parameters=msgspec.Raw(b'{"type":"object","properties":{}}')),),
    tool_choice=ToolChoice(mode="required", parallel=False),
    max_output_tokens=100,
    sampling=Sampling(
        temperature=0.5, top_p=0.9, top_k=40, stop=("END",), seed=7, presence_penalty=0.1, frequency_penalty=0.2
    ),
    reasoning=Reasoning(effort="high"),
    response_format=ResponseFormat(kind="json_object"),
    stream=True,
)
BODIES = {
    "empty": b"",
    "OpenAI's form": b'{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}',
    "Anthropic's form": b'{"type":"error","error":{"type":"api_error","message":"no"}}',
    "Google's form": b'{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT","details":[]}}',
    "a web page": b"<!doctype html><title>504 Gateway Time-out</title>",
    "half a body": b'{"error":{"mess',
    "a list": b'[{"error":"no"}]',
    "null": b"null",
    "a number too large": b'{"error":{"code":1e999}}',
    "not UTF-8": b'{"error":"\xff\xfe"}',
    "too deep": b"[" * 100_000,
}


def check_provider(provider: Provider, *, metadata: Mapping[str, str] = {}) -> None:
    """Raise `AssertionError` saying what the kernel cannot work with.

    Facts are complete and hold no credential; `adapt` returns the very same object when it changes nothing, and what
    `drops` names is gone; `prepare` is pure, keeps to the account's base URL and puts the credential into headers only;
    `classify` makes an `UpstreamError` of every failure, whatever the body; probes stay on this machine; what is known of
    sign-in and quota is complete, and no answer to them is misread. `metadata` is what a sign-in leaves in the credential,
    where requests need some of it.
    """
    facts = provider.facts
    _check_facts(facts)
    for model in (*facts.models, STRANGER):
        _check_adapt(provider, model)
    for place in (PLACE, CredentialPlace(header="x-api-key", prefix="")):
        _check_prepare(provider, place, metadata)
        _check_listing(provider, place)
    _check_classify(provider)
    _check_probes(provider)
    check_sign_in(provider)
    check_quota(provider, _account(provider, metadata=metadata))


# --- facts ------------------------------------------------------------------------------------------------------------


def _check_facts(facts: ProviderFacts) -> None:
    for name in (facts.name, *facts.aliases):
        assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name), f"{name!r}: prefixes are lower case, without slash or space"
    _assert_unique("alias", (facts.name, *facts.aliases))
    _check_url("base_url", facts.base_url, anywhere=facts.transport is not None)
    assert not set("?#").intersection(facts.base_url), f"base_url {facts.base_url!r}: a query goes into `query`"
    assert not facts.base_url.endswith("/"), f"base_url {facts.base_url!r}: without the trailing slash"
    for field in ("docs_url", "terms_url"):
        if (url := getattr(facts, field)) is not None:
            _check_url(field, url)
    if facts.checked is not None:
        _check_date(facts.checked)
    _check_static_headers(facts.headers)
    assert "key=" not in facts.query.lower(), f"query {facts.query!r}: credentials go into headers"
    _assert_unique("model id", [model.id for model in facts.models])
    for model in facts.models:
        _check_model(model)
    _check_drops("the provider", facts.drops)
    for timeouts in (facts.timeouts, *facts.model_timeouts.values(), *(model.timeouts for model in facts.models)):
        for field, seconds in msgspec.structs.asdict(timeouts).items():
            assert seconds is None or seconds >= 0, f"timeouts.{field} is {seconds}"
    if facts.credential is not None:
        _check_header_name(facts.credential.header)
    if facts.oauth is not None:
        _check_oauth(facts.oauth)
    if facts.tier == "subscription":
        assert facts.terms_url, "a subscription's owner is shown its terms: terms_url"
    assert "" not in facts.own_clients, "own_clients: an empty prefix would be every client"


def _check_oauth(oauth: OAuthFacts) -> None:
    assert not oauth.client_secret, "oauth.client_secret: no secret is shipped; it comes from settings or environment"
    assert oauth.client_id, "oauth.client_id: empty"
    for field in ("token_url", "authorize_url", "device_url", "refresh_url", "verification_url"):
        if (url := getattr(oauth, field)) is not None:
            _check_url(f"oauth.{field}", url)
    for name, part in (("userinfo", oauth.userinfo), ("exchange", oauth.exchange)):
        if part is not None:
            _check_url(f"oauth.{name}.url", part.url)
            _check_header_name(part.place.header)
    assert oauth.authorize_url is None or oauth.redirect_path.startswith("/"), (
        "oauth.redirect_path: begins with a slash"
    )
    assert not oauth.always_paste or oauth.paste_url, "oauth.always_paste: needs a paste_url"
    assert oauth.base_url is None or oauth.base_url_hosts, "oauth.base_url: say in base_url_hosts where a token may go"
    assert oauth.refresh_lead_s > 0, "oauth.refresh_lead_s: a token is renewed before it ends"


def _check_url(field: str, url: str, *, anywhere: bool = False) -> None:
    parts = urlsplit(url)
    assert parts.scheme in {"http", "https"}, f"{field} {url!r}: an absolute http(s) URL"
    assert parts.hostname, f"{field} {url!r}: an absolute http(s) URL"
    assert "@" not in parts.netloc, f"{field}: holds user information"
    assert parts.scheme == "https" or anywhere or is_loopback_url(url), f"{field} {url!r}: https beyond this machine"


def _check_date(text: str) -> None:
    try:
        date.fromisoformat(text)
    except ValueError:
        raise AssertionError(f"checked {text!r}: a date as YYYY-MM-DD") from None


def _check_static_headers(headers: Mapping[str, str]) -> None:
    for name in headers:
        _check_header_name(name.lower())
        assert name.lower() not in CREDENTIAL_HEADERS, f"headers: {name} carries a credential; accounts have those"
    _check_header_values(headers)


def _check_model(model: ModelFacts) -> None:
    assert re.fullmatch(r"\S+", model.id), f"model id {model.id!r}: not one word"
    for field in ("context_tokens", "max_output_tokens", "created_s"):
        number = getattr(model, field)
        assert number is None or number > 0, f"model {model.id}: {field} is {number}; unknown is None"
    if model.context_tokens is not None and model.max_output_tokens is not None:
        assert model.max_output_tokens <= model.context_tokens, (
            f"model {model.id}: more output than fits into its window"
        )
    for field, price in msgspec.structs.asdict(model.price).items() if model.price else ():
        assert field == "as_of" or price is None or price >= 0, f"model {model.id}: price.{field} is {price}"
    _check_drops(f"model {model.id}", model.drops)


def _check_drops(whose: str, drops: Iterable[str]) -> None:
    unknown = set(drops) - set(Sampling.__struct_fields__)
    assert not unknown, f"drops of {whose}: {sorted(unknown)}; known are {', '.join(Sampling.__struct_fields__)}"


def _assert_unique(what: str, names: Iterable[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    assert not twice, f"{what} {twice[0]!r} stands there twice"


# --- adapt ------------------------------------------------------------------------------------------------------------


def _check_adapt(provider: Provider, model: ModelFacts) -> None:
    for request in (PLAIN, RICH):
        adapted = provider.adapt(request, model)
        assert isinstance(adapted, ChatRequest), f"adapt({model.id}) returned {adapted!r}"
        if adapted == request:
            assert adapted is request, f"adapt({model.id}) copied a request it did not change, so it cannot be relayed"
        else:
            assert provider.adapts(model), f"adapt({model.id}) changes requests, but adapts({model.id}) says it cannot"
            again = provider.adapt(adapted, model)
            assert again == adapted, f"adapt({model.id}) changes its own result"
        for name in (*provider.facts.drops, *model.drops):
            assert getattr(adapted.sampling, name) in (None, ()), f"adapt({model.id}) left {name} in, which facts drop"


# --- prepare ----------------------------------------------------------------------------------------------------------


def _account(
    provider: Provider,
    *,
    base_url: str | None = None,
    keyless: bool = False,
    metadata: Mapping[str, str] = {},
) -> Account:
    return Account(
        provider=provider.facts.name,
        name="check",
        base_url=base_url or provider.facts.base_url,
        credential=None if keyless else Credential(access=Secret(KEY), metadata=metadata),
    )


def _check_prepare(provider: Provider, place: CredentialPlace, metadata: Mapping[str, str]) -> None:
    keyless = provider.facts.auth == "none"
    accounts = [
        _account(provider, keyless=keyless, metadata=metadata),
        _account(provider, keyless=keyless, metadata=metadata, base_url="http://127.0.0.1:9/v1"),
    ]
    for account in accounts:
        for operation in OPERATIONS:
            for stream in (False, True):
                call = Call(
                    operation=operation,
                    account=account,
                    model="some-model",
                    stream=stream,
                    body=b'{"model":"some-model"}',
                    headers={"x-from-client": "1"},
                    credential_place=place,
                    request_id="r-1",
                    session="s-1",
                    now_s=1_800_000_000.0,
                )
                request = provider.prepare(call)
                assert request == provider.prepare(call), "prepare() gives two answers to one call"
                assert request.url.startswith(account.base_url), (
                    f"prepare() goes to {request.url!r}, though the account says {account.base_url!r}"
                )
                assert "{" not in request.url, f"prepare() left a placeholder in {request.url!r}"
                assert request.headers.get("x-from-client") == "1", "prepare() lost a header it was given"
                _check_outgoing("prepare()", request, keyless=keyless)
    _check_no_way_out(provider, accounts[0], place)


def _check_no_way_out(provider: Provider, account: Account, place: CredentialPlace) -> None:
    """Clients choose model names, and where `any_model` is set they arrive here as they are."""
    for model in ("../../admin", "a?b=c", "a#b", "a\r\nb"):
        call = Call(
            operation=OPERATIONS[1],
            account=account,
            model=model,
            stream=False,
            body=b"{}",
            headers={},
            credential_place=place,
        )
        try:
            url = provider.prepare(call).url
        except GatewayError:
            continue
        path = url.removeprefix(account.base_url)
        assert not re.search(r"/\.\.|a\?|#|\s", path), (
            f"prepare() lets the model name {model!r} out of its place: {url!r}"
        )


def _check_listing(provider: Provider, place: CredentialPlace) -> None:
    keyless = provider.facts.auth == "none"
    listing = provider.list_models(_account(provider, keyless=keyless), place)
    if listing is not None:
        _check_outgoing("list_models()", listing.request, keyless=keyless)


def _check_outgoing(what: str, request: HttpRequest, *, keyless: bool) -> None:
    assert isinstance(request, HttpRequest), f"{what} returned {request!r}"
    assert KEY not in request.url, f"{what} puts the credential into the URL, where it is logged; use a header"
    assert KEY.encode() not in request.body, f"{what} puts the credential into the body"
    for name in request.headers:
        _check_header_name(name)
    _check_header_values(request.headers)
    if not keyless:
        assert any(KEY in value for value in request.headers.values()), f"{what} leaves the credential out"


def _check_header_name(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9!#$%&'*+.^_`|~-]+", name), f"header name {name!r}: lower case, no other characters"


def _check_header_values(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        assert value.isprintable(), f"header {name}: not one printable line"


# --- classify and probe -----------------------------------------------------------------------------------------------


def _check_classify(provider: Provider) -> None:
    for status in (200, 201, 204):
        found = provider.classify(HttpResponse(status=status, body=b"{}"))
        assert found is None, f"classify() calls {status} a failure: {found!r}"
    for status in (301, 302, 307, 308, *range(400, 452), *range(500, 531), 599):
        for kind, body in BODIES.items():
            what = f"classify() of {status} with {kind}"
            try:
                error = provider.classify(HttpResponse(status=status, body=body))
            except Exception as problem:
                raise AssertionError(f"{what} raises {problem!r}") from problem
            assert isinstance(error, UpstreamError), f"{what} is {error!r}; a failure must become an UpstreamError"
            assert 400 <= error.status <= 599, f"{what}: the client would see status {error.status}"
            assert error.message, f"{what}: no message"
            wait = error.retry_after_s
            assert wait is None or 0 <= wait < float("inf"), f"{what}: retry_after_s is {wait}"


def _check_probes(provider: Provider) -> None:
    probes = provider.probe()
    _assert_unique("probe", [probe.name for probe in probes])
    for probe in probes:
        for url in (probe.url, probe.base_url):
            assert is_loopback_url(url), f"probe {probe.name}: {url} is not on this machine"
