"""Content blocks to parts.

A block that only this dialect knows becomes a part with the readable text it holds, if any, and the whole block in its
metadata under `block`: an upstream of the same dialect gets it back, others see the text.
"""

import binascii
from collections.abc import Callable, Iterable, Mapping

import msgspec
from msgspec import Raw

from omniroute.api import (
    CacheMark,
    FilePart,
    ImagePart,
    Part,
    ReasoningPart,
    Source,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from omniroute_translator_anthropic.plain import (
    PlainBlock,
    PlainCall,
    PlainContent,
    PlainRedacted,
    PlainResult,
    PlainText,
    PlainThinking,
    plain_content,
)
from omniroute_translator_anthropic.wire import (
    BOOL,
    DIALECT,
    ENCODER,
    RAWS,
    STRING,
    Fields,
    Malformed,
    Metadata,
    is_absent,
    place_of,
    read,
    read_list,
    read_object,
    starts_with,
)

__all__ = ["opaque_part", "read_answer_block", "read_block", "read_content"]

OPAQUE_SUFFIXES = ("_tool_use", "_tool_result")
"""Calls to tools that run at the upstream, and what came of them."""
OPAQUE = frozenset(
    {
        "browser_state",
        "compaction",
        "connector_text",
        "container_upload",
        "fallback",
        "mcp_tool_listing",
        "tool_addition",
        "tool_reference",
        "tool_removal",
    }
)


_ELSEWHERE = {"arguments": "/input", "redacted_data": "/data", "block": ""}
_IN_FILES = {**_ELSEWHERE, "name": "/title"}
"""Canonical fields and kept ones → where they stand in a block."""


def read_content(content: Raw | PlainContent, pointer: str) -> list[Part]:
    """`content`, a string or a list of blocks, as parts that know their places. Empty text is no part."""
    if isinstance(content, Raw):
        return [] if is_absent(content) else _read_raw(content, pointer)
    if not content:
        return []
    if isinstance(content, str):
        return [TextPart(text=content, source=Source(pointer))]
    return [_of_plain(block, f"{pointer}/{at}") for at, block in enumerate(content)]


def _read_raw(raw: Raw, pointer: str) -> list[Part]:
    content = plain_content(raw)
    if content is not None:
        return read_content(content, pointer)
    if starts_with(raw, b'"'):
        read(STRING, raw, pointer)  # says what is wrong with it
    return [_placed(block, f"{pointer}/{at}") for at, block in enumerate(read_list(raw, pointer))]


def _placed(raw: Raw, pointer: str) -> Part:
    part = read_block(raw, pointer)
    return msgspec.structs.replace(
        part, source=Source(pointer, _IN_FILES if isinstance(part, FilePart) else _ELSEWHERE)
    )


def read_block(raw: Raw, pointer: str) -> Part:
    """A block of a request. Raises `Malformed` for a kind nobody knows."""
    fields = Fields(raw, pointer)
    kind = fields.need("type", STRING)
    if reader := _READERS.get(kind):
        return reader(fields, raw)
    if kind in OPAQUE or kind.endswith(OPAQUE_SUFFIXES):
        return _as_text(fields, raw, "")
    raise Malformed(f"{pointer}/type", f"{kind!r} is no content block that is known here")


def read_answer_block(raw: Raw, pointer: str) -> Part:
    """A block of an answer; a kind nobody knows is kept whole."""
    fields = Fields(raw, pointer)
    kind = fields.need("type", STRING)
    reader = _ANSWER_READERS.get(kind)
    return reader(fields, raw) if reader else opaque_part(read_object(raw, pointer))


def opaque_part(block: Mapping[str, Raw]) -> TextPart:
    """A block that only this dialect knows. Its values stay as they came; spaces between them do not."""
    return TextPart(text="", provider_metadata={DIALECT: {"block": Raw(ENCODER.encode(block))}})


def _whole(fields: Fields, raw: Raw) -> tuple[CacheMark | None, Metadata]:
    """The block's cache mark, which the part takes over, and the rest of the block as metadata."""
    cache = fields.take_cache_mark()
    if cache is not None:
        block = read_object(raw)
        del block["cache_control"]
        raw = Raw(ENCODER.encode(block))
    return cache, {DIALECT: {"block": raw}}


def _as_text(fields: Fields, raw: Raw, text: str) -> TextPart:
    cache, metadata = _whole(fields, raw)
    return TextPart(text=text, cache=cache, provider_metadata=metadata)


# --- text and thinking ------------------------------------------------------------------------------------------------


def _of_plain(block: PlainBlock, pointer: str) -> Part:
    """The part that `read_block` makes of the same block."""
    source = Source(pointer, _ELSEWHERE)
    match block:
        case PlainText():
            return TextPart(text=block.text, cache=block.cache, source=source)
        case PlainCall():
            return ToolCallPart(
                id=block.id,
                name=block.name,
                arguments=_arguments(block.input, pointer),
                cache=block.cache,
                source=source,
            )
        case PlainResult():
            return ToolResultPart(
                call_id=block.tool_use_id,
                parts=_told(block.content, pointer),
                is_error=block.is_error or False,
                cache=block.cache,
                source=source,
            )
        case PlainThinking():
            kept = {DIALECT: {"signature": block.signature}} if block.signature else {}
            return ReasoningPart(text=block.thinking or "", cache=block.cache, provider_metadata=kept, source=source)
        case PlainRedacted():
            kept = {DIALECT: {"redacted_data": block.data}} if block.data else {}
            return ReasoningPart(text="", cache=block.cache, provider_metadata=kept, source=source)


def _read_text(fields: Fields, _: Raw) -> TextPart:
    text = fields.need("text", STRING)
    cache = fields.take_cache_mark()
    citations = fields.take("citations", RAWS)
    return TextPart(text=text, cache=cache, provider_metadata=fields.metadata(citations=citations))


def _read_thinking(fields: Fields, _: Raw) -> ReasoningPart:
    text = fields.take("thinking", STRING) or ""
    signature = fields.take("signature", STRING)
    cache = fields.take_cache_mark()
    return ReasoningPart(text=text, cache=cache, provider_metadata=fields.metadata(signature=signature))


def _read_redacted(fields: Fields, _: Raw) -> ReasoningPart:
    data = fields.need("data", STRING)
    return ReasoningPart(text="", cache=fields.take_cache_mark(), provider_metadata=fields.metadata(redacted_data=data))


# --- tools ------------------------------------------------------------------------------------------------------------


def _read_call(fields: Fields, _: Raw) -> ToolCallPart:
    arguments = _arguments(fields.take_raw("input") or Raw(), fields.pointer)
    return ToolCallPart(
        id=fields.need("id", STRING),
        name=fields.need("name", STRING),
        arguments=arguments,
        cache=fields.take_cache_mark(),
        provider_metadata=fields.metadata(),
    )


def _arguments(raw: Raw, pointer: str) -> str:
    """The JSON text itself, as it stood in the body. `pointer` is the block's."""
    if is_absent(raw):
        return "{}"
    data = bytes(raw)
    if not data.startswith(b"{"):
        raise Malformed(f"{pointer}/input", "Expected an object")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"{pointer}/input", f"not valid UTF-8: {error.reason}") from None


def _read_result(fields: Fields, _: Raw) -> ToolResultPart:
    parts = _told(fields.take_raw("content"), fields.pointer)
    return ToolResultPart(
        call_id=fields.need("tool_use_id", STRING),
        parts=parts,
        is_error=fields.take("is_error", BOOL) or False,
        cache=fields.take_cache_mark(),
        provider_metadata=fields.metadata(),
    )


def _told(content: Raw | PlainContent, pointer: str) -> tuple[TextPart | ImagePart | FilePart, ...]:
    """What a result holds. `pointer` is the block's."""
    parts: list[TextPart | ImagePart | FilePart] = []
    for part in read_content(content, f"{pointer}/content"):
        if not isinstance(part, TextPart | ImagePart | FilePart):
            raise Malformed(f"{place_of(part)}/type", "a tool result holds text, images and documents only")
        parts.append(part)
    return tuple(parts)


# --- media ------------------------------------------------------------------------------------------------------------


def _read_image(fields: Fields, raw: Raw) -> ImagePart | FilePart:
    source, kind = _source(fields)
    if kind == "file":
        return _uploaded(fields, source, raw)
    cache = fields.take_cache_mark()
    metadata = fields.metadata()
    if kind == "url":
        return ImagePart(url=source.need("url", STRING), cache=cache, provider_metadata=metadata)
    if kind != "base64":
        raise Malformed(f"{source.pointer}/type", f"{kind!r} is none of base64, url, file")
    data = _base64(source)
    media_type = source.need("media_type", STRING)
    return ImagePart(media_type=media_type, data=data, cache=cache, provider_metadata=metadata)


def _read_document(fields: Fields, raw: Raw) -> FilePart | TextPart:
    source, kind = _source(fields)
    match kind:
        case "file":
            return _uploaded(fields, source, raw, name=fields.take("title", STRING))
        case "text":
            return _as_text(fields, raw, _titled(fields, source.need("data", STRING)))
        case "content":
            content = read_content(source.take_raw("content"), f"{source.pointer}/content")
            return _as_text(fields, raw, _titled(fields, _joined(content)))
        case "base64" | "url":
            return FilePart(
                media_type=source.take("media_type", STRING) or "application/pdf",
                name=fields.take("title", STRING),
                data=_base64(source) if kind == "base64" else None,
                url=source.need("url", STRING) if kind == "url" else None,
                cache=fields.take_cache_mark(),
                provider_metadata=fields.metadata(),
            )
        case _:
            raise Malformed(f"{source.pointer}/type", f"{kind!r} is none of base64, url, file, text, content")


def _read_search_result(fields: Fields, raw: Raw) -> TextPart:
    content = read_content(fields.take_raw("content"), f"{fields.pointer}/content")
    source = fields.need("source", STRING)
    return _as_text(fields, raw, "\n".join((_titled(fields, source), _joined(content))))


def _base64(source: Fields) -> str:
    data = source.need("data", STRING)
    try:
        binascii.a2b_base64(data, strict_mode=True)
    except ValueError as error:
        raise Malformed(f"{source.pointer}/data", f"not base64: {error}") from None
    if not data:
        raise Malformed(f"{source.pointer}/data", "no data")
    return data


def _source(fields: Fields) -> tuple[Fields, str]:
    pointer = f"{fields.pointer}/source"
    raw = fields.take_raw("source")
    if raw is None:
        raise Malformed(pointer, "Field required")
    source = Fields(raw, pointer)
    return source, source.need("type", STRING)


def _uploaded(fields: Fields, source: Fields, raw: Raw, name: str | None = None) -> FilePart:
    """A file that lies at the upstream: nobody else can open it."""
    cache, metadata = _whole(fields, raw)
    return FilePart(file_id=source.need("file_id", STRING), name=name, cache=cache, provider_metadata=metadata)


def _titled(fields: Fields, text: str) -> str:
    title = fields.take("title", STRING)
    return f"{title}\n{text}" if title else text


def _joined(content: Iterable[Part]) -> str:
    return "\n".join(part.text for part in content if isinstance(part, TextPart) and part.text)


_READERS: Mapping[str, Callable[[Fields, Raw], Part]] = {
    "text": _read_text,
    "thinking": _read_thinking,
    "redacted_thinking": _read_redacted,
    "tool_use": _read_call,
    "tool_result": _read_result,
    "image": _read_image,
    "document": _read_document,
    "search_result": _read_search_result,
}
_ANSWER_READERS = {kind: _READERS[kind] for kind in ("text", "thinking", "redacted_thinking", "tool_use")}
