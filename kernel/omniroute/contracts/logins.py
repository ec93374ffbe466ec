"""Where other programs on this machine keep their sign-in, as facts of the provider whose it is."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from omniroute.contracts.signing_in import FieldPath

__all__ = ["ExpiryUnit", "LoginFile", "LoginPlace", "System"]

System: TypeAlias = Literal["linux", "darwin", "win32"]
ExpiryUnit: TypeAlias = Literal["s", "ms", "date"]
"""Unix time in seconds or milliseconds, or an ISO date."""


class LoginPlace(msgspec.Struct, frozen=True, kw_only=True):
    """One place where the file may be."""

    path: str
    """Below the folder, with slashes on every system: `.claude/.credentials.json`."""
    under: str = "HOME"
    """The environment variable that names the folder; HOME is the user's home on every system."""
    systems: tuple[System, ...] = ()
    """Empty is all."""


class LoginFile(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON file in which a program keeps its sign-in to this provider. It is read on request, and never written."""

    program: str
    """What people call the program: `Claude Code`."""
    name: str
    """What they type to import from it, and what the account is called: `claude-code`."""
    places: tuple[LoginPlace, ...]
    """The first whose variable is set counts, on the systems it is for, and no other is looked at."""
    access: FieldPath
    refresh: FieldPath | None = None
    id_token: FieldPath | None = None
    expires_at: FieldPath | None = None
    """None: where the access token is a JWT, its `exp` says so; else it is not known."""
    expiry_unit: ExpiryUnit = "ms"
    entries: str | None = None
    """The file is an object of several logins; a regular expression that the whole key of each must match. What is under other
    keys may be for another host, where this provider's tokens are not from."""
    metadata: Mapping[str, FieldPath] = {}
    """Name in `Credential.metadata` → where the file has it."""
    elsewhere: Mapping[System, str] = {}
    """Where the program keeps its login instead on that system, and nobody looks: `the Keychain`."""
    source: str = ""
    """Where these facts are from."""
    checked: str | None = None
    """Date (YYYY-MM-DD) they were last compared with it."""
