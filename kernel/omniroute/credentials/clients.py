"""The OAuth client of one's own, from the environment, beneath what the settings say."""

from collections.abc import Mapping

import msgspec

from omniroute.contracts import OAuthFacts, ProviderFacts
from omniroute.secret import Secret

__all__ = ["secret_in", "with_own_client"]


def with_own_client(facts: ProviderFacts, environ: Mapping[str, str]) -> ProviderFacts:
    """The facts with client id and secret of the variables that the vendor's facts name."""
    oauth = facts.oauth
    if oauth is None:
        return facts
    client_id = _first(oauth.client_id_env, environ) or oauth.client_id
    secret = oauth.client_secret or _secret(oauth, environ)
    if client_id == oauth.client_id and secret == oauth.client_secret:
        return facts
    return msgspec.structs.replace(
        facts, oauth=msgspec.structs.replace(oauth, client_id=client_id, client_secret=secret)
    )


def secret_in(facts: ProviderFacts, environ: Mapping[str, str]) -> Secret | None:
    """The client secret that the environment holds, so that it is kept out of logs."""
    return None if facts.oauth is None else _secret(facts.oauth, environ)


def _secret(oauth: OAuthFacts, environ: Mapping[str, str]) -> Secret | None:
    found = _first(oauth.client_secret_env, environ)
    return None if found is None else Secret(found)


def _first(names: tuple[str, ...], environ: Mapping[str, str]) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)
