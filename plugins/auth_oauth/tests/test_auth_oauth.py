"""The schemes as generators: the test plays the kernel and the vendor by hand."""

import base64
import hashlib
import json
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from omniroute.api import (
    AccountBlocked,
    AskRandom,
    AskTime,
    AwaitRedirect,
    Credential,
    CredentialPlace,
    ExchangeFacts,
    HttpRequest,
    HttpResponse,
    InvalidRequest,
    Keep,
    OAuthFacts,
    OpenRedirect,
    ProviderFacts,
    RateLimited,
    Secret,
    ShowUser,
    SignInRequired,
    Sleep,
    UpstreamFailed,
    UpstreamGarbled,
    UpstreamUnreachable,
    UserinfoFacts,
)
from omniroute_auth_oauth import (
    AuthorizationCode,
    DeviceCode,
    ImportedToken,
    TokenExchange,
    register_auth_schemes,
)

NOW = 1_800_000_000.0
OAUTH = OAuthFacts(
    client_id="public-client",
    authorize_url="https://vendor.example/authorize?tenant=1",
    token_url="https://vendor.example/token",
    device_url="https://vendor.example/device",
    scopes=("a", "b"),
)
GRANT = {"access_token": "fake-access", "refresh_token": "fake-refresh", "expires_in": 3600}
OLD = Credential(
    access=Secret("fake-old"), refresh=Secret("fake-r1"), expires_at_s=NOW - 1, metadata={"client_id": "public-client"}
)
DEVICE = {
    "device_code": "d",
    "user_code": "U-1",
    "verification_uri": "https://v.example/d",
    "interval": 5,
    "expires_in": 60,
}


def facts(oauth=OAUTH, **changes):
    oauth = msgspec.structs.replace(oauth, **changes) if changes else oauth
    return ProviderFacts(name="acme", dialect="x", base_url="https://a.example/v1", auth="oauth", oauth=oauth)


def answered(value, status=200, **headers):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return HttpResponse(status=status, headers=headers, body=body)


class Kernel:
    """Plays a flow: HTTP from a list of answers, the rest as a kernel would; keeps every step."""

    def __init__(self, *answers, redirect=None, now=NOW):
        self.answers = list(answers)
        self.redirect = redirect
        self.now = now
        self.steps = []

    def of(self, kind):
        return [step for step in self.steps if isinstance(step, kind)]

    def run(self, flow):
        reply, failed = None, None
        try:
            while True:
                step = flow.throw(failed) if failed else flow.send(reply)
                self.steps.append(step)
                reply, failed = self._reply(step), None
                if isinstance(reply, Exception):
                    failed = reply
        except StopIteration as done:
            assert self.answers == [], "every answer was asked for"
            return done.value

    def _reply(self, step):
        match step:
            case HttpRequest():
                return self.answers.pop(0)
            case AskTime():
                return self.now
            case AskRandom():
                return bytes(range(step.size_bytes))
            case OpenRedirect():
                return "http://localhost:4711/callback"
            case AwaitRedirect():
                return self.redirect if self.redirect is not None else {"code": "c0de", "state": step.state}
            case Sleep():
                self.now += step.seconds_s
        return None


def body_of(request):
    if request.headers["content-type"] == "application/json":
        return json.loads(request.body)
    return {name: values[0] for name, values in parse_qs(request.body.decode()).items()}


def query_of(url):
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def jwt(claims):
    return (
        ".".join(
            base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "x"}, claims)
        )
        + ".sig"
    )


def test_each_way_to_begin_has_a_name_of_its_own():
    assert [scheme.name for scheme in register_auth_schemes()] == [
        "oauth",
        "oauth-device",
        "token-exchange",
        "imported-token",
    ]


# --- authorization code


def test_the_code_is_redeemed_with_the_verifier_of_the_challenge_that_was_sent():
    kernel = Kernel(answered(GRANT))
    credential = kernel.run(AuthorizationCode().sign_in(facts(), {}))
    assert credential == Credential(
        access=Secret("fake-access"),
        refresh=Secret("fake-refresh"),
        expires_at_s=NOW + 3600,
        metadata={"client_id": "public-client"},
    )
    (shown,) = kernel.of(ShowUser)
    asked = query_of(shown.url)
    assert asked["tenant"] == "1"
    assert asked["response_type"] == "code"
    assert asked["redirect_uri"] == "http://localhost:4711/callback"
    assert asked["scope"] == "a b"
    (request,) = kernel.of(HttpRequest)
    sent = body_of(request)
    digest = hashlib.sha256(sent["code_verifier"].encode()).digest()
    assert asked["code_challenge"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert 43 <= len(sent["code_verifier"]) <= 128
    assert (sent["grant_type"], sent["code"], sent["client_id"]) == ("authorization_code", "c0de", "public-client")
    assert "client_secret" not in sent
    assert kernel.of(AwaitRedirect)[0].state == asked["state"]


VARIANTS = [
    pytest.param({"encoding": "json"}, {"code": "c0de"}, {}, id="JSON"),
    pytest.param(
        {"sends_state": True}, {"state": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}, {}, id="with the state"
    ),
    pytest.param({"token_params": {"x": "y"}}, {"x": "y"}, {}, id="further parameters"),
    pytest.param({"headers": {"User-Agent": "u"}}, {}, {"user-agent": "u"}, id="headers"),
    pytest.param({"client_secret": Secret("s3")}, {"client_secret": "s3"}, {}, id="a secret in the body"),
    pytest.param(
        {"client_secret": Secret("s:3"), "client_auth": "basic"},
        {"client_id": None, "client_secret": None},
        {"authorization": "Basic " + base64.b64encode(b"public-client:s%3A3").decode()},
        id="HTTP Basic",
    ),
    pytest.param(
        {"client_secret": Secret("s3"), "client_auth": "both"},
        {"client_id": "public-client", "client_secret": "s3"},
        {"authorization": "Basic " + base64.b64encode(b"public-client:s3").decode()},
        id="both",
    ),
    pytest.param({"pkce": False}, {"code_verifier": None}, {}, id="no PKCE"),
]


@pytest.mark.parametrize(("changes", "in_body", "in_headers"), VARIANTS)
def test_the_token_request_is_as_the_facts_say(changes, in_body, in_headers):
    kernel = Kernel(answered(GRANT))
    kernel.run(AuthorizationCode().sign_in(facts(**changes), {}))
    (request,) = kernel.of(HttpRequest)
    sent = body_of(request)
    assert {name: sent.get(name) for name in in_body} == in_body
    assert {name: request.headers.get(name) for name in in_headers} == in_headers
    assert "?" not in request.url


def test_standard_parameters_can_be_renamed_and_left_out():
    kernel = Kernel(answered(GRANT))
    changes = {
        "redirect_parameter": "redirect",
        "authorize_params": {"response_type": None, "type": "phone"},
        "scopes": (),
    }
    kernel.run(AuthorizationCode().sign_in(facts(**changes), {}))
    asked = query_of(kernel.of(ShowUser)[0].url)
    assert asked["redirect"] == "http://localhost:4711/callback"
    assert asked["type"] == "phone"
    assert not {"response_type", "redirect_uri", "scope"} & asked.keys()


REDIRECTS = [
    pytest.param({"code": "c", "state": "x"}, {}, "belongs to another sign-in", id="another state"),
    pytest.param({"error": "access_denied"}, {}, "refused in the browser", id="refused"),
    pytest.param({"error": "server_error"}, {}, "without a code", id="an error"),
    pytest.param({}, {}, "without a code", id="nothing"),
    pytest.param({"code": "c", "iss": "https://e.example"}, {"issuer": "https://v.example"}, "issuer", id="issuer"),
]


@pytest.mark.parametrize(("redirect", "changes", "message"), REDIRECTS)
def test_a_redirect_without_a_good_code_ends_it_without_a_request(redirect, changes, message):
    kernel = Kernel(redirect=redirect)
    with pytest.raises(InvalidRequest, match=message):
        kernel.run(AuthorizationCode().sign_in(facts(**changes), {}))
    assert kernel.of(HttpRequest) == []


def test_who_it_is_comes_from_the_answer_the_id_token_and_an_endpoint():
    oauth = msgspec.structs.replace(
        OAUTH,
        token_fields={"resource_url": ("resource_url",), "missing": ("a", "b"), "flag": ("flag",)},
        claims={"account_id": ("https://v.example/auth", "account_id")},
        userinfo=UserinfoFacts(url="https://v.example/me", fields={"email": ("email",), "number": ("id",)}),
    )
    grant = {**GRANT, "resource_url": "r.example", "flag": True, "a": "no object"}
    grant["id_token"] = jwt({"https://v.example/auth": {"account_id": "acc-1"}})
    kernel = Kernel(answered(grant), answered({"email": "me@example.com", "id": 7}))
    credential = kernel.run(AuthorizationCode().sign_in(facts(oauth), {}))
    assert credential.metadata == {
        "client_id": "public-client",
        "resource_url": "r.example",
        "account_id": "acc-1",
        "email": "me@example.com",
        "number": "7",
    }
    assert kernel.of(HttpRequest)[1].headers["authorization"] == "Bearer fake-access"


@pytest.mark.parametrize(
    "answer", [answered({}, 500), answered(b"<html>"), UpstreamUnreachable("gone")], ids=["500", "a page", "nobody"]
)
def test_a_name_that_cannot_be_had_is_not_worth_a_sign_in(answer):
    oauth = msgspec.structs.replace(OAUTH, userinfo=UserinfoFacts(url="https://v.example/me", fields={"email": ("e",)}))
    credential = Kernel(answered(GRANT), answer).run(AuthorizationCode().sign_in(facts(oauth), {}))
    assert credential.access == Secret("fake-access")


@pytest.mark.parametrize(
    "token", ["", "a.b", "a.b.c", "a.!!!.c", f"a.{base64.urlsafe_b64encode(b'[1]').decode()}.c", 7]
)
def test_an_id_token_that_cannot_be_read_says_nothing(token):
    oauth = msgspec.structs.replace(OAUTH, claims={"email": ("email",)})
    credential = Kernel(answered({**GRANT, "id_token": token})).run(AuthorizationCode().sign_in(facts(oauth), {}))
    assert credential.metadata == {"client_id": "public-client"}


@pytest.mark.parametrize(
    ("life", "default", "ends"),
    [
        pytest.param(60, None, NOW + 60, id="a number"),
        pytest.param("60", None, NOW + 60, id="text"),
        pytest.param(None, None, None, id="without end"),
        pytest.param(None, 7200.0, NOW + 7200, id="the vendor's usual"),
        pytest.param(0, None, None, id="nought"),
        pytest.param(-5, None, None, id="negative"),
        pytest.param(True, None, None, id="no number"),
        pytest.param("soon", None, None, id="no number either"),
        pytest.param("inf", None, None, id="endless"),
    ],
)
def test_when_a_token_ends(life, default, ends):
    grant = {**GRANT, "expires_in": life} if life is not None else {"access_token": "fake-access"}
    credential = Kernel(answered(grant)).run(AuthorizationCode().sign_in(facts(default_life_s=default), {}))
    assert credential.expires_at_s == ends


def test_a_secret_of_the_accounts_own_goes_with_it():
    signing_in, renewing = Kernel(answered(GRANT)), Kernel(answered(GRANT))
    needing = facts(needs_client_secret=True)
    credential = signing_in.run(AuthorizationCode().sign_in(needing, {"client_secret": Secret("own")}))
    assert credential.secrets == {"client_secret": Secret("own")}
    renewing.run(AuthorizationCode().refresh(needing, credential))
    sent = [body_of(kernel.of(HttpRequest)[0])["client_secret"] for kernel in (signing_in, renewing)]
    assert sent == ["own", "own"]


@pytest.mark.parametrize(
    ("scheme", "oauth", "message"),
    [
        pytest.param(AuthorizationCode(), None, "has no sign-in", id="no facts"),
        pytest.param(AuthorizationCode(), {"authorize_url": None}, "cannot be signed in to like this", id="no page"),
        pytest.param(DeviceCode(), {"device_url": None}, "cannot be signed in to like this", id="no device code"),
        pytest.param(TokenExchange(), {}, "cannot be signed in to like this", id="no exchange"),
        pytest.param(ImportedToken(), {}, "no usable token", id="no token"),
        pytest.param(AuthorizationCode(), {"needs_client_secret": True}, "wants the secret", id="no secret"),
    ],
)
def test_what_is_missing_is_said_before_anybody_is_asked(scheme, oauth, message):
    kernel = Kernel()
    given = facts(**oauth) if oauth is not None else msgspec.structs.replace(facts(), oauth=None)
    with pytest.raises(InvalidRequest, match=message):
        kernel.run(scheme.sign_in(given, {}))
    assert kernel.steps == []


# --- device code


def test_a_device_code_is_shown_and_polled_for():
    pending = answered({"error": "authorization_pending"}, 400)
    kernel = Kernel(answered(DEVICE), pending, answered({"error": "slow_down"}), pending, answered(GRANT))
    credential = kernel.run(DeviceCode().sign_in(facts(), {}))
    assert credential.access == Secret("fake-access")
    assert [step.seconds_s for step in kernel.of(Sleep)] == [5, 5, 10, 10]
    (shown,) = kernel.of(ShowUser)
    assert (shown.code, shown.url, shown.expires_in_s) == ("U-1", "https://v.example/d", 60)
    start, *polls = map(body_of, kernel.of(HttpRequest))
    assert start["code_challenge_method"] == "S256"
    assert {poll["device_code"] for poll in polls} == {"d"}
    digest = hashlib.sha256(polls[0]["code_verifier"].encode()).digest()
    assert start["code_challenge"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def test_slow_down_may_name_the_interval():
    slow = answered({"error": "slow_down", "interval": 30})
    kernel = Kernel(answered(DEVICE), slow, answered(GRANT))
    kernel.run(DeviceCode().sign_in(facts(), {}))
    assert [step.seconds_s for step in kernel.of(Sleep)] == [5, 30]


def test_a_vendor_that_does_not_answer_is_asked_less_often():
    device = {**DEVICE, "expires_in": 900}
    kernel = Kernel(
        answered(device), UpstreamUnreachable("gone"), answered({}, 503), answered({}, 429), answered(GRANT)
    )
    kernel.run(DeviceCode().sign_in(facts(), {}))
    assert [step.seconds_s for step in kernel.of(Sleep)] == [5, 10, 20, 40]


@pytest.mark.parametrize(
    ("poll", "error", "message"),
    [
        pytest.param({"error": "access_denied"}, InvalidRequest, "refused", id="denied"),
        pytest.param({"error": "expired_token"}, InvalidRequest, "expired", id="expired"),
        pytest.param({"error": "unsupported_grant_type"}, UpstreamFailed, "unsupported_grant_type", id="another error"),
        pytest.param({}, UpstreamFailed, "answered 200", id="nothing"),
    ],
)
def test_a_device_code_that_comes_to_nothing(poll, error, message):
    with pytest.raises(error, match=message):
        Kernel(answered(DEVICE), answered(poll)).run(DeviceCode().sign_in(facts(), {}))


def test_a_device_code_is_not_polled_for_after_its_end():
    pending = [answered({"error": "authorization_pending"}) for _ in range(11)]
    with pytest.raises(InvalidRequest, match="expired"):
        Kernel(answered(DEVICE), *pending).run(DeviceCode().sign_in(facts(), {}))


@pytest.mark.parametrize(
    ("answer", "url"),
    [
        pytest.param({"verification_uri_complete": "https://v/x?c=1"}, "https://v/x?c=1", id="with the code in it"),
        pytest.param({"verification_url": "https://v/x"}, "https://v/x", id="the old name"),
        pytest.param({}, "https://vendor.example/go?code=U-1", id="the vendor's usual"),
        pytest.param({"verification_uri": "javascript:alert(1)"}, "https://vendor.example/go?code=U-1", id="no page"),
    ],
)
def test_where_the_code_is_typed(answer, url):
    device = {name: value for name, value in DEVICE.items() if name != "verification_uri"} | answer
    kernel = Kernel(answered(device), answered(GRANT))
    kernel.run(DeviceCode().sign_in(facts(verification_url="https://vendor.example/go?code={user_code}"), {}))
    assert kernel.of(ShowUser)[0].url == url


# --- refresh


def test_a_refresh_keeps_what_the_answer_does_not_bring_and_is_kept_before_its_use():
    kernel = Kernel(answered({"access_token": "fake-new", "expires_in": 60}))
    old = msgspec.structs.replace(OLD, metadata={"client_id": "public-client", "email": "me@example.com"})
    renewed = kernel.run(AuthorizationCode().refresh(facts(refresh_params={"scope": "a b"}), old))
    assert renewed == msgspec.structs.replace(old, access=Secret("fake-new"), expires_at_s=NOW + 60)
    assert kernel.of(Keep) == [Keep(credential=renewed)]
    sent = body_of(kernel.of(HttpRequest)[0])
    assert sent == {
        "grant_type": "refresh_token",
        "refresh_token": "fake-r1",
        "scope": "a b",
        "client_id": "public-client",
    }


def test_a_refresh_goes_where_the_facts_say_and_as_the_client_that_signed_in():
    kernel = Kernel(answered(GRANT))
    old = msgspec.structs.replace(OLD, metadata={"client_id": "of-then"})
    kernel.run(DeviceCode().refresh(facts(refresh_url="https://vendor.example/refresh", client_id="of-now"), old))
    (request,) = kernel.of(HttpRequest)
    assert request.url == "https://vendor.example/refresh"
    assert body_of(request)["client_id"] == "of-then"


REFUSALS = [
    pytest.param(answered({"error": "invalid_grant"}, 400), SignInRequired, id="for good"),
    pytest.param(answered({"error": {"code": "reused", "message": "x"}}, 401), SignInRequired, id="for good, nested"),
    pytest.param(answered({"error": "invalid_grant"}), SignInRequired, id="for good, with status 200"),
    pytest.param(answered({"error": "invalid_client"}, 401), UpstreamFailed, id="not the account's fault"),
    pytest.param(answered({}, 401), UpstreamFailed, id="a bare 401"),
    pytest.param(answered({"error": "x"}, 429, **{"retry-after": "7"}), RateLimited, id="too often"),
    pytest.param(answered(b"oops", 500), UpstreamFailed, id="500"),
    pytest.param(answered(b"<html>"), UpstreamGarbled, id="a page"),
    pytest.param(answered({"access_token": ""}), UpstreamGarbled, id="an empty token"),
    pytest.param(answered(b"[" * 100_000), UpstreamGarbled, id="too deep"),
    pytest.param(answered(b'{"access_token": 1e999}'), UpstreamGarbled, id="a number too large"),
    pytest.param(answered(b"\xff"), UpstreamGarbled, id="not UTF-8"),
]


@pytest.mark.parametrize(("answer", "error"), REFUSALS)
def test_only_the_vendors_own_words_mean_that_a_sign_in_is_needed(answer, error):
    kernel = Kernel(answer)
    with pytest.raises(error) as raised:
        kernel.run(AuthorizationCode().refresh(facts(definitive_errors=("invalid_grant", "reused")), OLD))
    assert type(raised.value) is error
    assert "fake" not in raised.value.text
    assert kernel.of(Keep) == []
    if error is RateLimited:
        assert raised.value.retry_after_s == 7


def test_a_credential_without_anything_to_renew_it_by_stays_as_it_is():
    bare = Credential(access=Secret("fake-key"))
    assert Kernel().run(ImportedToken().refresh(facts(), bare)) is bare
    assert Kernel().run(TokenExchange().refresh(msgspec.structs.replace(facts(), oauth=None), OLD)) is OLD


# --- exchange


BOUGHT = ExchangeFacts(
    url="https://api.vendor.example/v2/token?x=1",
    headers={"Editor-Version": "e"},
    place=CredentialPlace(prefix="token "),
    expires_at=("expires_at",),
    fields={"plan": ("sku",)},
)


def test_a_given_token_buys_one_that_goes_on_the_wire():
    kernel = Kernel(answered({"token": "fake-bought", "expires_at": NOW + 1500, "sku": "pro"}))
    credential = kernel.run(TokenExchange().sign_in(facts(exchange=BOUGHT), {"api_key": Secret(" fake-long ")}))
    assert credential == Credential(
        access=Secret("fake-bought"),
        expires_at_s=NOW + 1500,
        metadata={"client_id": "public-client", "plan": "pro"},
        secrets={"grant": Secret("fake-long")},
    )
    (request,) = kernel.of(HttpRequest)
    assert request.headers["authorization"] == "token fake-long"
    assert (request.method, request.headers["editor-version"]) == ("GET", "e")


def test_a_bought_token_is_bought_anew_without_touching_the_grant():
    old = msgspec.structs.replace(OLD, refresh=None, secrets={"grant": Secret("fake-long")})
    kernel = Kernel(answered({"token": "fake-2", "expires_at": NOW + 1500}))
    renewed = kernel.run(TokenExchange().refresh(facts(exchange=BOUGHT), old))
    assert renewed.access == Secret("fake-2")
    assert len(kernel.of(HttpRequest)) == 1


def test_a_refused_grant_is_renewed_where_it_can_be_and_kept_before_it_is_spent():
    old = msgspec.structs.replace(OLD, secrets={"grant": Secret("fake-long")})
    kernel = Kernel(answered({}, 401), answered(GRANT), answered({"token": "fake-2", "expires_at": NOW + 1500}))
    renewed = kernel.run(DeviceCode().refresh(facts(exchange=BOUGHT), old))
    assert (renewed.access, renewed.secrets["grant"]) == (Secret("fake-2"), Secret("fake-access"))
    kinds = [type(step) for step in kernel.steps if isinstance(step, HttpRequest | Keep)]
    assert kinds == [HttpRequest, HttpRequest, Keep, HttpRequest]
    (kept,) = kernel.of(Keep)
    assert kept.credential.access == old.access, "the old one until the new one is bought"
    assert kept.credential.expires_at_s == old.expires_at_s, "so that it is bought at the next look"


def test_where_the_bought_token_has_no_end_of_its_own_the_grant_is_renewed_first():
    exchange = ExchangeFacts(url="https://v.example/me", query_parameter="t", token=("data", "apiKey"))
    old = msgspec.structs.replace(OLD, secrets={"grant": Secret("fake-g1")})
    kernel = Kernel(answered(GRANT), answered({"data": {"apiKey": "fake-key"}}))
    renewed = kernel.run(AuthorizationCode().refresh(facts(exchange=exchange), old))
    assert (renewed.access, renewed.expires_at_s) == (Secret("fake-key"), NOW + 3600)
    assert kernel.of(HttpRequest)[1].url == "https://v.example/me?t=fake-access"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(answered({}, 401), SignInRequired, id="401"),
        pytest.param(answered({}, 403), AccountBlocked, id="403"),
        pytest.param(answered({}, 500), UpstreamFailed, id="500"),
        pytest.param(answered({}, 302), UpstreamFailed, id="a redirect"),
        pytest.param(answered({}), UpstreamGarbled, id="no token"),
    ],
)
def test_an_exchange_that_is_refused(answer, error):
    old = msgspec.structs.replace(OLD, refresh=None, secrets={"grant": Secret("fake-long")})
    with pytest.raises(error) as raised:
        Kernel(answer).run(TokenExchange().refresh(facts(exchange=BOUGHT), old))
    assert type(raised.value) is error


# --- imported tokens


def test_tokens_of_another_program_are_taken_as_they_are():
    given = {
        "access": Secret("fake-access"),
        "refresh": Secret("fake-refresh"),
        "expires_at": Secret(str(NOW + 9)),
        "id_token": Secret(jwt({"email": "me@example.com"})),
    }
    credential = Kernel().run(ImportedToken().sign_in(facts(claims={"email": ("email",)}), given))
    assert credential == Credential(
        access=Secret("fake-access"),
        refresh=Secret("fake-refresh"),
        expires_at_s=NOW + 9,
        metadata={"client_id": "public-client", "email": "me@example.com"},
    )


def test_a_refresh_token_alone_gets_an_access_token():
    kernel = Kernel(answered(GRANT))
    credential = kernel.run(ImportedToken().sign_in(facts(), {"refresh": Secret("fake-r0")}))
    assert (credential.access, credential.refresh) == (Secret("fake-access"), Secret("fake-refresh"))
    assert body_of(kernel.of(HttpRequest)[0])["refresh_token"] == "fake-r0"


@pytest.mark.parametrize("token", ["", "  ", "two words", "café", "a\nb"])
def test_a_token_that_cannot_be_one_is_refused_without_repeating_it(token):
    with pytest.raises(InvalidRequest) as raised:
        Kernel().run(ImportedToken().sign_in(facts(), {"api_key": Secret(token)}))
    assert not token.strip() or token not in raised.value.text
