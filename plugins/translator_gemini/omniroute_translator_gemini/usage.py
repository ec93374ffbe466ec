"""Token counts and finish reasons: what both sides of an answer share.

The wire counts the answer without the thinking before it, and the prompt without what tools at the vendor put into it; canonical
counts have all of it.
"""

from collections.abc import Mapping

import msgspec

from omniroute.api import FinishReason, SignatureRejected, UpstreamError, UpstreamFailed, Usage
from omniroute_translator_gemini.wire import Wire

__all__ = ["UsageTally", "WireUsage", "ends", "finish_error", "finish_name", "finish_reason", "wire_usage"]


class WireUsage(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    total_token_count: int | None = None


class UsageTally:
    """The counts of one answer. Later values replace earlier ones, and a zero never replaces a known number."""

    __slots__ = ("_answer", "_cached", "_prompt", "_thoughts", "_tools", "_total")

    def __init__(self) -> None:
        self._prompt = self._tools = self._cached = self._answer = self._thoughts = self._total = 0

    def update(self, wire: WireUsage) -> Usage:
        """Take in what one chunk says; returns everything known so far."""
        self._prompt = wire.prompt_token_count or self._prompt
        self._tools = wire.tool_use_prompt_token_count or self._tools
        self._cached = wire.cached_content_token_count or self._cached
        self._answer = wire.candidates_token_count or self._answer
        self._thoughts = wire.thoughts_token_count or self._thoughts
        self._total = wire.total_token_count or self._total
        asked = self._prompt + self._tools
        answer = self._answer or max(0, self._total - asked - self._thoughts)
        return Usage(
            input_tokens=asked,
            output_tokens=answer + self._thoughts,
            cached_tokens=self._cached,
            reasoning_tokens=self._thoughts,
        )


def wire_usage(usage: Usage) -> Wire:
    wire: Wire = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": max(0, usage.output_tokens - usage.reasoning_tokens),
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }
    if usage.cached_tokens:
        wire["cachedContentTokenCount"] = usage.cached_tokens
    if usage.reasoning_tokens:
        wire["thoughtsTokenCount"] = usage.reasoning_tokens
    return wire


# --- finish reasons ---------------------------------------------------------------------------------------------------

_NO_REASON = ("", "FINISH_REASON_UNSPECIFIED")
_FINISH: Mapping[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "pause",
    **dict.fromkeys(
        (
            "SAFETY",
            "RECITATION",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "LANGUAGE",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
            "MODEL_ARMOR",
        ),
        "content_filter",
    ),
}
_BROKEN = frozenset({"MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL"})
_UNSIGNED = "MISSING_THOUGHT_SIGNATURE"
_NAMES: Mapping[FinishReason, str] = {
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "refusal": "SAFETY",
}


def ends(reason: str | None) -> bool:
    """Whether this finish reason says that the answer is at its end."""
    return reason is not None and reason not in _NO_REASON


def finish_reason(reason: str, *, has_calls: bool) -> FinishReason:
    """Total: an unknown reason is a plain stop, and a call to a client's tool is never one."""
    finish = _FINISH.get(reason, "stop")
    return "tool_calls" if has_calls and finish == "stop" else finish


def finish_error(reason: str) -> UpstreamError | None:
    """The failure that a finish reason stands for: the model wrote something nobody can read, and may do better next time."""
    if reason in _BROKEN:
        return UpstreamFailed(f"the upstream's model wrote an answer that cannot be read ({reason})")
    if reason == _UNSIGNED:
        return SignatureRejected("the upstream misses a thought signature in the history", status=400)
    return None


def finish_name(finish: FinishReason) -> str:
    return _NAMES.get(finish, "STOP")
