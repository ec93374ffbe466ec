"""The sink: batches into the file, from one thread of its own, and old rows out of it, a few at a time."""

import asyncio
import concurrent.futures
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from omniroute.api import RequestRecord, StoreError
from omniroute_telemetry_sqlite.rows import FIND, PRUNE, id_at, insert, migrate, record

__all__ = ["SqliteSink"]

BUSY_TIMEOUT_S = 5.0
PRUNE_EVERY_S = 3600.0
PRUNE_ROWS = 5000
"""Deleted at a time, so that a batch never waits long behind it."""

T = TypeVar("T")


class SqliteSink:
    """`keep_s`: rows of requests older than this are deleted; 0 keeps them. `clock` is Unix time."""

    name = "sqlite"

    def __init__(self, path: Path, *, keep_s: float, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._keep_s = keep_s
        self._clock = clock
        self._prune_due_s = 0.0
        self._connection: sqlite3.Connection | None = None
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "omniroute-telemetry-sqlite")

    async def start(self) -> None:
        """Raises `StoreError` when the file cannot be used; it is left as it is."""
        await self._run(self._open)

    async def write(self, records: Sequence[RequestRecord]) -> None:
        """One transaction for all; ids that are there already are passed over."""
        await self._run(lambda: self._write(records))

    async def find(self, request_id: str, limit: int) -> Sequence[RequestRecord]:
        """By the record's id or the `X-Request-Id`, the newest first."""
        return await self._run(lambda: self._find(request_id, limit))

    async def close(self) -> None:
        await self._run(self._close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _open(self) -> None:
        try:
            with contextlib.suppress(FileExistsError):  # SQLite would make it readable for everybody
                os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            with contextlib.ExitStack() as opened:
                connection = opened.enter_context(
                    contextlib.closing(sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None))
                )
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                migrate(connection)
                opened.pop_all()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"the request log {self.path} cannot be used",
                why=str(error),
                fix="move it away, with its -wal file; a new one is made at the next start",
            ) from error
        self._connection = connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _write(self, records: Sequence[RequestRecord]) -> None:
        connection = self._connection
        if connection is None:
            raise StoreError(f"the request log {self.path} is not open")
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            insert(connection, records)
            self._prune(connection)

    def _find(self, request_id: str, limit: int) -> Sequence[RequestRecord]:
        if self._connection is None:
            raise StoreError(f"the request log {self.path} is not open")
        cursor = self._connection.execute(FIND, {"id": request_id, "limit": limit})
        names = [column[0] for column in cursor.description]
        return [record(dict(zip(names, values, strict=True))) for values in cursor]

    def _prune(self, connection: sqlite3.Connection) -> None:
        """Delete some of the rows whose time is over; the rest with the next batches."""
        now = self._clock()
        if not self._keep_s or now < self._prune_due_s:
            return
        deleted = connection.execute(PRUNE, {"oldest": id_at(now - self._keep_s), "limit": PRUNE_ROWS}).rowcount
        if deleted < PRUNE_ROWS:
            self._prune_due_s = now + PRUNE_EVERY_S
