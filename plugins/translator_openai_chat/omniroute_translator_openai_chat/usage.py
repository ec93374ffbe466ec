"""Token counts: `prompt_tokens` includes cached ones and `completion_tokens` reasoning, as the canonical ones do."""

from typing import Any

from omniroute.api import Usage
from omniroute_translator_openai_chat.wire import CompletionDetailsWire, Number, PromptDetailsWire, UsageWire


def usage_of(wire: UsageWire) -> Usage:
    prompt = wire.prompt_tokens_details or PromptDetailsWire()
    completion = wire.completion_tokens_details or CompletionDetailsWire()
    return Usage(
        input_tokens=whole(wire.prompt_tokens),
        output_tokens=whole(wire.completion_tokens),
        cached_tokens=whole(prompt.cached_tokens or wire.prompt_cache_hit_tokens),
        cache_write_tokens=whole(prompt.cache_write_tokens or prompt.cache_creation_tokens),
        reasoning_tokens=whole(completion.reasoning_tokens),
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
