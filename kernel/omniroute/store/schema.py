"""The database file: made, checked and migrated before anybody uses it. Never overwritten, whatever is wrong with it.

sqlite-utils defines the schema and records which migrations ran. It is imported only when one has to run.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from omniroute.datadir import sync_directory
from omniroute.errors import StoreError

if TYPE_CHECKING:
    from sqlite_utils import Database

__all__ = ["LOOK", "STEPS", "connect", "prepare"]

MIGRATION_SET = "omniroute-kernel"
BUSY_TIMEOUT_S = 5.0
HEADER = b"SQLite format 3\x00"
LOOK = "check the owner, permissions and free space of the data directory"

Step: TypeAlias = "Callable[[Database], None]"


def rows_logs_leases(db: "Database") -> None:
    """The first schema. A deleted row stays without its value: its version and its place in the change feed go on."""
    db.execute(
        "CREATE TABLE rows (table_name TEXT NOT NULL, key TEXT NOT NULL, value BLOB, version INTEGER NOT NULL,"
        " sequence INTEGER NOT NULL, PRIMARY KEY (table_name, key)) WITHOUT ROWID"
    )
    db.execute("CREATE UNIQUE INDEX rows_by_sequence ON rows (sequence)")
    db.execute(
        "CREATE TABLE logs (log TEXT NOT NULL, id TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (log, id))"
        " WITHOUT ROWID"
    )
    db.execute(
        "CREATE TABLE leases (name TEXT NOT NULL PRIMARY KEY, owner TEXT, fence INTEGER NOT NULL, until_s REAL NOT NULL)"
        " WITHOUT ROWID"
    )


STEPS: tuple[Step, ...] = (rows_logs_leases,)
"""In order, for ever: a step that was released is not changed any more."""


def prepare(path: Path, steps: Sequence[Step] = STEPS) -> None:
    """Leave a sound database of the newest schema at `path`, making one where there is none.

    A database that needs a migration is copied beside itself first. Raises `StoreError` when the file is empty, damaged,
    not ours, or from a newer version.
    """
    try:
        if not path.exists():
            _create(path, steps)
            return
        applied = _check(path, steps)
        if len(applied) < len(steps):
            _back_up(path, after=applied[-1])
            _migrate(path, steps)
    except sqlite3.Error as error:
        raise StoreError(
            f"the database {path} cannot be used",
            why=str(error),
            fix="nothing was changed in it; look at the disk, or move it away and restore a backup",
        ) from error
    except OSError as error:
        raise StoreError(f"the database {path} cannot be opened", why=error.strerror or str(error), fix=LOOK) from error


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection for any one thread at a time. Transactions are begun and ended by hand."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        if read_only:
            connection.execute("PRAGMA query_only = ON")
        else:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone leaves writes in the drive's cache
            connection.execute("DELETE FROM leases WHERE 0")  # a read-only file or directory is to be noticed now
    except BaseException:
        connection.close()
        raise
    return connection


def _create(path: Path, steps: Sequence[Step]) -> None:
    """Under another name until it is whole, so that a crash leaves no half-made database to be refused later."""
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size:
        raise StoreError(
            f"the database {path} is missing",
            why=f"its write-ahead log {wal.name} is still there",
            fix="put the database back or restore a backup; to start afresh, move the log away",
        )
    draft = path.with_name(path.name + ".new")
    for leftover in (draft, draft.with_name(draft.name + "-journal")):
        leftover.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    _migrate(draft, steps)
    draft.replace(path)
    sync_directory(path.parent)


def _check(path: Path, steps: Sequence[Step]) -> list[str]:
    """The names of the migrations that were applied. Reads only."""
    move_away = "move it and its -wal file away, then restore a backup; it was not changed"
    with path.open("rb") as file:
        header = file.read(len(HEADER))
    if header != HEADER:
        why = "it is empty (0 bytes)" if not header else "it does not begin as an SQLite database does"
        raise StoreError(f"the database {path} is damaged", why=why, fix=move_away)
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            found = str(error)
        if found != "ok":
            raise StoreError(f"the database {path} is damaged", why=found, fix=move_away)
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        applied = _applied(connection) if "_sqlite_migrations" in tables else []
    if not applied:
        raise StoreError(
            f"{path} is no database of OmniRoute's",
            why=f"it holds {', '.join(sorted(tables)) or 'no tables'}",
            fix="move it away, or give another directory with --data-dir",
        )
    known = [step.__name__ for step in steps]
    if newer := [name for name in applied if name not in known]:
        raise StoreError(
            f"the database {path} was written by a newer OmniRoute",
            why=f"this version does not know its migration {newer[0]!r}",
            fix="upgrade OmniRoute, or restore the backup made before the upgrade",
        )
    return applied


def _applied(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute(
        "SELECT name FROM _sqlite_migrations WHERE migration_set = ? ORDER BY id", [MIGRATION_SET]
    )
    return [name for (name,) in rows]


def _back_up(path: Path, *, after: str) -> None:
    target = path.with_name(f"{path.name}.{after}.backup")
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(target)) as copy:
        source.backup(copy)


def _migrate(path: Path, steps: Sequence[Step]) -> None:
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

    migrations = Migrations(MIGRATION_SET)
    for step in steps:
        migrations()(step)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        migrations.apply(Database(connection, execute_plugins=False))
