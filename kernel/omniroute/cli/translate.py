"""`omniroute translate`: what a request, an answer or a recorded stream becomes in another dialect. Needs no gateway."""

import sys
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from omniroute.cli.command import Session, as_problem, command
from omniroute.cli.output import Exit, Problem, note, print_data, print_json, print_problem, printable

if TYPE_CHECKING:
    from omniroute.contracts import Translator
    from omniroute.translating import Translated

__all__ = ["translate"]


@command(
    name="translate",
    epilog="\b\nExamples:\n"
    "  omniroute translate --from anthropic --to openai-chat request.json --loss\n"
    "  omniroute translate --from openai-chat --to anthropic --stream recorded.txt\n"
    "  omniroute translate --from anthropic --to openai-chat --strict --json - < request.json",
)
@click.option("--from", "source", required=True, metavar="DIALECT", help="What FILE is written in.")
@click.option("--to", "target", required=True, metavar="DIALECT", help="What it is to become.")
@click.option("--response", is_flag=True, help="FILE is a whole answer instead of a request.")
@click.option("--stream", is_flag=True, help="FILE is a recorded stream, its raw bytes, instead of a request.")
@click.option("--loss", is_flag=True, help="List on stderr what is lost.")
@click.option("--strict", is_flag=True, help="Exit with 6 when anything is lost.")
@click.option("--model", default="model", show_default=True, help="Where the dialect names it in the path.")
@click.argument("file", type=click.File("rb"))
def translate(
    session: Session,
    source: str,
    target: str,
    response: bool,
    stream: bool,
    loss: bool,
    strict: bool,
    model: str,
    file: BinaryIO,
) -> int:
    """Show what FILE becomes in another dialect.

    FILE is a request, an answer (--response) or a recorded stream (--stream); `-` is standard input. Each loss has a JSON
    pointer into the request, or into the answer as the gateway holds it. Nothing is sent anywhere.
    """
    if response and stream:
        raise click.UsageError("FILE is an answer (--response) or a stream (--stream), not both")
    speakers = _translators(session)
    pair = _speaker(speakers, source), _speaker(speakers, target)
    kind = "response" if response else "stream" if stream else "request"
    max_depth = session.settings.settings.limits.max_json_depth
    translated = _translate(kind, file.read(), *pair, model=model, max_depth=max_depth)
    if session.as_json:
        print_json({"from": source, "to": target, "kind": kind, **_as_data(translated, is_stream=stream)})
    else:
        _print(translated, is_stream=stream)
        if loss or strict:
            _print_losses(translated)
    if translated.error is not None:
        problem = as_problem(translated.error)
        assert problem is not None
        return print_problem(problem, as_json=session.as_json)
    return Exit.FINDINGS if strict and translated.losses else Exit.OK


def _translators(session: Session) -> "dict[str, Translator]":
    """By dialect. Raises `StartError` for plugins that cannot be loaded."""
    from omniroute.plugins import load_plugins

    plugins = load_plugins(session.settings.settings.plugins)
    found = {each.dialect: each for _, each in plugins.collect("register_translators")}
    plugins.check()
    return found


def _speaker(speakers: "dict[str, Translator]", dialect: str) -> "Translator":
    from omniroute.settings.paths import did_you_mean

    if dialect not in speakers:
        raise Problem(
            f"no installed translator speaks {dialect!r}{did_you_mean(dialect, speakers)}",
            code="usage",
            fix=f"one of: {', '.join(sorted(speakers))}",
            leave=Exit.USAGE,
        )
    return speakers[dialect]


def _translate(
    kind: str, data: bytes, source: "Translator", target: "Translator", *, model: str, max_depth: int
) -> "Translated":
    """Raises `Problem` when the data are not what they are said to be, or the target cannot say it."""
    from omniroute.errors import InvalidRequest, UpstreamGarbled
    from omniroute.framing import FRAMINGS
    from omniroute.translating import translate_answer, translate_request, translate_stream

    try:
        match kind:
            case "request":
                return translate_request(data, source, target, model=model, max_depth=max_depth)
            case "response":
                return translate_answer(data, source, target)
            case _:
                return translate_stream(data, source, target, FRAMINGS)
    except (InvalidRequest, UpstreamGarbled) as error:
        where = f" (at {error.param})" if error.param and error.param not in error.message else ""
        raise Problem(
            f"{error.message}{where}",
            code=error.code,
            why=error.why,
            fix=error.fix or f"is it a {kind} in {source.dialect}? --response and --stream say what else it may be",
            leave=Exit.USAGE,
        ) from error


def _as_data(translated: "Translated", *, is_stream: bool) -> dict[str, Any]:
    import msgspec

    body = translated.body.decode("utf-8", "replace") if is_stream else msgspec.json.decode(translated.body)
    return {
        "body": body,
        "losses": msgspec.to_builtins(translated.losses),
        "skipped_events": translated.bad_events,
    }


def _print(translated: "Translated", *, is_stream: bool) -> None:
    """The very bytes; on a terminal JSON is laid out, and nothing can drive the terminal."""
    import msgspec

    if sys.stdout.isatty():
        body = translated.body if is_stream else msgspec.json.format(translated.body, indent=2)
        print_data(printable(body.decode("utf-8", "replace")))
        return
    click.echo(translated.body, nl=not is_stream)


def _print_losses(translated: "Translated") -> None:
    for each in translated.losses or ():
        head = click.style(f"{each.kind:<12}", fg="yellow")
        note(f"{head} {printable(each.pointer)}  {printable(each.reason)}")
    if translated.bad_events:
        note(f"{translated.bad_events} malformed events were skipped")
    if translated.losses is None:
        note("What is lost cannot be told: the result is not read back.")
    elif not translated.losses:
        note("Nothing is lost.")
