"""What a streamed answer and a whole one have in common on the client's side: the message and its blocks."""

import re

import msgspec

from omniroute.api import (
    AudioPart,
    FilePart,
    ImagePart,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    Usage,
)
from omniroute_translator_anthropic.carriers import call_carrier, foreign, seal
from omniroute_translator_anthropic.content import kept_block
from omniroute_translator_anthropic.tools import call_input, fitting_id
from omniroute_translator_anthropic.usage import wire_usage
from omniroute_translator_anthropic.wire import DIALECT, Wire, own

__all__ = ["message", "open_block", "shown", "whole_blocks"]

_FOREIGN_ID = re.compile(r"[^a-zA-Z0-9_-]")
_BLOCK_KEYS = frozenset({"signature", "redacted_data", "block", "citations"})


def message(answer_id: str, model: str, usage: Usage | None) -> Wire:
    """The message object, as it is before anything has been said."""
    return {
        "id": answer_id if answer_id.startswith("msg_") else f"msg_{_FOREIGN_ID.sub('_', answer_id) or '0'}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": wire_usage(usage, whole=True),
    }


def open_block(part: Part) -> Wire:
    """The block as `content_block_start` shows it: everything but what comes in deltas."""
    if (kept := kept_block(part)) is not None:
        return kept
    mine = own(part.provider_metadata)
    extras = {name: value for name, value in mine.items() if name not in _BLOCK_KEYS}
    match part:
        case ReasoningPart() if "redacted_data" in mine:
            return {"type": "redacted_thinking", "data": mine["redacted_data"]}
        case ReasoningPart():
            return {"type": "thinking", "thinking": "", "signature": "", **extras}
        case ToolCallPart(id=call_id, name=name):
            return {"type": "tool_use", "id": fitting_id(call_id), "name": name, "input": {}, **extras}
        case _:
            return {"type": "text", "text": "", **extras}


def whole_blocks(part: Part) -> list[Wire]:
    """The block with all of its content, and before it what carries along other vendors' metadata; none for nothing."""
    if type(part) is TextPart and not part.provider_metadata:
        return [{"type": "text", "text": part.text}] if part.text else []
    others = foreign(part.provider_metadata)
    if isinstance(part, ReasoningPart):
        mine = own(part.provider_metadata)
        sealed = {**mine, **seal(mine, others, has_words=part.text != "")}
        part = msgspec.structs.replace(part, provider_metadata={DIALECT: sealed})
    block = _whole_block(part)
    if block is None:
        return []
    return [call_carrier(part.id, others), block] if isinstance(part, ToolCallPart) and others else [block]


def _whole_block(part: Part) -> Wire | None:
    block = open_block(part)
    match block["type"], part:
        case "text", TextPart() if "block" not in own(part.provider_metadata):
            citations = own(part.provider_metadata).get("citations")
            block["text"] = part.text
            return {**block, "citations": citations} if citations else block if part.text else None
        case "text", ImagePart() | FilePart() | AudioPart():
            return {"type": "text", "text": shown(part)}
        case "thinking", ReasoningPart(text=text):
            signature = own(part.provider_metadata).get("signature", "")
            return {**block, "thinking": text, "signature": signature} if text or signature else None
        case "tool_use", ToolCallPart(arguments=arguments):
            return {**block, "input": call_input(arguments, "")}
        case _:
            return block


def shown(part: ImagePart | FilePart | AudioPart) -> str:
    """A file the model made, in a dialect whose answers are text: a link where there is one."""
    if isinstance(part, AudioPart):
        return f"[audio, {part.format}]"
    if part.url:
        return f"![image]({part.url})" if isinstance(part, ImagePart) else f"[file]({part.url})"
    return f"[{'image' if isinstance(part, ImagePart) else 'file'}, {part.media_type or 'of unknown type'}]"
