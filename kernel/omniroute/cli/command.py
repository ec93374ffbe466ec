"""What every command has in common: `--config`, `--data-dir`, `--json`, and errors in one form."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import click

from omniroute.cli.output import Exit, Problem, print_problem

if TYPE_CHECKING:
    from omniroute.datadir import DataDir
    from omniroute.settings import LoadedSettings

__all__ = ["Session", "as_problem", "command"]

P = ParamSpec("P")
Body = Callable[Concatenate["Session", P], int | None]


class Session:
    """One run of one command: where its settings and data directory are, and how it prints."""

    def __init__(self, *, config: Path | None, data_dir: Path | None, as_json: bool) -> None:
        self._config = config
        self._data_dir = data_dir
        self.as_json = as_json

    def load_settings(self, **overrides: Any) -> "LoadedSettings":
        """Raises `SettingsError` with all findings. `overrides` are flags, by `section__key`; None is not given."""
        from omniroute import settings

        given = {name.replace("__", "."): value for name, value in overrides.items() if value is not None}
        return settings.load(
            config=self._config, data_dir=self._data_dir, environ=os.environ, cwd=Path.cwd(), overrides=given
        )

    @functools.cached_property
    def settings(self) -> "LoadedSettings":
        return self.load_settings()

    @functools.cached_property
    def data(self) -> "DataDir":
        from omniroute.datadir import DataDir

        return DataDir(self.settings.settings.data_dir)


def command(
    group: click.Group | None = None, *, json: bool = True, **attributes: Any
) -> Callable[[Body[...]], click.Command]:
    """Make a click command of a function that takes a `Session` first and may return an exit code.

    `json` adds `--json` for commands that give out data.
    """

    def wrap(body: Body[...]) -> click.Command:
        @functools.wraps(body)
        def call(config: Path | None, data_dir: Path | None, as_json: bool = False, **arguments: Any) -> int:
            session = Session(config=config, data_dir=data_dir, as_json=as_json)
            try:
                return body(session, **arguments) or Exit.OK
            except Problem as problem:
                return print_problem(problem, as_json=as_json)
            except Exception as error:
                known = as_problem(error)
                if known is None:
                    raise
                return print_problem(known, as_json=as_json)

        path = click.Path(path_type=Path)
        function: Callable[..., Any] = call
        if json:
            function = click.option("--json", "as_json", is_flag=True, help="Print data as JSON.")(function)
        function = click.option("--data-dir", type=path, metavar="DIR", help="Where database, keys and logs live.")(
            function
        )
        function = click.option("--config", type=path, metavar="FILE", help="The settings file.")(function)
        return (group.command if group else click.command)(**attributes)(function)

    return wrap


def as_problem(error: Exception) -> Problem | None:
    """What a known error means on the command line; None for one that is a bug and keeps its traceback."""
    from omniroute.errors import GatewayError, SettingsError, StartError

    if isinstance(error, SettingsError):
        return Problem(
            code=error.code,
            message="\n  ".join(error.findings),
            fix="omniroute config check",
            leave=Exit.CONFIG,
        )
    if isinstance(error, StartError):
        return Problem(code=error.code, message=error.message, why=error.why, fix=error.fix)
    if isinstance(error, GatewayError):
        return Problem(code=error.code, message=error.message, why=error.why, fix=error.fix, leave=_exit(error))
    return None


def _exit(error: Exception) -> Exit:
    from omniroute.errors import AuthenticationFailed, NoCandidate, SignInRequired, UpstreamError

    if isinstance(error, AuthenticationFailed | SignInRequired):
        return Exit.AUTH
    return Exit.UPSTREAM if isinstance(error, UpstreamError | NoCandidate) else Exit.FAILURE
