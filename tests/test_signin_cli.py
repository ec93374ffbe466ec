"""`omniroute account` as people use it: signing in on a terminal, with a gateway running and without one."""

import asyncio
import json
import os
import sys

import pytest

from omniroute.api import OAuthFacts, ProviderFacts
from omniroute.testing import FakeAuthorization, FakeUpstream, Reply

MODULE = """
from omniroute.api import FactsProvider, OAuthFacts, ProviderFacts, hookimpl


@hookimpl
def register_providers():
    oauth = OAuthFacts(
        client_id="public-client", authorize_url={authorize!r}, device_url={device!r}, token_url={token!r}, pkce=True
    )
    return [
        FactsProvider(
            ProviderFacts(
                name="acme", dialect="openai-chat", base_url={base_url!r}, auth="oauth", auth_also=("oauth-device",),
                oauth=oauth, tier="subscription", terms_url="https://vendor.example/terms", own_clients=("acme-cli/",),
            )
        )
    ]
"""
FACTS = ProviderFacts(
    name="acme",
    dialect="openai-chat",
    base_url="https://api.acme.example/v1",
    oauth=OAuthFacts(
        client_id="public-client",
        authorize_url="https://vendor.example/authorize",
        device_url="https://vendor.example/device",
        token_url="https://vendor.example/token",
    ),
)
MODELS = {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "acme"}]}


class Shell:
    """Runs `omniroute` in a place where the plugin of a vendor is installed."""

    def __init__(self, directory, vendor, upstream):
        self.directory = directory
        self.vendor, self.upstream = vendor, upstream
        packages = directory / "packages"
        info = packages / "acme_plugin-1.0.dist-info"
        info.mkdir(parents=True)
        oauth = vendor.facts.oauth
        urls = {"authorize": oauth.authorize_url, "device": oauth.device_url, "token": oauth.token_url}
        (packages / "acme_plugin.py").write_text(MODULE.format(base_url=upstream.base_url, **urls))
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-plugin\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[omniroute]\nacme = acme_plugin\n")
        (info / "RECORD").write_text("")
        before = os.environ.get("PYTHONPATH")
        self.variables = {"PYTHONPATH": os.pathsep.join(filter(None, [str(packages), before]))}
        self.data_dir = directory / "data"

    async def start(self, *arguments):
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "omniroute", *arguments, "--data-dir", str(self.data_dir),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **self.variables}, cwd=self.directory,
        )  # fmt: skip

    async def run(self, *arguments, given=""):
        process = await self.start(*arguments)
        out, err = await asyncio.wait_for(process.communicate(given.encode()), 90)
        return process.returncode, out.decode(), err.decode()


@pytest.fixture
async def shell(tmp_path):
    async with FakeAuthorization(FACTS) as vendor, FakeUpstream(answer=Reply.json(MODELS)) as upstream:
        yield Shell(tmp_path, vendor, upstream)


async def line_with(stream, *, begins):
    async with asyncio.timeout(90):
        while line := (await stream.readline()).decode():
            if line.strip().startswith(begins):
                return line.strip()
    raise AssertionError(f"nothing began with {begins!r}")


async def sign_in_by_pasting(shell, *arguments):
    process = await shell.start("account", *arguments, "--paste-url", "--json")
    url = await line_with(process.stderr, begins=shell.vendor.facts.oauth.authorize_url)
    process.stdin.write(f"{shell.vendor.redirect(url)}\n".encode())
    await process.stdin.drain()
    out = await asyncio.wait_for(process.stdout.read(), 90)
    return await process.wait(), json.loads(out)


async def test_a_sign_in_by_pasting_on_a_data_directory_that_nobody_uses(shell):
    code, added = await sign_in_by_pasting(shell, "add", "acme", "--name", "work")
    assert (code, added["id"], added["state"], added["other_clients"]) == (0, "acme/work", "usable", False)
    code, out, err = await shell.run("account", "list")
    assert "acme/work" in out
    code, out, err = await shell.run("account", "refresh", "acme/work")
    assert (code, len(shell.vendor.refreshes)) == (0, 1)
    code, out, err = await shell.run("account", "test", "acme/work")
    assert code == 0, err
    assert "works, by its 1 models" in err
    for command, said in (
        (("pause",), "is paused"),
        (("resume",), "is in use"),
        (("allow",), "for every client"),
        (("allow", "--no"), "own client only"),
    ):
        code, out, err = await shell.run("account", command[0], "acme/work", *command[1:])
        assert (code, said in err) == (0, True), err
    code, out, err = await shell.run("account", "rename", "acme/work", "home")
    assert "acme/home" in err
    code, out, err = await shell.run("account", "show", "acme/home", "--json")
    assert json.loads(out)["refreshed_at_s"] > 0
    code, out, err = await shell.run("vault", "rotate", "--json")
    assert len(json.loads(out)["key_id"]) == 16
    code, out, err = await shell.run("account", "show", "acme/home")
    assert "usable" in out


async def test_a_sign_in_with_a_running_gateway_is_done_by_it(shell, tmp_path):
    settings = "[auth]\nrequire_client_key = true\n"
    (tmp_path / "omniroute.toml").write_text(settings)
    server = await shell.start("serve", "--port", "0")
    try:
        assert (await asyncio.wait_for(server.stdout.readline(), 90)).startswith(b"http://")
        code, added = await sign_in_by_pasting(shell, "add", "acme", "--allow-other-clients")
        assert (code, added["id"], added["other_clients"]) == (0, "acme/default", True)
        code, again = await sign_in_by_pasting(shell, "login", "acme")
        assert (code, again["id"]) == (0, "acme/default")
        code, out, err = await shell.run("account", "test", "acme", "--json")
        assert json.loads(out)["ok"]
        code, out, err = await shell.run("account", "add", "acme")
        assert code == 1
        assert "exists already" in err
    finally:
        server.terminate()
        await asyncio.wait_for(server.communicate(), 90)


async def test_a_paste_that_is_somebody_elses_fails_where_nobody_can_try_again(shell):
    process = await shell.start("account", "add", "acme", "--paste-url")
    await line_with(process.stderr, begins="http")
    process.stdin.write(b"https://evil.example/?code=c&state=s\n")
    await process.stdin.drain()
    err = (await asyncio.wait_for(process.stderr.read(), 90)).decode()
    assert await process.wait() == 1
    assert "not the redirect of this sign-in" in err
    assert shell.vendor.upstream.requests == []


async def test_a_device_code_is_shown_and_the_terms_are_named(shell):
    shell.vendor.poll_interval_s = 0.05
    process = await shell.start("account", "add", "acme", "--device")
    terms = await line_with(process.stderr, begins="A subscription of acme")
    assert "https://vendor.example/terms" in terms
    assert "acme-cli" in terms
    shown = await line_with(process.stderr, begins="code:")
    shell.vendor.approve(shown.split()[1])
    assert await asyncio.wait_for(process.wait(), 90) == 0


async def test_help_for_a_name_that_is_not_there(shell):
    code, _, err = await shell.run("account", "show", "acme/nobody")
    assert (code, "no account is called" in err) == (1, True)
    code, _, err = await shell.run("account", "add", "acne", "--paste-url")
    assert (code, "closest: acme" in err) == (1, True)
