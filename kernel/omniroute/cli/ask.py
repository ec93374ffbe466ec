"""`omniroute ask`: one question through the running gateway, as any client would ask it."""

import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click

from omniroute.cli.command import Session, command
from omniroute.cli.output import note, print_data, print_json, printable

__all__ = ["ask"]

KEY_VARIABLES = ("OMNIROUTE_CLIENT_KEY", "OMNIROUTE_API_KEY")
PATH = "/v1/chat/completions"


@command(
    name="ask",
    epilog="\b\nExamples:\n"
    '  omniroute ask "write fizzbuzz in python" -m demo/coder\n'
    '  git diff | omniroute ask "review this" - -m demo/echo\n'
    '  omniroute ask "hello" -m demo/echo --json',
)
@click.argument("prompt", nargs=-1)
@click.option("-m", "--model", required=True, help="As `omniroute models list` names it.")
@click.option("--system", metavar="TEXT", help="A system message before the prompt.")
def ask(session: Session, prompt: tuple[str, ...], model: str, system: str | None) -> None:
    """Ask a model one question, through the running gateway.

    Prints the answer as it comes. A `-` in PROMPT stands for standard input. The client key is taken from
    OMNIROUTE_CLIENT_KEY, else from the data directory.
    """
    from omniroute.cli.managing import running

    url = running(session).url
    body = _request(_text(prompt), model, system)
    chunks = _chunks(session, url, body)
    if session.as_json:
        for chunk in chunks:
            print_json(chunk)
    else:
        _print(chunks)


def _text(words: Iterable[str]) -> str:
    text = " ".join(sys.stdin.read() if word == "-" else word for word in words or ("-",)).strip()
    if not text:
        raise click.UsageError("there is nothing to ask")
    return text


def _request(text: str, model: str, system: str | None) -> bytes:
    import msgspec

    messages = [{"role": "user", "content": text}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return msgspec.json.encode({"model": model, "messages": messages, "stream": True})


def _chunks(session: Session, url: str, body: bytes) -> Iterator[dict[str, Any]]:
    """The events of the stream. Raises `Problem` for a refusal, and for an error in mid-stream."""
    import msgspec

    from omniroute.cli.remote import PATIENCE_S, lines_of, refusal, send

    with send(url, "POST", PATH, key=_client_key(session), body=body, timeout_s=PATIENCE_S) as answer:
        if answer.status != 200:
            raise refusal(answer.status, answer.read())
        for line in lines_of(answer, url):
            name, _, data = line.partition(b":")
            data = data.strip()
            if name != b"data" or not data or data == b"[DONE]":
                continue
            chunk = msgspec.json.decode(data)
            if isinstance(chunk, dict) and "error" in chunk:
                raise refusal(502, data)
            yield chunk


def _client_key(session: Session) -> Any:
    from omniroute.keys import CLIENT_KEY_FILE
    from omniroute.secret import Secret

    given = next((os.environ[name] for name in KEY_VARIABLES if os.environ.get(name)), None)
    if given is not None:
        return Secret(given.strip())
    kept = session.data.read_private(CLIENT_KEY_FILE)
    return None if kept is None else Secret(kept.decode("ascii", "replace").strip())


def _print(chunks: Iterable[dict[str, Any]]) -> None:
    calls: dict[int, list[str]] = {}
    for chunk in chunks:
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            if text := delta.get("content"):
                print_data(printable(text) if sys.stdout.isatty() else text, end="")
            for call in delta.get("tool_calls") or ():
                function = call.get("function") or {}
                parts = calls.setdefault(call.get("index", 0), [])
                parts += [function.get("name") or "", function.get("arguments") or ""]
    print_data("")
    for parts in calls.values():
        note(f"The model wants to call {parts[0]}({''.join(parts[1:])}).")
