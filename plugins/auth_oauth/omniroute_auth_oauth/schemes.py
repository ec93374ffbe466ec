"""The four ways to begin. Each ends with the same two steps: `finish` after a sign-in, `refresh` ever after."""

import base64
import hashlib
import secrets
from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from omniroute.api import (
    AskRandom,
    AskTime,
    AuthStep,
    AwaitRedirect,
    Credential,
    HttpRequest,
    HttpResponse,
    InvalidRequest,
    OAuthFacts,
    OpenRedirect,
    ProviderFacts,
    Secret,
    ShowUser,
    Sleep,
    UpstreamError,
)
from omniroute_auth_oauth.answers import claims_of, error_code, object_of, picked, seconds_at, value_at
from omniroute_auth_oauth.tokens import client_request, facts_of, finish, first_credential, is_granted, refresh, refused

__all__ = ["AuthorizationCode", "DeviceCode", "ImportedToken", "TokenExchange"]

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
DEVICE_LIFE_S = 900.0
SLOW_DOWN_S = 5.0  # RFC 8628, 3.5
LONGEST_POLL_S = 60.0

Flow = Generator[AuthStep, Any, Credential]


class _Renewing:
    """What all of them have in common."""

    def refresh(self, facts: ProviderFacts, credential: Credential) -> Flow:
        if facts.oauth is None:
            yield from ()
            return credential
        return (yield from refresh(facts.oauth, credential))


class AuthorizationCode(_Renewing):
    """The person signs in at the vendor's page, which sends the browser back with a code."""

    name = "oauth"
    interactive = True

    def sign_in(self, facts: ProviderFacts, given: Mapping[str, Secret]) -> Flow:
        oauth = facts_of(facts, given)
        if oauth.authorize_url is None:
            raise _cannot(facts, "no page to sign in at")
        verifier, challenge = yield from _pkce(oauth)
        state = _text((yield AskRandom()))
        redirect_uri: str = yield OpenRedirect(
            path=oauth.redirect_path,
            ports=oauth.redirect_ports,
            host=oauth.redirect_host,
            paste_url=oauth.paste_url,
            always_paste=oauth.always_paste,
        )
        yield ShowUser(
            message=f"Sign in to {facts.display_name or facts.name} in a browser",
            url=_authorize_url(oauth, redirect_uri, state, challenge),
        )
        answer: Mapping[str, str] = yield AwaitRedirect(state=state)
        params = {
            "grant_type": "authorization_code",
            "code": _code_in(answer, oauth, state),
            "redirect_uri": redirect_uri,
            **({} if verifier is None else {"code_verifier": verifier}),
            **({"state": state} if oauth.sends_state else {}),
            **oauth.token_params,
        }
        now: float = yield AskTime()
        response: HttpResponse = yield client_request(oauth, oauth.token_url, params)
        return (yield from _finished(oauth, first_credential(oauth, response, now), given))


def _authorize_url(oauth: OAuthFacts, redirect_uri: str, state: str, challenge: Mapping[str, str]) -> str:
    params: dict[str, str | None] = {
        "response_type": "code",
        "client_id": oauth.client_id,
        oauth.redirect_parameter: redirect_uri,
        "scope": " ".join(oauth.scopes) or None,
        "state": state,
        **challenge,
        **oauth.authorize_params,
    }
    query = urlencode({name: value for name, value in params.items() if value is not None})
    assert oauth.authorize_url is not None
    return f"{oauth.authorize_url}{'&' if '?' in oauth.authorize_url else '?'}{query}"


def _code_in(answer: Mapping[str, str], oauth: OAuthFacts, state: str) -> str:
    """The code of a redirect that is an answer to our question. A bare code that was pasted has no state with it."""
    if not secrets.compare_digest(answer.get("state", state).encode(), state.encode()):
        raise InvalidRequest("the redirect belongs to another sign-in", why="its state is not the one that was sent")
    if oauth.issuer is not None and answer.get("iss", oauth.issuer) != oauth.issuer:
        raise InvalidRequest("the redirect is from another issuer", why=f"expected {oauth.issuer}")
    if answer.get("error") == "access_denied":
        raise InvalidRequest("the sign-in was refused in the browser", fix="try again, and allow it there")
    if answer.get("error") or not answer.get("code"):
        raise InvalidRequest(
            "the vendor sent the browser back without a code", why=answer.get("error", "")[:80] or None
        )
    return answer["code"]


class DeviceCode(_Renewing):
    """The person types a short code at the vendor's page, in any browser; here the answer is polled for."""

    name = "oauth-device"
    interactive = True

    def sign_in(self, facts: ProviderFacts, given: Mapping[str, Secret]) -> Flow:
        oauth = facts_of(facts, given)
        if oauth.device_url is None:
            raise _cannot(facts, "no device code")
        verifier, challenge = yield from _pkce(oauth)
        scope = {"scope": " ".join(oauth.scopes)} if oauth.scopes else {}
        now: float = yield AskTime()
        params = {**scope, **challenge, **oauth.device_params}
        response: HttpResponse = yield client_request(oauth, oauth.device_url, params)
        found = object_of(response) if response.status < 300 else {}
        device_code, user_code = value_at(found, ("device_code",)), value_at(found, ("user_code",))
        if not isinstance(device_code, str) or not isinstance(user_code, str):
            raise refused("the device endpoint", response, ())
        life_s = seconds_at(found, ("expires_in",)) or DEVICE_LIFE_S
        yield ShowUser(
            message=f"Sign in to {facts.display_name or facts.name} in any browser, and type the code there",
            url=_verification_url(oauth, found, user_code),
            code=user_code,
            expires_in_s=life_s,
        )
        poll = {"grant_type": DEVICE_GRANT, "device_code": device_code}
        if verifier is not None:
            poll["code_verifier"] = verifier
        interval_s = seconds_at(found, ("interval",)) or oauth.poll_interval_s
        request = client_request(oauth, oauth.token_url, poll)
        credential = yield from self._polled(oauth, request, interval_s, now + life_s)
        return (yield from _finished(oauth, credential, given))

    def _polled(self, oauth: OAuthFacts, request: HttpRequest, interval_s: float, until_s: float) -> Flow:
        while True:
            yield Sleep(seconds_s=interval_s)
            now: float = yield AskTime()
            if now >= until_s:
                raise InvalidRequest("the code has expired", why="nobody typed it in time", fix="begin again")
            try:
                response: HttpResponse = yield request
            except UpstreamError:  # RFC 8628, 3.5: no answer means ask less often
                interval_s = min(interval_s * 2, LONGEST_POLL_S)
                continue
            if is_granted(response):
                return first_credential(oauth, response, now)
            match error_code(response):
                case "authorization_pending":
                    continue
                case "slow_down":
                    asked_s = seconds_at(object_of(response), ("interval",)) or 0.0
                    interval_s = max(interval_s + SLOW_DOWN_S, asked_s)
                case "expired_token":
                    raise InvalidRequest("the code has expired", why="nobody typed it in time", fix="begin again")
                case "access_denied":
                    raise InvalidRequest("the sign-in was refused in the browser", fix="try again, and allow it there")
                case _ if response.status >= 500 or response.status == 429:
                    interval_s = min(interval_s * 2, LONGEST_POLL_S)
                case _:
                    raise refused("the token endpoint", response, ())


def _verification_url(oauth: OAuthFacts, found: object, user_code: str) -> str | None:
    for field in ("verification_uri_complete", "verification_uri", "verification_url"):
        if isinstance(url := value_at(found, (field,)), str) and url.startswith("https://"):
            return url
    if oauth.verification_url is not None:
        return oauth.verification_url.replace("{user_code}", user_code)
    url = value_at(found, ("verification_uri",))
    return url if isinstance(url, str) and url.startswith("http://") else None


class TokenExchange(_Renewing):
    """A long-lived token that was given buys short-lived ones."""

    name = "token-exchange"
    interactive = False

    def sign_in(self, facts: ProviderFacts, given: Mapping[str, Secret]) -> Flow:
        oauth = facts_of(facts, given)
        if oauth.exchange is None:
            raise _cannot(facts, "no token exchange")
        grant = _given_token(facts, given)
        credential = Credential(access=Secret(""), metadata={"client_id": oauth.client_id}, secrets={"grant": grant})
        return (yield from _finished(oauth, credential, given))


class ImportedToken(_Renewing):
    """Tokens that another program got: an access token, or a refresh token that gets one."""

    name = "imported-token"
    interactive = False

    def sign_in(self, facts: ProviderFacts, given: Mapping[str, Secret]) -> Flow:
        oauth = facts_of(facts, given)
        told: dict[str, str] = {"client_id": oauth.client_id}
        if "id_token" in given:
            told |= picked(claims_of(given["id_token"].reveal()), oauth.claims)
        ends = given["expires_at"].reveal() if "expires_at" in given else None
        own = {"client_secret": given["client_secret"]} if given.get("client_secret") else {}
        credential = Credential(
            access=Secret(""),
            refresh=given.get("refresh"),
            expires_at_s=seconds_at({"at": ends}, ("at",)),
            metadata=told,
            secrets=own,
        )
        if credential.refresh is not None and "access" not in given:
            credential = yield from refresh(oauth, credential)
            return (yield from finish(msgspec.structs.replace(oauth, exchange=None), credential))
        token = _given_token(facts, given)
        if oauth.exchange is not None:
            credential = msgspec.structs.replace(credential, secrets={**own, "grant": token})
        else:
            credential = msgspec.structs.replace(credential, access=token)
        return (yield from finish(oauth, credential))


# --- shared -----------------------------------------------------------------------------------------------------------


def _finished(oauth: OAuthFacts, credential: Credential, given: Mapping[str, Secret]) -> Flow:
    if given.get("client_secret"):
        own = {**credential.secrets, "client_secret": given["client_secret"]}
        credential = msgspec.structs.replace(credential, secrets=own)
    return (yield from finish(oauth, credential))


def _pkce(oauth: OAuthFacts) -> Generator[AuthStep, Any, tuple[str | None, dict[str, str]]]:
    """A verifier, and the parameters that carry its challenge."""
    if not oauth.pkce:
        return None, {}
    verifier = _text((yield AskRandom(size_bytes=64)))
    challenge = _text(hashlib.sha256(verifier.encode()).digest())
    return verifier, {"code_challenge": challenge, "code_challenge_method": "S256"}


def _text(random: bytes) -> str:
    return base64.urlsafe_b64encode(random).rstrip(b"=").decode()


def _given_token(facts: ProviderFacts, given: Mapping[str, Secret]) -> Secret:
    token = (given.get("access") or given.get("api_key") or Secret("")).reveal().strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidRequest(
            f"no usable token was given for {facts.name}",
            why="a token is one line of printable ASCII without spaces",
            fix=f"give it on standard input: `omniroute account add {facts.name} --api-key-stdin`",
            param="api_key",
        )
    return Secret(token)


def _cannot(facts: ProviderFacts, lacks: str) -> InvalidRequest:
    return InvalidRequest(f"{facts.name} cannot be signed in to like this", why=f"it has {lacks}", param="provider")
