"""The way from the server to a handler: past Litestar's router where that can be told beforehand, and leaving nothing behind."""

import asyncio
import gc
import json
from collections.abc import Sequence
from typing import Any

import pytest
import pytest_asyncio
from litestar import Litestar, asgi

from omniroute import settings
from omniroute.app import build_app, direct_endpoints
from omniroute.gateway import Gateway
from omniroute.ingress import POST
from omniroute.server.attendant import ATTENDANT, OnLeave, Unattended

KEY = "test-client-key-0001"
QUESTION = json.dumps({"model": "demo/echo", "messages": [{"role": "user", "content": "hi"}]}).encode()


@pytest_asyncio.fixture
async def gateway(tmp_path):
    loaded = settings.load(
        data_dir=tmp_path / "data", environ={}, cwd=tmp_path, config_dir=tmp_path,
        overrides={"auth.keys": [{"name": "tests", "key": KEY}]},
    )  # fmt: skip
    opened = await Gateway.open(loaded)
    yield opened
    await opened.close()


class Staying(Unattended):
    """The attendant of a client that does not leave."""

    def watch_leaving(self, on_leave: OnLeave | None) -> None:
        del on_leave


async def ask(front: Any, path: str, hosts: Sequence[bytes] = (b"127.0.0.1",)) -> int:
    """The status of the answer to one question."""
    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "root_path": "", "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [*((b"host", host) for host in hosts), (b"authorization", b"Bearer " + KEY.encode()),
                    (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "state": {},
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": QUESTION, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope[ATTENDANT] = Staying(scope, receive)
    await front(scope, receive, send)
    return sent[0]["status"]


async def test_every_plain_path_of_the_model_api_is_reached_directly(gateway):
    front = build_app(gateway)
    plain = {path for method, path in gateway.registry.ingress if method == "POST" and "{" not in path}
    assert plain <= front._direct.keys()
    assert not {path for path in front._direct if path.startswith(("/api", "/v1beta"))}
    for path in ("/v1/chat/completions", "/v1/chat/completions/"):  # the second one through the router
        assert await ask(front, path) == 200
    assert await ask(front, "/v1/nothing") == 404


@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        ([], 400),
        ([b"localhost"], 200),
        ([b"evil.example"], 421),
        ([b"evil.example", b"localhost"], 400),
        ([b"localhost"] * 2, 400),
    ],
)
async def test_a_request_names_one_host_and_that_is_ours(gateway, hosts, status):
    assert await ask(build_app(gateway), "/v1/chat/completions", hosts) == status


async def handler(scope: Any, receive: Any, send: Any) -> None:
    del scope, receive, send


async def endpoint(scope: Any, receive: Any, send: Any, found: Any) -> None:
    del scope, receive, send, found


def test_what_litestar_stands_before_is_left_to_it():
    client: dict[str, Any] = {"opt": {"access": "client", POST: endpoint}, "copy_scope": False}
    app = Litestar(
        [
            asgi("/plain", **client)(handler),
            asgi("/guarded", **client, guards=[lambda connection, route: None])(handler),
            asgi("/mount", **client, is_mount=True)(handler),
            asgi("/managed", **client | {"opt": {"access": "management", POST: endpoint}})(handler),
            asgi("/got", **client | {"opt": {"access": "client", POST: None}})(handler),
            asgi("/other", **client | {"opt": {"access": "client"}})(handler),
        ],
        openapi_config=None,
        logging_config=None,
    )
    assert direct_endpoints(app) == {"/plain": endpoint}


async def test_a_whole_request_leaves_nothing_to_the_garbage_collector(gateway):
    front = build_app(gateway)
    for _ in range(5):
        assert await ask(front, "/v1/chat/completions") == 200
    await asyncio.sleep(0)
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            await ask(front, "/v1/chat/completions")
        assert gc.collect() < 200, "each request leaves objects that only the collector frees, its body among them"
    finally:
        gc.enable()
