"""What vendors answer: JSON objects, the values in them, the words with which they refuse. Never a token in a message."""

import base64
import binascii
import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from omniroute.api import FieldPath, HttpResponse, Secret, UpstreamGarbled

__all__ = ["claims_of", "error_code", "object_of", "picked", "seconds_at", "secret_at", "value_at"]

MAX_VALUE_CHARS = 2048
CODE = re.compile(r"[A-Za-z0-9_.:-]{1,80}")


def object_of(response: HttpResponse) -> dict[str, Any]:
    """The body as a JSON object. Raises `UpstreamGarbled`."""
    found = _decoded(response.body)
    if not isinstance(found, dict):
        kind = response.headers.get("content-type", "of no type").partition(";")[0][:60]
        raise UpstreamGarbled(f"the answer is no JSON object but {kind}", status=None)
    return found


def error_code(response: HttpResponse) -> str | None:
    """The vendor's own word for what went wrong, from any of the forms in use. None where there is none.

    GitHub sends errors with status 200, so the status says nothing here.
    """
    found = _decoded(response.body)
    if not isinstance(found, dict):
        return None
    error = found.get("error")
    inner = error if isinstance(error, dict) else {}
    for word in (error, inner.get("code"), inner.get("type"), found.get("error_code"), found.get("code")):
        if isinstance(word, str) and CODE.fullmatch(word):
            return word
    return "error" if error else None


def value_at(found: object, path: FieldPath) -> Any:
    for key in path:
        if not isinstance(found, dict):
            return None
        found = found.get(key)
    return found


def secret_at(found: object, path: FieldPath) -> Secret | None:
    value = value_at(found, path)
    return Secret(value) if isinstance(value, str) and value else None


def seconds_at(found: object, path: FieldPath | None) -> float | None:
    """A positive number of seconds, also where it is written as text."""
    value = None if path is None else value_at(found, path)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def picked(found: object, fields: Mapping[str, FieldPath]) -> dict[str, str]:
    """The metadata that is there, as text."""
    values = {name: value_at(found, path) for name, path in fields.items()}
    return {
        name: str(value)
        for name, value in values.items()
        if isinstance(value, str | int) and not isinstance(value, bool) and 0 < len(str(value)) <= MAX_VALUE_CHARS
    }


def claims_of(id_token: object) -> Mapping[str, Any]:
    """What a JWT says. Its signature is not looked at: it came straight from the vendor, over TLS."""
    if not isinstance(id_token, str) or id_token.count(".") != 2:
        return {}
    body = id_token.split(".")[1]
    try:
        found = _decoded(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _decoded(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
