"""The end of a gateway: what still runs when the time for draining is over is told so, in its own dialect."""

import asyncio
import json
import sqlite3
import sys

import httpx
import pytest

from omniroute.testing import FakeUpstream, Hang, Stream, sse

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="terminates without a signal there")

SETTINGS = """
[providers.lab]
dialect = "openai-chat"
base_url = "{}"
api_key = "upstream-key-1"

[limits]
drain_s = 0.3
"""
WORD = {
    "id": "c1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "up",
    "choices": [{"index": 0, "delta": {"content": "half"}, "finish_reason": None}],
}
FOREVER = Stream([sse([WORD]), Hang()])


async def ask(gateway, path: str, begun: asyncio.Event, *, stream: bool = True) -> tuple[int, str]:
    """The whole answer; `begun` is set when some of its body is here."""
    body = {"model": "lab/m", "max_tokens": 9, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {gateway.client_key}"}
    async with (
        httpx.AsyncClient(timeout=30, trust_env=False) as client,
        client.stream("POST", gateway.base_url + path, json=body, headers=headers) as answer,
    ):
        text = ""
        async for piece in answer.aiter_text():
            text += piece
            begun.set()
        return answer.status_code, text


async def outcomes(gateway):
    with sqlite3.connect(gateway.directory / "data" / "requests.db") as database:
        rows = database.execute("select status, outcome, error, attempts from requests").fetchall()
    database.close()
    return [(*row, [attempt.get("error") for attempt in json.loads(attempts)]) for *row, attempts in rows]


@pytest.mark.parametrize(
    ("path", "last_event"),
    [("/v1/chat/completions", 'data: {"error":'), ("/v1/messages", "event: error\n")],
    ids=["relayed", "translated"],
)
async def test_a_stream_that_is_cut_off_ends_in_an_error_event(start_gateway, path, last_event):
    async with FakeUpstream(FOREVER) as upstream, start_gateway(SETTINGS.format(upstream.base_url)) as gateway:
        begun = asyncio.Event()
        answer = asyncio.create_task(ask(gateway, path, begun))
        await asyncio.wait_for(begun.wait(), 20)
        gateway.process.terminate()
        status, text = await asyncio.wait_for(answer, 4)
        assert status == 200
        assert "half" in text
        assert text.rstrip("\n").rpartition("\n\n")[2].startswith(last_event)
        assert "shutting down" in text
        assert await asyncio.wait_for(gateway.process.wait(), 10) == 0
        await upstream.closed_by_peer(1)
        assert await outcomes(gateway) == [(200, "error", "draining", [None])]
        assert "Traceback" not in gateway.log


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_a_request_whose_upstream_has_not_answered_yet_is_a_503(start_gateway, stream):
    async with FakeUpstream(Hang()) as upstream, start_gateway(SETTINGS.format(upstream.base_url)) as gateway:
        answer = asyncio.create_task(ask(gateway, "/v1/messages", asyncio.Event(), stream=stream))
        await upstream.received(1, timeout_s=20)
        gateway.process.terminate()
        status, text = await asyncio.wait_for(answer, 4)
        assert (status, json.loads(text)["type"]) == (503, "error")
        assert await asyncio.wait_for(gateway.process.wait(), 10) == 0
        await upstream.closed_by_peer(1)
        assert await outcomes(gateway) == [(503, "error", "draining", ["draining"])]
        assert "Traceback" not in gateway.log
