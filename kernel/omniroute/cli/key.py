"""`omniroute key`: client keys for the model API."""

from datetime import UTC, datetime

import click

from omniroute.cli.command import Session, command
from omniroute.cli.output import limits_text, note, print_data, print_json, table

__all__ = ["key"]

DAY_S = 86_400


@click.group()
def key() -> None:
    """Client keys for the model API. They never reach the management API."""


@command(
    key, epilog="\b\nExamples:\n  omniroute key create laptop\n  omniroute key create ci --expires-days 30 --rpm 60"
)
@click.argument("name")
@click.option("--expires-days", type=click.FloatRange(min=0, min_open=True), metavar="N", help="Stop working then.")
@click.option("--max-concurrency", type=click.IntRange(1), metavar="N", help="Requests at a time.")
@click.option("--rpm", type=click.IntRange(1), metavar="N", help="Requests in any minute.")
@click.option("--tpm", type=click.IntRange(1), metavar="N", help="Tokens in any minute.")
def create(
    session: Session,
    name: str,
    expires_days: float | None,
    max_concurrency: int | None,
    rpm: int | None,
    tpm: int | None,
) -> None:
    """Make a key called NAME and print it. It is never shown again."""
    from omniroute.cli.managing import manage
    from omniroute.contracts import Limits
    from omniroute.management.service import CreateKey

    expires_in_s = None if expires_days is None else expires_days * DAY_S
    limits = Limits(max_concurrency=max_concurrency, rpm=rpm, tpm=tpm)
    wanted = CreateKey(name=name, expires_in_s=expires_in_s, limits=limits)
    made = manage(session, lambda manager: manager.create_key(wanted))
    if session.as_json:
        print_json({"key": made.key, "id": made.id, "name": made.name, "expires_at_s": made.expires_at_s})
        return
    print_data(made.key)
    note(f"This is the client key {made.name!r}. Keep it: it is not shown again.")


@command(key, name="list", epilog="\b\nExamples:\n  omniroute key list\n  omniroute key list --json")
def list_(session: Session) -> None:
    """List the keys, revoked and expired ones too."""
    import msgspec

    from omniroute.cli.managing import manage

    keys = manage(session, lambda manager: manager.keys())
    if session.as_json:
        print_json(msgspec.to_builtins(keys))
    elif not keys:
        note("There are no client keys. Make one: omniroute key create NAME")
    else:
        rows = [
            (
                view.id,
                view.name,
                view.state,
                _day(view.created_s),
                _day(view.expires_at_s),
                limits_text(view.limits),
                view.origin,
            )
            for view in keys
        ]
        print_data(table(("id", "name", "state", "created", "expires", "limits", "from"), rows))


@command(key, json=False, epilog="\b\nExamples:\n  omniroute key revoke laptop\n  omniroute key revoke k3f9a0xq")
@click.argument("key_id", metavar="ID|NAME")
def revoke(session: Session, key_id: str) -> None:
    """Make a key stop working, at once."""
    from omniroute.cli.managing import manage

    manage(session, lambda manager: manager.revoke_key(key_id))
    note(f"{key_id} is revoked.")


def _day(unix_s: float | None) -> str:
    return "" if unix_s is None else datetime.fromtimestamp(unix_s, UTC).astimezone().strftime("%Y-%m-%d")
