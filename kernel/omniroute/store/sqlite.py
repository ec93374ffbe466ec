"""`Store` in one SQLite file: stdlib statements with bound parameters, in WAL mode, every write synced before it returns.

The change feed is compacted: of each key it has the latest change, under that change's sequence. Versions go on counting
over a deletion, so a version read before it never matches what came after. Several stores may be open on one file.
"""

import asyncio
import contextlib
import itertools
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from omniroute.contracts import Change, Lease, Record, Row
from omniroute.errors import StoreError, VersionConflict
from omniroute.store.schema import LOOK, connect, prepare
from omniroute.store.writer import Readers, Writer

__all__ = ["SqliteStore"]

READERS = 2


class SqliteStore:
    """`clock` is Unix time, for leases; every process on the file must use the same one."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._writer: Writer | None = None
        self._readers: Readers | None = None

    async def open(self) -> None:
        """Check the file, make or migrate it, begin. Raises `StoreError` and changes nothing when it is not sound."""
        if self._writer is None:
            await asyncio.to_thread(self._open)

    async def close(self) -> None:
        """Finish the writes that wait and fold the log into the database file."""
        await asyncio.to_thread(self._close)

    def _open(self) -> None:
        prepare(self.path)
        with contextlib.ExitStack() as opened:
            try:
                writing = opened.enter_context(contextlib.closing(connect(self.path)))
                reading = [
                    opened.enter_context(contextlib.closing(connect(self.path, read_only=True))) for _ in range(READERS)
                ]
            except sqlite3.Error as error:
                raise StoreError(f"the database {self.path} cannot be opened", why=str(error), fix=LOOK) from error
            opened.pop_all()
        self._writer, self._readers = Writer(writing), Readers(reading)

    def _close(self) -> None:
        if self._readers is not None:
            self._readers.close()  # first: the log can only be folded in when nobody reads
        if self._writer is not None:
            self._writer.close()
        self._writer = self._readers = None

    # --- rows

    async def get(self, table: str, key: str) -> Row | None:
        def work(connection: sqlite3.Connection) -> Row | None:
            found = connection.execute(
                "SELECT key, value, version FROM rows WHERE table_name = ? AND key = ? AND value IS NOT NULL",
                (table, key),
            ).fetchone()
            return None if found is None else _row(found)

        return await self._reading.run(work)

    async def scan(self, table: str, prefix: str = "") -> Sequence[Row]:
        def work(connection: sqlite3.Connection) -> Sequence[Row]:
            found = connection.execute(
                "SELECT key, value, version FROM rows WHERE table_name = ? AND key >= ? AND value IS NOT NULL"
                " ORDER BY key",
                (table, prefix),
            )
            return [_row(row) for row in itertools.takewhile(lambda row: row[0].startswith(prefix), found)]

        return await self._reading.run(work)

    async def put(
        self, table: str, key: str, value: bytes, *, expect: int | None = None, fence: Lease | None = None
    ) -> int:
        def work(connection: sqlite3.Connection) -> int:
            if fence is not None:
                _require_fence(connection, fence)
            version, exists = _version(connection, table, key)
            _require_version(table, key, expect, version if exists else 0)
            _write(connection, table, key, value, version + 1)
            return version + 1

        return await self._writing.run(work)

    async def delete(self, table: str, key: str, *, expect: int | None = None) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            version, exists = _version(connection, table, key)
            _require_version(table, key, expect, version if exists else 0)
            if exists:
                _write(connection, table, key, None, version)
            return exists

        return await self._writing.run(work)

    async def changes(self, after: int, *, limit: int = 1000) -> Sequence[Change]:
        def work(connection: sqlite3.Connection) -> Sequence[Change]:
            found = connection.execute(
                "SELECT sequence, table_name, key, value IS NULL FROM rows WHERE sequence > ? ORDER BY sequence LIMIT ?",
                (after, limit),
            )
            return [
                Change(sequence=sequence, table=table, key=key, deleted=bool(deleted))
                for sequence, table, key, deleted in found
            ]

        return await self._reading.run(work)

    # --- logs

    async def append(self, log: str, records: Sequence[Record]) -> int:
        rows = [(log, record.id, record.value) for record in records]

        def work(connection: sqlite3.Connection) -> int:
            before = connection.total_changes
            connection.executemany("INSERT INTO logs (log, id, value) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", rows)
            return connection.total_changes - before

        return await self._writing.run(work)

    async def read(self, log: str, *, after: str = "", limit: int = 1000) -> Sequence[Record]:
        def work(connection: sqlite3.Connection) -> Sequence[Record]:
            found = connection.execute(
                "SELECT id, value FROM logs WHERE log = ? AND id > ? ORDER BY id LIMIT ?", (log, after, limit)
            )
            return [Record(id=id_, value=value) for id_, value in found]

        return await self._reading.run(work)

    # --- leases

    async def acquire(self, name: str, owner: str, ttl_s: float) -> Lease | None:
        def work(connection: sqlite3.Connection) -> Lease | None:
            now = self._clock()
            holder, fence, until_s = connection.execute(
                "SELECT owner, fence, until_s FROM leases WHERE name = ?", (name,)
            ).fetchone() or (None, 0, 0.0)
            if holder is None or until_s <= now:
                fence += 1  # also for the same owner: what it sent while it held the lease before is void
            elif holder != owner:
                return None
            connection.execute(
                "INSERT INTO leases (name, owner, fence, until_s) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, fence = excluded.fence,"
                " until_s = excluded.until_s",
                (name, owner, fence, now + ttl_s),
            )
            return Lease(name=name, owner=owner, fence=fence, until_s=now + ttl_s)

        return await self._writing.run(work)

    async def release(self, lease: Lease) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE leases SET owner = NULL WHERE name = ? AND fence = ?", (lease.name, lease.fence))

        await self._writing.run(work)

    @property
    def _writing(self) -> Writer:
        if self._writer is None:
            raise StoreError("the store is not open")
        return self._writer

    @property
    def _reading(self) -> Readers:
        if self._readers is None:
            raise StoreError("the store is not open")
        return self._readers


def _row(found: tuple[str, bytes, int]) -> Row:
    return Row(key=found[0], value=found[1], version=found[2])


def _version(connection: sqlite3.Connection, table: str, key: str) -> tuple[int, bool]:
    """The key's last version, and whether the row is there (not deleted). (0, False) when it never was."""
    found = connection.execute(
        "SELECT version, value IS NOT NULL FROM rows WHERE table_name = ? AND key = ?", (table, key)
    ).fetchone()
    return (0, False) if found is None else (found[0], bool(found[1]))


def _write(connection: sqlite3.Connection, table: str, key: str, value: bytes | None, version: int) -> None:
    connection.execute(
        "INSERT INTO rows (table_name, key, value, version, sequence)"
        " VALUES (?, ?, ?, ?, (SELECT coalesce(max(sequence), 0) + 1 FROM rows))"
        " ON CONFLICT (table_name, key) DO UPDATE SET value = excluded.value, version = excluded.version,"
        " sequence = excluded.sequence",
        (table, key, value, version),
    )


def _require_version(table: str, key: str, expect: int | None, version: int) -> None:
    if expect is not None and expect != version:
        raise VersionConflict(f"{table}/{key} has version {version}, not {expect}")


def _require_fence(connection: sqlite3.Connection, lease: Lease) -> None:
    found = connection.execute("SELECT fence FROM leases WHERE name = ?", (lease.name,)).fetchone()
    if found is None or found[0] != lease.fence:
        raise VersionConflict(f"the lease {lease.name} went to another holder")
