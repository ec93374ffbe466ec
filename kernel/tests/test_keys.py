import re

import pytest

from omniroute.datadir import DataDir
from omniroute.errors import Conflict, InvalidRequest, SettingsError, StoreError
from omniroute.keys import KeyTable, ManagementKey
from omniroute.secret import Secret
from omniroute.settings import AuthSettings, ClientKeySettings, Settings
from omniroute.store import SqliteStore
from omniroute.testing import FakeClock

FORM = re.compile(r"omr_[a-z0-9]{8}_[A-Za-z0-9_-]{43}")
LAPTOP = "test-client-key-0001"


def settings(*keys):
    return Settings(auth=AuthSettings(keys=tuple(ClientKeySettings(name=name, key=Secret(key)) for name, key in keys)))


@pytest.fixture
async def store(tmp_path):
    store = SqliteStore(tmp_path / "omniroute.db")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
async def table(store, clock):
    table = KeyTable(settings(("laptop", LAPTOP)), store, clock=clock.wall)
    await table.load()
    return table


async def test_a_made_key_matches_and_nothing_like_it_does(table):
    key, text = await table.create("cursor")
    presented = text.reveal()
    assert FORM.fullmatch(presented)
    assert presented[4:12] == key.id
    assert table.match(presented) == key
    wrong = "A" if presented[-1] != "A" else "B"
    for other in (presented[:-1], presented + "x", presented[:-1] + wrong, presented.upper(), key.id, f"omr_{key.id}_"):
        assert table.match(other) is None


@pytest.mark.parametrize(
    "presented", ["", "omr_", "omr_12345678", "x" * 100_000, "\ud800", "é", LAPTOP[:-1], LAPTOP + " "]
)
async def test_what_is_no_key_matches_nothing(table, presented):
    assert table.match(presented) is None


async def test_a_key_of_the_settings_is_any_text(table):
    key = table.match(LAPTOP)
    assert (key.name, key.revoked) == ("laptop", False)
    assert len(key.id) == 8
    assert key.id not in LAPTOP


async def test_the_store_holds_a_digest_and_never_the_key(table, store, tmp_path):
    _, text = await table.create("cursor")
    await store.close()
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"cursor" in content
    assert text.reveal().encode() not in content
    assert text.reveal()[13:].encode() not in content


async def test_keys_outlive_the_process(table, store):
    key, text = await table.create("cursor", expires_at_s=2_000_000_000.0)
    again = KeyTable(Settings(), store)
    assert again.match(text.reveal()) is None, "not loaded yet"
    await again.load()
    assert again.match(text.reveal()) == key
    assert again.list() == (key,)


async def test_a_key_expires(table, clock):
    _, text = await table.create("guest", expires_at_s=clock.wall() + 10)
    clock.advance(9.5)
    assert table.match(text.reveal())
    clock.advance(0.5)
    assert table.match(text.reveal()) is None


@pytest.mark.parametrize("by", ["id", "name"])
async def test_a_revoked_key_is_refused_at_once_and_after_a_restart(table, store, by):
    key, text = await table.create("cursor")
    assert await table.revoke(getattr(key, by))
    assert table.match(text.reveal()) is None
    assert not await table.revoke(getattr(key, by)), "it is revoked already"
    again = KeyTable(Settings(), store)
    await again.load()
    assert again.match(text.reveal()) is None
    assert [listed.revoked for listed in again.list()] == [True]


async def test_names_are_unique_among_live_keys(table):
    first, _ = await table.create("cursor")
    for name in ("cursor", "laptop"):
        with pytest.raises(Conflict, match=name):
            await table.create(name)
    await table.revoke(first.id)
    second, text = await table.create("cursor")
    assert second.id != first.id
    assert await table.revoke("cursor")
    assert table.match(text.reveal()) is None


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 65, "\x7f"])
async def test_an_unprintable_name_is_refused(table, name):
    with pytest.raises(InvalidRequest):
        await table.create(name)


async def test_a_key_of_the_settings_is_revoked_in_the_settings(table):
    with pytest.raises(Conflict, match="set in the settings"):
        await table.revoke("laptop")
    assert table.match(LAPTOP)
    assert not await table.revoke("nobody")


def test_weak_and_management_keys_in_the_settings_are_all_reported_at_once(store):
    keys = settings(("short", "fifteen-chars-x"), ("fine", "sixteen-chars-xy"), ("mixed up", "omrm_" + "a" * 43))
    with pytest.raises(SettingsError) as raised:
        KeyTable(keys, store)
    assert [finding.split(": ")[1] for finding in raised.value.findings] == ["auth.keys[0].key", "auth.keys[2].key"]
    assert "15 characters" in raised.value.findings[0]
    assert "fifteen" not in str(raised.value)


async def test_an_unreadable_row_stops_the_start(store):
    await store.put("client_keys", "abcdefgh", b"{")
    with pytest.raises(StoreError, match="cannot be read"):
        await KeyTable(Settings(), store).load()


# --- the first key


async def test_the_first_run_makes_one_key_and_keeps_it_privately(store, tmp_path):
    data_dir = DataDir(tmp_path)
    table = KeyTable(Settings(), store)
    await table.load()
    text = await table.ensure_first_key(data_dir)
    assert data_dir.read_private("client.key") == text.reveal().encode()
    assert table.match(text.reveal()).name == "first-run"
    assert await table.ensure_first_key(data_dir) is None
    await table.revoke("first-run")
    again = KeyTable(Settings(), store)
    await again.load()
    assert await again.ensure_first_key(data_dir) is None, "a revoked key never brings a new one"


async def test_no_first_key_where_the_settings_have_one(table, tmp_path):
    data_dir = DataDir(tmp_path)
    assert await table.ensure_first_key(data_dir) is None
    assert data_dir.read_private("client.key") is None


# --- the management key


async def test_the_management_key_is_made_once_and_is_no_client_key(table, tmp_path):
    data_dir = DataDir(tmp_path)
    assert ManagementKey.read(data_dir) is None
    key = ManagementKey.ensure(data_dir)
    text = key.key.reveal()
    assert re.fullmatch(r"omrm_[A-Za-z0-9_-]{43}", text)
    assert ManagementKey.ensure(data_dir).match(text)
    assert ManagementKey.read(data_dir).match(text)
    assert table.match(text) is None
    _, client = await table.create("cursor")
    for other in (client.reveal(), LAPTOP, "", text[:-1], text + "x", "é"):
        assert not key.match(other)
    assert text not in repr(key)


@pytest.mark.parametrize("content", [b"", b"omrm_short", b"\xff\xfe", b"omr_aaaaaaaa_" + b"a" * 43])
def test_a_management_key_file_without_a_management_key_is_refused(tmp_path, content):
    data_dir = DataDir(tmp_path)
    data_dir.write_private("management.key", content)
    with pytest.raises(StoreError, match="holds no management key"):
        ManagementKey.ensure(data_dir)
    assert data_dir.read_private("management.key") == content
