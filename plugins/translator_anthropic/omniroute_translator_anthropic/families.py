"""What the models of this dialect's own line take and refuse.

The wire has no other sign of it than the model's name, and what a model refuses makes it answer 400. A name that is not of
that line is taken at its word: nothing is left out that the client asked for. What a provider states in its facts comes before,
in `adapt`. The table stands here and not in the facts of models, because it holds wherever those models are served, at gateways
and under prefixes that no provider's list knows, and because it is about fields that only this dialect has. Sources: the vendor's model and migration pages, read 2026-11.
"""

import re

import msgspec

__all__ = ["Traits", "traits_of"]


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """The defaults are those of a model of which nothing is known: it is sent what the client asked for."""

    is_known: bool = True
    thinks: bool = True
    takes_budget: bool = True
    """`thinking: {type: enabled, budget_tokens}`."""
    takes_adaptive: bool = True
    """`thinking: {type: adaptive}` and `output_config.effort`."""
    takes_sampling: bool = True
    """temperature, top_p and top_k."""
    takes_temperature_with_top_p: bool = True
    takes_prefill: bool = True
    """A last turn of the assistant that the answer goes on from."""
    takes_schema: bool = True
    """`output_config.format`."""
    default_max_tokens: int = 4096
    """What is sent when the client did not say: the field is required. No more than the smallest limit of the line."""


_LINE: tuple[tuple[tuple[int, int], Traits], ...] = (
    ((4, 7), Traits(takes_budget=False, takes_sampling=False, takes_prefill=False, default_max_tokens=32_000)),
    ((4, 6), Traits(takes_temperature_with_top_p=False, takes_prefill=False, default_max_tokens=32_000)),
    ((4, 5), Traits(takes_adaptive=False, takes_temperature_with_top_p=False, default_max_tokens=32_000)),
    ((3, 7), Traits(takes_adaptive=False, takes_schema=False, default_max_tokens=32_000)),
    ((0, 0), Traits(thinks=False, takes_schema=False)),
)
"""Newest first: a generation has the traits of the first row that is not newer."""
_UNKNOWN = Traits(is_known=False)

_NAME = re.compile(r"claude-(?:(?P<family>[a-z]+)-)?(?P<major>\d{1,2})(?:[-.](?P<minor>\d{1,2})(?!\d))?(?!\d)")


def traits_of(model: str) -> Traits:
    generation = _generation(model)
    if generation is None:
        return _UNKNOWN
    return next(traits for since, traits in _LINE if generation >= since)


def _generation(model: str) -> tuple[int, int] | None:
    """(4, 5) of `claude-sonnet-4-5-20250929`, (3, 7) of `claude-3-7-sonnet-latest`."""
    name = _NAME.search(model)
    if name is None:
        return None
    generation = int(name["major"]), int(name["minor"] or 0)
    if name["family"] and generation < (4, 0):
        return None  # the family came to stand before the number with generation 4
    return generation
