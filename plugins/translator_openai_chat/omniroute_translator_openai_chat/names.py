"""Tool names and call ids that an upstream takes: pure functions of what the client wrote.

The same name or id gets the same substitute in every turn, so that calls and results match and prompt caches hold.
"""

from omniroute.api import NameRule, short_digest

RULE = NameRule(max_chars=64)
fit_name = RULE.fitted
"""A name the dialect takes; one that fits is returned as it is."""
ID_LENGTH = 64


def fit_id(value: str) -> str:
    """At most 64 characters: the beginning and a hash where it is longer."""
    return value if len(value) <= ID_LENGTH else f"{value[:47]}_{short_digest(value, 16)}"
