"""The parts of an upstream's answer, as Structs, to canonical ones."""

from collections.abc import Mapping

from omniroute.api import FilePart, ImagePart, Part, ReasoningPart, TextPart, ToolCallPart, UpstreamGarbled
from omniroute_translator_gemini.chunks import WireCall, WireCandidate, WireFile, WirePart, is_given, parts_of
from omniroute_translator_gemini.parts import media_part, opaque_part
from omniroute_translator_gemini.wire import DIALECT, Malformed, Metadata, is_absent, json_text

__all__ = ["answered_parts"]

_OPAQUE: Mapping[str, str] = {
    "executable_code": "executableCode",
    "code_execution_result": "codeExecutionResult",
    "tool_call": "toolCall",
    "tool_response": "toolResponse",
}


def answered_parts(candidate: WireCandidate) -> list[Part]:
    """Those that say something. A call without an id has an empty one. Raises `UpstreamGarbled`."""
    try:
        parts = [_part(part) for part in parts_of(candidate)]
    except Malformed as error:
        raise UpstreamGarbled(f"the upstream sent a part that cannot be read: {error}") from None
    return [part for part in parts if part is not None]


def _part(part: WirePart) -> Part | None:
    metadata: Metadata = {DIALECT: {"thought_signature": part.thought_signature}} if part.thought_signature else {}
    if part.function_call is not None:
        return _call(part.function_call, metadata)
    if part.inline_data is not None:
        return media_part(part.inline_data.mime_type, part.inline_data.data, metadata=metadata)
    if part.file_data is not None:
        return _file(part.file_data, metadata)
    if (opaque := _opaque(part)) is not None:
        return opaque
    if not part.text and not metadata:
        return None
    kind = ReasoningPart if part.thought else TextPart
    return kind(text=part.text or "", provider_metadata=metadata)


def _call(call: WireCall, metadata: Metadata) -> ToolCallPart:
    if not call.name:
        raise Malformed("", "a functionCall without a name")
    arguments = "{}" if is_absent(call.args) else json_text(call.args)
    return ToolCallPart(id=call.id or "", name=call.name, arguments=arguments, provider_metadata=metadata)


def _file(file: WireFile, metadata: Metadata) -> ImagePart | FilePart:
    kind = ImagePart if (file.mime_type or "").startswith("image/") else FilePart
    return kind(url=file.file_uri, media_type=file.mime_type, provider_metadata=metadata)


def _opaque(part: WirePart) -> TextPart | None:
    for attribute, kind in _OPAQUE.items():
        if is_given(raw := getattr(part, attribute)):
            return opaque_part(kind, raw)
    return None
