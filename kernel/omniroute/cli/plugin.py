"""`omniroute plugin`: what is installed."""

import click

from omniroute.cli.command import Session, command
from omniroute.cli.output import note, print_data, print_json, table

__all__ = ["plugin"]


@click.group()
def plugin() -> None:
    """Installed plugins. Install more with pip, uv or pipx: they are found by themselves."""


@command(plugin, name="list", epilog="\b\nExamples:\n  omniroute plugin list\n  omniroute plugin list --json")
def list_(session: Session) -> None:
    """List the plugins of this environment, with those that do not work."""
    import msgspec

    from omniroute.management.service import plugin_views
    from omniroute.plugins import load_plugins

    settings = session.settings.settings.plugins
    views = plugin_views(load_plugins(settings, safe_mode=True), settings)
    if session.as_json:
        print_json(msgspec.to_builtins(views))
        return
    rows = [(view.name, view.state, view.version, ", ".join(view.hooks)) for view in views]
    print_data(table(("plugin", "state", "version", "hooks"), rows))
    for view in views:
        if view.reason:
            note(f"{view.name}: {view.reason}")
