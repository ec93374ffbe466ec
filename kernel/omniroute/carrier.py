"""Carries one dialect's opaque metadata through another dialect's opaque field, and back.

A client must hand signatures and encrypted reasoning back to whoever made them, and most clients drop fields they do not
know. So they ride inside a field the client's dialect treats as opaque (a thinking block's `signature`, a reasoning item's
`encrypted_content`). The mark says that it is a carrier; nothing is minted, changed or looked into.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["carried", "carried_places", "carry"]

MARK = "omr1."
MARKS = (MARK.encode(), base64.b64encode(f"{MARK}e".encode()))
"""One of them stands in every body with a carrier: its mark, or its mark in base64 where a dialect's opaque field is base64
itself. (A carrier holds a JSON object, and `{` is an `e` in base64.)"""
_DECODER = msgspec.json.Decoder(dict[str, dict[str, Any]])


def carry(metadata: Mapping[str, Mapping[str, Any]]) -> str:
    """One line of text that holds `provider_metadata` of other dialects. Deterministic, so that prompt caches keep."""
    return MARK + base64.urlsafe_b64encode(msgspec.json.encode(metadata, order="sorted")).decode().rstrip("=")


def carried(text: str) -> dict[str, dict[str, Any]] | None:
    """What `carry` put in; None when the text is no carrier (or a damaged one)."""
    if not text.startswith(MARK):
        return None
    data = text[len(MARK) :]
    try:
        return _DECODER.decode(base64.urlsafe_b64decode(data + "=" * (-len(data) % 4)))
    except (binascii.Error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        return None


def carried_places(metadata: Mapping[str, Mapping[str, Any]], place: str) -> dict[str, str]:
    """For a `Source`: all that these name stands in the one field that held the carrier."""
    return {name: place for fields in metadata.values() for name in fields}
