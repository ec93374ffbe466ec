import os
import stat
import subprocess
import sys

import pytest
import structlog

from omniroute.datadir import DataDir, Runtime
from omniroute.errors import StoreError, StoreLocked

posix = pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def data_dir(tmp_path):
    data_dir = DataDir(tmp_path / "data")
    yield data_dir
    data_dir.unlock()


@posix
def test_the_directory_is_made_for_its_owner_alone(tmp_path):
    DataDir(tmp_path / "a" / "b")
    assert mode(tmp_path / "a" / "b") == 0o700


@posix
def test_the_mode_of_a_directory_that_was_there_is_left_alone(tmp_path):
    tmp_path.chmod(0o755)
    DataDir(tmp_path)
    assert mode(tmp_path) == 0o755


def test_a_path_that_cannot_be_a_directory_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used") as raised:
        DataDir(tmp_path / "file")
    assert "--data-dir" in raised.value.fix


def test_a_second_gateway_is_told_who_has_the_directory(data_dir):
    data_dir.lock()
    data_dir.lock()
    with pytest.raises(StoreLocked, match="another gateway") as raised:
        DataDir(data_dir.path).lock()
    assert str(os.getpid()) in raised.value.why


def test_an_unlocked_directory_can_be_taken(data_dir):
    data_dir.lock()
    data_dir.unlock()
    assert not data_dir.in_use()
    other = DataDir(data_dir.path)
    other.lock()
    assert data_dir.in_use()
    other.unlock()


HOLDER = """
import sys
from pathlib import Path
from omniroute.datadir import DataDir, Runtime
data_dir = DataDir(Path(sys.argv[1]))
data_dir.lock()
data_dir.write_runtime(Runtime(url="http://127.0.0.1:1", pid=1, started_at=2.0))
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_killed_gateway_leaves_neither_lock_nor_runtime(data_dir):
    command = [sys.executable, "-c", HOLDER, str(data_dir.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(StoreLocked) as raised:
            data_dir.lock()
        assert f"process {process.pid} " in raised.value.why
        assert data_dir.read_runtime() == Runtime(url="http://127.0.0.1:1", pid=1, started_at=2.0)
        process.kill()
        process.wait()
    assert data_dir.read_runtime() is None
    data_dir.lock()


def test_runtime_is_readable_while_the_gateway_runs(data_dir):
    runtime = Runtime(url="http://127.0.0.1:20128", pid=os.getpid(), started_at=1.5)
    data_dir.write_runtime(runtime)
    assert data_dir.read_runtime() is None, "nobody holds the lock"
    data_dir.lock()
    assert DataDir(data_dir.path).read_runtime() == runtime
    data_dir.write_private("runtime.json", b"\xff{")
    assert data_dir.read_runtime() is None
    data_dir.remove_runtime()
    data_dir.remove_runtime()
    assert not (data_dir.path / "runtime.json").exists()


def test_private_files_are_replaced_whole(data_dir):
    assert data_dir.read_private("secret.key") is None
    data_dir.write_private("secret.key", b"\x00\r\n\xff")
    data_dir.write_private("secret.key", b"second\n")
    assert data_dir.read_private("secret.key") == b"second\n"
    assert [path.name for path in data_dir.path.iterdir()] == ["secret.key"]


@posix
def test_private_files_are_for_their_owner_alone_whatever_the_umask(data_dir):
    before = os.umask(0)
    try:
        data_dir.write_private("secret.key", b"x")
    finally:
        os.umask(before)
    assert mode(data_dir.path / "secret.key") == 0o600


@posix
def test_a_secret_others_can_read_is_closed_to_them_with_a_warning(data_dir):
    data_dir.write_private("secret.key", b"x")
    (data_dir.path / "secret.key").chmod(0o644)
    with structlog.testing.capture_logs() as logs:
        assert data_dir.read_private("secret.key") == b"x"
    assert mode(data_dir.path / "secret.key") == 0o600
    assert [(entry["log_level"], entry["file"]) for entry in logs] == [("warning", str(data_dir.path / "secret.key"))]


def test_a_file_that_cannot_be_written_says_why_and_leaves_no_draft(data_dir):
    (data_dir.path / "secret.key").mkdir()
    with pytest.raises(StoreError, match=r"secret\.key cannot be written") as raised:
        data_dir.write_private("secret.key", b"x")
    assert raised.value.why
    assert [path.name for path in data_dir.path.iterdir()] == ["secret.key"]


def test_a_file_that_cannot_be_read_says_why(data_dir):
    (data_dir.path / "secret.key").mkdir()
    with pytest.raises(StoreError, match=r"secret\.key cannot be read") as raised:
        data_dir.read_private("secret.key")
    assert raised.value.why


def test_a_lock_file_that_cannot_be_opened_says_why(data_dir):
    (data_dir.path / "gateway.lock").mkdir()
    with pytest.raises(StoreError, match=r"gateway\.lock cannot be locked") as raised:
        data_dir.lock()
    assert raised.value.why
