"""Everything that is here, by the SOURCE that was asked for. Opens the files that the facts name, and no other."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from omniroute.importing.earlier import earlier_directories, is_earlier, read_earlier
from omniroute.importing.environment import keys_of
from omniroute.importing.logins import logins_of
from omniroute.importing.values import Found, ImportProvider, ImportSources, Machine

__all__ = ["ENVIRONMENT", "LOCAL", "Reading", "UnknownSource", "read_source"]

ENVIRONMENT, LOCAL = "env", "local"
OWN_DATABASE = "omniroute.db"


class UnknownSource(Exception):
    """What was asked for is nothing that can be read. `why` is for people."""

    def __init__(self, why: str, *, known: tuple[str, ...] = ()) -> None:
        super().__init__(why)
        self.why = why
        self.known = known


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    found: tuple[Found, ...] = ()
    settings: str = ""
    """Lines for the settings file, for what an earlier OmniRoute kept elsewhere."""
    notes: tuple[str, ...] = ()

    def and_(self, other: "Reading") -> "Reading":
        return Reading(
            found=(*self.found, *other.found),
            settings="\n".join(filter(None, (self.settings, other.settings))),
            notes=(*self.notes, *other.notes),
        )


def read_source(source: str | None, sources: ImportSources, machine: Machine) -> Reading:
    """`source` is a program's name, a provider's, `env`, `local` or a directory; None is all. Raises `UnknownSource`."""
    if source is None:
        every = Reading(found=(*_logins(sources.providers, machine), *_keys(sources, machine)))
        for directory in earlier_directories(machine):
            every = every.and_(_earlier(directory, sources, machine))
        return every
    if source == ENVIRONMENT:
        return Reading(found=tuple(_keys(sources, machine)))
    if source == LOCAL:
        return Reading()
    if (providers := _named(source, sources)) is not None:
        found = tuple(_logins(providers, machine))
        names = ", ".join(dict.fromkeys(login.program for provider in providers for login in provider.logins))
        return Reading(found=found, notes=() if found else (f"{names} is not signed in on this machine",))
    return _earlier(_directory(source, sources), sources, machine)


def _named(source: str, sources: ImportSources) -> list[ImportProvider] | None:
    """The providers with the logins that are meant; None when it is no name of any."""
    by_program = [
        msgspec.structs.replace(provider, logins=logins)
        for provider in sources.providers
        if (logins := tuple(login for login in provider.logins if login.name == source))
    ]
    if by_program:
        return by_program
    name = sources.prefixes.get(source)
    return [each for each in sources.providers if each.name == name and each.logins] or None


def _directory(source: str, sources: ImportSources) -> Path:
    directory = Path(source).expanduser().absolute()
    if is_earlier(directory):
        return directory
    if (directory / OWN_DATABASE).is_file():
        raise UnknownSource(f"{directory} is a data directory of this version, to be named with --data-dir")
    if directory.is_dir():
        raise UnknownSource(f"{directory} is no data directory of an earlier OmniRoute")
    names = {login.name for provider in sources.providers for login in provider.logins}
    raise UnknownSource(f"nothing is called {source!a} here", known=(*sorted(names), ENVIRONMENT, LOCAL))


def _logins(providers: tuple[ImportProvider, ...] | list[ImportProvider], machine: Machine) -> Iterator[Found]:
    for provider in providers:
        for login in provider.logins:
            yield from logins_of(provider, login, machine)


def _keys(sources: ImportSources, machine: Machine) -> Iterator[Found]:
    for provider in sources.providers:
        yield from keys_of(provider, machine)


def _earlier(directory: Path, sources: ImportSources, machine: Machine) -> Reading:
    data = read_earlier(directory, sources, machine)
    return Reading(found=tuple(data.found), settings=data.settings, notes=tuple(data.notes))
