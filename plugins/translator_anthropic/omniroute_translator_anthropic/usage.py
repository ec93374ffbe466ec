"""Token counts and stop reasons: what both sides of an answer share.

The wire counts input without what came from or went to a cache; canonical input counts all of it.
"""

from collections.abc import Mapping

import msgspec

from omniroute.api import FinishReason, Usage
from omniroute_translator_anthropic.wire import Wire

__all__ = ["UsageTally", "WireUsage", "finish_reason", "stop_reason", "wire_usage"]


class WireCacheCreation(msgspec.Struct):
    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class WireOutputDetails(msgspec.Struct):
    thinking_tokens: int | None = None


class WireUsage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: WireCacheCreation | None = None
    output_tokens_details: WireOutputDetails | None = None


class UsageTally(msgspec.Struct, gc=False):
    """The counts of one answer. Later values replace earlier ones, and a zero never replaces a known number."""

    fresh: int = 0
    output: int = 0
    cached: int = 0
    written: int = 0
    written_1h: int = 0
    thinking: int = 0

    def update(self, wire: WireUsage) -> Usage:
        """Take in what one event says; returns everything known so far."""
        self.fresh = wire.input_tokens or self.fresh
        self.output = wire.output_tokens or self.output
        self.cached = wire.cache_read_input_tokens or self.cached
        written = wire.cache_creation_input_tokens
        if split := wire.cache_creation:
            self.written_1h = split.ephemeral_1h_input_tokens or self.written_1h
            written = written or (split.ephemeral_5m_input_tokens or 0) + (split.ephemeral_1h_input_tokens or 0)
        self.written = written or self.written
        if details := wire.output_tokens_details:
            self.thinking = details.thinking_tokens or self.thinking
        return Usage(
            input_tokens=self.fresh + self.cached + self.written,
            output_tokens=self.output,
            cached_tokens=self.cached,
            cache_write_tokens=self.written,
            cache_write_1h_tokens=self.written_1h,
            reasoning_tokens=self.thinking,
        )


_NO_USAGE = Usage()


def wire_usage(usage: Usage | None, *, whole: bool) -> Wire:
    """The wire's counts; unknown ones are 0. `whole` adds what only a message has, not its last delta."""
    usage = usage or _NO_USAGE
    fresh = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
    wire: Wire = {
        "input_tokens": fresh if fresh > 0 else 0,  # noqa: FURB136 - `max` costs five times that
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }
    if whole and usage.cache_write_tokens:
        wire["cache_creation"] = {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens - usage.cache_write_1h_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        }
    if usage.reasoning_tokens:
        wire["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return wire


_FINISH: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "pause",
    "refusal": "content_filter",
}

_STOP: Mapping[FinishReason, str] = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
}


def finish_reason(stop: str | None, *, has_calls: bool) -> FinishReason:
    """Total: an unknown or missing reason is a plain stop, and a call to a client's tool is never one."""
    finish = _FINISH.get(stop or "", "stop")
    if finish in ("stop", "tool_calls"):
        return "tool_calls" if has_calls else "stop"
    return finish


def stop_reason(finish: FinishReason, stop_sequence: str | None, *, has_calls: bool) -> Wire:
    """`stop_reason` and `stop_sequence`, as they stand in a message and in `message_delta`."""
    if has_calls and finish == "stop":
        finish = "tool_calls"
    if finish == "stop" and stop_sequence is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": stop_sequence}
    return {"stop_reason": _STOP.get(finish, "end_turn"), "stop_sequence": None}
