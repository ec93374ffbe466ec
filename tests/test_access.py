"""Who may call what, over the whole routing table: nothing a spelling, a header or a cookie does gives more than was declared."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from litestar import Litestar

from omniroute import settings
from omniroute.app import build_app
from omniroute.gateway import Gateway
from omniroute.server import running

CLIENT_KEY = "test-client-key-0001"
PUBLIC = {"/healthz", "/readyz"}


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[tuple[Gateway, Litestar, int]]:
    """The standard set of plugins behind a socket: (gateway, application, port)."""
    loaded = settings.load(
        data_dir=directory / "data", environ={}, cwd=directory, config_dir=directory,
        overrides={"auth.keys": [{"name": "tests", "key": CLIENT_KEY}]},
    )  # fmt: skip
    gateway = await Gateway.open(loaded)
    try:
        front = build_app(gateway)
        async with running(front) as server:
            yield gateway, front._app, server.port
    finally:
        await gateway.close()


def handlers(app: Litestar) -> Iterator[tuple[str, str, str]]:
    """(method, a path that reaches it, declared access) of every handler but Litestar's own answers to OPTIONS."""
    for route in app.routes:
        found = route.route_handlers if hasattr(route, "route_handlers") else [route.route_handler]
        for handler in found:
            for method in getattr(handler, "http_methods", None) or ("GET", "POST"):
                if method != "OPTIONS":
                    yield method, route.path.replace("{path:str}", "x").replace(":str}", "}"), handler.opt["access"]


async def status(port: int, method: str, path: str, *headers: str, host: str | None = None) -> int:
    """The status of one raw request; 0 when the connection was closed without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{method} {path} HTTP/1.1", f"host: {host or f'127.0.0.1:{port}'}", "connection: close", *headers]
    body = "{}" if method == "POST" else ""
    lines += [f"content-length: {len(body)}"] + (["content-type: application/json"] if body else [])
    writer.write("\r\n".join([*lines, "", body]).encode())
    line = await reader.readline()
    await reader.read()
    writer.close()
    return int(line.split()[1]) if line else 0


async def test_every_handler_says_who_may_call_it_and_only_health_is_public(tmp_path):
    async with served(tmp_path) as (_, app, _):
        declared = list(handlers(app))
        assert {path for _, path, access in declared if access == "public"} == PUBLIC
        assert {access for _, path, access in declared if path.startswith("/api")} == {"management"}
        assert len({path for _, path, access in declared if access == "client"}) > 5


async def test_each_handler_answers_those_it_says_and_nobody_else(tmp_path):
    async with served(tmp_path) as (gateway, app, port):
        management = gateway.management_key.key.reveal()
        for method, path, access in handlers(app):
            nobody = await status(port, method, path)
            cookie = await status(port, method, path, f"cookie: auth_token={management}; key={CLIENT_KEY}")
            client = await status(port, method, path, f"authorization: Bearer {CLIENT_KEY}")
            manager = await status(port, method, path, f"authorization: Bearer {management}")
            if access == "public":
                assert (nobody, cookie, client, manager) == (200, 200, 200, 200), path
                continue
            assert nobody == cookie, path
            assert nobody in ({401} if access == "management" else {401, 404, 405}), path
            assert (client == 401) is (access == "management"), path
            assert (manager == 401) is (access == "client" and nobody == 401), path


SPELLINGS = [
    "/{}", "//{}", "/{}/", "/./{}", "/x/../{}", "/%2e/{}", "/{}%2f", "/{}%00", "/{};a=b", "/{}?a=b", "/{}#a", "/{}//",
]  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    "path", ["api/keys", "API/keys", "api/Keys", "%61pi/keys", "api%2fkeys", "api//keys", "v1/models"]
)
async def test_no_spelling_gives_more_than_the_plain_path(shared, spelling, path):
    _, _, port = shared
    for prefix in ("", f"http://127.0.0.1:{port}", "http://evil.example"):
        target = prefix + spelling.format(path)
        assert await status(port, "GET", target) in {0, 400, 401, 404, 421}, target
        as_client = await status(port, "GET", target, f"authorization: Bearer {CLIENT_KEY}")
        assert as_client in {0, 400, 401, 404, 405, 421} or (as_client == 200 and "models" in path), target


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1:1", ""])
async def test_a_foreign_host_meets_no_handler(shared, host):
    gateway, _, port = shared
    key = f"authorization: Bearer {gateway.management_key.key.reveal()}"
    assert await status(port, "GET", "/api/status", key) == 200
    assert await status(port, "GET", "/api/status", key, host=host or " ") in {400, 421}
    assert await status(port, "GET", "/healthz", host=host or " ") in {400, 421}


@pytest.fixture
async def shared(tmp_path):
    async with served(tmp_path) as found:
        yield found
