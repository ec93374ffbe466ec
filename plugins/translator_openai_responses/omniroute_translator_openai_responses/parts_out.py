"""Canonical parts to the dialect's content parts. What it has no part for becomes a line of text and a loss."""

import base64
from typing import Any

from msgspec import Raw

from omniroute.api import AudioPart, FilePart, ImagePart, Loss, Part, TextPart, Tool
from omniroute_translator_openai_responses.wire import DIALECT, SISTER, FileWire, ImageWire, InputTextWire

SAME_UPLOADS = frozenset({DIALECT, SISTER})
"""Dialects whose file ids mean the same files."""


def own(part: Part | Tool) -> dict[str, Any]:
    """What the part or tool carries for this dialect."""
    return part.provider_metadata.get(DIALECT, {})


def own_item(part: Part) -> Raw | None:
    """The whole item, where only this dialect knows it."""
    mine = own(part)
    return mine.get("item") or (mine.get("sealed_item") if "encrypted_content" in mine else None)


def marks(part: Part | Tool) -> dict[str, Any]:
    """The cache mark as the client of this dialect wrote it; marks of other dialects have no place here."""
    return (
        {"prompt_cache_breakpoint": own(part)["prompt_cache_breakpoint"]}
        if "prompt_cache_breakpoint" in own(part)
        else {}
    )


def is_refusal(part: TextPart) -> bool:
    return bool(part.provider_metadata.get(SISTER, {}).get("refusal"))


def content_wire(
    part: TextPart | ImagePart | FilePart | AudioPart, at: str, losses: list[Loss]
) -> InputTextWire | ImageWire | FileWire | None:
    """None for an empty text."""
    match part:
        case TextPart():
            return InputTextWire(text=part.text, **marks(part)) if part.text else None
        case ImagePart():
            return ImageWire(image_url=image_url(part), detail=part.detail or "auto", **marks(part))
        case FilePart():
            return file_wire(part, at, losses)
        case AudioPart():
            return left_out(f"audio ({part.format})", at, losses)


def left_out(what: str, at: str, losses: list[Loss]) -> InputTextWire:
    """The model is told that something is missing, rather than left to guess."""
    losses.append(Loss(pointer=at, kind="dropped", reason=f"{DIALECT} takes no {what}; a line of text says so"))
    return InputTextWire(text=f"[left out: {what}]")


def image_url(part: ImagePart) -> str:
    return part.url or f"data:{part.media_type or 'image/png'};base64,{part.data}"


def file_wire(part: FilePart, at: str, losses: list[Loss]) -> InputTextWire | ImageWire | FileWire | None:
    if part.file_id is not None:
        if any(part.provider_metadata.keys() - SAME_UPLOADS):
            return left_out("file that was uploaded elsewhere", at, losses)
        if detail := own(part).get("input_image"):
            return ImageWire(file_id=part.file_id, detail=detail, **marks(part))
        return FileWire(file_id=part.file_id, **marks(part))
    if part.data is None:
        return FileWire(file_url=part.url, **marks(part))
    if (text := plain_text(part)) is not None:
        losses.append(Loss(pointer=at, kind="approximated", reason=f"{DIALECT} takes a text document as text"))
        return InputTextWire(text=text, **marks(part)) if text else None
    media_type = part.media_type or "application/pdf"
    if media_type.startswith("image/"):
        return ImageWire(image_url=f"data:{media_type};base64,{part.data}", detail="auto", **marks(part))
    if media_type.startswith(("audio/", "video/")):
        return left_out(media_type.partition("/")[0], at, losses)
    name = part.name or f"document.{media_type.rpartition('/')[2]}"
    return FileWire(filename=name, file_data=f"data:{media_type};base64,{part.data}", **marks(part))


def plain_text(part: FilePart) -> str | None:
    if not (part.media_type or "").startswith("text/"):
        return None
    try:
        return base64.b64decode(part.data or "").decode()
    except ValueError:
        return None


def report(part: Part | Tool, at: str, losses: list[Loss]) -> None:
    """Losses that any part or tool may bring: a cache mark and other vendors' metadata."""
    if part.cache is not None and not marks(part):
        losses.append(
            Loss(pointer=f"{at}/cache_control", kind="dropped", reason=f"{DIALECT} has no cache marks of this form")
        )
    if DIALECT in part.provider_metadata:
        return  # what is here for others as well was read out of our own form
    for dialect, fields in part.provider_metadata.items():
        losses += (
            Loss(pointer=f"{at}/{name}", kind="dropped", reason=f"only {dialect} knows {name}")
            for name, value in fields.items()
            if value and name != "refusal"
        )
