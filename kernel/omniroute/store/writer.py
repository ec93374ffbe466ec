"""Threads for SQLite: one that writes, a few that read. The event loop never waits for the disk.

Writes that wait together share one transaction, and so one fsync. Each keeps its own result: what one raises undoes that
one alone. A caller is answered only after the commit.
"""

import asyncio
import concurrent.futures
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

from omniroute.errors import StoreError

__all__ = ["Readers", "Work", "Writer"]

BATCH = 200

T = TypeVar("T")
Work: TypeAlias = Callable[[sqlite3.Connection], T]


class _Job(NamedTuple):
    work: Work[Any]
    """May run again when its batch could not be committed, so it must change nothing but the database."""
    future: "concurrent.futures.Future[Any]"


class Writer:
    """Owns `connection`, whose transactions it begins and ends."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="omniroute-store", daemon=True)
        self._thread.start()

    async def run(self, work: Work[T]) -> T:
        """What `work` returns or raises, once it is on the disk. Raises `StoreError` when SQLite cannot do it."""
        if self._closed:
            raise _closed()
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._jobs.put(_Job(work, future))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Finish what was asked for, fold the log into the database, end the thread. Blocks."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            self._thread.join()

    def _run(self) -> None:
        with contextlib.closing(self._connection):
            ended = False
            while not ended:
                batch, ended = self._take()
                if batch:
                    self._finish(batch)
            with contextlib.suppress(sqlite3.Error):  # nothing is lost: the next start reads the log
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _take(self) -> tuple[list[_Job], bool]:
        """Wait for a job, then take along what waits behind it; True after the last one."""
        batch: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            if job.future.set_running_or_notify_cancel():
                batch.append(job)
            if len(batch) == BATCH:
                return batch, False
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _finish(self, batch: Sequence[_Job]) -> None:
        try:
            outcomes = self._transaction(batch)
        except sqlite3.Error as error:
            if len(batch) == 1:
                batch[0].future.set_exception(_failed(error))
                return
            for job in batch:  # each by itself, so that only the one at fault fails
                self._finish([job])
            return
        for job, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, _Raised):
                job.future.set_exception(outcome.error)
            else:
                job.future.set_result(outcome)

    def _transaction(self, batch: Sequence[_Job]) -> list[Any]:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            outcomes = [_attempt(connection, job.work) for job in batch]
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return outcomes


class _Raised(NamedTuple):
    error: Exception


def _attempt(connection: sqlite3.Connection, work: Work[Any]) -> Any:
    connection.execute("SAVEPOINT job")
    try:
        result = work(connection)
    except sqlite3.Error:
        raise  # the transaction itself may be gone (disk full)
    except Exception as error:
        connection.execute("ROLLBACK TO job")
        result = _Raised(error)
    connection.execute("RELEASE job")
    return result


class Readers:
    """A thread for each of `connections`."""

    def __init__(self, connections: Sequence[sqlite3.Connection]) -> None:
        self._connections = connections
        self._idle: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        for connection in connections:
            self._idle.put(connection)
        self._threads = concurrent.futures.ThreadPoolExecutor(len(connections), "omniroute-store-reader")
        self._closed = False

    async def run(self, work: Work[T]) -> T:
        if self._closed:
            raise _closed()
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, work)

    def close(self) -> None:
        self._closed = True
        self._threads.shutdown()
        for connection in self._connections:
            connection.close()

    def _read(self, work: Work[T]) -> T:
        connection = self._idle.get()
        try:
            return work(connection)
        except sqlite3.Error as error:
            raise _failed(error) from error
        finally:
            self._idle.put(connection)


def _failed(error: sqlite3.Error) -> StoreError:
    failure = StoreError("the database refused", why=str(error), fix="check the free space and health of the disk")
    failure.__cause__ = error
    return failure


def _closed() -> StoreError:
    return StoreError("the store is closed")
