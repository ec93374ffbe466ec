"""Counting tokens offline."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

__all__ = [
    "TokenCounter",
    "TokenOverhead",
]


class TokenOverhead(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens a model reads besides the text of a request: marks between turns, instructions that its vendor adds."""

    per_request: int = 0
    per_message: int = 4
    per_tool: int = 10
    """For what stands around name, description and schema in a tool's declaration."""
    with_tools: int = 0
    """Once, when there are tools: how to call them."""


class TokenCounter(Protocol):
    """Counts tokens as models do whose tokenizer it knows: for estimates, where the upstream does not count itself.

    Sync; no network, ever. What a request consists of is put together by the kernel, which calls everything but `counts`
    off the event loop, perhaps from several threads at once. `model` is the upstream's id.
    """

    name: str

    def counts(self, model: str) -> bool:
        """Whether it knows how this model counts. On the event loop: microseconds, and nothing is loaded for it."""
        ...

    def count_text(self, model: str, texts: Sequence[str]) -> int:
        """Tokens of all the texts. May load a vocabulary at first, and take milliseconds for 100 kB after that."""
        ...

    def count_image(self, model: str, size: tuple[int, int] | None, detail: str | None) -> int | None:
        """Tokens of an image of (width, height) pixels; `size` is None where it is not known. None: the kernel's guess."""
        return None

    def overhead(self, model: str) -> TokenOverhead:
        return TokenOverhead()
