"""How much of a subscription is left: from the usage endpoint, and from the headers of every answer."""

import math
from collections.abc import Mapping
from datetime import datetime

import msgspec
from msgspec import Raw

from omniroute.api import HttpResponse, QuotaPeriod, QuotaWindow, UpstreamGarbled

__all__ = ["FAMILIES", "family", "from_headers", "instant", "windows_in"]

FAMILIES = ("opus", "sonnet", "haiku")
"""Some plans count a family's week apart."""
LENGTHS: Mapping[str, QuotaPeriod] = {"five_hour": "5h", "seven_day": "weekly"}
HEADER_LENGTHS: Mapping[str, QuotaPeriod] = {"5h": "5h", "7d": "weekly"}
UTILIZATION = "anthropic-ratelimit-unified-{}-utilization"
RESET = "anthropic-ratelimit-unified-{}-reset"


class Window(msgspec.Struct):
    utilization: float
    """Percent used."""
    resets_at: datetime | None = None


ANSWER = msgspec.json.Decoder(dict[str, Raw])
WINDOW = msgspec.json.Decoder(Window | None)
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def family(model: str) -> str:
    return next((name for name in FAMILIES if name in model), model)


def windows_in(response: HttpResponse) -> tuple[QuotaWindow, ...]:
    try:
        fields = ANSWER.decode(response.body)
        return tuple(
            window
            for name, raw in fields.items()
            if name.startswith(tuple(LENGTHS)) and (window := _window(name, raw)) is not None
        )
    except UNREADABLE as error:
        raise UpstreamGarbled("the usage answer cannot be read", why=str(error)) from error


def _window(name: str, raw: Raw) -> QuotaWindow | None:
    found = WINDOW.decode(raw)
    if found is None:  # the plan has no such window
        return None
    length = next(prefix for prefix in LENGTHS if name.startswith(prefix))
    whose = name.removeprefix(length).strip("_")
    if whose and whose not in FAMILIES:
        return None  # of some other service of the vendor
    period = LENGTHS[length]
    return QuotaWindow(
        name=f"{period} {whose}".strip(),
        period=period,
        bucket=whose or None,
        share_left=_share(found.utilization / 100),
        resets_at_s=None if found.resets_at is None else found.resets_at.timestamp(),
    )


def from_headers(headers: Mapping[str, str]) -> tuple[QuotaWindow, ...]:
    found = []
    for length, period in HEADER_LENGTHS.items():
        used = _number(headers.get(UTILIZATION.format(length)))
        if used is not None:
            resets = instant(headers.get(RESET.format(length)))
            found.append(QuotaWindow(name=period, period=period, share_left=_share(used), resets_at_s=resets))
    return tuple(found)


def _share(used: float) -> float:
    return min(max(1 - used, 0.0), 1.0)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None


def instant(text: str | None) -> float | None:
    """Unix time, or a date."""
    number = _number(text)
    if number is not None or text is None:
        return number
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
