"""The upstream's answer as Structs: a chunk of a stream and a whole answer have one form.

Fields nobody uses are not named; unknown ones are ignored.
"""

from typing import TypeAlias, TypeGuard

import msgspec
from msgspec import UNSET, Raw, UnsetType

from omniroute.api import UpstreamGarbled
from omniroute_translator_gemini.errors import WireError
from omniroute_translator_gemini.usage import WireUsage, ends
from omniroute_translator_gemini.wire import Malformed, is_absent, read

__all__ = [
    "BLOCKED",
    "WireCandidate",
    "WireChunk",
    "WirePart",
    "candidate_of",
    "finish_of",
    "has_content",
    "is_given",
    "parts_of",
    "read_chunk",
]

BLOCKED = "SAFETY"
"""The finish reason of an answer to a prompt that was blocked."""


Unread: TypeAlias = Raw | UnsetType
"""JSON that is passed on as it is."""


class WireCall(msgspec.Struct):
    name: str = ""
    id: str | None = None
    args: Raw = Raw()


class WireBlob(msgspec.Struct, rename="camel"):
    mime_type: str = ""
    data: str = ""


class WireFile(msgspec.Struct, rename="camel"):
    file_uri: str = ""
    mime_type: str | None = None


class WirePart(msgspec.Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: WireCall | None = None
    inline_data: WireBlob | None = None
    file_data: WireFile | None = None
    executable_code: Unread = UNSET
    code_execution_result: Unread = UNSET
    tool_call: Unread = UNSET
    tool_response: Unread = UNSET


class WireContent(msgspec.Struct):
    parts: list[WirePart] | None = None


class WireCandidate(msgspec.Struct, rename="camel"):
    content: WireContent | None = None
    finish_reason: str | None = None
    index: int | None = None
    finish_message: Unread = UNSET
    citation_metadata: Unread = UNSET
    grounding_metadata: Unread = UNSET
    url_context_metadata: Unread = UNSET
    safety_ratings: Unread = UNSET
    avg_logprobs: Unread = UNSET
    logprobs_result: Unread = UNSET


class WireFeedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None


class WireChunk(msgspec.Struct, rename="camel"):
    candidates: list[WireCandidate] | None = None
    prompt_feedback: WireFeedback | None = None
    usage_metadata: WireUsage | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: WireError | None = None


_CHUNK = msgspec.json.Decoder(WireChunk)
_DONE = b"[DONE]"
"""Another dialect's end, which some imitations send after ours."""


def read_chunk(data: bytes) -> WireChunk:
    """Raises `UpstreamGarbled`."""
    try:
        return read(_CHUNK, data)
    except Malformed as error:
        if data.strip() == _DONE:
            return WireChunk()
        raise UpstreamGarbled(f"the upstream sent an answer that cannot be read: {error}") from None


def candidate_of(chunk: WireChunk) -> WireCandidate | None:
    """The only candidate that is looked at."""
    return next((candidate for candidate in chunk.candidates or () if not candidate.index), None)


def parts_of(candidate: WireCandidate) -> list[WirePart]:
    return (candidate.content.parts or []) if candidate.content else []


def finish_of(chunk: WireChunk, candidate: WireCandidate | None) -> str | None:
    """The finish reason, when the chunk has one."""
    if candidate is not None and ends(candidate.finish_reason):
        return candidate.finish_reason
    blocked = chunk.prompt_feedback and chunk.prompt_feedback.block_reason
    return BLOCKED if blocked and candidate is None else None


def has_content(part: WirePart) -> bool:
    """Whether the part says something; a signature alone does not."""
    if part.text or part.function_call or part.inline_data or part.file_data:
        return True
    opaque = (part.executable_code, part.code_execution_result, part.tool_call, part.tool_response)
    return any(map(is_given, opaque))


def is_given(value: Unread) -> TypeGuard[Raw]:
    """Neither left out nor null."""
    return value is not UNSET and not is_absent(value)
