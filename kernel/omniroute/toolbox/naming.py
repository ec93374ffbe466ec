"""Tool names that an upstream takes: pure functions of what the client wrote.

The same name gets the same substitute in every turn, so that calls and results match and prompt caches hold.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping

__all__ = ["NameRule", "ToolNames", "short_digest"]

DIGEST_CHARS = 8


def short_digest(text: str, length: int = DIGEST_CHARS) -> str:
    """That many hexadecimal digits of a hash of the text, whatever characters it holds."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


class NameRule:
    """Which names a dialect takes: `characters` as in a regular expression's class, `first` those a name may begin with."""

    def __init__(self, *, max_chars: int, characters: str = "a-zA-Z0-9_-", first: str | None = None) -> None:
        self.max_chars = max_chars
        self._first = re.compile(f"[{first or characters}]")
        self._fitting = re.compile(f"[{first or characters}][{characters}]{{0,{max_chars - 1}}}")
        self._unfit = re.compile(f"[^{characters}]")

    def allows(self, name: str) -> bool:
        return self._fitting.fullmatch(name) is not None

    def fitted(self, name: str, salt: str = "") -> str:
        """A name that is allowed: as it is, or as much of it as may stay and a hash."""
        if not salt and self.allows(name):
            return name
        stem = self._unfit.sub("_", name)
        stem = stem if not stem or self._first.match(stem) else f"_{stem}"
        return f"{stem[: self.max_chars - DIGEST_CHARS - 1]}_{short_digest(name + salt)}"


class ToolNames:
    """A bijection between the client's tool names and those sent upstream, for one request."""

    def __init__(self, names: Iterable[str], rule: NameRule) -> None:
        distinct = dict.fromkeys(names)
        self._sent = {name: name for name in distinct if rule.allows(name)}
        taken = set(self._sent)
        for name in distinct:
            if name in self._sent:
                continue
            salt = ""
            while (substitute := rule.fitted(name, salt)) in taken:  # a client would have to aim at it
                salt += "+"
            taken.add(substitute)
            self._sent[name] = substitute
        self.changed: Mapping[str, str] = {sent: name for name, sent in self._sent.items() if sent != name}
        """Name sent upstream → name the client knows, for those that differ."""

    def sent(self, name: str) -> str:
        return self._sent[name]
