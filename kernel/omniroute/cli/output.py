"""What is printed where: data on stdout, everything else on stderr, one form for errors, and the exit codes."""

import enum
import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from omniroute.contracts import Limits

__all__ = [
    "Exit",
    "Problem",
    "colour",
    "limits_text",
    "note",
    "print_data",
    "print_json",
    "print_problem",
    "printable",
    "table",
]


PLAIN = str.maketrans({"✓": "+", "–": "-", "…": "...", "·": "-"})


class Exit(enum.IntEnum):
    OK = 0
    FAILURE = 1
    USAGE = 2
    """Also: `serve` cannot start."""
    CONFIG = 3
    AUTH = 4
    UPSTREAM = 5
    FINDINGS = 6
    NOT_RUNNING = 7
    INTERRUPTED = 130


class Problem(Exception):
    """Why a command ends without doing what it should: what happened, why, what to do, and the exit code."""

    def __init__(
        self, message: str, *, code: str, why: str | None = None, fix: str | None = None, leave: Exit = Exit.FAILURE
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.why = why
        self.fix = fix
        self.leave = leave


def print_problem(problem: Problem, *, as_json: bool = False) -> int:
    """Print to stderr and return the exit code."""
    if as_json:
        body = {"code": problem.code, "message": problem.message, "why": problem.why, "fix": problem.fix}
        print_json({"error": body}, sys.stderr)
        return problem.leave
    head = click.style(f"error[{problem.code}]:", fg="red", bold=True)
    note(f"{head} {printable(problem.message)}")
    for label, text in (("why", problem.why), ("fix", problem.fix)):
        if text:
            note(f"  {click.style(f'{label}:', bold=True)} {printable(text)}")
    return problem.leave


def print_data(text: str, *, end: str = "\n") -> None:
    _write(sys.stdout, text + end)


def print_json(value: Any, stream: TextIO | None = None) -> None:
    """One JSON value on one line."""
    _write(stream or sys.stdout, json.dumps(value, separators=(",", ":")) + "\n")


def note(text: str = "") -> None:
    _write(sys.stderr, text + "\n")


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns padded to their widest cell; an empty cell shows as a dash."""
    cells = [[printable(str(cell)) if cell not in (None, "") else "–" for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in [list(heads), *cells]) for column in range(len(heads))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    head = "  ".join(text.ljust(width) for text, width in zip(heads, widths, strict=True))
    return "\n".join([click.style(head.rstrip(), bold=True), *(line.rstrip() for line in lines)])


def limits_text(limits: "Limits") -> str:
    """`60 rpm, 4 at a time`; empty when nothing is limited."""
    said = (
        (limits.rpm, "rpm"),
        (limits.tpm, "tpm"),
        (limits.max_concurrency, "at a time"),
        (limits.min_interval_s, "s apart"),
    )
    return ", ".join(f"{value:g} {unit}" for value, unit in said if value is not None)


def printable(text: str) -> str:
    """The text without the control characters that could drive a terminal; names and answers come from strangers."""
    return "".join(character for character in text if character in "\n\t" or character.isprintable())


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:  # an old Windows console, LANG=C
        text = text.translate(PLAIN).encode(encoding, "replace").decode(encoding)
    click.echo(text, file=stream, nl=False, color=colour())


def colour() -> bool | None:
    """What the environment says; None leaves it to whether the output is a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    return True if os.environ.get("FORCE_COLOR") else None
