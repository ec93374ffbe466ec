"""Images and documents for an upstream of this dialect; what it cannot take becomes a line of text that says so."""

import base64
import binascii

from omniroute.api import AudioPart, FilePart, ImagePart, Ledger
from omniroute_translator_anthropic.wire import Wire

__all__ = ["left_out", "media_block"]

PDF = "application/pdf"
IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
TEXT_TYPES = frozenset({"application/json", "application/xml", "application/yaml", "application/javascript"})
_SAME_TYPE = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg"}
_BASE64_MAGIC = {
    "iVBORw0KGgo": "image/png",
    "/9j/": "image/jpeg",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
    "JVBERi": PDF,
}  # fmt: skip
"""How the data begins, for clients that do not say what it is."""


def media_block(part: ImagePart | FilePart | AudioPart, pointer: str, ledger: Ledger) -> Wire:
    """A block without its cache mark and metadata."""
    if isinstance(part, AudioPart):
        return left_out(f"audio ({part.format})", pointer, ledger)
    media_type = _media_type(part)
    if isinstance(part, ImagePart) or media_type.startswith("image/"):
        return _image(part, media_type, pointer, ledger)
    return _document(part, media_type, pointer, ledger)


def left_out(what: str, pointer: str, ledger: Ledger) -> Wire:
    """The model is told that something is missing, rather than left to guess."""
    ledger.dropped(pointer, f"the dialect has no place for {what}; a line of text says so")
    return {"type": "text", "text": f"[left out: {what}]"}


def _media_type(part: ImagePart | FilePart) -> str:
    """Empty when nobody can tell."""
    stated = (part.media_type or "").partition(";")[0].strip().lower()
    if stated and stated != "application/octet-stream":
        return _SAME_TYPE.get(stated, stated)
    return next((kind for magic, kind in _BASE64_MAGIC.items() if (part.data or "").startswith(magic)), "")


def _image(part: ImagePart | FilePart, media_type: str, pointer: str, ledger: Ledger) -> Wire:
    if isinstance(part, ImagePart) and part.detail not in (None, "auto"):
        ledger.dropped(f"{pointer}/detail", "images have no detail here")
    if part.url:
        return {"type": "image", "source": {"type": "url", "url": part.url}}
    if part.data and media_type in IMAGE_TYPES:
        return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": part.data}}
    return left_out(f"an image ({media_type or 'of unknown type'})", pointer, ledger)


def _document(part: FilePart, media_type: str, pointer: str, ledger: Ledger) -> Wire:
    source: Wire | None = None
    if part.url and media_type in ("", PDF):
        source = {"type": "url", "url": part.url}
    elif part.data and media_type == PDF:
        source = {"type": "base64", "media_type": PDF, "data": part.data}
    elif part.data and (media_type.startswith("text/") or media_type in TEXT_TYPES):
        source = _text_source(part.data)
        if source and media_type != "text/plain":
            ledger.approximated(pointer, f"{media_type} was sent as text/plain")
    if source is None:
        name = f"{part.name!r}, " if part.name else ""
        return left_out(f"a file ({name}{media_type or 'of unknown type'})", pointer, ledger)
    return {"type": "document", "source": source, **({"title": part.name} if part.name else {})}


def _text_source(data: str) -> Wire | None:
    try:
        text = base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return {"type": "text", "media_type": "text/plain", "data": text} if text.strip() else None
