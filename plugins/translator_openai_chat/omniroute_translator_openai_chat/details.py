"""`reasoning_details`: thinking with the vendor's signature or in its cipher, as some servers of this dialect give it.

Their clients hand the list back as it came. In a stream it comes in pieces, which are joined here. Only what is signed or
sealed is kept: the words alone stand in the reasoning as well.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Raw

from omniroute.api import Part
from omniroute_translator_openai_chat.wire import DIALECT, ReasoningDetail

DETAILS = "reasoning_details"
JOINED = ("text", "summary", "data")
"""Fields that grow from piece to piece; of others the last word counts."""
ENTRIES = msgspec.json.Decoder(list[Raw])


class Details:
    """Of the reasoning that is being read."""

    def __init__(self) -> None:
        self._found: dict[tuple[str | None, int | None], ReasoningDetail] = {}

    def add(self, pieces: Iterable[ReasoningDetail]) -> None:
        for piece in pieces:
            known = self._found.setdefault((piece.type, piece.index), ReasoningDetail())
            for name in piece.__struct_fields__:
                value = getattr(piece, name)
                if value is not None:
                    before = getattr(known, name) if name in JOINED else None
                    setattr(known, name, value if before is None else before + value)

    @property
    def are_signed(self) -> bool:
        return any(each.signature or each.data for each in self._found.values())

    def take(self) -> dict[str, dict[str, Any]]:
        """As metadata of the reasoning; empty where nothing is signed."""
        signed = self.are_signed
        found, self._found = list(self._found.values()), {}
        return {DIALECT: {DETAILS: Raw(msgspec.json.encode(found))}} if signed else {}


def details_of(parts: Iterable[Part]) -> Raw | None:
    """Those of all the reasoning, as one list."""
    entries = [entry for part in parts for entry in _entries(part.provider_metadata.get(DIALECT, {}).get(DETAILS))]
    return Raw(msgspec.json.encode(entries)) if entries else None


def _entries(details: Any) -> Iterator[Any]:
    """`Raw` as it was read, or a list where it came out of a carrier."""
    if details is None:
        return
    try:
        yield from ENTRIES.decode(details) if isinstance(details, Raw) else details
    except (msgspec.DecodeError, TypeError):
        yield details
