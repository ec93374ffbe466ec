"""Logs: one event a line on stderr, readable (console) or JSON; stdout is left to data.

Promises: no credential gets out, be it under a telling name, as a value the vault knows, or by its looks; text from
outside cannot forge a line or drive a terminal; a log that cannot be written never fails a request. What libraries log
through `logging` takes the same way; those that log URLs are silenced.
"""

import sys

if "rich" not in sys.modules:
    # structlog would import it for coloured tracebacks, which ours are not: 45 ms of every start.
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]

from omniroute.logs.redaction import MASK, Redactor
from omniroute.logs.requests import log_request
from omniroute.logs.setup import LEVELS, TOO_TALKATIVE, Level, configure, get_logger, reset

__all__ = ["LEVELS", "MASK", "TOO_TALKATIVE", "Level", "Redactor", "configure", "get_logger", "log_request", "reset"]
