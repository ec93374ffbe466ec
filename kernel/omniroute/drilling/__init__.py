"""Fire drills: what a combo does when somebody fails, without anybody failing. `stage` plays them; here is what is said of it."""

import msgspec

from omniroute.contracts import AttemptRecord

__all__ = ["Drill", "DrillOrder"]


class DrillOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    model: str
    """A combo's name, or any other model string."""
    fault: str
    """One of those that `ProviderFacts.drills` of an installed provider names."""
    target: int = 1
    """Which candidate fails: 1 is the one that would be asked first."""
    stream: bool = True


class Drill(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    fault: str
    failing: str
    """The candidate whose part the fault played: `prefix/model (account)`."""
    attempts: tuple[AttemptRecord, ...]
    status: int
    """What the client got; so are the next ones."""
    error: str | None
    served_by: str | None
    content_s: float | None
    """When it saw the first content."""
    duration_s: float
    ending: str
    """The last of what it saw."""
    patience_s: float
    """How long the drill waited for a first content event."""
    usual_patience_s: float
    """How long it is in earnest; 0 is for ever, as far as the candidate itself is concerned."""
    decision: str
    """In words."""
