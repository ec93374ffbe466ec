"""`omniroute account`: credentials for providers. A key comes on standard input, never as an argument."""

import sys
from typing import TYPE_CHECKING

import click

from omniroute.cli.command import Session, command
from omniroute.cli.output import Exit, Problem, limits_text, note, print_data, print_json, table

if TYPE_CHECKING:
    from omniroute.management.account_values import AccountView

__all__ = ["account"]

DEVICE = "oauth-device"
ACCOUNT = click.argument("account_id", metavar="PROVIDER[/NAME]")


@click.group()
def account() -> None:
    """Credentials for providers; several per provider."""


@command(
    account,
    epilog="\b\nExamples:\n"
    "  printenv OPENAI_API_KEY | omniroute account add openai --name work --api-key-stdin\n"
    "  omniroute account add anthropic --api-key-stdin        (asks for the key)\n"
    "  omniroute account add claude                           (signs in with a browser)\n"
    "  omniroute account add claude --paste-url               (on a machine without one)",
)
@click.argument("provider")
@click.option("--name", default="default", show_default=True, help="Tells several accounts of one provider apart.")
@click.option("--api-key-stdin", is_flag=True, help="Read a key or token from standard input; asks on a terminal.")
@click.option("--device", is_flag=True, help="Sign in by a code that is typed in a browser anywhere.")
@click.option("--paste-url", is_flag=True, help="Sign in where no browser reaches this machine: paste the address.")
@click.option("--scheme", metavar="NAME", help="The way to sign in, where the provider has several.")
@click.option("--allow-other-clients", is_flag=True, help="A subscription may serve clients that are not the vendor's.")
@click.option("--base-url", metavar="URL", help="Instead of the provider's own API root.")
@click.option("--priority", type=click.IntRange(1, 100), default=50, show_default=True, help="1 is asked first.")
@click.option("--max-concurrency", type=click.IntRange(1), metavar="N", help="Requests to it at a time.")
@click.option("--min-interval", type=click.FloatRange(0, 3600), metavar="SECONDS", help="Between two requests to it.")
@click.option("--rpm", type=click.IntRange(1), metavar="N", help="Requests to it in any minute.")
@click.option("--tpm", type=click.IntRange(1), metavar="N", help="Tokens in any minute.")
@click.option("--proxy", metavar="URL", help="HTTP proxy of this account; one with a password belongs in the settings.")
def add(
    session: Session,
    provider: str,
    name: str,
    api_key_stdin: bool,
    device: bool,
    paste_url: bool,
    scheme: str | None,
    allow_other_clients: bool,
    base_url: str | None,
    priority: int,
    max_concurrency: int | None,
    min_interval: float | None,
    rpm: int | None,
    tpm: int | None,
    proxy: str | None,
) -> None:
    """Add an account for PROVIDER: sign in to it, or give a key. What comes of it is stored encrypted."""
    import msgspec

    from omniroute.cli.managing import Manager, manage
    from omniroute.cli.signing_in import may_serve_others, say_if_withdrawn, sign_in
    from omniroute.contracts import Limits
    from omniroute.management.account_values import AccountView, BeginSignIn

    wanted = BeginSignIn(
        provider=provider,
        name=name,
        api_key=_read_key(provider) if api_key_stdin else None,
        base_url=base_url,
        priority=priority,
        limits=Limits(max_concurrency=max_concurrency, min_interval_s=min_interval, rpm=rpm, tpm=tpm),
        proxy=proxy,
        scheme=DEVICE if device else scheme,
        paste=paste_url,
        other_clients=allow_other_clients,
    )

    async def work(manager: Manager) -> AccountView:
        await say_if_withdrawn(manager, provider)
        if allow_other_clients:
            return await sign_in(manager, wanted)
        allowed = await may_serve_others(manager, provider)
        return await sign_in(manager, msgspec.structs.replace(wanted, other_clients=allowed))

    added = manage(session, work)
    whose = f" ({added.identity})" if added.identity else ""
    _say(session, added, f"Added {added.id}{whose}, for {added.base_url}.")


def _read_key(provider: str) -> str:
    if sys.stdin.isatty():
        answer: str = click.prompt(f"API key for {provider}", hide_input=True, err=True)
        return answer
    text = sys.stdin.readline().strip()
    if not text:
        raise Problem(
            code="no-key",
            message="standard input holds no key",
            fix=f"printenv YOUR_VARIABLE | omniroute account add {provider} --api-key-stdin",
            leave=Exit.USAGE,
        )
    return text


@command(account, name="list", epilog="\b\nExamples:\n  omniroute account list\n  omniroute account list --json")
def list_(session: Session) -> None:
    """List the accounts, of settings, database and this machine's own servers."""
    import msgspec

    from omniroute.cli.managing import manage

    accounts = manage(session, lambda manager: manager.accounts())
    if session.as_json:
        print_json(msgspec.to_builtins(accounts))
    elif not accounts:
        note("There are no accounts. Add one: omniroute account add PROVIDER --api-key-stdin")
    else:
        rows = [
            (view.id, view.state, view.priority, view.base_url, limits_text(view.limits), view.origin)
            for view in accounts
        ]
        print_data(table(("account", "state", "priority", "base URL", "limits", "from"), rows))
        for view in accounts:
            if view.reason:
                note(f"{view.id}: {view.reason}")


@command(account, epilog="\b\nExamples:\n  omniroute account show claude\n  omniroute account show openai/work --json")
@ACCOUNT
def show(session: Session, account_id: str) -> None:
    """Show one account: whose it is, how it stands, until when its token lasts."""
    import msgspec

    from omniroute.cli.managing import manage

    view = manage(session, lambda manager: manager.account(*_parts(account_id)))
    if session.as_json:
        print_json(msgspec.to_builtins(view))
    else:
        _print_view(view)


@command(account, epilog="\b\nExamples:\n  omniroute account test openai/work\n  omniroute account test claude --json")
@ACCOUNT
def test(session: Session, account_id: str) -> int:
    """Ask the upstream whether it takes the account's credential. Where it lists no models, this costs one token."""
    import msgspec

    from omniroute.cli.managing import manage

    trial = manage(session, lambda manager: manager.test_account(*_parts(account_id)))
    if session.as_json:
        print_json(msgspec.to_builtins(trial))
    elif trial.ok:
        how = f"its {trial.models} models" if trial.models is not None else f"its answer ({trial.by})"
        note(f"{trial.id} works, by {how}, in {trial.latency_s:g} s.")
    else:
        note(f"{trial.id} does not work: {trial.diagnosis}. {trial.detail or ''}")
    return Exit.OK if trial.ok else Exit.FINDINGS


@command(
    account, epilog="\b\nExamples:\n  omniroute account refresh claude\n  omniroute account refresh codex/work --json"
)
@ACCOUNT
def refresh(session: Session, account_id: str) -> None:
    """Renew the account's tokens now. The gateway does so by itself before they end."""
    from omniroute.cli.managing import manage

    view = manage(session, lambda manager: manager.refresh_account(*_parts(account_id)))
    until = f", until {_time(view.expires_at_s)}" if view.expires_at_s else ""
    _say(session, view, f"{view.id} has new tokens{until}.")


@command(
    account, epilog="\b\nExamples:\n  omniroute account login claude\n  omniroute account login claude/work --paste-url"
)
@ACCOUNT
@click.option("--device", is_flag=True, help="By a code that is typed in a browser anywhere.")
@click.option("--paste-url", is_flag=True, help="Where no browser reaches this machine: paste the address.")
@click.option("--api-key-stdin", is_flag=True, help="Read a key or token from standard input; asks on a terminal.")
@click.option("--replace", is_flag=True, help="Also when you sign in as somebody else than before.")
def login(session: Session, account_id: str, device: bool, paste_url: bool, api_key_stdin: bool, replace: bool) -> None:
    """Sign in again to an account that is there. Its settings stay."""
    from omniroute.cli.managing import manage
    from omniroute.cli.signing_in import sign_in
    from omniroute.management.account_values import BeginSignIn

    provider, name = _parts(account_id)
    wanted = BeginSignIn(
        provider=provider,
        name=name,
        api_key=_read_key(provider) if api_key_stdin else None,
        scheme=DEVICE if device else None,
        paste=paste_url,
        again=True,
        replace=replace,
    )
    view = manage(session, lambda manager: sign_in(manager, wanted))
    _say(session, view, f"{view.id} is signed in" + (f" ({view.identity})." if view.identity else "."))


@command(
    account, epilog="\b\nExamples:\n  omniroute account pause openai/work\n  omniroute account pause openai --json"
)
@ACCOUNT
def pause(session: Session, account_id: str) -> None:
    """Take an account out of use, and keep it."""
    _edit(session, account_id, "paused", paused=True)


@command(
    account, epilog="\b\nExamples:\n  omniroute account resume openai/work\n  omniroute account resume openai --json"
)
@ACCOUNT
def resume(session: Session, account_id: str) -> None:
    """Use a paused account again."""
    _edit(session, account_id, "in use", paused=False)


@command(account, epilog="\b\nExamples:\n  omniroute account allow claude\n  omniroute account allow claude --no")
@ACCOUNT
@click.option("--no", is_flag=True, help="The vendor's own client only, from now on.")
def allow(session: Session, account_id: str, no: bool) -> None:
    """Let clients use a subscription that are not the vendor's own. Read the provider's terms first."""
    _edit(session, account_id, "for the vendor's own client only" if no else "for every client", other_clients=not no)


@command(
    account,
    epilog="\b\nExamples:\n  omniroute account rename openai/default work\n  omniroute account rename openai work",
)
@ACCOUNT
@click.argument("name")
def rename(session: Session, account_id: str, name: str) -> None:
    """Give an account another NAME."""
    from omniroute.cli.managing import manage
    from omniroute.management.account_values import RenameAccount

    view = manage(session, lambda manager: manager.rename_account(*_parts(account_id), RenameAccount(name=name)))
    _say(session, view, f"It is called {view.id} now.")


@command(account, epilog="\b\nExamples:\n  omniroute account rm openai/work\n  omniroute account rm openai")
@ACCOUNT
def rm(session: Session, account_id: str) -> None:
    """Remove an account and its credential."""
    from omniroute.cli.managing import manage

    provider, name = _parts(account_id)
    manage(session, lambda manager: manager.remove_account(provider, name))
    if session.as_json:
        print_json({"removed": f"{provider}/{name}"})
    else:
        note(f"{provider}/{name} is removed.")


@command(account, epilog="\b\nExamples:\n  omniroute account reset openai/work\n  omniroute account reset openai")
@ACCOUNT
def reset(session: Session, account_id: str) -> None:
    """Forget an account's cooldowns: the next request may ask it again."""
    import msgspec

    from omniroute.cli.managing import manage

    done = manage(session, lambda manager: manager.reset_account(*_parts(account_id)))
    if session.as_json:
        print_json(msgspec.to_builtins(done))
    else:
        note(f"{done.id} may be asked again; marks that are gone: {done.cleared}.")


def _parts(account_id: str) -> tuple[str, str]:
    provider, _, name = account_id.partition("/")
    return provider, name or "default"


def _edit(
    session: Session, account_id: str, said: str, *, paused: bool | None = None, other_clients: bool | None = None
) -> None:
    from omniroute.cli.managing import manage
    from omniroute.management.account_values import EditAccount

    changes = EditAccount(paused=paused, other_clients=other_clients)
    view = manage(session, lambda manager: manager.edit_account(*_parts(account_id), changes))
    _say(session, view, f"{view.id} is {said}.")


def _say(session: Session, view: "AccountView", said: str) -> None:
    """What was done to an account; as JSON the account as it is now."""
    import msgspec

    if session.as_json:
        print_json(msgspec.to_builtins(view))
    else:
        note(said)


def _print_view(view: "AccountView") -> None:
    facts = {
        "state": view.state + (f": {view.reason}" if view.reason else ""),
        "whose": view.identity,
        "plan": view.plan,
        "token until": view.expires_at_s and _time(view.expires_at_s),
        "last renewed": view.refreshed_at_s and _time(view.refreshed_at_s),
        "base URL": view.base_url,
        "priority": view.priority,
        "limits": limits_text(view.limits),
        "proxy": view.proxy,
        "other clients": "allowed" if view.other_clients else "no",
        "models": view.models,
        "from": view.origin,
    }
    print_data(table((view.id, ""), [(name, value) for name, value in facts.items() if value not in {None, ""}]))


def _time(unix_s: float) -> str:
    import datetime

    return datetime.datetime.fromtimestamp(unix_s).astimezone().isoformat(sep=" ", timespec="minutes")
