"""`omniroute account`: credentials for providers. A key comes on standard input, never as an argument."""

import sys

import click

from omniroute.cli.command import Session, command
from omniroute.cli.output import Exit, Problem, note, print_data, print_json, table

__all__ = ["account"]


@click.group()
def account() -> None:
    """Credentials for providers; several per provider."""


@command(
    account,
    epilog="\b\nExamples:\n"
    "  printenv OPENAI_API_KEY | omniroute account add openai --name work --api-key-stdin\n"
    "  omniroute account add anthropic --api-key-stdin        (asks for the key)",
)
@click.argument("provider")
@click.option("--name", default="default", show_default=True, help="Tells several accounts of one provider apart.")
@click.option("--api-key-stdin", is_flag=True, help="Read the API key from standard input; asks on a terminal.")
@click.option("--base-url", metavar="URL", help="Instead of the provider's own API root.")
@click.option("--priority", type=click.IntRange(1, 100), default=50, show_default=True, help="1 is asked first.")
def add(session: Session, provider: str, name: str, api_key_stdin: bool, base_url: str | None, priority: int) -> None:
    """Add an account for PROVIDER. Its credential is stored encrypted."""
    import msgspec

    from omniroute.cli.managing import manage
    from omniroute.management.service import AddAccount

    api_key = _read_key(provider) if api_key_stdin else None
    wanted = AddAccount(provider=provider, name=name, api_key=api_key, base_url=base_url, priority=priority)
    added = manage(session, lambda manager: manager.add_account(wanted))
    if session.as_json:
        print_json(msgspec.to_builtins(added))
    else:
        note(f"Added {added.id}, for {added.base_url}.")


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
        rows = [(view.id, view.state, view.priority, view.base_url, view.origin) for view in accounts]
        print_data(table(("account", "state", "priority", "base URL", "from"), rows))
        for view in accounts:
            if view.reason:
                note(f"{view.id}: {view.reason}")


@command(account, json=False, epilog="\b\nExamples:\n  omniroute account rm openai/work\n  omniroute account rm openai")
@click.argument("account_id", metavar="PROVIDER[/NAME]")
def rm(session: Session, account_id: str) -> None:
    """Remove an account and its credential."""
    from omniroute.cli.managing import manage

    provider, _, name = account_id.partition("/")
    manage(session, lambda manager: manager.remove_account(provider, name or "default"))
    note(f"{provider}/{name or 'default'} is removed.")
