"""Assertions about routing, for CI: cases from a file, and what is not as they say."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from omniroute.explaining.views import Choice, Explanation

__all__ = ["Case", "Expected", "Suite", "differences"]


class Expected(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is not said is not looked at. Candidates are `prefix/model`, or `prefix/model (account)`."""

    first: str | None = None
    order: tuple[str, ...] | None = None
    """All that would be asked, in their order."""
    skipped: Mapping[str, str] = {}
    """Candidate → the reason for skipping it on each of its accounts."""
    loss: tuple[str, ...] | None = None
    """JSON pointers of what the first candidate loses; empty for nothing."""
    relayed: bool | None = None
    error: str | None = None
    """The code of the error the client gets at once."""


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    request: Mapping[str, Any] | None = None
    file: str | None = None
    """Of the request, seen from the file of the cases; instead of `request`."""
    dialect: str | None = None
    model: str | None = None
    key: str | None = None
    user_agent: str | None = None
    expect: Expected


class Suite(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    case: tuple[Case, ...]


def differences(expected: Expected, found: Explanation | str) -> Iterator[str]:
    """One line for each thing that is otherwise. `found` is the code of an error where there was nothing to explain."""
    error = found if isinstance(found, str) else found.refusal.code if found.refusal else None
    if error != expected.error and (error is not None or expected.error is not None):
        yield f"error: expected {expected.error or 'none'}, got {error or 'none'}"
    if isinstance(found, str):
        return
    asked = sorted((each for each in found.choices if each.turn), key=lambda each: each.turn or 0)
    first = asked[0] if asked else None
    if expected.first is not None and (first is None or not _is_called(first, expected.first)):
        yield f"first: expected {expected.first}, got {_named(first) if first else 'nobody'}"
    if expected.order is not None and not _are_called(asked, expected.order):
        yield f"order: expected {_listed(expected.order)}, got {_listed(map(_named, asked))}"
    yield from _skips(expected.skipped, found)
    losses = tuple(loss.pointer for loss in first.losses) if first else ()
    if expected.loss is not None and sorted(expected.loss) != sorted(losses):
        yield f"loss: expected {_listed(expected.loss)}, got {_listed(losses)}"
    if expected.relayed is not None and (first is None or first.relayed is not expected.relayed):
        yield f"relayed: expected {_yes(expected.relayed)}, got {_yes(first.relayed if first else None)}"


def _skips(expected: Mapping[str, str], found: Explanation) -> Iterator[str]:
    for name, reason in expected.items():
        choices = [each for each in found.choices if _is_called(each, name)]
        if not choices:
            yield f"skipped: {name} is no candidate"
        for each in choices:
            got = each.reason if each.verdict == "skip" else "not skipped"
            if got != reason:
                yield f"skipped: expected {_named(each)} for {reason}, got {got}"


def _are_called(choices: list[Choice], names: tuple[str, ...]) -> bool:
    return len(choices) == len(names) and all(map(_is_called, choices, names))


def _is_called(choice: Choice, name: str) -> bool:
    names = (choice.name, f"{choice.provider}/{choice.model}")
    return name in names or name in [f"{each} ({choice.account})" for each in names]


def _named(choice: Choice) -> str:
    return f"{choice.name} ({choice.account})"


def _listed(names: Any) -> str:
    return ", ".join(names) or "none"


def _yes(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "nothing to send"}[value]
