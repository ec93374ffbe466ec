"""What other vendors want back, in the fields of this dialect that its clients return to the byte.

Reasoning brings it along in its `signature`, or as `redacted_thinking` where there are no words to show. It always does, if
with nothing: the service refuses thinking it has not signed, so ours has to be known when it comes back. A call has no such
field: an empty thinking block in front of it holds what is its own, and its id.

All of that is undone on the way in. It never goes to an upstream.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from omniroute.api import Loss, Message, Part, ReasoningPart, Source, ToolCallPart, carried, carried_places, carry
from omniroute_translator_anthropic.tools import fitting_id
from omniroute_translator_anthropic.wire import DIALECT, Metadata, Wire, own, place_of

__all__ = ["Carriers", "call_carrier", "foreign", "seal"]

CARRIER = carry({}).partition(".")[0] + "."
"""How a carrier begins."""
CALL_ID = "call_id"
FIELDS = {"signature": "signature", "redacted_data": "data"}
"""Where a carrier may be, in our metadata and on the wire."""


# --- to the client ----------------------------------------------------------------------------------------------------


def foreign(metadata: Metadata) -> Metadata:
    """What rides under other dialects' names."""
    return {dialect: fields for dialect, fields in metadata.items() if dialect != DIALECT and fields}


def seal(mine: Mapping[str, Any], others: Metadata, *, has_words: bool) -> Wire:
    """What reasoning needs in `mine`, its metadata of this dialect, to be shown to a client."""
    if any(mine.get(name) for name in FIELDS):
        return {}
    if has_words:
        return {"signature": carry(others)}
    return {"redacted_data": carry(others)} if others else {}


def call_carrier(call_id: str, others: Metadata) -> Wire:
    """The block that goes with a call."""
    sealed = carry({**others, DIALECT: {CALL_ID: fitting_id(call_id)}})
    return {"type": "thinking", "thinking": "", "signature": sealed}


# --- and back ---------------------------------------------------------------------------------------------------------


class Carriers(msgspec.Struct):
    """Opens those of one request: `open` each assistant turn's content, then `close`."""

    losses: list[Loss] = []
    _of_calls: dict[str, Metadata] = {}

    def open(self, content: Sequence[Part]) -> list[Part]:
        """The parts, without those that were nothing but carriers."""
        opened = [self._opened(part) if type(part) is ReasoningPart else part for part in content]
        return [part for part in opened if part is not None]

    def _opened(self, part: ReasoningPart) -> ReasoningPart | None:
        mine = own(part.provider_metadata)
        field = next((name for name in FIELDS if _is_carrier(mine.get(name))), None)
        if field is None:
            return part
        pointer, found = place_of(part), carried(mine[field])
        if found is None:
            self.losses.append(
                Loss(pointer=f"{pointer}/{FIELDS[field]}", kind="dropped", reason="it came back damaged")
            )
            found = {}
        call_id = found.pop(DIALECT, {}).get(CALL_ID)
        if isinstance(call_id, str):
            self._of_calls[call_id], found = found, {}
        if left := {name: value for name, value in mine.items() if name != field}:
            found[DIALECT] = left
        if not part.text and not found:
            return None
        source = Source(pointer, carried_places(foreign(found), f"/{FIELDS[field]}"))
        return msgspec.structs.replace(part, provider_metadata=found, source=source)

    def close(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """Give the calls what is theirs."""
        if not self._of_calls:
            return tuple(messages)
        return tuple(
            msgspec.structs.replace(message, parts=tuple(map(self._complete, message.parts))) for message in messages
        )

    def _complete(self, part: Part) -> Part:
        if not isinstance(part, ToolCallPart) or part.id not in self._of_calls:
            return part
        found = self._of_calls[part.id]
        source = part.source and Source(part.source.pointer, {**part.source.fields, **carried_places(found, "")})
        return msgspec.structs.replace(part, provider_metadata={**part.provider_metadata, **found}, source=source)


def _is_carrier(value: object) -> bool:
    return isinstance(value, str) and value.startswith(CARRIER)
