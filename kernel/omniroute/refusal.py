"""What an upstream's refusal says, in whatever form it says it: codes, a message, and when to come back.

Reads status-independent text only; what follows from it is for providers to decide. Nothing here fails: what cannot be read
is not there.
"""

import email.utils
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from omniroute.contracts import HttpResponse

__all__ = ["Refusal", "read_refusal", "retry_after_s", "wait_s"]

MAX_MESSAGE_CHARACTERS = 2000
SECONDS = re.compile(r"\d+(\.\d+)?")
DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
UNITS = ("days", "hours", "minutes", "seconds", "milliseconds")
LIMIT_LEFT = re.compile(r"(?P<before>(?:[a-z]+-)?ratelimit-(?:[a-z-]+-)?)remaining(?P<after>(?:-[a-z-]+)?)")
"""Two families: `x-ratelimit-remaining-tokens` and `…-ratelimit-tokens-remaining`; `-reset` stands where this has `-remaining`."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    codes: frozenset[str] = frozenset()
    """The machine-readable words: error code, type and status, reasons among the details, lower case."""
    message: str | None = None
    retry_after_s: float | None = None


def read_refusal(response: HttpResponse) -> Refusal:
    problem = _problem(response.body)
    words = [problem.get(name) for name in ("code", "type", "status")]
    words += [detail.get("reason") for detail in _details(problem)]
    message = next((text for name in ("message", "detail") if (text := _text(problem.get(name)))), None)
    wait = retry_after_s(response.headers)
    return Refusal(
        codes=frozenset(word.lower() for word in words if isinstance(word, str)),
        message=message,
        retry_after_s=_from_problem(problem, response.headers) if wait is None else wait,
    )


def _problem(body: bytes) -> dict[str, Any]:
    """The object that describes the error; empty when the body is in none of the usual forms."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    if isinstance(found, list) and found:
        found = found[0]
    if not isinstance(found, dict):
        return {}
    error = found.get("error")
    if isinstance(error, dict):
        return error
    return {**found, "message": error} if isinstance(error, str) else found


def _text(value: Any) -> str | None:
    return value[:MAX_MESSAGE_CHARACTERS] if isinstance(value, str) and value else None


# --- when to come back ------------------------------------------------------------------------------------------------


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, by the first header that can be read; None without a hint.

    `retry-after-ms`, then `Retry-After` (seconds, or a date read against the answer's own `Date`, so that a wrong local clock
    does no harm), then the reset of rate limits that are used up. Negative and unreadable hints count as none.
    """
    if (milliseconds := headers.get("retry-after-ms")) and SECONDS.fullmatch(milliseconds.strip()):
        return _sane(float(milliseconds) / 1000)
    if value := headers.get("retry-after", "").strip():
        wait = float(value) if SECONDS.fullmatch(value) else _until(_http_date(value), headers)
        if (sane := _sane(wait)) is not None:
            return sane
    return _from_limits(headers)


def wait_s(until_s: float, headers: Mapping[str, str]) -> float | None:
    """Seconds from the answer's own `Date` to a Unix time; None without that date, and for a time that is past."""
    now = _http_date(headers.get("date", ""))
    return None if now is None else _sane(until_s - now.timestamp())


def _from_limits(headers: Mapping[str, str]) -> float | None:
    """The longest wait among the limits that have nothing left."""
    waits = []
    for name, left in headers.items():
        if left.strip() == "0" and (found := LIMIT_LEFT.fullmatch(name)):
            value = headers.get(f"{found['before']}reset{found['after']}", "").strip()
            wait = _sane(_duration(value) if value[-1:] in {"s", "m", "h", "d"} else _until(_iso_date(value), headers))
            if wait is not None:
                waits.append(wait)
    return max(waits, default=None)


def _from_problem(problem: Mapping[str, Any], headers: Mapping[str, str]) -> float | None:
    """Hints that stand in the body: `resets_in_seconds`, `resets_at` (Unix time), `retryDelay` among the details."""
    if isinstance(seconds := problem.get("resets_in_seconds"), int | float):
        return _sane(seconds)
    if isinstance(at := problem.get("resets_at"), int | float):
        return wait_s(at, headers)
    for detail in _details(problem):
        if isinstance(delay := detail.get("retryDelay"), str):
            return _sane(_duration(delay))
    return None


def _details(problem: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Google's way of saying more."""
    details = problem.get("details")
    return [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []


def _sane(seconds: float | None) -> float | None:
    return seconds if seconds is not None and 0 <= seconds < float("inf") else None


def _until(due: datetime | None, headers: Mapping[str, str]) -> float | None:
    now = _http_date(headers.get("date", ""))
    return None if due is None or now is None else (due - now).total_seconds()


def _http_date(value: str) -> datetime | None:
    try:
        found = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return found if found.tzinfo else None


def _iso_date(value: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else None


def _duration(value: str) -> float | None:
    """`1h2m3.5s`, `250ms`."""
    found = DURATION.fullmatch(value)
    if not found or not any(found.groups()):
        return None
    amounts = {unit: float(amount) for unit, amount in zip(UNITS, found.groups(), strict=True) if amount}
    try:
        return timedelta(**amounts).total_seconds()
    except OverflowError:
        return None
