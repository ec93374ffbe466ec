"""Writing rows that others write too: read, change, compare and swap."""

from collections.abc import Callable

import msgspec

from omniroute.accounts.rows import TABLE, Stored
from omniroute.contracts import Lease, Row, Store
from omniroute.errors import Conflict, NotFound, VersionConflict

__all__ = ["AccountRows", "already_exists", "decoded"]

TRIES = 20


class AccountRows:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def create(self, key: str, stored: Stored) -> None:
        """Raises `Conflict` when there is one."""
        try:
            await self._store.put(TABLE, key, msgspec.json.encode(stored), expect=0)
        except VersionConflict:
            raise already_exists(key) from None

    async def change(self, key: str, change: Callable[[Stored], Stored], fence: Lease | None = None) -> Stored:
        """What is in the row now. What somebody else writes meanwhile is kept: `change` is asked again.

        Raises `NotFound`, and `VersionConflict` when the lease went to somebody else.
        """
        seen = 0
        for _ in range(TRIES):
            row = await self.row(key)
            if row.version == seen:
                break  # nobody else wrote: it is the fence
            seen = row.version
            stored = decoded(row)
            changed = change(stored)
            if changed == stored:
                return stored
            try:
                await self._store.put(TABLE, key, msgspec.json.encode(changed), expect=seen, fence=fence)
            except VersionConflict:
                continue
            return changed
        raise VersionConflict(f"the account {key} was written by somebody else")

    async def row(self, key: str) -> Row:
        """Raises `NotFound`."""
        row = await self._store.get(TABLE, key)
        if row is None:
            raise NotFound(f"no account is called {key!a}", fix="omniroute account list")
        return row


def decoded(row: Row) -> Stored:
    """Raises `Conflict` when nobody can read it."""
    try:
        return msgspec.json.decode(row.value, type=Stored)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Conflict(f"the account {row.key} cannot be read", fix="remove it and add it again") from error


def already_exists(account_id: str) -> Conflict:
    return Conflict(f"the account {account_id} exists already", fix="choose another name, or remove it first")
