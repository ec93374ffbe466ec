"""A whole gateway in this process, behind a real socket, and upstreams that do exactly what their scripts say.

A fault is asserted from four sides: what the client saw, what the upstream saw, what was recorded, and that nothing is left:
when a test ends no task runs, no connection is open and no attempt is counted as under way, or it fails.
"""

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import pytest

from omniroute.app import build_app
from omniroute.gateway import Gateway
from omniroute.server import ServerLimits, running
from omniroute.settings import load
from omniroute.testing import Reply, Stream, sse

KEY = "test-client-key-0001"
PATHS = {
    "openai-chat": "/v1/chat/completions",
    "openai-responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/{}:generateContent",
}
LONGEST_S = 20.0
"""For one test: a fault that hangs is one that is found."""
HI = [{"role": "user", "content": "hi"}]

CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "up",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


def chunk(finish=None, **delta):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [choice]}


OPENING = sse([chunk(role="assistant", content="")])
ENDING = sse([chunk(finish="stop"), "[DONE]"])
STREAM = [OPENING, sse([chunk(content="fine")]), ENDING]


def word(text):
    return sse([chunk(content=text)])


def good(request):
    """What a healthy upstream of the dialect openai-chat answers."""
    return Stream(STREAM) if request.json().get("stream") else Reply.json(CHAT)


def provider(name, upstream, more=""):
    url = upstream if isinstance(upstream, str) else upstream.base_url
    return f'[providers.{name}]\ndialect = "openai-chat"\nbase_url = "{url}"\n{more}\n'


def pair(first, second, more=""):
    combo = '[combos.pair]\nmodels = ["first/m", "second/m"]\n'
    return provider("first", first, more) + provider("second", second) + combo


class World:
    def __init__(self, gateway, server, http):
        self.gateway, self.server, self.http = gateway, server, http

    def request(self, model, *, stream=False, dialect="openai-chat", **fields):
        """Path and body of a request that says hi."""
        path = PATHS[dialect].format(model)
        if dialect == "gemini":
            path = path.replace(":generate", ":streamGenerate") + "?alt=sse" if stream else path
            return path, {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], **fields}
        told = {"input": "hi"} if dialect == "openai-responses" else {"messages": HI, "max_tokens": 9}
        return path, {"model": model, "stream": stream, **told, **fields}

    async def ask(self, model, *, stream=False, dialect="openai-chat", **fields):
        path, body = self.request(model, stream=stream, dialect=dialect, **fields)
        return await self.http.post(self.server.base_url + path, json=body)

    async def record(self, answer):
        """What was kept of the request that was answered."""
        [found] = await self.records(answer.headers["x-request-id"])
        return found

    async def records(self, request_id):
        return await self.gateway.telemetry.find(request_id)

    def raw(self, model, **options):
        """The bytes of such a request."""
        path, body = self.request(model, **options)
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\nX-Request-Id: raw-1\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        return head.encode() + data

    def in_flight(self):
        counts = self.gateway.router.standing._counts.values()
        return sum(one.in_flight for one in counts)


def codes(record):
    """Of each attempt that was sent: the error, or None where it answered."""
    return [attempt.error for attempt in record.attempts if attempt.sent]


def shown_error(dialect, text):
    """The error with which a stream ends, as text; the stream must end with it in the dialect's own form."""
    last = text.rstrip("\n").rpartition("\n\n")[2]
    marks = {
        "openai-chat": 'data: {"error":',
        "openai-responses": "event: response.failed\n",
        "anthropic": "event: error\n",
        "gemini": 'data: {"error":',
    }
    assert last.startswith(marks[dialect]) or (dialect == "openai-responses" and last.startswith("event: error\n")), (
        last
    )
    return last


@pytest.fixture
def start(tmp_path):
    """`async with start(settings) as world:`"""

    @asynccontextmanager
    async def started(settings, *, limits=None, given=None):
        before = asyncio.all_tasks()
        key = f'[[auth.keys]]\nname = "tests"\nkey = "{KEY}"\n'
        (tmp_path / "omniroute.toml").write_text(key + settings)
        loaded = load(data_dir=tmp_path / "data", environ={}, cwd=tmp_path, config_dir=tmp_path)
        gateway = await Gateway.open(loaded, given=given)
        try:
            async with (
                asyncio.timeout(LONGEST_S),
                running(build_app(gateway), limits=limits or ServerLimits()) as server,
            ):
                headers = {"authorization": f"Bearer {KEY}"}
                async with httpx.AsyncClient(timeout=20, headers=headers, trust_env=False) as http:
                    world = World(gateway, server, http)
                    yield world
                assert world.in_flight() == 0
        finally:
            await gateway.close()
        left = {task for task in asyncio.all_tasks() - before if "Connection._serve" not in repr(task)}
        assert not left

    return started
