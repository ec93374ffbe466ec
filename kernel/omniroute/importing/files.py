"""Reading a file that belongs to another program, with care: a plain file, not too large, where it is said to be."""

import os
import stat
from pathlib import Path

__all__ = ["CannotRead", "checked", "others_can_read", "read"]

FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe would wait for whoever writes to it
    | getattr(os, "O_CLOEXEC", 0)
)
POSIX = os.name == "posix"


class CannotRead(Exception):
    """Why something is not read, for people. Nothing of its content."""


def checked(path: Path, root: Path, limit_bytes: int) -> Path | None:
    """Where the file really is; None when there is none. Opens nothing.

    Links are followed within `root`, for people who keep their dot files elsewhere in it. Raises `CannotRead`.
    """
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(root.resolve()):
            raise CannotRead(f"it is a link that leads out of {root}")
        found = real.stat()
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError) as error:
        raise CannotRead(_reason(error)) from error
    _check(found, limit_bytes)
    return real


def read(path: Path, root: Path, limit_bytes: int) -> tuple[bytes, os.stat_result] | None:
    """The content; None when there is no such file. Raises `CannotRead`."""
    real = checked(path, root, limit_bytes)
    if real is None:
        return None
    try:
        descriptor = os.open(real, FLAGS)
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            _check(found, limit_bytes)  # it may be another one by now
            content = file.read(limit_bytes + 1)
    except OSError as error:
        raise CannotRead(_reason(error)) from error
    if len(content) > limit_bytes:
        raise CannotRead(_too_large(limit_bytes))
    return content, found


def others_can_read(found: os.stat_result) -> bool:
    """Other users of this machine; says nothing on Windows."""
    return POSIX and bool(found.st_mode & 0o077)


def _check(found: os.stat_result, limit_bytes: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise CannotRead("it is no plain file")
    if found.st_size > limit_bytes:
        raise CannotRead(_too_large(limit_bytes))


def _too_large(limit_bytes: int) -> str:
    return f"it has more than {limit_bytes} bytes"


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or type(error).__name__).lower()
