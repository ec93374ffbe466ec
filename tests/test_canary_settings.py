"""Settings that are refused, with a credential in the wrong place: whatever is said about them, the credential is not."""

import os
import secrets
from collections.abc import Iterator

import pytest

from omniroute import logs
from omniroute.cli import main

MISTAKES = {
    "unknown key": '[[accounts]]\nprovider = "openai"\napi_kye = "{key}"',
    "wrong type": '[[accounts]]\nprovider = "openai"\napi_key = ["{key}"]',
    "a table": '[[accounts]]\nprovider = "openai"\napi_key = {{ value = "{key}" }}',
    "unknown provider": '[[accounts]]\nprovider = "opneai"\napi_key = "{key}"',
    "account twice": '[[accounts]]\nprovider = "openai"\napi_key = "{key}"\n[[accounts]]\nprovider = "openai"\napi_key = "{key}"',
    "client key twice": '[[auth.keys]]\nname = "a"\nkey = "{key}"\n[[auth.keys]]\nname = "b"\nkey = "{key}"',
    "client key too short": '[[auth.keys]]\nname = "a"\nkey = "{end}"',
    "management key as client key": '[[auth.keys]]\nname = "a"\nkey = "omrm_{key}{key}"',
    "key as a name": '[auth]\nkeys = ["{key}"]',
    "no TOML": '[[accounts]]\nprovider = "openai"\napi_key = "{key}',
    "no quotes": '[[accounts]]\nprovider = "openai"\napi_key = {key}',
    "in a URL": '[providers.x]\ndialect = "openai-chat"\nbase_url = "http://user:{key}@127.0.0.1/v1"',
    "in a query": '[providers.x]\ndialect = "openai-chat"\nbase_url = "http://127.0.0.1/v1?key={key}"',
    "headers that are none": '[providers.x]\ndialect = "openai-chat"\nbase_url = "http://127.0.0.1/v1"\nheaders = "{key}"',
    "bad reference": '[[accounts]]\nprovider = "openai"\napi_key = "{key}${{env:}}"',
    "missing variable": '[[accounts]]\nprovider = "openai"\napi_key = "{key}${{env:NO_SUCH_VARIABLE}}"',
    "option of a plugin": '[plugins.telemetry-sqlite]\napi_key = "{key}"',
}
VARIABLES = {
    "unknown section": "OMNIROUTE_ACOUNTS__API_KEY",
    "unknown setting": "OMNIROUTE_SERVER__API_KEY",
    "wrong type": "OMNIROUTE_LIMITS__DRAIN_S",
    "a list that is none": "OMNIROUTE_AUTH__KEYS",
}
COMMANDS = ("config check", "config show --effective --origin --json", "doctor", "doctor --json", "serve --port 0")


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "omniroute.toml").touch()
    for name in os.environ:
        if name.startswith("OMNIROUTE_"):
            monkeypatch.delenv(name)
    yield
    logs.reset()


def outcomes(capfd) -> tuple[dict[str, int], str]:
    codes = {
        command: main([*command.split(), "--config", "omniroute.toml", "--data-dir", "data"]) for command in COMMANDS
    }
    captured = capfd.readouterr()
    return codes, captured.out + captured.err


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_refused_settings_file_is_not_quoted(tmp_path, capfd, mistake):
    end = secrets.token_hex(7)
    (tmp_path / "omniroute.toml").write_text(MISTAKES[mistake].format(key=f"canary-{end}", end=end))
    codes, said = outcomes(capfd)
    assert codes["serve --port 0"] == 2
    assert end not in said


@pytest.mark.parametrize("mistake", VARIABLES)
def test_a_refused_variable_is_not_quoted(monkeypatch, capfd, mistake):
    end = secrets.token_hex(7)
    monkeypatch.setenv(VARIABLES[mistake], f"canary-{end}")
    codes, said = outcomes(capfd)
    assert codes["serve --port 0"] == 2
    assert VARIABLES[mistake] in said
    assert end not in said
