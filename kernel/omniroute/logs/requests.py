"""The one event of a request."""

import hashlib
from functools import lru_cache

import msgspec
import structlog

from omniroute.contracts import RequestRecord
from omniroute.logs.redaction import Redactor, keep
from omniroute.logs.rendering import json_line, stamp
from omniroute.logs.setup import LEVELS, Level, active

__all__ = ["log_request"]


MAX_KEPT_CHARS = 1024
"""Of parts that are kept: a client may ask for models of any name."""


class RequestLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """In the order of the line; what is unknown is left out."""

    time: str
    level: Level
    event: str
    request_id: str
    status: int
    outcome: str
    operation: str
    dialect: str
    model: str
    client: str
    stream: bool
    attempts: int
    ms: float
    target: str | None = None
    account: str | None = None
    first_content_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    losses: int | None = None
    error: str | None = None


def log_request(record: RequestRecord) -> None:
    """Says who, where to, how it ended and what it cost; nothing of what was said."""
    if LEVELS[_level_of(record)] < active.level:
        return
    if active.as_json:  # past structlog, whose own share of an event is larger than all of this
        active.lines.later(_json_line_of, record)
        return
    line = _line_of(record, active.redactor)
    fields = {name: value for name, value in msgspec.structs.asdict(line).items() if value is not None}
    del fields["time"], fields["level"], fields["event"]
    structlog.get_logger().log(LEVELS[line.level], "request", **fields)


def _level_of(record: RequestRecord) -> Level:
    return "warning" if record.status >= 500 else "info"


def _json_line_of(record: RequestRecord) -> bytes:
    """What `json_line` makes of `_line_of`, for 22,000 instructions less: the parts that repeat are kept with the redactor, until it
    has something else to hide."""
    if record.request_id != record.id or not record.id.isalnum():  # the client's own words
        return json_line(_line_of(record, active.redactor))
    kept = active.redactor.memo
    attempts = 0
    for attempt in record.attempts:
        attempts += attempt.sent
    kind = (
        record.status, record.outcome, record.operation, record.dialect, record.requested_model, record.key_name,
        record.stream, attempts, record.provider, record.model, record.account, len(record.losses), record.error,
    )  # fmt: skip
    parts: _Parts = kept.get(kind) or _parts(record, kind)
    tenths, usage = int(record.duration_s * 10_000 + 0.5), record.usage
    figures = ""
    if record.first_content_s is not None:
        first = int(record.first_content_s * 10_000 + 0.5)
        figures = f',"first_content_ms":{first // 10}.{first % 10}'
    if usage is not None:
        figures = f'{figures},"input_tokens":{usage.input_tokens},"output_tokens":{usage.output_tokens}'
    return (
        f'{{"time":"{stamp(record.started_at_s + record.duration_s)}",{parts.event},"request_id":"{record.id}",{parts.outcome}'
        f',"ms":{tenths // 10}.{tenths % 10}{parts.target}{figures}{parts.trouble}}}'
    ).encode()


class _Parts(msgspec.Struct, frozen=True):
    """Of a line of JSON, what is the same for many requests; the last two begin with a comma, or are empty."""

    event: str
    outcome: str
    target: str
    trouble: str


def _parts(record: RequestRecord, kind: tuple[object, ...]) -> _Parts:
    redactor = active.redactor
    kept = redactor.memo
    line = _line_of(record, redactor)

    def part(*names: str) -> str:
        said = {name: value for name in names if (value := getattr(line, name)) is not None}
        return json_line(said).decode()[1:-1]

    target, trouble = part("target", "account"), part("losses", "error")
    parts = _Parts(
        event=part("level", "event"),
        outcome=part("status", "outcome", "operation", "dialect", "model", "client", "stream", "attempts"),
        target=target and "," + target,
        trouble=trouble and "," + trouble,
    )
    if len(parts.outcome) + len(target) + len(trouble) <= MAX_KEPT_CHARS:
        keep(kept, kind, parts)
    return parts


def _line_of(record: RequestRecord, redactor: Redactor) -> RequestLine:
    """Its time is when the request ended, whenever it is written."""
    text = redactor.text
    usage = record.usage
    attempts = 0
    for attempt in record.attempts:
        attempts += attempt.sent
    return RequestLine(
        time=stamp(record.started_at_s + record.duration_s),
        level=_level_of(record),
        event="request",
        request_id=record.id if record.request_id == record.id else redactor.unusual(record.request_id),
        status=record.status,
        outcome=record.outcome,
        operation=record.operation,
        dialect=record.dialect,
        model=text(record.requested_model),
        client=text(record.key_name),
        stream=record.stream,
        attempts=attempts,
        ms=int(record.duration_s * 10_000 + 0.5) / 10,  # `round` prints the number and reads it again
        target=None if record.provider is None else text(f"{record.provider}/{record.model}"),
        account=None if record.account is None else text(_pseudonym(record.account)),
        first_content_ms=None if record.first_content_s is None else int(record.first_content_s * 10_000 + 0.5) / 10,
        input_tokens=None if usage is None else usage.input_tokens,
        output_tokens=None if usage is None else usage.output_tokens,
        losses=len(record.losses) or None,
        error=None if record.error is None else text(record.error),
    )


@lru_cache(maxsize=1024)
def _pseudonym(account: str) -> str:
    """Accounts are often named by an e-mail address: those are told apart in a log, not shown."""
    if "@" not in account:
        return account
    return "account-" + hashlib.sha256(account.encode("utf-8", "replace")).hexdigest()[:8]
