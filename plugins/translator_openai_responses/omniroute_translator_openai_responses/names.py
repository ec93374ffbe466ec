"""Tool names, call ids and item ids: pure functions of what was written, so that they are the same in every turn.

A tool in a namespace is known everywhere else by one name made of both. That name is looked up again, never taken apart.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
FOREIGN = re.compile(r"[^a-zA-Z0-9_-]")
ID_LENGTH = 64
DEFAULT_NAMESPACE = "functions"
"""Where tools are that stand in no other; the service refuses it at the top of `tools` and leaves it out of calls."""


def digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def fit_id(value: str) -> str:
    """At most 64 characters: the beginning and a hash where it is longer."""
    return value if len(value) <= ID_LENGTH else f"{value[:47]}_{digest(value, 16)}"


def fit_name(name: str) -> str:
    """A name the dialect takes; one that fits is returned as it is."""
    return name if NAME.fullmatch(name) else f"{FOREIGN.sub('_', name)[:55]}_{digest(name, 8)}"


def flat_name(namespace: str | None, name: str) -> str:
    """One name for a tool and its namespace; the tool's own in the default namespace."""
    if not namespace or namespace == DEFAULT_NAMESPACE:
        return name
    return f"{namespace.rstrip('_')}__{name.lstrip('_')}"


class ToolNames:
    """A bijection between the client's tool names and those sent upstream, for one request."""

    def __init__(self, names: Iterable[str]) -> None:
        distinct = dict.fromkeys(names)
        self._sent = {name: name for name in distinct if NAME.fullmatch(name)}
        taken = set(self._sent)
        for name in distinct:
            if name in self._sent:
                continue
            substitute = fit_name(name)
            while substitute in taken:  # a client would have to aim at it
                substitute = fit_name(f"{substitute}!")
            taken.add(substitute)
            self._sent[name] = substitute

    def sent(self, name: str) -> str:
        return self._sent[name]

    @property
    def changed(self) -> Mapping[str, str]:
        """name sent upstream → name the client knows, for those that differ."""
        return {sent: name for name, sent in self._sent.items() if sent != name}
