"""Images, audio and documents for an upstream or a client of this dialect; what it cannot take becomes a line of text that says so."""

from omniroute.api import AudioPart, FilePart, ImagePart, Ledger
from omniroute_translator_gemini.wire import Wire

__all__ = ["media_wire"]

_BASE64_MAGIC = {
    "iVBORw0KGgo": "image/png",
    "/9j/": "image/jpeg",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
    "JVBERi": "application/pdf",
}
"""How the data begins, for clients that do not say what it is."""
_SUFFIXES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "pdf": "application/pdf",
}
_UNKNOWN = "application/octet-stream"


def media_wire(part: ImagePart | FilePart | AudioPart, pointer: str, ledger: Ledger) -> Wire:
    """The part without its metadata."""
    if isinstance(part, AudioPart):
        return {"inlineData": {"mimeType": f"audio/{part.format}", "data": part.data}}
    if isinstance(part, ImagePart) and part.detail not in (None, "auto"):
        ledger.dropped(f"{pointer}/detail", "images have no detail here")
    if isinstance(part, FilePart) and part.name is not None:
        ledger.dropped(f"{pointer}/name", "files have no name here")
    if part.data is not None:
        return {"inlineData": {"mimeType": _type_of_data(part), "data": part.data}}
    if part.url is not None:
        media_type = part.media_type or _type_of_url(part.url)
        return {"fileData": {**({"mimeType": media_type} if media_type else {}), "fileUri": part.url}}
    what = "a file that was uploaded to another vendor"
    ledger.dropped(pointer, f"the dialect has no place for {what}; a line of text says so")
    return {"text": f"[left out: {what}]"}


def _type_of_data(part: ImagePart | FilePart) -> str:
    stated = (part.media_type or "").partition(";")[0].strip().lower()
    if stated and stated != _UNKNOWN:
        return stated
    data = part.data or ""
    return next((kind for magic, kind in _BASE64_MAGIC.items() if data.startswith(magic)), _UNKNOWN)


def _type_of_url(url: str) -> str | None:
    return _SUFFIXES.get(url.partition("?")[0].rpartition(".")[2].lower())
