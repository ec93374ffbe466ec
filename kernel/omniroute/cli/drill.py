"""`omniroute drill`: what a combo does when one of its upstreams fails, shown with stand-ins."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from omniroute.cli.command import Session, command
from omniroute.cli.output import Exit, note, print_data, print_json, printable

if TYPE_CHECKING:
    from omniroute.contracts import AttemptRecord
    from omniroute.drilling import Drill

__all__ = ["drill"]


@command(
    name="drill",
    epilog="\b\nExamples:\n"
    "  omniroute drill always-on --fault 429\n"
    "  omniroute drill always-on --fault stall --target 2\n"
    "  omniroute drill demo/coder --fault truncate --json",
)
@click.option("--fault", required=True, metavar="FAULT", help="429, stall, truncate or refuse.")
@click.option("--target", default=1, show_default=True, metavar="N", help="Which candidate fails, in the order asked.")
@click.option("--stream/--no-stream", default=True, show_default=True, help="Whether the client asks for a stream.")
@click.argument("model", metavar="COMBO")
def drill(session: Session, model: str, fault: str, target: int, stream: bool) -> int:
    """Show what COMBO does when one of its upstreams fails.

    A request takes its usual way, to stand-ins under the names of the real ones: no account is used, nothing is spent, and
    nothing cools down afterwards. Exits with 6 when the client would have seen an error.
    """
    import msgspec

    from omniroute.cli.managing import manage
    from omniroute.drilling import DrillOrder

    order = DrillOrder(model=model, fault=fault, target=target, stream=stream)
    found = manage(session, lambda manager: manager.drill(order))
    if session.as_json:
        print_json(msgspec.to_builtins(found))
    else:
        _print(found)
    return Exit.OK if found.served_by is not None else Exit.FINDINGS


def _print(found: "Drill") -> None:
    note(f"{printable(found.model)}, with {printable(found.failing)} failing: {found.fault}\n")
    for after_s, what in _timeline(found):
        print_data(f"{after_s:8.3f} s  {printable(what)}")
    print_data(f"\n{found.decision}")
    waited = any(attempt.error == "upstream_timeout" for attempt in found.attempts)
    if waited:
        usual = f"{found.usual_patience_s:g} s" if found.usual_patience_s else "for ever"
        note(f"The drill waited {found.patience_s:g} s for content; in earnest it is {usual} (timeouts.first_byte_s).")
    note("No account was used.")


def _timeline(found: "Drill") -> Iterator[tuple[float, str]]:
    for attempt in found.attempts:
        name = f"{attempt.provider}/{attempt.model} ({attempt.account})"
        if not attempt.sent:
            yield attempt.started_s, f"{name} is not asked: {attempt.error}{_again(attempt)}"
            continue
        yield attempt.started_s, f"{name} is asked"
        status = f" {attempt.status}" if attempt.status else ""
        became = "begins to answer" if attempt.error is None else f"fails:{status} {attempt.error}{_again(attempt)}"
        yield attempt.started_s + attempt.duration_s, f"{name} {became}"
    if found.content_s is not None and found.status == 200:
        yield found.content_s, "the client sees the first content"
    ending = f"an error: {found.error}" if found.error else "the end of the answer"
    yield found.duration_s, f"the client sees {ending} ({found.status})"


def _again(attempt: "AttemptRecord") -> str:
    return "" if attempt.retry_after_s is None else f", again in {attempt.retry_after_s:g} s"
