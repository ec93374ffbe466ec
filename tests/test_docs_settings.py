"""docs/configuration.md names every setting, and nothing that is none."""

import importlib.util
import re
from pathlib import Path

import pytest

from omniroute.plugins import load_plugins
from omniroute.settings import PluginSettings, load
from omniroute.settings.checking import keys_of

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")

EXAMPLE = """
[server]
host = "127.0.0.1"
port = 20128
transport = "aiohttp"

[auth]
require_client_key = true
[[auth.keys]]
name = "laptop"
key = "${env:OMNIROUTE_CLIENT_KEY}"

[[accounts]]
provider = "anthropic"
name = "work"
api_key = "${env:ANTHROPIC_API_KEY}"
base_url = "http://127.0.0.1:9000/v1"

[providers.lab]
dialect = "openai-chat"
base_url = "http://127.0.0.1:8080/v1"
api_key = "${env:LAB_KEY}"
models = ["qwen3-coder"]
[providers.lab.timeouts]
connect_s = 1

[aliases]
fast = "groq/llama-3.3-70b"
"claude-*" = "cc/claude-opus-4-6"

[combos.always-on]
strategy = "fill-first"
models = ["cc/claude-opus-4-6", "glm/glm-4.7", "if/kimi-k2-thinking"]

[timeouts]
connect_s = 10
first_byte_s = 120
first_content_deadline_s = 180
idle_s = 120
total_s = 0
write_s = 60
keepalive_s = 15

[limits]
max_body_bytes = 33554432
max_json_depth = 64
drain_s = 120

[routing]
session_affinity = true
max_attempts = 3
cooldown_cap_s = 3600

[plugins]
disabled = []
trust = "installed"
"""
"""Every key that was promised: none may go, and none may change its meaning."""
VARIABLES = {"OMNIROUTE_CLIENT_KEY": "test-key-1", "ANTHROPIC_API_KEY": "test-key-2", "LAB_KEY": "test-key-3"}


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("docs_settings", ROOT / "scripts" / "docs_settings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_exactly_the_settings_there_are(script):
    in_tables = re.findall(r"^\| `([^`]+)` \| (?!The |Comma|Not )", PAGE, re.MULTILINE)
    assert in_tables == [setting.key for setting in script.settings()]


def test_the_tables_are_fresh(script):
    assert script.rendered(PAGE) == PAGE, "stale; run scripts/docs_settings.py"


def test_every_setting_says_what_it_means(script):
    assert [setting.key for setting in script.settings() if not setting.meaning] == []


def test_a_key_that_holds_a_quantity_names_its_unit(script):
    units = {setting.key: setting.unit for setting in script.settings()}
    assert units["timeouts.idle_s"] == "seconds"
    assert units["limits.max_body_bytes"] == "bytes"
    assert units["server.port"] == ""


def test_every_option_of_our_strategies_is_mentioned():
    strategies = load_plugins(PluginSettings()).collect("register_strategies")
    options = {option for _, strategy in strategies for option in keys_of(strategy.options_type)}
    assert {"stride", "sticky"} <= options
    assert [option for option in options if f"`{option}`" not in PAGE] == []


def test_the_promised_settings_load_without_a_finding(tmp_path):
    config = tmp_path / "omniroute.toml"
    config.write_text(EXAMPLE, encoding="utf-8")
    settings = load(config=config, environ=VARIABLES, cwd=tmp_path).settings
    assert settings.auth.keys[0].key.reveal() == "test-key-1"
    assert settings.accounts[0].base_url == "http://127.0.0.1:9000/v1"
    assert settings.providers["lab"].models == ("qwen3-coder",)
    assert settings.providers["lab"].timeouts.connect_s == 1
    assert settings.combos["always-on"].models[2] == "if/kimi-k2-thinking"
    assert settings.aliases["claude-*"] == "cc/claude-opus-4-6"
    assert settings.limits.max_body_bytes == 33_554_432
