"""Names of settings: a path of keys and indexes, and how it is written (`accounts[0].api_key`, `aliases."claude-*"`)."""

import re
from collections.abc import Iterable
from typing import TypeAlias

__all__ = ["PLUGINS", "KeyPath", "closest", "did_you_mean", "dotted"]

KeyPath: TypeAlias = tuple[str | int, ...]
PLUGINS = "plugins"
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def dotted(path: KeyPath) -> str:
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f"{'.' if text else ''}{step if _BARE.fullmatch(step) else _quoted(step)}"
    return text


def _quoted(step: str) -> str:
    escaped = step.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in escaped) + '"'


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like `name`, if any does."""
    import difflib

    return next(iter(difflib.get_close_matches(name, list(known), n=1)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or else the names there are; to be put behind a sentence that says that `name` is unknown."""
    names = sorted(known)
    if found := closest(name, names):
        return f"; did you mean {found!r}?"
    return f"; known: {', '.join(names)}" if names else ""
