"""The data directory: who may use it now, and the private files in it.

One gateway at a time: `lock` takes an advisory lock that the operating system drops when the process dies, so a crash
leaves nothing to clean up. Private files are 0600 and appear whole or not at all. The database has its own module.
"""

import contextlib
import os
import stat
import sys
import time
from pathlib import Path

import msgspec

from omniroute.errors import StoreError, StoreLocked

__all__ = ["DataDir", "Runtime", "sync_directory"]

LOCK_FILE = "gateway.lock"
RUNTIME_FILE = "runtime.json"
POSIX = os.name == "posix"
LOCK_TRIES = 5
LOCK_PAUSE_S = 0.02


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """Where the running gateway answers, for the other commands."""

    url: str
    pid: int
    started_at: float
    """Unix time."""


if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    FAR_AWAY = 1 << 30
    """Windows locks are mandatory: lock a byte nobody reads, so that the pid stays readable."""

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, FAR_AWAY, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class DataDir:
    """Made for its owner alone when it is missing; the mode of one that is there is left as it is.

    Nothing is locked until `lock`; commands that only read a key or `runtime.json` leave it unlocked.
    Raises `StoreError` when the directory cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the data directory {path} cannot be used", why=_reason(error), fix="give another one with --data-dir"
            ) from error

    # --- the lock

    def lock(self) -> None:
        """Become the one gateway on this directory. Raises `StoreLocked`, naming the process that already is."""
        if self._lock is not None:
            return
        descriptor = self._open_lock()
        try:
            if not _lock_patiently(descriptor):
                raise StoreLocked(
                    f"another gateway uses the data directory {self.path}",
                    why=f"process {_pid_in(descriptor)} holds its lock",
                    fix="stop it, or give this one its own directory with --data-dir",
                )
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, b"%d\n" % os.getpid())
        except OSError as error:
            os.close(descriptor)
            raise _unusable(self.path / LOCK_FILE, "locked", error) from error
        except StoreLocked:
            os.close(descriptor)
            raise
        self._lock = descriptor

    def unlock(self) -> None:
        """Let another gateway have the directory. The lock file stays: removing it would let two in at once."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def in_use(self) -> bool:
        """Whether a gateway, this process or another, holds the lock."""
        if self._lock is not None:
            return True
        descriptor = self._open_lock()
        try:
            return not _try_lock(descriptor)
        except OSError as error:
            raise _unusable(self.path / LOCK_FILE, "locked", error) from error
        finally:
            os.close(descriptor)

    def _open_lock(self) -> int:
        path = self.path / LOCK_FILE
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        except OSError as error:
            raise _unusable(path, "locked", error) from error

    # --- private files

    def write_private(self, name: str, content: bytes) -> None:
        """Replace the file `name` by `content`, readable by its owner alone; on the disk when this returns."""
        path = self.path / name
        draft = path.with_name(f"{name}.{os.getpid()}.new")
        try:
            draft.unlink(missing_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
            with open(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            draft.replace(path)
            sync_directory(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise _unusable(path, "written", error) from error

    def read_private(self, name: str) -> bytes | None:
        """The content of the file `name`; None when there is none.

        A file that others could read is closed to them, with a warning. Raises `StoreError` when that or reading fails.
        """
        path = self.path / name
        try:
            with path.open("rb") as file:
                if POSIX and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                    self._close_to_others(path, file.fileno())
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(path, "read", error) from error

    def remove_private(self, name: str) -> None:
        """The file `name` is gone when this returns. Raises `StoreError`."""
        path = self.path / name
        try:
            path.unlink(missing_ok=True)
            sync_directory(self.path)
        except OSError as error:
            raise _unusable(path, "removed", error) from error

    def _close_to_others(self, path: Path, descriptor: int) -> None:
        try:
            os.chmod(descriptor, 0o600)
        except OSError as error:
            raise StoreError(
                f"the secret file {path} can be read by other users of this machine",
                why=f"its permissions cannot be changed: {_reason(error)}",
                fix=f"make it readable for its owner alone (chmod 600 {path}) and consider what it holds as known",
            ) from error
        import structlog  # not for every command

        structlog.get_logger(__name__).warning("secret file was readable by others, now closed to them", file=str(path))

    # --- the running gateway

    def write_runtime(self, runtime: Runtime) -> None:
        self.write_private(RUNTIME_FILE, msgspec.json.encode(runtime))

    def read_runtime(self) -> Runtime | None:
        """Where the gateway on this directory answers; None when none runs, whatever a crashed one left behind."""
        content = self.read_private(RUNTIME_FILE)
        if content is None or not self.in_use():
            return None
        try:
            return msgspec.json.decode(content, type=Runtime)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None

    def remove_runtime(self) -> None:
        with contextlib.suppress(OSError):
            (self.path / RUNTIME_FILE).unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Put a rename in `path` on the disk. Does nothing where directories cannot be opened (Windows)."""
    if not POSIX:
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock_patiently(descriptor: int) -> bool:
    """False when somebody really has it: `in_use` in another process holds it too, but lets go at once."""
    for _ in range(LOCK_TRIES):
        if _try_lock(descriptor):
            return True
        time.sleep(LOCK_PAUSE_S)
    return False


def _pid_in(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, 32).decode("ascii", "replace").strip() or "of unknown id"


def _unusable(path: Path, doing: str, error: OSError) -> StoreError:
    return StoreError(
        f"the file {path} cannot be {doing}",
        why=_reason(error),
        fix="check the owner and the free space of the data directory, or give another one with --data-dir",
    )


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
