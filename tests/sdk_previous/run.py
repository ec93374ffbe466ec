"""The official SDKs of the majors before, against a running gateway process.

Needs the standard library, `openai` and `anthropic`, so it runs in an environment of its own; `--omniroute` is the
gateway's command in another. Each check runs with both dialects behind: scripted upstreams in this process, which answer
by the model they are asked for. Prints one line per check and ends with `N passed, N failed`.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anthropic
import openai

UPSTREAM_KEY = "test-upstream-key-1"
WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
QUESTION = "What is the weather in Oslo?"
BEHIND = ("chatty", "wordy")
"""Providers in the settings: OpenAI's dialect and Anthropic's, both this process."""


# --- the scripted upstreams -------------------------------------------------------------------------------------------


class Upstream(BaseHTTPRequestHandler):
    """Speaks both dialects. A model named `weather` calls the tool and, given the result, repeats it; others say hello."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        self.reply(200, {"object": "list", "data": [{"id": "small", "object": "model", "type": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        messages_dialect = "/messages" in self.path
        given = self.headers["x-api-key"] if messages_dialect else self.headers["authorization"]
        if given != (UPSTREAM_KEY if messages_dialect else f"Bearer {UPSTREAM_KEY}"):
            self.reply(401, {"error": {"type": "authentication_error", "message": "that is not my key"}})
        elif body["model"] == "refused":
            self.reply(400, {"error": {"type": "invalid_request_error", "message": "no such thing", "code": "odd"}})
        elif body["model"] == "limited":
            error = {"error": {"type": "rate_limit_error", "message": "slow down", "code": "rate_limit_exceeded"}}
            self.reply(429, error, {"retry-after": "7"})
        elif self.path.endswith("/count_tokens"):
            self.reply(200, {"input_tokens": 17})
        elif messages_dialect:
            self.answer_messages(body)
        else:
            self.answer_chat(body)

    def answer_chat(self, body: dict[str, Any]) -> None:
        results = [m["content"] for m in body["messages"] if m["role"] == "tool"]
        usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
        head = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
        if body["model"] == "weather" and not results:
            function = {"name": "weather", "arguments": '{"city": "Oslo"}'}
            call = {"id": "call_1", "type": "function", "function": function}
            message: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [call]}
            pieces = [
                {"role": "assistant", "tool_calls": [{**call, "index": 0, "function": {**function, "arguments": ""}}]},
                {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]},
                {"tool_calls": [{"index": 0, "function": {"arguments": ' "Oslo"}'}}]},
            ]
            finish = "tool_calls"
        else:
            text = as_text(results[-1]) if results else "Hello there"
            message = {"role": "assistant", "content": text}
            pieces = [{"role": "assistant", "content": text[:3]}, {"content": text[3:]}]
            finish = "stop"
        if not body.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": finish}
            self.reply(200, {**head, "object": "chat.completion", "choices": [choice], "usage": usage})
            return
        chunk = {**head, "object": "chat.completion.chunk"}
        events = [{**chunk, "choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in pieces]
        events.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        if (body.get("stream_options") or {}).get("include_usage"):
            events.append({**chunk, "choices": [], "usage": usage})
        self.stream([f"data: {json.dumps(event)}\n\n" for event in events] + ["data: [DONE]\n\n"])

    def answer_messages(self, body: dict[str, Any]) -> None:
        blocks = [b for m in body["messages"] if isinstance(m["content"], list) for b in m["content"]]
        results = [b["content"] for b in blocks if b["type"] == "tool_result"]
        usage = {"input_tokens": 11, "output_tokens": 5}
        head = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "stop_sequence": None}
        if body["model"] == "weather" and not results:
            block: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}
            start, stop_reason = {**block, "input": {}}, "tool_use"
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ('{"city":', ' "Oslo"}')]
        else:
            text = as_text(results[-1]) if results else "Hello there"
            block = {"type": "text", "text": text}
            start, stop_reason = {"type": "text", "text": ""}, "end_turn"
            deltas = [{"type": "text_delta", "text": piece} for piece in (text[:3], text[3:])]
        if not body.get("stream"):
            self.reply(200, {**head, "content": [block], "stop_reason": stop_reason, "usage": usage})
            return
        empty = {**head, "content": [], "stop_reason": None, "usage": {"input_tokens": 11, "output_tokens": 1}}
        end = {"stop_reason": stop_reason, "stop_sequence": None}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": empty},
            {"type": "content_block_start", "index": 0, "content_block": start},
            *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": end, "usage": {"output_tokens": 5}},
            {"type": "message_stop"},
        ]
        self.stream([f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events])

    def reply(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, events: list[str]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for event in (*events, ""):
            data = event.encode()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def as_text(content: str | list[dict[str, str]]) -> str:
    """A tool's result as either dialect writes it."""
    return content if isinstance(content, str) else "".join(block["text"] for block in content)


# --- the gateway ------------------------------------------------------------------------------------------------------


@contextmanager
def upstream() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


@contextmanager
def gateway(omniroute: str, folder: Path, upstream_port: int) -> Iterator[tuple[str, str]]:
    """A gateway process with a data directory of its own; gives (base URL, client key)."""
    settings = folder / "omniroute.toml"
    dialects = {"chatty": "openai-chat", "wordy": "anthropic", "busy-chatty": "openai-chat", "busy-wordy": "anthropic"}
    settings.write_text(
        "\n".join(
            f'[providers.{name}]\ndialect = "{dialect}"\nbase_url = "http://127.0.0.1:{upstream_port}/v1"\n'
            f'api_key = "{UPSTREAM_KEY}"\nmodels = ["small", "weather", "refused", "limited"]\n'
            for name, dialect in dialects.items()
        ),
        encoding="utf-8",
    )
    where = ["--config", str(settings), "--data-dir", str(folder / "data")]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OMNIROUTE_") and k != "DATA_DIR"}
    made = subprocess.run(
        [omniroute, "key", "create", "sdk", *where],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    log = folder / "log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [omniroute, "serve", "--port", "0", *where],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            base_url = process.stdout.readline().strip()
            if not base_url:
                raise SystemExit(f"the gateway did not start: exit code {process.wait()}\n{log.read_text()}")
            yield base_url.rstrip("/"), made.stdout.strip()
        finally:
            process.terminate()


# --- the checks: each takes the base URL, a good key and the provider behind ------------------------------------------


def openai_chat(base_url: str, key: str, behind: str) -> None:
    answer = openai_client(base_url, key).chat.completions.create(
        model=f"{behind}/small", messages=[{"role": "user", "content": "hi"}]
    )
    assert answer.choices[0].message.content == "Hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (11, 5)


def openai_stream(base_url: str, key: str, behind: str) -> None:
    chunks = list(
        openai_client(base_url, key).chat.completions.create(
            model=f"{behind}/small",
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello there"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    usage = [c.usage for c in chunks if c.usage]
    assert [(u.prompt_tokens, u.completion_tokens) for u in usage] == [(11, 5)]


def openai_stream_async(base_url: str, key: str, behind: str) -> None:
    async def collect() -> str:
        async with openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key=key, max_retries=0) as client:
            stream = await client.chat.completions.create(
                model=f"{behind}/small", messages=[{"role": "user", "content": "hi"}], stream=True
            )
            return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])

    assert asyncio.run(collect()) == "Hello there"


def openai_tools(base_url: str, key: str, behind: str) -> None:
    client = openai_client(base_url, key)
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    asked = client.chat.completions.create(model=f"{behind}/weather", messages=messages, tools=tools)
    assert asked.choices[0].finish_reason == "tool_calls"
    calls: Any = asked.choices[0].message.tool_calls
    assert [(c.function.name, json.loads(c.function.arguments)) for c in calls] == [("weather", {"city": "Oslo"})]
    messages.append(asked.choices[0].message.model_dump(exclude_none=True))
    messages.append({"role": "tool", "tool_call_id": calls[0].id, "content": "4 degrees, rain"})
    told = client.chat.completions.create(model=f"{behind}/weather", messages=messages, tools=tools)
    assert told.choices[0].message.content == "4 degrees, rain"


def openai_tools_stream(base_url: str, key: str, behind: str) -> None:
    stream: Any = openai_client(base_url, key).chat.completions.create(
        model=f"{behind}/weather",
        messages=[{"role": "user", "content": QUESTION}],
        tools=[{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}],
        stream=True,
    )
    deltas = [d for c in stream if c.choices for d in c.choices[0].delta.tool_calls or ()]
    assert [d.function.name for d in deltas if d.function.name] == ["weather"]
    assert json.loads("".join(d.function.arguments or "" for d in deltas)) == {"city": "Oslo"}


def openai_errors(base_url: str, key: str, behind: str) -> None:
    def ask(model: str, with_key: str = key) -> Callable[[], object]:
        completions = openai_client(base_url, with_key).chat.completions
        return lambda: completions.create(model=model, messages=[{"role": "user", "content": "hi"}])

    expect(openai.AuthenticationError, ask(f"{behind}/small", "test-key-that-is-not-one"))
    expect(openai.NotFoundError, ask("no-such-provider/small"))
    expect(openai.BadRequestError, ask(f"{behind}/refused"), saying="no such thing")
    limited = expect(openai.RateLimitError, ask(f"busy-{behind}/limited"))
    assert int(limited.response.headers["retry-after"]) >= 1


def openai_models(base_url: str, key: str, behind: str) -> None:
    listed = {model.id for model in openai_client(base_url, key).models.list()}
    assert {f"{behind}/small", "demo/echo"} <= listed, listed


def anthropic_chat(base_url: str, key: str, behind: str) -> None:
    answer = anthropic_client(base_url, key).messages.create(
        model=f"{behind}/small", max_tokens=64, messages=[{"role": "user", "content": "hi"}]
    )
    assert [block.text for block in answer.content if block.type == "text"] == ["Hello there"]
    assert answer.stop_reason == "end_turn"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (11, 5)


def anthropic_stream(base_url: str, key: str, behind: str) -> None:
    with anthropic_client(base_url, key).messages.stream(
        model=f"{behind}/small", max_tokens=64, messages=[{"role": "user", "content": "hi"}]
    ) as stream:
        assert "".join(stream.text_stream) == "Hello there"
        final = stream.get_final_message()
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 5)


def anthropic_stream_async(base_url: str, key: str, behind: str) -> None:
    async def collect() -> str:
        async with (
            anthropic.AsyncAnthropic(base_url=base_url, api_key=key, max_retries=0) as client,
            client.messages.stream(
                model=f"{behind}/small", max_tokens=64, messages=[{"role": "user", "content": "hi"}]
            ) as stream,
        ):
            return "".join([text async for text in stream.text_stream])

    assert asyncio.run(collect()) == "Hello there"


def anthropic_tools(base_url: str, key: str, behind: str) -> None:
    client = anthropic_client(base_url, key)
    tools: Any = [{"name": "weather", "input_schema": WEATHER}]
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    asked = client.messages.create(model=f"{behind}/weather", max_tokens=64, messages=messages, tools=tools)
    assert asked.stop_reason == "tool_use"
    calls = [block for block in asked.content if block.type == "tool_use"]
    assert [(call.name, call.input) for call in calls] == [("weather", {"city": "Oslo"})]
    messages.append({"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in asked.content]})
    result = {"type": "tool_result", "tool_use_id": calls[0].id, "content": "4 degrees, rain"}
    messages.append({"role": "user", "content": [result]})
    told = client.messages.create(model=f"{behind}/weather", max_tokens=64, messages=messages, tools=tools)
    assert [block.text for block in told.content if block.type == "text"] == ["4 degrees, rain"]


def anthropic_tools_stream(base_url: str, key: str, behind: str) -> None:
    tools: Any = [{"name": "weather", "input_schema": WEATHER}]
    with anthropic_client(base_url, key).messages.stream(
        model=f"{behind}/weather", max_tokens=64, messages=[{"role": "user", "content": QUESTION}], tools=tools
    ) as stream:
        final = stream.get_final_message()
    assert final.stop_reason == "tool_use"
    calls = [block for block in final.content if block.type == "tool_use"]
    assert [(call.name, call.input) for call in calls] == [("weather", {"city": "Oslo"})]


def anthropic_errors(base_url: str, key: str, behind: str) -> None:
    def ask(model: str, with_key: str = key) -> Callable[[], object]:
        messages = anthropic_client(base_url, with_key).messages
        return lambda: messages.create(model=model, max_tokens=64, messages=[{"role": "user", "content": "hi"}])

    expect(anthropic.AuthenticationError, ask(f"{behind}/small", "test-key-that-is-not-one"))
    expect(anthropic.NotFoundError, ask("no-such-provider/small"))
    expect(anthropic.BadRequestError, ask(f"{behind}/refused"), saying="no such thing")
    limited = expect(anthropic.RateLimitError, ask(f"busy-{behind}/limited"))
    assert int(limited.response.headers["retry-after"]) >= 1


def anthropic_bearer(base_url: str, key: str, behind: str) -> None:
    client = anthropic.Anthropic(base_url=base_url, auth_token=key, api_key=None, max_retries=0)
    answer = client.messages.create(
        model=f"{behind}/small", max_tokens=64, messages=[{"role": "user", "content": "hi"}]
    )
    assert answer.role == "assistant"


def anthropic_count_tokens(base_url: str, key: str, behind: str) -> None:
    counted = anthropic_client(base_url, key).messages.count_tokens(
        model=f"{behind}/small", messages=[{"role": "user", "content": "hi"}]
    )
    assert counted.input_tokens == 17 if behind == "wordy" else counted.input_tokens > 0


def anthropic_models(base_url: str, key: str, behind: str) -> None:
    listed = {model.id for model in anthropic_client(base_url, key).models.list()}
    assert {f"{behind}/small", "demo/echo"} <= listed, listed


def last_lines(folder: str) -> str:
    """What the gateway logged of the requests just made."""
    return "\n".join((Path(folder) / "log").read_text(encoding="utf-8").splitlines()[-4:])


def openai_client(base_url: str, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{base_url}/v1", api_key=key, max_retries=0, timeout=30)


def anthropic_client(base_url: str, key: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=base_url, api_key=key, max_retries=0, timeout=30)


def expect(error: type[Exception], call: Callable[[], object], *, saying: str = "") -> Any:
    try:
        call()
    except error as caught:
        raised = caught
    else:
        raise AssertionError(f"no {error.__name__}")
    assert saying in str(raised), raised
    return raised


CHECKS: tuple[Callable[[str, str, str], None], ...] = (
    openai_chat,
    openai_stream,
    openai_stream_async,
    openai_tools,
    openai_tools_stream,
    openai_errors,
    openai_models,
    anthropic_chat,
    anthropic_stream,
    anthropic_stream_async,
    anthropic_tools,
    anthropic_tools_stream,
    anthropic_errors,
    anthropic_bearer,
    anthropic_count_tokens,
    anthropic_models,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--omniroute", default="omniroute", help="the gateway's command")
    omniroute: str = parser.parse_args().omniroute
    for name in [name for name in os.environ if name.startswith(("OPENAI_", "ANTHROPIC_"))]:
        del os.environ[name]  # the SDKs read keys and addresses there
    passed = failed = 0
    print(f"openai {openai.__version__}, anthropic {anthropic.__version__}")
    with (
        tempfile.TemporaryDirectory() as folder,
        upstream() as port,
        gateway(omniroute, Path(folder), port) as (base_url, key),
    ):
        for check in CHECKS:
            for behind in BEHIND:
                try:
                    check(base_url, key, behind)
                except Exception:
                    failed += 1
                    print(
                        f"FAILED {check.__name__} · {behind}\n{traceback.format_exc()}{last_lines(folder)}", flush=True
                    )
                else:
                    passed += 1
                    print(f"ok     {check.__name__} · {behind}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
