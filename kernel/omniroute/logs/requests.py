"""The one event of a request."""

import hashlib
from functools import lru_cache
from typing import Any

import structlog

from omniroute.contracts import RequestRecord
from omniroute.logs.redaction import Redactor
from omniroute.logs.rendering import json_line, now
from omniroute.logs.setup import LEVELS, Level, active

__all__ = ["log_request"]


def log_request(record: RequestRecord) -> None:
    """Says who, where to, how it ended and what it cost; nothing of what was said."""
    level: Level = "warning" if record.status >= 500 else "info"
    if LEVELS[level] < active.level:
        return
    fields = _request_fields(record, active.redactor)
    if active.as_json:  # past structlog, whose own share of an event is larger than all of this
        active.lines.msg(json_line({"time": now(), "level": level, "event": "request", **fields}))
    else:
        structlog.get_logger().log(LEVELS[level], "request", **fields)


def _request_fields(record: RequestRecord, redactor: Redactor) -> dict[str, Any]:
    text = redactor.text
    fields: dict[str, Any] = {
        "request_id": record.id if record.request_id == record.id else redactor.unusual(record.request_id),
        "status": record.status,
        "outcome": record.outcome,
        "operation": record.operation,
        "dialect": record.dialect,
        "model": text(record.requested_model),
        "client": text(record.key_name),
        "stream": record.stream,
        "attempts": len(record.attempts),
        "ms": round(record.duration_s * 1000, 1),
    }
    if record.provider is not None:
        fields["target"] = text(f"{record.provider}/{record.model}")
    if record.account is not None:
        fields["account"] = text(_pseudonym(record.account))
    if record.first_content_s is not None:
        fields["first_content_ms"] = round(record.first_content_s * 1000, 1)
    if record.usage is not None:
        fields["input_tokens"] = record.usage.input_tokens
        fields["output_tokens"] = record.usage.output_tokens
    if record.losses:
        fields["losses"] = len(record.losses)
    if record.error is not None:
        fields["error"] = text(record.error)
    return fields


@lru_cache(maxsize=1024)
def _pseudonym(account: str) -> str:
    """Accounts are often named by an e-mail address: those are told apart in a log, not shown."""
    if "@" not in account:
        return account
    return "account-" + hashlib.sha256(account.encode("utf-8", "replace")).hexdigest()[:8]
