"""`omniroute serve`: run the gateway until a signal. One line on stdout, when it is ready: its base URL."""

from typing import Literal

import click

from omniroute.cli.command import Session, as_problem, command
from omniroute.cli.output import Exit

__all__ = ["serve"]

LEVELS = ("debug", "info", "warning", "error", "critical")


@command(
    json=False,
    name="serve",
    epilog="\b\nExamples:\n  omniroute serve\n  omniroute serve --port 20129 --config team.toml\n  omniroute serve --safe-mode",
)
@click.option("--host", metavar="ADDRESS", help="Address to listen on; 127.0.0.1 unless the settings say otherwise.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="20128 unless the settings say otherwise; 0 is any free one."
)
@click.option("--log-level", type=click.Choice(LEVELS), default="info", show_default=True)
@click.option("--insecure-http", is_flag=True, default=None, help="Allow plain HTTP beyond this machine.")
@click.option("--safe-mode", is_flag=True, help="Start without the plugins that fail.")
def serve(
    session: Session,
    host: str | None,
    port: int | None,
    log_level: Literal["debug", "info", "warning", "error", "critical"],
    insecure_http: bool | None,
    safe_mode: bool,
) -> int:
    """Run the gateway. The first Ctrl-C lets running answers finish, a second one stops at once."""
    import asyncio
    import gc

    gc.disable()  # until all is loaded: what is made by then stays; see `running`

    from omniroute import logs
    from omniroute.cli.running import run
    from omniroute.errors import StartError
    from omniroute.server import check_exposure, loop_factory

    redactor = logs.Redactor()
    logs.configure(log_level, redactor=redactor)
    try:
        loaded = session.load_settings(server__host=host, server__port=port, server__insecure_http=insecure_http)
        check_exposure(loaded.settings)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(run(loaded, redactor, safe_mode=safe_mode))
    except StartError as error:
        problem = as_problem(error)
        assert problem is not None
        problem.leave = Exit.USAGE
        raise problem from error
    finally:
        gc.enable()
