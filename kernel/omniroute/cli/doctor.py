"""`omniroute doctor`: whether this installation can work, what is wrong with it, and what to do about that."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from omniroute.cli.command import Session, command
from omniroute.cli.output import Exit, Problem, print_data, print_json, printable

if TYPE_CHECKING:
    from omniroute.settings import LoadedSettings
    from omniroute.sharing import Shared

__all__ = ["doctor"]

SECRET_FILES = ("secret.key", "management.key", "client.key")


class Check(NamedTuple):
    name: str
    ok: bool
    detail: str
    fix: str | None = None


@command(name="doctor", epilog="\b\nExamples:\n  omniroute doctor\n  omniroute doctor --json")
def doctor(session: Session) -> int:
    """Check this installation, with fixes.

    Looks at settings, plugins, data directory, accounts and the running gateway. Exits 6 when something is wrong.
    """
    checks = list(_examine(session))
    if session.as_json:
        print_json([check._asdict() for check in checks])
    else:
        for check in checks:
            mark = click.style("ok   ", fg="green") if check.ok else click.style("wrong", fg="red", bold=True)
            print_data(f"{mark}  {check.name:<15} {printable(check.detail)}")
            if check.fix and not check.ok:
                print_data(f"{'':24}fix: {printable(check.fix)}")
    return Exit.OK if all(check.ok for check in checks) else Exit.FINDINGS


def _examine(session: Session) -> Iterator[Check]:
    from omniroute.errors import SettingsError

    try:
        loaded = session.settings
    except SettingsError as error:
        yield from (
            Check("settings", False, finding, "mend it; `omniroute config check` tells when it is")
            for finding in error.findings
        )
        return
    files = ", ".join(map(str, loaded.files)) or "no file; all defaults"
    yield Check("settings", True, files)
    yield from _plugins(loaded)
    directory = loaded.settings.data_dir
    if not directory.exists():
        yield Check("data directory", True, f"{directory} does not exist yet; the first start makes it")
        yield _port(loaded)
        return
    yield from _data_dir(directory)
    yield from _gateway(session, loaded)


def _plugins(loaded: "LoadedSettings") -> Iterator[Check]:
    from omniroute.management.service import plugin_views
    from omniroute.plugins import load_plugins

    settings = loaded.settings.plugins
    views = plugin_views(load_plugins(settings, safe_mode=True), settings)
    working = sum(view.state == "loaded" for view in views)
    yield Check("plugins", working > 0, f"{working} loaded", "pip install omniroute brings the standard set")
    for view in views:
        if view.state in ("failed", "withheld"):
            fix = f'upgrade or uninstall {view.distribution}, or set [plugins] disabled = ["{view.name}"]'
            yield Check("plugins", False, f"{view.name}: {view.reason}", fix)


def _data_dir(directory: Path) -> Iterator[Check]:
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        yield Check(
            "data directory", False, f"{directory} cannot be written", "give it to your user, or use --data-dir"
        )
        return
    yield from _private("data directory", directory, "700")
    for path in (directory / name for name in SECRET_FILES):
        if path.exists():
            yield from _private("secret file", path, "600")


def _private(name: str, path: Path, mode: str) -> Iterable[Check]:
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield Check(name, False, f"{path} can be read by other users", f"chmod {mode} {path}")
    else:
        yield Check(name, True, str(path))


def _gateway(session: Session, loaded: "LoadedSettings") -> Iterator[Check]:
    """The running gateway, or what one would find."""
    runtime = session.data.read_runtime()
    if runtime is None:
        yield Check("gateway", True, "not running")
        yield _port(loaded)
        if not (session.data.path / "secret.key").exists():
            return
    else:
        yield from _guarded("gateway", lambda: _running(session, runtime.url))
    yield from _guarded("accounts", lambda: _accounts(session))


def _running(session: Session, url: str) -> Iterator[Check]:
    from omniroute.cli.managing import manage_running

    status = manage_running(session, lambda manager: manager.status())
    detail = f"{url} · {status.models} models · version {status.version}"
    yield Check(
        "gateway",
        status.ready,
        f"{detail} · {status.problem}" if status.problem else detail,
        "omniroute serve says more",
    )
    yield from _sharing(status.sharing)


def _sharing(sharing: "Shared") -> Iterator[Check]:
    if sharing.on:
        failures = sharing.failures
        detail = f"the shared state cannot be asked, {failures} times in a row" if failures else "counts are shared"
        fix = "the gateway goes on with its own counts; its log says why, and `omniroute plugin list` what may open it"
        yield Check("other gateways", not failures, detail, fix)


def _accounts(session: Session) -> Iterator[Check]:
    from omniroute.cli.managing import manage

    accounts = manage(session, lambda manager: manager.accounts())
    usable = sum(view.state == "usable" for view in accounts)
    yield Check("accounts", True, f"{usable} usable")
    for view in accounts:
        if view.reason is not None:
            fix = f"omniroute account rm {view.id}, then add it again"
            yield Check("accounts", False, f"{view.id}: {view.reason}", fix)


def _port(loaded: "LoadedSettings") -> Check:
    from omniroute.errors import StartError
    from omniroute.server.listen import bind

    host, port = loaded.settings.server.host, loaded.settings.server.port
    try:
        for listener in bind(host, port):
            listener.close()
    except StartError as error:
        return Check("port", False, f"{error.message}: {error.why}", error.fix)
    return Check("port", True, f"{host}:{port} is free" if port else "any free one")


def _guarded(name: str, look: Callable[[], Iterator[Check]]) -> list[Check]:
    """A check that cannot even be made is a finding."""
    from omniroute.errors import GatewayError, StartError

    try:
        return list(look())
    except (Problem, GatewayError, StartError) as error:
        why = f": {error.why}" if error.why else ""
        return [Check(name, False, f"{error.message}{why}", error.fix)]
