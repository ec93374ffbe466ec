"""The table of requests: its schema, and a record as one of its rows.

Times are Unix seconds or seconds, sizes bytes, tokens counts. Token columns are NULL where the upstream gave no usage.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from omniroute.api import RequestRecord, StoreError

__all__ = ["FIND", "INSERT", "migrate", "record", "row"]

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
)
"""In order, for ever; each ends by setting `user_version` to its number."""

INSERT = """
    INSERT INTO requests (
        id, request_id, started_at_s, dialect, operation, key_id, key_name, requested_model, provider, model, account,
        status, outcome, error, stream, relayed,
        input_tokens, output_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens,
        first_content_s, duration_s, request_bytes, response_bytes, user_agent, attempts, losses, cost_usd,
        affinity
    )
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO NOTHING
"""

FIND = """
    SELECT * FROM requests WHERE id = :id
    UNION SELECT * FROM requests WHERE request_id = :id
    ORDER BY started_at_s DESC LIMIT :limit
"""

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


def row(record: RequestRecord) -> Sequence[Value]:
    """The values of `INSERT`, in its order."""
    usage = record.usage
    tokens: Sequence[Value] = (
        (None,) * 6
        if usage is None
        else (
            _count(usage.input_tokens),
            _count(usage.output_tokens),
            _count(usage.cached_tokens),
            _count(usage.cache_write_tokens),
            _count(usage.cache_write_1h_tokens),
            _count(usage.reasoning_tokens),
        )
    )
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
        record.error,
        int(record.stream),  # sqlite3 looks for an adapter of everything but plain numbers and texts, at 1 µs each
        int(record.relayed),
        *tokens,
        record.first_content_s,
        record.duration_s,
        record.request_bytes,
        record.response_bytes,
        None if record.user_agent is None else record.user_agent[:MAX_TEXT],
        _encode(record.attempts).decode(),
        _encode(record.losses).decode(),
        record.cost_usd,
        None if record.affinity is None else _encode(record.affinity).decode(),
    )


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


def _count(tokens: int) -> int:
    """An upstream may claim any number; SQLite takes 64 bits, and one that does not fit would lose the whole batch."""
    return min(tokens, MAX_INTEGER)
