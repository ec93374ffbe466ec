"""What every `Store` and every `Fast` must do, as suites any implementation can be held to.

`make_store` and `make_fast` return a new handle, unopened, onto the same storage each time. `advance(seconds)` lets the
storage's clock go on: moves a fake one, or really waits. A suite may run again on the same storage.
"""

import asyncio
import contextlib
import random
import subprocess
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from omniroute.contracts import Change, Fast, Record, Store
from omniroute.errors import VersionConflict

__all__ = ["check_crash_safety", "check_fast", "check_store", "write_until_killed"]

Advance = Callable[[float], Awaitable[None]]
MakeStore = Callable[[], Store]
MakeFast = Callable[[], Fast]

TTL_S = 0.5
CRASH_LOG = "check-crash"


@contextlib.asynccontextmanager
async def opened(make_store: MakeStore) -> AsyncIterator[Store]:
    store = make_store()
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def fresh(name: str) -> str:
    """A table, log or key of this run alone."""
    return f"check-{name}-{uuid.uuid4().hex[:8]}"


async def refused(write: Awaitable[object]) -> bool:
    try:
        await write
    except VersionConflict:
        return True
    return False


# --- Store ------------------------------------------------------------------------------------------------------------


async def check_store(make_store: MakeStore, *, advance: Advance = asyncio.sleep) -> None:
    """Raises `AssertionError` where the implementation breaks the contract."""
    async with opened(make_store) as store, opened(make_store) as other:
        await check_rows(store)
        await check_versions(store)
        await check_scan(store)
        await check_concurrent_writers(store, other)
        await check_changes(store)
        await check_logs(store, other)
        await check_leases(store, other, advance)
        await check_fences(store, other, advance)
    await check_reopening(make_store)


async def check_rows(store: Store) -> None:
    table = fresh("rows")
    assert await store.get(table, "k") is None
    assert await store.put(table, "k", b"\x00\xff") == 1
    assert await store.put(table, "k", b"") == 2
    row = await store.get(table, "k")
    assert row is not None
    assert (row.key, row.value, row.version) == ("k", b"", 2)
    assert await store.get(fresh("rows"), "k") is None, "tables are apart"
    assert await store.delete(table, "k")
    assert not await store.delete(table, "k")
    assert await store.get(table, "k") is None


async def check_versions(store: Store) -> None:
    table = fresh("versions")
    assert await refused(store.put(table, "k", b"x", expect=1)), "expected a row where none is"
    assert await store.put(table, "k", b"a", expect=0) == 1
    assert await refused(store.put(table, "k", b"x", expect=0)), "expected none where a row is"
    assert await store.put(table, "k", b"b", expect=1) == 2
    assert await refused(store.put(table, "k", b"x", expect=1))
    assert await refused(store.delete(table, "k", expect=1))
    row = await store.get(table, "k")
    assert row is not None
    assert row.value == b"b", "a refused write left something behind"
    assert await store.delete(table, "k", expect=2)
    assert await store.put(table, "k", b"c", expect=0) > 2, "a version from before a deletion would match again"


async def check_scan(store: Store) -> None:
    table = fresh("scan")
    keys = ["b/2", "a/1", "b/1", "b%", "b_x", "c", "b", "b/ü", "b\U0010ffffz", ""]
    for key in keys:
        await store.put(table, key, key.encode())
    await store.delete(table, "b/1")
    keys.remove("b/1")
    assert [row.key for row in await store.scan(table)] == sorted(keys)
    for prefix in ("b/", "b", "b%", "b_", "c", "d", "b\U0010ffff"):
        expected = [(key, key.encode()) for key in sorted(keys) if key.startswith(prefix)]
        assert [(row.key, row.value) for row in await store.scan(table, prefix)] == expected, prefix


async def check_concurrent_writers(*stores: Store) -> None:
    table = fresh("race")
    versions = [await stores[0].put(table, key, b"start") for key in ("lost", "won")]

    async def claim(task: int) -> bool:
        return not await refused(stores[task % len(stores)].put(table, "won", b"%d" % task, expect=versions[1]))

    claims = await asyncio.gather(*(claim(task) for task in range(50)))
    assert claims.count(True) == 1, f"{claims.count(True)} of 50 won"
    row = await stores[0].get(table, "won")
    assert row is not None
    assert row.value == b"%d" % claims.index(True)

    plain = [stores[task % len(stores)].put(table, f"plain-{task}", b"v") for task in range(20)]
    losing = [refused(stores[0].put(table, f"losing-{task}", b"v", expect=7)) for task in range(20)]
    results = await asyncio.gather(*plain, *losing)
    assert results == [1] * 20 + [True] * 20, "a conflict of one writer reached another"
    assert len(await stores[-1].scan(table, "plain-")) == 20
    assert not await stores[-1].scan(table, "losing-")


async def check_changes(store: Store) -> None:
    """A feed may keep only the latest change of a key; who follows it must end up with the same rows."""
    table = fresh("changes")
    before = await store.changes(0, limit=1_000_000)
    after = max((change.sequence for change in before), default=0)
    await store.put(table, "kept", b"1")
    await store.put(table, "gone", b"1")
    await store.put(table, "kept", b"2")
    await store.delete(table, "gone")
    await refused(store.put(table, "kept", b"x", expect=99))
    seen: list[Change] = []
    while page := await store.changes(seen[-1].sequence if seen else after, limit=1):
        assert len(page) == 1
        seen += page
    sequences = [change.sequence for change in seen]
    assert sequences == sorted(set(sequences)), "sequences must rise"
    assert sequences[0] > after
    assert {change.table for change in seen} == {table}
    assert {change.key: change.deleted for change in seen} == {"kept": False, "gone": True}
    assert not await store.changes(sequences[-1])


async def check_logs(store: Store, other: Store) -> None:
    log = fresh("log")
    first = [Record(id=f"{number:03}", value=b"first") for number in range(10)]
    assert await store.append(log, first) == 10
    again = [Record(id=f"{number:03}", value=b"again") for number in range(5, 15)]
    assert await other.append(log, [*again, again[-1]]) == 5, "an id that is there must be kept as it is"
    assert await store.append(log, []) == 0
    records = await store.read(log)
    assert [record.id for record in records] == [f"{number:03}" for number in range(15)]
    assert [record.value for record in records] == [b"first"] * 10 + [b"again"] * 5
    assert [record.id for record in await store.read(log, after="011", limit=2)] == ["012", "013"]
    assert not await store.read(fresh("log"))


async def check_leases(store: Store, other: Store, advance: Advance) -> None:
    name = fresh("lease")
    lease = await store.acquire(name, "one", TTL_S)
    assert lease is not None
    assert (lease.name, lease.owner) == (name, "one")
    assert await other.acquire(name, "two", TTL_S) is None, "two holders"
    assert await other.acquire(fresh("lease"), "two", TTL_S) is not None, "leases are apart"
    again = await store.acquire(name, "one", TTL_S)
    assert again is not None
    assert again.fence == lease.fence, "the holder itself keeps its fence"

    await advance(TTL_S * 1.2)
    taken = await other.acquire(name, "two", TTL_S)
    assert taken is not None, "an expired lease must be free"
    assert taken.fence > lease.fence
    await store.release(lease)
    assert await store.acquire(name, "one", TTL_S) is None, "a late release freed somebody else's lease"
    await other.release(taken)
    back = await store.acquire(name, "one", TTL_S)
    assert back is not None, "a released lease must be free"
    assert back.fence > taken.fence

    contested = fresh("lease")
    handles = [(store, other)[task % 2].acquire(contested, f"owner-{task}", 60) for task in range(50)]
    winners = [lease for lease in await asyncio.gather(*handles) if lease is not None]
    assert len(winners) == 1, f"{len(winners)} of 50 hold one lease"


async def check_fences(store: Store, other: Store, advance: Advance) -> None:
    table, name = fresh("fence"), fresh("lease")
    slow = await store.acquire(name, "slow", TTL_S)
    assert slow is not None
    assert await store.put(table, "token", b"old", fence=slow) == 1
    await advance(TTL_S * 1.2)
    quick = await other.acquire(name, "quick", 60)
    assert quick is not None
    assert await other.put(table, "token", b"new", expect=1, fence=quick) == 2
    assert await refused(store.put(table, "token", b"late", fence=slow)), "a fenced-off holder wrote"
    row = await store.get(table, "token")
    assert row is not None
    assert row.value == b"new"


async def check_reopening(make_store: MakeStore) -> None:
    table, log = fresh("reopen"), fresh("reopen")
    async with opened(make_store) as store:
        await store.put(table, "k", b"v")
        await store.append(log, [Record(id="1", value=b"r")])
        lease = await store.acquire(fresh("lease"), "one", 60)
        assert lease is not None
    async with opened(make_store) as store:
        row = await store.get(table, "k")
        assert row is not None
        assert (row.value, row.version) == (b"v", 1)
        assert [record.id for record in await store.read(log)] == ["1"]
        assert await store.acquire(lease.name, "two", 60) is None, "a lease must outlive the process"


# --- crashes ----------------------------------------------------------------------------------------------------------


async def write_until_killed(store: Store) -> None:
    """The child's side of `check_crash_safety`: write rows and records without end, print each id that is acknowledged."""
    await store.open()
    run = uuid.uuid4().hex

    async def write(task: int) -> None:
        count = 0
        while True:
            id_ = f"{run}-{task}-{count:06}"
            await asyncio.gather(
                store.put(CRASH_LOG, id_, id_.encode()), store.append(CRASH_LOG, [Record(id=id_, value=b"r")])
            )
            print(id_, flush=True)  # noqa: T201 - how the parent learns of it
            count += 1

    await asyncio.gather(*(write(task) for task in range(4)))


async def check_crash_safety(
    make_store: MakeStore, child: Sequence[str], *, cycles: int = 5, verify: Callable[[], None] = lambda: None
) -> None:
    """Kill `child`, a command that runs `write_until_killed` on the same storage, in mid-write, `cycles` times.

    Whatever it said was acknowledged must be there. `verify` runs after each kill, before anybody opens the storage.
    """
    acknowledged: list[str] = []
    for _ in range(cycles):
        acknowledged += await asyncio.to_thread(_killed_writer, child)
        verify()
        async with opened(make_store) as store:
            rows = {row.key for row in await store.scan(CRASH_LOG)}
            records = {record.id for record in await store.read(CRASH_LOG, limit=1_000_000)}
        lost = [id_ for id_ in acknowledged if id_ not in rows or id_ not in records]
        assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged writes are gone"


def _killed_writer(child: Sequence[str]) -> list[str]:
    with subprocess.Popen(child, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            printed = [process.stdout.readline() for _ in range(random.randint(1, 200))]
        finally:
            process.kill()
        printed += process.stdout.readlines()
    assert printed[0], f"the writing process ended by itself with status {process.returncode}"
    return [line.strip() for line in printed if line.endswith("\n")]


# --- Fast -------------------------------------------------------------------------------------------------------------


async def check_fast(make_fast: MakeFast, *, advance: Advance = asyncio.sleep) -> None:
    """Raises `AssertionError` where the implementation breaks the contract."""
    fast = make_fast()
    try:
        await check_values(fast, advance)
        await check_counters(fast, advance)
        await check_messages(fast)
    finally:
        await fast.close()


async def check_values(fast: Fast, advance: Advance) -> None:
    key = fresh("value")
    assert await fast.get(key) is None
    assert await fast.set(key, b"\x00a", ttl_s=TTL_S)
    assert await fast.get(key) == b"\x00a"
    assert not await fast.set(key, b"b", ttl_s=60, only_if_absent=True)
    assert await fast.get(key) == b"\x00a"
    await advance(TTL_S * 1.2)
    assert await fast.get(key) is None, "its time is over"
    assert not await fast.delete(key), "its time is over"
    assert await fast.set(key, b"c", ttl_s=TTL_S, only_if_absent=True), "its time is over"
    assert await fast.set(key, b"d", ttl_s=60)
    await advance(TTL_S * 1.2)
    assert await fast.get(key) == b"d", "a later write brings its own time to live"
    assert await fast.delete(key)
    assert not await fast.delete(key)
    claims = await asyncio.gather(*(fast.set(key, b"%d" % n, ttl_s=60, only_if_absent=True) for n in range(50)))
    assert claims.count(True) == 1
    assert await fast.get(key) == b"%d" % claims.index(True)


async def check_counters(fast: Fast, advance: Advance) -> None:
    key = fresh("counter")
    assert await fast.add(key, 2, ttl_s=TTL_S) == 2
    assert sorted(await asyncio.gather(*(fast.add(key, 1, ttl_s=60) for _ in range(20)))) == list(range(3, 23))
    assert await fast.add(key, -22, ttl_s=60) == 0
    await advance(TTL_S * 1.2)
    assert await fast.add(key, 5, ttl_s=60) == 5, "the time to live counts from the first addition"


async def check_messages(fast: Fast) -> None:
    channel = fresh("channel")
    streams = [fast.subscribe(channel), fast.subscribe(channel)]
    waiting = [asyncio.ensure_future(anext(stream)) for stream in streams]
    while not all(task.done() for task in waiting):  # a subscription over a network takes its time
        await fast.publish(channel, b"hello")
        await fast.publish(fresh("channel"), b"for nobody")
        await asyncio.wait(waiting, timeout=0.01)
    assert [task.result() for task in waiting] == [b"hello", b"hello"]
    for number in range(3):
        await fast.publish(channel, b"%d" % number)
    for stream in streams:
        received = [message async for message in _until(stream, b"2") if message != b"hello"]
        assert received == [b"0", b"1", b"2"]
        await stream.aclose()  # type: ignore[attr-defined]  # an async generator, as everywhere
    await fast.publish(channel, b"nobody listens")


async def _until(stream: AsyncIterator[bytes], last: bytes) -> AsyncIterator[bytes]:
    async for message in stream:
        yield message
        if message == last:
            return
