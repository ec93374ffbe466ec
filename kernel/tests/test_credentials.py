import pytest

from omniroute.contracts import Credential
from omniroute.credentials import Vault, open_vault
from omniroute.credentials.vault_key import CANARY_KEY, CANARY_TABLE
from omniroute.datadir import DataDir
from omniroute.errors import CredentialLocked, StoreError
from omniroute.secret import Secret
from omniroute.store import SqliteStore

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
PLACE = "accounts|acme/work|credential"
CREDENTIAL = Credential(
    access=Secret("test-access-1"),
    refresh=Secret("test-refresh-1"),
    expires_at_s=1_800_000_000.5,
    metadata={"plan": "pro"},
)


@pytest.fixture
def data_dir(tmp_path):
    return DataDir(tmp_path / "data")


@pytest.fixture
async def store(data_dir):
    store = SqliteStore(data_dir.path / "omniroute.db")
    await store.open()
    yield store
    await store.close()


# --- sealing


@pytest.mark.parametrize("plaintext", [b"", b"\x00", b"test-key-1", b"x" * 10_000])
def test_what_was_sealed_opens_in_its_place(plaintext):
    vault = Vault(KEY)
    sealed = vault.seal(plaintext, PLACE)
    assert vault.unseal(sealed, PLACE) == plaintext
    assert len(plaintext) < 8 or plaintext not in sealed  # a byte or two may come up by chance
    assert Vault(KEY).unseal(sealed, PLACE) == plaintext, "another process"


def test_the_same_plaintext_never_looks_the_same_twice():
    vault = Vault(KEY)
    assert len({vault.seal(b"test-key-1", PLACE) for _ in range(100)}) == 100


@pytest.mark.parametrize("place", ["accounts|acme/home|credential", "accounts|acme/work|refresh", "", PLACE + "|"])
def test_a_ciphertext_moved_to_another_place_stays_locked(place):
    vault = Vault(KEY)
    with pytest.raises(CredentialLocked, match="cannot be decrypted") as raised:
        vault.unseal(vault.seal(b"test-key-1", PLACE), place)
    assert "copied from another place" in raised.value.why


def test_every_changed_byte_locks_it():
    vault = Vault(KEY)
    sealed = vault.seal(b"test-key-1", PLACE)
    for at in range(len(sealed)):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(CredentialLocked):
            vault.unseal(changed, PLACE)
    for length in range(len(sealed)):
        with pytest.raises(CredentialLocked):
            vault.unseal(sealed[:length], PLACE)


def test_another_key_is_named_in_the_error_and_no_key_is_shown():
    sealed = Vault(KEY).seal(b"test-key-1", PLACE)
    with pytest.raises(CredentialLocked) as raised:
        Vault(OTHER_KEY).unseal(sealed, PLACE)
    assert Vault(KEY).key_id in raised.value.why
    assert Vault(OTHER_KEY).key_id in raised.value.why
    shown = raised.value.text + repr(Vault(KEY))
    assert KEY.hex() not in shown
    assert OTHER_KEY.hex() not in shown


def test_a_key_of_the_wrong_length_is_no_key():
    with pytest.raises(ValueError, match="32 bytes, not 16"):
        Vault(bytes(16))


@pytest.mark.parametrize("credential", [CREDENTIAL, Credential(access=Secret("test-access-2"))])
def test_a_credential_survives_sealing_whole(credential):
    vault = Vault(KEY)
    sealed = vault.seal_credential(credential, PLACE)
    assert vault.unseal_credential(sealed, PLACE) == credential
    assert b"test-" not in sealed


@pytest.mark.parametrize("plaintext", [b"", b"test-access-1", b'{"access": 1}', b'{"access": "\xff"}'])
def test_sealed_bytes_that_are_no_credential_are_locked_and_not_quoted(plaintext):
    vault = Vault(KEY)
    with pytest.raises(CredentialLocked) as raised:
        vault.unseal_credential(vault.seal(plaintext, PLACE), PLACE)
    assert "test-access-1" not in raised.value.text
    assert raised.value.__cause__ is None


# --- the key


async def test_the_first_start_makes_a_key_and_later_ones_use_it(data_dir, store):
    first = await open_vault(data_dir, store)
    key = data_dir.read_private("secret.key")
    assert len(key) == 32
    sealed = first.seal(b"test-key-1", PLACE)
    again = await open_vault(data_dir, store)
    assert again.unseal(sealed, PLACE) == b"test-key-1"
    assert data_dir.read_private("secret.key") == key


async def test_a_missing_key_is_never_replaced_once_something_was_sealed(data_dir, store):
    await open_vault(data_dir, store)
    (data_dir.path / "secret.key").unlink()
    with pytest.raises(StoreError, match=r"secret\.key is missing") as raised:
        await open_vault(data_dir, store)
    assert "restore" in raised.value.fix
    assert data_dir.read_private("secret.key") is None


@pytest.mark.parametrize(
    ("key", "message"),
    [
        pytest.param(OTHER_KEY, "does not belong to the database", id="another key"),
        pytest.param(b"", "is damaged", id="empty"),
        pytest.param(bytes(33), "is damaged", id="too long"),
    ],
)
async def test_a_wrong_key_stops_the_start_and_is_left_alone(data_dir, store, key, message):
    await open_vault(data_dir, store)
    canary = await store.get(CANARY_TABLE, CANARY_KEY)
    data_dir.write_private("secret.key", key)
    with pytest.raises(StoreError, match=message):
        await open_vault(data_dir, store)
    assert data_dir.read_private("secret.key") == key
    assert await store.get(CANARY_TABLE, CANARY_KEY) == canary


async def test_a_start_that_died_between_key_and_canary_is_finished(data_dir, store):
    data_dir.write_private("secret.key", KEY)
    vault = await open_vault(data_dir, store)
    assert vault.key_id == Vault(KEY).key_id
    data_dir.write_private("secret.key", OTHER_KEY)
    with pytest.raises(StoreError, match="does not belong"):
        await open_vault(data_dir, store)
