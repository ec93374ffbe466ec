"""The parts of a client's contents, and those of an upstream's answer that have no form of their own in a stream.

A part that only this dialect knows becomes text with the readable words it holds, and the whole part in its metadata under
`part`: an upstream of the same dialect gets it back, others see the text.
"""

import binascii
import re
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Raw

from omniroute.api import (
    AudioPart,
    FilePart,
    ImagePart,
    Part,
    ReasoningPart,
    Source,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    carried_places,
)
from omniroute_translator_gemini.signatures import Signed, read_signature
from omniroute_translator_gemini.wire import (
    BOOL,
    DIALECT,
    STRING,
    Fields,
    Malformed,
    Metadata,
    compact_text,
    dump,
    is_object,
    json_text,
    read,
    read_object,
)

__all__ = ["media_part", "opaque_part", "read_part"]

_ELSEWHERE = {"part": ""}
"""Canonical fields and kept ones → where they stand in a part."""
_STANDARD_ALPHABET = str.maketrans("-_", "+/", "=\r\n")
_UPLOADED = re.compile(r"(?!https?:)|https?://[^/]+/v\d\w*/files/")
"""Addresses of files that lie at the vendor: nobody else can open them."""


def read_part(raw: Raw, pointer: str) -> tuple[Part, Signed]:
    """A part of a request, and what its signature holds. Raises `Malformed` for a kind nobody knows."""
    fields = Fields(raw, pointer)
    signed = read_signature(fields.take("thoughtSignature", STRING))
    kinds = [kind for kind in _READERS if kind in fields]
    if len(kinds) > 1:
        raise Malformed(pointer, f"the part holds both {kinds[0]} and {kinds[1]}; a part is one of them")
    if kinds:
        return _placed(_signed(_READERS[kinds[0]](fields), signed), fields, signed), signed
    if signed.metadata:
        thought = fields.take("thought", BOOL)
        return _placed(
            _signed(ReasoningPart(text="") if thought else TextPart(text=""), signed), fields, signed
        ), signed
    raise Malformed(pointer, f"the part holds none of {', '.join(_READERS)}")


def _signed(part: Part, signed: Signed) -> Part:
    if not signed.metadata:
        return part
    metadata = {**part.provider_metadata, **signed.metadata}
    if DIALECT in part.provider_metadata and DIALECT in signed.metadata:
        metadata[DIALECT] = {**part.provider_metadata[DIALECT], **signed.metadata[DIALECT]}
    return msgspec.structs.replace(part, provider_metadata=metadata)


def _placed(part: Part, fields: Fields, signed: Signed) -> Part:
    places = {**_ELSEWHERE, **fields.spelt(fields.pointer), **(part.source.fields if part.source else {})}
    if signed.metadata:
        sealed = places.get("thoughtSignature", "/thoughtSignature")
        places |= carried_places(signed.metadata, sealed)
    return msgspec.structs.replace(part, source=Source(fields.pointer, places))


def _read_text(fields: Fields) -> TextPart | ReasoningPart:
    text = fields.need("text", STRING)
    if fields.take("thought", BOOL):
        return ReasoningPart(text=text, provider_metadata=fields.metadata())
    return TextPart(text=text, provider_metadata=fields.metadata())


# --- tools ------------------------------------------------------------------------------------------------------------


def _read_call(fields: Fields) -> ToolCallPart:
    """Its id is empty where the client gave none."""
    fields.take_raw("thought")
    call = fields.take_object("functionCall")
    assert call is not None
    arguments = call.take_raw("args")
    if arguments is not None and not is_object(arguments):
        raise Malformed(call.at("args"), "Expected an object")
    return ToolCallPart(
        id=call.take("id", STRING) or "",
        name=_name(call),
        arguments="{}" if arguments is None else json_text(arguments, call.at("args")),
        provider_metadata=fields.metadata(),
        source=Source("", {"arguments": call.at("args").removeprefix(fields.pointer)}),
    )


def _name(fields: Fields) -> str:
    name = fields.need("name", STRING)
    if not name:
        raise Malformed(fields.at("name"), "a function needs a name")
    return name


def _read_result(fields: Fields) -> ToolResultPart:
    """Its call's id is empty where the client gave none."""
    result = fields.take_object("functionResponse")
    assert result is not None
    call_id, name = result.take("id", STRING) or "", _name(result)
    response = result.take_raw("response")
    text, is_error = ("", False) if response is None else _said(response, name, result.at("response"))
    source = Source(result.at("response"))
    parts: list[TextPart | ImagePart | FilePart] = [TextPart(text=text, source=source)] if text else []
    for raw, pointer in result.take_items("parts"):
        media = _read_media(Fields(raw, pointer))
        if isinstance(media, AudioPart):
            media = FilePart(media_type=f"audio/{media.format}", data=media.data)
        parts.append(msgspec.structs.replace(media, source=Source(pointer)))
    inside = result.pointer.removeprefix(fields.pointer)
    places = {name: f"{inside}/{name}" for name in result.rest()} | result.spelt(fields.pointer)
    places["is_error"] = f"{result.at('response').removeprefix(fields.pointer)}/error"
    return ToolResultPart(
        call_id=call_id,
        name=name,
        parts=tuple(parts),
        is_error=is_error,
        provider_metadata=result.metadata(),
        source=Source("", places),
    )


def _said(response: Raw, name: str, pointer: str) -> tuple[str, bool]:
    """The text of a result, and whether it is one of a failure. An object of no agreed form is its own JSON text.

    `output` and `error` are the vendor's words, `result` is everybody's, `name` and `content` are one widespread SDK's.
    """
    fields = read_object(response, pointer)
    match fields:
        case {"error": value} if len(fields) == 1:
            return _text(value, f"{pointer}/error"), True
        case {"result": value} | {"output": value} if len(fields) == 1 and _is_text(value):
            return _text(value, pointer), False
        case {"name": named, "content": value} if len(fields) == 2 and bytes(named) == dump(name):
            return _text(value, f"{pointer}/content"), False
        case _:
            return _text(response, pointer) if fields else "", False


def _is_text(value: Raw) -> bool:
    return bytes(memoryview(value)[:1]) == b'"'


def _text(value: Raw, pointer: str) -> str:
    """A text as it is, anything else as its JSON text without spaces between its values."""
    return read(STRING, value, pointer) if _is_text(value) else compact_text(value, pointer)


# --- media ------------------------------------------------------------------------------------------------------------


def _read_media(fields: Fields) -> ImagePart | FilePart | AudioPart:
    """`inlineData` or `fileData`."""
    if blob := fields.take_object("inlineData"):
        media_type = (blob.take("mimeType", STRING) or "").partition(";")[0].strip().lower()
        pointer = blob.at("data")
        data = _base64(blob.need("data", STRING), pointer)
        return media_part(media_type, data, name=blob.take("displayName", STRING), metadata=fields.metadata())
    if file := fields.take_object("fileData"):
        return _file(file, fields)
    raise Malformed(fields.pointer, "the part holds neither inlineData nor fileData")


def _base64(data: str, pointer: str) -> str:
    """In the alphabet every dialect takes; this one takes the one for URLs as well."""
    data = data.translate(_STANDARD_ALPHABET)
    data += "=" * (-len(data) % 4)
    try:
        binascii.a2b_base64(data, strict_mode=True)
    except ValueError as error:
        raise Malformed(pointer, f"not base64: {error}") from None
    if not data:
        raise Malformed(pointer, "no data")
    return data


def media_part(
    media_type: str, data: str, *, name: str | None = None, metadata: Metadata | None = None
) -> ImagePart | FilePart | AudioPart:
    """Data as the part that fits its media type."""
    metadata = metadata or {}
    kind, _, format_ = media_type.partition("/")
    if kind == "image":
        return ImagePart(media_type=media_type, data=data, provider_metadata=metadata)
    if kind == "audio":
        return AudioPart(format=format_, data=data, provider_metadata=metadata)
    return FilePart(media_type=media_type or None, name=name, data=data, provider_metadata=metadata)


def _file(file: Fields, fields: Fields) -> ImagePart | FilePart:
    uri = file.need("fileUri", STRING)
    media_type = file.take("mimeType", STRING)
    name = file.take("displayName", STRING)
    if _UPLOADED.match(uri):
        kept = {"fileUri": uri, **({"mimeType": media_type} if media_type else {})}
        metadata = fields.metadata(part=Raw(dump({"fileData": kept})))
        return FilePart(file_id=uri, media_type=media_type, name=name, provider_metadata=metadata)
    if (media_type or "").startswith("image/"):
        return ImagePart(url=uri, media_type=media_type, provider_metadata=fields.metadata())
    return FilePart(url=uri, media_type=media_type, name=name, provider_metadata=fields.metadata())


# --- what runs at the vendor ------------------------------------------------------------------------------------------


def opaque_part(kind: str, value: Raw) -> TextPart:
    """One of the parts that only this dialect knows."""
    return TextPart(text=_shown(kind, value), provider_metadata={DIALECT: {"part": Raw(dump({kind: value}))}})


def _read_opaque(fields: Fields) -> TextPart:
    kind = next(kind for kind in _OPAQUE if kind in fields)
    inner = fields.take_object(kind)
    assert inner is not None
    part = opaque_part(kind, Raw(dump(inner.rest())))
    if not fields.rest():
        return part
    metadata = {DIALECT: {**part.provider_metadata[DIALECT], **fields.rest()}}
    return msgspec.structs.replace(part, provider_metadata=metadata)


def _shown(kind: str, value: Raw) -> str:
    try:
        shown = read(_SHOWN, value)
    except Malformed:
        return ""
    match kind, shown:
        case "executableCode", _Shown(code=code, language=language) if code:
            return f"\n```{(language or '').lower()}\n{code.rstrip()}\n```\n"
        case "codeExecutionResult", _Shown(output=output) if output:
            return f"\n```\n{output.rstrip()}\n```\n"
        case _:
            return ""


class _Shown(msgspec.Struct):
    code: str | None = None
    language: str | None = None
    output: str | None = None


_SHOWN = msgspec.json.Decoder(_Shown)
_OPAQUE = ("executableCode", "codeExecutionResult", "toolCall", "toolResponse")
"""Calls of tools that run at the vendor, and what came of them."""

_READERS: Mapping[str, Callable[[Fields], Part]] = {
    "text": _read_text,
    "functionCall": _read_call,
    "functionResponse": _read_result,
    "inlineData": _read_media,
    "fileData": _read_media,
    **dict.fromkeys(_OPAQUE, _read_opaque),
}
