"""The opening of a text: some servers write the model's reasoning there, between `<think>` and `</think>`.

Only at the very start, white space aside; later the tags are words like any other. They may come in pieces, so what can still
become a tag is held back until that is decided. A tag that is never closed makes everything reasoning.
"""

from typing import Literal, TypeAlias

Piece: TypeAlias = tuple[Literal["reasoning", "text"], str]
OPEN = "<think>"
CLOSE = "</think>"


def is_undecided(text: str) -> bool:
    """Whether a text that starts like this has said nothing yet: white space, and perhaps a part or all of the tag."""
    return OPEN.startswith(text.lstrip())


def may_think(text: str) -> bool:
    """Whether a text that starts like this starts with the tag, as far as one can see."""
    start = text.lstrip()
    return start != "" and (start.startswith(OPEN) or OPEN.startswith(start))


class Opening:
    """One per answer: `feed` each piece of its text until it `is_over`, and `close` before anything but text."""

    def __init__(self) -> None:
        self.is_over = False
        """From here on text is text."""
        self._where: Literal["before", "inside", "behind"] = "before"
        """Of the tags."""
        self._held = ""

    def feed(self, text: str) -> list[Piece]:
        pieces: list[Piece] = []
        text, self._held = self._held + text, ""
        if self._where == "before":
            start = text.lstrip()
            if start.startswith(OPEN):
                self._where, text = "inside", start[len(OPEN) :]
            elif OPEN.startswith(start):
                self._held = text
                return pieces
        if self._where == "inside":
            thought, tag, text = text.partition(CLOSE)
            if tag:
                self._where = "behind"
            else:
                thought, self._held = without_beginning(thought)
            if thought:
                pieces.append(("reasoning", thought))
            if not tag:
                return pieces
        if self._where == "behind":
            text = text.lstrip("\r\n")
        if text:
            self.is_over = True
            pieces.append(("text", text))
        return pieces

    def close(self) -> list[Piece]:
        """What is held will not become a tag: the text has ended, or something else stands in between."""
        held, self._held = self._held, ""
        if self._where == "inside":
            return [("reasoning", held)] if held else []
        self.is_over = self.is_over or self._where == "behind" or held != ""
        return [("text", held)] if held else []


def without_beginning(text: str) -> tuple[str, str]:
    """`text` cut before an end that may be the beginning of `CLOSE`, and that end."""
    at = text.rfind(CLOSE[0], -len(CLOSE) + 1)
    if at < 0 or not CLOSE.startswith(text[at:]):
        return text, ""
    return text[:at], text[at:]
