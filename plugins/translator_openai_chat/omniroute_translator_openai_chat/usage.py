"""Token counts: `prompt_tokens` includes cached ones and `completion_tokens` reasoning, as the canonical ones do."""

from typing import Any

from omniroute.api import Usage
from omniroute_translator_openai_chat.wire import Number, UsageWire


def usage_of(wire: UsageWire) -> Usage:
    cached, written, thought = wire.prompt_cache_hit_tokens, None, None
    if (prompt := wire.prompt_tokens_details) is not None:
        cached = prompt.cached_tokens or cached
        written = prompt.cache_write_tokens or prompt.cache_creation_tokens
    if (completion := wire.completion_tokens_details) is not None:
        thought = completion.reasoning_tokens
    return Usage(
        input_tokens=whole(wire.prompt_tokens),
        output_tokens=whole(wire.completion_tokens),
        cached_tokens=whole(cached) if cached else 0,
        cache_write_tokens=whole(written) if written else 0,
        reasoning_tokens=whole(thought) if thought else 0,
    )


def whole(value: Number) -> int:
    return int(value) if value and 0 < value < 2**63 else 0


def usage_json(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
