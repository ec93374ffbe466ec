"""`omniroute route`: where a request would go and why, where one went, and assertions about it for CI."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import click

from omniroute.cli.command import Session, command
from omniroute.cli.output import Exit, Problem, note, print_data, print_json, printable, table

if TYPE_CHECKING:
    from omniroute.cli.managing import Manager
    from omniroute.contracts import AttemptRecord, RequestRecord
    from omniroute.explaining import Choice, Explanation, Question
    from omniroute.explaining.cases import Case
    from omniroute.management.decisions import RequestView

__all__ = ["route"]

T = TypeVar("T")
BAD_REQUEST = frozenset({"invalid_request", "translation_refused"})
MAX_POINTERS = 3
MAX_DETAIL_CHARS = 60


@click.group()
def route() -> None:
    """Where requests go, and why."""


# --- explain ----------------------------------------------------------------------------------------------------------


@command(
    route,
    name="explain",
    epilog="\b\nExamples:\n"
    "  omniroute route explain request.json\n"
    "  omniroute route explain request.json --model always-on --key laptop\n"
    "  omniroute route explain - --dialect anthropic --json < request.json",
)
@click.option("--model", metavar="NAME", help="Instead of the request's own; needed where the path names it.")
@click.option("--key", "key_id", metavar="NAME", help="The client key whose policies hold.")
@click.option("--dialect", metavar="DIALECT", help="What FILE is written in; told from its shape if not said.")
@click.option("--user-agent", metavar="TEXT", help="Which client it comes from.")
@click.argument("file", type=click.File("rb"))
def explain(
    session: Session, model: str | None, key_id: str | None, dialect: str | None, user_agent: str | None, file: BinaryIO
) -> None:
    """Show where the request in FILE would go now; `-` is standard input.

    Lists every candidate in the order in which it would be asked, or why it would not, and what it would lose and cost.
    Asks the running gateway, else what its settings and its data directory say. Nothing is sent, nothing changes.
    """
    import msgspec

    from omniroute.explaining import Question

    question = Question(body=file.read(), model=model, key=key_id, dialect=dialect, user_agent=user_agent)
    found = _manage(session, lambda manager: manager.explain(question))
    if session.as_json:
        print_json(msgspec.to_builtins(found))
    else:
        _print_explanation(found)


def _manage(session: Session, action: "Callable[[Manager], Awaitable[T]]") -> T:
    """A request that breaks its dialect's rules is the caller's mistake, wherever that is found."""
    from omniroute.cli.command import as_problem
    from omniroute.cli.managing import manage
    from omniroute.errors import GatewayError

    try:
        return manage(session, action)
    except (GatewayError, Problem) as error:
        problem = error if isinstance(error, Problem) else as_problem(error)
        assert problem is not None
        if problem.code in BAD_REQUEST:
            problem.leave = Exit.USAGE
        raise problem from error


def _print_explanation(found: "Explanation") -> None:
    guessed = " (told from its shape)" if found.dialect_guessed else ""
    limit = f", at most {found.max_output_tokens} out" if found.max_output_tokens is not None else ""
    note(f"A request in {found.dialect}{guessed}, about {found.input_tokens_estimate} tokens in{limit}")
    by = f" by {found.strategy}" if found.strategy else ""
    kind = "combo" if found.combo else "model"
    note(f"for the {kind} {printable(found.requested_model)}{by}; what is lost in translation: {found.loss_policy}\n")
    heads = ("", "candidate", "account", "tier", "verdict", "why", "again in", "way", "loses", "costs", "latency", "fails", "busy", "quota")  # fmt: skip
    print_data(table(heads, map(_row, found.choices)))
    print_data(f"\n{printable(found.decision)}")
    if found.refusal and found.refusal.why:
        note(printable(found.refusal.why))


def _row(choice: "Choice") -> Sequence[object]:
    standing = choice.standing
    detail = f" ({_cut(choice.detail)})" if choice.detail and choice.detail != choice.reason else ""
    return (
        choice.turn or "",
        choice.name,
        choice.account,
        choice.tier or "",
        choice.verdict,
        f"{choice.reason}{detail}" if choice.reason else "",
        "" if choice.again_in_s is None else _seconds(choice.again_in_s),
        {True: "relay", False: "translate", None: ""}[choice.relayed],
        _pointers([loss.pointer for loss in choice.losses]),
        _cost(choice),
        "" if standing.latency_s is None else _seconds(standing.latency_s),
        f"{standing.error_rate:.0%}" if standing.requests else "",
        standing.in_flight or "",
        "" if standing.quota_left is None else f"{standing.quota_left:.0%}",
    )


def _cut(text: str) -> str:
    return text if len(text) <= MAX_DETAIL_CHARS else text[: MAX_DETAIL_CHARS - 1] + "…"


def _pointers(pointers: Sequence[str]) -> str:
    more = f" and {len(pointers) - MAX_POINTERS} more" if len(pointers) > MAX_POINTERS else ""
    return ", ".join(pointers[:MAX_POINTERS]) + more


def _cost(choice: "Choice") -> str:
    cost = choice.cost
    if cost is None:
        return ""
    if cost.total_usd is not None:
        return f"at most {_usd(cost.total_usd)}" if cost.total_usd else "free"
    if cost.input_usd is not None:
        return f"{_usd(cost.input_usd)} and what it says"
    return "unknown"


# --- why --------------------------------------------------------------------------------------------------------------


@command(
    route,
    name="why",
    epilog="\b\nExamples:\n  omniroute route why 01JD3V6Z3N8Q5W7X9Y0A1B2C3D\n  omniroute route why my-request-7 --json",
)
@click.argument("request_id")
def why(session: Session, request_id: str) -> None:
    """Show what became of a past request, attempt by attempt.

    REQUEST_ID is what the answer's X-Request-Id header said, or the id of the request's record.
    """
    import msgspec

    found = _manage(session, lambda manager: manager.request(request_id))
    if session.as_json:
        print_json(msgspec.to_builtins(found))
    else:
        _print_request(found)


def _print_request(view: "RequestView") -> None:
    record = view.record
    if record.attempts:
        heads = ("", "candidate", "account", "what became of it", "status", "after", "took", "again in")
        print_data(table(heads, (_attempt(number, each) for number, each in enumerate(record.attempts, 1))))
        print_data("")
    for name, text in _facts(view):
        print_data(f"{name + ':':<10} {printable(text)}")


def _attempt(number: int, attempt: "AttemptRecord") -> Sequence[object]:
    became = (attempt.error or "answered") if attempt.sent else f"not asked: {attempt.error}"
    return (
        number,
        f"{attempt.provider}/{attempt.model}",
        attempt.account,
        became,
        attempt.status or "",
        _seconds(attempt.started_s),
        _seconds(attempt.duration_s) if attempt.sent else "",
        "" if attempt.retry_after_s is None else _seconds(attempt.retry_after_s),
    )


def _facts(view: "RequestView") -> list[tuple[str, str]]:
    record = view.record
    facts = [
        ("request", f"{record.request_id} (record {record.id}), {_when(record.started_at_s)}"),
        ("asked for", f"{record.requested_model or 'nothing'} in {record.dialect}, key {record.key_name or 'none'}"),
        ("outcome", _outcome(record)),
    ]
    if record.losses:
        facts.append(("lost", ", ".join(f"{loss.pointer} ({loss.kind}: {loss.reason})" for loss in record.losses)))
    if record.usage is not None:
        usage = record.usage
        cached = f" ({usage.cached_tokens} cached)" if usage.cached_tokens else ""
        facts.append(("tokens", f"{usage.input_tokens} in{cached}, {usage.output_tokens} out"))
        today = ", by today's prices" if record.cost_usd is None else ""
        facts.append(("cost", "unknown" if view.cost_usd is None else f"{_usd(view.cost_usd)}{today}"))
    if (stayed := record.affinity) is not None:
        sides = (("warm", stayed.warm_usd), ("cold", stayed.cold_usd))
        numbers = ", ".join(f"{name} {_usd(usd)}" for name, usd in sides if usd is not None)
        reason = f": {stayed.reason}" if stayed.reason else ""
        facts.append(("affinity", f"{stayed.decision}{reason}{f' ({numbers})' if numbers else ''}"))
    if view.others:
        facts.append(("also sent", ", ".join(view.others)))
    return facts


def _outcome(record: "RequestRecord") -> str:
    said = record.error or record.outcome
    content = "" if record.first_content_s is None else f", first content after {_seconds(record.first_content_s)}"
    way = " relayed" if record.relayed else ""
    by = f" by {record.provider}/{record.model} ({record.account}){way}" if record.outcome == "ok" else ""
    return f"{record.status} {said}{by}{content}, {_seconds(record.duration_s)} in all"


# --- test -------------------------------------------------------------------------------------------------------------


@command(
    route,
    name="test",
    epilog="\b\nExamples:\n  omniroute route test routes.toml\n  omniroute route test routes.toml --config omniroute.toml --json",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def test(session: Session, file: Path) -> int:
    """Check that requests go where FILE says.

    FILE (TOML, or JSON by its ending) holds cases: a request and what is expected of it. Exits with 6 when one is otherwise.
    """
    cases = _cases(file)
    questions = [_question(case, file) for case in cases]

    async def ask(manager: "Manager") -> "list[Explanation | str]":
        return [await _explained(manager, question) for question in questions]

    results = _compared(cases, _manage(session, ask))
    failed = [result for result in results if result["differences"]]
    if session.as_json:
        print_json(results)
    else:
        for result in results:
            print_data(f"{'FAIL' if result['differences'] else 'ok  '}  {printable(result['name'])}")
            for line in result["differences"]:
                print_data(f"        {printable(line)}")
        note(f"{len(results) - len(failed)} of {len(results)} go where they should.")
    return Exit.FINDINGS if failed else Exit.OK


def _compared(cases: "Sequence[Case]", found: "Sequence[Explanation | str]") -> list[dict[str, Any]]:
    from omniroute.explaining.cases import differences

    return [
        {"name": case.name, "differences": list(differences(case.expect, each))}
        for case, each in zip(cases, found, strict=True)
    ]


async def _explained(manager: "Manager", question: "Question") -> "Explanation | str":
    """Or the code of the error that the client would get."""
    from omniroute.errors import GatewayError

    try:
        return await manager.explain(question)
    except GatewayError as error:
        return error.code
    except Problem as problem:
        if problem.leave is Exit.NOT_RUNNING:
            raise
        return problem.code


def _cases(file: Path) -> "Sequence[Case]":
    import tomllib

    import msgspec

    from omniroute.explaining.cases import Suite

    try:
        if file.suffix == ".json":
            suite: Suite = msgspec.json.decode(file.read_bytes(), type=Suite)
        else:
            suite = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Suite)
    except (msgspec.MsgspecError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise _bad_file(file, str(error)) from error
    return suite.case


def _question(case: "Case", file: Path) -> "Question":
    import msgspec

    from omniroute.explaining import Question

    if (case.request is None) == (case.file is None):
        raise _bad_file(file, f"the case {case.name!r} needs either `request` or `file`")
    if case.file is None:
        body = msgspec.json.encode(case.request)
    else:
        try:
            body = (file.parent / case.file).read_bytes()
        except OSError as error:
            raise _bad_file(file, f"the case {case.name!r}: {error}") from error
    return Question(body=body, dialect=case.dialect, model=case.model, key=case.key, user_agent=case.user_agent)


def _bad_file(file: Path, why: str) -> Problem:
    fix = "see `docs/explain.md` for what a case looks like"
    return Problem(f"{file} holds no cases that can be run", code="usage", why=why, fix=fix, leave=Exit.USAGE)


# --- numbers for people -----------------------------------------------------------------------------------------------


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s" if value < 120 else f"{value / 60:.0f} min"


def _usd(value: float) -> str:
    return f"${value:.4f}" if value >= 0.001 or value == 0 else f"${value:.2g}"


def _when(unix_s: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
