"""`context-fit`: the smallest context window that holds the prompt first, so that large ones are left for large prompts."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from omniroute.api import Outcome, RouteContext, Target, hookimpl

__all__ = ["ContextFit", "Options", "register_strategies"]

FITS, UNKNOWN, TOO_SMALL = range(3)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reserve_tokens: Annotated[int, Meta(ge=0)] = 4096
    """Kept free for the answer, and for what the estimate of the prompt misses."""


class ContextFit:
    """Windows that fit, smallest first; those nobody knows; those too small, largest first, for an estimate may be wrong.

    The estimate is a quarter of the request's bytes: too much for images, too little for some scripts.
    """

    name = "context-fit"
    options_type = Options

    def __init__(self, options: Options) -> None:
        self.options = options

    def order(self, targets: Sequence[Target], context: RouteContext) -> Sequence[Target]:
        if context.input_tokens_estimate is None:
            return targets
        wanted = context.input_tokens_estimate + self.options.reserve_tokens

        def rank(target: Target) -> tuple[int, int]:
            window = context.standing[target].context_tokens
            if window is None:
                return (UNKNOWN, 0)
            return (FITS, window) if window >= wanted else (TOO_SMALL, -window)

        return sorted(targets, key=rank)

    def observe(self, outcome: Outcome) -> None:
        """Ignored: outcomes change no window."""


@hookimpl
def register_strategies() -> list[type[ContextFit]]:
    return [ContextFit]
