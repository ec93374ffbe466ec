from pathlib import Path
from types import SimpleNamespace

import pytest

from omniroute import __version__
from omniroute.api import ListedModel, LoginFile, LoginPlace, Probe, ProviderFacts, Secret
from omniroute.discovery import Found
from omniroute.firstrun import (
    Start,
    banner,
    clients_of,
    command_name,
    credentials_in,
    data_dir_option,
    earlier_data,
    logins_in,
)
from omniroute.importing import Machine


def found(name: str, port: int, *models: str, answers: bool = True) -> Found:
    origin = f"http://127.0.0.1:{port}"
    probe = Probe(name=name.lower(), url=f"{origin}/version", base_url=f"{origin}/v1", display_name=name)
    return Found(provider="local", probe=probe, answers=answers, models=models)


def start(**changes: object) -> Start:
    return Start(
        **{
            "url": "http://127.0.0.1:20128",
            "command": "omniroute",
            "configured": False,
            "requires_client_key": True,
            "key_file": Path("data/client.key"),
            "on_terminal": True,
            "clients": {"OpenAI": "/v1", "Anthropic": ""},
            **changes,
        }
    )


DEMO = ListedModel(id="demo/echo", provider="demo")
FIRST = f"""\
  omniroute {__version__} · listening on http://127.0.0.1:20128   (first start, nothing configured)

  Found on this machine
    ✓ Ollama 127.0.0.1:11434          2 models (qwen, llama)
    ✓ Acme CLI                        signed in on this machine
    ✓ ACME_API_KEY                    in your environment
    ✓ home/.omniroute                 an earlier OmniRoute's data
      not used until you say:         omniroute import   (shows a plan first)
    – vLLM 127.0.0.1:8000, LM Studio 127.0.0.1:1234  not running

  Ready now
    demo/echo
    local/qwen, local/llama

  Client key
    test-client-key-1
    also in data/client.key, for your clients

  Next
    ask                               omniroute ask "write fizzbuzz in python" -m local/qwen
    use more models                   omniroute account add PROVIDER --api-key-stdin
    connect OpenAI clients            base URL http://127.0.0.1:20128/v1, with the client key
    connect Anthropic clients         base URL http://127.0.0.1:20128, with the client key
    something wrong?                  omniroute doctor"""


def test_the_first_start_says_what_is_there_and_what_to_type_next():
    local = [ListedModel(id=f"local/{name}", provider="local") for name in ("qwen", "llama")]
    missing = found("vLLM", 8000, answers=False), found("LM Studio", 1234, answers=False)
    text = banner(
        start(
            new_key=Secret("test-client-key-1"),
            found=(found("Ollama", 11434, "qwen", "llama"), *missing),
            variables={"ACME_API_KEY": "acme"},
            logins=("Acme CLI",),
            earlier=Path("home/.omniroute"),
            models=(DEMO, *local),
        )
    )
    assert text == FIRST


def test_a_new_key_is_shown_on_a_terminal_only():
    text = banner(start(new_key=Secret("test-client-key-1"), on_terminal=False))
    assert "test-client-key-1" not in text
    assert "in data/client.key" in text


def test_commands_find_this_gateway_again():
    text = banner(
        start(
            command="uv run omniroute", options=data_dir_option(Path("my data")), models=(DEMO,), variables={"A": "a"}
        )
    )
    commands = [line for line in text.splitlines() if "uv run omniroute" in line]
    assert len(commands) == 4
    assert all("--data-dir 'my data'" in line for line in commands)


def test_a_configured_gateway_says_one_line():
    assert banner(start(configured=True, models=(DEMO,))) == (
        f"omniroute {__version__} · listening on http://127.0.0.1:20128 · 1 model"
    )


@pytest.mark.parametrize("configured", [True, False])
def test_keyless_mode_is_said_at_every_start(configured):
    text = banner(start(configured=configured, requires_client_key=False, new_key=Secret("test-client-key-1")))
    assert "No client key is required" in text
    assert "test-client-key-1" not in text


def test_long_lists_are_cut():
    assert "5 models (a, b, c, …)" in banner(start(found=(found("Ollama", 1, *"abcde"),)))


@pytest.mark.parametrize(
    ("environ", "argv0", "expected"),
    [
        ({}, "/usr/bin/omniroute", "omniroute"),
        ({"UV_RUN_RECURSION_DEPTH": "1"}, "/x/bin/omniroute", "uv run omniroute"),
        ({}, "/x/omniroute/__main__.py", "python -m omniroute"),
    ],
)
def test_the_command_is_called_as_it_was_called(environ, argv0, expected):
    assert command_name(environ, argv0) == expected


class Unreadable(dict):
    """An environment whose values nobody may look at."""

    def __getitem__(self, name):
        raise AssertionError("a value was read")

    get = __getitem__


def test_credentials_are_known_by_their_names_alone():
    facts = [
        ProviderFacts(name=name, dialect="test", base_url="https://x.example", auth=auth)
        for name, auth in (("acme", "api-key"), ("lab-one", "api-key"), ("free", "none"), ("absent", "api-key"))
    ]
    environ = Unreadable(LAB_ONE_API_KEY="x", ACME_API_KEY="y", FREE_API_KEY="z", OTHER_API_KEY="o")
    assert credentials_in(environ, facts) == {"ACME_API_KEY": "acme", "LAB_ONE_API_KEY": "lab-one"}


def test_programs_that_are_signed_in_are_known_by_their_files_which_nobody_opens(tmp_path):
    logins = [
        LoginFile(program=name, name=name, places=(LoginPlace(path=f".{name}/login.json"),), access=("a",))
        for name in ("here", "absent", "folder", "here")
    ]
    facts = [ProviderFacts(name="acme", dialect="test", base_url="https://x.example", logins=tuple(logins))]
    for name in ("here", "folder"):
        (tmp_path / f".{name}").mkdir()
    (tmp_path / ".here/login.json").touch(mode=0)
    (tmp_path / ".folder/login.json").mkdir()
    assert logins_in(Machine(home=tmp_path, environ={}, system="linux", now_s=0.0), facts) == ("here",)


def test_earlier_data_is_named_unless_it_is_what_we_use(tmp_path):
    assert earlier_data(tmp_path, tmp_path / "data") is None
    (tmp_path / ".omniroute").mkdir()
    assert earlier_data(tmp_path, tmp_path / "data") == tmp_path / ".omniroute"
    assert earlier_data(tmp_path, tmp_path / ".omniroute") is None


@pytest.mark.parametrize(
    ("said", "clients"),
    [
        pytest.param([("Acme", "/v2"), ("Acme", "/v2"), ("Other", "")], {"Acme": "/v2", "Other": ""}, id="each once"),
        pytest.param([("", "/v2")], {}, id="a dialect that names nobody"),
    ],
)
def test_translators_say_whose_clients_can_be_pointed_here(said, clients):
    assert clients_of([SimpleNamespace(clients=whose, client_root=root) for whose, root in said]) == clients
