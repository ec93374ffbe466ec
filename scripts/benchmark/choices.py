"""The measurements behind docs/decisions: HTTP clients, servers and frameworks, ways to write rows. Each in a process of its own.

`cd scripts && python -m benchmark.choices` prints µs of CPU for each, the median of five rounds; a minute or two.
"""

import asyncio
import base64
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmark import load, process, wire
from benchmark.process import Process, running
from benchmark.targets import Target, direct

ROUNDS, SECONDS = 5, 2.0
CONNECTIONS = 32
BODY = wire.words_body(wire.CHAT, wire.MODEL, 1000, stream=False)
ANSWER = wire.whole_answer(wire.CHAT)
JSON_HEAD = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]


def main() -> None:
    if sys.argv[1:]:
        kind, name, *rest = sys.argv[1:]
        CHILDREN[kind](name, *rest)
        return
    measured, others = process.share_cores()
    with running([sys.executable, "-m", "benchmark.upstream"], cores=others) as upstream:
        target = direct(upstream.line())
        for name in CLIENTS:
            show("client", name, [client_round(name, target, measured) for _ in range(ROUNDS)])
    for name in APPLICATIONS:
        for parser in ("httptools", "h11") if name == "bare" else ("httptools",):
            show("server", f"{name}, {parser}", server_rounds(name, parser, measured, others))
    for name in WRITES:
        show("row", name, [write_round(name) for _ in range(ROUNDS)])


def show(what: str, name: str, rounds: list[float]) -> None:
    print(f"{what:7} {name:32} {statistics.median(rounds):8.1f} µs   {[round(r, 1) for r in rounds]}", flush=True)


# --- clients ----------------------------------------------------------------------------------------------------------


def client_round(name: str, target: Target, cores: set[int] | None) -> float:
    command = [sys.executable, "-m", "benchmark.choices", "client", name, target.host, str(target.port)]
    with running(command, cores=cores) as child:
        return float(child.line())


def be_client(name: str, host: str, port: str) -> None:
    with asyncio.Runner(loop_factory=process.new_event_loop) as runner:
        print(runner.run(CLIENTS[name](f"http://{host}:{port}/json/v1/chat/completions")), flush=True)


async def busy(send: Callable[[], Awaitable[object]]) -> float:
    """µs of this process's CPU per request with 32 at a time."""
    count = 0

    async def keep_busy(until_s: float) -> None:
        nonlocal count
        while time.perf_counter() < until_s:
            await send()
            count += 1

    async def all_busy(seconds: float) -> None:
        await asyncio.gather(*(keep_busy(time.perf_counter() + seconds) for _ in range(CONNECTIONS)))

    await all_busy(0.3)
    count, before_s = 0, time.process_time()
    await all_busy(SECONDS)
    return (time.process_time() - before_s) / count * 1e6


async def use_aiohttp(url: str) -> float:
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def send() -> None:
            async with session.post(url, data=BODY, headers={"content-type": "application/json"}) as answer:
                await answer.read()

        return await busy(send)


async def use_our_own(url: str) -> float:
    from omniroute.api import HttpRequest
    from omniroute.transport import LeanTransport, read_whole

    transport = LeanTransport()
    await transport.start()
    request = HttpRequest(url=url, headers={"content-type": "application/json"}, body=BODY)

    async def send() -> None:
        await read_whole(await transport.send(request), 10_000)

    cost = await busy(send)
    await transport.close()
    return cost


async def use_httpx(url: str) -> float:
    import httpx

    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=None)) as client:

        async def send() -> None:
            (await client.post(url, content=BODY, headers={"content-type": "application/json"})).read()

        return await busy(send)


async def use_protocols(url: str) -> float:
    """No pool and hardly any parsing: the limit."""
    host, _, port = url.split("/")[2].partition(":")
    request = wire.request("/json/v1/chat/completions", host=host, key="k", dialect=wire.CHAT, body=BODY)
    idle = [await load.connect({"host": host, "port": int(port)}) for _ in range(CONNECTIONS)]

    async def send() -> None:
        connection = idle.pop()
        await connection.send(request)
        idle.append(connection)

    return await busy(send)


CLIENTS = {"protocols": use_protocols, "our own": use_our_own, "aiohttp": use_aiohttp, "httpx": use_httpx}


# --- servers and frameworks -------------------------------------------------------------------------------------------


def server_rounds(name: str, parser: str, measured: set[int] | None, others: set[int] | None) -> list[float]:
    with running([sys.executable, "-m", "benchmark.choices", "server", name, parser], cores=measured) as child:
        target = direct(child.line())
        return [server_round(child, target, others) for _ in range(ROUNDS)]


def server_round(child: Process, target: Target, cores: set[int] | None) -> float:
    request = wire.request("/chat", host=target.host, key="k", dialect=wire.CHAT, body=BODY)
    job = {"kind": "closed", "host": target.host, "port": target.port, "connections": CONNECTIONS, "seconds": SECONDS,
           "warm_s": 0.3, "request": base64.b64encode(request).decode()}  # fmt: skip
    with running([sys.executable, "-m", "benchmark.load"], cores=cores) as generator:
        generator.say(json.dumps(job))
        generator.line()
        before_s = child.cpu_s
        generator.say("go")
        requests: int = json.loads(generator.line())["requests"]
        return (child.cpu_s - before_s) / requests * 1e6


def be_server(name: str, parser: str) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            print(f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}", flush=True)

    config = uvicorn.Config(APPLICATIONS[name](), port=0, http=parser, log_level="critical", access_log=False)
    with asyncio.Runner(loop_factory=process.new_event_loop) as runner:
        runner.run(Server(config).serve())


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """What every framework does at least: read the body, answer."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": JSON_HEAD})
    await send({"type": "http.response.body", "body": ANSWER})


def litestar_asgi() -> Any:
    from litestar import Litestar, asgi

    return Litestar([asgi("/chat")(bare)], openapi_config=None)


def litestar_handler() -> Any:
    import litestar

    async def chat(request: litestar.Request[Any, Any, Any]) -> litestar.Response[bytes]:
        await request.body()
        return litestar.Response(ANSWER, media_type="application/json")

    chat.__annotations__ = {"request": litestar.Request, "return": litestar.Response}  # the imports are in here
    return litestar.Litestar([litestar.post("/chat", status_code=200)(chat)], openapi_config=None)


APPLICATIONS: dict[str, Callable[[], Any]] = {
    "bare": lambda: bare,
    "Litestar @asgi": litestar_asgi,
    "Litestar handler": litestar_handler,
}


# --- rows -------------------------------------------------------------------------------------------------------------

ROWS = 5000
INSERT = "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
ROW = ("01JD000000000000000000000", 1_760_000_000.0, "openai-chat", "laptop", "small", 200, 210, 140)


def write_round(name: str) -> float:
    """µs of wall time per row: what a caller, or the event loop, would wait."""
    size = WRITES[name]
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "rows.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE rows (id, at, dialect, key, model, status, input, output)")
        started_s = time.perf_counter()
        for _ in range(ROWS // size):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(INSERT, [ROW] * size)
            connection.execute("COMMIT")
        elapsed_s = time.perf_counter() - started_s
        connection.close()
    return elapsed_s / ROWS * 1e6


WRITES = {"one per transaction": 1, "100 per transaction": 100}
CHILDREN: dict[str, Callable[..., None]] = {"client": be_client, "server": be_server}


if __name__ == "__main__":
    main()
