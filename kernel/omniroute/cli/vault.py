"""`omniroute vault`: the key that stored credentials are encrypted with."""

import click

from omniroute.cli.command import Session, command
from omniroute.cli.output import note, print_json

__all__ = ["vault"]


@click.group()
def vault() -> None:
    """The key that stored credentials are encrypted with."""


@command(vault, epilog="\b\nExamples:\n  omniroute vault rotate")
def rotate(session: Session) -> None:
    """Encrypt everything with a new key, which is kept where `[vault] key` says.

    May be cut short at any moment: the next start goes on with it. Backups of before need the key of before.
    """
    import msgspec

    from omniroute.cli.managing import manage

    view = manage(session, lambda manager: manager.rotate_vault())
    if session.as_json:
        print_json(msgspec.to_builtins(view))
    else:
        note(f"Everything is encrypted with the key {view.key_id} now.")
