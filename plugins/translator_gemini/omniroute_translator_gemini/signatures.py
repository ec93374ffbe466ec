"""Thought signatures: the vendor's own, and what other vendors want echoed, riding in their place.

Clients of this dialect hand back one opaque field, `thoughtSignature`; it is base64, and some decode and encode it anew. So other
dialects' metadata goes to them as a carrier, wrapped in base64, and is unwrapped when it comes back; it never goes upstream.

A client may keep tool calls and drop thoughts (the vendor's own command line does). So a call also carries the thoughts of other
vendors that led to it, and gives them back where they are missing.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from omniroute.api import ReasoningPart, carried, carry
from omniroute_translator_gemini.wire import DIALECT, Metadata, own

__all__ = ["PLACEHOLDER", "Signed", "is_foreign", "read_signature", "shown_signature"]

PLACEHOLDER = "skip_thought_signature_validator"
"""Documented for calls whose signature nobody has; the service then does not check it."""

_KEY = "thought_signature"
WRAPPED = base64.b64encode(carry({"": {}}).encode())[:8].decode()
"""How a wrapped carrier begins: its mark, and the bracket every carrier opens with."""


class _Thought(msgspec.Struct):
    text: str
    metadata: Metadata


class _Own(msgspec.Struct):
    """What rides in a carrier under this dialect's name."""

    thought_signature: str | None = None
    thoughts: list[_Thought] = []


class Signed:
    """What a client's `thoughtSignature` holds."""

    __slots__ = ("metadata", "thoughts")

    def __init__(self, metadata: Metadata, thoughts: Sequence[ReasoningPart] = ()) -> None:
        self.metadata = metadata
        self.thoughts = thoughts


def read_signature(signature: str | None) -> Signed:
    """Undo `shown_signature`. A damaged carrier holds nothing, and a placeholder is nobody's signature."""
    if not signature or signature == PLACEHOLDER:
        return Signed({})
    if not signature.startswith(WRAPPED):
        return Signed({DIALECT: {_KEY: signature}})
    metadata = _unwrapped(signature)
    try:
        mine = msgspec.convert(metadata.pop(DIALECT, {}), _Own)
    except msgspec.ValidationError:
        mine = _Own()
    if mine.thought_signature is not None:
        metadata[DIALECT] = {_KEY: mine.thought_signature}
    return Signed(metadata, [ReasoningPart(text=each.text, provider_metadata=each.metadata) for each in mine.thoughts])


def _unwrapped(signature: str) -> Metadata:
    text = signature.rstrip("=")  # the two alphabets of base64 do not differ for a carrier's few characters
    try:
        return carried(base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode()) or {}
    except (binascii.Error, UnicodeDecodeError):
        return {}


def is_foreign(metadata: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether another dialect wants something echoed."""
    return any(fields for dialect, fields in metadata.items() if dialect != DIALECT)


def shown_signature(metadata: Metadata, thoughts: Sequence[ReasoningPart] = ()) -> str | None:
    """What the client gets as `thoughtSignature`: the vendor's own to the byte, a carrier where others are concerned."""
    signature = own(metadata).get(_KEY)
    if not thoughts and not is_foreign(metadata):
        return signature
    kept: Metadata = {dialect: fields for dialect, fields in metadata.items() if dialect != DIALECT and fields}
    mine: dict[str, Any] = {_KEY: signature} if signature else {}
    if thoughts:
        mine["thoughts"] = [_Thought(text=thought.text, metadata=thought.provider_metadata) for thought in thoughts]
    if mine:
        kept[DIALECT] = mine
    return base64.b64encode(carry(kept).encode()).decode()
