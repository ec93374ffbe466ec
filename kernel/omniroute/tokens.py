"""A rough count of input tokens, for upstreams that cannot count. Always shown as an estimate.

Four characters of text make a token: the usual rule of thumb for English and code. Everything the model reads is counted:
system, messages, tools, thinking, results; an image counts as a fixed number, as its pixels are not looked at.
"""

from omniroute.model import (
    ChatRequest,
    FilePart,
    ImagePart,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["estimate_input_tokens"]

CHARS_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
TOKENS_PER_IMAGE = 1600
"""The most an image costs at Anthropic (width x height / 750 after scaling to 1568 px; docs read 2026-11-22)."""
BASE64_CHARS_PER_TOKEN = 24
"""Of a document: mostly markup and compression, not text."""


def estimate_input_tokens(request: ChatRequest) -> int:
    chars = 0.0
    for tool in request.tools:
        chars += len(tool.name) + len(tool.description or "") + len(tool.parameters or b"")
    for message in request.messages:
        chars += TOKENS_PER_MESSAGE * CHARS_PER_TOKEN + sum(map(_chars, message.parts))
    return max(1, round(chars / CHARS_PER_TOKEN))


def _chars(part: Part) -> float:
    """What a part weighs, in characters of text."""
    match part:
        case TextPart(text=text) | ReasoningPart(text=text):
            return len(text)
        case ToolCallPart(name=name, arguments=arguments):
            return len(name) + len(arguments)
        case ToolResultPart(parts=parts):
            return sum(map(_chars, parts))
        case ImagePart():
            return TOKENS_PER_IMAGE * CHARS_PER_TOKEN
        case FilePart(data=data):
            return len(data or "") * CHARS_PER_TOKEN / BASE64_CHARS_PER_TOKEN
        case _:
            return 0
