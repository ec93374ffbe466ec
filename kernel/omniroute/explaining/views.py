"""What is asked, and what is told, of a request that nobody sends. Seconds, US dollars."""

from typing import Literal

import msgspec

from omniroute.contracts import AffinityRecord, LossPolicy, Standing, Tier
from omniroute.explaining.costs import Predicted
from omniroute.model import Loss

__all__ = ["Choice", "Explanation", "Question", "Refusal"]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Where would this go?"""

    body: bytes
    """Of a request, in any dialect that is installed."""
    dialect: str | None = None
    """None: told from the body."""
    model: str | None = None
    """Instead of the body's own; needed where the dialect names it in the path."""
    key: str | None = None
    """Name or id of a client key, whose policies then hold."""
    user_agent: str | None = None


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate, in its place in the order."""

    name: str
    """As a client may ask for it: `prefix/model`."""
    provider: str
    model: str
    account: str
    tier: Tier | None = None
    """How its provider is paid for; None where the name leads to none."""
    verdict: Literal["pass", "skip"]
    turn: int | None = None
    """1 is asked first, 2 when that fails, …; None: not asked by this request."""
    is_last_resort: bool = False
    """It comes from `routing.last_resort`, for when nothing else could answer."""
    reason: str | None = None
    """Why it is skipped, a stable word; `attempts` for one that may be asked but comes after the last attempt."""
    detail: str = ""
    again_in_s: float | None = None
    """When what keeps it out is over; None: waiting does not help."""
    relayed: bool | None = None
    """The client's bytes would go on as they are; None: it cannot be said, or not be sent."""
    losses: tuple[Loss, ...] = ()
    """What the translation would lose, with JSON pointers into the request."""
    cost: Predicted | None = None
    standing: Standing = Standing()
    """What strategies know of it."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What the client would be told at once."""

    status: int
    code: str
    message: str
    why: str | None = None
    retry_after_s: float | None = None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    dialect: str
    dialect_guessed: bool
    requested_model: str
    key: str | None
    combo: str | None
    """None when a model was asked for, and not a list of them."""
    strategy: str | None
    """What orders the combo's entries, else the accounts; None keeps their order."""
    by_chance: bool
    """The order was drawn; the next request may find another."""
    affinity: AffinityRecord | None = None
    """Whether it would stay where its conversation was; None where there is nothing to stay with."""
    input_tokens_estimate: int
    max_output_tokens: int | None
    loss_policy: LossPolicy
    first: str | None
    """Name of the candidate that is asked first; None when no one is."""
    decision: str
    """In words."""
    refusal: Refusal | None = None
    choices: tuple[Choice, ...]
