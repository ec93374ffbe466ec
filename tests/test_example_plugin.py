"""A stranger's provider: the example's folder, pip-installed beside the gateway, serves requests with nothing else changed."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import httpx
import pytest

from omniroute.testing import FakeUpstream, Reply

EXAMPLE = Path(__file__).resolve().parent.parent / "docs/examples/provider_acme"
DISTRIBUTION = "omniroute-provider-acme"
SETTINGS = """
[[accounts]]
provider = "acme"
name = "work"
api_key = "upstream-key-1"
base_url = "{}"
"""
QUESTION = {"max_tokens": 9, "temperature": 0.5, "messages": [{"role": "user", "content": "hi"}]}
ANSWER = Reply.json({
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "acme-small",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "from acme"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
})  # fmt: skip


class Environment:
    """An environment of its own that sees everything this one has, and into which pip installs without any network."""

    def __init__(self, directory: Path) -> None:
        venv.create(directory, with_pip=True)
        self.directory = directory
        self.python = str(directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
        own = Path(self.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip())
        shared = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
        # addsitedir, for workspace packages are themselves only lines of .pth files there
        lines = [f"import site; site.addsitedir({path!r})" for path in sorted(shared)]
        (own / "shared.pth").write_text("\n".join(lines))

    def run(self, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("OMNIROUTE_", "PIP_"))}
        done = subprocess.run(
            [self.python, *arguments], cwd=self.directory, env={**variables, "PIP_CONFIG_FILE": os.devnull},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == expect, done.stdout + done.stderr
        return done

    def pip(self, *arguments: str) -> None:
        self.run("-m", "pip", "--disable-pip-version-check", *arguments)

    def plugins(self) -> dict[str, dict[str, object]]:
        listed = self.run("-m", "omniroute", "plugin", "list", "--json", "--data-dir", str(self.directory / "data"))
        return {plugin["name"]: plugin for plugin in json.loads(listed.stdout)}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """With the example installed from a copy of its folder."""
    directory = tmp_path_factory.mktemp("acme")
    source = shutil.copytree(EXAMPLE, directory / "source", ignore=shutil.ignore_patterns("__pycache__", "build"))
    environment = Environment(directory / "env")
    environment.pip("install", "--no-index", "--no-deps", "--no-build-isolation", str(source))
    shutil.rmtree(source)
    return environment


async def ask(gateway, path: str, model: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {gateway.client_key}"}
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        return await client.post(gateway.base_url + path, json={**QUESTION, "model": model}, headers=headers)


async def test_it_is_found_by_its_entry_point_and_answers_in_every_dialect(environment, start_gateway):
    found = environment.plugins()["provider-acme"]
    assert (found["state"], found["distribution"], found["hooks"]) == ("loaded", DISTRIBUTION, ["register_providers"])
    async with (
        FakeUpstream(answer=ANSWER) as upstream,
        start_gateway(SETTINGS.format(upstream.base_url), python=environment.python) as gateway,
    ):
        chat = await ask(gateway, "/v1/chat/completions", "acme/acme-small")
        messages = await ask(gateway, "/v1/messages", "acme/acme-small")
        assert (chat.status_code, chat.headers["x-omniroute-provider"]) == (200, "acme")
        assert chat.json()["choices"][0]["message"]["content"] == "from acme"
        assert (messages.status_code, messages.json()["content"][0]["text"]) == (200, "from acme")
        for sent in upstream.requests:
            assert (sent.target, sent.header("authorization")) == ("/v1/chat/completions", "Bearer upstream-key-1")
            assert (sent.json()["model"], sent.json()["temperature"]) == ("acme-small", 0.5)


async def test_its_quirks_are_obeyed(environment, start_gateway):
    """402 is "out of credit until the hour", and the large model takes no temperature."""
    async with (
        FakeUpstream(ANSWER, Reply.json({"error": {"message": "no credit left"}}, 402)) as upstream,
        start_gateway(SETTINGS.format(upstream.base_url), python=environment.python) as gateway,
    ):
        large = await ask(gateway, "/v1/chat/completions", "acme/acme-large")
        assert (large.status_code, large.headers["x-omniroute-loss"]) == (200, "1; dropped /temperature")
        assert "temperature" not in upstream.requests[0].json()
        refused = await ask(gateway, "/v1/chat/completions", "acme/acme-small")
        assert (refused.json()["error"]["code"], refused.headers["retry-after"]) == ("rate_limit_exceeded", "3600")
        assert refused.json()["error"]["message"].startswith("out of credit")


def test_uninstalled_it_is_gone(environment, tmp_path):
    """Runs last: the environment has nothing left to serve."""
    config = tmp_path / "omniroute.toml"
    config.write_text(SETTINGS.format("http://127.0.0.1:9/v1"))
    serve = ("-m", "omniroute", "serve", "--port", "0", "--config", str(config), "--data-dir", str(tmp_path / "data"))
    environment.pip("uninstall", "--yes", DISTRIBUTION)
    assert "provider-acme" not in environment.plugins()
    assert "no provider is called 'acme'" in environment.run(*serve, expect=2).stderr
    assert subprocess.run([sys.executable, "-c", "import omniroute_provider_acme"], check=False).returncode != 0
