"""How much may be asked of something, or by somebody."""

from typing import Annotated

import msgspec

__all__ = ["Limits"]

Count = Annotated[int, msgspec.Meta(ge=1)]


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is None is not limited. All of it is counted by the gateway itself, whatever an upstream allows."""

    max_concurrency: Count | None = None
    """Requests under way."""
    min_interval_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] | None = None
    """Between the beginnings of two requests."""
    rpm: Count | None = None
    """Requests in any 60 s."""
    tpm: Count | None = None
    """Tokens in any 60 s, of prompts and answers. A request takes an estimate with it, which its end corrects."""

    def __bool__(self) -> bool:
        """Whether anything is limited."""
        return (self.max_concurrency or self.min_interval_s or self.rpm or self.tpm) is not None
