"""The token endpoint: its requests, its answers, and what follows a grant: the exchange, and whose it is."""

import base64
from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from omniroute.api import (
    AccountBlocked,
    AskTime,
    AuthStep,
    Credential,
    CredentialPlace,
    ExchangeFacts,
    HttpRequest,
    HttpResponse,
    InvalidRequest,
    Keep,
    OAuthFacts,
    ProviderFacts,
    RateLimited,
    Secret,
    SignInRequired,
    UpstreamError,
    UpstreamFailed,
    UpstreamGarbled,
)
from omniroute_auth_oauth.answers import claims_of, error_code, object_of, picked, seconds_at, secret_at

__all__ = ["client_request", "facts_of", "finish", "first_credential", "is_granted", "refresh", "refused"]

GRANT = "grant"
CLIENT_SECRET = "client_secret"
CLIENT_ID = "client_id"


def facts_of(facts: ProviderFacts, given: Mapping[str, Secret]) -> OAuthFacts:
    """The provider's, with a client secret that was given for this account. Raises `InvalidRequest`."""
    oauth = facts.oauth
    if oauth is None:
        raise InvalidRequest(f"{facts.name} has no sign-in", why="its facts do not say how", param="provider")
    if given.get(CLIENT_SECRET):
        oauth = msgspec.structs.replace(oauth, client_secret=given[CLIENT_SECRET])
    if oauth.needs_client_secret and not oauth.client_secret:
        variable = next(iter(oauth.client_secret_env), None)
        raise InvalidRequest(
            f"{facts.name} wants the secret of its OAuth client, and none is set",
            why="it comes with the vendor's own program and is not shipped here",
            fix=f"set [providers.{facts.name}] oauth_client_secret" + (f" or {variable}" if variable else ""),
            param=CLIENT_SECRET,
        )
    return oauth


def client_request(oauth: OAuthFacts, url: str, params: Mapping[str, str]) -> HttpRequest:
    """A request to token or device endpoint, in the encoding the vendor wants, with the client's id and secret."""
    secret = oauth.client_secret.reveal() if oauth.client_secret else None
    headers = _accepting_json(oauth.headers)
    body = dict(params)
    if oauth.client_auth != "basic":
        body[CLIENT_ID] = oauth.client_id
        if secret is not None:
            body[CLIENT_SECRET] = secret
    if oauth.client_auth != "body":
        pair = f"{quote(oauth.client_id, safe='')}:{quote(secret or '', safe='')}"
        headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    if oauth.encoding == "json":
        return HttpRequest(
            url=url, headers={**headers, "content-type": "application/json"}, body=msgspec.json.encode(body)
        )
    return HttpRequest(
        url=url,
        headers={**headers, "content-type": "application/x-www-form-urlencoded"},
        body=urlencode(body).encode(),
    )


# --- answers of the token endpoint ------------------------------------------------------------------------------------


def first_credential(oauth: OAuthFacts, response: HttpResponse, asked_at_s: float) -> Credential:
    """What a redeemed code is worth. Raises `UpstreamError`."""
    found = _granted(oauth, response)
    own = {CLIENT_ID: oauth.client_id}
    return _credential(oauth, found, asked_at_s, Credential(access=Secret(""), metadata=own))


def _granted(oauth: OAuthFacts, response: HttpResponse) -> dict[str, Any]:
    if is_granted(response):
        return object_of(response)
    if response.status < 300 and error_code(response) is None:
        raise UpstreamGarbled("the token endpoint answered without a token")
    raise refused("the token endpoint", response, oauth.definitive_errors)


def is_granted(response: HttpResponse) -> bool:
    """The answer holds a token. Its status alone says nothing: some vendors refuse with 200."""
    try:
        return response.status < 300 and secret_at(object_of(response), ("access_token",)) is not None
    except UpstreamGarbled:
        return False


def _credential(oauth: OAuthFacts, found: dict[str, Any], asked_at_s: float, old: Credential) -> Credential:
    """`old` with what the answer brings: the refresh token stays where it brings none. A grant that is still to be exchanged
    does not touch `access` nor its end, so that whoever finds it knows that the exchange is to come."""
    access = secret_at(found, ("access_token",))
    assert access is not None
    life_s = seconds_at(found, ("expires_in",)) or oauth.default_life_s
    ends_s = None if life_s is None else asked_at_s + life_s
    told = picked(found, oauth.token_fields) | picked(claims_of(found.get("id_token")), oauth.claims)
    new = msgspec.structs.replace(
        old, refresh=secret_at(found, ("refresh_token",)) or old.refresh, metadata={**old.metadata, **told}
    )
    if oauth.exchange is not None:
        until = {} if ends_s is None else {"grant_ends": str(ends_s)}
        return msgspec.structs.replace(new, secrets={**old.secrets, GRANT: access}, metadata={**new.metadata, **until})
    return msgspec.structs.replace(new, access=access, expires_at_s=ends_s)


def refused(who: str, response: HttpResponse, definitive: tuple[str, ...]) -> UpstreamError:
    """What a refusal means."""
    code = error_code(response)
    what = f"{who} answered {response.status}" + (f" ({code})" if code else "")
    fix = "sign in again"
    if code in definitive:
        return SignInRequired(what, why="the vendor does not renew these tokens any more", fix=fix)
    if response.status == 429:
        return RateLimited(what, retry_after_s=seconds_at(dict(response.headers), ("retry-after",)))
    return UpstreamFailed(what, status=response.status if response.status >= 400 else None)


# --- after the grant --------------------------------------------------------------------------------------------------


def finish(oauth: OAuthFacts, credential: Credential) -> Generator[AuthStep, Any, Credential]:
    """After a sign-in: buy what goes on the wire, and learn whose it is."""
    if oauth.exchange is not None:
        credential = yield from _exchange(oauth.exchange, credential)
    if oauth.userinfo is None:
        return credential
    who = oauth.userinfo
    token = credential.secrets.get(GRANT, credential.access)
    headers = {**_accepting_json(who.headers), **_placed(who.place, token)}
    try:
        response: HttpResponse = yield HttpRequest(method=who.method, url=who.url, headers=headers)
        told = picked(object_of(response), who.fields) if response.status == 200 else {}
    except UpstreamError:  # a name is not worth a sign-in
        return credential
    return msgspec.structs.replace(credential, metadata={**credential.metadata, **told})


def refresh(oauth: OAuthFacts, credential: Credential) -> Generator[AuthStep, Any, Credential]:
    """New tokens for old. Raises `SignInRequired` and other `UpstreamError`s."""
    oauth = _of_its_client(oauth, credential)
    exchange = oauth.exchange
    if exchange is not None and (exchange.expires_at or exchange.expires_in) and GRANT in credential.secrets:
        try:
            return (yield from _exchange(exchange, credential))
        except SignInRequired:
            if credential.refresh is None:
                raise
    if credential.refresh is None:
        return credential
    now: float = yield AskTime()
    params = {"grant_type": "refresh_token", "refresh_token": credential.refresh.reveal(), **oauth.refresh_params}
    response: HttpResponse = yield client_request(oauth, oauth.refresh_url or oauth.token_url, params)
    renewed = _credential(oauth, _granted(oauth, response), now, credential)
    yield Keep(credential=renewed)
    if exchange is not None:
        return (yield from _exchange(exchange, renewed))
    return renewed


def _of_its_client(oauth: OAuthFacts, credential: Credential) -> OAuthFacts:
    """A refresh token belongs to the client that it was given to, whatever the settings say by now."""
    client_id = credential.metadata.get(CLIENT_ID, oauth.client_id)
    secret = credential.secrets.get(CLIENT_SECRET, oauth.client_secret)
    return msgspec.structs.replace(oauth, client_id=client_id, client_secret=secret)


def _exchange(exchange: ExchangeFacts, credential: Credential) -> Generator[AuthStep, Any, Credential]:
    grant = credential.secrets[GRANT]
    headers = _accepting_json(exchange.headers)
    url = exchange.url
    if exchange.query_parameter is None:
        headers |= _placed(exchange.place, grant)
    else:
        url += ("&" if "?" in url else "?") + urlencode({exchange.query_parameter: grant.reveal()})
    now: float = yield AskTime()
    response: HttpResponse = yield HttpRequest(method=exchange.method, url=url, headers=headers, body=exchange.body)
    if response.status == 401:
        raise SignInRequired(
            "the token exchange answered 401", why="the vendor does not take this token any more", fix="sign in again"
        )
    if response.status in {402, 403}:
        raise AccountBlocked(f"the token exchange answered {response.status}", why="the plan does not include this")
    if response.status != 200:
        raise refused("the token exchange", response, ())
    found = object_of(response)
    bought = secret_at(found, exchange.token)
    if bought is None:
        raise UpstreamGarbled("the token exchange answered without a token")
    life_s = seconds_at(found, exchange.expires_in)
    ends_s = seconds_at(found, exchange.expires_at) or (None if life_s is None else now + life_s)
    if ends_s is None:
        ends_s = seconds_at(credential.metadata, ("grant_ends",))
    return msgspec.structs.replace(
        credential,
        access=bought,
        expires_at_s=ends_s,
        metadata={**credential.metadata, **picked(found, exchange.fields)},
    )


def _accepting_json(headers: Mapping[str, str]) -> dict[str, str]:
    """A name in another spelling must not come twice."""
    return {"accept": "application/json", **{name.lower(): value for name, value in headers.items()}}


def _placed(place: CredentialPlace, token: Secret) -> dict[str, str]:
    return {place.header: place.prefix + token.reveal()}
