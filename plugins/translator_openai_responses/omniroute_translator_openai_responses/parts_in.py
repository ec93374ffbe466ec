"""Content parts of a client's input items to canonical parts."""

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeGuard

import msgspec
from msgspec import Raw, UnsetType

from omniroute.api import AudioPart, CacheMark, FilePart, ImagePart, InvalidRequest, Loss, Source, TextPart
from omniroute_translator_openai_responses.invalid import check_base64, data_url, refusal
from omniroute_translator_openai_responses.wire import (
    DIALECT,
    REFUSAL,
    AudioWire,
    ContentWire,
    FileWire,
    ImageWire,
    OutputTextWire,
    RefusalWire,
)

ELSEWHERE = {"cache_control": "/prompt_cache_breakpoint", "input_image": "", "name": "/filename"}
"""Canonical fields of parts → where they stand in the part."""
Metadata: TypeAlias = dict[str, dict[str, Any]]
ContentPart: TypeAlias = TextPart | ImagePart | AudioPart | FilePart


def parts_of(content: str | Sequence[ContentWire] | None, at: str, losses: list[Loss]) -> list[ContentPart]:
    """`at` is the pointer of the content. Empty texts are left out: they say nothing and other dialects refuse them."""
    if content is None:
        return []
    if isinstance(content, str):
        return [TextPart(text=content, source=Source(at))] if content else []
    parts = [placed(part, f"{at}/{position}", losses) for position, part in enumerate(content)]
    return [part for part in parts if not (isinstance(part, TextPart) and not part.text)]


def placed(wire: ContentWire, at: str, losses: list[Loss]) -> ContentPart:
    part = part_of(wire, at, losses)
    return msgspec.structs.replace(part, source=Source(at, ELSEWHERE))


def part_of(part: ContentWire, at: str, losses: list[Loss]) -> ContentPart:
    cache, metadata = mark(part)
    match part:
        case ImageWire():
            return image_of(part, at, cache, metadata)
        case FileWire():
            return file_of(part, at, cache, metadata, losses)
        case AudioWire():
            audio = part.input_audio
            check_base64(audio.data, f"{at}/input_audio/data")
            return AudioPart(format=audio.format, data=audio.data, cache=cache, provider_metadata=metadata)
        case RefusalWire():
            return TextPart(text=part.refusal, cache=cache, provider_metadata=REFUSAL)
        case OutputTextWire():
            losses += (
                Loss(pointer=f"{at}/{name}", kind="dropped", reason="an upstream has no use for it")
                for name in ("annotations", "logprobs")
                if getattr(part, name)
            )
            return TextPart(text=part.text, cache=cache, provider_metadata=metadata)
        case _:
            return TextPart(text=part.text, cache=cache, provider_metadata=metadata)


def mark(part: ContentWire) -> tuple[CacheMark | None, Metadata]:
    """The part's cache mark, and the same as it was written for an upstream of this dialect."""
    written = part.prompt_cache_breakpoint
    return (CacheMark(), {DIALECT: {"prompt_cache_breakpoint": written}}) if is_set(written) else (None, {})


def image_of(part: ImageWire, at: str, cache: CacheMark | None, metadata: Metadata) -> ImagePart | FilePart:
    if part.image_url is None:
        if part.file_id is None:
            raise InvalidRequest(f"{at} has neither image_url nor file_id", param=at, fix="give one of the two")
        own = {**metadata.get(DIALECT, {}), "input_image": part.detail or "auto"}
        return FilePart(file_id=part.file_id, cache=cache, provider_metadata={DIALECT: own})
    url = part.image_url
    if url[:5].lower() == "data:":
        media_type, data = data_url(url, f"{at}/image_url")
        return ImagePart(media_type=media_type, data=data, detail=part.detail, cache=cache, provider_metadata=metadata)
    if not url[:8].lower().startswith(("http://", "https://")):
        raise refusal(f"{at}/image_url", "expected an http, https or data URL")
    return ImagePart(url=url, detail=part.detail, cache=cache, provider_metadata=metadata)


def file_of(part: FileWire, at: str, cache: CacheMark | None, metadata: Metadata, losses: list[Loss]) -> FilePart:
    shared: dict[str, Any] = {"name": part.filename, "cache": cache, "provider_metadata": metadata}
    if part.detail not in (None, "auto"):
        losses.append(Loss(pointer=f"{at}/detail", kind="dropped", reason="files have no detail elsewhere"))
    if part.file_id is not None:
        return FilePart(file_id=part.file_id, **shared)
    if part.file_url is not None:
        return FilePart(url=part.file_url, **shared)
    if part.file_data is None:
        why = "has neither file_data, file_url nor file_id"
        raise InvalidRequest(f"{at} {why}", param=at, fix="give one of the three")
    if part.file_data[:5].lower() == "data:":
        media_type, data = data_url(part.file_data, f"{at}/file_data")
        return FilePart(media_type=media_type, data=data, **shared)
    check_base64(part.file_data, f"{at}/file_data")
    return FilePart(data=part.file_data, **shared)


def first_of(raw: Raw) -> str:
    """The first character of a value, which tells its kind; empty where there is none."""
    return bytes(memoryview(raw)[:1]).decode("latin-1")


def is_set(value: Raw | UnsetType) -> TypeGuard[Raw]:
    """Whether a field came with a value: neither left out nor null."""
    return not isinstance(value, UnsetType) and value not in (Raw(b""), Raw(b"null"))
