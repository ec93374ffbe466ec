"""How much of a plan is left: from the usage endpoint, and from the headers of every answer."""

import math
from collections.abc import Mapping

import msgspec

from omniroute.api import HttpResponse, QuotaPeriod, QuotaWindow, UpstreamGarbled

__all__ = ["MAIN", "SPARK", "from_headers", "windows_in"]

MAIN, SPARK = "codex", "spark"
"""Two pools: models called "spark" have a quota of their own."""
PLACES: Mapping[str, QuotaPeriod] = {"primary": "5h", "secondary": "weekly"}
OLDER: Mapping[str, QuotaPeriod] = {"5h": "5h", "7d": "weekly"}


class Window(msgspec.Struct):
    used_percent: float
    reset_at: float | None = None
    """Unix time."""


class Limit(msgspec.Struct):
    primary_window: Window | None = None
    secondary_window: Window | None = None


class Answer(msgspec.Struct):
    rate_limit: Limit | None = None


ANSWER = msgspec.json.Decoder(Answer)


def windows_in(response: HttpResponse) -> tuple[QuotaWindow, ...]:
    """The windows of answers. What code reviews have left is another service's, and is not asked for here."""
    try:
        limit = ANSWER.decode(response.body).rate_limit or Limit()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamGarbled("the usage answer cannot be read", why=str(error)) from error
    found = {"primary": limit.primary_window, "secondary": limit.secondary_window}
    return tuple(
        _window(PLACES[place], window.used_percent / 100, window.reset_at) for place, window in found.items() if window
    )


def from_headers(headers: Mapping[str, str]) -> tuple[QuotaWindow, ...]:
    found = []
    for place, period in PLACES.items():
        used = _number(headers.get(f"x-codex-{place}-used-percent"))
        if used is not None:
            found.append(_window(period, used / 100, _number(headers.get(f"x-codex-{place}-reset-at"))))
    return tuple(found) or tuple(_older(headers))


def _older(headers: Mapping[str, str]) -> list[QuotaWindow]:
    """As backends said it before: counts instead of percents."""
    found = []
    for length, period in OLDER.items():
        used, limit = (_number(headers.get(f"x-codex-{length}-{what}")) for what in ("usage", "limit"))
        if used is not None and limit:
            window = _window(period, used / limit, _number(headers.get(f"x-codex-{length}-reset-at")))
            found.append(msgspec.structs.replace(window, used=used, limit=limit))
    return found


def _window(period: QuotaPeriod, used: float, resets_at_s: float | None) -> QuotaWindow:
    left = min(max(1 - used, 0.0), 1.0)
    return QuotaWindow(name=period, period=period, bucket=MAIN, share_left=left, resets_at_s=resets_at_s)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None
