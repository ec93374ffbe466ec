"""The end of a gateway: what still runs when the time for draining is over is told so, in its own dialect."""

import asyncio
import json
import signal
import sqlite3
import sys

import httpx
import pytest

from omniroute.testing import FakeUpstream, Hang, Stream, WaitFor, sse

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


LONG_DRAIN = SETTINGS.replace("drain_s = 0.3", "drain_s = 30\nunready_s = 0.4")


async def until_nobody_listens(gateway):
    """A connection may still wait in the backlog that was never accepted: only a refusal says that it is over."""
    port = int(gateway.base_url.rpartition(":")[2])
    async with asyncio.timeout(5):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return
            writer.close()


async def test_f31_a_hundred_streams_finish_while_nobody_new_comes_in(start_gateway):
    go_on = asyncio.Event()
    end = {**WORD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    script = Stream([sse([WORD]), WaitFor(go_on), sse([end, "[DONE]"])])
    async with (
        FakeUpstream(answer=script) as upstream,
        start_gateway(LONG_DRAIN.format(upstream.base_url)) as gateway,
        httpx.AsyncClient(timeout=5, trust_env=False) as other,
    ):
        begun = [asyncio.Event() for _ in range(100)]
        answers = [asyncio.create_task(ask(gateway, "/v1/chat/completions", one)) for one in begun]
        await asyncio.wait_for(asyncio.gather(*(one.wait() for one in begun)), 30)
        assert (await other.get(gateway.base_url + "/readyz")).status_code == 200
        gateway.process.terminate()
        while (ready := await other.get(gateway.base_url + "/readyz")).status_code == 200:
            pass  # the signal is on its way
        assert ready.json()["reason"] == "shutting down"
        await until_nobody_listens(gateway)
        assert not any(one.done() for one in answers)
        go_on.set()
        assert {(status, text.endswith("data: [DONE]\n\n")) for status, text in await asyncio.gather(*answers)} == {
            (200, True)
        }
        assert await asyncio.wait_for(gateway.process.wait(), 10) == 0
        assert len(await outcomes(gateway)) == 100
        data = gateway.directory / "data"
        assert [path.name for path in data.glob("*.db-wal") if path.stat().st_size] == []
        assert "Traceback" not in gateway.log


async def test_f31_a_second_signal_ends_it_within_two_seconds_and_streams_are_told(start_gateway):
    async with FakeUpstream(FOREVER) as upstream, start_gateway(LONG_DRAIN.format(upstream.base_url)) as gateway:
        begun = asyncio.Event()
        answer = asyncio.create_task(ask(gateway, "/v1/messages", begun))
        await asyncio.wait_for(begun.wait(), 20)
        gateway.process.terminate()
        await until_nobody_listens(gateway)
        gateway.process.terminate()
        assert await asyncio.wait_for(gateway.process.wait(), 2) == 128 + signal.SIGTERM
        _, text = await asyncio.wait_for(answer, 2)
        assert text.rstrip("\n").rpartition("\n\n")[2].startswith("event: error\n")
        assert await outcomes(gateway) == [(200, "error", "draining", [None])]


async def test_a_client_that_was_kept_waiting_is_told_in_its_stream(start_gateway):
    settings = SETTINGS + "\n[timeouts]\nkeepalive_s = 0.1\n"
    async with FakeUpstream(Hang()) as upstream, start_gateway(settings.format(upstream.base_url)) as gateway:
        begun = asyncio.Event()
        answer = asyncio.create_task(ask(gateway, "/v1/messages", begun))
        await asyncio.wait_for(begun.wait(), 20)
        gateway.process.terminate()
        status, text = await asyncio.wait_for(answer, 4)
        assert (status, text.startswith("event: ping\n")) == (200, True)
        assert "shutting down" in text.rpartition("event: error\n")[2]
        assert await asyncio.wait_for(gateway.process.wait(), 10) == 0
        assert await outcomes(gateway) == [(200, "error", "draining", ["draining"])]
