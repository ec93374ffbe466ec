"""Parts of an upstream's answer on their way: what has been said of each, so that nothing is said twice.

The input of a custom tool is free text on the wire and, everywhere else, a string inside `{"input": …}`.
"""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Raw

from omniroute.api import (
    Event,
    MetadataDelta,
    Part,
    ReasoningDelta,
    ReasoningPart,
    StreamBroken,
    TextDelta,
    TextPart,
    ToolArgumentsDelta,
    ToolCallPart,
)
from omniroute_translator_openai_responses.events import ItemWire, Voice

OPEN_INPUT, CLOSE_INPUT = '{"input":"', '"}'
HIGH_SURROGATES = ("\ud800", "\udbff")
OBJECT = msgspec.json.Decoder(dict[str, Raw])
DELTA_OF: dict[type, type[TextDelta | ReasoningDelta | ToolArgumentsDelta]] = {
    ReasoningPart: ReasoningDelta,
    ToolCallPart: ToolArgumentsDelta,
}


class Slot:
    """A part, and what has been said of it."""

    def __init__(self, index: int, part: Part) -> None:
        self.index = index
        self.part = part
        self.is_free = False
        """The input of a custom tool."""
        self._delta = DELTA_OF.get(type(part), TextDelta)
        self._said: list[str] = []
        self._half = ""
        """The first half of a surrogate pair, held back until the second comes."""

    def open_input(self) -> Sequence[Event]:
        """Before the first word of a custom tool's input."""
        opened = self._say_as_is(OPEN_INPUT)
        self.is_free = True
        return opened

    def say(self, text: str) -> Sequence[Event]:
        text = self._mended(text)
        return self._say_as_is(escaped(text) if self.is_free else text)

    def say_rest(self, whole: str) -> Sequence[Event]:
        """Say what of a text has not been said yet; nothing of one that has been told otherwise."""
        self._half = ""
        told = escaped(whole) if self.is_free else whole
        said = "".join(self._said).removeprefix(OPEN_INPUT if self.is_free else "")
        return self._say_as_is(told[len(said) :]) if told.startswith(said) else ()

    def complete(self, whole: Part) -> Iterator[Event]:
        """Say what is left of the part, now that it is whole."""
        self._half = ""
        said, text = "".join(self._said), text_of(whole)
        told_otherwise = CLOSE_INPUT if self.is_free else ""
        yield from self._say_as_is(text[len(said) :] if text.startswith(said) else told_otherwise)
        if whole.provider_metadata != self.part.provider_metadata:
            yield MetadataDelta(index=self.index, provider_metadata=whole.provider_metadata)

    def close_call(self) -> Sequence[Event]:
        """End a call whose end the upstream has forgotten. Raises `StreamBroken` when it is only half there."""
        said = "".join(self._said)
        rest = CLOSE_INPUT if self.is_free else "" if said else "{}"
        try:
            OBJECT.decode(said + rest)
        except (msgspec.DecodeError, RecursionError):
            raise StreamBroken("the upstream's stream ended within a tool call") from None
        return self._say_as_is(rest)

    def _say_as_is(self, text: str) -> Sequence[Event]:
        if not text:
            return ()
        self._said.append(text)
        return (self._delta(index=self.index, text=text),)

    def _mended(self, text: str) -> str:
        """`text` with halves of surrogate pairs joined; a half that stays alone becomes U+FFFD."""
        if not self._half:
            if text.isascii():
                return text
            try:
                text.encode()
            except UnicodeEncodeError:
                pass
            else:
                return text
        text, self._half = self._half + text, ""
        if HIGH_SURROGATES[0] <= text[-1] <= HIGH_SURROGATES[1]:
            self._half, text = text[-1], text[:-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Item:
    """An output item, with a slot for each of its parts."""

    def __init__(self, wire: ItemWire) -> None:
        self.wire = wire
        self.slots: dict[int, Slot] = {}
        """By place among the item's parts."""
        self.voice: Voice | None = None
        """Reasoning is told as its summary or as itself; the first one counts."""
        self.paragraph = 0
        self.waiting = ""
        """Arguments that came before the call's name."""
        self.is_done = False


def text_of(part: Part) -> str:
    match part:
        case ToolCallPart():
            return part.arguments
        case TextPart() | ReasoningPart():
            return part.text
        case _:
            return ""


def emptied(part: Part) -> Part:
    """The part before anything is said of it. What a vendor wants echoed comes at the end."""
    match part:
        case ToolCallPart():
            return msgspec.structs.replace(part, arguments="")
        case ReasoningPart():
            return ReasoningPart(text="")
        case TextPart():
            return msgspec.structs.replace(part, text="")
        case _:
            return part


def escaped(text: str) -> str:
    return msgspec.json.encode(text).decode()[1:-1]
