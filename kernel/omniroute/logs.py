"""Logs: one event a line on stderr, readable (console) or JSON; stdout is left to data.

Promises: no credential gets out, be it under a telling name, as a value the vault knows, or by its looks; text from
outside cannot forge a line or drive a terminal; a log that cannot be written never fails a request. What libraries log
through `logging` takes the same way; those that log URLs are silenced.
"""

import asyncio
import hashlib
import json
import logging
import re
import sys
import threading
from collections import Counter
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, BinaryIO, Literal, TypeAlias
from urllib.parse import quote

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger, Processor

from omniroute.contracts import RequestRecord

__all__ = ["LEVELS", "MASK", "Level", "Redactor", "configure", "get_logger", "log_request", "reset"]

Level: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]
EventDict: TypeAlias = MutableMapping[str, Any]

LEVELS: Mapping[Level, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
MASK = "***"
SHORTEST_SECRET = 8
"""Shorter values ("x", "none", "local") are not masked wherever they occur; words would vanish from every line."""

TOO_TALKATIVE = ("aiohttp", "httpcore", "httpx", "uvicorn")
"""They log URLs, headers or addresses below WARNING."""

SECRET_NAMES = frozenset({
    "auth", "authorization", "apikey", "cookie", "credential", "credentials", "key", "passphrase", "password",
    "proxy_authorization", "secret", "set_cookie", "token",
})  # fmt: skip
SECRET_SUFFIXES = ("_key", "_token", "_secret", "_password", "_cookie", "_credential", "_apikey")

_LOOKS_SECRET = re.compile(
    r"""
    # What stands before a credential is a group, and kept. Repetitions that may be tried at many places are bounded:
    # an upstream's error text must not be able to make this quadratic.
      (?P<scheme>(?i:\bbearer)\s+(?!(?i:token|auth))) [^\s"',;]+
    | (?P<basic>(?i:\bbasic)\s+) (?=\S{0,64}[0-9A-Z=])[\w+/=-]{8,}
    | (?P<query>[?&;](?i:[\w-]{0,32}(?:key|token|secret|password|code))=) [^\s&"'#]+
    | (?P<json>["'](?i:[\w-]{0,32}(?:key|token|secret|password|authorization|cookie))["']\s{0,8}:\s{0,8}["'])
          (?:[^"'\\]|\\.)+
    | (?P<cookies>(?i:\b(?:set-)?cookie)\s{0,8}:\s{0,8}) [^\r\n"']+
    | (?P<named>(?i:\b(?:[\w-]{0,32}api[-_ ]?key|[\w-]{0,32}token|[\w-]{0,32}secret|password|authorization))
          \s{0,8}[=:]\s{0,8}) (?=\S{8})(?=\S{0,64}\d)[^\s"'&,;]+
    | (?P<user>://[^\s/@:]{0,64}:) [^\s/]+(?=@)
    | (?<![\w-])eyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*
    | (?<![A-Za-z0-9])(?:
          sk-[A-Za-z0-9_-]{8,}
        | omrm?_[A-Za-z0-9_-]{8,}
        | ya29\.[\w-]+ | 1//[\w-]{20,} | AIza[\w-]{20,}
        | gh[a-z]_[A-Za-z0-9]{20,} | github_pat_\w{20,}
      )
    """,
    re.VERBOSE,
)
_WORD = re.compile(r"[\w./-]*")
_BEGINNINGS = ("sk-", "omr", "ya29.", "1//", "AIza", "gh", "eyJ")
"""A single word that holds none of these cannot match: most of what is logged, at a tenth of the cost."""


# --- redaction --------------------------------------------------------------------------------------------------------


class Redactor:
    """Takes credentials out of text: those it was told (`add`) and those that look like one.

    Whoever reads or makes a credential adds it, and discards it when it is replaced. Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self._values: tuple[str, ...] = ()
        self._memo: dict[str, str] = {}
        self._lock = threading.Lock()

    def add(self, value: str) -> None:
        """From now on `value` is masked, also percent-encoded or inside JSON. Values below 8 characters are not."""
        self._change(value, 1)

    def discard(self, value: str) -> None:
        """Undo one `add`."""
        self._change(value, -1)

    def text(self, text: str) -> str:
        """`text` with every credential replaced by `***`; the same object when there is none."""
        if len(text) < SHORTEST_SECRET:
            return text
        if (known := self._memo.get(text)) is not None:
            return known
        memo = self._memo
        clean = self.unusual(text)
        if len(text) <= 256:
            if len(memo) >= 1024:
                memo.clear()
            memo[text] = clean
        return clean

    def unusual(self, text: str) -> str:
        """As `text`, for what is hardly seen twice and need not be remembered."""
        clean = text
        for value in self._values:
            if value in clean:
                clean = clean.replace(value, MASK)
        if _WORD.fullmatch(clean) and not any(map(clean.__contains__, _BEGINNINGS)):
            return clean
        return _LOOKS_SECRET.sub(_masked, clean)

    def value(self, value: object, depth: int = 0) -> object:
        """The same for a tree of dicts and lists, whose telling keys count too. Bytes become their length."""
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, bytes | bytearray | memoryview):
            return f"<{len(value)} bytes>"
        if depth >= 6:
            return "…"
        if isinstance(value, Mapping):
            return {
                self.text(str(name)): MASK if _is_secret_name(str(name)) else self.value(item, depth + 1)
                for name, item in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(item, depth + 1) for item in value]
        return self.text(str(value))

    def __call__(self, logger: object, method: str, event: EventDict) -> EventDict:
        """As a structlog processor."""
        for name, value in event.items():
            if value is None or value is True or value is False:
                continue
            if _is_secret_name(name):
                event[name] = MASK
            elif type(value) is str:
                event[name] = self.text(value)
            elif type(value) is not int and type(value) is not float:
                event[name] = self.value(value)
        return event

    def __repr__(self) -> str:
        return f"Redactor({len(self._count)} values)"

    def _change(self, value: str, by: int) -> None:
        if len(value) < SHORTEST_SECRET:
            return
        with self._lock:
            self._count[value] += by
            if self._count[value] <= 0:
                del self._count[value]
            spellings = {spelling for known in self._count for spelling in _spellings(known)}
            # Longest first: a value may be part of another.
            self._values = tuple(sorted(spellings, key=len, reverse=True))
            self._memo = {}


def _spellings(value: str) -> set[str]:
    return {value, quote(value, safe=""), json.dumps(value)[1:-1]}


def _masked(match: re.Match[str]) -> str:
    return (match[match.lastgroup] if match.lastgroup else "") + MASK


@lru_cache(maxsize=1024)
def _is_secret_name(name: str) -> bool:
    name = name.lower().replace("-", "_")
    return name in SECRET_NAMES or name.endswith(SECRET_SUFFIXES)


# --- rendering --------------------------------------------------------------------------------------------------------

_JSON = msgspec.json.Encoder(enc_hook=repr)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _add_time(logger: object, method: str, event: EventDict) -> EventDict:
    event["time"] = _now()
    return event


def _render_json(logger: object, method: str, event: EventDict) -> bytes:
    return _json_line({"time": event.pop("time"), "level": event.pop("level"), "event": event.pop("event"), **event})


def _json_line(line: dict[str, Any]) -> bytes:
    try:
        return _JSON.encode(line)
    except (UnicodeEncodeError, OverflowError, msgspec.MsgspecError):  # lone surrogates, integers beyond 64 bits
        return json.dumps(line, default=repr).encode()


def _escape(text: str) -> str:
    """Control, format and separator characters (line ends, terminal sequences, text direction) as `\\x1b`."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _escape_values(logger: object, method: str, event: EventDict) -> EventDict:
    """Console only: JSON escapes by itself. A traceback keeps its lines, indented so that none can pass for an event."""
    trace = event.pop("exception", None)
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = _escape(value)
        elif not isinstance(value, int | float | None):
            event[name] = _escape(repr(value))
    if trace is not None:
        event["exception"] = "\n".join("    " + _escape(line) for line in str(trace).split("\n"))
    return event


def _encode(logger: object, method: str, line: Any) -> bytes:
    return str(line).encode("utf-8", "backslashreplace")


class _Lines:
    """Writes rendered lines. What cannot be written is dropped: the disk is full, or nobody reads stderr any more."""

    def __init__(self, stream: BinaryIO | None) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def msg(self, line: bytes) -> None:
        stream = self._stream or sys.stderr.buffer  # looked up each time: it may be replaced
        try:
            with self._lock:
                stream.write(line + b"\n")
                stream.flush()
        except (OSError, ValueError):
            return

    debug = info = warning = error = critical = msg


# --- set-up -----------------------------------------------------------------------------------------------------------


def configure(
    level: Level = "info",
    *,
    redactor: Redactor | None = None,
    as_json: bool | None = None,
    stream: BinaryIO | None = None,
) -> None:
    """Send every event from `level` up to `stream` (stderr), as JSON unless it is a terminal or `as_json` says.

    May be called again; loggers that exist already follow.
    """
    terminal = stream.isatty() if stream else sys.stderr is not None and sys.stderr.isatty()
    _install(LEVELS[level], redactor or Redactor(), as_json=not terminal if as_json is None else as_json,
             colours=terminal and sys.platform != "win32", stream=stream)  # fmt: skip
    _remove_bridge()
    root = logging.getLogger()
    root.addHandler(_Bridge())
    root.setLevel(max(LEVELS[level], logging.INFO))  # libraries' DEBUG shows what goes over their wires
    for name in TOO_TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def _install(level: int, redactor: Redactor, *, as_json: bool, colours: bool, stream: BinaryIO | None) -> None:
    lines = _Lines(stream)
    render: list[Processor] = [_render_json]
    if not as_json:
        console = structlog.dev.ConsoleRenderer(
            colors=colours, timestamp_key="time", exception_formatter=structlog.dev.plain_traceback
        )
        render = [_escape_values, console, _encode]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _add_time,
            structlog.processors.format_exc_info,
            redactor,
            *render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )
    _active.level, _active.redactor, _active.lines, _active.as_json = level, redactor, lines, as_json


def _remove_bridge() -> None:
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Bridge)]:
        root.removeHandler(handler)


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger whose events carry `source=name`. Follows `configure`, whenever that is called."""
    logger: FilteringBoundLogger = structlog.get_logger(source=name)
    return logger


class _Bridge(logging.Handler):
    """From the standard library's logging to ours."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError):
            return  # a request ended at shutdown; uvicorn calls that an exception in the application
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)  # structlog knows no others
        try:
            get_logger(record.name).log(level, record.getMessage().strip(), exc_info=record.exc_info)
        except Exception as error:  # handleError would print the arguments
            get_logger(record.name).error("a log record could not be read", reason=type(error).__name__)


# --- the request log --------------------------------------------------------------------------------------------------


def log_request(record: RequestRecord) -> None:
    """The one event of a request. Says who, where to, how it ended and what it cost; nothing of what was said."""
    level: Level = "warning" if record.status >= 500 else "info"
    if LEVELS[level] < _active.level:
        return
    fields = _request_fields(record, _active.redactor)
    if _active.as_json:  # past structlog, whose own share of an event is larger than all of this
        _active.lines.msg(_json_line({"time": _now(), "level": level, "event": "request", **fields}))
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


class _Active:
    """What `configure` set last, for the request log."""

    level: int
    redactor: Redactor
    lines: _Lines
    as_json: bool


_active = _Active()


def reset() -> None:
    """Back to how it is before `configure`: warnings and worse, for people."""
    _remove_bridge()
    _install(logging.WARNING, Redactor(), as_json=False, colours=False, stream=None)


if not structlog.is_configured():  # structlog's own default prints to stdout
    reset()
