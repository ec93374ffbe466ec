"""Takes credentials out of text and structured values: what the vault knows, what a name tells, what looks like one."""

import json
import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, MutableMapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

__all__ = ["MASK", "MAX_KEPT", "Redactor", "keep"]

MASK = "***"
MAX_KEPT = 1024
SHORTEST_SECRET = 8
"""Shorter values ("x", "none", "local") are not masked wherever they occur; words would vanish from every line."""

SECRET_NAMES = frozenset({
    "auth", "authorization", "apikey", "cookie", "credential", "credentials", "key", "passphrase", "password",
    "proxy_authorization", "secret", "set_cookie", "token",
})  # fmt: skip
SECRET_SUFFIXES = ("_key", "_token", "_secret", "_password", "_cookie", "_credential", "_apikey")

_LOOKS_SECRET = re.compile(
    r"""
    # What stands before a credential is a group, and kept. Repetitions that may be tried at many places are bounded:
    # an upstream's error text must not be able to make this quadratic.
      (?P<scheme>(?i:\bbearer)\s+(?!(?i:token|auth))) [^\s"',;]+
    | (?P<basic>(?i:\bbasic)\s+) (?=\S{0,64}[0-9A-Z=])[\w+/=-]{8,}
    | (?P<query>[?&;](?i:[\w-]{0,32}(?:key|token|secret|password|code))=) [^\s&"'#]+
    | (?P<json>["'](?i:[\w-]{0,32}(?:key|token|secret|password|authorization|cookie))["']\s{0,8}:\s{0,8}["'])
          (?:[^"'\\]|\\.)+
    | (?P<cookies>(?i:\b(?:set-)?cookie)\s{0,8}:\s{0,8}) [^\r\n"']+
    | (?P<named>(?i:\b(?:[\w-]{0,32}api[-_ ]?key|[\w-]{0,32}token|[\w-]{0,32}secret|password|authorization))
          \s{0,8}[=:]\s{0,8}) (?=\S{8})(?=\S{0,64}\d)[^\s"'&,;]+
    | (?P<user>://[^\s/@:]{0,64}:) [^\s/]+(?=@)
    | (?<![\w-])eyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*
    | (?<![A-Za-z0-9])(?:
          sk-[A-Za-z0-9_-]{8,}
        | omrm?_[A-Za-z0-9_-]{8,}
        | ya29\.[\w-]+ | 1//[\w-]{20,} | AIza[\w-]{20,}
        | gh[a-z]_[A-Za-z0-9]{20,} | github_pat_\w{20,}
      )
    """,
    re.VERBOSE,
)
_WORD = re.compile(r"[\w./-]*")
_BEGINNINGS = ("sk-", "omr", "ya29.", "1//", "AIza", "gh", "eyJ")
"""A single word that holds none of these cannot match: most of what is logged, at a tenth of the cost."""


class Redactor:
    """Takes credentials out of text: those it was told (`add`) and those that look like one.

    Whoever reads or makes a credential adds it, and discards it when it is replaced. Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self._values: tuple[str, ...] = ()
        self.memo: dict[Any, Any] = {}
        """What was found by the values there are: another one, as soon as they change."""
        self._lock = threading.Lock()

    def add(self, value: str) -> None:
        """From now on `value` is masked, also percent-encoded or inside JSON. Values below 8 characters are not."""
        self.change([value], [])

    def discard(self, value: str) -> None:
        """Undo one `add`."""
        self.change([], [value])

    def text(self, text: str) -> str:
        """`text` with every credential replaced by `***`; the same object when there is none."""
        if len(text) < SHORTEST_SECRET:
            return text
        known: str | None = self.memo.get(text)
        if known is not None:
            return known
        memo = self.memo
        clean = self.unusual(text)
        if len(text) <= 256:
            keep(memo, text, clean)
        return clean

    def known(self, text: str) -> str:
        """`text` without the values this was told; looks alone are no reason to mask here."""
        for value in self._values:
            if value in text:
                text = text.replace(value, MASK)
        return text

    def unusual(self, text: str) -> str:
        """As `text`, for what is hardly seen twice and need not be remembered."""
        clean = self.known(text)
        if _WORD.fullmatch(clean) and not any(map(clean.__contains__, _BEGINNINGS)):
            return clean
        return _LOOKS_SECRET.sub(_masked, clean)

    def value(self, value: object, depth: int = 0) -> object:
        """The same for a tree of dicts and lists, whose telling keys count too. Bytes become their length."""
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, bytes | bytearray | memoryview):
            return f"<{len(value)} bytes>"
        if depth >= 6:
            return "…"
        if isinstance(value, Mapping):
            return {
                self.text(str(name)): MASK if _is_secret_name(str(name)) else self.value(item, depth + 1)
                for name, item in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(item, depth + 1) for item in value]
        return self.text(str(value))

    def __call__(self, logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """As a structlog processor."""
        for name, value in event.items():
            if value is None or value is True or value is False:
                continue
            if _is_secret_name(name):
                event[name] = MASK
            elif type(value) is str:
                event[name] = self.text(value)
            elif type(value) is not int and type(value) is not float:
                event[name] = self.value(value)
        return event

    def __repr__(self) -> str:
        return f"Redactor({len(self._count)} values)"

    def change(self, added: Iterable[str], discarded: Iterable[str]) -> None:
        """`add` and `discard` many at once: every change looks at all the values there are."""
        with self._lock:
            for values, by in ((added, 1), (discarded, -1)):
                for value in values:
                    if len(value) < SHORTEST_SECRET:
                        continue
                    self._count[value] += by
                    if self._count[value] <= 0:
                        del self._count[value]
            spellings = {spelling for known in self._count for spelling in _spellings(known)}
            # Longest first: a value may be part of another.
            self._values = tuple(sorted(spellings, key=len, reverse=True))
            self.memo = {}


def keep(memo: dict[Any, Any], key: object, found: object) -> None:
    """In a redactor's memo, taken before anything was looked for: what was found by older values is kept in the older one."""
    if len(memo) >= MAX_KEPT:
        memo.clear()
    memo[key] = found


def _spellings(value: str) -> set[str]:
    return {value, quote(value, safe=""), json.dumps(value)[1:-1]}


def _masked(match: re.Match[str]) -> str:
    return (match[match.lastgroup] if match.lastgroup else "") + MASK


@lru_cache(maxsize=1024)
def _is_secret_name(name: str) -> bool:
    name = name.lower().replace("-", "_")
    return name in SECRET_NAMES or name.endswith(SECRET_SUFFIXES)
