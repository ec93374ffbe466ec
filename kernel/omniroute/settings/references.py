"""`${env:NAME}` in strings: found, and replaced by the variable's value, which from then on counts as a secret."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from omniroute.secret import Secret
from omniroute.settings.checking import Problem
from omniroute.settings.paths import KeyPath

__all__ = ["Expansion", "referenced"]

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<what>[^}]*)(?P<end>\}?)")


class Expansion:
    """One walk over a tree. `problems` never hold a variable's value."""

    def __init__(self, environ: Mapping[str, str], applies: Callable[[KeyPath], bool]) -> None:
        self._environ = environ
        self._applies = applies
        """Whether strings at this path may refer to anything."""
        self.problems: list[Problem] = []
        self.written: dict[KeyPath, str] = {}
        """Path → the string as it was, where it referred to something."""

    def tree(self, value: Any, path: KeyPath = ()) -> Any:
        """A copy of the tree; strings that referred to a variable are `Secret`."""
        match value:
            case dict():
                return {key: self.tree(inner, (*path, key)) for key, inner in value.items()}
            case list():
                return [self.tree(inner, (*path, at)) for at, inner in enumerate(value)]
            case str() if "${" in value and self._applies(path):
                return self._text(value, path)
            case _:
                return value

    def _text(self, text: str, path: KeyPath) -> str | Secret:
        expanded = _REFERENCE.sub(lambda found: self._value(found, path), text)
        if all(found["what"] is None for found in _REFERENCE.finditer(text)):
            return expanded
        self.written[path] = text
        return Secret(expanded)

    def _value(self, found: re.Match[str], path: KeyPath) -> str:
        if found["what"] is None:
            return "${"
        kind, _, name = found["what"].partition(":")
        if kind != "env" or not name or not found["end"]:
            advice = "write ${env:NAME}, or $${ for the two characters themselves"
            self.problems.append((path, f"{found[0]!r} is no reference; {advice}"))
        elif name not in self._environ:
            advice = f"set it, or take ${{env:{name}}} out"
            self.problems.append((path, f"the environment variable {name} is not set; {advice}"))
        return self._environ.get(name, "")


def referenced(value: object) -> Iterator[str]:
    """Names of the variables that strings in a tree refer to."""
    match value:
        case dict():
            for inner in value.values():
                yield from referenced(inner)
        case list():
            for inner in value:
                yield from referenced(inner)
        case str():
            whats = (found["what"] or "" for found in _REFERENCE.finditer(value))
            yield from (what.removeprefix("env:") for what in whats if what.startswith("env:"))
        case _:
            return
