"""The command tree, by name only: a command's module is imported when the command is run or asked for its help."""

import importlib
import os
import sys
from collections.abc import Mapping, Sequence

import click

from omniroute import __version__
from omniroute.cli.output import Exit, Problem, colour, note, print_problem

__all__ = ["run"]

COMMANDS: Mapping[str, tuple[str, str]] = {
    "serve": ("omniroute.cli.serve:serve", "Run the gateway."),
    "ask": ("omniroute.cli.ask:ask", "Ask a model one question, through the running gateway."),
    "models": ("omniroute.cli.models:models", "What the running gateway can serve."),
    "translate": ("omniroute.cli.translate:translate", "Show what FILE becomes in another dialect."),
    "route": ("omniroute.cli.route:route", "Where requests go, and why."),
    "combo": ("omniroute.cli.combo:combo", "Lists of models that stand in for one another."),
    "drill": ("omniroute.cli.drill:drill", "Show what COMBO does when one of its upstreams fails."),
    "account": ("omniroute.cli.quota:account", "Credentials for providers; several per provider."),
    "import": ("omniroute.cli.importing:import_", "Take over sign-ins and keys that are on this machine."),
    "provider": ("omniroute.cli.provider:provider", "Upstreams, what is known of them, and whether they answer."),
    "vault": ("omniroute.cli.vault:vault", "The key that stored credentials are encrypted with."),
    "key": ("omniroute.cli.key:key", "Client keys for the model API."),
    "plugin": ("omniroute.cli.plugin:plugin", "Installed plugins."),
    "config": ("omniroute.cli.config:config", "Check and show the settings."),
    "doctor": ("omniroute.cli.doctor:doctor", "Check this installation, with fixes."),
}
EXAMPLES = """\b
Examples:
  omniroute serve
  omniroute ask "write fizzbuzz in python" -m demo/coder
  omniroute key create laptop
"""


class LazyGroup(click.Group):
    """A group whose commands are import paths; listing them takes their one line from the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    epilog=EXAMPLES,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="omniroute")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """One local endpoint for every coding CLI and every model provider."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def run(arguments: Sequence[str] | None) -> int:
    try:
        outcome = cli.main(arguments, prog_name="omniroute", standalone_mode=False, color=colour())
    except click.exceptions.NoArgsIsHelpError as error:
        note(error.format_message())
        return Exit.USAGE
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "omniroute"
        problem = Problem(code="usage", message=error.format_message(), fix=f"{where} --help", leave=Exit.USAGE)
        return print_problem(problem)
    except click.ClickException as error:
        return print_problem(Problem(code="failed", message=error.format_message()))
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone. Python would fail once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILURE
    return outcome if isinstance(outcome, int) else Exit.OK
