import hashlib
from collections.abc import Mapping

import pytest

from omniroute.api import (
    AuthenticationFailed,
    ClientKey,
    Credential,
    Headers,
    InvalidRequest,
    Principal,
    ProviderFacts,
    Secret,
    Settings,
)
from omniroute_auth_apikey import ApiKeyAuthenticator, ApiKeyScheme, register_authenticators

GOOD, OTHER = "test-key-1", "test-key-2"
LAPTOP = Principal(key_id="abcdefgh", name="laptop")
FACTS = ProviderFacts(name="acme", dialect="openai-chat", base_url="https://api.acme.example/v1")


class Keys:
    """One valid key."""

    def match(self, presented: str) -> ClientKey | None:
        if presented != GOOD:
            return None
        digest = hashlib.sha256(presented.encode()).digest()
        return ClientKey(id=LAPTOP.key_id, name=LAPTOP.name, sha256=digest, created_s=0.0)


async def who(headers: Mapping[str, str], query: Mapping[str, str], *, required: bool = True) -> Principal | None:
    raw = {name.encode(): value.encode() for name, value in headers.items()}
    return await ApiKeyAuthenticator(Keys(), required=required).authenticate(Headers(raw), query, "127.0.0.1")


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        pytest.param({"authorization": f"Bearer {GOOD}"}, {}, id="bearer"),
        pytest.param({"authorization": f"bearer  {GOOD} "}, {}, id="bearer, sloppily written"),
        pytest.param({"x-api-key": GOOD}, {}, id="Anthropic's header"),
        pytest.param({"x-goog-api-key": GOOD}, {}, id="Google's header"),
        pytest.param({}, {"key": GOOD}, id="Google's query parameter"),
        pytest.param({"authorization": f"Bearer {GOOD}", "x-api-key": GOOD}, {"key": GOOD}, id="the same one thrice"),
        pytest.param({"authorization": f"Bearer {GOOD}", "x-api-key": ""}, {"key": ""}, id="empty ones do not count"),
    ],
)
async def test_a_good_key_is_known_wherever_it_is_sent(headers, query):
    assert await who(headers, query) == LAPTOP


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(
    ("headers", "query"),
    [
        pytest.param({"authorization": f"Bearer {GOOD}", "x-api-key": OTHER}, {}, id="two headers"),
        pytest.param({"x-api-key": OTHER, "x-goog-api-key": GOOD}, {}, id="two key headers"),
        pytest.param({"x-goog-api-key": GOOD}, {"key": OTHER}, id="header and query"),
    ],
)
async def test_different_keys_in_one_request_are_refused_without_naming_them(headers, query, required):
    with pytest.raises(InvalidRequest) as caught:
        await who(headers, query, required=required)
    assert GOOD not in caught.value.text
    assert OTHER not in caught.value.text


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"authorization": f"Bearer {OTHER}"}, id="unknown"),
        pytest.param({"x-api-key": GOOD + " "}, id="not the very same text"),
    ],
)
async def test_a_bad_key_is_refused_with_the_words_of_a_missing_one(headers):
    with pytest.raises(AuthenticationFailed) as caught:
        await who(headers, {})
    assert caught.value.text == AuthenticationFailed().text


@pytest.mark.parametrize("headers", [{}, {"authorization": "Basic dGVzdA=="}, {"cookie": f"key={GOOD}"}])
async def test_without_a_key_of_its_own_the_next_authenticator_is_asked(headers):
    assert await who(headers, {}) is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, "local", id="no key"),
        pytest.param({"authorization": "Bearer sk-placeholder"}, "local", id="the placeholder a client insists on"),
        pytest.param({"x-api-key": GOOD}, LAPTOP.key_id, id="a known key still says who is calling"),
    ],
)
async def test_nobody_needs_a_key_when_the_settings_say_so(headers, expected):
    principal = await who(headers, {}, required=False)
    assert principal is not None
    assert principal.key_id == expected


async def test_a_key_is_required_unless_the_settings_say_otherwise():
    [authenticator] = register_authenticators(settings=Settings(), keys=Keys())
    assert await authenticator.authenticate(Headers({}), {}, "127.0.0.1") is None


def finish(flow):
    with pytest.raises(StopIteration) as done:
        next(flow)
    return done.value.value


def test_sign_in_keeps_the_pasted_key_without_the_line_end_around_it():
    assert finish(ApiKeyScheme().sign_in(FACTS, {"api_key": Secret("test-key-1\r\n")})) == Credential(
        access=Secret("test-key-1")
    )


def test_refresh_has_nothing_to_renew():
    credential = Credential(access=Secret("test-key-1"))
    assert finish(ApiKeyScheme().refresh(FACTS, credential)) is credential


@pytest.mark.parametrize("text", [None, "", " \n", "two words", "line\nbreak", "naïve-key", "x" * 9000])
def test_sign_in_refuses_what_cannot_be_a_key_without_repeating_it(text):
    given = {} if text is None else {"api_key": Secret(text)}
    with pytest.raises(InvalidRequest) as caught:
        next(ApiKeyScheme().sign_in(FACTS, given))
    assert caught.value.param == "api_key"
    assert not (text and text.strip() and text.strip() in caught.value.text)
