"""What the management of accounts is given and gives back."""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from omniroute.contracts import Limits
from omniroute.credentials.sign_ins import SignInState

__all__ = [
    "AccountView",
    "AddAccount",
    "BeginSignIn",
    "EditAccount",
    "Paste",
    "RenameAccount",
    "Reset",
    "SignInView",
    "State",
    "VaultView",
]

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Priority = Annotated[int, Meta(ge=1, le=100)]
State: TypeAlias = Literal["usable", "paused", "locked", "needs_login"]


class AddAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    provider: str
    name: Name = "default"
    api_key: str | None = None
    """A key or token; None for keyless providers."""
    base_url: str | None = None
    """Instead of the provider's own API root."""
    priority: Priority = 50
    limits: Limits = Limits()
    """What may be asked of it."""
    proxy: str | None = None
    """URL of the HTTP proxy that everything of this account goes through."""
    scheme: str | None = None
    """Name of the auth scheme, where the provider has several."""
    other_clients: bool = False
    """A subscription may be used by clients that are not the vendor's own. Read the provider's terms first."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.provider}/{self.name})"


class BeginSignIn(AddAccount, frozen=True, kw_only=True, forbid_unknown_fields=True):
    paste: bool = False
    """No browser can reach this machine: the address it ends at will be pasted."""
    again: bool = False
    """The account exists, and gets new tokens."""
    replace: bool = False
    """Also when they are another person's."""


class SignInView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    provider: str
    state: SignInState
    changed: int
    """Rises with each change; ask with it as `after`."""
    message: str | None = None
    url: str | None = None
    """To be opened in a browser."""
    code: str | None = None
    """To be typed there."""
    expires_in_s: float | None = None
    redirect_uri: str | None = None
    """Where the browser will end; its address can be pasted."""
    is_listening: bool = False
    """The browser comes back by itself."""
    note: str | None = None
    account: "AccountView | None" = None
    error: Mapping[str, str | None] | None = None


class Paste(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    text: Annotated[str, Meta(max_length=16_384)]
    """The whole address that the browser ended at, or the code that it shows."""

    def __repr__(self) -> str:
        return "Paste(***)"


class EditAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays as it is."""

    priority: Priority | None = None
    paused: bool | None = None
    other_clients: bool | None = None
    proxy: str | None = None
    """Empty for none."""

    def __repr__(self) -> str:
        return "EditAccount(***)"


class RenameAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Name


class Reset(msgspec.Struct, frozen=True, kw_only=True):
    """What was forgotten of an account."""

    id: str
    cleared: int
    """Cooldowns and open circuits."""


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    provider: str
    name: str
    base_url: str
    priority: int
    origin: Literal["settings", "database", "discovered", "builtin"]
    credential: bool
    """Whether it has one."""
    state: State
    reason: str | None = None
    """Why it is locked, or how its last refresh failed."""
    models: int | None = None
    """How many its live list has; None where none was read."""
    limits: Limits = Limits()
    proxy: str | None = None
    """Without user and password."""
    other_clients: bool = False
    identity: str | None = None
    """Whose it is, where the vendor said so."""
    plan: str | None = None
    expires_at_s: float | None = None
    """Unix time at which its token ends; it is renewed before."""
    refreshed_at_s: float | None = None
    """Unix time."""


class VaultView(msgspec.Struct, frozen=True, kw_only=True):
    key_id: str
