"""The bytes of a run: requests as clients send them, answers as upstreams give them. Made once, before anything is measured.

An upstream's answer is named by the first segment of the path it is asked for: `/json/…` is one body of 1 kB, `/burst/…`
a stream of `STREAM_EVENTS` events as fast as they go, `/slow/N/…` N events at `SLOW_EVENTS_PER_S`.
"""

import json
from typing import Any

STREAM_EVENTS = 200
SLOW_EVENTS_PER_S = 20
MODEL = "small"
UPSTREAM_KEY = "test-upstream-key-1"
CHAT, MESSAGES = "openai-chat", "anthropic"
PATHS = {CHAT: "chat/completions", MESSAGES: "messages"}
WORD = "lorem ipsum dolor sit amet consectetur "
CREATED = 1_760_000_000
NO_STAMP = b"@0000000000.000000"
"""In the text of slow events, where the upstream puts the time."""

Json = dict[str, Any]


def compact(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


# --- requests ---------------------------------------------------------------------------------------------------------


def request(path: str, *, host: str, key: str, dialect: str, body: bytes) -> bytes:
    """A whole HTTP request."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\nuser-agent: bench\r\n"
        f"accept: */*\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    )
    if dialect == MESSAGES:
        head += "anthropic-version: 2023-06-01\r\n"
    return head.encode() + b"\r\n" + body


def words_body(dialect: str, model: str, body_bytes: int, *, stream: bool) -> bytes:
    """About `body_bytes` of a conversation in turns of at most 2 kB: long texts and hardly any structure."""
    body: Json = {"model": model, "max_tokens": 256, "stream": stream, "temperature": 0.5}
    if stream and dialect == CHAT:
        body["stream_options"] = {"include_usage": True}
    left = body_bytes - len(compact(body))
    messages: list[Json] = []
    while left > 0 or len(messages) % 2 == 0:  # ends with the user's turn
        text = (WORD * 60)[: max(min(left - 40, 2000), 8)]
        messages.append({"role": "assistant" if len(messages) % 2 else "user", "content": text})
        left -= len(text) + 40
    return compact({**body, "messages": messages})


# --- answers ----------------------------------------------------------------------------------------------------------


def sse(data: Json, *, event: str | None = None) -> bytes:
    return (f"event: {event}\n".encode() if event else b"") + b"data: " + compact(data) + b"\n\n"


def whole_answer(dialect: str) -> bytes:
    text = (WORD * 20)[:700]
    if dialect == CHAT:
        message = {"role": "assistant", "content": text, "refusal": None}
        return compact(
            {
                "id": "chatcmpl-bench",
                "object": "chat.completion",
                "created": CREATED,
                "model": MODEL,
                "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 210, "completion_tokens": 140, "total_tokens": 350},
                "system_fingerprint": "fp_bench",
            }
        )
    return compact(
        {
            "id": "msg_bench",
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 210, "output_tokens": 140},
        }
    )


def events(dialect: str, count: int, text: str = " lorem") -> list[bytes]:
    """`count` events of one streamed answer, opening and closing ones included; each of the others says `text`."""
    return chat_events(count, text) if dialect == CHAT else message_events(count, text)


def stamped(event: bytes, now_s: float) -> bytes:
    """The event with the time in it, so that whoever receives it knows how long it took."""
    return event.replace(NO_STAMP, b"@%017.6f" % now_s)


def chat_events(count: int, text: str) -> list[bytes]:
    base = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": MODEL,
        "system_fingerprint": "fp_bench",
    }

    def chunk(delta: Json, finish: str | None = None) -> bytes:
        return sse({**base, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]})

    usage = {"prompt_tokens": 210, "completion_tokens": count, "total_tokens": 210 + count}
    return [
        chunk({"role": "assistant", "content": ""}),
        *([chunk({"content": text})] * (count - 4)),
        chunk({}, "stop"),
        sse({**base, "choices": [], "usage": usage}),
        b"data: [DONE]\n\n",
    ]


def message_events(count: int, text: str) -> list[bytes]:
    usage = {"input_tokens": 210, "output_tokens": 1}
    start: Json = {"id": "msg_bench", "type": "message", "role": "assistant", "model": MODEL, "content": [],
             "stop_reason": None, "stop_sequence": None, "usage": usage}  # fmt: skip
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    delta = {"type": "text_delta", "text": text}
    return [
        sse({"type": "message_start", "message": start}, event="message_start"),
        sse({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            event="content_block_start"),
        *([sse({"type": "content_block_delta", "index": 0, "delta": delta}, event="content_block_delta")] * (count - 5)),
        sse({"type": "content_block_stop", "index": 0}, event="content_block_stop"),
        sse({"type": "message_delta", "delta": end, "usage": {"output_tokens": count}}, event="message_delta"),
        sse({"type": "message_stop"}, event="message_stop"),
    ]  # fmt: skip


def json_response(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
STREAM_END = b"0\r\n\r\n"


def chunked(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"
