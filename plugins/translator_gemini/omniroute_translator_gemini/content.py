"""Canonical parts to the wire's parts, for requests. (Answers have their own few kinds, in `answer`.)"""

import msgspec

from omniroute.api import (
    Ledger,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolNames,
    ToolResultPart,
)
from omniroute_translator_gemini.families import Traits
from omniroute_translator_gemini.media import media_wire
from omniroute_translator_gemini.signatures import is_foreign
from omniroute_translator_gemini.tools import call_arguments
from omniroute_translator_gemini.wire import DIALECT, Malformed, Wire, own, read_object

__all__ = ["SYSTEM_ROLES", "ContentWriter", "Piece", "extras", "kept_part"]

SYSTEM_ROLES = ("system", "developer")
_NOT_FIELDS = frozenset({"thought_signature", "part"})
"""Keys of our metadata that are not written into the part as they are."""


class Piece(msgspec.Struct, kw_only=True):
    """A wire part on its way, and where in the source it came from. Repairs change `wire` in place."""

    pointer: str
    wire: Wire
    call_id: str | None = None
    """Of a call or a result, as the source names it."""
    said: str = ""
    """The text of a result."""
    after: list[Wire] = []
    """What of a result stands behind all results of its turn."""

    @property
    def is_call(self) -> bool:
        return "functionCall" in self.wire

    @property
    def is_result(self) -> bool:
        return "functionResponse" in self.wire


class ContentWriter:
    """Writes the parts of one request, noting what cannot be written."""

    def __init__(self, names: ToolNames, traits: Traits, ledger: Ledger) -> None:
        self._names = names
        self._traits = traits
        self._ledger = ledger

    def pieces(self, message: Message, pointer: str) -> list[Piece]:
        """The message's parts; none for what is empty. `pointer` is the message's own."""
        if message.name is not None:
            self._ledger.dropped(f"{pointer}/name", "messages have no name here")
        parts = ((f"{pointer}/content/{at}", part) for at, part in enumerate(message.parts))
        is_system = message.role in SYSTEM_ROLES
        written = (self._piece(part, at, is_system=is_system) for at, part in parts)
        return [piece for piece in written if piece is not None]

    def _piece(self, part: Part, pointer: str, *, is_system: bool) -> Piece | None:
        self._ledger.foreign(part, pointer, DIALECT)
        if is_system and not isinstance(part, TextPart):
            self._ledger.dropped(pointer, "a system instruction holds text only")
            return None
        if part.cache is not None:
            self._ledger.dropped(f"{pointer}/cache_control", "the dialect has no cache marks")
        if not is_system and (kept := kept_part(part)) is not None:
            return Piece(pointer=pointer, wire=kept)
        match part:
            case ToolResultPart():
                return self._result(part, pointer)
            case ToolCallPart():
                return Piece(pointer=pointer, wire=self._call(part, pointer), call_id=part.id)
            case TextPart() | ReasoningPart():
                wire = self._text(part, pointer)
            case _:
                wire = {**media_wire(part, pointer, self._ledger), **extras(part)}
        return None if wire is None else Piece(pointer=pointer, wire=wire)

    def _text(self, part: TextPart | ReasoningPart, pointer: str) -> Wire | None:
        if isinstance(part, ReasoningPart) and is_foreign(part.provider_metadata):
            if part.text:
                self._ledger.dropped(pointer, "thinking that another vendor has signed is not taken")
            return None
        wire = {"text": part.text, **extras(part)}
        if isinstance(part, ReasoningPart):
            wire["thought"] = True
        return wire if part.text or own(part.provider_metadata) else None

    def _call(self, part: ToolCallPart, pointer: str) -> Wire:
        arguments = call_arguments(part.arguments, f"{pointer}/arguments", self._ledger)
        call: Wire = {"id": part.id} if part.id else {}
        call.update(name=self._names.sent(part.name), args=arguments)
        return {"functionCall": call, **extras(part)}

    # --- results ------------------------------------------------------------------------------------------------------

    def _result(self, part: ToolResultPart, pointer: str) -> Piece:
        texts: list[str] = []
        media: list[Wire] = []
        for at, inner in enumerate(part.parts):
            here = f"{pointer}/content/{at}"
            self._ledger.foreign(inner, here, DIALECT)
            wire = {"text": inner.text} if isinstance(inner, TextPart) else media_wire(inner, here, self._ledger)
            if "text" not in wire:
                media.append(wire)
            elif wire["text"]:
                texts.append(wire["text"])
        said = "\n".join(texts)
        result: Wire = {"id": part.call_id, "name": "", "response": _response(said, is_error=part.is_error)}
        result.update(own(part.provider_metadata))
        piece = Piece(pointer=pointer, wire={"functionResponse": result}, call_id=part.call_id, said=said)
        if media and self._traits.shows_results_media:
            result["parts"] = media
        elif media:
            self._ledger.approximated(pointer, "images and files of a result were sent behind it")
            piece.after = media
        return piece


def _response(text: str, *, is_error: bool) -> Wire:
    """An object goes in as it is, anything else under `result`; what a failed tool said under `error`."""
    if is_error:
        return {"error": text}
    if text.lstrip().startswith("{"):
        try:
            return dict(read_object(text))
        except Malformed:
            pass
    return {"result": text}


def kept_part(part: Part) -> Wire | None:
    """The part as it came, where it is one that only this dialect knows."""
    kept = own(part.provider_metadata).get("part")
    return None if kept is None else {**read_object(kept), **extras(part)}


def extras(part: Part) -> Wire:
    """Fields of the part that only this dialect knows, its signature among them."""
    mine = own(part.provider_metadata)
    wire = {name: value for name, value in mine.items() if name not in _NOT_FIELDS}
    if signature := mine.get("thought_signature"):
        wire["thoughtSignature"] = signature
    return wire
