"""`omniroute provider`: upstreams, what is known of them, and whether they answer."""

from typing import TYPE_CHECKING

import click

from omniroute.cli.command import Session, command
from omniroute.cli.output import Exit, note, print_data, print_json, table

if TYPE_CHECKING:
    from omniroute.cli.managing import Manager
    from omniroute.management.providers import ProviderDetails
    from omniroute.management.trial import AccountTrial

__all__ = ["provider"]


@click.group()
def provider() -> None:
    """Upstreams, what is known of them, and whether they answer."""


@command(provider, name="list", epilog="\b\nExamples:\n  omniroute provider list\n  omniroute provider list --json")
def list_(session: Session) -> None:
    """List the providers, with how they are paid for and how many accounts each has."""
    import msgspec

    from omniroute.cli.managing import manage

    views = manage(session, lambda manager: manager.providers())
    if session.as_json:
        print_json(msgspec.to_builtins(views))
        return
    rows = [
        (view.name, ", ".join(view.aliases), view.tier, view.auth, view.dialect, view.accounts or "", _odd(view.status))
        for view in views
    ]
    print_data(table(("provider", "also", "tier", "sign-in", "dialect", "accounts", ""), rows))


@command(provider, epilog="\b\nExamples:\n  omniroute provider show claude\n  omniroute provider show cc --json")
@click.argument("name")
def show(session: Session, name: str) -> None:
    """Show what is known of a provider, and of its models."""
    import msgspec

    from omniroute.cli.managing import manage

    found = manage(session, lambda manager: manager.provider(name))
    if session.as_json:
        print_json(msgspec.to_builtins(found))
        return
    print_data(table((found.name, found.display_name or ""), [(k, v) for k, v in _facts(found).items() if v]))
    if found.models:
        rows = [
            (model.id, model.name, model.context_tokens, model.max_output_tokens, ", ".join(model.capabilities))
            for model in found.models
        ]
        print_data("\n" + table(("model", "name", "context tokens", "output tokens", "can"), rows))
    if found.any_model:
        note("Models that are not listed are passed on as they are.")


def _facts(found: "ProviderDetails") -> dict[str, str | None]:
    needs = found.sign_in
    secret = f"yours to supply: {', '.join(needs.client_secret_env)}" if needs and needs.own_secret else None
    return {
        "status": _odd(found.status),
        "note": found.note,
        "also": ", ".join(found.aliases),
        "tier": found.tier,
        "dialect": found.dialect,
        "base URL": found.base_url,
        "sign-in": ", ".join(found.auth),
        "own client id": ", ".join(needs.client_id_env) if needs else None,
        "client secret": secret,
        "docs": found.docs_url,
        "terms": found.terms_url,
        "checked": found.checked,
        "accounts": ", ".join(found.accounts),
    }


def _odd(status: str) -> str:
    return "" if status == "live" else status


@command(provider, epilog="\b\nExamples:\n  omniroute provider test openai\n  omniroute provider test glm --json")
@click.argument("name")
def test(session: Session, name: str) -> int:
    """Try each account of a provider: by its list of models, else by an answer of one token."""
    import msgspec

    from omniroute.cli.managing import manage

    trials = manage(session, lambda manager: _trials(manager, name))
    if session.as_json:
        print_json(msgspec.to_builtins(trials))
    elif not trials:
        note(f"There is no account of {name} to try. Add one: omniroute account add {name}")
    else:
        rows = [(trial.id, trial.diagnosis, trial.by, trial.models, trial.detail) for trial in trials]
        print_data(table(("account", "", "tried by", "models", "why"), rows))
    return Exit.OK if trials and all(trial.ok for trial in trials) else Exit.UPSTREAM


async def _trials(manager: "Manager", name: str) -> "list[AccountTrial]":
    found = await manager.provider(name)
    parts = [account_id.partition("/")[::2] for account_id in found.accounts]
    return [await manager.test_account(owner, account) for owner, account in parts]
