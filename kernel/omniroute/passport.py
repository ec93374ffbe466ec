"""Who signed what: keeps signatures, encrypted reasoning and the like away from everybody but their maker.

A vendor's opaque text is good for that vendor only; sent elsewhere it is refused ("invalid signature"). Each text that passes
on its way to a client is remembered by its digest with the provider that made it, and with the account where only that one can
have it read. When a later request brings it back for anybody else it is taken out, with a loss; it is never changed and never minted. Texts nobody remembers go through, and an
upstream that refuses them gets the request once more without any.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw

from omniroute.carrier import MARKS
from omniroute.contracts import Target, Translator
from omniroute.losses import in_source
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

__all__ = ["Origin", "Passports", "has_carrier", "without_signatures"]

MAX_REMEMBERED = 200_000
"""Digests of 8 bytes: about 25 MB when full, then the oldest half goes."""
DIGEST_BYTES = 8
_METADATA = attrgetter("provider_metadata")


def has_carrier(body: bytes, marks: Iterable[bytes] = MARKS) -> bool:
    """The body brings another dialect's metadata in an opaque field; it cannot be relayed as it is. `marks` are those of the
    body's dialect."""
    return _holds(body, marks)


def _holds(body: bytes, marks: Iterable[bytes]) -> bool:
    for mark in marks:  # noqa: SIM110 - a generator for one or two marks costs more than to look for them
        if body.rfind(mark) >= 0:  # `in` takes twice as long to find nothing in 100 kB
            return True
    return False


Origin: TypeAlias = tuple[str, str]
"""Provider and account; an empty account stands for all of them."""


class Passports:
    """Who made which opaque text. One per gateway; in memory, as losing it costs one retry."""

    def __init__(self, translators: Collection[Translator]) -> None:
        self._origins: dict[bytes, Origin] = {}
        self._owners: dict[Origin, Origin] = {}
        """Each once: there are few of them, and many texts."""
        self._marks: dict[str, tuple[tuple[bytes, ...], re.Pattern[bytes]]] = {
            translator.dialect: (translator.opaque_marks, re.compile(translator.opaque_pattern))
            for translator in translators
            if translator.opaque_marks
        }
        self._keys = frozenset(key for translator in translators for key in translator.opaque_keys)
        self._bound = frozenset(each.dialect for each in translators if each.opaque_is_account_bound)

    # --- on the way to a client ---------------------------------------------------------------------------------------

    def watcher(self, dialect: str, maker: Target) -> Callable[[bytes], None] | None:
        """Something to show relayed bytes of this dialect to; None when it has no opaque fields."""
        found = self._marks.get(dialect)
        if found is None:
            return None
        marks, pattern = found

        def watch(data: bytes) -> None:
            if _holds(data, marks):
                for text in pattern.findall(data):
                    self._remember(_plain(text), self._origin(dialect, maker))

        return watch

    def look(self, dialect: str, data: bytes, maker: Target) -> None:
        """The same for a whole answer."""
        found = self._marks.get(dialect)
        if found is not None and _holds(data, found[0]):
            origin = self._origin(dialect, maker)
            for text in found[1].findall(data):
                self._remember(_plain(text), origin)

    def _origin(self, dialect: str, maker: Target) -> Origin:
        owner = (maker.provider, maker.account if dialect in self._bound else "")
        return self._owners.setdefault(owner, owner)

    def remember(self, event: Event, maker: Target) -> None:
        """Note what a translated answer's event carries."""
        if isinstance(event, MetadataDelta):
            self._remember_metadata(event.provider_metadata, maker)
        elif isinstance(event, PartStart) and event.part.provider_metadata:
            self._remember_metadata(event.part.provider_metadata, maker)

    def remember_parts(self, parts: Iterable[Part], maker: Target) -> None:
        for part in parts:
            if part.provider_metadata:
                self._remember_metadata(part.provider_metadata, maker)

    def _remember_metadata(self, metadata: Mapping[str, Mapping[str, Any]], maker: Target) -> None:
        for dialect, values in metadata.items():
            origin = self._origin(dialect, maker)
            for key, value in values.items():
                if key in self._keys:
                    self._remember(_text_of(value), origin)

    def _remember(self, text: bytes, origin: Origin) -> None:
        if len(self._origins) >= MAX_REMEMBERED:
            kept = list(self._origins.items())[MAX_REMEMBERED // 2 :]
            self._origins = dict(kept)
        self._origins[_digest(text)] = origin

    # --- on the way to an upstream ------------------------------------------------------------------------------------

    def found_in(self, dialect: str, body: bytes) -> list[bytes]:
        """The opaque texts of a request or a whole answer."""
        found = self._marks.get(dialect)
        if found is None or not _holds(body, found[0]):
            return []
        return list(map(_plain, found[1].findall(body)))

    def minted_by(self, dialect: str, body: bytes) -> Origin | None:
        """The provider and account that alone can have this request's opaque texts read; None when nobody is known, or every
        account of the provider can. Where several have had a part in it, it is the last."""
        if dialect not in self._bound:
            return None
        for text in reversed(self.found_in(dialect, body)):
            origin = self._origins.get(_digest(text))
            if origin is not None and origin[1]:
                return origin
        return None

    def carried_from(self, request: ChatRequest) -> Origin | None:
        """As `minted_by`, of a request whose opaque texts came as another dialect's metadata."""
        for message in reversed(request.messages):
            for part in reversed(message.parts):
                for dialect in self._bound & part.provider_metadata.keys():
                    for key, value in part.provider_metadata[dialect].items():
                        origin = self._origins.get(_digest(_text_of(value))) if key in self._keys else None
                        if origin is not None:
                            return origin
        return None

    def has_others(self, reader: Target) -> bool:
        """A text is known that is not for this reader. As long as there is none, no request has to be searched for one."""
        for owner in self._owners:  # noqa: SIM110 - there are few, mostly none, and a generator costs more than they do
            if not _may_read(owner, reader):
                return True
        return False

    def has_foreign(self, dialect: str, body: bytes, reader: Target) -> bool:
        """A request holds an opaque text that is known to be somebody else's."""
        return not self.all_good(self.found_in(dialect, body), reader)

    def all_good(self, texts: Iterable[bytes], reader: Target) -> bool:
        """None of them is known to be somebody else's."""
        return all(self._is_good(text, reader) for text in texts)

    def _is_good(self, text: bytes, reader: Target) -> bool:
        origin = self._origins.get(_digest(text))
        return origin is None or _may_read(origin, reader)

    def foreign_to(self, reader: Target) -> Callable[[str, Any], bool]:
        """Whether a metadata value (by key) is known to be somebody else's."""

        def foreign(key: str, value: Any) -> bool:
            return key in self._keys and not self._is_good(_text_of(value), reader)

        return foreign

    def any(self, key: str, _: Any) -> bool:
        """Whether a metadata key names something signed at all."""
        return key in self._keys


def _may_read(origin: Origin, reader: Target) -> bool:
    provider, account = origin
    return provider == reader.provider and account in ("", reader.account)


def _text_of(value: Any) -> bytes:
    """What is remembered of a value. One that is no text may have been through a carrier: the same JSON is the same value."""
    if isinstance(value, str):
        return value.encode()
    return msgspec.json.encode(msgspec.json.decode(value) if isinstance(value, Raw) else value, order="sorted")


def _plain(text: bytes) -> bytes:
    """A JSON string's value; some encoders spell `+`, `/` or `=` as escapes."""
    return text if b"\\" not in text else msgspec.json.decode(b'"%b"' % text, type=str).encode()


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=DIGEST_BYTES).digest()


def without_signatures(
    request: ChatRequest, is_foreign: Callable[[str, Any], bool], *, unsigned_too: bool = False
) -> ChatRequest:
    """The request without the signed values that `is_foreign` picks, and with a loss for each; the same object if none.

    Reasoning whose signature goes loses its standing and goes as a whole, `unsigned_too` all other reasoning as well; other
    parts only lose the signature.
    """
    losses: list[Loss] = []
    messages = tuple(
        [
            _stripped(message, f"/messages/{index}", is_foreign, unsigned_too, losses)
            if unsigned_too or any(map(_METADATA, message.parts))
            else message
            for index, message in enumerate(request.messages)
        ]
    )
    if not losses:
        return request
    kept = tuple(message for message in messages if message.parts)
    return msgspec.structs.replace(request, messages=kept, losses=(*request.losses, *in_source(losses, request)))


def _stripped(
    message: Message, pointer: str, is_foreign: Callable[[str, Any], bool], unsigned_too: bool, losses: list[Loss]
) -> Message:
    parts: list[Part] = []
    before = len(losses)
    for index, part in enumerate(message.parts):
        metadata = {
            dialect: {key: value for key, value in values.items() if not is_foreign(key, value)}
            for dialect, values in part.provider_metadata.items()
        }
        is_signed = metadata != part.provider_metadata
        if not is_signed and not (unsigned_too and isinstance(part, ReasoningPart)):
            parts.append(part)
            continue
        reason = "only its maker can read it, and this goes to another" if is_signed else "no reasoning is taken back"
        losses.append(Loss(pointer=f"{pointer}/content/{index}", kind="dropped", reason=reason))
        if not isinstance(part, ReasoningPart):
            left = {dialect: values for dialect, values in metadata.items() if values}
            parts.append(msgspec.structs.replace(part, provider_metadata=left))
    return message if len(losses) == before else msgspec.structs.replace(message, parts=tuple(parts))
