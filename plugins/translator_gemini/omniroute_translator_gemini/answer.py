"""What a streamed answer and a whole one have in common on the client's side: their parts, and what stands around them."""

from collections.abc import Iterable, Sequence

from omniroute.api import AudioPart, FilePart, ImagePart, Ledger, Part, ReasoningPart, TextPart, ToolCallPart
from omniroute_translator_gemini.content import extras, kept_part
from omniroute_translator_gemini.media import media_wire
from omniroute_translator_gemini.signatures import is_foreign, shown_signature
from omniroute_translator_gemini.tools import call_arguments
from omniroute_translator_gemini.wire import Wire

__all__ = ["EMPTY", "call_wire", "identity", "is_echoed", "signature_wire", "whole_parts", "whole_wire"]

EMPTY: Wire = {"text": ""}


def identity(answer_id: str, model: str) -> Wire:
    """The fields that name the answer."""
    return {"modelVersion": model, **({"responseId": answer_id} if answer_id else {})}


def is_echoed(part: Part) -> bool:
    """Whether these are thoughts that another vendor wants to see again, along with the call they led to."""
    return isinstance(part, ReasoningPart) and is_foreign(part.provider_metadata)


def call_wire(part: ToolCallPart, thoughts: Sequence[ReasoningPart]) -> Wire:
    """A whole call. `thoughts`: those to be echoed that led to it."""
    call = {"id": part.id, "name": part.name, "args": call_arguments(part.arguments, "")}
    return {"functionCall": call, **_signed(part, thoughts)}


def signature_wire(part: TextPart | ReasoningPart) -> Wire | None:
    """What a client gets at the end of a part that was sent in pieces, if there is anything."""
    signed = _signed(part) if isinstance(part, ReasoningPart) else extras(part)
    if not signed:
        return None
    return {**EMPTY, **signed, **({"thought": True} if isinstance(part, ReasoningPart) else {})}


def _signed(part: ToolCallPart | ReasoningPart, thoughts: Sequence[ReasoningPart] = ()) -> Wire:
    signature = shown_signature(part.provider_metadata, thoughts)
    return {"thoughtSignature": signature} if signature else {}


def whole_wire(part: Part) -> Wire | None:
    """A part other than a call, with all of its content; None when there is nothing to show."""
    if (kept := kept_part(part)) is not None:
        return kept
    match part:
        case TextPart() | ReasoningPart():
            signed = signature_wire(part)
            if signed is None and not part.text:
                return None
            thought = {"thought": True} if isinstance(part, ReasoningPart) else {}
            return {**(signed or {}), **thought, "text": part.text}
        case ImagePart() | FilePart() | AudioPart():
            return {**media_wire(part, "", Ledger()), **extras(part)}
        case _:
            return None


def whole_parts(parts: Iterable[Part]) -> list[Wire]:
    wires: list[Wire] = []
    thoughts: list[ReasoningPart] = []
    for part in parts:
        if isinstance(part, ToolCallPart):
            wires.append(call_wire(part, thoughts))
            thoughts = []
            continue
        if isinstance(part, ReasoningPart) and is_echoed(part):
            thoughts.append(part)
        if (wire := whole_wire(part)) is not None:
            wires.append(wire)
    return wires or [EMPTY]
