"""`check_provider` finds what is wrong with sign-in facts and with windows of quota."""

import msgspec
import pytest

from omniroute.contracts import HttpRequest, OAuthFacts, ProviderFacts, QuotaWindow
from omniroute.provider import FactsProvider
from omniroute.testing import check_provider

OAUTH = OAuthFacts(
    client_id="c", authorize_url="https://login.example/authorize", token_url="https://login.example/token"
)
FACTS = ProviderFacts(
    name="acme",
    dialect="openai-chat",
    base_url="https://api.acme.example/v1",
    auth="oauth",
    oauth=OAUTH,
    tier="subscription",
    terms_url="https://acme.example/terms",
    own_clients=("acme-cli/",),
    forwards=("x-app",),
)


class Plan(FactsProvider):
    def quota(self, account):
        if account.credential is None:
            return None
        headers = {"authorization": f"Bearer {account.credential.access.reveal()}"}
        url = self.beside(account, "https://acme.example/usage", home=FACTS.base_url)
        return HttpRequest(method="GET", url=url, headers=headers)

    def read_rate_headers(self, headers):
        left = headers.get("x-left")
        return (QuotaWindow(name="daily", share_left=0.5),) if left else ()


def test_what_is_right_passes():
    check_provider(Plan(FACTS))


def oauth(**changes):
    return {"oauth": msgspec.structs.replace(OAUTH, **changes)}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param(oauth(needs_client_secret=True), "no way to give the secret", id="no variable for the secret"),
        pytest.param(oauth(authorize_url=None), "no way to sign in", id="no way in"),
        pytest.param({"terms_url": None}, "terms_url", id="no terms"),
        pytest.param({"own_clients": ()}, "own_clients", id="no own clients"),
        pytest.param({"status": "withdrawn"}, "withdrawn says in its note", id="withdrawn without a word"),
        pytest.param({"forwards": ("X-App",)}, "lower case", id="upper case"),
        pytest.param({"forwards": ("authorization",)}, "client's own key", id="the client's key"),
        pytest.param({"envelope": ""}, "envelope", id="no key"),
    ],
)
def test_facts_that_are_wrong_are_named(changes, problem):
    with pytest.raises(AssertionError, match=problem):
        check_provider(Plan(msgspec.structs.replace(FACTS, **changes)))


def without_a_credential(self, account):
    return HttpRequest(method="GET", url="https://acme.example/usage")


def in_the_url(self, account):
    if account.credential is None:
        return None
    return HttpRequest(method="GET", url=f"https://acme.example/usage?k={account.credential.access.reveal()}")


def to_the_vendor_always(self, account):
    if account.credential is None:
        return None
    headers = {"authorization": account.credential.access.reveal()}
    return HttpRequest(method="GET", url="https://acme.example/usage", headers=headers)


def endless(self, credential):
    while True:
        yield HttpRequest(url="https://acme.example/more")


def nothing(self, credential):
    yield from ()


@pytest.mark.parametrize(
    ("method", "wrong", "problem"),
    [
        ("quota", without_a_credential, "leaves the credential out"),
        ("quota", in_the_url, "into the URL"),
        ("quota", to_the_vendor_always, "though the account says"),
        ("read_quota", lambda self, response: [QuotaWindow(name="x", share_left=1.5)], "share_left is 1.5"),
        ("read_quota", lambda self, response: [QuotaWindow(name="")], "without a name"),
        ("read_rate_headers", lambda self, headers: [QuotaWindow(name="x")], "windows of nothing"),
        (
            "read_rate_headers",
            lambda self, headers: [QuotaWindow(name="x", used=float(headers.get("x-used") or "0"))][: len(headers)],
            "used is|could not convert",
        ),
        ("read_rate_headers", lambda self, headers: headers.get("X-Left") or (), "lower case"),
        ("finish_sign_in", endless, "does not end"),
        ("finish_sign_in", nothing, "returned None"),
    ],
)
def test_methods_that_are_wrong_are_named(method, wrong, problem):
    provider = type("Wrong", (Plan,), {method: wrong})(FACTS)
    with pytest.raises((AssertionError, ValueError), match=problem):
        check_provider(provider)
