"""A scripted authorization server on loopback, made of a provider's own facts: what the vendor would check, it checks.

Codes and refresh tokens work once, the challenge must fit its verifier, client and encoding must be those of the facts. A
refresh token that comes a second time revokes everything that grew out of the same sign-in, as vendors do.
"""

import asyncio
import base64
import hashlib
import itertools
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec

from omniroute.contracts import CredentialPlace, FieldPath, OAuthFacts, ProviderFacts
from omniroute.secret import Secret
from omniroute.testing.received import ReceivedRequest
from omniroute.testing.scripts import Reply, Script, WaitFor
from omniroute.testing.upstream import FakeUpstream

__all__ = ["FakeAuthorization"]

URLS = ("authorize_url", "token_url", "device_url", "refresh_url")
CLIENT_SECRET = "fake-client-secret"


class _Family(msgspec.Struct):
    """Everything that grew out of one sign-in."""

    number: int
    revoked: bool = False


class _Authorization(msgspec.Struct):
    """A code that was given out and not yet redeemed."""

    redirect_uri: str = ""
    challenge: str | None = None
    approved: bool = True
    denied: bool = False


class FakeAuthorization:
    """A vendor's authorization server.

        async with FakeAuthorization(FACTS) as vendor:
            ...  # sign in with vendor.facts; a person's part is `vendor.redirect(url)` or `vendor.approve(code)`
            assert len(vendor.refreshes) == 1

    `facts` are the provider's, with every URL of the sign-in pointing here. Access tokens live for `life_s`. Token requests
    take the replies of `queue` first; with `hold()` refreshes wait until `let_go()`.
    """

    def __init__(self, facts: ProviderFacts, *, life_s: float = 3600.0, reuse_grace: bool = False) -> None:
        assert facts.oauth is not None, f"{facts.name} has no OAuth facts"
        self._original = facts
        self._vendors: OAuthFacts = facts.oauth
        self.life_s = life_s
        self.poll_interval_s: float = 5
        """What polls for a device code are to keep between them."""
        self.reuse_grace = reuse_grace
        """A refresh token that was used before brings new tokens once more instead of revoking the family."""
        self.device_polls: deque[str] = deque()
        """Errors that polls are answered with before anything else: `slow_down`, `authorization_pending`."""
        self.refreshes: list[str] = []
        """The refresh tokens that came, in order."""
        self.most_in_flight = 0
        """Of refreshes, at any moment."""
        self.problems: list[str] = []
        """What a vendor would refuse and no test asked for."""
        self._upstream = FakeUpstream(answer=self._answer)
        self._queue: deque[Reply | Callable[[ReceivedRequest], Script]] = deque()
        self._codes: dict[str, _Authorization] = {}
        self._devices: dict[str, tuple[str, _Authorization]] = {}
        self._access: dict[str, _Family] = {}
        self._refresh: dict[str, tuple[_Family, bool]] = {}
        self._bought: dict[str, _Family] = {}
        self._held: list[asyncio.Event] | None = None
        self._count = itertools.count(1)
        self._routes: dict[str, Callable[[ReceivedRequest], Script]] = {}

    # --- where it is

    async def __aenter__(self) -> Self:
        await self._upstream.__aenter__()
        oauth = self._vendors
        for field, answer in (
            ("token_url", self._token),
            ("refresh_url", self._token),
            ("device_url", self._device),
        ):
            if url := getattr(oauth, field):
                self._routes[_path(url)] = answer
        if oauth.userinfo is not None:
            self._routes[_path(oauth.userinfo.url)] = self._userinfo
        if oauth.exchange is not None:
            self._routes[_path(oauth.exchange.url)] = self._exchange
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._upstream.__aexit__(kind, error, trace)
        if kind is None and self.problems:
            raise AssertionError("FakeAuthorization: " + "; ".join(self.problems))

    @property
    def upstream(self) -> FakeUpstream:
        """The server itself, with the requests it got."""
        return self._upstream

    @property
    def facts(self) -> ProviderFacts:
        """The provider's facts with the URLs of its sign-in here, and a client secret where it needs one."""
        oauth = self._vendors
        changes: dict[str, Any] = {field: self._here(url) for field in URLS if (url := getattr(oauth, field))}
        if oauth.userinfo is not None:
            changes["userinfo"] = msgspec.structs.replace(oauth.userinfo, url=self._here(oauth.userinfo.url))
        if oauth.exchange is not None:
            changes["exchange"] = msgspec.structs.replace(oauth.exchange, url=self._here(oauth.exchange.url))
        if oauth.needs_client_secret:
            changes["client_secret"] = Secret(CLIENT_SECRET)
        return msgspec.structs.replace(self._original, oauth=msgspec.structs.replace(oauth, **changes))

    def _here(self, url: str) -> str:
        query = urlsplit(url).query
        return f"{self._upstream.origin}{_path(url)}" + (f"?{query}" if query else "")

    # --- the person's part

    def redirect(self, authorize_url: str, *, deny: bool = False) -> str:
        """What the browser is sent to once the person has signed in at `authorize_url`: the redirect, code and state."""
        oauth = self._vendors
        query = {name: values[-1] for name, values in parse_qs(urlsplit(authorize_url).query).items()}
        self._expect(query.get("client_id") == oauth.client_id, f"authorize: client_id {query.get('client_id')!r}")
        redirect_uri = query.get(oauth.redirect_parameter)
        self._expect(bool(redirect_uri), f"authorize: no {oauth.redirect_parameter}")
        self._expect(len(query.get("state", "")) >= 32, "authorize: the state has less than 128 bits")
        if oauth.pkce:
            self._expect(query.get("code_challenge_method") == "S256", "authorize: PKCE is not S256")
        code = self._new("code")
        self._codes[code] = _Authorization(redirect_uri=redirect_uri or "", challenge=query.get("code_challenge"))
        answer = {"error": "access_denied"} if deny else {"code": code}
        separator = "&" if "?" in (redirect_uri or "") else "?"
        return f"{redirect_uri}{separator}{urlencode({**answer, 'state': query.get('state', '')})}"

    def approve(self, user_code: str) -> None:
        """The person typed this code."""
        self._devices[user_code][1].approved = True

    def deny(self, user_code: str) -> None:
        self._devices[user_code][1].denied = True

    # --- what it does

    def queue(self, *answers: Reply | Callable[[ReceivedRequest], Script]) -> None:
        """Answer the next token requests with these, whatever they ask for."""
        self._queue.extend(answers)

    def refuse(self, *codes: str) -> None:
        """Answer the next token requests with these errors."""
        self.queue(*(Reply.json({"error": code}, status=400) for code in codes))

    def hold(self) -> None:
        """Let refreshes wait from now on, each for a `let_go` of its own. Tokens are new before they wait."""
        self._held = []

    def let_go(self) -> bool:
        """Answer the oldest refresh that waits. False when none does."""
        waiting = next((event for event in self._held or () if not event.is_set()), None)
        if waiting is not None:
            waiting.set()
        return waiting is not None

    def stop_holding(self) -> None:
        while self.let_go():
            pass
        self._held = None

    def expire(self) -> None:
        """Every access token that was given out so far is refused from now on."""
        self._access.clear()
        self._bought.clear()

    def revoke(self) -> None:
        """Every sign-in so far is void: a refresh gets `invalid_grant`."""
        for family, _ in self._refresh.values():
            family.revoked = True
        self.expire()

    def accepts(self, request: ReceivedRequest, place: CredentialPlace | None = None) -> bool:
        """Whether a model upstream of this vendor would take the request's credential."""
        place = place or self._original.credential or CredentialPlace()
        return self.accepts_token((request.header(place.header) or "").removeprefix(place.prefix))

    def accepts_token(self, token: str) -> bool:
        return token in (self._bought if self._vendors.exchange is not None else self._access)

    # --- its endpoints

    def _answer(self, request: ReceivedRequest) -> Script:
        answer = self._routes.get(request.path)
        if answer is None:
            self.problems.append(f"{request.method} {request.path} is no endpoint of the facts")
            return Reply.json({"error": "not_found"}, status=404)
        return answer(request)

    def _token(self, request: ReceivedRequest) -> Script:
        params = self._params(request)
        grant = params.get("grant_type")
        if grant == "refresh_token":
            self.refreshes.append(params.get("refresh_token", ""))
        if self._queue:
            answer = self._queue.popleft()
            return answer(request) if callable(answer) else answer
        if not self._is_client(request, params):
            return _error("invalid_client", 401)
        match grant:
            case "authorization_code":
                return self._redeem(params)
            case "refresh_token":
                return self._waiting(self._renew(params))
            case "urn:ietf:params:oauth:grant-type:device_code":
                return self._poll(params)
            case _:
                return _error("unsupported_grant_type")

    def _redeem(self, params: Mapping[str, str]) -> Reply:
        asked = self._codes.pop(params.get("code", ""), None)
        if asked is None:
            return _error("invalid_grant")
        if params.get("redirect_uri") != asked.redirect_uri or not _fits(asked.challenge, params.get("code_verifier")):
            return _error("invalid_grant")
        return self._grant(_Family(number=next(self._count)))

    def _poll(self, params: Mapping[str, str]) -> Reply:
        found = next(
            (device for device in self._devices.values() if device[0] == params.get("device_code")),
            None,
        )
        if found is None:
            return _error("invalid_grant")
        if self.device_polls:
            return _error(self.device_polls.popleft())
        asked = found[1]
        if asked.denied:
            return _error("access_denied")
        if not asked.approved:
            return _error("authorization_pending")
        if not _fits(asked.challenge, params.get("code_verifier")):
            return _error("invalid_grant")
        return self._grant(_Family(number=next(self._count)))

    def _renew(self, params: Mapping[str, str]) -> Reply:
        token = params.get("refresh_token", "")
        family, used = self._refresh.get(token, (_Family(number=0, revoked=True), False))
        if used and self._vendors.rotates and not self.reuse_grace:
            family.revoked = True
        if family.revoked:
            return _error("invalid_grant")
        self._refresh[token] = family, True
        return self._grant(family, old=None if self._vendors.rotates else token)

    def _device(self, request: ReceivedRequest) -> Reply:
        params = self._params(request)
        if not self._is_client(request, params):
            return _error("invalid_client", 401)
        asked = _Authorization(challenge=params.get("code_challenge"), approved=False)
        self._expect(bool(asked.challenge) or not self._vendors.pkce, "device: no challenge")
        user_code, device_code = f"CODE-{next(self._count):04}", self._new("device")
        self._devices[user_code] = device_code, asked
        url = "https://vendor.example/device"
        answer = {
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": url,
            "interval": self.poll_interval_s,
        }
        return Reply.json({**answer, "expires_in": 900})

    def _userinfo(self, request: ReceivedRequest) -> Reply:
        who = self._vendors.userinfo
        assert who is not None
        family = self._access.get((request.header(who.place.header) or "").removeprefix(who.place.prefix))
        if family is None:
            return _error("invalid_token", 401)
        return Reply.json(_told(who.fields, family))

    def _exchange(self, request: ReceivedRequest) -> Reply:
        exchange = self._vendors.exchange
        assert exchange is not None
        if exchange.query_parameter is None:
            grant = (request.header(exchange.place.header) or "").removeprefix(exchange.place.prefix)
        else:
            grant = parse_qs(urlsplit(request.target).query).get(exchange.query_parameter, [""])[-1]
        family = self._access.get(grant)
        if family is None:
            return _error("invalid_token", 401)
        bought = self._new("bought")
        self._bought[bought] = family
        answer = _told(exchange.fields, family)
        _put(answer, exchange.token, bought)
        if exchange.expires_in is not None:
            _put(answer, exchange.expires_in, self.life_s)
        if exchange.expires_at is not None:
            import time

            _put(answer, exchange.expires_at, int(time.time() + self.life_s))
        return Reply.json(answer)

    # --- tokens

    def issue(self) -> str:
        """An access token as if somebody had signed in elsewhere: for imports and exchanges."""
        token = self._new("access")
        self._access[token] = _Family(number=next(self._count))
        return token

    def issue_refresh(self) -> str:
        """A refresh token of a sign-in of its own."""
        token = self._new("refresh")
        self._refresh[token] = _Family(number=next(self._count)), False
        return token

    def _grant(self, family: _Family, *, old: str | None = None) -> Reply:
        access = self._new("access")
        self._access[access] = family
        answer: dict[str, Any] = {"access_token": access, "token_type": "Bearer", "expires_in": self.life_s}
        if old is None:
            answer["refresh_token"] = self._new("refresh")
            self._refresh[answer["refresh_token"]] = family, False
        if self._vendors.claims:
            answer["id_token"] = _jwt(_told(self._vendors.claims, family))
        for name, path in self._vendors.token_fields.items():
            _put(answer, path, _value(name, family))
        return Reply.json(answer)

    def _waiting(self, reply: Reply) -> Script:
        if self._held is None:
            self.most_in_flight = max(self.most_in_flight, 1)
            return reply
        event = asyncio.Event()
        self._held.append(event)
        self.most_in_flight = max(self.most_in_flight, sum(not each.is_set() for each in self._held))
        return [WaitFor(event), reply]

    # --- requests

    def _params(self, request: ReceivedRequest) -> dict[str, str]:
        wanted = "application/json" if self._vendors.encoding == "json" else "application/x-www-form-urlencoded"
        kind = (request.header("content-type") or "").partition(";")[0]
        if kind != wanted:
            self.problems.append(f"{request.path}: the body is {kind or 'of no type'}, the vendor takes {wanted}")
            return {}
        if wanted == "application/json":
            found = request.json()
            return {name: str(value) for name, value in found.items()} if isinstance(found, dict) else {}
        return {name: values[-1] for name, values in parse_qs(request.body.decode()).items()}

    def _is_client(self, request: ReceivedRequest, params: Mapping[str, str]) -> bool:
        oauth = self._vendors
        secret = CLIENT_SECRET if oauth.needs_client_secret else None
        in_body = params.get("client_id") == oauth.client_id and params.get("client_secret") == secret
        pair = base64.b64encode(f"{oauth.client_id}:{secret or ''}".encode()).decode()
        in_header = request.header("authorization") == f"Basic {pair}"
        return {"body": in_body, "basic": in_header, "both": in_body and in_header}[oauth.client_auth]

    def _expect(self, holds: bool, problem: str) -> None:
        if not holds:
            self.problems.append(problem)

    def _new(self, kind: str) -> str:
        return f"fake-{kind}-{next(self._count)}-{secrets.token_hex(4)}"


def _path(url: str) -> str:
    """One for each URL of the vendor, whichever of its hosts it is on."""
    parts = urlsplit(url)
    return f"/{parts.hostname}{parts.path}"


def _error(code: str, status: int = 400) -> Reply:
    return Reply.json({"error": code, "error_description": "as scripted"}, status=status)


def _fits(challenge: str | None, verifier: str | None) -> bool:
    if challenge is None:
        return verifier is None
    digest = hashlib.sha256((verifier or "").encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == challenge


def _value(name: str, family: _Family) -> str:
    return f"{name}-{family.number}"


def _told(fields: Mapping[str, FieldPath], family: _Family) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    for name, path in fields.items():
        _put(answer, path, _value(name, family))
    return answer


def _put(answer: dict[str, Any], path: FieldPath, value: object) -> None:
    for key in path[:-1]:
        answer = answer.setdefault(key, {})
    answer[path[-1]] = value


def _jwt(claims: Mapping[str, Any]) -> str:
    parts = (msgspec.json.encode(part) for part in ({"alg": "none"}, claims))
    return ".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), "unsigned"])
