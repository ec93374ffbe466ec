"""What is wrong with a strategy's options, each with its path in the settings."""

import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from omniroute.contracts import EntryName, Strategy
from omniroute.settings.checking import Problem, check, core, keys_of
from omniroute.settings.paths import KeyPath, did_you_mean

__all__ = ["option_problems"]

ENTRY_MARK = typing.get_args(EntryName)[1]


def option_problems(
    name: str,
    options: Mapping[str, Any],
    kind: type[Strategy],
    path: KeyPath,
    *,
    entries: Iterable[str] | None = None,
    own: Iterable[str] = (),
) -> Iterator[Problem]:
    """`options` stand in the table at `path`, among keys of its `own`, for the strategy `name`.

    `entries` are what options may name as entries; None where nobody can know them yet.
    """
    known = keys_of(kind.options_type)
    yield from check(kind.options_type, {key: value for key, value in options.items() if key in known}, path)
    for key, value in options.items():
        if key not in known:
            hint = did_you_mean(key, {*own, *known})
            yield (*path, key), f"no such key, and no option of the strategy {name!r}{hint}"
        elif entries is not None and _is_by_entry(known[key]) and isinstance(value, dict):
            for entry in set(value).difference(entries):
                yield (*path, key, entry), f"is none of the combo's models{did_you_mean(entry, entries)}"


def _is_by_entry(kind: Any) -> bool:
    """Whether an option is a table whose keys stand for entries."""
    inner = core(kind)
    if typing.get_origin(inner) is not dict:
        return False
    return ENTRY_MARK in getattr(typing.get_args(inner)[0], "__metadata__", ())
