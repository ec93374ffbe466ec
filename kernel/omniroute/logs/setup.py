"""structlog and the standard library's logging, set up to take one way out."""

import asyncio
import atexit
import logging
import sys
from collections.abc import Mapping
from typing import BinaryIO, Literal, TypeAlias

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from omniroute.logs.redaction import Redactor
from omniroute.logs.rendering import Lines, add_time, encode, escape_values, render_json

__all__ = ["LEVELS", "TOO_TALKATIVE", "Level", "active", "configure", "get_logger", "reset"]

Level: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]
LEVELS: Mapping[Level, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
TOO_TALKATIVE = ("aiohttp", "httpcore", "httpx", "uvicorn")
"""They log URLs, headers or addresses below WARNING."""


class Active:
    """What `configure` set last, for the request log."""

    level: int
    redactor: Redactor
    lines: Lines = Lines(None)
    as_json: bool


active = Active()


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
    active.lines.flush()  # what waits goes where it was meant to go
    lines = Lines(stream)
    render: list[Processor] = [render_json]
    if not as_json:
        console = structlog.dev.ConsoleRenderer(
            colors=colours, timestamp_key="time", exception_formatter=structlog.dev.plain_traceback
        )
        render = [escape_values, console, encode]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            add_time,
            structlog.processors.format_exc_info,
            redactor,
            *render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )
    active.level, active.redactor, active.lines, active.as_json = level, redactor, lines, as_json


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
            return  # something ended at shutdown, which is no failure
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)  # structlog knows no others
        try:
            get_logger(record.name).log(level, record.getMessage().strip(), exc_info=record.exc_info)
        except Exception as error:  # handleError would print the arguments
            get_logger(record.name).error("a log record could not be read", reason=type(error).__name__)


def reset() -> None:
    """Back to how it is before `configure`: warnings and worse, for people."""
    _remove_bridge()
    _install(logging.WARNING, Redactor(), as_json=False, colours=False, stream=None)


@atexit.register
def _flush() -> None:
    active.lines.flush()


if not structlog.is_configured():  # structlog's own default prints to stdout
    reset()
