"""Trees of settings put on each other, each value remembering who set it and where."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from omniroute.settings.paths import KeyPath

__all__ = ["Layers", "Source"]


class Source(msgspec.Struct, frozen=True):
    origin: str
    """As `config show --origin` says it: `flag`, `environment NAME`, `file PATH`, `database`."""
    place: str
    """As a finding says it: `omniroute.toml:14`, or the origin."""
    is_file: bool = False


class Layers:
    """Tables are merged key by key; everything else, arrays of tables too, replaces what was below it whole."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {}
        self._sources: dict[KeyPath, Source] = {}
        self._tables: dict[KeyPath, Source] = {}

    def add(self, path: KeyPath, value: object, source: Source) -> None:
        """One setting, on top of all there is."""
        tree: Any = value
        for key in reversed(path):
            tree = {key: tree}
        self.add_tree(tree, lambda at: source)

    def add_tree(self, tree: Mapping[str, Any], source: Callable[[KeyPath], Source]) -> None:
        """A whole layer; `source` is asked for each path in it."""
        self._merge(self.tree, tree, (), source)

    def source(self, path: KeyPath) -> Source:
        """Of what stands at `path`, or of the nearest table around it."""
        for end in range(len(path), 0, -1):
            if found := self._sources.get(path[:end]) or self._tables.get(path[:end]):
                return found
        return Source("default", "settings")

    def origins(self) -> Iterator[tuple[KeyPath, str]]:
        """Path → origin of each value that is no table."""
        return ((path, source.origin) for path, source in self._sources.items())

    def places(self) -> Iterator[tuple[KeyPath, str]]:
        return ((path, source.place) for path, source in {**self._tables, **self._sources}.items())

    def _merge(
        self, below: dict[str, Any], above: Mapping[str, Any], path: KeyPath, source: Callable[[KeyPath], Source]
    ) -> None:
        for key, value in above.items():
            at = (*path, key)
            if isinstance(value, dict):
                if not isinstance(below.get(key), dict):
                    self._forget(at)
                    below[key] = {}
                self._tables.setdefault(at, source(at))
                self._merge(below[key], value, at, source)
            else:
                self._forget(at)
                below[key] = value
                self._sources.update({inner: source(inner) for inner in (at, *_inside(value, at))})

    def _forget(self, path: KeyPath) -> None:
        """What stood at `path` and below it is replaced."""
        for sources in (self._sources, self._tables):
            for known in [known for known in sources if known[: len(path)] == path]:
                del sources[known]


def _inside(value: object, path: KeyPath) -> Iterator[KeyPath]:
    """Paths of everything inside an array."""
    steps: Iterator[tuple[str | int, object]]
    match value:
        case list():
            steps = iter(enumerate(value))
        case dict():
            steps = iter(value.items())
        case _:
            return
    for step, inner in steps:
        yield (*path, step)
        yield from _inside(inner, (*path, step))
