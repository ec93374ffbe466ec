"""Patterns in aliases: `*` stands for any run of characters, `?` for one, in any case."""

import functools
import re

__all__ = ["compiled", "is_pattern", "specificity"]


def specificity(pattern: str) -> int:
    """How closely a wildcard pattern describes its models; the highest wins."""
    runs, singles = pattern.count("*"), pattern.count("?")
    literals = len(pattern) - runs - singles
    return len(pattern) + 10 * literals - 50 * runs - 5 * singles


def is_pattern(name: str) -> bool:
    return "*" in name or "?" in name


@functools.cache
def compiled(pattern: str) -> re.Pattern[str]:
    body = "".join(".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern)
    return re.compile(body, re.IGNORECASE | re.DOTALL)
