"""Who orders targets, and what it may know."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Protocol, TypeAlias

import msgspec

__all__ = [
    "EntryName",
    "Outcome",
    "RouteContext",
    "Standing",
    "Strategy",
    "Target",
]


class Target(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """Where a request can go. `account` is empty while only combo entries are being ordered."""

    provider: str
    model: str
    account: str = ""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a target is doing: what this process has seen of it, and what is known of its model. None is unknown.

    Of a target without an account it is the sum over all of its accounts. `requests`, `failures` and `in_flight` are those of
    all gateways that share a `Fast`, a second or two late; all else is this process's own.
    """

    requests: int = 0
    """Attempts that were sent."""
    failures: int = 0
    """Those that failed by the upstream's fault; a client that left is nobody's."""
    in_flight: int = 0
    """Attempts whose answers are not at their end."""
    last_used_s: float | None = None
    """When an attempt last began; monotonic, as `RouteContext.now_s`."""
    latency_s: float | None = None
    """From sending to the first content event, the last ones weighing most."""
    error_rate: float = 0.0
    """Share of attempts that fail, 0 to 1, the last ones weighing most."""
    input_usd: float | None = None
    """Per million tokens; 0 is free."""
    output_usd: float | None = None
    context_tokens: int | None = None
    quota_left: float | None = None
    """Share of the account's quota, 0 to 1."""
    quota_resets_s: float | None = None
    """When the quota is full again; monotonic, perhaps past."""


class _NothingKnown(Mapping[Target, Standing]):
    """Every target is there, and nothing has been seen of it."""

    def __getitem__(self, target: Target) -> Standing:
        return _NEW

    def __iter__(self) -> Iterator[Target]:
        return iter(())

    def __len__(self) -> int:
        return 0


_NEW = Standing()


def _no_chance() -> float:
    return 0.0


class RouteContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy may know."""

    combo: str
    """Whose entries are ordered; of accounts, the combo they are needed for, or empty."""
    session: str | None
    now_s: float
    """Monotonic."""
    draw: Callable[[], float] = _no_chance
    """A new random number with each call, at least 0 and below 1."""
    standing: Mapping[Target, Standing] = _NothingKnown()
    """Has every target. Looked up when asked for, so what is not needed costs nothing."""
    names: Mapping[Target, str] = {}
    """What the combo's list calls its entries; empty when accounts are ordered."""
    input_tokens_estimate: int | None = None
    """Rough size of the prompt: a quarter of the body's bytes."""


EntryName: TypeAlias = Annotated[str, msgspec.Meta(extra={"stands_for": "entry"})]
"""A key in a strategy's options that stands for an entry of the combo, as its list has it: `dict[EntryName, float]`.

The kernel refuses keys that are not in the combo's `models`."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one attempt, told when it has ended. A client that left before the end is no outcome."""

    target: Target
    """Who was asked, with the account, also where entries of a combo were ordered."""
    ok: bool
    error: str | None = None
    """The error's code."""
    latency_s: float = 0.0
    """From sending to the first content event, or to the failure."""


class Strategy(Protocol):
    """Orders targets. Sync, microseconds, on the event loop: no I/O, no clock, no randomness but what `context` brings.

    One instance per combo, and per provider for its accounts, built as `strategy_type(options)`. Every order is asked for
    when it is needed: that of accounts when it is the turn of their entry in the combo. Dry runs ask a `copy.deepcopy`, so that
    no turn is counted: what an instance remembers must be its own and can be copied.
    """

    name: str
    options_type: type[msgspec.Struct]

    def __init__(self, options: Any) -> None: ...
    def order(self, targets: Sequence[Target], context: RouteContext) -> Sequence[Target]:
        """All of `targets`, each once, best first. `targets` is never empty."""
        ...

    def observe(self, outcome: Outcome) -> None: ...
