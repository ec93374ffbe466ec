"""What is found, what is asked of the gateway with it, and what it answers."""

import hashlib
import os
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from omniroute.contracts import FieldPath, LoginFile, ProviderFacts, System
from omniroute.secret import Secret

__all__ = [
    "IMPORTED_FROM",
    "IMPORTED_IDS",
    "Candidate",
    "Found",
    "ImportProvider",
    "ImportSources",
    "Kind",
    "LocalServer",
    "Machine",
    "PlanState",
    "Planned",
    "TakeOver",
    "Tokens",
    "import_provider",
    "token_id",
    "variables_of",
]

IMPORTED_FROM, IMPORTED_IDS = "imported_from", "imported_ids"
"""In a credential's metadata: where it is from, and the ids of the tokens that were there."""
API_KEY = "api-key"

Kind: TypeAlias = Literal["login", "key"]
PlanState: TypeAlias = Literal["new", "same", "renew", "blocked"]
"""`renew`: the account is there, and gets newer tokens of the same login."""


def token_id(token: Secret) -> str:
    """Recognises a token without being one: a keyed hash, which is kept sealed with the account's own credential."""
    return hashlib.blake2b(token.reveal().encode(), digest_size=16, key=b"omniroute imported token").hexdigest()


# --- what may be looked at --------------------------------------------------------------------------------------------


class ImportProvider(msgspec.Struct, frozen=True, kw_only=True):
    """What reading must know of a provider."""

    name: str
    variables: tuple[str, ...] = ()
    """Environment variables that hold a key of it."""
    logins: tuple[LoginFile, ...] = ()
    rotates: bool = True
    """Its refresh tokens work once: two programs must not hold the same."""
    claims: Mapping[str, FieldPath] = {}
    """As `OAuthFacts.claims`."""
    metadata: tuple[str, ...] = ()
    """Names of what it keeps beside a credential."""
    base_url: str = ""


class ImportSources(msgspec.Struct, frozen=True, kw_only=True):
    providers: tuple[ImportProvider, ...]
    prefixes: Mapping[str, str]
    """Name or alias → name."""
    dialects: tuple[str, ...] = ()


class LocalServer(msgspec.Struct, frozen=True, kw_only=True):
    """A model server of this machine, which the gateway finds by itself while it runs."""

    account: str
    display_name: str
    base_url: str
    models: int


def variables_of(facts: ProviderFacts) -> tuple[str, ...]:
    """Environment variables that, by their names, hold keys of the provider: `ACME_API_KEY` for `acme`."""
    if facts.env_keys or facts.auth != API_KEY:
        return facts.env_keys
    return (re.sub(r"\W", "_", facts.name).upper() + "_API_KEY",)


def import_provider(facts: ProviderFacts) -> ImportProvider:
    oauth = facts.oauth
    if oauth is None:
        return ImportProvider(name=facts.name, variables=variables_of(facts), base_url=facts.base_url)
    fields = [oauth.token_fields, oauth.claims]
    fields += [extra.fields for extra in (oauth.userinfo, oauth.exchange) if extra is not None]
    return ImportProvider(
        name=facts.name,
        variables=variables_of(facts),
        logins=facts.logins,
        rotates=oauth.rotates,
        claims=oauth.claims,
        metadata=tuple(sorted({name for named in fields for name in named})),
        base_url=facts.base_url,
    )


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where the person sits."""

    home: Path
    environ: Mapping[str, str]
    system: System
    now_s: float
    """Unix time."""

    @classmethod
    def here(cls) -> "Machine":
        system: System = "win32" if sys.platform == "win32" else "darwin" if sys.platform == "darwin" else "linux"
        return cls(home=Path.home(), environ=os.environ, system=system, now_s=time.time())

    def shown(self, path: Path) -> str:
        return f"~/{path.relative_to(self.home).as_posix()}" if path.is_relative_to(self.home) else str(path)


# --- what was found ---------------------------------------------------------------------------------------------------


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    key: Secret | None = None
    """An API key, or a token that people paste as one."""
    access: Secret | None = None
    refresh: Secret | None = None
    id_token: Secret | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(token_id(token) for token in (self.key, self.access, self.refresh) if token is not None)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One login or key that is here, or one that is here and cannot be read."""

    provider: str
    name: str
    """What the account might be called."""
    source: str
    """Where it is, for people."""
    origin: str
    """The same for programs, and in the same words next time."""
    kind: Kind = "login"
    tokens: Tokens = Tokens()
    expires_at_s: float | None = None
    metadata: Mapping[str, str] = {}
    base_url: str | None = None
    priority: int | None = None
    paused: bool = False
    proxy: Secret | None = None
    moves: bool = False
    """Its refresh token comes along whatever it is: the program that it is from is to be used no more."""
    problem: str | None = None
    """Why it cannot be taken over."""
    notes: tuple[str, ...] = ()


# --- between reading and planning -------------------------------------------------------------------------------------

Text = Annotated[str, Meta(max_length=65_536)]


class Candidate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something to be taken over, without any secret."""

    provider: str
    name: str
    origin: str
    kind: Kind = "login"
    token_ids: tuple[str, ...] = ()
    expires_at_s: float | None = None
    metadata: Mapping[str, Text] = {}


class TakeOver(Candidate, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same with its secrets. What is not here stays where it is."""

    api_key: Text | None = None
    access: Text | None = None
    refresh: Text | None = None
    id_token: Text | None = None
    base_url: str | None = None
    priority: Annotated[int, Meta(ge=1, le=100)] = 50
    paused: bool = False
    proxy: Text | None = None

    def __repr__(self) -> str:
        return f"TakeOver({self.provider}/{self.name})"


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of a candidate."""

    account: str
    """The account's id, as it is or would be."""
    state: PlanState
    why: str | None = None
