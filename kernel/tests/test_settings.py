import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from omniroute.contracts import ProviderFacts
from omniroute.errors import SettingsError
from omniroute.secret import Secret
from omniroute.settings import (
    AccountSettings,
    ClientKeySettings,
    ProviderSettings,
    Settings,
    default_data_dir,
    effective,
    load,
)
from omniroute.settings.checking import keys_of
from omniroute.settings.paths import dotted
from omniroute.settings.toml_lines import key_lines

CANARY = "canary-7c1f"


class Home:
    """A working directory and a configuration directory with nothing in them but what a test writes."""

    def __init__(self, root: Path) -> None:
        self.cwd = root / "project"
        self.config_dir = root / "config"
        self.cwd.mkdir()
        self.config_dir.mkdir()
        self.local = self.cwd / "omniroute.toml"
        self.personal = self.config_dir / "omniroute.toml"

    def load(self, text: str | None = None, **layers):
        if text is not None:
            self.local.write_text(text, encoding="utf-8")
        layers.setdefault("environ", {})
        return load(cwd=self.cwd, config_dir=self.config_dir, **layers)

    def findings(self, text: str | None = None, **layers) -> list[str]:
        with pytest.raises(SettingsError) as caught:
            self.load(text, **layers)
        return list(caught.value.findings)


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def at(settings: Settings, path: str):
    value = settings
    for step in path.split("."):
        value = value[step] if isinstance(value, dict) else getattr(value, step)
    return value


# --- layers -----------------------------------------------------------------------------------------------------------


def test_without_files_everything_has_its_default(home):
    loaded = home.load()
    assert msgspec.structs.replace(loaded.settings, data_dir=Path()) == Settings()
    assert loaded.files == ()
    assert loaded.settings.data_dir == default_data_dir()
    assert {row.origin for row in effective(loaded)} == {"default"}


def test_each_layer_covers_the_ones_below_it_key_by_key(home):
    home.personal.write_text("[limits]\nmax_body_bytes = 2\nmax_json_depth = 2\ndrain_s = 2\n")
    home.local.write_text("[limits]\nmax_json_depth = 3\ndrain_s = 3\n[routing]\nmax_attempts = 3\n")
    loaded = home.load(
        database={"limits.max_body_bytes": 1, "limits.max_json_depth": 1, "server.port": 1, "routing.max_attempts": 1},
        environ={"OMNIROUTE_LIMITS__DRAIN_S": "4", "OMNIROUTE_ROUTING__MAX_ATTEMPTS": "4"},
        overrides={"routing.max_attempts": 5, "server.host": None},
    )
    expected = {
        "server.port": (1, "database"),
        "limits.max_body_bytes": (2, f"file {home.personal}"),
        "limits.max_json_depth": (3, f"file {home.local}"),
        "limits.drain_s": (4, "environment OMNIROUTE_LIMITS__DRAIN_S"),
        "routing.max_attempts": (5, "flag"),
        "server.host": ("127.0.0.1", "default"),
    }
    assert {key: (at(loaded.settings, key), loaded.origin(key)) for key in expected} == expected
    assert loaded.files == (home.personal, home.local)


def test_tables_of_two_files_are_merged_and_arrays_are_replaced(home):
    home.personal.write_text(
        '[aliases]\nfast = "a/1"\nslow = "a/2"\n[[accounts]]\nprovider = "x"\n[[accounts]]\nprovider = "y"\n'
    )
    loaded = home.load('[aliases]\nfast = "b/1"\n[[accounts]]\nprovider = "z"\n')
    assert loaded.settings.aliases == {"fast": "b/1", "slow": "a/2"}
    assert loaded.settings.accounts == (AccountSettings(provider="z"),)
    assert "accounts[0].provider" in loaded.origins
    assert "accounts[1].provider" not in loaded.origins


@pytest.mark.parametrize("way", ["flag", "variable"])
def test_a_named_file_is_read_alone(home, way):
    home.local.write_text("[server]\nport = 1\n")
    other = home.cwd / "other.toml"
    other.write_text('[server]\nhost = "::1"\n')
    layers = {"config": Path("other.toml")} if way == "flag" else {"environ": {"OMNIROUTE_CONFIG": "other.toml"}}
    loaded = home.load(**layers)
    assert (loaded.settings.server.host, loaded.settings.server.port) == ("::1", 20128)
    assert loaded.files == (other,)


@pytest.mark.parametrize(
    ("layers", "expected", "origin"),
    [
        pytest.param({"data_dir": Path("d"), "environ": {"OMNIROUTE_DATA_DIR": "o"}}, "d", "flag", id="flag"),
        pytest.param(
            {"environ": {"OMNIROUTE_DATA_DIR": "o", "DATA_DIR": "n"}}, "o", "environment OMNIROUTE_DATA_DIR", id="ours"
        ),
        pytest.param({"environ": {"OMNIROUTE_DATA_DIR": "", "DATA_DIR": "n"}}, "n", "environment DATA_DIR", id="both"),
    ],
)
def test_the_data_directory_comes_from_the_flag_then_the_environment(home, layers, expected, origin):
    loaded = home.load(**layers)
    assert loaded.settings.data_dir == home.cwd / expected
    assert effective(loaded)[-1].origin == origin


def test_a_file_saved_by_a_windows_editor_is_read(home):
    home.local.write_bytes(b"\xef\xbb\xbf[server]\r\nport = 1\r\n")
    assert home.load().settings.server.port == 1


# --- the file ---------------------------------------------------------------------------------------------------------


def test_further_keys_of_a_combo_are_options_and_tables_below_plugins_are_sections(home):
    settings = home.load(
        '[combos.c]\nmodels = ["a/b"]\nstrategy = "round-robin"\nlabel = "C"\nsticky = 3\nnested = {a = [1]}\n'
        '[plugins]\ndisabled = ["p"]\n[plugins.telemetry-x]\nurl = "u"\n[plugins.telemetry-x.inner]\nn = 1\n'
    ).settings
    assert settings.combos["c"].options == {"sticky": 3, "nested": {"a": [1]}}
    assert settings.combos["c"].label == "C"
    assert settings.plugins.disabled == ("p",)
    assert settings.plugin_sections == {"telemetry-x": {"url": "u", "inner": {"n": 1}}}


def test_every_fact_of_a_provider_can_be_overridden_but_what_only_its_plugin_can_know():
    only_the_plugins = {"name", "auth_also", "drills", "env_keys", "imitators", "logins", "oauth", "own_clients"}
    facts = set(ProviderFacts.__struct_fields__) - only_the_plugins
    own = {"api_key", "oauth_client_id", "oauth_client_secret", "oauth_redirect_url"}
    assert keys_of(ProviderSettings).keys() == facts | own


FINDINGS = [
    pytest.param("[servr]\nport = 1", "1: servr: no such key; did you mean 'server'?", id="unknown section"),
    pytest.param("\n[server]\nhst = 1", "3: server.hst: no such key; did you mean 'host'?", id="unknown key"),
    pytest.param("[server]\nport = 99999", "2: server.port: expected `int` <= 65535", id="range"),
    pytest.param('[server]\nport = "x"', "2: server.port: expected `int`, got `str`", id="type"),
    pytest.param("[server]\nport = true", "2: server.port: expected `int`, got `bool`", id="a bool is no number"),
    pytest.param("server = 1", "1: server: expected a table", id="no table"),
    pytest.param("[timeouts]\nidle_s = -1", "2: timeouts.idle_s: expected `float` >= 0.0", id="negative"),
    pytest.param("[timeouts]\nidle_s = nan", "2: timeouts.idle_s: expected `float` >= 0.0", id="nan"),
    pytest.param("[timeouts]\nidle_s = inf", "2: timeouts.idle_s: expected `float` <= 31536000.0", id="endless"),
    pytest.param('[accounts]\nprovider = "x"', "1: accounts: expected an array of tables", id="one bracket"),
    pytest.param('[[accounts]]\nname = "x"', "1: accounts[0]: needs provider", id="missing"),
    pytest.param(
        '[[accounts]]\nprovider = "x"\n\n[[accounts]]\nprovider = "y"\nprioritty = 1',
        "6: accounts[1].prioritty: no such key; did you mean 'priority'?",
        id="in the second of an array",
    ),
    pytest.param(
        '[[accounts]]\nprovider = "x"\nname = "a/b"',
        "3: accounts[0].name: must be one line without a slash",
        id="slash",
    ),
    pytest.param(
        '[plugins]\ntrust = "instaled"',
        "2: plugins.trust: 'instaled' is none of installed, allowed; did you mean 'installed'?",
        id="choice",
    ),
    pytest.param(
        '[plugins]\ndisabeld = ["x"]', "2: plugins.disabeld: no such key; did you mean 'disabled'?", id="no section"
    ),
    pytest.param(
        '[plugins.allowed]\nacme = "md5:0"',
        "2: plugins.allowed.acme: must be 'sha256:' and 64 hexadecimal digits",
        id="hash",
    ),
    pytest.param("[combos.c]\nlabel = 'x'", "1: combos.c: needs models", id="combo without models"),
    pytest.param("[combos.c]\nmodels = []", "2: combos.c.models: expected `array` of length >= 1", id="empty combo"),
    pytest.param(
        "[combos.c]\nmodels = [\n  'a/b',\n  1,\n]", "4: combos.c.models[1]: expected `str`, got `int`", id="element"
    ),
    pytest.param(
        "[combos.'my combo']\nmodels = ['a/b']", '1: combos."my combo": a combo\'s name is 1 to 100', id="combo name"
    ),
    pytest.param(
        f"[combos.{'x' * 101}]\nmodels = ['a/b']", f"1: combos.{'x' * 101}: a combo's name is", id="long combo name"
    ),
    pytest.param("[providers.'a/b']\ntier = 'free'", '1: providers."a/b": a provider\'s name', id="provider name"),
    pytest.param("[providers.p]\ndrops = ['temp']", "2: providers.p.drops[0]: 'temp' is none of", id="sampling field"),
    pytest.param("[providers.p.timeouts]\nidle = 1", "2: providers.p.timeouts.idle: no such key", id="nested table"),
    pytest.param("[providers.p]\nbase_url = 'ftp://x'", "2: providers.p.base_url: this base URL", id="base URL"),
    pytest.param(
        "[[accounts]]\nprovider = 'p'\nbase_url = 'http://a:b@x/v1'",
        "3: accounts[0].base_url: this base URL cannot be used",
        id="credential in a URL",
    ),
    pytest.param("[auth.keys]\nname = 'x'", "1: auth.keys: expected an array of tables", id="keys as a table"),
    pytest.param(
        "[[auth.keys]]\nname = 'n'\nkey = ''", "3: auth.keys[0].key: is empty", id="a key everybody could guess"
    ),
    pytest.param("[[accounts]]\nprovider = 'p'\napi_key = 'k '", "3: accounts[0].api_key: holds a line br", id="space"),
    pytest.param("[providers.p.headers]\na = 'b\u00e9'", "2: providers.p.headers.a: holds a line br", id="no ASCII"),
    pytest.param("[[auth.keys]]\nname = 'n'\nkey = 1", "3: auth.keys[0].key: expected a string", id="key of digits"),
    pytest.param(
        "[server]\nhost = '0.0.0.0'\n[auth]\nrequire_client_key = false",
        "4: auth.require_client_key: false is refused beyond loopback, and server.host is '0.0.0.0'",
        id="keyless beyond loopback",
    ),
    pytest.param(
        "[[accounts]]\nprovider = 'p'\n[[accounts]]\nprovider = 'p'",
        "3: accounts[1]: accounts[0] is called 'default' too, at provider 'p'",
        id="two accounts of one name",
    ),
    pytest.param(
        "[providers.p]\napi_key = 'test-key-1'\n[[accounts]]\nprovider = 'p'",
        "3: accounts[0]: [providers.p] api_key makes an account of this name already",
        id="an account twice",
    ),
    pytest.param("data_dir = 'x'", "1: data_dir: no such key", id="what only flags and variables set"),
    pytest.param("plugin_sections = {}", "1: plugin_sections: no such key", id="the loader's own field"),
    pytest.param(
        "[combos.c]\nmodels = '${env:NONE}'", "2: combos.c.models: the environment variable NONE is", id="unset"
    ),
    pytest.param("[server]\nhost = '${HOME}'", "2: server.host: '${HOME}' is no reference; write ${env:NAME}", id="$"),
    pytest.param("[server]\nhost = '${env:A'", "2: server.host: '${env:A' is no reference", id="half a reference"),
    pytest.param("[server", " is not valid TOML: ", id="syntax"),
    pytest.param("[server]\nport = 1\nport = 2", " is not valid TOML: ", id="twice"),
]


@pytest.mark.parametrize(("text", "expected"), FINDINGS)
def test_a_mistake_is_found_with_its_line_its_name_and_a_way_out(home, text, expected):
    [finding] = home.findings(text)
    assert finding.startswith("omniroute.toml:")
    assert finding.removeprefix("omniroute.toml:").startswith(expected)


def test_all_mistakes_of_all_layers_are_reported_at_once(home):
    home.personal.write_text("[limits]\nmax_json_depth = 0\n")
    findings = home.findings(
        "[servr]\n[server]\nhost = '0.0.0.0'\nport = '${env:NONE}'\n[auth]\nrequire_client_key = false\n"
        "[[auth.keys]]\nname = 'a'\nkey = 'test-key-1'\n[[auth.keys]]\nname = 'a'\nkey = 'test-key-2'\nkex = 1\n",
        environ={"OMNIROUTE_SERVR__PORT": "1", "OMNIROUTE_TIMEOUTS__IDLE_S": "soon"},
        database={"routing.max_attempts": 0},
        overrides={"server.port": "x"},
    )
    places = [finding.split(": ")[0].replace(str(home.config_dir), "~") for finding in findings]
    assert sorted(places) == sorted(
        [
            "~/omniroute.toml:2".replace("/", "\\" if sys.platform == "win32" else "/"),
            "omniroute.toml:1",
            "omniroute.toml:6",
            "omniroute.toml:13",
            "environment OMNIROUTE_SERVR__PORT",
            "environment OMNIROUTE_TIMEOUTS__IDLE_S",
            "database",
            "flag",
        ]
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_keyless_is_allowed_on_loopback(home, host):
    settings = home.load(f"[server]\nhost = '{host}'\n[auth]\nrequire_client_key = false\n").settings
    assert settings.auth.require_client_key is False


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.168.1.2", "gateway.example"])
def test_keyless_is_refused_elsewhere(home, host):
    assert len(home.findings(f"[server]\nhost = '{host}'\n[auth]\nrequire_client_key = false\n")) == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(None, "there is no such file", id="missing"),
        pytest.param(b"x = '\xff'", "is not UTF-8 text (byte 6)", id="not UTF-8"),
        pytest.param(b"x = " + b"[" * 100_000, "is not valid TOML", id="nested without end"),
    ],
)
def test_a_named_file_that_cannot_be_used_is_an_error(home, content, expected):
    path = home.cwd / "named.toml"
    if content is not None:
        path.write_bytes(content)
    [finding] = home.findings(config=path)
    assert finding.startswith(f"named.toml: {expected}")


def test_a_directory_in_place_of_the_file_is_an_error(home):
    home.local.mkdir()
    [finding] = home.findings()
    assert finding.startswith("omniroute.toml: cannot be read: ")


# --- lines ------------------------------------------------------------------------------------------------------------

TOML = '''\
# a comment with [brackets] and key = value
top = """
[not.a.table]
key = 1
""""
[a]  # [b]
x = 1
"quoted.key" = 2
'lit' = [
  "one", # ]
  { k = "two" }, [
    3 ] , 4
]
deep.er = { in = "line" }
[[t]]
n = \'\'\'
]\'\'\'
[t.sub]
m = 1
[[t]]
n = 2
[ "sp aced" . b ]
last = "\\"]"
'''


def test_each_key_is_found_on_its_line():
    lines = {dotted(path): line for path, line in key_lines(TOML).items()}
    assert lines == {
        "top": 2,
        "a": 6,
        "a.x": 7,
        'a."quoted.key"': 8,
        "a.lit": 9,
        "a.lit[0]": 10,
        "a.lit[1]": 11,
        "a.lit[2]": 11,
        "a.lit[3]": 12,
        "a.deep": 14,
        "a.deep.er": 14,
        "t": 15,
        "t[0]": 15,
        "t[0].n": 16,
        "t[0].sub": 18,
        "t[0].sub.m": 19,
        "t[1]": 20,
        "t[1].n": 21,
        '"sp aced"': 22,
        '"sp aced".b': 22,
        '"sp aced".b.last': 23,
    }


# --- environment ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "path", "expected"),
    [
        ("OMNIROUTE_SERVER__PORT", "1", "server.port", 1),
        ("OMNIROUTE_SERVER__HOST", "::1", "server.host", "::1"),
        ("OMNIROUTE_SERVER__HOST", "${env:HOME}", "server.host", "${env:HOME}"),
        ("OMNIROUTE_SERVER__ALLOWED_HOSTS", '["a", "b"]', "server.allowed_hosts", ("a", "b")),
        ("OMNIROUTE_ROUTING__SESSION_AFFINITY", "false", "routing.session_affinity", False),
        ("OMNIROUTE_TIMEOUTS__CONNECT_S", "2.5", "timeouts.connect_s", 2.5),
        ("OMNIROUTE_PLUGINS", "a, b,", "plugins.only", ("a", "b")),
        ("OMNIROUTE_PLUGINS__ONLY", '["c"]', "plugins.only", ("c",)),
        ("OMNIROUTE_PLUGINS__TRUST", "allowed", "plugins.trust", "allowed"),
        ("OMNIROUTE_PROVIDERS__LAB__TIER", "free", "providers.lab.tier", "free"),
        ("OMNIROUTE_PROVIDERS__GEMINI_CLI__BASE_URL", "http://x/v1", "providers.gemini-cli.base_url", "http://x/v1"),
        ("OMNIROUTE_PROVIDERS__MY_LAB__TIMEOUTS__IDLE_S", "1", "providers.My_Lab.timeouts.idle_s", 1.0),
        ("OMNIROUTE_ALIASES__FAST", "a/b", "aliases.fast", "a/b"),
        ("OMNIROUTE_ALIASES", '{"claude-*" = "cc/x"}', "aliases.claude-*", "cc/x"),
        ("OMNIROUTE_ALIASES", '{"json": "a/b"}', "aliases.json", "a/b"),
        ("OMNIROUTE_COMBOS__ALWAYS_ON__STICKY", "3", "combos.always-on.options.sticky", 3),
        ("OMNIROUTE_COMBOS__NEW_ONE__MODELS", '["a/b"]', "combos.new-one.models", ("a/b",)),
        ("OMNIROUTE_PLUGINS__TELEMETRY_X__URL", "http://x", "plugin_sections.telemetry-x.url", "http://x"),
        ("OMNIROUTE_PLUGINS__TELEMETRY_X__A_B", "[1]", "plugin_sections.telemetry-x.a_b", [1]),
    ],
)
def test_every_kind_of_setting_can_be_set_by_a_variable(home, name, text, path, expected):
    home.local.write_text("[combos.always-on]\nmodels = ['a/b']\n[providers.My_Lab]\ntier = 'free'\n")
    loaded = home.load(environ={name: text})
    assert at(loaded.settings, path) == expected
    assert f"environment {name}" in {row.origin for row in effective(loaded)}


def test_accounts_and_keys_can_be_set_by_one_variable_each(home):
    environ = {
        "OMNIROUTE_ACCOUNTS": '[{provider = "p", api_key = "test-key-1"}]',
        "OMNIROUTE_AUTH__KEYS": '[{"name": "n", "key": "test-key-2"}]',
    }
    settings = home.load(environ=environ).settings
    assert settings.accounts == (AccountSettings(provider="p", api_key=Secret("test-key-1")),)
    assert settings.auth.keys == (ClientKeySettings(name="n", key=Secret("test-key-2")),)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("OMNIROUTE_SERVER_PORT", "did you mean OMNIROUTE_SERVER__PORT?"),
        ("OMNIROUTE_SERVER__PROT", "did you mean OMNIROUTE_SERVER__PORT?"),
        ("OMNIROUTE_SERVER__PORT__X", "did you mean OMNIROUTE_SERVER__PORT?"),
        ("OMNIROUTE_PLUGIN", "did you mean OMNIROUTE_PLUGINS?"),
        ("OMNIROUTE_ACCOUNTS__0__API_KEY", ""),
        ("OMNIROUTE_COMBOS____MODELS", ""),
        ("OMNIROUTE_QQQQQQQQQ", "unset it, or see docs/configuration.md for the names"),
    ],
)
def test_a_variable_that_sets_nothing_is_found(home, name, hint):
    [finding] = home.findings(environ={name: CANARY})
    assert finding.startswith(f"environment {name}: no such setting; {hint}")
    assert CANARY not in finding


def test_a_variable_of_the_wrong_type_is_found_under_its_name(home):
    assert home.findings(environ={"OMNIROUTE_SERVER__PORT": "1\nx = 2"}) == [
        "environment OMNIROUTE_SERVER__PORT: server.port: expected `int`, got `str`"
    ]


def test_empty_variables_clients_variables_and_those_a_file_refers_to_are_no_mistakes(home):
    environ = {
        "OMNIROUTE_SERVER__PORT": "",
        "OMNIROUTE_NOTHING": "",
        "OMNIROUTE_API_KEY": "test-key-1",
        "OMNIROUTE_MINE": "test-key-2",
        "OTHER_SERVER__PORT": "1",
    }
    loaded = home.load("[[auth.keys]]\nname = 'n'\nkey = '${env:OMNIROUTE_MINE}'\n", environ=environ)
    assert loaded.settings.auth.keys[0].key == Secret("test-key-2")
    assert loaded.settings.server.port == 20128


# --- references and secrets -------------------------------------------------------------------------------------------


def test_a_string_may_hold_variables_and_an_escaped_dollar(home):
    settings = home.load(
        "[server]\nallowed_hosts = ['${env:A}.example', '$${env:A}', '$5']\ntransport = '${env:A}${env:B}'\n",
        environ={"A": "one", "B": ""},
    ).settings
    assert settings.server.allowed_hosts == ("one.example", "${env:A}", "$5")
    assert settings.server.transport == "one"


@pytest.mark.parametrize("layer", ["database", "overrides"])
def test_only_files_can_read_the_environment(home, layer):
    settings = home.load(environ={"A": CANARY}, **{layer: {"server.transport": "${env:A}"}}).settings
    assert settings.server.transport == "${env:A}"


SECRETIVE = """
[server]
transport = "${env:CANARY}"
allowed_hosts = ["${env:CANARY}"]
[[auth.keys]]
name = "n"
key = "${env:CANARY}"
[[accounts]]
provider = "p"
api_key = "${env:CANARY}"
[providers.p]
api_key = "canary-7c1f"
headers = { X-Extra = "canary-7c1f" }
[combos.c]
models = ["a/b"]
token = "${env:CANARY}"
[plugins.telemetry-x]
secret_key = "canary-7c1f"
password = "${env:CANARY}"
list = ["${env:CANARY}"]
"""


def test_no_secret_is_shown_anywhere(home):
    text = SECRETIVE.replace('provider = "p"', 'provider = "p"\nname = "other"')
    loaded = home.load(text, environ={"CANARY": CANARY})
    settings = msgspec.structs.replace(loaded.settings, server=Settings().server, plugin_sections={})
    assert loaded.settings.auth.keys[0].key.reveal() == CANARY
    assert CANARY not in repr(settings)
    rows = {row.key: row.value for row in effective(loaded)}
    assert CANARY not in repr(rows)
    assert CANARY.encode() not in msgspec.json.encode(effective(loaded))
    assert rows["accounts[0].api_key"] == rows["providers.p.headers.X-Extra"] == "***"
    assert rows["plugins.telemetry-x.secret_key"] == rows["plugins.telemetry-x.list"][0] == "***"
    assert rows["server.transport"] == "${env:CANARY}"


def test_what_a_plugin_section_takes_from_the_environment_stays_out_of_sight(home):
    text = "[plugins.telemetry-x]\npassword = '${env:CANARY}'\n[combos.c]\nmodels = ['a/b']\ntoken = '${env:CANARY}'\n"
    assert CANARY not in repr(home.load(text, environ={"CANARY": CANARY}))


@pytest.mark.parametrize(
    "text",
    [
        "[server]\nport = '${env:CANARY}'",
        "[plugins]\ntrust = '${env:CANARY}'",
        "[providers.p]\nbase_url = '${env:CANARY}'",
        "[[auth.keys]]\nname = 'n'\nkey = '${env:CANARY}\\n'",
        "[[accounts]]\nprovider = 'p'\nname = '${env:CANARY}/'",
        "[limits]\ndrain_s = '${env:CANARY}'",
    ],
)
def test_no_finding_repeats_the_value_of_a_variable(home, text):
    findings = home.findings(text.replace("'${env:CANARY}\\n'", '"${env:CANARY}\\n"'), environ={"CANARY": CANARY})
    assert findings
    assert CANARY not in "".join(findings)


# --- for plugins ------------------------------------------------------------------------------------------------------


class Section(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    url: str = "http://127.0.0.1"
    password: Secret | None = None
    retries: int = 1


def test_a_plugin_gets_its_own_section_as_a_struct(home):
    text = "[plugins.mine]\nurl = '${env:URL}'\npassword = '${env:PASSWORD}'\n"
    settings = home.load(text, environ={"URL": "http://x", "PASSWORD": "test-key-1"}).settings
    assert settings.plugin("mine", Section) == Section(url="http://x", password=Secret("test-key-1"))
    assert settings.plugin("other", Section) == Section()


def test_a_plugins_section_that_does_not_fit_is_found_with_its_lines(home):
    settings = home.load("[plugins.mine]\nretries = 'x'\nurll = 1\n").settings
    with pytest.raises(SettingsError) as caught:
        settings.plugin("mine", Section)
    assert list(caught.value.findings) == [
        "omniroute.toml:2: plugins.mine.retries: expected `int`, got `str`",
        "omniroute.toml:3: plugins.mine.urll: no such key; did you mean 'url'?",
    ]


def test_settings_can_be_made_without_a_file():
    settings = Settings(plugin_sections={"mine": {"retries": "x"}})
    with pytest.raises(SettingsError, match=r"^settings: plugins\.mine\.retries: expected `int`"):
        settings.plugin("mine", Section)


def test_importing_the_settings_imports_none_of_the_server():
    heavy = "litestar aiohttp httpx pluggy uvicorn structlog sqlite_utils cryptography click asyncio"
    code = f"import sys, omniroute.settings; print([name for name in {heavy.split()} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
