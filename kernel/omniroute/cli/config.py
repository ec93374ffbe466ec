"""`omniroute config`: what the settings are, where each comes from, and what is wrong with them."""

import json
from typing import TYPE_CHECKING

import click

from omniroute.cli.command import Session, command
from omniroute.cli.output import Exit, note, print_data, print_json, printable, table

if TYPE_CHECKING:
    from omniroute.settings import LoadedSettings

__all__ = ["config"]


@click.group()
def config() -> None:
    """Check and show the settings."""


@command(
    config,
    epilog="\b\nExamples:\n  omniroute config check\n  omniroute config check --config team.toml --json",
)
def check(session: Session) -> int:
    """Report everything that is wrong with settings and plugins, all at once. Exits 3 when there is something."""
    findings, notes, files = _findings(session)
    if session.as_json:
        print_json({"findings": findings, "notes": notes, "files": files})
    else:
        for doubt in notes:
            note(f"{click.style('note:', bold=True)} {printable(doubt)}")
        for finding in findings:
            note(f"{click.style('error[settings]:', fg='red', bold=True)} {printable(finding)}")
        if not findings:
            print_data(f"the settings are good ({', '.join(files) or 'no settings file; all defaults'})")
    return Exit.CONFIG if findings else Exit.OK


def _findings(session: Session) -> tuple[list[str], list[str], list[str]]:
    """(what is wrong, what is doubtful, files read)."""
    import asyncio

    from omniroute.errors import SettingsError, StartError

    try:
        loaded = session.settings
    except SettingsError as error:
        return list(error.findings), [], []
    files = [str(path) for path in loaded.files]
    try:
        notes = asyncio.run(_try(loaded))
    except SettingsError as error:
        return list(error.findings), [], files
    except StartError as error:
        return [" · ".join(part for part in (error.message, error.why, error.fix) if part)], [], files
    return [], notes, files


async def _try(loaded: "LoadedSettings") -> list[str]:
    """Open a gateway with these settings on an empty directory: what is found wrong is what a start would find. Returns what
    it finds doubtful.

    Raises `StartError`.
    """
    import tempfile
    from pathlib import Path

    import msgspec

    from omniroute.gateway import Gateway
    from omniroute.server import check_exposure

    check_exposure(loaded.settings)
    with tempfile.TemporaryDirectory(prefix="omniroute-check-") as empty:
        settings = msgspec.structs.replace(loaded.settings, data_dir=Path(empty))
        gateway = await Gateway.open(msgspec.structs.replace(loaded, settings=settings), serving=False)
        await gateway.close()
        return list(gateway.plugins.notes)


@command(
    config,
    epilog="\b\nExamples:\n  omniroute config show\n  omniroute config show --effective --origin",
)
@click.option("--effective", is_flag=True, help="Everything that holds, defaults too; else only what was set.")
@click.option("--origin", is_flag=True, help="Where each value comes from.")
def show(session: Session, effective: bool, origin: bool) -> None:
    """Show the settings. Secrets are never shown."""
    from omniroute.settings import effective as rows_of

    rows = [row for row in rows_of(session.settings) if effective or row.origin != "default"]
    if session.as_json:
        shown = {row.key: {"value": row.value, "origin": row.origin} if origin else row.value for row in rows}
        print_json(shown)
    elif not rows:
        note("Nothing is set: all settings have their defaults. See them with --effective.")
    else:
        lines = [(row.key, json.dumps(row.value, ensure_ascii=False), row.origin) for row in rows]
        heads = ("key", "value", "origin")
        columns = len(heads) if origin else 2
        print_data(table(heads[:columns], [line[:columns] for line in lines]))
