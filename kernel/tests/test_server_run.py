import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from omniroute.errors import StartError, StoreLocked
from omniroute.outbox import Outbox
from omniroute.server import Server, running, serve
from omniroute.server.listen import bind

HEAD = b"HTTP/1.1\r\nHost: localhost\r\n\r\n"


class App:
    """`/slow` answers when `let_go` is set and says `cut` when it is cancelled; anything else answers at once."""

    def __init__(self, fail_at: str | None = None, failure: Exception | None = None) -> None:
        self.events: list[str] = []
        self.fail_at = fail_at
        self.failure = failure
        self.asked = asyncio.Event()
        self.let_go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        body = b"quick"
        if scope["path"] == "/slow":
            await send({"type": "http.response.body", "body": b"slow ", "more_body": True})
            self.asked.set()
            try:
                await self.let_go.wait()
                body = b"done"
            except asyncio.CancelledError:
                body = b"cut"
        await send({"type": "http.response.body", "body": body})

    async def live(self, receive: Any, send: Any) -> None:
        for step in ("startup", "shutdown"):
            assert await receive() == {"type": f"lifespan.{step}"}
            self.events.append(step)
            if self.fail_at == step:
                await send({"type": f"lifespan.{step}.failed", "message": "Traceback\nWhatever: it broke"})
                if self.failure is not None:
                    raise self.failure
                return
            await send({"type": f"lifespan.{step}.complete"})


async def get(server: Server, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"GET {path} ".encode() + HEAD)
    data = await reader.readuntil(b"\r\n0\r\n\r\n")
    writer.close()
    return data


@contextlib.asynccontextmanager
async def started(app: App, **callbacks: Any) -> AsyncIterator[Server]:
    server = Server(app, "127.0.0.1", bind("127.0.0.1", 0), **callbacks)
    await server.start()
    yield server


async def test_a_running_server_has_a_url_a_date_and_no_server_header():
    app = App()
    async with running(app) as server:
        assert server.base_url == f"http://127.0.0.1:{server.port}"
        answer = await get(server, "/")
        names = {line.split(b":")[0] for line in answer.split(b"\r\n\r\n")[0].split(b"\r\n")[1:]}
        assert names == {b"date", b"transfer-encoding"}
        date = answer.partition(b"date: ")[2].partition(b"\r\n")[0].decode()
        assert parsedate_to_datetime(date).tzinfo is not None
    assert app.events == ["startup", "shutdown"]


async def test_the_lifespan_state_is_in_every_scope():
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["gateway"] = "here"
            return
        seen.append(scope["state"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with running(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / " + HEAD)
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
    assert seen == [{"gateway": "here"}]


@pytest.mark.parametrize("failure", [StoreLocked("another gateway uses it"), OSError("no disk")])
async def test_what_the_application_raises_at_the_start_comes_out_and_frees_the_port(failure):
    sockets = bind("127.0.0.1", 0)
    port = sockets[0].getsockname()[1]
    with pytest.raises(type(failure)) as raised:
        await Server(App("startup", failure), "127.0.0.1", sockets).start()
    assert raised.value is failure
    for again in bind("127.0.0.1", port):
        again.close()


async def test_an_application_that_only_says_that_it_failed_is_a_start_error():
    with pytest.raises(StartError) as raised:
        async with running(App("startup")):
            pass
    assert raised.value.why == "Whatever: it broke"


async def test_an_application_that_fails_at_its_end_does_not_keep_the_server():
    app = App("shutdown", OSError("no disk"))
    async with running(app):
        pass
    assert app.events == ["startup", "shutdown"]


async def test_draining_lets_answers_finish_and_withdraws_readiness_at_once():
    app = App()
    drained = []
    async with started(app, on_drain=lambda: drained.append(app.events[:])) as server:
        answer = asyncio.create_task(get(server, "/slow"))
        await app.asked.wait()
        stopping = asyncio.create_task(server.stop(drain_s=30, listen_on_s=30))
        await asyncio.sleep(0)
        assert server.draining
        assert drained == [["startup"]]
        late = await get(server, "/")  # still accepted: somebody has to be told
        assert b"connection: close" in late
        app.let_go.set()
        assert (await answer).endswith(b"4\r\ndone\r\n0\r\n\r\n")
        await stopping
    assert app.events == ["startup", "shutdown"]
    with pytest.raises(ConnectionRefusedError):
        await get(server, "/")


@pytest.mark.parametrize("coming", [0, 9], ids=["alone", "with others"])
async def test_what_is_not_finished_in_time_is_told_and_cut_off(coming):
    app = App()
    async with started(app) as server:
        answer = asyncio.create_task(get(server, "/slow"))
        await app.asked.wait()
        outbox = Outbox.of(asyncio.get_running_loop())
        outbox.coming, outbox._is_ending = coming, bool(coming)  # the turn does not end before it is cut off
        async with asyncio.timeout(3):
            await server.stop(drain_s=0.01, listen_on_s=3600)
        assert (await answer).endswith(b"3\r\ncut\r\n0\r\n\r\n")
    assert app.events == ["startup", "shutdown"]


async def test_a_request_that_has_not_begun_when_it_is_cut_off_does_not_hold_up_the_end():
    async with running(App()) as server:
        task = asyncio.create_task(asyncio.sleep(60, None))
        server.connections.tasks.add(task)
        await server._cut()
        assert task.cancelled()
        assert not server.connections.tasks


async def test_a_second_signal_does_not_wait_for_answers():
    app, hurry = App(), asyncio.Event()
    async with started(app) as server:
        answer = asyncio.create_task(get(server, "/slow"))
        await app.asked.wait()
        stopping = asyncio.create_task(server.stop(drain_s=3600, listen_on_s=3600, hurry=hurry))
        await asyncio.sleep(0)
        hurry.set()
        async with asyncio.timeout(2):
            await stopping
        assert (await answer).endswith(b"3\r\ncut\r\n0\r\n\r\n")
    assert app.events == ["startup", "shutdown"]


async def test_an_idle_connection_does_not_hold_up_the_end():
    async with started(App()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / " + HEAD)
        await reader.readuntil(b"\r\n0\r\n\r\n")
        async with asyncio.timeout(2):
            await server.stop(drain_s=3600, listen_on_s=3600)
        assert await reader.read() == b""
        writer.close()


async def test_a_caller_that_cannot_use_the_url_stops_the_server():
    app = App()
    urls = []

    def refuse(url: str) -> None:
        urls.append(url)
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await serve(app, port=0, on_ready=refuse)
    assert app.events == ["startup", "shutdown"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(urls[0].rpartition(":")[2])))


# --- signals, in a process of its own -----------------------------------------------------------------------------------

PROGRAM = """
    import asyncio, sys
    from omniroute.server import loop_factory, serve

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        if scope["path"] == "/slow":
            await (asyncio.Event() if "forever" in sys.argv else draining).wait()
        await send({"type": "http.response.body", "body": b"ended"})

    draining = asyncio.Event()

    def drain():
        draining.set()
        print("draining", flush=True)

    async def close():
        print("closing", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        print("closed", flush=True)

    with asyncio.Runner(loop_factory=None if "asyncio" in sys.argv else loop_factory()) as runner:
        sys.exit(runner.run(serve(app, port=0, on_ready=lambda url: print(url, flush=True), on_drain=drain,
                                  on_stopped=close if "closing" in sys.argv else None)))
"""


@contextlib.contextmanager
def process(*options: str):
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running_program:
        try:
            yield running_program, int(running_program.stdout.readline().rpartition(":")[2])
        finally:
            running_program.kill()


def until(client: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end) and (piece := client.recv(1000)):
        data += piece
    return data


@pytest.mark.skipif(sys.platform == "win32", reason="terminates without a signal there")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_exits_with_0(loop, number):
    with process(loop) as (program, port), socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET /slow " + HEAD)
        until(client, b"begun\r\n")
        os.kill(program.pid, number)
        assert until(client, b"0\r\n\r\n").endswith(b"ended\r\n0\r\n\r\n")
        assert program.stdout.readline() == "draining\n"
        assert program.wait(5) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="terminates without a signal there")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_second_signal_ends_it_within_two_seconds(loop):
    with process(loop, "forever") as (program, port), socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /slow " + HEAD)
        until(client, b"begun\r\n")
        program.terminate()
        assert program.stdout.readline() == "draining\n"
        program.terminate()
        assert program.wait(2) == 128 + signal.SIGTERM


@pytest.mark.skipif(sys.platform == "win32", reason="terminates without a signal there")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_further_signal_does_not_end_it_before_all_is_closed(loop):
    with process(loop, "closing") as (program, _):
        program.terminate()
        assert [program.stdout.readline() for _ in range(2)] == ["draining\n", "closing\n"]
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(program.pid, number)
        print(file=program.stdin, flush=True)
        assert program.stdout.readline() == "closed\n"
        assert program.wait(5) == 0
