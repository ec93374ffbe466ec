"""API keys, on both sides: client keys for the model API, and upstream keys as the auth scheme `api-key`.

A client may send its key in any of the places its SDK knows. Different keys in several of them are refused, as two parts
of a gateway could otherwise believe different ones. With `[auth] require_client_key = false` nobody needs a key: one that
is known still says who is calling, and any other text is taken for the placeholder that many clients insist on.
"""

from collections.abc import Generator, Mapping

from omniroute.api import (
    AuthenticationFailed,
    AuthStep,
    ClientKeys,
    Credential,
    Headers,
    InvalidRequest,
    Principal,
    ProviderFacts,
    Secret,
    Settings,
    hookimpl,
)

__all__ = ["ApiKeyAuthenticator", "ApiKeyScheme", "register_auth_schemes", "register_authenticators"]

LOCAL = Principal(key_id="local", name="local")
MAX_KEY_CHARS = 8192


class ApiKeyAuthenticator:
    """Reads `Authorization: Bearer`, `x-api-key`, `x-goog-api-key` and `?key=`; looks the key up in memory."""

    def __init__(self, keys: ClientKeys, *, required: bool) -> None:
        self._keys = keys
        self._required = required

    async def authenticate(self, headers: Headers, query: Mapping[str, str], peer: str) -> Principal | None:
        presented = _presented(headers, query)
        if len(presented) > 1:
            raise InvalidRequest(
                "the request carries different keys",
                why="Authorization, x-api-key, x-goog-api-key and ?key= must agree where more than one is set",
                fix="send the key in one place",
            )
        for key in presented:
            if found := self._keys.match(key):
                return Principal(key_id=found.id, name=found.name, loss=found.loss, limits=found.limits)
        if not self._required:
            return LOCAL
        if presented:
            raise AuthenticationFailed
        return None


def _presented(headers: Headers, query: Mapping[str, str]) -> set[str]:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    keys = {
        token.strip() if scheme.lower() == "bearer" else "",
        headers.get("x-api-key", ""),
        headers.get("x-goog-api-key", ""),
        query.get("key", ""),
    }
    keys.discard("")
    return keys


class ApiKeyScheme:
    """An upstream key somebody pasted: nothing to exchange, nothing to renew."""

    name = "api-key"
    interactive = False

    def sign_in(self, facts: ProviderFacts, given: Mapping[str, Secret]) -> Generator[AuthStep, None, Credential]:
        yield from ()
        key = given["api_key"].reveal().strip() if "api_key" in given else ""
        if not key:
            raise InvalidRequest(
                f"no API key was given for {facts.name}",
                fix=f"give it on standard input: `omniroute account add {facts.name} --api-key-stdin`",
                param="api_key",
            )
        if len(key) > MAX_KEY_CHARS or not key.isascii() or not key.isprintable() or " " in key:
            raise InvalidRequest(
                f"what was given for {facts.name} is no API key",
                why="a key is one line of printable ASCII without spaces",
                param="api_key",
            )
        return Credential(access=Secret(key))

    def refresh(self, facts: ProviderFacts, credential: Credential) -> Generator[AuthStep, None, Credential]:
        yield from ()
        return credential


@hookimpl
def register_authenticators(settings: Settings, keys: ClientKeys) -> list[ApiKeyAuthenticator]:
    return [ApiKeyAuthenticator(keys, required=settings.auth.require_client_key)]


@hookimpl
def register_auth_schemes() -> list[ApiKeyScheme]:
    return [ApiKeyScheme()]
