"""The data directory as a whole: where it may be, which of its files counts, and what is left where it is."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from omniroute.importing.earlier.connections import connections_in
from omniroute.importing.earlier.database import WAL, from_database
from omniroute.importing.earlier.raw import Raw, from_document
from omniroute.importing.earlier.sealed import Opener, find_key
from omniroute.importing.earlier.settings_text import settings_text
from omniroute.importing.files import CannotRead, checked, read
from omniroute.importing.values import Found, ImportSources, Machine

__all__ = ["EarlierData", "earlier_directories", "is_earlier", "read_earlier"]

DATABASE, DOCUMENT = "storage.sqlite", "db.json"
MAX_DATABASE_BYTES = 4 * 1024**3
"""Its request logs are in it."""
MAX_DOCUMENT_BYTES = 64 * 1024**2
SHOWN = 5


class EarlierData(msgspec.Struct, frozen=True, kw_only=True):
    found: Sequence[Found] = ()
    settings: str = ""
    """Lines for the settings file."""
    notes: Sequence[str] = ()


def earlier_directories(machine: Machine) -> list[Path]:
    """Where such a directory is by default, if there is one."""
    config = machine.environ.get("XDG_CONFIG_HOME")
    roaming = machine.environ.get("APPDATA") if machine.system == "win32" else None
    places = [Path(place) / "omniroute" for place in (config, roaming) if place and Path(place).is_absolute()]
    return [place for place in dict.fromkeys([*places, machine.home / ".omniroute"]) if is_earlier(place)]


def is_earlier(directory: Path) -> bool:
    return any((directory / name).is_file() for name in (DATABASE, DOCUMENT))


def read_earlier(directory: Path, sources: ImportSources, machine: Machine) -> EarlierData:
    """What can be taken over of it. Never raises: what cannot be read is said."""
    where = DATABASE if (directory / DATABASE).exists() else DOCUMENT
    shown = machine.shown(directory / where)
    try:
        raw = _database(directory) if where == DATABASE else _document(directory)
        opener = Opener(find_key(directory, machine.environ))
    except CannotRead as problem:
        nothing = Found(provider="", name="", source=f"OmniRoute, {shown}", origin="omniroute", problem=str(problem))
        return EarlierData(found=(nothing,))
    return EarlierData(
        found=tuple(connections_in(raw, sources, opener, shown)),
        settings=settings_text(raw, sources.dialects),
        notes=tuple(_left(raw, shown)),
    )


def _database(directory: Path) -> Raw:
    path = checked(directory / DATABASE, directory, MAX_DATABASE_BYTES)
    if path is None:
        raise CannotRead("it is gone")
    checked(path.with_name(path.name + WAL), path.parent, MAX_DATABASE_BYTES)
    return from_database(path)


def _document(directory: Path) -> Raw:
    found = read(directory / DOCUMENT, directory, MAX_DOCUMENT_BYTES)
    if found is None:
        raise CannotRead(f"there is neither {DATABASE} nor {DOCUMENT}")
    return from_document(found[0])


def _left(raw: Raw, shown: str) -> list[str]:
    notes = []
    if raw.version is not None:
        notes.append(f"{shown} is of a version that is not known here ({raw.version}): what is known of it was read")
    if raw.connections:
        notes.append(
            f"stop the OmniRoute of {shown} for good: refresh tokens of two programs end each other's sign-ins"
        )
    if raw.key_names:
        names = ", ".join(raw.key_names[:SHOWN]) + (", …" if len(raw.key_names) > SHOWN else "")
        notes.append(f"client keys are not taken over ({names}): make new ones with `omniroute key create NAME`")
    notes.append("passwords, request logs, usage and prices stay there")
    return notes
