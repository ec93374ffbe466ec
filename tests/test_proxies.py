"""An account's own proxy: everything of that account goes through it, nothing else does, and its password stays where it is."""

import asyncio
import base64
import sys
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from omniroute.api import HttpRequest, InvalidRequest, ProxyUnreachable, Secret
from omniroute.control import ControlClient
from omniroute.proxies import check_proxy, shown_proxy
from omniroute.testing import FakeUpstream, Reply
from omniroute.transport import read_whole
from omniroute.transport.aiohttp import AiohttpTransport

CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "up",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
}
PASSWORD = "test-proxy-password"


class Proxy:
    """An HTTP proxy for plain http: it passes one request on, as long as the user and password are right."""

    def __init__(self):
        self.asked = []
        self.tasks = set()

    @property
    def url(self):
        return f"http://user:{PASSWORD}@127.0.0.1:{self.port}"

    @asynccontextmanager
    async def running(self):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        try:
            await self._pass_on(reader, writer)
        finally:
            writer.close()

    async def _pass_on(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        method, target, version = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        self.asked.append((method, target))
        expected = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
        if headers.get("proxy-authorization") != f"Basic {expected}":
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
            return
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        parts = urlsplit(target)
        upstream_reader, upstream = await asyncio.open_connection(parts.hostname, parts.port)
        kept = "".join(
            f"{line}\r\n" for line in lines if line and not line.lower().startswith(("proxy-", "connection:"))
        )
        upstream.write(f"{method} {parts.path} {version}\r\n{kept}connection: close\r\n\r\n".encode("latin-1") + body)
        while data := await upstream_reader.read(65536):
            writer.write(data)
            await writer.drain()
        upstream.close()


@pytest.fixture
async def proxy():
    async with Proxy().running() as proxy:
        yield proxy


async def ask(gateway):
    body = {"model": "p/m", "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {gateway.client_key}"}
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        return await http.post(f"{gateway.base_url}/v1/chat/completions", json=body, headers=headers)


def settings(base_url, *proxies):
    return f'[providers.p]\ndialect = "openai-chat"\nbase_url = "{base_url}"\n' + "".join(
        f'[[accounts]]\nprovider = "p"\nname = "a{number}"\napi_key = "test-key-{number}"\npriority = {number}\n'
        + (f'proxy = "{proxy}"\n' if proxy else "")
        for number, proxy in enumerate(proxies, 1)
    )


@pytest.mark.parametrize("transport", ["aiohttp", "lean"])
async def test_an_account_s_requests_go_through_its_proxy_and_another_s_do_not(start_gateway, proxy, transport):
    refusal = Reply.json({"error": {"message": "no", "type": "x", "param": None, "code": None}}, 429)
    async with FakeUpstream(refusal, answer=Reply.json(CHAT)) as upstream:
        toml = f'[server]\ntransport = "{transport}"\n' + settings(upstream.base_url, proxy.url, None)
        async with start_gateway(toml) as gateway:
            assert (await ask(gateway)).status_code == 200
            keys = [request.header("authorization") for request in upstream.requests]
            assert keys == ["Bearer test-key-1", "Bearer test-key-2"]
            assert proxy.asked == [("POST", f"{upstream.base_url}/chat/completions")]
            assert upstream.requests[0].header("proxy-authorization") is None
            assert PASSWORD not in gateway.log


@pytest.mark.parametrize("transport", ["aiohttp", "lean"])
async def test_a_proxy_that_refuses_is_said_to_and_its_password_is_not(start_gateway, proxy, transport):
    async with FakeUpstream(answer=Reply.json(CHAT)) as upstream:
        wrong = proxy.url.replace(PASSWORD, "test-wrong-password")
        toml = f'[server]\ntransport = "{transport}"\n' + settings(upstream.base_url, wrong)
        async with start_gateway(toml) as gateway:
            answer = await ask(gateway)
            assert (answer.status_code, answer.json()["error"]["code"]) == (502, "proxy_unreachable")
            assert "it answered 407" in answer.json()["error"]["message"]
            assert "test-wrong-password" not in answer.text + gateway.log
            assert not upstream.requests


async def test_a_proxy_that_is_not_there_means_that_nothing_was_sent():
    transport = AiohttpTransport()
    await transport.start()
    request = HttpRequest(url="http://127.0.0.1:9/v1", proxy=f"http://user:{PASSWORD}@127.0.0.1:9")
    with pytest.raises(ProxyUnreachable) as caught:
        await transport.send(request)
    assert "proxy" in caught.value.message
    assert PASSWORD not in caught.value.text
    await transport.close()


async def test_aiohttp_and_the_control_client_say_the_same_through_a_proxy(proxy):
    async with FakeUpstream(answer=Reply.json(CHAT)) as upstream:
        request = HttpRequest(url=f"{upstream.base_url}/x", body=b"{}", proxy=proxy.url)
        transport, control = AiohttpTransport(), ControlClient()
        await transport.start()
        stream = await transport.send(request)
        whole = await read_whole(stream, 10_000)
        answer = await control.send(request)
        direct = await control.send(HttpRequest(url=f"{upstream.base_url}/y", body=b"{}"))
        await transport.close()
        await control.close()
        assert whole == answer.body == direct.body
        assert [target for _, target in proxy.asked] == [f"{upstream.base_url}/x"] * 2


def test_a_request_does_not_show_its_proxy():
    assert PASSWORD not in repr(HttpRequest(url="http://127.0.0.1:9/v1", proxy=f"http://user:{PASSWORD}@127.0.0.1:9"))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("socks5://127.0.0.1:1080", "SOCKS proxies need a library"),
        ("socks5h://user:p@127.0.0.1", "SOCKS proxies need a library"),
        ("https://127.0.0.1:1080", "must begin with http://"),
        ("127.0.0.1:1080", "must begin with http://"),
        ("http://", "must begin with http://"),
        ("http://h:99999", "is no URL"),
        ("http://h:0", "must begin with http://"),
        ("http://h/path", "more than a host"),
        ("http://h?q=1", "more than a host"),
        ("http://h\r\nx: y", "is no URL"),
        ("http://h/\u00e9", "more than a host"),
    ],
)
def test_what_is_no_http_proxy_is_refused_without_being_repeated(url, why):
    with pytest.raises(InvalidRequest) as caught:
        check_proxy(Secret(url))
    assert why in caught.value.text
    assert url not in caught.value.text or url == "http://"


@pytest.mark.parametrize("url", ["http://127.0.0.1:3128", "http://proxy.example.com", f"http://u:{PASSWORD}@h:1/"])
def test_a_proxy_is_shown_without_user_and_password(url):
    assert check_proxy(Secret(url)).reveal() == url
    assert PASSWORD not in shown_proxy(Secret(url))


async def test_a_socks_proxy_in_the_settings_stops_the_start_and_names_the_line(tmp_path):
    config = tmp_path / "omniroute.toml"
    config.write_text(settings("http://127.0.0.1:9/v1", f"socks5://user:{PASSWORD}@127.0.0.1:1080"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "omniroute", "serve", "--port", "0", "--config", str(config),
        "--data-dir", str(tmp_path / "data"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    assert process.returncode == 2
    assert b"omniroute.toml:9: accounts[0].proxy: this proxy cannot be used" in said
    assert PASSWORD.encode() not in said
