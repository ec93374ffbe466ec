"""`omniroute translate` over every pair of installed dialects, from files and from standard input."""

import io
import itertools
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import msgspec
import pytest

from omniroute.api import Headers, ReasoningPart, TextPart, UpstreamError
from omniroute.cli import main
from omniroute.framing import FRAMINGS
from omniroute.plugins import load_plugins
from omniroute.settings import PluginSettings
from omniroute.streaming import Incoming, collect, explode
from omniroute.testing.check_translator.samples import ANSWERS, REQUESTS, view_parts, view_request
from omniroute.translating import chat_params

SPEAKERS = {each.dialect: each for _, each in load_plugins(PluginSettings()).collect("register_translators")}
UPSTREAMS = [dialect for dialect, each in SPEAKERS.items() if "chat" in each.operations]
CLIENTS_ONLY = [dialect for dialect in SPEAKERS if dialect not in UPSTREAMS]
WAIT_S = 60.0

pairs = pytest.mark.parametrize(("source", "target"), list(itertools.product(UPSTREAMS, UPSTREAMS)))


@pytest.fixture
def translate(tmp_path, monkeypatch, capfdbinary):
    """`omniroute translate …` in this process: exit code, stdout, stderr."""
    for name in [name for name in os.environ if name.startswith("OMNIROUTE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "USERPROFILE", "XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.setenv(name, str(tmp_path))

    def run(data: bytes, source: str, target: str, *options: str) -> SimpleNamespace:
        file = tmp_path / "input"
        file.write_bytes(data)
        code = main(["translate", "--from", source, "--to", target, *options, str(file)])
        captured = capfdbinary.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=captured.err.decode())

    return run


def written_request(dialect: str, name: str) -> bytes:
    return SPEAKERS[dialect].encode_request(REQUESTS[name]).body


def written_answer(dialect: str, name: str) -> bytes:
    return SPEAKERS[dialect].encode_response(ANSWERS[name], REQUESTS["a plain request"])


def written_stream(dialect: str, name: str) -> bytes:
    speaker = SPEAKERS[dialect]
    encoder, write = speaker.response_encoder(REQUESTS["a streaming request"]), FRAMINGS[speaker.framing].encode
    frames = [frame for event in explode(ANSWERS[name]) for frame in encoder.feed(event)]
    return b"".join(map(write, [*frames, *encoder.close()]))


def read_stream(dialect: str, data: bytes):
    incoming = Incoming(FRAMINGS[SPEAKERS[dialect].framing], SPEAKERS[dialect].response_decoder())
    return collect([*incoming.feed(data), *incoming.close()])


def said(answer):
    """What a reader of the answer sees; thinking apart, for not every dialect shows it."""
    return [view for view in view_parts(answer.parts) if view[0] != "reasoning"], answer.finish_reason


def test_two_dialects_at_least_are_installed():
    assert {"anthropic", "openai-chat"} <= SPEAKERS.keys()


# --- what it becomes --------------------------------------------------------------------------------------------------


@pairs
@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_becomes_one_of_the_other_dialect(translate, source, target, name):
    done = translate(written_request(source, name), source, target)
    assert (done.code, done.err) == (0, "")
    speaker = SPEAKERS[target]
    read = speaker.decode_request(done.out.rstrip(b"\n"), chat_params(speaker, "model"), Headers({}))
    keeps_its_name = "model" not in (chat_params(SPEAKERS[source], "x") | chat_params(speaker, "x"))
    expected = view_request(REQUESTS[name])
    if not keeps_its_name:
        expected = expected | {"model": "model", "stream": read.stream}
    assert view_request(read) == expected


@pairs
@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_becomes_one_of_the_other_dialect(translate, source, target, name):
    done = translate(written_answer(source, name), source, target, "--response")
    assert (done.code, done.err) == (0, "")
    assert said(SPEAKERS[target].decode_response(done.out)) == said(ANSWERS[name])


@pairs
@pytest.mark.parametrize("name", ANSWERS)
def test_a_stream_becomes_one_of_the_other_dialect(translate, source, target, name):
    done = translate(written_stream(source, name), source, target, "--stream")
    assert (done.code, done.err) == (0, "")
    assert said(read_stream(target, done.out)) == said(ANSWERS[name])


@pairs
def test_json_says_all_at_once(translate, source, target):
    shown = json.loads(translate(written_request(source, "a tool round"), source, target, "--json").out)
    assert {key: shown[key] for key in ("from", "to", "kind", "skipped_events")} == {
        "from": source, "to": target, "kind": "request", "skipped_events": 0,
    }  # fmt: skip
    plain = translate(written_request(source, "a tool round"), source, target).out
    assert shown["body"] == json.loads(plain)
    assert all(loss.keys() == {"pointer", "kind", "reason"} for loss in shown["losses"])
    stream = json.loads(translate(written_stream(source, "a text"), source, target, "--stream", "--json").out)
    assert stream["kind"] == "stream"
    assert said(read_stream(target, stream["body"].encode())) == said(ANSWERS["a text"])


@pairs
def test_a_stream_that_breaks_off_ends_in_the_error_a_client_gets(translate, source, target):
    whole = written_stream(source, "a text")
    cut = whole[: whole.index(b"\n\n", whole.index(b"there")) + 2]
    done = translate(cut, source, target, "--stream")
    assert done.code == 5
    assert done.err.startswith("error[stream_truncated]: ")
    with pytest.raises(UpstreamError, match="stream ended"):
        read_stream(target, done.out)


@pytest.mark.parametrize("dialect", CLIENTS_ONLY)
def test_a_dialect_of_clients_only_has_answers_to_write_and_none_to_read(translate, dialect):
    written = translate(written_answer("anthropic", "a text"), "anthropic", dialect, "--response", "--json", "--strict")
    assert (written.code, json.loads(written.out)["losses"]) == (0, None)
    assert (
        "cannot be told"
        in translate(written_stream("anthropic", "a text"), "anthropic", dialect, "--stream", "--loss").err
    )
    for data, source, target, *options in (
        (written.out, dialect, "anthropic", "--response"),
        (written.out, dialect, "anthropic", "--stream"),
        (written_request("anthropic", "a plain request"), "anthropic", dialect),
    ):
        refused = translate(data, source, target, *options)
        assert (refused.code, refused.out) == (2, b"")
        assert "no upstream" in refused.err


# --- losses -----------------------------------------------------------------------------------------------------------

LOSSY = b'{"model":"m","max_tokens":9,"top_k":5,"messages":[{"role":"user","content":"hi"}]}'


def test_a_loss_is_listed_with_its_pointer_kind_and_reason(translate):
    assert translate(LOSSY, "anthropic", "openai-chat").err == ""
    [line] = translate(LOSSY, "anthropic", "openai-chat", "--loss").err.splitlines()
    kind, pointer, reason = line.split(maxsplit=2)
    assert (kind, pointer) == ("dropped", "/top_k")
    assert "top_k" in reason
    assert translate(LOSSY, "anthropic", "anthropic", "--loss").err == "Nothing is lost.\n"


@pytest.mark.parametrize(("target", "code"), [("openai-chat", 6), ("anthropic", 0)])
def test_strict_exits_6_when_something_is_lost(translate, target, code):
    done = translate(LOSSY, "anthropic", target, "--strict")
    assert done.code == code
    assert ("/top_k" in done.err) is (code == 6)
    assert json.loads(done.out)["messages"]
    as_json = translate(LOSSY, "anthropic", target, "--strict", "--json")
    assert (as_json.code, bool(json.loads(as_json.out)["losses"])) == (code, code == 6)


def test_what_an_answer_loses_is_found_by_reading_it_back(translate):
    answer = msgspec.structs.replace(
        ANSWERS["a text"],
        parts=(
            ReasoningPart(text="hm", provider_metadata={"anthropic": {"signature": "c2lnbmVk"}}),
            TextPart(text="so"),
        ),
        stop_sequence="END",
    )
    body = SPEAKERS["anthropic"].encode_response(answer, REQUESTS["a plain request"])
    shown = json.loads(translate(body, "anthropic", "openai-chat", "--response", "--json").out)
    assert [loss["pointer"] for loss in shown["losses"] if loss["kind"] == "dropped"] == [
        "/parts/0/provider_metadata/anthropic/signature",
        "/stop_sequence",
    ]
    assert json.loads(translate(body, "anthropic", "anthropic", "--response", "--json").out)["losses"] == []


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", UPSTREAMS)
@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"plain text"], ids=repr)
@pytest.mark.parametrize("option", ["--strict", "--response", "--stream"])
def test_what_is_not_of_the_dialect_exits_2_and_says_so(translate, source, data, option):
    done = translate(data, source, "anthropic", option)
    assert (done.code, done.out) == (2, b"")
    assert done.err.startswith("error[")
    assert "fix: " in done.err
    assert "Traceback" not in done.err


def test_an_unknown_dialect_is_named_with_the_closest(translate):
    done = translate(LOSSY, "antropic", "openai-chat")
    assert done.code == 2
    assert "error[usage]: no installed translator speaks 'antropic'; did you mean 'anthropic'?" in done.err
    as_json = translate(LOSSY, "anthropic", "nonsense", "--json")
    assert (as_json.code, json.loads(as_json.err)["error"]["code"]) == (2, "usage")


def test_an_answer_is_no_stream(translate):
    assert translate(LOSSY, "anthropic", "anthropic", "--response", "--stream").code == 2


def test_a_file_that_is_not_there_exits_2(tmp_path, capsys):
    arguments = ["translate", "--from", "anthropic", "--to", "anthropic", str(tmp_path / "none")]
    assert main(arguments) == 2
    assert "none" in capsys.readouterr().err


def test_settings_that_are_wrong_exit_3(translate, tmp_path):
    (tmp_path / "omniroute.toml").write_text("[server]\nprot = 1\n")
    done = translate(LOSSY, "anthropic", "openai-chat")
    assert done.code == 3
    assert "server.prot" in done.err


# --- as a process -----------------------------------------------------------------------------------------------------


def process(tmp_path, *arguments, data=b""):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMNIROUTE_")}
    return subprocess.run(
        [sys.executable, "-m", "omniroute", "translate", *arguments], input=data, capture_output=True, cwd=tmp_path,
        env={**environment, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}, timeout=WAIT_S, check=False,
    )  # fmt: skip


def test_standard_input_and_bytes_as_they_are(tmp_path):
    data = written_stream("openai-chat", "a text")
    done = process(tmp_path, "--from", "openai-chat", "--to", "anthropic", "--stream", "-", data=data)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b"\n\n")
    assert b"\r" not in done.stdout
    assert said(read_stream("anthropic", done.stdout)) == said(ANSWERS["a text"])


def test_neither_a_gateway_nor_a_data_directory_is_needed(tmp_path):
    data = tmp_path / "data"
    done = process(tmp_path, "--from", "anthropic", "--to", "openai-chat", "--data-dir", str(data), "-", data=LOSSY)
    assert done.returncode == 0
    assert not data.exists()


def test_a_terminal_is_not_driven_by_what_is_in_the_file(translate, monkeypatch):
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self):
            return True

    shown = Terminal()
    monkeypatch.setattr(sys, "stdout", shown)
    body = LOSSY.replace(b'"hi"', '"\x9b31m \\u001b[2J hi"'.encode())
    assert translate(body, "anthropic", "openai-chat").code == 0
    assert "\x9b" not in shown.getvalue()
    assert "\x1b" not in shown.getvalue().replace("\x1b[0m", "")
    assert '  "messages": [' in shown.getvalue()
