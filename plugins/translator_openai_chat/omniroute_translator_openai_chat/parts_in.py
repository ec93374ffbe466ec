"""Content parts of a client's messages to canonical parts."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from omniroute.api import AudioPart, CacheMark, FilePart, ImagePart, InvalidRequest, Source, TextPart
from omniroute_translator_openai_chat.invalid import check_base64, data_url, refusal
from omniroute_translator_openai_chat.wire import (
    DIALECT,
    AssistantPartWire,
    AudioWire,
    FileWire,
    ImageWire,
    RefusalWire,
    TextWire,
    ToolPartWire,
    UserPartWire,
)

REFUSAL = {DIALECT: {"refusal": True}}
"""`provider_metadata` of a text that the dialect calls a refusal."""
ABSENT = (Raw(b""), Raw(b"null"))
P = TypeVar("P", TextWire, AssistantPartWire, UserPartWire, ToolPartWire)


NOTHING: Mapping[str, str] = {}
SPELLED: Mapping[type, Mapping[str, str]] = {
    ImageWire: {"detail": "/image_url/detail"},
    FileWire: {"name": "/file/filename"},
}
"""Canonical fields of parts → where they stand in the part."""


class _CacheControl(Struct):
    ttl: str | None = None


CACHE_CONTROL = msgspec.json.Decoder(_CacheControl)


def parts_of(
    content: str | Iterable[P] | UnsetType | None, at: str
) -> list[TextPart | ImagePart | AudioPart | FilePart]:
    """`at` is the pointer of the content. Empty texts are left out: they say nothing and other dialects refuse them."""
    if content is None or isinstance(content, UnsetType):
        return []
    if isinstance(content, str):
        return [TextPart(text=content, source=Source(at))] if content else []
    parts = [placed(part, f"{at}/{position}") for position, part in enumerate(content)]
    return [part for part in parts if not (isinstance(part, TextPart) and not part.text)]


def placed(wire: UserPartWire | RefusalWire, at: str) -> TextPart | ImagePart | AudioPart | FilePart:
    part = part_of(wire, at)
    spelled = SPELLED.get(type(wire), NOTHING)
    if part.cache is not None and not isinstance(wire.cache_control, Raw):
        spelled = {**spelled, "cache_control": "/prompt_cache_breakpoint"}
    return msgspec.structs.replace(part, source=Source(at, spelled))


def part_of(part: UserPartWire | RefusalWire, at: str) -> TextPart | ImagePart | AudioPart | FilePart:
    cache, metadata = marks(part)
    match part:
        case TextWire():
            return TextPart(text=part.text, cache=cache, provider_metadata=metadata)
        case RefusalWire():
            return TextPart(text=part.refusal, cache=cache, provider_metadata=REFUSAL)
        case ImageWire():
            return image_of(part, f"{at}/image_url", cache, metadata)
        case AudioWire():
            audio = part.input_audio
            check_base64(audio.data, f"{at}/input_audio/data")
            return AudioPart(format=audio.format, data=audio.data, cache=cache, provider_metadata=metadata)
        case FileWire():
            return file_of(part, f"{at}/file", cache, metadata)


def marks(part: UserPartWire | RefusalWire) -> tuple[CacheMark | None, dict[str, dict[str, Any]]]:
    """The part's cache mark, and the same as it was written for an upstream of this dialect."""
    written = {
        name: value
        for name in ("cache_control", "prompt_cache_breakpoint")
        if isinstance(value := getattr(part, name), Raw) and value != Raw(b"null")
    }
    if not written:
        return None, {}
    return cache_mark(written.get("cache_control")), {DIALECT: written}


def cache_mark(control: Raw | None) -> CacheMark:
    """A mark whose lifetime nobody else knows is still a mark."""
    try:
        ttl = CACHE_CONTROL.decode(control).ttl if control else None
    except msgspec.DecodeError:
        ttl = None
    return CacheMark(ttl="1h") if ttl == "1h" else CacheMark(ttl="5m") if ttl == "5m" else CacheMark()


def image_of(part: ImageWire, at: str, cache: CacheMark | None, metadata: dict[str, dict[str, Any]]) -> ImagePart:
    image = part.image_url
    url, detail = (image, None) if isinstance(image, str) else (image.url, image.detail)
    at = at if isinstance(image, str) else f"{at}/url"
    if url[:5].lower() == "data:":
        media_type, data = data_url(url, at)
        return ImagePart(media_type=media_type, data=data, detail=detail, cache=cache, provider_metadata=metadata)
    if not url[:8].lower().startswith(("http://", "https://")):
        raise refusal(at, "expected an http, https or data URL")
    return ImagePart(url=url, detail=detail, cache=cache, provider_metadata=metadata)


def file_of(part: FileWire, at: str, cache: CacheMark | None, metadata: dict[str, dict[str, Any]]) -> FilePart:
    file = part.file
    shared: Mapping[str, Any] = {"name": file.filename, "cache": cache, "provider_metadata": metadata}
    if file.file_id is not None:
        return FilePart(file_id=file.file_id, **shared)
    if file.file_data is None:
        raise InvalidRequest(f"{at} has neither file_data nor file_id", param=at, fix="give one of the two")
    if file.file_data[:5].lower() == "data:":
        media_type, data = data_url(file.file_data, f"{at}/file_data")
        return FilePart(media_type=media_type, data=data, **shared)
    check_base64(file.file_data, f"{at}/file_data")
    return FilePart(data=file.file_data, **shared)


def is_set(value: Raw | UnsetType) -> TypeGuard[Raw]:
    """Whether a field came with a value: neither left out nor null."""
    return value is not UNSET and value not in ABSENT
