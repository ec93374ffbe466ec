"""The `omniroute` command. Help, and every `COMMAND --help`, imports nothing of the server.

`root` is the command tree, `command` what every command has in common, `output` what is printed where, `remote` the way
to a running gateway; every other module is one command or group.
"""

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code (see `omniroute.cli.output.Exit`)."""
    from omniroute.cli.root import run

    return run(arguments)
