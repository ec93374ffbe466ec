import base64
import sys
import types

import pytest

from omniroute.accounts import Accounts
from omniroute.contracts import Credential, ProviderFacts
from omniroute.credentials import Vault, VaultKey
from omniroute.datadir import DataDir
from omniroute.errors import StoreError
from omniroute.provider import FactsProvider
from omniroute.secret import Secret
from omniroute.settings import Settings
from omniroute.store import SqliteStore

PROVIDERS = {"acme": FactsProvider(ProviderFacts(name="acme", dialect="x", base_url="https://acme.example/v1"))}
CREDENTIAL = Credential(
    access=Secret("test-access"), refresh=Secret("test-refresh"), secrets={"grant": Secret("test-grant")}
)
PROXY = Secret("http://u:test-password@127.0.0.1:3128")


class Killed(Exception):
    """The process died here."""


class Directory:
    """A data directory with accounts in it, opened and closed as processes do."""

    def __init__(self, path, kind="file"):
        self.data_dir = DataDir(path)
        self.kind = kind
        self.store = SqliteStore(path / "omniroute.db")

    async def __aenter__(self):
        await self.store.open()
        self.key = VaultKey(self.data_dir, self.store, self.kind)
        self.vault = await self.key.open()
        self.accounts = Accounts(PROVIDERS, Settings(), self.store, self.vault)
        await self.accounts.load()
        await self.key.finish(self.vault, self.accounts.reseal)
        return self

    async def __aexit__(self, *_):
        await self.store.close()

    @property
    def files(self):
        return sorted(path.name for path in self.data_dir.path.glob("secret.key*"))


@pytest.fixture
async def filled(tmp_path):
    async with Directory(tmp_path) as opened:
        for name in "abc":
            await opened.accounts.add("acme", name, CREDENTIAL, proxy=PROXY)
        await opened.accounts.write_tokens("acme/a", CREDENTIAL, opened.accounts.login("acme/a"), None)
    return tmp_path


def everything_opens(opened):
    assert not opened.accounts.locked
    for account in opened.accounts.all():
        assert (account.credential, account.proxy) == (CREDENTIAL, PROXY)
    return True


async def test_a_rotation_leaves_nothing_under_the_old_key(filled):
    async with Directory(filled) as opened:
        old = opened.vault.key_id
        await opened.key.rotate(opened.vault, opened.accounts.reseal)
        assert opened.vault.key_id != old
        assert not opened.vault.is_turning
        assert opened.files == ["secret.key"]
        assert everything_opens(opened)
    async with Directory(filled) as opened:
        assert everything_opens(opened)
        await opened.accounts.add("acme", "d", CREDENTIAL, proxy=PROXY)


class Dying:
    """Counts the steps of a rotation and dies at one of them."""

    def __init__(self, at):
        self.left = at

    def step(self, work):
        async def dying(*arguments, **named):
            self._die()
            return await work(*arguments, **named)

        return dying

    def sync_step(self, work):
        def dying(*arguments, **named):
            self._die()
            return work(*arguments, **named)

        return dying

    def _die(self):
        if self.left == 0:
            raise Killed
        self.left -= 1


STEPS = 8  # the new key, three rows, the canary, the key, the draft gone, one beyond


@pytest.mark.parametrize("at", range(STEPS))
async def test_a_rotation_cut_short_anywhere_is_gone_through_with_at_the_next_start(filled, at):
    async with Directory(filled) as opened:
        dying = Dying(at)
        opened.store.put = dying.step(opened.store.put)
        opened.data_dir.write_private = dying.sync_step(opened.data_dir.write_private)
        opened.data_dir.remove_private = dying.sync_step(opened.data_dir.remove_private)
        finished = False
        try:
            await opened.key.rotate(opened.vault, opened.accounts.reseal)
            finished = True
        except Killed:
            pass
        assert finished == (at >= STEPS - 1), "the steps are as many as this test thinks"
    async with Directory(filled) as opened:
        assert everything_opens(opened)
        assert opened.files == ["secret.key"]
        assert not opened.vault.is_turning


async def test_a_new_key_beside_a_damaged_old_one_stops_the_start(filled):
    (filled / "secret.key.next").write_bytes(b"short")
    with pytest.raises(StoreError, match="damaged"):
        async with Directory(filled):
            pass


async def test_the_wrong_key_stops_the_start(filled):
    (filled / "secret.key").write_bytes(bytes(32))
    with pytest.raises(StoreError, match="does not belong to the database"):
        async with Directory(filled):
            pass


# --- the operating system's keyring


class FakeKeyring(types.ModuleType):
    """As the library behaves, with a dictionary for a system."""

    def __init__(self):
        super().__init__("keyring")
        self.entries = {}
        self.is_locked = False

    def get_password(self, service, user):
        if self.is_locked:
            raise RuntimeError("locked")
        return self.entries.get((service, user))

    def set_password(self, service, user, password):
        self.entries[service, user] = password

    def delete_password(self, service, user):
        del self.entries[service, user]


@pytest.fixture
def keyring(monkeypatch):
    library = FakeKeyring()
    monkeypatch.setitem(sys.modules, "keyring", library)
    return library


async def test_a_key_in_the_keyring_leaves_no_file(tmp_path, keyring):
    async with Directory(tmp_path, "keyring") as opened:
        await opened.accounts.add("acme", "a", CREDENTIAL, proxy=PROXY)
        assert opened.files == []
    ((service, user), text) = next(iter(keyring.entries.items()))
    assert (service, user) == ("omniroute", str(tmp_path.resolve()))
    assert len(base64.b64decode(text)) == 32
    async with Directory(tmp_path, "keyring") as opened:
        assert everything_opens(opened)


async def test_a_rotation_moves_the_key_from_the_file_to_the_keyring(filled, keyring):
    async with Directory(filled, "keyring") as opened:
        assert everything_opens(opened), "the file is still read"
        await opened.key.rotate(opened.vault, opened.accounts.reseal)
        assert opened.files == []
        assert len(keyring.entries) == 1
    async with Directory(filled, "keyring") as opened:
        assert everything_opens(opened)


async def test_a_keyring_that_lost_the_key_stops_the_start_and_makes_no_other(tmp_path, keyring):
    async with Directory(tmp_path, "keyring"):
        pass
    keyring.entries.clear()
    with pytest.raises(StoreError, match="is missing"):
        async with Directory(tmp_path, "keyring"):
            pass
    assert keyring.entries == {}


async def test_a_keyring_that_is_locked_or_holds_something_else_says_so(tmp_path, keyring):
    keyring.is_locked = True
    with pytest.raises(StoreError, match="does not answer") as raised:
        async with Directory(tmp_path, "keyring"):
            pass
    assert 'key = "file"' in raised.value.fix
    keyring.is_locked = False
    keyring.entries["omniroute", str(tmp_path.resolve())] = "no base64!"
    with pytest.raises(StoreError, match="is no key"):
        async with Directory(tmp_path, "keyring"):
            pass


async def test_without_the_library_the_start_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(StoreError, match="needs the library keyring") as raised:
        async with Directory(tmp_path, "keyring"):
            pass
    assert "pip install keyring" in raised.value.fix


def test_a_vault_opens_what_its_other_keys_sealed_until_it_forgets_them():
    old, new = bytes(32), bytes(range(32))
    sealed = Vault(old).seal(b"x", "place")
    vault = Vault(new, old)
    assert vault.unseal(sealed, "place") == b"x"
    assert vault.reseal(sealed, "place") != sealed
    assert vault.is_current(vault.reseal(sealed, "place"))
    vault.forget_others()
    with pytest.raises(Exception, match="cannot be decrypted"):
        vault.unseal(sealed, "place")
