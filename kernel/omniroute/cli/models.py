"""`omniroute models`: what the running gateway can serve."""

import click

from omniroute.cli.command import Session, command
from omniroute.cli.output import note, print_data, print_json, table

__all__ = ["models"]


@click.group()
def models() -> None:
    """What the running gateway can serve."""


@command(
    models,
    name="list",
    epilog="\b\nExamples:\n  omniroute models list\n  omniroute models list --provider demo\n  omniroute models list --json",
)
@click.option("--provider", metavar="NAME", help="Only of this provider.")
def list_(session: Session, provider: str | None) -> None:
    """List the names a client can ask for: models, combos, aliases."""
    import msgspec

    from omniroute.cli.managing import manage_running

    found = manage_running(session, lambda manager: manager.models())
    shown = [model for model in found if provider in (None, model.provider)]
    if session.as_json:
        print_json(msgspec.to_builtins(shown))
    elif not shown:
        note("There are none. Add an account: omniroute account add PROVIDER --api-key-stdin")
    else:
        rows = [(model.id, model.kind, model.provider, model.context_tokens or "") for model in shown]
        print_data(table(("model", "kind", "provider", "context tokens"), rows))
