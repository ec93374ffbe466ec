import asyncio
import contextlib
import os
import sqlite3
import stat
import sys

import pytest

from omniroute.contracts import Record
from omniroute.errors import StoreError, VersionConflict
from omniroute.store import SqliteStore, schema
from omniroute.testing.check_store import check_crash_safety, check_store

CHILD = """
import asyncio, sys
from pathlib import Path
from omniroute.store import SqliteStore
from omniroute.testing.check_store import write_until_killed
asyncio.run(write_until_killed(SqliteStore(Path(sys.argv[1]))))
"""


class Clock:
    def __init__(self):
        self.now_s = 1_800_000_000.0

    def __call__(self):
        return self.now_s

    async def advance(self, seconds_s):
        self.now_s += seconds_s


@pytest.fixture
def path(tmp_path):
    return tmp_path / "omniroute.db"


@contextlib.asynccontextmanager
async def opened(path, **options):
    store = SqliteStore(path, **options)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def made(path):
    async with opened(path) as store:
        for number in range(200):
            await asyncio.gather(*(store.put("t", f"{number}-{n}", b"v" * 200) for n in range(10)))
    return path.read_bytes()


def contents(directory):
    """Without what SQLite makes beside a database it only looks at: its shared memory, and a log of no bytes."""
    files = {file.name: file.read_bytes() for file in directory.iterdir() if not file.name.endswith("-shm")}
    return {name: content for name, content in files.items() if content or not name.endswith("-wal")}


async def test_it_keeps_the_contract_with_several_handles_on_one_file(path):
    clock = Clock()
    await check_store(lambda: SqliteStore(path, clock=clock), advance=clock.advance)


async def test_acknowledged_writes_survive_kill(path):
    def verify():
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    await check_crash_safety(
        lambda: SqliteStore(path), [sys.executable, "-c", CHILD, str(path)], cycles=5, verify=verify
    )


# --- writes that wait together


async def test_writes_that_wait_together_share_a_transaction_and_fail_alone(path):
    async with opened(path) as store:
        statements = []
        store._writer._connection.set_trace_callback(statements.append)

        def broken(connection):
            connection.execute("INSERT INTO rows VALUES ('t', 'half', x'00', 1, 1000)")
            raise VersionConflict("no")

        results = await asyncio.gather(
            _held_up(store),
            *(store.put("t", f"{number}", b"v") for number in range(50)),
            store._writer.run(broken),
            store.put("t", "last", b"v"),
            return_exceptions=True,
        )
        assert [result for result in results if isinstance(result, Exception)] == [results[-2]]
        assert isinstance(results[-2], VersionConflict)
        assert statements.count("COMMIT") <= 2, "the held up one, then all that waited behind it"
        assert [row.key for row in await store.scan("t", "half")] == []
        assert len(await store.scan("t")) == 51


async def test_when_sqlite_refuses_a_batch_only_the_write_at_fault_fails(path):
    async with opened(path) as store:

        def full(connection):
            connection.execute("INSERT INTO no_such_table VALUES (1)")

        *others, failed = await asyncio.gather(
            _held_up(store),
            *(store.put("t", f"{number}", b"v") for number in range(5)),
            store._writer.run(full),
            return_exceptions=True,
        )
        assert others == [None, 1, 1, 1, 1, 1]
        assert isinstance(failed, StoreError)
        assert "no_such_table" in failed.why
        assert len(await store.scan("t")) == 5


async def _held_up(store):
    """Keeps the writer busy until the event loop has come round once, so that others queue up behind it."""
    loop = asyncio.get_running_loop()
    await store._writer.run(lambda connection: asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result())


async def test_a_caller_that_gives_up_does_not_disturb_the_writer(path):
    async with opened(path) as store:
        waiting = [asyncio.ensure_future(store.put("t", f"{number}", b"v")) for number in range(20)]
        await asyncio.wait(waiting, timeout=0)
        for task in waiting[::2]:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert await store.put("t", "after", b"v") == 1
        assert {f"{number}" for number in range(1, 20, 2)} <= {row.key for row in await store.scan("t")}


async def test_two_hundred_writers_never_meet_a_busy_database(path):
    async with opened(path) as one, opened(path) as two:
        await asyncio.gather(
            *((one, two)[number % 2].put("t", f"{number}", b"v") for number in range(200)),
            *((one, two)[number % 2].append("log", [Record(id=f"{number}", value=b"r")]) for number in range(200)),
            *(one.scan("t") for _ in range(20)),
        )
        assert len(await two.scan("t")) == len(await one.read("log")) == 200


# --- opening and closing


async def test_a_store_that_is_not_open_says_so(path):
    store = SqliteStore(path)
    await store.close()
    with pytest.raises(StoreError, match="not open"):
        await store.get("t", "k")
    await store.open()
    await store.open()
    await store.close()
    with pytest.raises(StoreError, match="not open"):
        await store.put("t", "k", b"v")


async def test_closing_finishes_waiting_writes_and_leaves_one_file(path):
    store = SqliteStore(path)
    await store.open()
    waiting = [asyncio.ensure_future(store.put("t", f"{number}", b"v")) for number in range(500)]
    await asyncio.wait(waiting, timeout=0)
    await store.close()
    assert await asyncio.gather(*waiting) == [1] * 500
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(sys.platform == "win32", reason="file modes are POSIX's")
async def test_the_database_is_readable_by_its_owner_alone(path):
    async with opened(path) as store:
        await store.put("t", "k", b"v")
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {path.name: 0o600, f"{path.name}-wal": 0o600, f"{path.name}-shm": 0o600}


async def test_an_acknowledged_write_is_synced(path):
    async with opened(path) as store:
        settings = await store._writer.run(
            lambda connection: [
                connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
            ]
        )
    assert settings == ["wal", 2]


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        pytest.param(lambda good: b"", "empty (0 bytes)", id="0 bytes"),
        pytest.param(lambda good: b"hello", "does not begin", id="another file"),
        pytest.param(lambda good: good[: len(good) // 2], "", id="truncated"),
        pytest.param(lambda good: good[:4096], "", id="first page only"),
        pytest.param(lambda good: good[:8192] + b"\x5a" * 8192 + good[16384:], "", id="overwritten pages"),
    ],
)
async def test_a_damaged_database_is_refused_and_not_touched(path, harm, why):
    path.write_bytes(harm(await made(path)))
    before = contents(path.parent)
    with pytest.raises(StoreError, match="is damaged") as raised:
        await SqliteStore(path).open()
    assert why in raised.value.why
    assert raised.value.fix
    assert contents(path.parent) == before


async def test_a_database_of_a_newer_version_is_refused_and_not_touched(path):
    await made(path)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, ?, ?)",
            (schema.MIGRATION_SET, "from_the_future", ""),
        )
    before = contents(path.parent)
    with pytest.raises(StoreError, match="newer OmniRoute") as raised:
        await SqliteStore(path).open()
    assert "from_the_future" in raised.value.why
    assert contents(path.parent) == before


async def test_a_database_of_another_program_is_refused(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    before = contents(path.parent)
    with pytest.raises(StoreError, match="no database of OmniRoute's") as raised:
        await SqliteStore(path).open()
    assert "recipes" in raised.value.why
    assert contents(path.parent) == before


async def test_a_missing_database_beside_its_log_is_not_replaced_by_an_empty_one(path):
    path.with_name(path.name + "-wal").write_bytes(b"log")
    with pytest.raises(StoreError, match="is missing"):
        await SqliteStore(path).open()
    assert [file.name for file in path.parent.iterdir()] == [path.name + "-wal"]


async def test_the_empty_log_beside_a_refused_database_does_not_stop_a_new_one(path):
    path.write_bytes((await made(path))[:4096])
    with pytest.raises(StoreError):
        await SqliteStore(path).open()
    path.unlink()
    async with opened(path) as store:
        assert await store.put("t", "k", b"v") == 1


async def test_what_a_crash_left_of_a_new_database_is_made_anew(path):
    path.with_name(path.name + ".new").write_bytes(b"half")
    path.with_name(path.name + ".new-journal").write_bytes(b"half")
    async with opened(path) as store:
        await store.put("t", "k", b"v")
    assert [file.name for file in path.parent.iterdir()] == [path.name]


async def test_a_directory_in_its_place_is_refused(path):
    path.mkdir()
    with pytest.raises(StoreError, match="cannot be opened"):
        await SqliteStore(path).open()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
async def test_a_database_that_cannot_be_written_stops_the_start(path):
    await made(path)
    path.chmod(0o400)
    with pytest.raises(StoreError, match="cannot be opened") as raised:
        await SqliteStore(path).open()
    assert "readonly" in raised.value.why


def test_a_migration_keeps_the_rows_and_a_copy_of_the_database_before_it(path):
    asyncio.run(made(path))

    def add_labels(db):
        db["rows"].add_column("label", str)

    schema.prepare(path, steps=(*schema.STEPS, add_labels))
    backup = path.with_name(path.name + ".rows_logs_leases.backup")
    assert [(_count(file), _columns(file)[-1]) for file in (path, backup)] == [(2000, "label"), (2000, "sequence")]


def test_a_migration_that_fails_changes_nothing(path):
    asyncio.run(made(path))

    def broken(db):
        db["rows"].add_column("label", str)
        db.execute("SELECT * FROM no_such_table")

    with pytest.raises(StoreError, match="cannot be used"):
        schema.prepare(path, steps=(*schema.STEPS, broken))
    assert (_count(path), _columns(path)[-1]) == (2000, "sequence")


def _count(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT count(*) FROM rows").fetchone()[0]


def _columns(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [name for _, name, *_ in connection.execute("PRAGMA table_info(rows)")]


async def test_only_a_migration_needs_sqlite_utils(path):
    await made(path)
    code = (
        "import asyncio, sys; from pathlib import Path; from omniroute.store import SqliteStore\n"
        "store = SqliteStore(Path(sys.argv[1])); asyncio.run(store.open())\n"
        "print('sqlite_utils' in sys.modules)"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert (await process.communicate())[0].strip() == b"False"
