"""What is kept of a request, and who keeps it."""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import msgspec

from omniroute.contracts.translator import Operation
from omniroute.model import Loss, Usage

__all__ = [
    "AffinityDecision",
    "AffinityRecord",
    "AttemptRecord",
    "RequestLog",
    "RequestRecord",
    "TelemetrySink",
]


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate that was tried or skipped."""

    provider: str
    model: str
    account: str
    status: int | None = None
    """The upstream's HTTP status; None when there was no answer."""
    error: str | None = None
    """Error code, or the reason for skipping; None for the one that answered."""
    sent: bool = True
    started_s: float = 0.0
    """Seconds after the request came in."""
    duration_s: float = 0.0
    retry_after_s: float | None = None


AffinityDecision: TypeAlias = Literal["new", "stay", "pin", "switch", "escape", "rebind"]
"""`new`: nothing served the conversation before. `stay`: the same as before. `pin`: the account that alone can read what the
request carries. `switch`: another, which costs less. `escape`: another this once. `rebind`: another from now on."""


class AffinityRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a conversation stayed with the account that served it last."""

    decision: AffinityDecision
    reason: str = ""
    """What the other one was preferred for, or why the last one could not serve it."""
    warm_usd: float | None = None
    """What the prompt was expected to cost where the conversation was; None: not asked, or a price is unknown."""
    cold_usd: float | None = None
    """The same for the one that would have been chosen instead."""


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one request. Never a prompt, an answer or a credential."""

    id: str
    """Unique (a ULID); sinks may rely on it to drop duplicates."""
    request_id: str
    """As in `X-Request-Id`; the client's own when it sent a sane one."""
    started_at_s: float
    """Unix time."""
    dialect: str
    operation: Operation
    key_id: str
    key_name: str
    requested_model: str
    status: int
    stream: bool
    outcome: Literal["ok", "error", "client_closed"]
    error: str | None = None
    provider: str | None = None
    model: str | None = None
    account: str | None = None
    relayed: bool = False
    """The bytes went through untouched."""
    attempts: tuple[AttemptRecord, ...] = ()
    usage: Usage | None = None
    cost_usd: float | None = None
    """By the prices known when it was answered; None where usage or a price is unknown, 0 is free."""
    losses: tuple[Loss, ...] = ()
    first_content_s: float | None = None
    duration_s: float = 0.0
    request_bytes: int = 0
    response_bytes: int = 0
    user_agent: str | None = None
    affinity: AffinityRecord | None = None
    """None where there was nothing to stay with, or no choice."""


class TelemetrySink(Protocol):
    """Receives records in batches, off the request's path. Async; a failing `write` is counted and never fails a request;
    its records are given again, with those that came since."""

    name: str

    async def start(self) -> None:
        """Called before the first `write`."""

    async def write(self, records: Sequence[RequestRecord]) -> None: ...
    async def close(self) -> None:
        """Called after the last `write`."""


@runtime_checkable
class RequestLog(Protocol):
    """What a `TelemetrySink` offers besides, when what it was given can be read again."""

    async def find(self, request_id: str, limit: int) -> Sequence[RequestRecord]:
        """Up to `limit` records that have it as `id` or `request_id`, the newest first. Called between `start` and `close`."""
        ...
