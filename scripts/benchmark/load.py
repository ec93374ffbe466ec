"""The load generator: raw protocols and prebuilt request bytes, lighter than anything it measures.

`python -m benchmark.load` takes a job as one JSON line on standard input and answers with JSON lines. `closed` keeps N
connections busy, `shared` has N connections send M requests between them, `alone` sends one request after the other
and times each, `slow` holds N streams open side by side, `hold` keeps N clients connected, `once` sends N requests at the
same time.
Between "ready" and its next line it does nothing, so that the one who measures can read the clock in peace.
"""

import asyncio
import base64
import json
import re
import sys
from time import perf_counter
from typing import Any, cast

from benchmark import process

HEAD_END = b"\r\n\r\n"
STREAM_END = b"\r\n0\r\n\r\n"
OK = b"HTTP/1.1 200"
DATA = b"data:"
CONTENT = b" lorem"
STAMP = re.compile(rb"@(\d{10}\.\d{6})")
RAMP_S = 1.0
AT_ONCE = 100
"""Clients that connect side by side."""

Json = dict[str, Any]


class Answer(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.done: asyncio.Future[None] | None = None
        self.left_bytes: int | None = 0
        """Of the body; None while the head is incomplete, -1 when the body is chunked."""
        self.head = b""
        self.tail = b""
        self.sent_s = 0.0
        self.first_content_s = 0.0
        self.events = 0
        self.delays_s: list[float] = []
        """Of events that say when they were sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are none by type

    def send(self, request: bytes) -> "asyncio.Future[None]":
        self.done = asyncio.get_running_loop().create_future()
        self.left_bytes, self.head, self.tail, self.first_content_s = None, b"", b"", 0.0
        self.sent_s = perf_counter()
        self.transport.write(request)
        return self.done

    def data_received(self, data: bytes) -> None:
        if self.left_bytes is None:
            self.head += data
            head, separator, data = self.head.partition(HEAD_END)
            if not separator:
                return
            if not head.startswith(OK):
                self.finish(RuntimeError(f"{head.splitlines()[0].decode()}: {data[:300].decode(errors='replace')}"))
                return
            self.left_bytes = body_bytes(head)
        if self.left_bytes < 0:
            self.stream(data)
        else:
            self.left_bytes -= len(data)
            if self.left_bytes <= 0:
                self.finish()

    def stream(self, data: bytes) -> None:
        """Counts an event whose first bytes are cut by a read as none; that is one in thousands."""
        self.events += data.count(DATA)
        if not self.first_content_s and CONTENT in data:
            self.first_content_s = perf_counter()
        if b"@" in data:
            now_s = perf_counter()
            self.delays_s += [now_s - float(sent) for sent in STAMP.findall(data)]
        self.tail = (self.tail + data)[-len(STREAM_END) :]
        if self.tail == STREAM_END:
            self.finish()

    def finish(self, error: Exception | None = None) -> None:
        if self.done and not self.done.done():
            if error:
                self.done.set_exception(error)
            else:
                self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self.finish(error or ConnectionError("the connection was closed in the middle of an answer"))


def body_bytes(head: bytes) -> int:
    for line in head.lower().split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return -1


async def connect(job: Json) -> Answer:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Answer, job["host"], job["port"])
    return connection


def percentiles(times_s: list[float]) -> Json:
    """In milliseconds."""
    ordered = sorted(times_s)
    return {
        "p50_ms": ordered[len(ordered) // 2] * 1e3,
        "p99_ms": ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)] * 1e3,
    }


# --- jobs -------------------------------------------------------------------------------------------------------------


async def closed(job: Json, request: bytes) -> None:
    """Each connection sends the next request when it has the answer, for a while to warm up and then, after "go", to measure."""
    connections = [await connect(job) for _ in range(job["connections"])]
    counts = [0] * len(connections)

    async def keep_busy(index: int, until_s: float) -> None:
        while perf_counter() < until_s:
            await connections[index].send(request)
            counts[index] += 1

    async def all_busy(seconds: float) -> float:
        started_s = perf_counter()
        await asyncio.gather(*(keep_busy(index, started_s + seconds) for index in range(len(connections))))
        return perf_counter() - started_s

    await all_busy(job["warm_s"])
    say({"ready": True})
    await next_line()
    counts[:] = [0] * len(connections)
    elapsed_s = await all_busy(job["seconds"])
    say({"requests": sum(counts), "elapsed_s": elapsed_s})
    for connection in connections:
        connection.transport.close()


async def shared(job: Json, request: bytes) -> None:
    """A line says how many requests the connections shall send between them; "0" lets all go."""
    connections = [await connect(job) for _ in range(job["connections"])]

    async def send(count: int) -> None:
        numbers = iter(range(count))

        async def keep_busy(connection: Answer) -> None:
            for _ in numbers:
                await connection.send(request)

        await asyncio.gather(*map(keep_busy, connections))

    while count := int(await next_line()):
        await send(count)
        say({"requests": count})
    for connection in connections:
        connection.transport.close()


async def alone(job: Json, request: bytes) -> None:
    """One connection, one request after the other: times to the first content and to the end of each answer."""
    connection = await connect(job)
    whole_s, first_s = [], []
    for _ in range(job["warm_requests"] + job["requests"]):
        await connection.send(request)
        whole_s.append(perf_counter() - connection.sent_s)
        first_s.append((connection.first_content_s or perf_counter()) - connection.sent_s)
    say({"whole": percentiles(whole_s[job["warm_requests"] :]), "first": percentiles(first_s[job["warm_requests"] :])})
    connection.transport.close()


async def slow(job: Json, request: bytes) -> None:
    """N streams, begun over a second; after "ready" each line is answered with the events seen so far, "finish" ends it."""
    connections = [await connect(job) for _ in range(job["connections"])]
    streams = []
    for connection in connections:
        streams.append(connection.send(request))
        await asyncio.sleep(RAMP_S / len(connections))
    say({"ready": True})
    while await next_line() == "count":
        say({"events": sum(connection.events for connection in connections), "at_s": perf_counter()})
    await asyncio.gather(*streams)
    say(
        {
            "events": sum(connection.events for connection in connections),
            "first": percentiles([connection.first_content_s - connection.sent_s for connection in connections]),
            "delay": percentiles([delay_s for connection in connections for delay_s in connection.delays_s]),
        }
    )
    for connection in connections:
        connection.transport.close()


async def hold(job: Json, request: bytes) -> None:
    """Clients that have asked once and stay, with their stream if that is what they asked for; a line says how many more
    to add, "0" lets all go."""
    connections: list[Answer] = []
    more = job["connections"]
    while more:
        for start in range(0, more, AT_ONCE):
            connections += await asyncio.gather(*(begun(job, request) for _ in range(min(AT_ONCE, more - start))))
        say({"open": len(connections)})
        more = int(await next_line())
    for connection in connections:
        connection.transport.abort()
    say({"open": 0})


async def begun(job: Json, request: bytes) -> Answer:
    """A connection whose answer is there, or has begun when it is a stream."""
    connection = await connect(job)
    answer = connection.send(request)
    while not answer.done() and not connection.first_content_s:
        await asyncio.wait([answer], timeout=0.01)
    connection.done = None
    return connection


async def once(job: Json, request: bytes) -> None:
    connections = await asyncio.gather(*(connect(job) for _ in range(job["connections"])))
    await asyncio.gather(*(connection.send(request) for connection in connections))
    say({"requests": len(connections)})
    for connection in connections:
        connection.transport.close()


JOBS = {"closed": closed, "shared": shared, "alone": alone, "slow": slow, "hold": hold, "once": once}


def say(answer: Json) -> None:
    print(json.dumps(answer), flush=True)


async def next_line() -> str:
    line: str = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    return line.strip()


async def main() -> None:
    while line := await next_line():
        job = json.loads(line)
        await JOBS[job["kind"]](job, base64.b64decode(job["request"]))


if __name__ == "__main__":
    process.raise_file_limit()
    with asyncio.Runner(loop_factory=process.new_event_loop) as runner:
        runner.run(main())
