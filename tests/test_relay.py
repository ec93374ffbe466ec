"""What passes through: bytes relayed untouched, broken streams told, clients that leave, and what is recorded of it."""

import asyncio
import json
import sqlite3

import pytest

from omniroute.testing import Close, FakeUpstream, Hang, Reply, Reset, Stream, sse

SETTINGS = """
[providers.chatty]
dialect = "openai-chat"
base_url = "{0}"
api_key = "upstream-key-1"

[providers.wordy]
dialect = "anthropic"
base_url = "{0}"
api_key = "upstream-key-1"

[combos.two]
models = ["chatty/first", "chatty/second"]

[combos.turns]
strategy = "round-robin"
models = ["chatty/first", "chatty/second"]
"""


def chunk(**delta):
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "up",
        "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
    }


FINISH = {**chunk(), "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE = {
    **chunk(),
    "choices": [],
    "usage": {
        "prompt_tokens": 5,
        "completion_tokens": 2,
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 3},
    },
}
CHAT = [
    b": hello\n\n",
    sse([chunk(role="assistant", content="")]),
    b'data:  {"id":"odd", "choices":[{"index":0,"delta":{"content":"a\\u2028b"},"unknown":1}]}\n\n',
    sse([FINISH, USAGE, "[DONE]"]),
]
MESSAGES = [
    sse(
        [
            {
                "event": "message_start",
                "data": {
                    "type": "message_start",
                    "message": {
                        "id": "m1",
                        "type": "message",
                        "role": "assistant",
                        "model": "up",
                        "content": [],
                        "stop_reason": None,
                        "stop_sequence": None,
                        "usage": {"input_tokens": 5, "output_tokens": 1},
                    },
                },
            }
        ]
    ),
    sse(
        [
            {
                "event": "content_block_start",
                "data": {
                    "type": "content_block_start",
                    "index": 0,
                    "content_block": {"type": "thinking", "thinking": "", "signature": ""},
                },
            }
        ]
    ),
    sse(
        [
            {
                "event": "content_block_delta",
                "data": {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "signature_delta", "signature": "AbC+/=="},
                },
            }
        ]
    ),
    sse([{"event": "content_block_stop", "data": {"type": "content_block_stop", "index": 0}}]),
    sse(
        [
            {
                "event": "message_delta",
                "data": {
                    "type": "message_delta",
                    "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                    "usage": {"output_tokens": 2},
                },
            }
        ]
    ),
    sse([{"event": "message_stop", "data": {"type": "message_stop"}}]),
]


TEXT = sse(
    {"event": event["type"], "data": event}
    for event in (
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}},
    )
)


class Client:
    """A raw client: what it sends and what it gets, byte by byte."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.host, _, port = gateway.base_url.removeprefix("http://").partition(":")
        self.port = int(port)

    async def open(self, body, path="/v1/chat/completions", headers=()):
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.gateway.client_key}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self.writer.write(head.encode() + b"".join(line + b"\r\n" for line in headers) + b"\r\n" + body)

    async def head(self):
        lines = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 20)).decode().split("\r\n")
        self.headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1])

    async def chunk(self):
        size = int(await asyncio.wait_for(self.reader.readline(), 20), 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    async def body(self):
        if "content-length" in self.headers:
            return await self.reader.readexactly(int(self.headers["content-length"]))
        pieces = []
        while piece := await self.chunk():
            pieces.append(piece)
        return b"".join(pieces)

    async def close(self):
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)


@pytest.fixture
async def world(start_gateway):
    async with FakeUpstream() as upstream, start_gateway(SETTINGS.format(upstream.base_url)) as gateway:
        client = Client(gateway)
        yield upstream, client
        await client.close()


async def records(gateway):
    """The rows of a gateway that has stopped."""
    gateway.process.terminate()
    await gateway.process.wait()
    with sqlite3.connect(gateway.directory / "data" / "requests.db") as database:
        database.row_factory = sqlite3.Row
        rows = [dict(row) for row in database.execute("select * from requests order by id")]
    database.close()
    return rows


def request(model="chatty/up", stream=True, **fields):
    return json.dumps(
        {"model": model, "max_tokens": 9, "stream": stream, "messages": [{"role": "user", "content": "hi"}], **fields}
    ).encode()


@pytest.mark.parametrize(
    ("path", "model", "chunks"),
    [("/v1/chat/completions", "chatty/up", CHAT), ("/v1/messages", "wordy/up", MESSAGES)],
    ids=["openai-chat", "anthropic"],
)
async def test_a_relayed_stream_is_the_upstream_s_bytes(world, path, model, chunks):
    upstream, client = world
    upstream.queue(Stream(chunks))
    await client.open(request(model), path)
    assert await client.head() == 200
    assert client.headers["content-type"] == "text/event-stream"
    assert await client.body() == b"".join(chunks)
    (row,) = await records(client.gateway)
    assert (row["outcome"], row["relayed"], row["input_tokens"], row["output_tokens"]) == ("ok", 1, 5, 2)


async def test_a_relayed_request_changes_in_nothing_but_the_model(world):
    upstream, client = world
    body = b'{ "stream":false,"x_unknown": [1.0, 1e5,"\\u00e9\\ud83d\\ude00"], "model" : "chatty/a/b", "messages":[ {"role":"user","content":"\xc3\xa9 \\u0000"} ],"temperature":0.70 }'
    answer = b'{"id": "1",  "choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}], "odd": 1.0}'
    upstream.queue(Reply(200, {"content-type": "application/json"}, answer))
    await client.open(body)
    assert await client.head() == 200
    assert await client.body() == answer
    sent = upstream.requests[0].body
    assert json.loads(sent) == {**json.loads(body), "model": "a/b"}
    for value in (b'[1.0, 1e5,"\\u00e9\\ud83d\\ude00"]', b'[ {"role":"user","content":"\xc3\xa9 \\u0000"} ]', b"0.70"):
        assert value in sent


@pytest.mark.parametrize("ending", [[], [Close()], [Reset()]], ids=["ended", "closed", "reset"])
@pytest.mark.parametrize(
    ("path", "model", "chunks", "cut", "event"),
    [
        ("/v1/chat/completions", "chatty/up", CHAT, 3, b'data: {"error":'),
        ("/v1/messages", "wordy/up", MESSAGES, 3, b"event: error\n"),
        ("/v1/messages", "chatty/up", CHAT, 3, b"event: error\n"),
        (
            "/v1/chat/completions",
            "wordy/up",
            [*MESSAGES[:1], TEXT],
            2,
            b'data: {"error":',
        ),
    ],
    ids=["chat relayed", "messages relayed", "chat to messages", "messages to chat"],
)
async def test_a_cut_stream_ends_in_an_error_event(world, path, model, chunks, cut, event, ending):
    upstream, client = world
    half = b'data: {"id":"c1","choices":[{"in'
    upstream.queue(Stream([*chunks[:cut], half, *ending]))
    await client.open(request(model), path)
    assert await client.head() == 200
    body = await client.body()
    assert half not in body
    assert body.rpartition(b"\n\n")[0].rpartition(b"\n\n")[2].startswith(event)
    assert b"[DONE]" not in body
    assert b"event: message_stop" not in body
    (row,) = await records(client.gateway)
    assert (row["outcome"], row["status"]) == ("error", 200)
    assert row["error"] == ("upstream_failed" if ending else "stream_truncated")


async def test_before_content_a_broken_stream_falls_back_and_the_client_sees_nothing_of_it(world):
    upstream, client = world
    upstream.queue(Stream([*CHAT[:2], Close()]), Stream(CHAT))
    await client.open(request("two"))
    assert await client.head() == 200
    assert (client.headers["x-omniroute-attempts"], client.headers["x-omniroute-model"]) == ("2", "second")
    assert await client.body() == b"".join(CHAT)
    (row,) = await records(client.gateway)
    attempts = json.loads(row["attempts"])
    assert [(attempt["model"], attempt.get("error")) for attempt in attempts] == [
        ("first", "upstream_failed"),
        ("second", None),
    ]


async def test_after_content_nothing_is_tried_again(world):
    upstream, client = world
    upstream.queue(Stream([*CHAT[:3], Close()]))
    await client.open(request("two"))
    assert await client.head() == 200
    assert b'"error"' in await client.body()
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_a_truncated_whole_answer_falls_back(world, stream):
    upstream, client = world
    upstream.queue(
        Reply(200, {"content-type": "application/json"}, b'{"id": "1", "choi'),
        Stream(CHAT) if stream else Reply.json({"id": "1", "choices": []}),
    )
    await client.open(request("two", stream=stream))
    assert await client.head() == 200
    assert client.headers["x-omniroute-model"] == "second"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Reply(200, {"content-type": "text/html"}, b"<html>log in</html>"), "unexpected_content_type"),
        (Reply(200, {}, b""), "upstream_garbled"),
    ],
    ids=["a page", "nothing"],
)
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_an_answer_of_another_kind_is_a_502(world, answer, code, stream):
    upstream, client = world
    upstream.queue(answer)
    await client.open(request(stream=stream))
    assert await client.head() == 502
    assert json.loads(await client.body())["error"]["code"] == code


async def test_the_model_list_of_a_combo_turns(world):
    upstream, client = world
    seen = []
    for _ in range(4):
        upstream.queue(Stream(CHAT))
        await client.open(request("turns"))
        assert await client.head() == 200
        await client.body()
        seen.append(client.headers["x-omniroute-model"])
        await client.close()
    assert seen in (["first", "second"] * 2, ["second", "first"] * 2)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("when", ["before the head", "after the head", "in mid-stream"])
async def test_a_client_that_leaves_closes_its_upstream_at_once(world, when, stream):
    """Within 250 ms (the best of three: the machine may be busy)."""
    upstream, client = world
    loop = asyncio.get_running_loop()
    took = []
    for turn in range(1, 4):
        scripts = {
            "before the head": Hang(),
            "after the head": Stream([Hang()]),
            "in mid-stream": Stream([*CHAT[:3], Hang()]),
        }
        upstream.queue(scripts[when])
        await client.open(request(stream=stream))
        await upstream.received(turn)
        if when == "in mid-stream" and stream:
            assert await client.head() == 200
            while b"2028" not in await client.chunk():
                pass
        left = loop.time()
        await client.close()
        await upstream.closed_by_peer(turn)
        took.append(loop.time() - left)
    assert min(took) < 0.25
    assert len(upstream.requests) == 3
    rows = await records(client.gateway)
    assert [row["outcome"] for row in rows] == ["client_closed"] * 3
    committed = when == "in mid-stream" and stream
    errors = [[attempt.get("error") for attempt in json.loads(row["attempts"])] for row in rows]
    assert errors == [[None if committed else "client_closed"]] * 3


async def test_a_first_chunk_is_not_held_for_the_second(world):
    upstream, client = world
    upstream.queue(Stream([*CHAT[:3], Hang(), *CHAT[3:]]))
    await client.open(request())
    assert await client.head() == 200
    got = b""
    while b"2028" not in got:
        got += await client.chunk()
    upstream.release()
    assert got + await client.body() == b"".join(CHAT)


async def test_an_upstream_s_text_never_carries_the_account_s_key_to_the_client(world):
    upstream, client = world
    upstream.queue(Reply.json({"error": {"message": "bad key upstream-key-1!", "type": "x"}}, 401))
    await client.open(request())
    assert await client.head() == 401
    assert b"upstream-key-1" not in await client.body()
    assert "upstream-key-1" not in client.gateway.log
    rows = await records(client.gateway)
    assert "upstream-key-1" not in str(rows)
