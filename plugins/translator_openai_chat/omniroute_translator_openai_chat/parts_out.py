"""Canonical parts to the dialect's content parts. What it has no part for becomes None and a loss."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from omniroute.api import AudioPart, FilePart, ImagePart, Loss, Part, TextPart, Tool
from omniroute_translator_openai_chat.extra_content import SIGNATURE
from omniroute_translator_openai_chat.wire import (
    DIALECT,
    AssistantPartWire,
    AudioWire,
    FileData,
    FileWire,
    ImageUrl,
    ImageWire,
    InputAudio,
    RefusalWire,
    TextWire,
    UserPartWire,
)

SAME_UPLOADS = frozenset({DIALECT, "openai-responses"})
"""Dialects whose `file_id` means the same upload."""
MARKS = ("cache_control", "prompt_cache_breakpoint")
METADATA = attrgetter("provider_metadata")
NONE: Mapping[str, Any] = {}


def own(part: Part | Tool) -> dict[str, Any]:
    """What the part or tool carries for this dialect."""
    return part.provider_metadata.get(DIALECT, {})


def marks(part: Part | Tool) -> Mapping[str, Any]:
    """Cache marks as the client of this dialect wrote them; marks of other dialects have no place here."""
    mine = part.provider_metadata.get(DIALECT)
    return {name: mine[name] for name in MARKS if name in mine} if mine else NONE


def are_bare(parts: Iterable[Part]) -> bool:
    """Whether they are nothing but their texts, as nearly all are."""
    return not any(map(METADATA, parts))


def is_refusal(part: TextPart) -> bool:
    return bool(own(part).get("refusal"))


def user_wire(part: TextPart | ImagePart | FilePart | AudioPart, at: str, losses: list[Loss]) -> UserPartWire | None:
    if isinstance(part, TextPart):
        return text_wire(part) if part.text else None
    return media_wire(part, at, losses)


def text_wire(part: TextPart) -> TextWire:
    return TextWire(text=part.text, **marks(part)) if part.provider_metadata else TextWire(text=part.text)


def media_wire(part: ImagePart | FilePart | AudioPart, at: str, losses: list[Loss]) -> UserPartWire | None:
    match part:
        case ImagePart():
            return ImageWire(image_url=ImageUrl(url=image_url(part), detail=part.detail), **marks(part))
        case AudioPart():
            return AudioWire(input_audio=InputAudio(data=part.data, format=part.format), **marks(part))
        case FilePart():
            return file_wire(part, at, losses)


def image_url(part: ImagePart) -> str:
    return part.url or f"data:{part.media_type or 'image/png'};base64,{part.data}"


def file_wire(part: FilePart, at: str, losses: list[Loss]) -> TextWire | FileWire | ImageWire | AudioWire | None:
    if part.file_id is not None:
        if part.provider_metadata.keys() - SAME_UPLOADS:
            losses.append(Loss(pointer=at, kind="dropped", reason="a file that was uploaded to another vendor"))
            return None
        return FileWire(file=FileData(file_id=part.file_id), **marks(part))
    if part.data is None:
        losses.append(Loss(pointer=at, kind="dropped", reason=f"{DIALECT} takes documents as data, not by URL"))
        return None
    if (text := plain_text(part)) is not None:
        losses.append(Loss(pointer=at, kind="approximated", reason=f"{DIALECT} takes a text document as text"))
        return TextWire(text=text) if text else None
    media_type = part.media_type or "application/pdf"
    if media_type.startswith("image/"):
        return ImageWire(image_url=ImageUrl(url=f"data:{media_type};base64,{part.data}"), **marks(part))
    if media_type.startswith("audio/"):
        return AudioWire(input_audio=InputAudio(data=part.data, format=media_type.partition("/")[2]), **marks(part))
    if media_type.startswith("video/"):
        return left_out(f"a video ({media_type})", at, losses)
    name = part.name or f"document.{media_type.rpartition('/')[2]}"
    return FileWire(file=FileData(filename=name, file_data=f"data:{media_type};base64,{part.data}"), **marks(part))


def left_out(what: str, at: str, losses: list[Loss]) -> TextWire:
    """The model is told that something is missing, rather than left to guess."""
    losses.append(Loss(pointer=at, kind="dropped", reason=f"{DIALECT} takes no such thing; a line of text says so"))
    return TextWire(text=f"[left out: {what}]")


def plain_text(part: FilePart) -> str | None:
    if not (part.media_type or "").startswith("text/"):
        return None
    try:
        return base64.b64decode(part.data or "").decode()
    except ValueError:
        return None


def text_content(parts: Sequence[TextPart], separator: str) -> str | list[TextWire]:
    """One string, which every server takes; a list only where parts are marked one by one."""
    if not are_bare(parts) and any(marks(part) for part in parts):
        return [text_wire(part) for part in parts]
    return separator.join([part.text for part in parts])


def assistant_content(parts: Sequence[TextPart]) -> str | Sequence[AssistantPartWire]:
    if are_bare(parts) or not any(is_refusal(part) for part in parts):
        return text_content(parts, "")
    return [RefusalWire(refusal=part.text) if is_refusal(part) else text_wire(part) for part in parts]


def report(part: Part | Tool, at: str, losses: list[Loss]) -> None:
    """Losses that any part or tool may bring: a cache mark and other vendors' metadata."""
    if part.cache is None and not part.provider_metadata:
        return
    if part.cache is not None and not marks(part):
        losses.append(
            Loss(pointer=f"{at}/cache_control", kind="dropped", reason=f"{DIALECT} has no cache marks of this form")
        )
    read_here = {SIGNATURE} if "extra_content" in own(part) else set()
    for dialect, fields in part.provider_metadata.items():
        if dialect != DIALECT:
            losses += (
                Loss(pointer=f"{at}/{name}", kind="dropped", reason=f"only {dialect} knows {name}")
                for name, value in fields.items()
                if value and name not in read_here
            )
