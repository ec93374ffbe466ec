"""Sign-ins of other programs on this machine, found by the `LoginFile` facts of the providers."""

import base64
import binascii
import datetime
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from omniroute.contracts import ExpiryUnit, FieldPath, LoginFile
from omniroute.importing.files import CannotRead, others_can_read, read
from omniroute.importing.values import Found, ImportProvider, Machine, Tokens
from omniroute.secret import Secret

__all__ = ["claims_of", "expires_at_s", "is_there", "logins_of", "seconds_of", "text_at", "token_of"]

MAX_FILE_BYTES = 1024 * 1024
MAX_TOKEN_CHARS = 16_384
MAX_VALUE_CHARS = 2048
LATEST_S = 253_402_300_799.0
"""The end of the year 9999."""
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def logins_of(provider: ImportProvider, login: LoginFile, machine: Machine) -> Iterator[Found]:
    """What the file holds; nothing when it is not there."""
    place = _place(login, machine)
    if place is None:
        return
    path, root = place
    here = Found(
        provider=provider.name,
        name=login.name,
        source=f"{login.program}, {machine.shown(path)}",
        origin=login.name,
    )
    try:
        found = read(path, root, MAX_FILE_BYTES)
        if found is None:
            if (where := login.elsewhere.get(machine.system)) is not None and path.parent.is_dir():
                raise CannotRead(
                    f"{login.program} keeps its login in {where}, which is not read: omniroute account add {provider.name}"
                )
            return
        content, status = found
        notes = ("other users of this machine can read this file",) if others_can_read(status) else ()
        here = msgspec.structs.replace(here, notes=notes)
        for entry in _entries(login, _object(content)):
            yield _login(here, provider, login, entry)
    except CannotRead as problem:
        yield msgspec.structs.replace(here, problem=str(problem))


def is_there(login: LoginFile, machine: Machine) -> bool:
    """Whether the program has such a file. Opens nothing."""
    place = _place(login, machine)
    try:
        return place is not None and place[0].is_file()
    except OSError:
        return False


def _place(login: LoginFile, machine: Machine) -> tuple[Path, Path] | None:
    """The file, and the folder that it must be in."""
    for place in login.places:
        if place.systems and machine.system not in place.systems:
            continue
        root = machine.home if place.under == "HOME" else machine.environ.get(place.under)
        if root and Path(root).is_absolute():
            return Path(root).joinpath(*place.path.split("/")), Path(root)
    return None


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(content)
    except UNREADABLE:
        raise CannotRead("it is no JSON that can be read") from None
    if not isinstance(found, dict):
        raise CannotRead("it holds no JSON object")
    return found


def _entries(login: LoginFile, found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if login.entries is None:
        yield found
        return
    fitting = [entry for key, entry in found.items() if re.fullmatch(login.entries, key)]
    if not fitting:
        raise CannotRead("it holds no login for this provider")
    yield from (entry for entry in fitting if isinstance(entry, dict))


def _login(here: Found, provider: ImportProvider, login: LoginFile, entry: dict[str, Any]) -> Found:
    tokens = Tokens(
        access=token_of(value_at(entry, login.access)),
        refresh=token_of(value_at(entry, login.refresh)),
        id_token=token_of(value_at(entry, login.id_token)),
    )
    if tokens.access is None and tokens.refresh is None:
        return msgspec.structs.replace(
            here, problem=f"it holds no sign-in: {login.program} is signed out, or uses a key"
        )
    claims = claims_of(tokens.id_token)
    return msgspec.structs.replace(
        here,
        tokens=tokens,
        expires_at_s=expires_at_s(value_at(entry, login.expires_at), login.expiry_unit, tokens.access),
        metadata=_texts(claims, provider.claims) | _texts(entry, login.metadata),
    )


# --- values -----------------------------------------------------------------------------------------------------------


def value_at(found: object, path: FieldPath | None) -> Any:
    for key in path or ():
        found = found.get(key) if isinstance(found, dict) else None
    return None if path is None else found


def text_at(found: object, path: FieldPath) -> str | None:
    value = value_at(found, path)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value)
    return text if 0 < len(text) <= MAX_VALUE_CHARS and text.isprintable() else None


def _texts(found: object, fields: Mapping[str, FieldPath]) -> dict[str, str]:
    return {name: text for name, path in fields.items() if (text := text_at(found, path)) is not None}


def token_of(value: object) -> Secret | None:
    """None for anything that cannot be a token."""
    text = value.strip() if isinstance(value, str) else ""
    if not 0 < len(text) <= MAX_TOKEN_CHARS or not text.isascii() or not text.isprintable() or " " in text:
        return None
    return Secret(text)


def expires_at_s(value: object, unit: ExpiryUnit, access: Secret | None) -> float | None:
    """When the access token ends, in Unix time; by itself where nothing is said and it is a JWT."""
    said = seconds_of(value, unit)
    return seconds_of(claims_of(access).get("exp"), "s") if said is None else said


def seconds_of(value: object, unit: ExpiryUnit) -> float | None:
    try:
        if unit == "date":
            when = datetime.datetime.fromisoformat(value) if isinstance(value, str) else None
            seconds = 0.0 if when is None else (when if when.tzinfo else when.replace(tzinfo=datetime.UTC)).timestamp()
        elif isinstance(value, bool) or not isinstance(value, int | float | str):
            return None
        else:
            seconds = float(value) / (1000.0 if unit == "ms" else 1.0)
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and 0 < seconds <= LATEST_S else None


def claims_of(token: Secret | None) -> Mapping[str, Any]:
    """What a JWT says of itself. Its signature is not looked at: nothing is decided by it but what a plan shows."""
    parts = [] if token is None else token.reveal().split(".")
    if len(parts) != 3:
        return {}
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):  # msgspec's are ValueErrors
        return {}
    return found if isinstance(found, dict) else {}
