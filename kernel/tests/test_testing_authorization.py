"""The scripted authorization server refuses what a vendor would refuse."""

import base64
import hashlib
import json
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from omniroute.contracts import HttpRequest, OAuthFacts, ProviderFacts, UserinfoFacts
from omniroute.control import ControlClient
from omniroute.testing import FakeAuthorization, Reply

OAUTH = {
    "client_id": "public-client",
    "authorize_url": "https://vendor.example/authorize",
    "token_url": "https://vendor.example/token",
    "device_url": "https://login.vendor.example/token",
}
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
REDIRECT = "http://localhost:4711/callback"


def facts(**changes):
    oauth = OAuthFacts(**{**OAUTH, **changes})
    return ProviderFacts(name="acme", dialect="x", base_url="https://a.example/v1", oauth=oauth)


def page(vendor, **changes):
    asked = {
        "client_id": "public-client",
        "redirect_uri": REDIRECT,
        "state": "s" * 43,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changes,
    }
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    return f"{vendor.facts.oauth.authorize_url}?{query}"


@pytest.fixture
async def post():
    control = ControlClient()

    async def send(url, params, kind="application/x-www-form-urlencoded"):
        body = urlencode(params).encode() if "form" in kind else json.dumps(params).encode()
        answer = await control.send(HttpRequest(url=url, headers={"content-type": kind}, body=body))
        return answer.status, json.loads(answer.body)

    yield send
    await control.close()


async def redeem(vendor, post, code, **changes):
    params = {
        "grant_type": "authorization_code",
        "code": code,
        "client_id": "public-client",
        "redirect_uri": REDIRECT,
        "code_verifier": VERIFIER,
    }
    return await post(vendor.facts.oauth.token_url, params | changes)


def code_in(url):
    return parse_qs(urlsplit(url).query)["code"][0]


async def refresh(vendor, post, token):
    params = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "public-client"}
    return await post(vendor.facts.oauth.token_url, params)


async def test_a_code_works_once(post):
    async with FakeAuthorization(facts()) as vendor:
        code = code_in(vendor.redirect(page(vendor)))
        status, granted = await redeem(vendor, post, code)
        assert (status, vendor.accepts_token(granted["access_token"])) == (200, True)
        assert await redeem(vendor, post, code) == (400, {"error": "invalid_grant", "error_description": "as scripted"})


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"code_verifier": "w" * 43}, "invalid_grant", id="another verifier"),
        pytest.param({"redirect_uri": "http://localhost:1/callback"}, "invalid_grant", id="another redirect"),
        pytest.param({"client_id": "somebody"}, "invalid_client", id="another client"),
        pytest.param({"client_secret": "x"}, "invalid_client", id="a secret it does not have"),
        pytest.param({"grant_type": "password"}, "unsupported_grant_type", id="another grant"),
    ],
)
async def test_a_code_is_not_redeemed_by_others(post, changes, error):
    async with FakeAuthorization(facts()) as vendor:
        code = code_in(vendor.redirect(page(vendor)))
        assert (await redeem(vendor, post, code, **changes))[1]["error"] == error


async def test_a_refresh_token_that_comes_twice_revokes_the_sign_in(post):
    async with FakeAuthorization(facts()) as vendor:
        _, first = await redeem(vendor, post, code_in(vendor.redirect(page(vendor))))
        _, second = await refresh(vendor, post, first["refresh_token"])
        assert second["refresh_token"] != first["refresh_token"]
        assert (await refresh(vendor, post, first["refresh_token"]))[1]["error"] == "invalid_grant"
        assert (await refresh(vendor, post, second["refresh_token"]))[1]["error"] == "invalid_grant"
        assert len(vendor.refreshes) == 3


async def test_a_vendor_with_grace_forgives_a_repetition_and_one_without_rotation_knows_none(post):
    async with FakeAuthorization(facts(), reuse_grace=True) as vendor:
        token = vendor.issue_refresh()
        assert [(await refresh(vendor, post, token))[0] for _ in range(3)] == [200] * 3
    async with FakeAuthorization(facts(rotates=False)) as vendor:
        token = vendor.issue_refresh()
        answers = [(await refresh(vendor, post, token))[1] for _ in range(3)]
        assert all("refresh_token" not in answer for answer in answers)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param({"code_challenge_method": "plain"}, "PKCE is not S256", id="plain PKCE"),
        pytest.param({"state": "short"}, "the state has less", id="a short state"),
        pytest.param({"client_id": "somebody"}, "client_id 'somebody'", id="another client"),
        pytest.param({"redirect_uri": None}, "no redirect_uri", id="no redirect"),
    ],
)
async def test_what_a_vendor_would_show_an_error_page_for_fails_the_test(changes, problem):
    with pytest.raises(AssertionError, match=problem):
        async with FakeAuthorization(facts()) as vendor:
            vendor.redirect(page(vendor, **changes))


async def test_a_body_in_the_wrong_encoding_and_a_path_of_nobody_fail_the_test(post):
    with pytest.raises(AssertionError, match="the vendor takes application/json"):
        async with FakeAuthorization(facts(encoding="json")) as vendor:
            await redeem(vendor, post, "c")
    with pytest.raises(AssertionError, match="is no endpoint of the facts"):
        async with FakeAuthorization(facts()) as vendor:
            await post(f"{vendor.upstream.origin}/elsewhere", {})


async def test_two_hosts_with_one_path_are_two_endpoints_and_a_query_stays():
    who = UserinfoFacts(url="https://api.vendor.example/token?alt=json")
    async with FakeAuthorization(facts(userinfo=who)) as vendor:
        oauth = vendor.facts.oauth
        assert len({oauth.token_url, oauth.device_url, oauth.userinfo.url}) == 3
        assert oauth.userinfo.url.endswith("?alt=json")


async def test_answers_can_be_queued_and_tokens_expired(post):
    async with FakeAuthorization(facts()) as vendor:
        vendor.queue(Reply.json({"odd": 1}))
        vendor.refuse("slow_down")
        token = vendor.issue_refresh()
        assert await refresh(vendor, post, token) == (200, {"odd": 1})
        assert (await refresh(vendor, post, token))[1]["error"] == "slow_down"
        _, granted = await refresh(vendor, post, token)
        assert vendor.accepts_token(granted["access_token"])
        vendor.expire()
        assert not vendor.accepts_token(granted["access_token"])
        vendor.revoke()
        assert (await refresh(vendor, post, granted["refresh_token"]))[1]["error"] == "invalid_grant"
