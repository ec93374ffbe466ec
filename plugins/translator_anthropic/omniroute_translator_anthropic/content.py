"""Parts to content blocks, for requests. (Answers have their own few kinds, in `answer`.)"""

from collections.abc import Iterable

import msgspec

from omniroute.api import (
    AudioPart,
    FilePart,
    ImagePart,
    Ledger,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolNames,
    ToolResultPart,
)
from omniroute_translator_anthropic.media import left_out, media_block
from omniroute_translator_anthropic.tools import cache_control, call_input
from omniroute_translator_anthropic.wire import DIALECT, STRING, Wire, own, read, read_object

__all__ = ["Block", "ContentWriter", "kept_block", "thinking_block"]

_MARKABLE = frozenset({"text", "image", "document", "tool_use", "tool_result", "search_result"})
_NOT_FIELDS = frozenset({"signature", "redacted_data", "block"})
"""Keys of our metadata that are not written into the block as they are."""


class Block(msgspec.Struct, kw_only=True):
    """A wire block on its way, and where in the source it came from. Repairs change `wire` in place."""

    pointer: str
    wire: Wire

    @property
    def kind(self) -> str:
        return str(self.wire["type"])


class ContentWriter:
    """Writes the parts of one request, noting what cannot be written."""

    def __init__(self, names: ToolNames, ledger: Ledger) -> None:
        self._names = names
        self._ledger = ledger

    def blocks(self, message: Message, pointer: str) -> list[Block]:
        """The message's blocks; none for what is empty. `pointer` is the message's own."""
        if message.name is not None:
            self._ledger.dropped(f"{pointer}/name", "messages have no name here")
        parts = ((f"{pointer}/content/{at}", part) for at, part in enumerate(message.parts))
        assistant = message.role == "assistant"
        return self._written(parts, assistant=assistant)

    def _written(self, parts: Iterable[tuple[str, Part]], *, assistant: bool) -> list[Block]:
        blocks: list[Block] = []
        for at, part in parts:
            if type(part) is TextPart and part.cache is None and not part.provider_metadata and part.text.strip():
                blocks.append(Block(pointer=at, wire={"type": "text", "text": part.text}))  # what most of them come to
            elif (wire := self._block(part, at, assistant=assistant)) is not None:
                blocks.append(Block(pointer=at, wire=self._marked(wire, part, at)))
        return blocks

    def _block(self, part: Part, pointer: str, *, assistant: bool) -> Wire | None:
        self._ledger.foreign(part, pointer, DIALECT)
        if (kept := kept_block(part, pointer)) is not None:
            return kept
        match part:
            case TextPart():
                return self._text(part, pointer)
            case ReasoningPart():
                return self._thinking(part, pointer, assistant=assistant)
            case ToolCallPart():
                return self._call(part, pointer)
            case ToolResultPart():
                return self._result(part, pointer)
            case _:
                return self._media(part, pointer, assistant=assistant)

    def _text(self, part: TextPart, pointer: str) -> Wire | None:
        if part.text.strip():
            return {"type": "text", "text": part.text, **_extras(part)}
        if part.text:
            self._ledger.dropped(pointer, "text of nothing but white space is not taken")
        if part.cache:
            self._ledger.dropped(f"{pointer}/cache_control", "the marked text is empty")
        return None

    def _thinking(self, part: ReasoningPart, pointer: str, *, assistant: bool) -> Wire | None:
        block = thinking_block(part) if assistant else None
        if block is None:
            self._ledger.dropped(pointer, "thinking without this dialect's signature is not taken")
        return block

    def _call(self, part: ToolCallPart, pointer: str) -> Wire:
        arguments = call_input(part.arguments, f"{pointer}/arguments", self._ledger)
        name = self._names.sent(part.name)
        return {"type": "tool_use", "id": part.id, "name": name, "input": arguments, **_extras(part)}

    def _result(self, part: ToolResultPart, pointer: str) -> Wire:
        wire: Wire = {"type": "tool_result", "tool_use_id": part.call_id, "content": "", **_extras(part)}
        inner = self._written(
            ((f"{pointer}/content/{at}", piece) for at, piece in enumerate(part.parts)), assistant=False
        )
        blocks = [block.wire for block in inner]
        if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
            wire["content"] = blocks[0]["text"]
        elif blocks:
            wire["content"] = blocks
        if part.is_error:
            wire["is_error"] = True
        return wire

    def _media(self, part: ImagePart | FilePart | AudioPart, pointer: str, *, assistant: bool) -> Wire:
        if assistant:
            return left_out("a file the assistant made", pointer, self._ledger)
        wire = media_block(part, pointer, self._ledger)
        return {**wire, **_extras(part)} if wire["type"] != "text" else wire

    def _marked(self, wire: Wire, part: Part, pointer: str) -> Wire:
        if part.cache is None:
            return wire
        if wire["type"] in _MARKABLE or "block" in own(part.provider_metadata):
            wire["cache_control"] = cache_control(part)
        else:
            self._ledger.dropped(f"{pointer}/cache_control", f"a {wire['type']} block takes no cache mark")
        return wire


def kept_block(part: Part, pointer: str = "") -> Wire | None:
    """The block a part came from, where it is one that only this dialect knows."""
    kept = own(part.provider_metadata).get("block")
    if kept is None:
        return None
    block = read_object(kept, pointer)
    return {**block, "type": read(STRING, block["type"], f"{pointer}/type")}


def thinking_block(part: ReasoningPart) -> Wire | None:
    """Thinking as the service signed it, to the byte; None when it did not."""
    mine = own(part.provider_metadata)
    if data := mine.get("redacted_data"):
        return {"type": "redacted_thinking", "data": data}
    if signature := mine.get("signature"):
        return {"type": "thinking", "thinking": part.text, "signature": signature, **_extras(part)}
    return None


def _extras(part: Part) -> Wire:
    """Fields of the block that only this dialect knows."""
    return {name: value for name, value in own(part.provider_metadata).items() if name not in _NOT_FIELDS}
