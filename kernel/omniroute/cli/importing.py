"""`omniroute import`: shows what is on this machine and what would become of it, asks once, and does it.

Files and variables are read here, where the person sits. The gateway is asked twice: for a plan, without secrets, and after the
yes for one account after another. Nothing of what is read is printed.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from omniroute.cli.command import Session, command
from omniroute.cli.output import Exit, Problem, note, print_data, print_json, table

if TYPE_CHECKING:
    from omniroute.cli.managing import Manager
    from omniroute.importing.preparing import Prepared
    from omniroute.importing.reading import Reading
    from omniroute.importing.values import ImportSources, LocalServer, Machine, Planned
    from omniroute.management.importing import Imported

__all__ = ["import_"]

STATES = {"new": "new", "same": "there already", "renew": "gets newer tokens", "blocked": "cannot be taken over"}
DONE = {"new": "added", "same": "was there already", "renew": "has newer tokens"}


@command(
    name="import",
    epilog="\b\nExamples:\n"
    "  omniroute import --plan            (only shows what is here)\n"
    "  omniroute import claude-code\n"
    "  omniroute import ~/.omniroute --yes",
)
@click.argument("source", required=False)
@click.option("--plan", is_flag=True, help="Only show what would be done.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--move", is_flag=True, help="Take refresh tokens along: the program they are from has to sign in again.")
def import_(session: Session, source: str | None, plan: bool, yes: bool, move: bool) -> int:
    """Take over sign-ins and keys that are on this machine.

    SOURCE is a program that is signed in (claude-code, see docs/import.md) or its provider, `env` for keys in the environment,
    `local` for model servers, or the data directory of an earlier OmniRoute. Without it everything is looked at. The other
    program's files are read and never written.
    """
    from omniroute.cli.managing import manage

    async def work(manager: "Manager") -> int:
        offer = await _looked(manager, source, move=move)
        _show(session, offer)
        if plan or not offer.wanted:
            _print_json(session, offer, [], [])
            return Exit.OK
        if not yes:
            _ask(len(offer.wanted))
        done, failed = await _taken(manager, offer)
        _print_json(session, offer, done, failed)
        return Exit.FAILURE if failed else Exit.OK

    return manage(session, work)


class _Offer:
    """What is here, and what would become of it."""

    def __init__(
        self, reading: "Reading", rows: "Sequence[tuple[Prepared, Planned | None]]", local: "Sequence[LocalServer]"
    ) -> None:
        self.reading = reading
        self.rows = rows
        self.local = local

    @property
    def wanted(self) -> "list[tuple[Prepared, Planned]]":
        return [(each, plan) for each, plan in self.rows if plan is not None and plan.state in {"new", "renew"}]


async def _looked(manager: "Manager", source: str | None, *, move: bool) -> _Offer:
    from omniroute.importing.preparing import prepared
    from omniroute.importing.reading import LOCAL
    from omniroute.importing.values import Machine
    from omniroute.management.importing import PlanImport

    sources, machine = await manager.import_sources(), Machine.here()
    reading = _read(source, sources, machine)
    local = await manager.local_servers() if source in {None, LOCAL} else []
    providers = {provider.name: provider for provider in sources.providers}
    ready = [
        prepared(found, providers.get(sources.prefixes.get(found.provider, "")), move=move, now_s=machine.now_s)
        for found in reading.found
    ]
    candidates = tuple(each.candidate for each in ready if each.candidate is not None)
    plans = iter(await manager.plan_import(PlanImport(candidates=candidates)) if candidates else ())
    return _Offer(reading, [(each, None if each.wanted is None else next(plans)) for each in ready], local)


def _read(source: str | None, sources: "ImportSources", machine: "Machine") -> "Reading":
    from omniroute.importing.reading import UnknownSource, read_source

    try:
        return read_source(source, sources, machine)
    except UnknownSource as error:
        fix = f"SOURCE is one of {', '.join(error.known)}, or a directory" if error.known else None
        raise Problem(code="no-source", message=error.why, fix=fix, leave=Exit.USAGE) from error


def _ask(number: int) -> None:
    what = "it" if number == 1 else f"these {number}"
    if not sys.stdin.isatty():
        raise Problem(
            code="not-asked",
            message="nothing was taken over",
            why="there is no terminal to ask at",
            fix="say it beforehand: omniroute import --yes",
            leave=Exit.USAGE,
        )
    if not click.confirm(f"Take over {what}?", default=False, err=True):
        raise Problem(code="not-wanted", message="nothing was taken over", leave=Exit.FAILURE)


async def _taken(manager: "Manager", offer: _Offer) -> "tuple[list[Imported], list[dict[str, str | None]]]":
    """One after another; one that fails keeps no other back."""
    from omniroute.cli.command import as_problem

    done: list[Imported] = []
    failed: list[dict[str, str | None]] = []
    for each, plan in offer.wanted:
        assert each.wanted is not None
        try:
            imported = await manager.import_login(each.wanted)
        except Exception as error:
            problem = error if isinstance(error, Problem) else as_problem(error)
            if problem is None or problem.leave is Exit.NOT_RUNNING:
                raise
            failed.append(
                {"account": plan.account, "code": problem.code, "message": problem.message, "why": problem.why}
            )
            reason = f"{problem.message}{f': {problem.why}' if problem.why else ''}{f'; {problem.fix}' if problem.fix else ''}"
            note(f"{plan.account} is not taken over: {reason}")
            continue
        done.append(imported)
        whose = f" ({imported.account.identity})" if imported.account.identity else ""
        note(f"{imported.account.id}{whose} {DONE[imported.state]}.")
    return done, failed


# --- showing ----------------------------------------------------------------------------------------------------------


def _show(session: Session, offer: _Offer) -> None:
    if not session.as_json:
        rows = [_row(each, plan) for each, plan in offer.rows]
        rows += [
            (
                one.display_name,
                one.base_url,
                one.account,
                f"found by itself while the gateway runs, {one.models} models",
            )
            for one in offer.local
        ]
        if rows:
            print_data(table(("what", "from", "account", ""), rows))
        else:
            note("There is nothing here to take over.")
        if offer.reading.settings:
            print_data("\nFor the settings file, which is yours to write:\n\n" + offer.reading.settings)
    for each, plan in offer.rows:
        name = each.found.source if plan is None else plan.account
        for text in each.notes if plan is None or plan.state != "same" else ():
            note(f"{name}: {text}")
    for text in offer.reading.notes:
        note(text)


def _row(each: "Prepared", plan: "Planned | None") -> tuple[str, str, str, str]:
    found = each.found
    what = {"login": "sign-in", "key": "key"}[found.kind]
    if plan is None:
        return what, found.source, found.provider, f"cannot be read: {found.problem}"
    return what, found.source, plan.account, STATES[plan.state] + (f": {plan.why}" if plan.why else "")


def _print_json(
    session: Session, offer: _Offer, done: "Sequence[Imported]", failed: Sequence[dict[str, str | None]]
) -> None:
    if not session.as_json:
        return
    import msgspec

    local: Any = msgspec.to_builtins(list(offer.local))
    print_json(
        {
            "plan": [_plan(each, plan) for each, plan in offer.rows],
            "local": local,
            "imported": [{"account": one.account.id, "state": one.state} for one in done],
            "failed": failed,
            "settings": offer.reading.settings or None,
            "notes": list(offer.reading.notes),
        }
    )


def _plan(each: "Prepared", plan: "Planned | None") -> dict[str, Any]:
    found = each.found
    return {
        "provider": found.provider,
        "kind": found.kind,
        "source": found.source,
        "account": None if plan is None else plan.account,
        "state": "unreadable" if plan is None else plan.state,
        "why": found.problem if plan is None else plan.why,
        "expires_at_s": found.expires_at_s,
        "notes": list(each.notes),
    }
