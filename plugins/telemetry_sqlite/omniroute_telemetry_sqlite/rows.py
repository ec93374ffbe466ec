"""The table of requests: its schema, and a record as one of its rows.

Times are Unix seconds or seconds, sizes bytes, tokens counts. Token columns are NULL where the upstream gave no usage.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from omniroute.api import RequestRecord, StoreError, Usage

__all__ = ["FIND", "INSERT", "PRUNE", "id_at", "insert", "migrate", "record", "row"]

Value: TypeAlias = str | int | float | None

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE requests (
            id TEXT NOT NULL PRIMARY KEY,
            request_id TEXT NOT NULL,
            started_at_s REAL NOT NULL,
            dialect TEXT NOT NULL,
            operation TEXT NOT NULL,
            key_id TEXT NOT NULL,
            key_name TEXT NOT NULL,
            requested_model TEXT NOT NULL,
            provider TEXT,
            model TEXT,
            account TEXT,
            status INTEGER NOT NULL,
            outcome TEXT NOT NULL,
            error TEXT,
            stream INTEGER NOT NULL,
            relayed INTEGER NOT NULL,
            input_tokens INTEGER,
            output_tokens INTEGER,
            cached_tokens INTEGER,
            cache_write_tokens INTEGER,
            cache_write_1h_tokens INTEGER,
            reasoning_tokens INTEGER,
            first_content_s REAL,
            duration_s REAL NOT NULL,
            request_bytes INTEGER NOT NULL,
            response_bytes INTEGER NOT NULL,
            user_agent TEXT,
            attempts TEXT NOT NULL,
            losses TEXT NOT NULL
        ) WITHOUT ROWID
        """,
        "CREATE INDEX requests_by_start ON requests (started_at_s)",
        "CREATE INDEX requests_by_request_id ON requests (request_id)",
        "PRAGMA user_version = 1",
    ),
    (
        "ALTER TABLE requests ADD COLUMN cost_usd REAL",
        "ALTER TABLE requests ADD COLUMN affinity TEXT",
        "PRAGMA user_version = 2",
    ),
    (  # an id tells when its request began, and is mostly the request's own
        "DROP INDEX requests_by_start",
        "DROP INDEX requests_by_request_id",
        "CREATE INDEX requests_by_own_id ON requests (request_id) WHERE request_id <> id",
        "PRAGMA user_version = 3",
    ),
)
"""In order, for ever; each ends by setting `user_version` to its number."""

COLUMNS = (
    "id", "request_id", "started_at_s", "dialect", "operation", "key_id", "key_name", "requested_model", "provider", "model",
    "account", "status", "outcome", "error", "stream", "relayed", "input_tokens", "output_tokens", "cached_tokens",
    "cache_write_tokens", "cache_write_1h_tokens", "reasoning_tokens", "first_content_s", "duration_s", "request_bytes",
    "response_bytes", "user_agent", "attempts", "losses", "cost_usd", "affinity",
)  # fmt: skip
"""In the order of `row`."""
MOSTLY_NULL = frozenset({"error", "user_agent", "cost_usd", "affinity"})
ABSENT = -1
"""Stands for NULL in those columns, where it can mean nothing else: sqlite3 looks for an adapter of every None, at seven times the
cost of a plain value."""
ROWS_AT_ONCE = 32
"""In one statement: each gives up the interpreter's lock once and then waits for it. 992 values; SQLite before 3.32 takes 999."""


def _insert(rows: int) -> str:
    """Ids that are there already are passed over. As nothing else in it can fail half-way either (a function could: no NULLIF),
    SQLite keeps no journal of its own for the statement."""
    given = ", ".join([f"({', '.join('?' * len(COLUMNS))})"] * rows)
    return f"INSERT OR IGNORE INTO requests ({', '.join(COLUMNS)}) SELECT {_SELECTED} FROM (VALUES {given})"  # noqa: S608


_SELECTED = ", ".join(
    f"CASE column{at} WHEN {ABSENT} THEN NULL ELSE column{at} END" if name in MOSTLY_NULL else f"column{at}"
    for at, name in enumerate(COLUMNS, 1)
)
INSERT = _insert(1)
INSERT_MANY = _insert(ROWS_AT_ONCE)

FIND = """
    SELECT * FROM requests WHERE id = :id
    UNION ALL SELECT * FROM requests WHERE request_id = :id AND request_id <> id
    ORDER BY started_at_s DESC LIMIT :limit
"""
"""Its two halves have no row in common; the second is told in the words of its index."""

PRUNE = "DELETE FROM requests WHERE id IN (SELECT id FROM requests WHERE id < :oldest LIMIT :limit)"

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
TIME_SHIFTS = range(45, -5, -5)

MAX_TEXT = 512
"""Characters kept of what a client may choose freely."""
USAGE = (
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
)
UNKNOWN = (None,) * len(USAGE)
JSON = ("attempts", "losses", "affinity")
MAX_INTEGER = 2**63 - 1

_encode = msgspec.json.Encoder().encode


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date. Raises `StoreError` when a newer version made it."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise StoreError(
            "the request log was written by a newer version",
            why=f"its schema is {version}, this version knows {len(MIGRATIONS)}",
            fix="upgrade omniroute-telemetry-sqlite, or move requests.db away",
        )
    for statements in MIGRATIONS[version:]:
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            for statement in statements:
                connection.execute(statement)


def id_at(started_at_s: float) -> str:
    """Where the ids of requests begin that began at that Unix time: the ten characters of a ULID that tell it."""
    milliseconds = max(0, int(started_at_s * 1000))
    return "".join(CROCKFORD[milliseconds >> shift & 31] for shift in TIME_SHIFTS)


def insert(connection: sqlite3.Connection, records: Sequence[RequestRecord]) -> None:
    """A row for each, unless there is one already."""
    for start in range(0, len(records), ROWS_AT_ONCE):
        some = records[start : start + ROWS_AT_ONCE]
        if len(some) < ROWS_AT_ONCE:
            connection.executemany(INSERT, map(row, some))
            return
        values: list[Value] = []
        for each in some:
            values += row(each)
        connection.execute(INSERT_MANY, values)


def row(record: RequestRecord) -> Sequence[Value]:
    """The values of `INSERT`, in its order."""
    return (
        record.id,
        record.request_id,
        record.started_at_s,
        record.dialect,
        record.operation,
        record.key_id,
        record.key_name,
        record.requested_model[:MAX_TEXT],
        record.provider,
        record.model,
        record.account,
        record.status,
        record.outcome,
        ABSENT if record.error is None else record.error,
        1 if record.stream else 0,  # no bool: sqlite3 looks for an adapter of everything but plain numbers and texts
        1 if record.relayed else 0,
        *(UNKNOWN if record.usage is None else _tokens(record.usage)),
        record.first_content_s,
        record.duration_s,
        record.request_bytes,
        record.response_bytes,
        ABSENT if record.user_agent is None else record.user_agent[:MAX_TEXT],
        _encode(record.attempts).decode(),
        _encode(record.losses).decode() if record.losses else "[]",
        ABSENT if record.cost_usd is None else record.cost_usd,
        ABSENT if record.affinity is None else _encode(record.affinity).decode(),
    )


def _tokens(usage: Usage) -> tuple[Value, ...]:
    """In the order of `USAGE`. An upstream may claim any number; SQLite takes 64 bits, and one that does not fit would lose the
    whole batch."""
    tokens = (
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.reasoning_tokens,
    )
    return tokens if sum(tokens) <= MAX_INTEGER else tuple(min(each, MAX_INTEGER) for each in tokens)


def record(columns: Mapping[str, Value]) -> RequestRecord:
    """What `row` was made of, as far as it was kept. Raises `StoreError` for a row that nobody here has written."""
    values: dict[str, object] = dict(columns)
    tokens = {name: values.pop(name) for name in USAGE}
    values["usage"] = None if tokens["input_tokens"] is None else tokens
    values |= {name: bool(values[name]) for name in ("stream", "relayed")}
    try:
        values |= {name: msgspec.json.decode(str(values[name])) for name in JSON if values[name] is not None}
        return msgspec.convert(values, RequestRecord)
    except (msgspec.MsgspecError, ValueError) as error:
        raise StoreError("a row of the request log cannot be read", why=str(error)) from error
