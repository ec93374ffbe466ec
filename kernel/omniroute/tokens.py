"""How many tokens a request is, for upstreams that cannot count. Always shown as an estimate.

Everything the model reads is counted: system text, messages, thinking, tools with their schemas, calls and results, images,
files, sound. Text by the first registered counter that knows the model, four characters to a token where none does.
"""

import asyncio
import base64
import binascii
import math
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from omniroute.contracts import TokenCounter, TokenOverhead
from omniroute.image_size import image_size
from omniroute.logs import get_logger
from omniroute.model import (
    AudioPart,
    ChatRequest,
    FilePart,
    ImagePart,
    Part,
    ReasoningPart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["FOUR_CHARACTERS", "FourCharacters", "TokenCounts", "count_input_tokens"]

log = get_logger(__name__)

CHARS_PER_TOKEN = 4
"""The usual rule of thumb for English and code (3.8 measured with o200k over 1.2 MB of code, prose, JSON and logs)."""
IMAGE_PATCH_PX = 28
TOKENS_PER_IMAGE = 1600
"""At most, and for an image whose size is not known. Anthropic's rule, the costliest of the common ones: a token for each
28 x 28 pixels of an image scaled down to fit (docs read 2026-11-22)."""
BASE64_CHARS_PER_TOKEN = 24
"""Of a document: mostly markup and compression, not text."""
TOKENS_PER_UNSEEN_FILE = 1500
"""A document given by URL or upload id: one page of text, the least that vendors state for a page."""
BASE64_CHARS_PER_AUDIO_TOKEN = {"wav": 1333, "mp3": 667}
"""32 tokens a second, the most a vendor states, of 16-bit mono at 16 kHz and of 128 kbit/s."""
TEXT_MEDIA_TYPES = ("text/", "application/json", "application/xml", "application/yaml")
MAX_COUNTED_CHARS = 1_000_000
"""Beyond so much text the rest is taken to be like the beginning: it is far more than a model reads at once, and a counter in
Python holds up everybody else's requests."""


class TokenCounts:
    """Asks the registered counters."""

    def __init__(self, counters: Iterable[TokenCounter]) -> None:
        self._counters = tuple(counters)

    async def input_tokens(self, request: ChatRequest, model: str) -> int:
        """What the request is for `model`, the upstream's id. Never fails: a counter that does is logged and passed over."""
        for counter in self._counters:
            try:
                if counter.counts(model):
                    return await asyncio.to_thread(count_input_tokens, request, model, counter)
            except Exception as error:
                log.warning("token counter failed", counter=counter.name, model=model, exc_info=error)
        return count_input_tokens(request, model, FOUR_CHARACTERS)


class FourCharacters(TokenCounter):
    """For models whose tokenizer nobody knows."""

    name = "four-characters"

    def counts(self, model: str) -> bool:
        return True

    def count_text(self, model: str, texts: Sequence[str]) -> int:
        return round(sum(map(len, texts)) / CHARS_PER_TOKEN)


FOUR_CHARACTERS = FourCharacters()


def count_input_tokens(request: ChatRequest, model: str, counter: TokenCounter) -> int:
    read = _Reading(request)
    tokens = read.tokens + _overhead(request, counter.overhead(model)) + _text_tokens(read.texts, model, counter)
    return max(1, tokens + sum(_image_tokens(image, model, counter) for image in read.images))


def _overhead(request: ChatRequest, overhead: TokenOverhead) -> int:
    tools = len(request.tools) * overhead.per_tool + overhead.with_tools if request.tools else 0
    return overhead.per_request + len(request.messages) * overhead.per_message + tools


def _text_tokens(texts: Sequence[str], model: str, counter: TokenCounter) -> int:
    chars = sum(map(len, texts))
    if chars <= MAX_COUNTED_CHARS:
        return counter.count_text(model, texts)
    return round(counter.count_text(model, _beginning(texts)) * chars / MAX_COUNTED_CHARS)


def _beginning(texts: Iterable[str]) -> list[str]:
    """The first `MAX_COUNTED_CHARS` characters."""
    found, room = [], MAX_COUNTED_CHARS
    for text in texts:
        found.append(text[:room])
        room -= len(found[-1])
        if not room:
            break
    return found


def _image_tokens(image: ImagePart, model: str, counter: TokenCounter) -> int:
    size = None if image.data is None else image_size(image.data)
    tokens = counter.count_image(model, size, image.detail)
    if tokens is not None:
        return tokens
    if size is None:
        return TOKENS_PER_IMAGE
    return min(TOKENS_PER_IMAGE, math.prod(math.ceil(side / IMAGE_PATCH_PX) for side in size))


class _Reading:
    """What a model reads of a request: texts, images, and how many tokens the rest may be."""

    def __init__(self, request: ChatRequest) -> None:
        self.texts: list[str] = []
        self.images: list[ImagePart] = []
        self.tokens = 0
        for tool in request.tools:
            self.texts += _tool_texts(tool)
        shape = request.response_format
        if shape is not None and shape.schema is not None:
            self.texts += [shape.description or "", _compact(shape.schema)]
        for message in request.messages:
            if message.name is not None:
                self.texts.append(message.name)
            for part in message.parts:
                self._read(part)

    def _read(self, part: Part) -> None:
        match part:
            case TextPart(text=text) | ReasoningPart(text=text):
                self.texts.append(text)
            case ToolCallPart(name=name, arguments=arguments):
                self.texts += [name, arguments]
            case ToolResultPart(parts=parts):
                for inner in parts:
                    self._read(inner)
            case ImagePart():
                self.images.append(part)
            case FilePart():
                self._read_file(part)
            case AudioPart(format=kind, data=data):
                self.tokens += math.ceil(len(data) / BASE64_CHARS_PER_AUDIO_TOKEN.get(kind, 667))

    def _read_file(self, part: FilePart) -> None:
        if part.data is None:
            self.tokens += TOKENS_PER_UNSEEN_FILE
        elif (text := _file_text(part.media_type or "", part.data)) is not None:
            self.texts.append(text)
        else:
            self.tokens += math.ceil(len(part.data) / BASE64_CHARS_PER_TOKEN)


def _tool_texts(tool: Tool) -> Iterator[str]:
    """A tool as the model is told of it; one that only its own dialect knows is counted as it was declared."""
    declared = [fields["declaration"] for fields in tool.provider_metadata.values() if "declaration" in fields]
    if tool.kind != "function" and declared:
        yield _compact(declared[0])
        return
    yield tool.name
    yield tool.description or ""
    if tool.parameters is not None:
        yield _compact(tool.parameters)


def _compact(json: msgspec.Raw) -> str:
    """Vendors read JSON and write it anew: a client's indentation never reaches the model."""
    return msgspec.json.format(bytes(json), indent=-1).decode("utf-8", "replace")


def _file_text(media_type: str, data: str) -> str | None:
    """What is in a file that is plain text; None for one that is not."""
    if not media_type.startswith(TEXT_MEDIA_TYPES):
        return None
    try:
        return base64.b64decode(data).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return None
