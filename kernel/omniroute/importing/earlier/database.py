"""`storage.sqlite`: opened so that nothing is written beside it, nothing in it runs, and only known columns are copied."""

import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from omniroute.importing.earlier.raw import MAX_ROWS, Raw, as_object, json_or_none
from omniroute.importing.files import CannotRead

__all__ = ["from_database"]

WAL = "-wal"
MAX_VALUE_BYTES = 256 * 1024
CONNECTIONS = (
    "id", "provider", "auth_type", "name", "display_name", "email", "priority", "is_active", "access_token", "refresh_token",
    "id_token", "expires_at", "token_expires_at", "api_key", "project_id", "provider_specific_data",
)  # fmt: skip
NODES = ("id", "type", "name", "prefix", "api_type", "base_url")
REAL_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0"
"""No views and no virtual tables: those run something when they are read."""
KNOWN_VERSIONS = (None, "1")
ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_PRAGMA})


def from_database(path: Path) -> Raw:
    """`path` is the real one. Raises `CannotRead`."""
    try:
        with _opened(path) as database:
            return _read(database)
    except sqlite3.Error as error:
        raise CannotRead(f"it is no SQLite database that can be read ({type(error).__name__})") from error
    except OSError as error:
        raise CannotRead((error.strerror or type(error).__name__).lower()) from error


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """With nothing in its log the file is all there is. Else both are copied: to read a log, SQLite writes beside it."""
    log = path.with_name(path.name + WAL)
    if not (log.is_file() and log.stat().st_size):
        with closing(_connect(path, "mode=ro&immutable=1")) as database:
            yield database
        return
    with tempfile.TemporaryDirectory(prefix="omniroute-import-") as directory:  # for its owner alone
        copy = Path(directory) / path.name
        shutil.copyfile(path, copy)
        shutil.copyfile(log, copy.with_name(copy.name + WAL))
        with closing(_connect(copy, "mode=rw")) as database:
            yield database


def _connect(path: Path, options: str) -> sqlite3.Connection:
    database = sqlite3.connect(f"{path.as_uri()}?{options}", uri=True)
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    database.execute("PRAGMA trusted_schema = OFF")
    database.execute("PRAGMA cell_size_check = ON")
    database.execute("PRAGMA query_only = ON")
    database.set_authorizer(_authorize)
    return database


def _authorize(action: int, *_: object) -> int:
    return sqlite3.SQLITE_OK if action in ALLOWED else sqlite3.SQLITE_DENY


def _read(database: sqlite3.Connection) -> Raw:
    [[verdict]] = database.execute("PRAGMA quick_check(1)").fetchall()
    if verdict != "ok":
        raise CannotRead("the database is damaged")
    tables = {name for [name] in database.execute(REAL_TABLES)}
    if "provider_connections" not in tables:
        raise CannotRead("it is no data of an OmniRoute: it has no table provider_connections")
    values = _key_values(database) if "key_value" in tables else {}
    return Raw(
        connections=[_camel(row) for row in _rows(database, "provider_connections", CONNECTIONS)],
        nodes=[_camel(row) for row in _rows(database, "provider_nodes", NODES)] if "provider_nodes" in tables else (),
        combos=[as_object(json_or_none(str(row["data"]))) for row in _rows(database, "combos", ("data",))]
        if "combos" in tables
        else (),
        aliases=values.get("modelAliases", {}),
        proxies=values.get("proxyConfig", {}),
        key_names=[str(row["name"]) for row in _rows(database, "api_keys", ("name",))] if "api_keys" in tables else (),
        version=_version(database) if "db_meta" in tables else None,
    )


def _rows(database: sqlite3.Connection, table: str, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """The known columns that there are; `table` and `columns` are constants of ours."""
    # names cannot be bound: these are ours, and those of columns that are missing are left out
    described = f"PRAGMA table_info({table})"
    there = {row[1] for row in database.execute(described)}
    wanted = [column for column in columns if column in there]
    if not wanted:
        return []
    statement = f"SELECT {', '.join(wanted)} FROM {table} LIMIT {MAX_ROWS}"  # noqa: S608
    found = database.execute(statement)
    return [dict(zip(wanted, row, strict=True)) for row in found]


def _key_values(database: sqlite3.Connection) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {"modelAliases": {}, "proxyConfig": {}}
    for row in _rows(database, "key_value", ("namespace", "key", "value")):
        if row.get("namespace") in found:
            found[row["namespace"]][str(row["key"])] = json_or_none(str(row["value"]))
    return found


def _version(database: sqlite3.Connection) -> str | None:
    rows = _rows(database, "db_meta", ("key", "value"))
    version = next((str(row["value"]) for row in rows if row.get("key") == "schema_version"), None)
    return None if version in KNOWN_VERSIONS else version


def _camel(row: dict[str, Any]) -> dict[str, Any]:
    named = {re.sub("_([a-z])", lambda found: found[1].upper(), name): value for name, value in row.items()}
    if isinstance(named.get("providerSpecificData"), str):
        named["providerSpecificData"] = json_or_none(named["providerSpecificData"])
    return named
