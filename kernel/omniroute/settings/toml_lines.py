"""Where in a TOML text each key stands, which `tomllib` does not tell. For texts that `tomllib` has already accepted."""

import re
import tomllib
from collections.abc import Iterator
from typing import TypeAlias

from omniroute.settings.paths import KeyPath

__all__ = ["key_lines"]

Token: TypeAlias = tuple[str, int]
"""Text and line."""
_TOKEN = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}|'{3}.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|[A-Za-z0-9_-]+|\#[^\n]*|[ \t\r]+|.''',
    re.DOTALL,
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """Line (from 1) of each table, key and array element; keys inside inline tables are left to their parent."""
    lines: dict[KeyPath, int] = {}
    elements: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for statement in _statements(text):
        line = statement[0][1]
        if statement[0][0] == "[":
            is_array = len(statement) > 1 and statement[1][0] == "["
            table = _resolved(_keys(statement[1 + is_array :]), elements, is_array=is_array)
            path = table
        else:
            keys = _keys(statement)
            path = (*table, *keys)
            value = statement[_equals(statement) + 1 :]
            lines.update({(*path, at): of for at, of in enumerate(_element_lines(value))})
        for end in range(1, len(path) + 1):
            lines.setdefault(path[:end], line)
    return lines


def _statements(text: str) -> Iterator[list[Token]]:
    """Table headers and assignments, each as its tokens without blanks and comments."""
    line, depth, statement = 1, 0, list[Token]()
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token == "\n" and depth == 0 and statement:
            yield statement
            statement = []
        elif not token.isspace() and not token.startswith("#"):
            statement.append((token, line))
            depth += (token in "[{") - (token in "]}")
        line += token.count("\n")
    if statement:
        yield statement


def _keys(tokens: list[Token]) -> tuple[str, ...]:
    keys: list[str] = []
    for token, _ in tokens:
        if token in ("=", "]"):
            break
        if token != ".":
            keys.append(next(iter(tomllib.loads(f"{token} = 0"))))
    return tuple(keys)


def _equals(tokens: list[Token]) -> int:
    return next(at for at, (token, _) in enumerate(tokens) if token == "=")


def _resolved(keys: tuple[str, ...], elements: dict[KeyPath, int], *, is_array: bool) -> KeyPath:
    """The path of a header: below an array of tables, it means the array's newest element."""
    path: KeyPath = ()
    for at, key in enumerate(keys):
        path = (*path, key)
        if is_array and at == len(keys) - 1:
            elements[path] = elements.get(path, 0) + 1
        if path in elements:
            path = (*path, elements[path] - 1)
    return path


def _element_lines(value: list[Token]) -> Iterator[int]:
    """The line on which each element of an array begins; nothing for other values."""
    if not value or value[0][0] != "[":
        return
    depth, expected = 0, False
    for token, line in value:
        if expected and token != "]":
            yield line
        depth += (token in "[{") - (token in "]}")
        expected = depth == 1 and token in "[,"
