"""Who signed what: keeps signatures, encrypted reasoning and the like away from everybody but their maker.

A vendor's opaque text is good for that vendor only; sent elsewhere it is refused ("invalid signature"). Each text that passes
on its way to a client is remembered by its digest with the provider that made it. When a later request brings it back for
another provider it is taken out, with a loss; it is never changed and never minted. Texts nobody remembers go through, and an
upstream that refuses them gets the request once more without any.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from omniroute.carrier import MARKS
from omniroute.contracts import Translator
from omniroute.model import (
    ChatRequest,
    Event,
    Loss,
    Message,
    MetadataDelta,
    Part,
    PartStart,
    ReasoningPart,
)

__all__ = ["Passports", "has_carrier", "without_signatures"]

MAX_REMEMBERED = 200_000
"""Digests of 8 bytes: about 25 MB when full, then the oldest half goes."""
DIGEST_BYTES = 8


def has_carrier(body: bytes) -> bool:
    """The body brings another dialect's metadata in an opaque field; it cannot be relayed as it is."""
    return any(mark in body for mark in MARKS)


class Passports:
    """Which provider made which opaque text. One per gateway; in memory, as losing it costs one retry."""

    def __init__(self, translators: Iterable[Translator]) -> None:
        self._origins: dict[bytes, str] = {}
        self._marks: dict[str, tuple[bytes, re.Pattern[bytes]]] = {
            translator.dialect: (translator.opaque_mark, re.compile(translator.opaque_pattern))
            for translator in translators
            if translator.opaque_mark
        }
        self._keys = frozenset(key for translator in translators for key in translator.opaque_keys)

    # --- on the way to a client ---------------------------------------------------------------------------------------

    def watcher(self, dialect: str, origin: str) -> Callable[[bytes], None] | None:
        """Something to show relayed bytes of this dialect to; None when it has no opaque fields."""
        found = self._marks.get(dialect)
        if found is None:
            return None
        mark, pattern = found

        def watch(data: bytes) -> None:
            if mark in data:
                for text in pattern.findall(data):
                    self._remember(_plain(text), origin)

        return watch

    def remember(self, event: Event, origin: str) -> None:
        """Note what a translated answer's event carries."""
        if isinstance(event, MetadataDelta):
            self._remember_metadata(event.provider_metadata, origin)
        elif isinstance(event, PartStart) and event.part.provider_metadata:
            self._remember_metadata(event.part.provider_metadata, origin)

    def remember_parts(self, parts: Iterable[Part], origin: str) -> None:
        for part in parts:
            if part.provider_metadata:
                self._remember_metadata(part.provider_metadata, origin)

    def _remember_metadata(self, metadata: Mapping[str, Mapping[str, Any]], origin: str) -> None:
        for values in metadata.values():
            for key, value in values.items():
                if key in self._keys and isinstance(value, str):
                    self._remember(value.encode(), origin)

    def _remember(self, text: bytes, origin: str) -> None:
        if len(self._origins) >= MAX_REMEMBERED:
            kept = list(self._origins.items())[MAX_REMEMBERED // 2 :]
            self._origins = dict(kept)
        self._origins[_digest(text)] = origin

    # --- on the way to an upstream ------------------------------------------------------------------------------------

    def found_in(self, dialect: str, body: bytes) -> list[bytes]:
        """The opaque texts of a request."""
        found = self._marks.get(dialect)
        if found is None or found[0] not in body:
            return []
        return list(map(_plain, found[1].findall(body)))

    def all_good(self, texts: Iterable[bytes], provider: str) -> bool:
        """None of them is known to be somebody else's."""
        return all(self._origins.get(_digest(text), provider) == provider for text in texts)

    def foreign_to(self, provider: str) -> Callable[[str, Any], bool]:
        """Whether a metadata value (by key) is known to be another provider's."""

        def foreign(key: str, value: Any) -> bool:
            if key not in self._keys or not isinstance(value, str):
                return False
            return self._origins.get(_digest(value.encode()), provider) != provider

        return foreign

    def any(self, key: str, _: Any) -> bool:
        """Whether a metadata key names something signed at all."""
        return key in self._keys


def _plain(text: bytes) -> bytes:
    """A JSON string's value; some encoders spell `+`, `/` or `=` as escapes."""
    return text if b"\\" not in text else msgspec.json.decode(b'"%b"' % text, type=str).encode()


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=DIGEST_BYTES).digest()


def without_signatures(request: ChatRequest, is_foreign: Callable[[str, Any], bool]) -> ChatRequest:
    """The request without the signed values that `is_foreign` picks, and with a loss for each; the same object if none.

    Reasoning whose signature goes loses its standing and goes as a whole; other parts only lose the signature.
    """
    losses: list[Loss] = []
    messages = tuple(
        _stripped(message, f"/messages/{index}", is_foreign, losses) for index, message in enumerate(request.messages)
    )
    if not losses:
        return request
    kept = tuple(message for message in messages if message.parts)
    return msgspec.structs.replace(request, messages=kept, losses=(*request.losses, *losses))


def _stripped(message: Message, pointer: str, is_foreign: Callable[[str, Any], bool], losses: list[Loss]) -> Message:
    parts: list[Part] = []
    before = len(losses)
    for index, part in enumerate(message.parts):
        metadata = {
            dialect: {key: value for key, value in values.items() if not is_foreign(key, value)}
            for dialect, values in part.provider_metadata.items()
        }
        if metadata == part.provider_metadata:
            parts.append(part)
            continue
        reason = "signed by another provider, which alone can read it"
        losses.append(Loss(pointer=f"{pointer}/content/{index}", kind="dropped", reason=reason))
        if not isinstance(part, ReasoningPart):
            left = {dialect: values for dialect, values in metadata.items() if values}
            parts.append(msgspec.structs.replace(part, provider_metadata=left))
    return message if len(losses) == before else msgspec.structs.replace(message, parts=tuple(parts))
