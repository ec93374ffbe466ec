"""Durable and shared state."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec

__all__ = [
    "Change",
    "Fast",
    "Lease",
    "Record",
    "Row",
    "Store",
]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A durable value. `version` starts at 1 and rises by one with each write of this key."""

    key: str
    value: bytes
    version: int


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an append-only log. Appending an id twice keeps the first."""

    id: str
    value: bytes


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something happened to a row. `sequence` rises over the whole store."""

    sequence: int
    table: str
    key: str
    deleted: bool


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to do something alone until `until_s` (the store's clock). `fence` rises with each new holder."""

    name: str
    owner: str
    fence: int
    until_s: float


class Store(Protocol):
    """Durable state: rows with versions, logs, leases, a change feed. Async.

    A write that returned has reached the disk. Every method raises `StoreError` when the store is gone. Writes with
    `expect` compare the row's version first (0: must not exist) and raise `VersionConflict`; with `fence` they also
    require that the lease of that name still carries that fence.
    """

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def get(self, table: str, key: str) -> Row | None: ...
    async def scan(self, table: str, prefix: str = "") -> Sequence[Row]:
        """All rows whose key starts with `prefix`, in key order."""
        ...

    async def put(
        self, table: str, key: str, value: bytes, *, expect: int | None = None, fence: Lease | None = None
    ) -> int:
        """Return the new version."""
        ...

    async def delete(self, table: str, key: str, *, expect: int | None = None) -> bool:
        """False when there was nothing to delete."""
        ...

    async def append(self, log: str, records: Sequence[Record]) -> int:
        """Return how many were new."""
        ...

    async def read(self, log: str, *, after: str = "", limit: int = 1000) -> Sequence[Record]:
        """Records with an id greater than `after`, in id order."""
        ...

    async def changes(self, after: int, *, limit: int = 1000) -> Sequence[Change]: ...
    async def acquire(self, name: str, owner: str, ttl_s: float) -> Lease | None:
        """None while somebody else holds it; the holder itself gets it anew with the same fence."""
        ...

    async def release(self, lease: Lease) -> None: ...


class Fast(Protocol):
    """Shared state that may be lost: values and counters with a time to live, messages. Async."""

    is_shared: bool = True
    """Other processes see it too. With False nothing is told that nobody else could hear."""

    async def get(self, key: str) -> bytes | None: ...
    async def set(self, key: str, value: bytes, *, ttl_s: float, only_if_absent: bool = False) -> bool:
        """False when `only_if_absent` found something."""
        ...

    async def delete(self, key: str) -> bool: ...
    async def add(self, key: str, amount: int, *, ttl_s: float) -> int:
        """Add to a counter and return it; `ttl_s` counts from the first addition."""
        ...

    async def publish(self, channel: str, message: bytes) -> None: ...
    def subscribe(self, channel: str) -> AsyncIterator[bytes]:
        """Messages published after the first `anext`. Ends when the iterator is closed."""
        ...

    async def close(self) -> None: ...
