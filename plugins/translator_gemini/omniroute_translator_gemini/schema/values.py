"""What may stand for the keywords of a schema."""

from typing import Any, TypeGuard

__all__ = ["is_anything", "is_count", "is_number", "is_text"]


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def is_anything(value: Any) -> bool:
    return value is not None
