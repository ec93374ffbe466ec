"""What the models of this dialect's own line take and refuse.

The wire has no other sign of it than the model's name, and what a model refuses makes it answer 400. A name that is not of
that line is taken at its word: nothing is left out that the client asked for. What a provider states in its facts comes before,
in `adapt`. The table stands here and not in the facts of models, because it holds wherever those models are served, at gateways
and under prefixes that no provider's list knows, and because it is about fields that only this dialect has. Sources: the vendor's pages on thinking, thought signatures and function calling, read 2026-11.
"""

import re

import msgspec

from omniroute.api import ReasoningEffort

__all__ = ["Traits", "traits_of"]


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """The defaults are those of a model that nobody here knows."""

    thinks: bool = True
    budgets: range | None = None
    """Tokens it may be told to think, where it is told so in tokens."""
    stops_thinking: bool = True
    levels: tuple[ReasoningEffort, ...] = ()
    """How it may be told to think, where it is told so in levels."""
    signs_calls: bool = False
    """Calls of the running turn need a thought signature."""
    shows_results_media: bool = False
    """Images may stand within a tool's result."""
    formats_with_tools: bool = True
    """JSON may be asked for along with functions."""


_UNKNOWN = Traits()
_PLAIN = Traits(thinks=False, formats_with_tools=False)
_LEVELS_OF_FLASH: tuple[ReasoningEffort, ...] = ("minimal", "low", "medium", "high")
_LEVELS_OF_PRO: tuple[ReasoningEffort, ...] = ("low", "high")

_NAME = re.compile(
    r"gemini-(?P<major>\d{1,2})(?:\.(?P<minor>\d{1,2}))?(?P<kind>-pro|-flash-lite|-flash)?(?P<media>.*-(?:image|tts|audio))?"
)
_NEWEST = re.compile(r"gemini-(?P<kind>pro|flash-lite|flash)-latest")
_NEWEST_GENERATION = (3, 0)


def traits_of(model: str) -> Traits:
    if newest := _NEWEST.search(model):
        return _of_levels(f"-{newest['kind']}")
    name = _NAME.search(model)
    if name is None:
        return _UNKNOWN
    generation = int(name["major"]), int(name["minor"] or 0)
    if generation >= _NEWEST_GENERATION:
        return _of_levels(name["kind"] or "")
    if generation < (2, 5) or name["media"]:
        return _PLAIN
    return _of_budgets(name["kind"] or "")


def _of_levels(kind: str) -> Traits:
    levels = _LEVELS_OF_PRO if kind == "-pro" else _LEVELS_OF_FLASH
    return Traits(levels=levels, stops_thinking=False, signs_calls=True, shows_results_media=True)


def _of_budgets(kind: str) -> Traits:
    match kind:
        case "-pro":
            return Traits(budgets=range(128, 32_769), stops_thinking=False, formats_with_tools=False)
        case "-flash-lite":
            return Traits(budgets=range(512, 24_577), formats_with_tools=False)
        case _:
            return Traits(budgets=range(1, 24_577), formats_with_tools=False)
