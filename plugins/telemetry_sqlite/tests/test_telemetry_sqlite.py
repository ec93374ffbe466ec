import asyncio
import contextlib
import itertools
import os
import sqlite3
import stat

import msgspec
import pytest

from omniroute.api import AffinityRecord, AttemptRecord, Loss, RequestRecord, Settings, SettingsError, StoreError, Usage
from omniroute_telemetry_sqlite import DAY_S, register_telemetry_sinks, rows
from omniroute_telemetry_sqlite.sink import PRUNE_EVERY_S, PRUNE_ROWS, SqliteSink

NOW_S = 1_800_000_000.0


class Clock:
    def __init__(self):
        self.now_s = NOW_S

    def __call__(self):
        return self.now_s


def record(id_="01", **changes):
    plain = {
        "id": id_,
        "request_id": "req-1",
        "started_at_s": NOW_S,
        "dialect": "openai-chat",
        "operation": "chat",
        "key_id": "abcdefgh",
        "key_name": "laptop",
        "requested_model": "fast",
        "status": 200,
        "stream": True,
        "outcome": "ok",
    }
    return RequestRecord(**{**plain, **changes})


FULL = record(
    provider="acme",
    model="m1",
    account="work",
    error="rate_limit_exceeded",
    relayed=True,
    attempts=(AttemptRecord(provider="acme", model="m1", account="work", status=429, retry_after_s=2.5),),
    usage=Usage(
        input_tokens=1,
        output_tokens=2,
        cached_tokens=3,
        cache_write_tokens=4,
        cache_write_1h_tokens=5,
        reasoning_tokens=6,
    ),
    cost_usd=0.0125,
    affinity=AffinityRecord(decision="stay", warm_usd=0.5),
    losses=(Loss(pointer="/tools/0", kind="dropped", reason="no such thing"),),
    first_content_s=0.25,
    duration_s=1.5,
    request_bytes=100,
    response_bytes=200,
    user_agent="curl/8",
)
EMPTY = record()


def kept(record):
    """As it comes back."""
    return msgspec.convert(msgspec.to_builtins(record), RequestRecord)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "requests.db"


@contextlib.asynccontextmanager
async def started(path, *, keep_s=0.0, clock=None):
    sink = SqliteSink(path, keep_s=keep_s, clock=clock or Clock())
    try:
        await sink.start()
        yield sink
    finally:
        await sink.close()


def began(started_at_s):
    """A record whose id tells when its request began, as a ULID does."""
    return record(f"{rows.id_at(started_at_s)}{next(_numbers):016}", started_at_s=started_at_s)


_numbers = itertools.count()


def query(path, sql, *values, **named):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(found) for found in connection.execute(sql, named or values)]


def ids(path):
    return [found["id"] for found in query(path, "SELECT id FROM requests ORDER BY id")]


@pytest.mark.parametrize("given", [pytest.param(FULL, id="full"), pytest.param(EMPTY, id="empty")])
async def test_every_field_of_a_record_is_in_its_column(path, given):
    async with started(path) as sink:
        await sink.write([given])
    (found,) = query(path, "SELECT * FROM requests")
    usage = {name: found.pop(name) for name in Usage.__struct_fields__}
    attempts = msgspec.json.decode(found.pop("attempts"), type=tuple[AttemptRecord, ...])
    losses = msgspec.json.decode(found.pop("losses"), type=tuple[Loss, ...])
    affinity = found.pop("affinity")
    found["affinity"] = affinity and msgspec.json.decode(affinity, type=AffinityRecord)
    found["usage"] = None if set(usage.values()) == {None} else Usage(**usage)
    stream, relayed = bool(found.pop("stream")), bool(found.pop("relayed"))
    assert RequestRecord(**found, attempts=attempts, losses=losses, stream=stream, relayed=relayed) == given


async def test_the_columns_have_the_types_that_questions_need(path):
    async with started(path) as sink:
        await sink.write([FULL, record("02", provider="acme", usage=Usage(input_tokens=10)), record("03")])
    (found,) = query(
        path,
        "SELECT sum(input_tokens) AS tokens, count(*) AS requests, avg(duration_s) AS mean FROM requests"
        " WHERE provider = 'acme' AND started_at_s >= ? AND outcome = 'ok'",
        NOW_S,
    )
    assert found == {"tokens": 11, "requests": 2, "mean": 0.75}


async def test_a_record_that_comes_twice_is_kept_once(path):
    async with started(path) as sink:
        await sink.write([record("01"), record("01", status=500)])
        await sink.write([record("01", status=501), record("02")])
    assert query(path, "SELECT id, status FROM requests ORDER BY id") == [
        {"id": "01", "status": 200},
        {"id": "02", "status": 200},
    ]


@pytest.mark.parametrize("count", [0, 1, rows.ROWS_AT_ONCE - 1, rows.ROWS_AT_ONCE, rows.ROWS_AT_ONCE * 2 + 3])
async def test_a_batch_of_any_length_is_kept_whole(path, count):
    given = [
        msgspec.structs.replace((FULL, EMPTY)[number % 2], id=f"{number:03}", status=200 + number)
        for number in range(count)
    ]
    async with started(path) as sink:
        await sink.write(given)
        assert [(await sink.find(each.id, 1)) for each in given] == [[kept(each)] for each in given]
        await sink.write(given)
    assert ids(path) == [each.id for each in given]


async def test_what_is_mostly_unknown_is_null_where_it_is(path):
    async with started(path) as sink:
        await sink.write([EMPTY])
    (found,) = query(path, "SELECT error, user_agent, cost_usd, affinity FROM requests")
    assert found == {"error": None, "user_agent": None, "cost_usd": None, "affinity": None}


@pytest.mark.parametrize("changes", [{"dialect": None}, {"duration_s": None}], ids=repr)
async def test_a_record_that_breaks_the_rules_costs_only_itself(path, changes):
    async with started(path) as sink:
        await sink.write([record("01"), record("02", **changes), record("03")])
    assert ids(path) == ["01", "03"]


async def test_rows_outlive_the_process_and_a_restart_adds_to_them(path):
    for id_ in ("01", "02"):
        async with started(path) as sink:
            await sink.write([record(id_)])
    assert ids(path) == ["01", "02"]
    assert [file.name for file in path.parent.iterdir()] == [path.name], "the log was folded in"


async def test_absurd_figures_and_texts_do_not_cost_the_batch(path):
    absurd = record("02", usage=Usage(input_tokens=10**30), user_agent="x" * 10_000, requested_model="y" * 10_000)
    async with started(path) as sink:
        await sink.write([record("01"), absurd, record("03")])
    assert ids(path) == ["01", "02", "03"]
    (found,) = query(path, "SELECT input_tokens, user_agent, requested_model FROM requests WHERE id = '02'")
    assert found == {"input_tokens": 2**63 - 1, "user_agent": "x" * 512, "requested_model": "y" * 512}


async def test_text_cannot_become_sql(path):
    hostile = "'); DROP TABLE requests; --"
    async with started(path) as sink:
        await sink.write([record("01", requested_model=hostile, user_agent=hostile, key_name=hostile)])
    assert query(path, "SELECT key_name FROM requests") == [{"key_name": hostile}]


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
async def test_the_file_is_readable_by_its_owner_alone(path):
    async with started(path) as sink:
        await sink.write([record()])
        assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


async def test_the_event_loop_goes_on_while_the_database_is_busy(path):
    async with started(path) as sink:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writing = asyncio.ensure_future(sink.write([record()]))
            await asyncio.wait({writing}, timeout=0.01)
            assert not writing.done()
            other.execute("ROLLBACK")
        await writing
    assert ids(path) == ["01"]


# --- retention


async def test_old_rows_go_and_young_ones_stay(path):
    clock = Clock()
    async with started(path, keep_s=10, clock=clock) as sink:
        old, young, new = began(NOW_S - 11), began(NOW_S - 9), began(NOW_S + 100)
        await sink.write([old, young])
        assert ids(path) == [young.id]
        clock.now_s += 100
        await sink.write([new])
        assert ids(path) == [young.id, new.id], "looked at again only after a while"
        clock.now_s += PRUNE_EVERY_S
        await sink.write([])
        assert ids(path) == []


async def test_many_old_rows_go_a_few_at_a_time(path):
    old = [began(NOW_S - 100) for _ in range(PRUNE_ROWS + 10)]
    async with started(path) as sink:
        await sink.write(old)
    async with started(path, keep_s=10) as sink:
        await sink.write([])
        assert len(ids(path)) == 10
        await sink.write([])
        assert not ids(path)


async def test_without_a_limit_everything_is_kept(path):
    async with started(path, keep_s=0) as sink:
        await sink.write([began(0.0)])
    assert len(ids(path)) == 1


@pytest.mark.parametrize(
    ("at_s", "characters"),
    [
        (0.0, "0000000000"),
        (0.0009, "0000000000"),
        (1.0, "00000000Z8"),
        (1_800_000_000.0, "01MCC5RM00"),
        (1_800_000_000.0314, "01MCC5RM0Z"),
        (2.0**48 / 1000 - 1, "7ZZZZZZZ0R"),
    ],
)
def test_the_ids_of_a_time_begin_as_a_ulid_does(at_s, characters):
    assert rows.id_at(at_s) == characters


def test_before_all_time_nothing_began():
    assert rows.id_at(-1.0) == "0000000000", "rows are kept for longer than there has been time"


# --- files that cannot be used


@pytest.mark.parametrize(
    "content", [pytest.param(b"hello" * 1000, id="not a database"), pytest.param(b"SQLite format 3\0", id="cut short")]
)
async def test_a_file_that_is_no_database_is_refused_and_left_alone(path, content):
    path.write_bytes(content)
    with pytest.raises(StoreError, match="cannot be used") as raised:
        async with started(path):
            pass
    assert "move it away" in raised.value.fix
    assert path.read_bytes() == content


async def test_a_newer_schema_is_refused(path):
    async with started(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer version"):
        async with started(path):
            pass


async def test_a_schema_that_grew_keeps_its_rows(path, monkeypatch):
    async with started(path) as sink:
        await sink.write([record()])
    next_ = f"PRAGMA user_version = {len(rows.MIGRATIONS) + 1}"
    grown = (*rows.MIGRATIONS, ("ALTER TABLE requests ADD COLUMN region TEXT", next_))
    monkeypatch.setattr(rows, "MIGRATIONS", grown)
    for _ in range(2):
        async with started(path):
            pass
    assert query(path, "SELECT id, region FROM requests") == [{"id": "01", "region": None}]


async def test_the_indices_of_the_first_schema_give_way_and_its_rows_are_found(path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(rows, "MIGRATIONS", rows.MIGRATIONS[:2])
        async with started(path) as sink:
            await sink.write([record("01"), record("02", request_id="02")])
    async with started(path) as sink:
        assert [found.id for found in await sink.find("req-1", 3)] == ["01"]
        assert [found.id for found in await sink.find("02", 3)] == ["02"]
    indices = query(path, "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    assert indices == [{"name": "requests_by_own_id"}]


@pytest.mark.parametrize(
    ("sql", "named"),
    [(rows.FIND, {"id": "01", "limit": 3}), (rows.PRUNE, {"oldest": "01", "limit": 3})],
    ids=["find", "prune"],
)
async def test_no_question_reads_the_whole_table(path, sql, named):
    async with started(path) as sink:
        await sink.write([EMPTY])
    steps = [step["detail"] for step in query(path, f"EXPLAIN QUERY PLAN {sql}", **named)]
    assert [step for step in steps if step.startswith("SCAN requests")] == []
    assert any("PRIMARY KEY" in step for step in steps)
    assert any("requests_by_own_id" in step for step in steps) == (sql is rows.FIND)


async def test_a_migration_that_fails_leaves_the_schema_as_it_was(path, monkeypatch):
    async with started(path):
        pass
    broken = (*rows.MIGRATIONS, ("ALTER TABLE requests ADD COLUMN region TEXT", "SELECT * FROM nowhere"))
    with monkeypatch.context() as patch:
        patch.setattr(rows, "MIGRATIONS", broken)
        with pytest.raises(StoreError, match="cannot be used"):
            async with started(path):
                pass
    assert query(path, "PRAGMA user_version") == [{"user_version": len(rows.MIGRATIONS)}]
    assert "region" not in [column["name"] for column in query(path, "PRAGMA table_info(requests)")]


# --- the plugin


def test_the_plugin_brings_one_sink_with_its_own_file_in_the_data_directory(tmp_path):
    (sink,) = register_telemetry_sinks(settings=Settings(data_dir=tmp_path))
    assert (sink.name, sink.path, sink._keep_s) == ("sqlite", tmp_path / "requests.db", 90 * DAY_S)
    assert not sink.path.exists(), "files are opened in `start`"


def test_its_section_says_how_long_rows_are_kept(tmp_path):
    settings = Settings(data_dir=tmp_path, plugin_sections={"telemetry-sqlite": {"keep_days": 7}})
    assert register_telemetry_sinks(settings=settings)[0]._keep_s == 7 * DAY_S
    for wrong in ({"keep_days": -1}, {"keep_day": 7}):
        with pytest.raises(SettingsError):
            register_telemetry_sinks(settings=Settings(plugin_sections={"telemetry-sqlite": wrong}))


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [FULL, EMPTY], ids=["full", "empty"])
async def test_a_record_comes_back_as_it_was_given(path, whole):
    async with started(path) as sink:
        await sink.write([whole])
        assert await sink.find("01", 10) == [kept(whole)]


async def test_records_are_found_by_their_own_id_and_by_the_requests_the_newest_first(path):
    async with started(path) as sink:
        await sink.write([record(f"0{number}", started_at_s=NOW_S + number) for number in range(5)])
        await sink.write([record("other", request_id="another")])
        assert [found.id for found in await sink.find("req-1", 3)] == ["04", "03", "02"]
        assert [found.id for found in await sink.find("02", 3)] == ["02"]
        assert [found.id for found in await sink.find("another", 3)] == ["other"]
        assert await sink.find("nobody' OR 1=1 --", 3) == []


async def test_a_row_that_nobody_here_wrote_is_an_error_and_no_crash(path):
    async with started(path) as sink:
        await sink.write([record()])
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE requests SET attempts = '[{]'")
        with pytest.raises(StoreError, match="cannot be read"):
            await sink.find("01", 1)


async def test_a_log_that_is_not_open_is_not_read(path):
    with pytest.raises(StoreError, match="not open"):
        await SqliteSink(path, keep_s=0).find("01", 1)
