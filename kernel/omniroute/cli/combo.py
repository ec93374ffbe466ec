"""`omniroute combo`: what is in a combo, how it is doing, and whether each of its targets answers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from omniroute.cli.command import Session, command
from omniroute.cli.output import Exit, note, print_data, print_json, printable, table

if TYPE_CHECKING:
    from omniroute.combos import ComboMetrics, ComboTarget, ComboTest, Measures

__all__ = ["combo"]


@click.group()
def combo() -> None:
    """Lists of models that stand in for one another."""


@command(combo, name="list", epilog="\b\nExamples:\n  omniroute combo list\n  omniroute combo list --json")
def list_(session: Session) -> None:
    """List the combos."""
    import msgspec

    from omniroute.cli.managing import manage

    combos = manage(session, lambda manager: manager.combos())
    if session.as_json:
        print_json(msgspec.to_builtins(combos))
    elif not combos:
        note("There are none. A table [combos.NAME] with `models` in the settings makes one.")
    else:
        rows = [(view.name, view.strategy, ", ".join(view.models), _ready(view.targets)) for view in combos]
        print_data(table(("combo", "strategy", "models", "targets"), rows))


@command(combo, epilog="\b\nExamples:\n  omniroute combo show always-on\n  omniroute combo show always-on --json")
@click.argument("name")
def show(session: Session, name: str) -> None:
    """Show what is in the combo NAME: every account that could serve it, and by which settings."""
    import msgspec

    from omniroute.cli.managing import manage

    view = manage(session, lambda manager: manager.combo(name))
    if session.as_json:
        print_json(msgspec.to_builtins(view))
        return
    note(f"{printable(view.label)}: {view.strategy} of {printable(', '.join(view.models))}")
    rows = [(target.name, target.account, target.tier or "", target.problem or "") for target in view.targets]
    print_data(table(("target", "account", "tier", "problem"), rows))
    terms = view.terms
    affinity = "stay" if terms.session_affinity else "do not stay"
    note(f"At most {terms.max_attempts} attempts and {terms.first_content_deadline_s:g} s; conversations {affinity}.")


@command(combo, epilog="\b\nExamples:\n  omniroute combo metrics always-on\n  omniroute combo metrics always-on --json")
@click.argument("name")
def metrics(session: Session, name: str) -> None:
    """Show how the combo NAME and its targets are doing in the running gateway."""
    import msgspec

    from omniroute.cli.managing import manage_running

    found = manage_running(session, lambda manager: manager.combo_metrics(name))
    if session.as_json:
        print_json(msgspec.to_builtins(found))
    else:
        _print_metrics(found)


def _print_metrics(found: "ComboMetrics") -> None:
    heads = ("target", "account", "tier", "requests", "failures", "in flight", "p50", "p95", "last used", "out")
    rows: list[Sequence[object]] = [(f"{found.name} (all)", "", "", *_measured(found.measures), "")]
    for each in found.targets:
        target = each.target
        rows.append((target.name, target.account, target.tier or "", *_measured(each.measures), each.hold or ""))
    print_data(table(heads, rows))


def _measured(measures: "Measures") -> tuple[object, ...]:
    last = measures.last_used_s
    return (
        measures.requests,
        measures.failures,
        measures.in_flight,
        _seconds(measures.latency_p50_s),
        _seconds(measures.latency_p95_s),
        "" if last is None else f"{last:.0f} s ago",
    )


@command(
    combo,
    name="test",
    epilog="\b\nExamples:\n  omniroute combo test always-on\n  omniroute combo test always-on --json",
)
@click.argument("name")
def test_(session: Session, name: str) -> int:
    """Ask each target of the combo NAME for a word, once.

    It takes the way of real requests, spends a few tokens at each target, and a failure counts as any other. Exits with 6 when
    a target did not answer.
    """
    import msgspec

    from omniroute.cli.managing import manage

    found = manage(session, lambda manager: manager.test_combo(name))
    if session.as_json:
        print_json(msgspec.to_builtins(found))
    else:
        _print_test(found)
    return Exit.OK if all(each.ok for each in found.targets) else Exit.FINDINGS


def _print_test(found: "ComboTest") -> None:
    rows = [
        (each.target.name, each.target.account, "ok" if each.ok else each.error or "", _seconds(each.latency_s))
        for each in found.targets
    ]
    print_data(table(("target", "account", "answer", "after"), rows))
    for each in found.targets:
        if each.message:
            note(f"{each.target.name} ({each.target.account}): {printable(each.message)}")
    note(f"A request would be served by {found.served_by}." if found.served_by else "Nobody answers.")


def _ready(targets: "Sequence[ComboTarget]") -> str:
    return f"{sum(target.problem is None for target in targets)} of {len(targets)}"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} s"
