"""What the kernel expects of a provider's sign-in facts, and of how it tells what is left of a plan."""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import msgspec

from omniroute.contracts import (
    Account,
    AskRandom,
    AskTime,
    Credential,
    HttpRequest,
    HttpResponse,
    OAuthFacts,
    Provider,
    ProviderFacts,
    QuotaWindow,
)
from omniroute.errors import UpstreamError
from omniroute.secret import Secret

__all__ = ["check_quota", "check_sign_in"]

OWN_HOST = "http://127.0.0.1:9/v1"
SECRETS = {"grant": Secret("fake-grant-0123456789")}
ODD_BODIES = (b"", b"{}", b"[]", b"null", b"5", b"<html>", b'{"data":5}', b'{"a":1e999}', b'{"\xff":1}', b"[" * 100_000)
ODD_VALUES = ("", "x", "-1", "1e999", "nan", "0", "100", "2026-11-22T00:00:00Z")
MAX_STEPS = 100


# --- sign-in ----------------------------------------------------------------------------------------------------------


def check_sign_in(provider: Provider) -> None:
    facts = provider.facts
    if facts.oauth is not None:
        _check_oauth(facts.oauth)
    if facts.tier == "subscription":
        assert facts.terms_url, (
            "a subscription names its terms_url: people are shown it before others may use the account"
        )
        assert facts.own_clients, "a subscription names the vendor's own_clients, which it always serves"
    if facts.status == "withdrawn":
        assert facts.note, "a provider that was withdrawn says in its note when, and what is left of it"
    for name in facts.forwards:
        assert re.fullmatch(r"[a-z0-9_-]+", name), f"forwards: {name!r} is not in lower case"
        assert name not in {"authorization", "x-api-key", "cookie"}, (
            f"forwards: {name} would carry the client's own key"
        )
    assert facts.envelope != "", "envelope: the key of an object, or None"
    _check_finish(provider)


def _check_oauth(oauth: OAuthFacts) -> None:
    assert not oauth.needs_client_secret or oauth.client_secret_env, (
        "oauth.client_secret_env: no way to give the secret"
    )
    assert oauth.authorize_url or oauth.device_url or oauth.exchange, "oauth: no way to sign in"


def _check_finish(provider: Provider) -> None:
    """Whatever the vendor answers, the end is a credential or an `UpstreamError`."""
    credential = Credential(access=Secret("fake-key-0123456789"))
    for status in (200, 401, 500):
        for body in ODD_BODIES:
            try:
                ended = _drive(provider, credential, HttpResponse(status=status, body=body))
            except UpstreamError:
                continue
            assert isinstance(ended, Credential), f"finish_sign_in() returned {ended!r}"


def _drive(provider: Provider, credential: Credential, response: HttpResponse) -> object:
    flow = provider.finish_sign_in(credential)
    answer: Any = None
    for _ in range(MAX_STEPS):
        try:
            step = flow.send(answer)
        except StopIteration as end:
            return end.value
        answer = _answer(step, response, provider.facts)
    raise AssertionError("finish_sign_in() does not end")


def _answer(step: object, response: HttpResponse, facts: ProviderFacts) -> Any:
    match step:
        case HttpRequest(url=url):
            https = urlsplit(url).scheme == "https"
            assert https or not facts.base_url.startswith("https"), f"finish_sign_in() goes to {url!r}"
            return response
        case AskTime():
            return 1_800_000_000.0
        case AskRandom(size_bytes=size):
            return bytes(size)
        case _:
            return None


# --- quota ------------------------------------------------------------------------------------------------------------


def check_quota(provider: Provider, account: Account) -> None:
    assert account.credential is not None
    credential = msgspec.structs.replace(account.credential, secrets=SECRETS)
    secrets = [credential.access.reveal(), *(secret.reveal() for secret in SECRETS.values())]
    for base_url in (account.base_url, OWN_HOST):
        asked = msgspec.structs.replace(account, credential=credential, base_url=base_url)
        request = provider.quota(asked)
        if request is not None:
            _check_request(request, secrets, base_url)
    assert provider.quota(msgspec.structs.replace(account, credential=None)) is None, "quota() without a credential"
    for body in ODD_BODIES:
        try:
            windows = provider.read_quota(HttpResponse(status=200, body=body))
        except UpstreamError:
            continue
        _check_windows("read_quota()", windows)
    _check_rate_headers(provider)


def _check_request(request: HttpRequest, secrets: list[str], base_url: str) -> None:
    assert not any(secret in request.url for secret in secrets), "quota() puts the credential into the URL"
    assert any(secret in value for value in request.headers.values() for secret in secrets), (
        "quota() leaves the credential out"
    )
    if base_url == OWN_HOST:
        assert urlsplit(request.url).netloc == urlsplit(OWN_HOST).netloc, (
            f"quota() goes to {request.url!r}, though the account says {base_url!r}; see FactsProvider.beside"
        )


def _check_rate_headers(provider: Provider) -> None:
    """Headers that are not there, and those it asks for with values nobody expects."""
    asked = _Asked()
    assert tuple(provider.read_rate_headers(asked)) == (), "read_rate_headers() makes windows of nothing"
    for value in ODD_VALUES:
        headers = dict.fromkeys(asked.names, value)
        _check_windows(f"read_rate_headers() of {value!r}", provider.read_rate_headers(headers))


class _Asked(dict[str, str]):
    """No headers at all, and a note of those that were looked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        assert name == name.lower(), f"read_rate_headers() looks for {name!r}: names are lower case"
        self.names.add(name)
        return default


def _check_windows(what: str, windows: Iterable[QuotaWindow]) -> None:
    for window in windows:
        assert window.name, f"{what}: a window without a name"
        left = window.share_left
        assert left is None or 0 <= left <= 1, f"{what}: share_left is {left}"
        for field in ("used", "limit", "resets_at_s"):
            number = getattr(window, field)
            assert number is None or 0 <= number < float("inf"), f"{what}: {field} is {number}"
