"""`omniroute account quota`: how much of each account's plan is left, and when it will be gone."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from omniroute.cli.account import account
from omniroute.cli.command import Session, command
from omniroute.cli.output import note, print_data, print_json, table

if TYPE_CHECKING:
    from omniroute.quota import Forecast, QuotaReading, WindowReading

__all__ = ["account", "quota"]

WATCH_S = 5.0
LEAST_S = 0.5
HEADS = ("account", "window", "left", "used", "full again", "at this rate")


@command(
    account,
    name="quota",
    epilog="\b\nExamples:\n  omniroute account quota\n  omniroute account quota claude/work --json\n"
    "  omniroute account quota --watch --interval 60",
)
@click.argument("account_id", metavar="[PROVIDER[/NAME]]", required=False)
@click.option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(min=LEAST_S),
    metavar="SECONDS",
    default=WATCH_S,
    show_default=True,
    help="How long --watch waits in between.",
)
def quota(session: Session, account_id: str | None, watch: bool, interval: float) -> None:
    """How much of each account's plan is left, as it was last heard, and when it will be gone."""
    try:
        _show(session, account_id, watch=watch)
        while watch:
            time.sleep(interval)
            _show(session, account_id, watch=watch)
    except KeyboardInterrupt:
        if not watch:
            raise


def _show(session: Session, account_id: str | None, *, watch: bool) -> None:
    readings = _readings(session, account_id)
    if watch and not session.as_json:
        click.clear()
    _print(session, readings)


def _readings(session: Session, wanted: str | None) -> "list[QuotaReading]":
    """Of every account, of a provider's, or of one. Raises `NotFound` for what is not there."""
    from omniroute.cli.managing import Manager, manage
    from omniroute.management.service import Management

    async def ask(manager: Manager) -> "list[QuotaReading]":
        if isinstance(manager, Management):  # nothing runs that has asked before
            await manager.read_quota()
        readings = await manager.quota()
        if wanted is None:
            return readings
        prefix, slash, name = wanted.partition("/")
        if slash:
            one = await manager.account(prefix, name)
            return [reading for reading in readings if reading.account == one.id]
        provider = (await manager.provider(prefix)).name
        return [reading for reading in readings if reading.account.startswith(f"{provider}/")]

    return manage(session, ask)


def _print(session: Session, readings: "list[QuotaReading]") -> None:
    import msgspec

    if session.as_json:
        print_json(msgspec.to_builtins(readings))
        return
    if not readings:
        note("No account has a plan that its provider tells anything of.")
        return
    print_data(table(HEADS, [row for reading in readings for row in _rows(reading)]))
    for reading in readings:
        if reading.error:
            note(f"{reading.account}: {reading.error}")


def _rows(reading: "QuotaReading") -> Iterator[tuple[str, ...]]:
    if not reading.windows:
        yield (reading.account, "", "not read yet", "", "", "")
    for each in reading.windows:
        window = each.window
        yield (
            reading.account,
            window.name,
            "" if window.share_left is None else f"{window.share_left:.0%}",
            ""
            if window.used is None
            else f"{window.used:g}" + ("" if window.limit is None else f" of {window.limit:g}"),
            "" if window.resets_at_s is None else clock(window.resets_at_s),
            _leads(each),
        )


def _leads(reading: "WindowReading") -> str:
    found = reading.forecast
    if found is None:
        return ""
    return "lasts until it is full again" if found.lasts else f"empty at {clock(found.empty_at_s)}{_band(found)}"


def _band(found: "Forecast") -> str:
    if found.margin_s is None:
        return ", or later"
    minutes = round(found.margin_s / 60)
    return f" ± {minutes} min" if minutes else ""


def clock(unix_s: float, now_s: float | None = None) -> str:
    """`15:42`; with the day when that is not today."""
    at, now = time.localtime(unix_s), time.localtime(now_s)
    same_day = at[:3] == now[:3]
    return time.strftime("%H:%M" if same_day else "%a %d %b %H:%M", at)
