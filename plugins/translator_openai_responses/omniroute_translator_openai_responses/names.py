"""Tool names, call ids and item ids: pure functions of what was written, so that they are the same in every turn.

A tool in a namespace is known everywhere else by one name made of both. That name is looked up again, never taken apart.
"""

from omniroute.api import NameRule, short_digest

RULE = NameRule(max_chars=64)
fit_name = RULE.fitted
"""A name the dialect takes; one that fits is returned as it is."""
ID_LENGTH = 64
DEFAULT_NAMESPACE = "functions"
"""Where tools are that stand in no other; the service refuses it at the top of `tools` and leaves it out of calls."""


def fit_id(value: str) -> str:
    """At most 64 characters: the beginning and a hash where it is longer."""
    return value if len(value) <= ID_LENGTH else f"{value[:47]}_{short_digest(value, 16)}"


def flat_name(namespace: str | None, name: str) -> str:
    """One name for a tool and its namespace; the tool's own in the default namespace."""
    if not namespace or namespace == DEFAULT_NAMESPACE:
        return name
    return f"{namespace.rstrip('_')}__{name.lstrip('_')}"
