"""Token counts: `input_tokens` includes cached ones and `output_tokens` reasoning, as the canonical ones do."""

from typing import Any, TypeAlias

from msgspec import Struct

from omniroute.api import Usage

Number: TypeAlias = int | float | None


class InputDetailsWire(Struct):
    cached_tokens: Number = None
    cache_write_tokens: Number = None


class OutputDetailsWire(Struct):
    reasoning_tokens: Number = None


class UsageWire(Struct):
    input_tokens: Number = None
    output_tokens: Number = None
    input_tokens_details: InputDetailsWire | None = None
    output_tokens_details: OutputDetailsWire | None = None


def usage_of(wire: UsageWire) -> Usage:
    before = wire.input_tokens_details or InputDetailsWire()
    after = wire.output_tokens_details or OutputDetailsWire()
    return Usage(
        input_tokens=whole(wire.input_tokens),
        output_tokens=whole(wire.output_tokens),
        cached_tokens=whole(before.cached_tokens),
        cache_write_tokens=whole(before.cache_write_tokens),
        reasoning_tokens=whole(after.reasoning_tokens),
    )


def whole(value: Number) -> int:
    return int(value) if value and 0 < value < 2**63 else 0


def usage_json(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
