"""What a gateway has learned and a restart must not forget: cooldowns, circuits, counts of limits, how targets are doing.

Written down off the request's path: once a second at most, what has changed since, one row for each kind. So `kill -9` loses a
second of it. A store that fails costs nothing but this: it is tried again a second later. Deadlines are Unix time on the disk.
"""

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from omniroute.breaker import SavedCircuit
from omniroute.contracts import Account, Store
from omniroute.cooling import SavedMark
from omniroute.errors import StoreError
from omniroute.gates import Gates, SavedGate
from omniroute.health import Health
from omniroute.logs import get_logger
from omniroute.standing import SavedStanding, Standings

__all__ = ["Identities", "Keeper", "Part", "parts_of"]

TABLE = "kept"
INTERVAL_S = 1.0
SIGNED_IN = "signed in"
"""What tokens come and go under: renewing one is not another key."""

log = get_logger(__name__)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of state. `dump` and `load` are given the Unix time."""

    name: str
    changes: Callable[[], int]
    """Rises when there is something new to write down."""
    dump: Callable[[float], object]
    load: Callable[[Any, float], None]
    type: Any
    """Of what `dump` returns and `load` takes."""


class Keeper:
    def __init__(
        self,
        store: Store,
        parts: Sequence[Part],
        *,
        beside: Sequence[Callable[[], Awaitable[None]]] = (),
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`beside` is what else is done at the same beat, without waiting for the store."""
        self._store = store
        self._parts = parts
        self._beside = beside
        self._wall = wall
        self._sleep = sleep
        self._written: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None
        self.failures = 0
        """Times in a row that the store did not take it."""

    async def load(self) -> None:
        """Take up what was written down. What cannot be read is forgotten: it would have been over sooner or later."""
        for part in self._parts:
            row = await self._store.get(TABLE, part.name)
            if row is not None:
                try:
                    part.load(msgspec.json.decode(row.value, type=part.type), self._wall())
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, OverflowError) as error:
                    log.warning("not taken up", what=part.name, reason=str(error))
            self._written[part.name] = part.changes()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="keeping")

    async def close(self) -> None:
        """Write the last of it."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self.save()

    async def save(self) -> None:
        """Write down what has changed. A failure is logged once and tried again the next time."""
        changed = [(part, part.changes()) for part in self._parts]
        changed = [(part, changes) for part, changes in changed if self._written.get(part.name) != changes]
        wall_s = self._wall()
        try:
            await asyncio.gather(
                *(self._store.put(TABLE, part.name, msgspec.json.encode(part.dump(wall_s))) for part, _ in changed)
            )
        except StoreError as error:
            self.failures += 1
            if self.failures == 1:
                log.error("what was learned cannot be written down", reason=error.why or error.message)
            return
        if self.failures:
            log.info("what was learned is written down again", failures=self.failures)
            self.failures = 0
        self._written |= {part.name: changes for part, changes in changed}

    async def _run(self) -> None:
        while True:
            await self._sleep(INTERVAL_S)
            await asyncio.gather(*(self._tried(work) for work in (self.save, *self._beside)))

    async def _tried(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:
            log.exception("work of every second failed", exc_info=error)


# --- whose it is ------------------------------------------------------------------------------------------------------


class Identities:
    """Tells whether an account is still the one it was, without keeping its key: another key has done nothing wrong yet."""

    def __init__(self, salt: bytes | None = None) -> None:
        self.salt = salt or secrets.token_bytes(16)
        self.known: dict[str, str] = {}
        """Account id → who it is."""

    def changed(self, accounts: Iterable[Account]) -> Sequence[tuple[str, str]]:
        """Take these for the accounts there are; (provider, name) of those that are gone or are others now."""
        before, self.known = self.known, {account.id: self._of(account) for account in accounts}
        gone = [account_id for account_id, identity in before.items() if self.known.get(account_id) != identity]
        return [(provider, name) for provider, _, name in (account_id.partition("/") for account_id in gone)]

    def _of(self, account: Account) -> str:
        credential = account.credential
        proof = (
            ""
            if credential is None
            else SIGNED_IN
            if credential.refresh or credential.secrets
            else credential.access.reveal()
        )
        text = f"{account.id}\0{account.base_url}\0{proof}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, digest_size=8, key=self.salt).hexdigest()


class _SavedCooling(msgspec.Struct, frozen=True, kw_only=True):
    salt: bytes
    identities: Mapping[str, str]
    marks: Sequence[SavedMark]


def parts_of(
    health: Health,
    gates: Gates,
    standings: Standings,
    identities: Identities,
    accounts: Callable[[], Iterable[Account]],
) -> Sequence[Part]:
    """Everything that is kept. `accounts` are those of now: marks of others are dropped on loading."""
    cooling, breaker = health.cooling, health.breaker

    def dump_cooling(wall_s: float) -> _SavedCooling:
        marks = cooling.dump(wall_s)
        marked = {f"{provider}/{account}" for _, provider, account, _ in (mark.key for mark in marks) if account}
        known = {account_id: who for account_id in marked if (who := identities.known.get(account_id))}
        return _SavedCooling(salt=identities.salt, identities=known, marks=marks)

    def load_cooling(saved: _SavedCooling, wall_s: float) -> None:
        identities.salt, identities.known = saved.salt, dict(saved.identities)
        same = {tuple(account_id.split("/", 1)) for account_id in saved.identities}
        same -= set(identities.changed(accounts()))
        cooling.load([mark for mark in saved.marks if not mark.key[2] or mark.key[1:3] in same], wall_s)

    return (
        Part(
            name="cooling",
            changes=lambda: cooling.changes,
            dump=dump_cooling,
            load=load_cooling,
            type=_SavedCooling,
        ),
        Part(
            name="breaker",
            changes=lambda: breaker.changes,
            dump=breaker.dump,
            load=breaker.load,
            type=list[SavedCircuit],
        ),
        Part(
            name="limits",
            changes=lambda: gates.lines.changes,
            dump=gates.dump,
            load=gates.load,
            type=list[SavedGate],
        ),
        Part(
            name="standing",
            changes=lambda: standings.changes,
            dump=lambda wall_s: standings.dump(wall_s, health.clock()),
            load=lambda saved, wall_s: standings.load(saved, wall_s, health.clock()),
            type=list[SavedStanding],
        ),
    )
