"""Content blocks to parts.

A block that only this dialect knows becomes a part with the readable text it holds, if any, and the whole block in its
metadata under `block`: an upstream of the same dialect gets it back, others see the text.
"""

import binascii
from collections.abc import Callable, Mapping

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
from omniroute_translator_anthropic.wire import (
    BOOL,
    DIALECT,
    ENCODER,
    RAWS,
    STRING,
    Fields,
    Malformed,
    Metadata,
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


def read_content(raw: Raw | None, pointer: str) -> list[tuple[str, Part]]:
    """`content`, a string or a list of blocks, as parts with their pointers. Empty text is no part."""
    if raw is None:
        return []
    if starts_with(raw, b'"'):
        text = read(STRING, raw, pointer)
        return [(pointer, TextPart(text=text, source=Source(pointer)))] if text else []
    blocks = read_list(raw, pointer)
    return [(f"{pointer}/{at}", _placed(block, f"{pointer}/{at}")) for at, block in enumerate(blocks)]


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
    arguments = fields.take_raw("input")
    if arguments is None:
        arguments = Raw(b"{}")
    elif not starts_with(arguments, b"{"):
        raise Malformed(f"{fields.pointer}/input", "Expected an object")
    return ToolCallPart(
        id=fields.need("id", STRING),
        name=fields.need("name", STRING),
        arguments=_json_text(arguments, f"{fields.pointer}/input"),
        cache=fields.take_cache_mark(),
        provider_metadata=fields.metadata(),
    )


def _json_text(raw: Raw, pointer: str) -> str:
    """The JSON text itself, as it stood in the body."""
    try:
        return bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise Malformed(pointer, f"not valid UTF-8: {error.reason}") from None


def _read_result(fields: Fields, _: Raw) -> ToolResultPart:
    pointer = f"{fields.pointer}/content"
    parts: list[TextPart | ImagePart | FilePart] = []
    for at, part in read_content(fields.take_raw("content"), pointer):
        if not isinstance(part, TextPart | ImagePart | FilePart):
            raise Malformed(f"{at}/type", "a tool result holds text, images and documents only")
        parts.append(part)
    return ToolResultPart(
        call_id=fields.need("tool_use_id", STRING),
        parts=tuple(parts),
        is_error=fields.take("is_error", BOOL) or False,
        cache=fields.take_cache_mark(),
        provider_metadata=fields.metadata(),
    )


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


def _joined(content: list[tuple[str, Part]]) -> str:
    return "\n".join(part.text for _, part in content if isinstance(part, TextPart) and part.text)


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
