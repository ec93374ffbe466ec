"""`extra_content` of a tool call: the one field of the dialect whose content clients hand back as it came.

    {"google": {"thought_signature": "…"}, "omniroute": {"carrier": "…"}}

The thought signature is the vendor's own convention; it lives in `provider_metadata["gemini"]["thought_signature"]`, and what
else stands in the field under our name, so that `extra_content` there, empty or not, says where the signature came from.

`omniroute.carrier` is ours: what other dialects want back (see `carry`) and the reasoning that led to the call, which has no
signed form here. A client that drops the field loses that and nothing else. It is undone on the way in and never sent on.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from omniroute.api import MetadataDelta, ReasoningPart, Source, carried, carried_places, carry
from omniroute_translator_openai_chat.wire import DIALECT

CARRIER = carry({}).partition(".")[0] + "."
"""How a carrier begins."""
GEMINI, SIGNATURE = "gemini", "thought_signature"
THOUGHTS = "thoughts"
OURS = "omniroute"
SEALED = "/extra_content/omniroute/carrier"
"""Where in a call a carrier is."""


class Thought(msgspec.Struct):
    """A reasoning part, as it is carried."""

    text: str
    metadata: dict[str, dict[str, Any]]


class Extra(msgspec.Struct):
    """What `extra_content` says."""

    metadata: dict[str, dict[str, Any]] = {}
    """Of the call."""
    thoughts: list[Thought] = []
    is_signed_openly: bool = False
    """The signature stands in the vendor's own field."""
    is_damaged: bool = False
    """There is a carrier, and it cannot be read."""

    def reasoning(self, at: str) -> list[ReasoningPart]:
        """`at` is the call's pointer."""
        source = Source(at, {"": SEALED, **self.places()}) if self.thoughts else None
        return [ReasoningPart(text=each.text, provider_metadata=each.metadata, source=source) for each in self.thoughts]

    def places(self) -> dict[str, str]:
        """Where in the call stands what its metadata and its thoughts' name."""
        places: dict[str, str] = {}
        for metadata in (self.metadata, *(each.metadata for each in self.thoughts)):
            places |= carried_places({name: fields for name, fields in metadata.items() if name != DIALECT}, SEALED)
        if self.is_signed_openly:
            places[SIGNATURE] = f"/extra_content/google/{SIGNATURE}"
        return places


# --- reading ----------------------------------------------------------------------------------------------------------


def read_extra(value: object) -> Extra:
    """Of a call, by a client or an upstream. What is not ours may have any form."""
    if value is None or value is msgspec.UNSET:
        return Extra()
    if not isinstance(value, dict):
        return Extra(metadata={DIALECT: {"extra_content": value}})
    ours, google = value.get(OURS), value.get("google")
    extra = {name: member for name, member in value.items() if name != OURS}
    signature = google.get(SIGNATURE) if isinstance(google, dict) else None
    if isinstance(google, dict) and isinstance(signature, str):
        extra["google"] = {name: member for name, member in google.items() if name != SIGNATURE}
        if not extra["google"]:
            del extra["google"]
    metadata: dict[str, dict[str, Any]] = {}
    if extra or signature:
        metadata[DIALECT] = {"extra_content": extra}
    if isinstance(signature, str):
        metadata[GEMINI] = {SIGNATURE: signature}
    read = Extra(metadata=metadata, is_signed_openly=isinstance(signature, str))
    return read if ours is None else unsealed(ours, read)


def unsealed(ours: object, read: Extra) -> Extra:
    """`read` is what the rest of the field says."""
    found = carried(ours["carrier"]) if isinstance(ours, dict) and isinstance(ours.get("carrier"), str) else None
    if found is None:
        return msgspec.structs.replace(read, is_damaged=True)
    try:
        thoughts = msgspec.convert(found.pop(DIALECT, {}).get(THOUGHTS, []), list[Thought])
    except msgspec.ValidationError:
        return msgspec.structs.replace(read, is_damaged=True)
    merged = {dialect: {**fields, **read.metadata.get(dialect, {})} for dialect, fields in found.items()}
    return msgspec.structs.replace(read, metadata={**read.metadata, **merged}, thoughts=thoughts)


# --- writing ----------------------------------------------------------------------------------------------------------


def for_upstream(metadata: Mapping[str, Mapping[str, Any]]) -> Any:
    """The field as an upstream gave it, or `UNSET`; a signature that came in another way is not for this dialect."""
    own = metadata.get(DIALECT, {})
    extra = with_signature(own["extra_content"], metadata) if "extra_content" in own else None
    return extra or msgspec.UNSET


def for_client(metadata: Mapping[str, Mapping[str, Any]], thoughts: Sequence[ReasoningPart] = ()) -> Any:
    """The field with everything that is to come back; None when that is nothing. `thoughts` led to the call."""
    extra = with_signature(metadata.get(DIALECT, {}).get("extra_content", {}), metadata)
    sealed = foreign(metadata)
    if thoughts:
        sealed[DIALECT] = {THOUGHTS: [Thought(text=each.text, metadata=each.provider_metadata) for each in thoughts]}
    if sealed and isinstance(extra, dict):
        extra = {**extra, OURS: {"carrier": carry(sealed)}}
    return extra or None


def with_signature(extra: Any, metadata: Mapping[str, Mapping[str, Any]]) -> Any:
    signature = metadata.get(GEMINI, {}).get(SIGNATURE)
    if not signature or not isinstance(extra, dict):
        return extra
    google = extra.get("google")
    return {**extra, "google": {**(google if isinstance(google, dict) else {}), SIGNATURE: signature}}


def foreign(metadata: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What other dialects want back, but for the signature, which has a place of its own."""
    others = {
        dialect: {name: value for name, value in fields.items() if (dialect, name) != (GEMINI, SIGNATURE)}
        for dialect, fields in metadata.items()
        if dialect != DIALECT
    }
    return {dialect: fields for dialect, fields in others.items() if fields}


class Thoughts:
    """The reasoning of an answer that has not been given to a call yet. Goes along with the next one, where it is signed."""

    def __init__(self) -> None:
        self._parts: dict[int, ReasoningPart] = {}
        self._texts: dict[int, list[str]] = {}

    def start(self, index: int, part: ReasoningPart) -> None:
        self._parts[index] = part
        self._texts[index] = [part.text]

    def add(self, index: int, text: str) -> None:
        self._texts[index].append(text)

    def sign(self, event: MetadataDelta) -> None:
        part = self._parts.get(event.index)
        if part is None:
            return
        metadata = dict(part.provider_metadata)
        for dialect, added in event.provider_metadata.items():
            metadata[dialect] = {**metadata.get(dialect, {}), **added}
        self._parts[event.index] = msgspec.structs.replace(part, provider_metadata=metadata)

    def take(self) -> list[ReasoningPart]:
        if not any(is_signed(part) for part in self._parts.values()):
            return []
        taken = [msgspec.structs.replace(part, text="".join(self._texts[index])) for index, part in self._parts.items()]
        self._parts.clear()
        return taken


def is_signed(thought: ReasoningPart) -> bool:
    """Whether another dialect wants the reasoning back."""
    return any(fields for dialect, fields in thought.provider_metadata.items() if dialect != DIALECT)
