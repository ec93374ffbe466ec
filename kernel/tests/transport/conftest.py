"""Both transports on both event loops, and a server that says exactly what a test wants it to."""

import asyncio
import sys

import pytest

from omniroute.transport import LeanTransport
from omniroute.transport.aiohttp import AiohttpTransport

LOOPS = {"asyncio": asyncio.new_event_loop}
if sys.platform != "win32":
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop
KINDS = {"aiohttp": AiohttpTransport, "lean": LeanTransport}


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(config, item):
    return LOOPS


class RawServer:
    """`script` gets each request's head and body, the writer and the reader."""

    def __init__(self, script, tls=None):
        self.script = script
        self.tls = tls
        self.connections = 0
        self.requests = 0
        self.open = set()
        self.closed = asyncio.Condition()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=self.tls, limit=2**20)
        self.port = self.server.sockets[0].getsockname()[1]
        self.url = f"{'https://localhost' if self.tls else 'http://127.0.0.1'}:{self.port}"
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for writer in list(self.open):
            writer.close()
        await self.until_closed()

    async def until_closed(self, left=0):
        async with self.closed:
            await asyncio.wait_for(self.closed.wait_for(lambda: len(self.open) <= left), 5)

    async def serve(self, reader, writer):
        self.connections += 1
        self.open.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
                )
                self.requests += 1
                if length > 2**20:
                    await self.script(head, None, writer, reader)
                else:
                    await self.script(head, await reader.readexactly(length), writer, reader)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()
            async with self.closed:
                self.open.discard(writer)
                self.closed.notify_all()


@pytest.fixture
def serve():
    return RawServer


@pytest.fixture
def reply():
    """A script that answers everything with these bytes."""

    def answering(data, *, close=False):
        async def script(head, body, writer, reader):
            writer.write(data)
            if close:
                writer.close()
            else:
                await writer.drain()

        return script

    return answering


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture
async def opened():
    """Start a transport; at the end it is closed and nothing of it is left running."""
    before, transports = asyncio.all_tasks(), []

    async def start(made):
        transports.append(made)
        await made.start()
        return made

    yield start
    for transport in transports:
        await asyncio.wait_for(transport.close(), 5)
    await asyncio.sleep(0)  # for tasks that were cancelled to end
    await asyncio.sleep(0)
    assert asyncio.all_tasks() - before - {asyncio.current_task()} == set()
    assert [t for t in transports if isinstance(t, LeanTransport) and t._open] == []


@pytest.fixture
async def transport(kind, opened):
    return await opened(kind())


@pytest.fixture
async def lean(opened):
    return await opened(LeanTransport())
