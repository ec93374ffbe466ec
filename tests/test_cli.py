"""The command line as people and scripts meet it: exit codes, what goes to which stream, with and without a gateway."""

import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest

from omniroute.cli import main
from omniroute.cli.doctor import _sharing
from omniroute.cli.output import PLAIN, table
from omniroute.cli.root import COMMANDS, cli
from omniroute.sharing import Shared

POSIX = os.name == "posix"
SERVER = ("aiohttp", "cryptography", "httpx", "litestar", "msgspec", "sqlite3", "sqlite_utils", "structlog", "uvicorn")
WAIT_S = 60.0


def environment(home: Path, **more: str) -> dict[str, str]:
    """This one without anything of OmniRoute's, and with a home of its own."""
    kept = {
        name: value for name, value in os.environ.items() if "OMNIROUTE" not in name and not name.endswith("_API_KEY")
    }
    places = {name: str(home) for name in ("HOME", "USERPROFILE", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "APPDATA")}
    return {**kept, **places, "PYTHONUTF8": "1", **more}


def run(home: Path, *arguments: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """`omniroute …` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "omniroute", *arguments], env=environment(home, **more), cwd=home, input=stdin,
        capture_output=True, text=True, timeout=WAIT_S, check=False,
    )  # fmt: skip


def call(home: Path, *arguments: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """The same in this process, which is ten times as quick."""
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for name in ("stdout", "stderr")}
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            patch.delenv(name)
        for name, value in environment(home, **more).items():
            patch.setenv(name, value)
        patch.chdir(home)
        patch.setattr(sys, "stdin", io.StringIO(stdin))
        for name, stream in streams.items():
            patch.setattr(sys, name, stream)
        code = main(arguments)
    for stream in streams.values():
        stream.flush()
    out, said = (stream.buffer.getvalue().decode() for stream in streams.values())
    return subprocess.CompletedProcess(arguments, code, out, said)


class Gateway:
    """`omniroute serve`, from its line on stdout to its end."""

    def __init__(self, home: Path, *arguments: str, stderr: int = subprocess.PIPE, **more: str) -> None:
        self.home = home
        self.data = home / "data"
        self._said = ""
        self._more_said = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "omniroute", "serve", "--port", "0", "--data-dir", str(self.data), *arguments],
            env=environment(home, **more), cwd=home, stdout=subprocess.PIPE, stderr=stderr,
            stdin=subprocess.DEVNULL, text=True, encoding="utf-8",
        )  # fmt: skip
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), self.stop() or self.stderr

    def _listen(self) -> None:
        for line in self.process.stderr or ():
            with self._more_said:
                self._said += line
                self._more_said.notify_all()

    @property
    def stderr(self) -> str:
        """What it said so far, at least its banner."""
        with self._more_said:
            self._more_said.wait_for(
                lambda: "something wrong?" in self._said or self.process.poll() is not None, WAIT_S
            )
            return self._said

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return call(self.home, *arguments, "--data-dir", str(self.data), **more)

    def key(self, name: str = "client.key") -> str:
        return (self.data / name).read_text()

    def get(self, path: str, headers: Mapping[str, str] = {}) -> tuple[int, str]:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=WAIT_S)
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        body = response.read().decode()
        connection.close()
        return response.status, body

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(WAIT_S)
        self._listener.join(WAIT_S)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A first start with nothing configured. Tests leave it as they found it."""
    running = Gateway(tmp_path_factory.mktemp("home"), "--log-level", "debug", OPENAI_API_KEY="test-canary-environment")
    yield running
    running.stop()


@pytest.fixture
def offline(tmp_path):
    """Commands on a data directory no gateway uses: (exit code, stdout, stderr)."""

    def on_data(*arguments: str, **more: str) -> tuple[int, str, str]:
        done = call(tmp_path, *arguments, "--data-dir", str(tmp_path / "data"), **more)
        return done.returncode, done.stdout, done.stderr

    return on_data


# --- help -------------------------------------------------------------------------------------------------------------


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from commands(found, (*path, name))
        else:
            yield (*path, name), found


EVERY_COMMAND = [pytest.param(path, found, id=" ".join(path)) for path, found in commands()]


@pytest.mark.parametrize(
    "path", [(), *(path for path, _ in commands())], ids=lambda path: " ".join(path) or "omniroute"
)
def test_help_imports_nothing_of_the_server(path, tmp_path):
    program = "import sys; from omniroute.cli import main; code = main(sys.argv[1:]); print(*sys.modules, file=sys.stderr); sys.exit(code)"
    done = subprocess.run(
        [sys.executable, "-c", program, *path, "--help"], env=environment(tmp_path), capture_output=True, text=True,
        timeout=WAIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert set(done.stderr.split()) & {*SERVER, "asyncio", "omniroute.settings", "omniroute.contracts"} == set()
    assert "Usage: omniroute" in done.stdout


@pytest.mark.parametrize(("path", "found"), EVERY_COMMAND)
def test_every_command_takes_config_and_data_dir_and_ends_with_examples(path, found):
    options = {option for parameter in found.params for option in parameter.opts}
    assert {"--config", "--data-dir"} <= options
    assert f"omniroute {' '.join(path)}" in found.epilog


@pytest.mark.parametrize(("path", "found"), EVERY_COMMAND)
def test_no_credential_is_ever_an_argument(path, found):
    taking = [p for p in found.params if not getattr(p, "is_flag", False) and re.search("key|token|secret", p.name)]
    assert [p.name for p in taking] in ([], ["key_id"])  # other users of the machine can read arguments


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_of_commands_says_what_each_says_of_itself(name):
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    assert (found.help or "").startswith(COMMANDS[name][1])


def test_without_a_command_there_is_help(capsys):
    assert main([]) == 0
    assert "Commands:" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["key"], ["key", "nonsense"], ["key", "create"], ["serve", "--port", "x"], ["ask", "x"]]
)
def test_wrong_usage_exits_2_and_says_how(arguments, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Usage:" in captured.err or captured.err.startswith("error[usage]: ")


# --- the first start --------------------------------------------------------------------------------------------------


def test_stdout_has_one_line_with_the_base_url_and_it_answers(tmp_path):
    gateway = Gateway(tmp_path)
    status, _ = gateway.get("/healthz")
    gateway.process.terminate()
    assert gateway.process.stdout is not None
    assert (status, gateway.process.stdout.read(), gateway.stop()) == (200, "", 0)
    assert not (tmp_path / "data" / "runtime.json").exists()


def test_the_first_start_makes_a_key_that_asks_with_no_further_ado(gateway):
    answered = gateway.run("ask", "hello", "there", "-m", "demo/echo")
    assert (answered.returncode, answered.stdout.strip(), answered.stderr) == (0, "hello there", "")


@pytest.mark.skipif(not POSIX, reason="Windows has other permissions")
def test_what_is_secret_is_its_owners_alone(gateway):
    modes = {path.name: path.stat().st_mode & 0o777 for path in gateway.data.iterdir()}
    assert modes.keys() >= {"client.key", "management.key", "secret.key", "runtime.json", "omniroute.db"}
    assert set(modes.values()) == {0o600}
    assert gateway.data.stat().st_mode & 0o777 == 0o700


def test_a_key_is_not_written_where_it_might_be_kept(gateway):
    assert "client.key" in gateway.stderr
    assert gateway.key() not in gateway.stderr


@pytest.mark.skipif(not POSIX, reason="pseudo-terminals are POSIX")
def test_a_key_is_shown_on_a_terminal_the_first_time_only(tmp_path):
    import pty

    for expected in (True, False):
        ours, theirs = pty.openpty()
        gateway = Gateway(tmp_path, stderr=theirs)
        os.close(theirs)
        text = b""
        while b"something wrong?" not in text:
            text += os.read(ours, 4096)
        gateway.stop()
        os.close(ours)
        assert (gateway.key().encode() in text) is expected


def test_what_lies_around_is_named_and_not_used(gateway):
    assert "OPENAI_API_KEY" in gateway.stderr
    assert "omniroute import --data-dir" in gateway.stderr
    listed = json.loads(gateway.run("account", "list", "--json").stdout)
    assert [view["id"] for view in listed if view["credential"]] == []


def test_commands_that_the_banner_names_work_as_they_stand(gateway):
    [line] = [line for line in gateway.stderr.splitlines() if " ask " in line and "-m" in line]
    command = line[line.index("omniroute ask ") :].removeprefix("omniroute ")  # however omniroute was started
    assert run(gateway.home, *re.findall(r'"[^"]*"|\S+', command.replace('"', ""))).returncode == 0


# --- serve does not start ---------------------------------------------------------------------------------------------


def refused(home: Path, *arguments: str, **more: str) -> str:
    done = run(home, "serve", "--data-dir", str(home / "data"), *arguments, **more)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("error[") == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_port_in_use_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"error[port-in-use]: port {port} is taken" in refused(tmp_path, "--port", str(port))


def test_a_second_gateway_on_one_directory_is_refused(gateway):
    assert f"process {gateway.process.pid}" in refused(gateway.home, "--port", "0")


def test_wrong_settings_are_all_named_at_once(tmp_path):
    (tmp_path / "omniroute.toml").write_text("[server]\nprot = 1\n[combos.x]\nmodels = []\n")
    text = refused(tmp_path, "--port", "0")
    assert "omniroute.toml:2: server.prot" in text
    assert "did you mean" in text
    assert "combos.x" in text


@pytest.mark.parametrize(
    ("flags", "settings", "refusal"),
    [
        ((), "", "--insecure-http"),
        (("--insecure-http",), "[auth]\nrequire_client_key = false", "require_client_key"),
        (("--insecure-http",), "", None),
        ((), "[server]\ninsecure_http = true", None),
    ],
)
def test_beyond_loopback_a_key_and_a_yes_to_plain_http_are_needed(tmp_path, flags, settings, refusal):
    (tmp_path / "omniroute.toml").write_text(settings)
    if refusal is not None:
        assert refusal in refused(tmp_path, "--host", "0.0.0.0", "--port", "0", *flags)
    else:
        Gateway(tmp_path, "--host", "0.0.0.0", *flags).stop(signal.SIGKILL if POSIX else signal.SIGTERM)


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "data").write_text("a file")
    assert "error[store]" in refused(tmp_path, "--port", "0")


# --- keys and accounts, with a gateway and without --------------------------------------------------------------------


@pytest.fixture(params=["running", "offline"])
def anywhere(request, gateway, offline):
    """The same commands through `/api`, and on a directory nobody uses."""
    if request.param == "offline":
        return offline

    def through_api(*arguments: str) -> tuple[int, str, str]:
        done = gateway.run(*arguments)
        return done.returncode, done.stdout, done.stderr

    return through_api


def test_a_key_is_printed_once_listed_and_revoked(anywhere):
    code, key, said = anywhere("key", "create", "laptop")
    assert (code, key.startswith("omr_"), key.count("\n")) == (0, True, 1)
    assert key.strip() not in said
    listed = json.loads(anywhere("key", "list", "--json")[1])
    [view] = [view for view in listed if view["name"] == "laptop"]
    assert (view["state"], view["expires_at_s"]) == ("live", None)
    assert key.strip() not in json.dumps(listed)
    assert anywhere("key", "create", "laptop")[0] == 1
    assert anywhere("key", "revoke", view["id"])[0] == 0
    code, out, said = anywhere("key", "revoke", view["id"])
    assert (code, out) == (1, "")
    assert said.startswith("error[not_found]: ")
    assert "  fix: omniroute key list" in said


def test_a_key_made_while_the_gateway_runs_works_at_once_and_until_it_is_revoked(gateway):
    made = json.loads(gateway.run("key", "create", "short", "--expires-days", "1", "--json").stdout)
    assert made["expires_at_s"] is not None
    ask = ("ask", "hello", "-m", "demo/echo")
    assert gateway.run(*ask, OMNIROUTE_CLIENT_KEY=made["key"]).returncode == 0
    assert gateway.run("key", "revoke", "short").returncode == 0
    refused = gateway.run(*ask, OMNIROUTE_CLIENT_KEY=made["key"])
    assert (refused.returncode, refused.stdout) == (4, "")


def test_a_key_made_without_a_gateway_is_known_to_the_next_one(tmp_path):
    made = run(tmp_path, "key", "create", "early", "--data-dir", str(tmp_path / "data")).stdout.strip()
    gateway = Gateway(tmp_path)
    try:
        assert gateway.run("ask", "hello", "-m", "demo/echo", OMNIROUTE_CLIENT_KEY=made).returncode == 0
        assert not (gateway.data / "client.key").exists()  # there is a key already
    finally:
        gateway.stop()


def test_an_account_is_added_from_standard_input_and_never_shown(gateway):
    secret = "test-canary-account"
    added = gateway.run("account", "add", "openai", "--name", "work", "--api-key-stdin", stdin=f"{secret}\n")
    assert added.returncode == 0
    listed = gateway.run("account", "list")
    assert "openai/work" in listed.stdout
    as_json = gateway.run("account", "list", "--json")
    assert {"openai/gpt"} & {model["id"][:10] for model in json.loads(gateway.run("models", "list", "--json").stdout)}
    assert gateway.run("account", "rm", "openai/work").returncode == 0
    assert gateway.run("account", "rm", "openai/work").returncode == 1
    assert secret not in "".join(done.stdout + done.stderr for done in (added, listed, as_json))


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "says"),
    [
        (("add", "openai", "--api-key-stdin"), "", 2, "standard input holds no key"),
        (("add", "openai"), "", 1, "--api-key-stdin"),
        (("add", "opnai", "--api-key-stdin"), "test-key-1\n", 1, "closest: openai"),
        (("add", "openai", "--priority", "0"), "", 2, "priority"),
        (("rm", "nobody/at-all"), "", 1, "no account"),
    ],
)
def test_what_is_no_account_is_refused_with_the_way_out(gateway, arguments, stdin, code, says):
    done = gateway.run("account", *arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert "test-key-1" not in done.stderr


def test_an_account_added_without_a_gateway_is_sealed_in_the_database(tmp_path):
    place = ("--data-dir", str(tmp_path / "data"))
    assert (
        run(tmp_path, "account", "add", "openai", "--api-key-stdin", *place, stdin="test-canary-sealed").returncode == 0
    )
    assert all(b"test-canary-sealed" not in path.read_bytes() for path in (tmp_path / "data").iterdir())
    [view] = [
        view for view in json.loads(run(tmp_path, "account", "list", "--json", *place).stdout) if view["credential"]
    ]
    assert (view["id"], view["state"]) == ("openai/default", "usable")


# --- only with a gateway ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("ask", "hello", "-m", "demo/echo"), ("models", "list")])
def test_without_a_gateway_they_exit_7_and_say_how_to_start_one(offline, arguments):
    code, out, said = offline(*arguments)
    assert (code, out) == (7, "")
    assert said.startswith("error[not-running]: ")
    assert "omniroute serve" in said


def test_a_crashed_gateway_is_not_running(tmp_path, offline):
    gateway = Gateway(tmp_path)
    gateway.process.kill()
    gateway.stop()
    assert (tmp_path / "data" / "runtime.json").exists()
    assert offline("models", "list")[0] == 7
    assert offline("key", "list")[0] == 0


@pytest.mark.parametrize(
    ("model", "more", "code", "says"),
    [
        ("demo/ecko", {}, 1, "closest: demo/echo"),
        ("demo/echo", {"OMNIROUTE_CLIENT_KEY": "test-key-unknown"}, 4, "a client key is required"),
        ("demo/429", {}, 5, "error["),
        ("demo/truncate", {}, 5, "error["),
    ],
)
def test_a_question_that_fails_says_why_by_its_exit_code(gateway, model, more, code, says):
    done = gateway.run("ask", "hello", "-m", model, **more)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_question_may_come_from_standard_input(gateway):
    assert gateway.run("ask", "-m", "demo/echo", stdin="from a pipe").stdout.strip() == "from a pipe"
    assert gateway.run("ask", "say", "-", "-m", "demo/echo", stdin="this").stdout.strip() == "say this"
    assert gateway.run("ask", "-m", "demo/echo", stdin=" ").returncode == 2


def test_an_answer_as_json_is_one_event_a_line(gateway):
    lines = gateway.run("ask", "hello", "-m", "demo/echo", "--json").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    text = "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"])
    assert text == "hello"


@pytest.mark.skipif(not POSIX, reason="Ctrl-C cannot be sent to one process there")
def test_ctrl_c_leaves_a_question_with_130(gateway):
    process = subprocess.Popen(
        [sys.executable, "-m", "omniroute", "ask", "hello", "-m", "demo/slow", "--data-dir", str(gateway.data)],
        env=environment(gateway.home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.read(1)  # it has begun
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=WAIT_S)
    assert (process.returncode, said.strip()) == (130, "")


@pytest.mark.skipif(not POSIX, reason="pipes end otherwise there")
def test_a_reader_that_leaves_early_is_no_accident(gateway):
    done = subprocess.run(
        f"{sys.executable} -m omniroute models list --data-dir {gateway.data} | true",
        shell=True, env=environment(gateway.home), capture_output=True, text=True, timeout=WAIT_S, check=False,
    )  # fmt: skip
    assert done.stderr == ""


# --- settings, plugins, doctor ----------------------------------------------------------------------------------------


def test_good_settings_exit_0_and_change_nothing(offline, tmp_path):
    code, out, _ = offline("config", "check")
    assert (code, out) == (0, "the settings are good (no settings file; all defaults)\n")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("[server]\nport = 99999", "server.port"),
        ("[sever]", "did you mean 'server'?"),
        ('[aliases]\nfast = "nobody/x"', "no provider has the prefix 'nobody'"),
        ('[combos.a]\nmodels = ["demo/echo"]\nstrategy = "fil-first"', "fill-first"),
        (
            '[combos.a]\nmodels = [\n  "demo/echo",\n  "ecoh",\n]',
            "omniroute.toml:4: combos.a.models[1]: no model, combo or alias is known as 'ecoh'; did you mean 'echo'?",
        ),
        ('[[accounts]]\nprovider = "openi"', "openai"),
        ('[[auth.keys]]\nname = "a"\nkey = "short"', "at least 16"),
        ("[plugins.nonesuch]\nx = 1", "no installed plugin is called 'nonesuch'"),
        ('[server]\nhost = "0.0.0.0"', "unencrypted"),
        ("[server\n", "is not valid TOML"),
    ],
)
def test_bad_settings_exit_3_and_are_named(offline, tmp_path, text, finding):
    (tmp_path / "omniroute.toml").write_text(text)
    code, out, said = offline("config", "check")
    assert (code, out) == (3, "")
    assert said.startswith("error[settings]: ")
    assert finding in said
    code, out, _ = offline("config", "check", "--json")
    assert code == 3
    assert any(finding in one for one in json.loads(out)["findings"])


def test_other_commands_exit_3_with_bad_settings(offline, tmp_path):
    (tmp_path / "omniroute.toml").write_text("[sever]")
    code, out, said = offline("key", "list")
    assert (code, out) == (3, "")
    assert "omniroute config check" in said


def test_the_settings_are_shown_with_where_they_come_from(offline, tmp_path):
    (tmp_path / "omniroute.toml").write_text('[server]\nport = 1\n[[auth.keys]]\nname = "a"\nkey = "test-canary-key-1"')
    _, out, _ = offline("config", "show", "--effective", "--origin", "--json", OMNIROUTE_LIMITS__DRAIN_S="5")
    shown = json.loads(out)
    assert shown["server.port"] == {"value": 1, "origin": f"file {tmp_path / 'omniroute.toml'}"}
    assert shown["limits.drain_s"] == {"value": 5, "origin": "environment OMNIROUTE_LIMITS__DRAIN_S"}
    assert shown["server.host"] == {"value": "127.0.0.1", "origin": "default"}
    assert shown["data_dir"]["origin"] == "flag"
    assert "test-canary" not in out
    _, out, _ = offline("config", "show")
    assert "server.port" in out
    assert "server.host" not in out
    assert "test-canary" not in out


def test_plugins_are_listed_with_what_became_of_them(offline):
    _, out, _ = offline("plugin", "list", "--json", OMNIROUTE_PLUGINS="auth-apikey,provider-openai")
    states = {view["name"]: view["state"] for view in json.loads(out)}
    assert (states["auth-apikey"], states["provider-openai"], states["provider-demo"]) == (
        "loaded",
        "loaded",
        "disabled",
    )


def test_the_doctor_finds_nothing_wrong_with_a_running_gateway(gateway):
    done = gateway.run("doctor", "--json")
    checks = json.loads(done.stdout)
    assert (done.returncode, [check for check in checks if not check["ok"]]) == (0, [])
    assert {"settings", "plugins", "data directory", "secret file", "gateway", "accounts"} == {
        c["name"] for c in checks
    }


def test_the_doctor_before_the_first_start_makes_nothing(offline, tmp_path):
    code, out, _ = offline("doctor")
    assert code in {0, 6}  # the usual port may be taken here
    assert "does not exist yet" in out
    assert not (tmp_path / "data").exists()


@pytest.mark.skipif(not POSIX, reason="Windows has other permissions")
def test_the_doctor_names_what_is_wrong_and_the_cure(offline, tmp_path):
    assert offline("account", "add", "openai", "--api-key-stdin", stdin="test-key-1")[0] == 0
    (tmp_path / "data").chmod(0o755)
    (tmp_path / "omniroute.toml").write_text('[plugins]\ndisabled = ["provider-openai"]\n[server]\nport = 0')
    code, out, _ = offline("doctor")
    assert code == 6
    assert f"fix: chmod 700 {tmp_path / 'data'}" in out
    assert "openai/default: no installed plugin provides 'openai'" in out


@pytest.mark.parametrize(
    ("sharing", "expected"),
    [
        pytest.param(Shared(), [], id="alone"),
        pytest.param(Shared(on=True), [(True, "counts are shared")], id="shared"),
        pytest.param(
            Shared(on=True, failures=3),
            [(False, "the shared state cannot be asked, 3 times in a row")],
            id="failing",
        ),
    ],
)
def test_the_doctor_tells_whether_counts_reach_other_gateways(sharing, expected):
    assert [(check.ok, check.detail) for check in _sharing(sharing)] == expected


# --- output -----------------------------------------------------------------------------------------------------------


def test_errors_are_json_for_those_who_asked_for_json(offline):
    code, out, said = offline("models", "list", "--json")
    assert (code, out) == (7, "")
    assert json.loads(said)["error"].keys() == {"code", "message", "why", "fix"}


@pytest.mark.parametrize(
    ("more", "coloured"), [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)]
)
def test_colour_is_for_terminals_and_those_who_insist(gateway, more, coloured):
    assert ("\x1b[" in gateway.run("key", "revoke", "nobody", **more).stderr) is coloured


def test_what_strangers_named_cannot_drive_the_terminal():
    assert "\x1b" not in table(["name"], [["evil\x1b]0;title\x07"]]).partition("\n")[2]


def test_an_old_terminal_gets_plain_characters(tmp_path):
    done = run(tmp_path, "key", "list", "--data-dir", str(tmp_path / "data"), PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "✓ – …".translate(PLAIN).isascii()


# --- secrets and access on the wire -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/status", "/api/keys", "/api/accounts", "/api/config", "/api/schema"])
def test_a_client_key_never_reaches_management(gateway, path):
    assert gateway.get(path, {"authorization": f"Bearer {gateway.key()}"})[0] == 401
    assert gateway.get(path, {"authorization": f"Bearer {gateway.key('management.key')}"})[0] == 200


def test_the_management_key_is_no_client_key(gateway):
    assert gateway.get("/v1/models", {"authorization": f"Bearer {gateway.key('management.key')}"})[0] == 401
    assert gateway.get("/v1/models", {"authorization": f"Bearer {gateway.key()}"})[0] == 200


def test_different_keys_in_one_request_are_refused(gateway):
    both = {"authorization": f"Bearer {gateway.key()}", "x-api-key": "test-key-other"}
    assert gateway.get("/v1/models", both)[0] == 400
    assert gateway.get("/v1/models?key=test-key-other", {"authorization": f"Bearer {gateway.key()}"})[0] == 400
    assert gateway.get("/v1/models?key=" + gateway.key(), {"x-api-key": gateway.key()})[0] == 200


@pytest.mark.parametrize("key", [None, "omr_aaaaaaaa_unknown", "omrm_unknown", "sk-anything", "x" * 5000])
def test_every_bad_key_gets_the_same_answer(gateway, key):
    expected = gateway.get("/v1/models", {"authorization": "Bearer test-key-unknown"})
    assert expected[0] == 401
    assert gateway.get("/v1/models", {} if key is None else {"x-api-key": key}) == expected


def test_keyless_mode_asks_for_no_key_and_gives_no_management(tmp_path):
    (tmp_path / "omniroute.toml").write_text("[auth]\nrequire_client_key = false")
    gateway = Gateway(tmp_path)
    try:
        assert gateway.get("/v1/models")[0] == 200
        assert gateway.get("/v1/models", {"x-api-key": "a-placeholder"})[0] == 200
        assert gateway.get("/api/keys")[0] == 401
        assert gateway.get("/v1/models", {"host": "evil.example"})[0] == 421
        assert gateway.run("ask", "hello", "-m", "demo/echo").returncode == 0
        assert "No client key is required" in gateway.stderr
    finally:
        gateway.stop()


def test_no_secret_is_in_the_log_of_a_gateway_at_debug(gateway):
    gateway.run("account", "add", "openai", "--name", "canary", "--api-key-stdin", stdin="test-canary-logged\n")
    gateway.run("ask", "hello", "-m", "demo/echo", OMNIROUTE_CLIENT_KEY="test-canary-client-key")
    gateway.get("/v1/models?key=test-canary-query")
    gateway.get("/v1/models", {"authorization": "Bearer test-canary-bearer", "cookie": "a=test-canary-cookie"})
    gateway.run("account", "rm", "openai/canary")
    assert "test-canary" not in gateway.stderr
    assert gateway.key("management.key") not in gateway.stderr
