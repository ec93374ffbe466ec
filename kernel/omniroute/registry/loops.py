"""Aliases and combos that lead back to themselves, and combos nested too deeply.

Exact names only: where a wildcard leads is known only when a model is asked for, and routing watches that.
"""

from collections.abc import Iterator

from omniroute.settings import Settings
from omniroute.settings.checking import Problem
from omniroute.settings.paths import KeyPath

__all__ = ["find_loops"]

MAX_COMBO_DEPTH = 3
"""Combos in a chain of combos, the outermost one counted."""


def find_loops(settings: Settings) -> Iterator[Problem]:
    for name in settings.aliases:
        trail = _trail(name, settings)
        if name in settings.combos:
            yield ("aliases", name), "is never used: a combo has this name"
        elif len(trail) > 1 and trail[-1] == name:
            yield ("aliases", name), f"leads back to itself: {' → '.join(trail)}"
    seen: set[frozenset[str]] = set()
    too_deep: dict[KeyPath, str] = {}
    for name in settings.combos:
        for chain, at in _chains((name,), settings):
            path: KeyPath = ("combos", chain[-2], "models", at)
            circle = chain[chain.index(chain[-1]) :]
            if len(circle) > 1 and frozenset(circle) not in seen:
                seen.add(frozenset(circle))
                yield path, f"leads back to itself: {' → '.join(circle)}"
            elif len(circle) == 1 and len(chain) > MAX_COMBO_DEPTH:
                problem = f"combos may be nested {MAX_COMBO_DEPTH} deep, and this is deeper: {' → '.join(chain)}"
                too_deep.setdefault(path, problem)
    yield from too_deep.items()


def _trail(name: str, settings: Settings) -> list[str]:
    """Where a name leads through aliases, step by step, until something that is no alias or was there before."""
    steps = [name]
    while steps[-1] in settings.aliases and steps[-1] not in settings.combos and steps[-1] not in steps[:-1]:
        steps.append(settings.aliases[steps[-1]])
    return steps


def _chains(chain: tuple[str, ...], settings: Settings) -> Iterator[tuple[tuple[str, ...], int]]:
    """(combos one inside the other, index of the last one in the one before), longer ones after shorter ones."""
    if chain[-1] in chain[:-1] or len(chain) > MAX_COMBO_DEPTH:
        return
    for at, model in enumerate(settings.combos[chain[-1]].models):
        inner = _without_suffix(_trail(model, settings)[-1], settings)
        if inner in settings.combos:
            yield (*chain, inner), at
            yield from _chains((*chain, inner), settings)


def _without_suffix(name: str, settings: Settings) -> str:
    """`fast-ones:cheap` is the combo `fast-ones` in another order."""
    base, colon, _ = name.rpartition(":")
    return base if colon and name not in settings.combos and base in settings.combos else name
