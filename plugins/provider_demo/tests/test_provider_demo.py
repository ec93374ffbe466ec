"""The demo's transport: answers in OpenAI's form, faults as an upstream's, and nothing left when somebody leaves."""

import asyncio

import msgspec
import pytest

from omniroute.api import HttpRequest, HttpResponse, RateLimited, Settings, SettingsError, UpstreamUnreachable
from omniroute.testing import FakeClock, check_provider
from omniroute_provider_demo import FACTS, register_providers, register_transports
from omniroute_provider_demo.transport import DemoTransport

(PROVIDER,) = register_providers()
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def request(model, text="write fizzbuzz in python", **fields):
    body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
    return HttpRequest(url=f"{FACTS.base_url}/chat/completions", body=msgspec.json.encode(body))


async def answer(sent, transport=None):
    stream = await (transport or DemoTransport(slow_delay_s=0)).send(sent)
    return stream.status, stream.headers, b"".join([chunk async for chunk in stream.chunks()])


async def frames(sent):
    status, headers, body = await answer(sent)
    assert (status, headers) == (200, {"content-type": "text/event-stream"})
    *events, rest = body.split(b"\n\n")
    assert rest == b""
    return [event.removeprefix(b"data: ") for event in events]


def fold(events):
    """A client's view: text, reasoning, calls, finish reason, usage."""
    text, reasoning, calls, finish, usage = "", "", {}, None, None
    for event in events:
        usage = event.get("usage") or usage
        for choice in event["choices"]:
            text += choice["delta"].get("content") or ""
            reasoning += choice["delta"].get("reasoning_content") or ""
            finish = choice["finish_reason"] or finish
            for call in choice["delta"].get("tool_calls", ()):
                known = calls.setdefault(call["index"], {"name": "", "arguments": ""})
                known["id"] = call.get("id", known.get("id"))
                known["name"] += call["function"].get("name", "")
                known["arguments"] += call["function"]["arguments"]
    return text, reasoning, list(calls.values()), finish, usage


def view(message):
    calls = [
        {"id": call["id"], "name": call["function"]["name"], "arguments": call["function"]["arguments"]}
        for call in message.get("tool_calls", ())
    ]
    return message["content"] or "", message.get("reasoning_content", ""), calls


@pytest.mark.parametrize("model", ["echo", "coder", "slow"])
@pytest.mark.parametrize("fields", [{}, {"tools": [WEATHER], "messages": [{"role": "user", "content": "parallel"}]}])
async def test_a_stream_says_the_same_as_the_whole_answer(model, fields):
    status, headers, body = await answer(request(model, **fields))
    assert (status, headers) == (200, {"content-type": "application/json"})
    whole = msgspec.json.decode(body)
    told = await frames(request(model, stream=True, stream_options={"include_usage": True}, **fields))
    events = [msgspec.json.decode(data) for data in told[:-1]]
    (choice,) = whole["choices"]
    assert told[-1] == b"[DONE]"
    assert fold(events) == (*view(choice["message"]), choice["finish_reason"], whole["usage"])
    assert {(event["id"], event["model"]) for event in events} == {(whole["id"], model)}


async def test_a_stream_begins_with_the_role_and_finishes_once():
    events = [msgspec.json.decode(data) for data in (await frames(request("coder", stream=True)))[:-1]]
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [event["choices"][0]["finish_reason"] for event in events].count("stop") == 1
    assert len(events) > 20


async def test_usage_comes_in_a_stream_only_when_it_is_asked_for():
    events = [msgspec.json.decode(data) for data in (await frames(request("coder", stream=True)))[:-1]]
    assert not any("usage" in event for event in events)
    assert all(event["choices"] for event in events)


async def test_usage_shows_reasoning_and_the_cached_share():
    earlier = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    body = request("coder", messages=[*earlier, {"role": "user", "content": "fizzbuzz"}])
    usage = msgspec.json.decode((await answer(body))[2])["usage"]
    assert usage["prompt_tokens"] > usage["prompt_tokens_details"]["cached_tokens"] > 0
    assert usage["completion_tokens"] > usage["completion_tokens_details"]["reasoning_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize("stream", [False, True])
async def test_429_is_busy_and_says_for_how_long(stream):
    status, headers, body = await answer(request("429", stream=stream))
    assert (status, headers["retry-after"]) == (429, "2")
    assert msgspec.json.decode(body)["error"]["code"] == "rate_limit_exceeded"


async def test_429_is_read_as_a_rate_limit():
    status, headers, body = await answer(request("429"))
    error = PROVIDER.classify(HttpResponse(status=status, headers=headers, body=body))
    assert (type(error), error.retry_after_s) == (RateLimited, 2)


async def test_truncate_breaks_off_before_the_end():
    whole, cut = await frames(request("coder", stream=True)), await frames(request("truncate", stream=True))
    assert 0 < len(cut) < len(whole)
    assert b"[DONE]" not in cut
    assert fold(map(msgspec.json.decode, cut))[3] is None
    status, _, body = await answer(request("truncate"))
    assert status == 200
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(body)


@pytest.mark.parametrize("stream", [False, True])
async def test_stall_says_nothing_until_it_is_closed(stream):
    answering = await DemoTransport(slow_delay_s=0).send(request("stall", stream=stream))
    assert answering.status == 200
    reading = asyncio.create_task(anext(answering.chunks(), None))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not reading.done()
    answering.close()
    assert await reading is None


@pytest.mark.parametrize("stream", [False, True])
async def test_refuse_takes_no_connection(stream):
    with pytest.raises(UpstreamUnreachable):
        await DemoTransport(slow_delay_s=0).send(request("refuse", stream=stream))


def test_every_drill_names_a_model_there_is():
    assert FACTS.drills.keys() == {"well", "429", "stall", "truncate", "refuse"}
    assert set(FACTS.drills.values()) <= {model.id for model in FACTS.models}


async def test_stall_can_be_cancelled():
    answering = await DemoTransport(slow_delay_s=0).send(request("stall", stream=True))
    reading = asyncio.create_task(anext(answering.chunks(), None))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    answering.close()


async def test_slow_waits_before_each_event():
    clock = FakeClock()
    answering = await DemoTransport(slow_delay_s=0.5, sleep=clock.sleep).send(request("slow", stream=True))
    chunks = answering.chunks()
    for _ in range(3):
        reading = asyncio.create_task(anext(chunks))
        await clock.sleepers(1)
        clock.advance(0.49)
        await asyncio.sleep(0)
        assert not reading.done()
        clock.advance(0.01)
        assert (await reading).startswith(b"data: ")
    await chunks.aclose()


async def test_a_closed_answer_says_nothing_more():
    answering = await DemoTransport(slow_delay_s=0).send(request("coder", stream=True))
    heard = []
    async for chunk in answering.chunks():
        heard.append(chunk)
        if len(heard) == 3:
            answering.close()
    assert len(heard) == 3


async def test_a_long_answer_lets_others_run_between_its_events():
    answering = await DemoTransport(slow_delay_s=0).send(request("coder", stream=True))
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    heard = [chunk async for chunk in answering.chunks()]
    task.cancel()
    assert turns >= len(heard) > 10


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (request("gpt-9"), 404, "no model 'gpt-9'; it has echo, coder"),
        (HttpRequest(url=f"{FACTS.base_url}/chat/completions", body=b"{"), 400, "cannot read"),
        (HttpRequest(url=f"{FACTS.base_url}/chat/completions", body=b"\xff"), 400, "cannot read"),
        (
            HttpRequest(url=f"{FACTS.base_url}/chat/completions", body=b'{"model":"echo","messages":[]}'),
            400,
            "is empty",
        ),
        (HttpRequest(method="GET", url=f"{FACTS.base_url}/models"), 404, "nothing at"),
    ],
)
async def test_what_it_cannot_serve_it_refuses_in_openais_form(sent, status, said):
    found, _, body = await answer(sent)
    assert found == status
    assert said in msgspec.json.decode(body)["error"]["message"]


def test_it_passes_the_check_every_provider_must_pass():
    check_provider(PROVIDER)


def test_every_model_in_the_facts_answers():
    assert {model.id for model in FACTS.models} == {"echo", "coder", "slow", "429", "truncate", "stall", "refuse"}


@pytest.mark.parametrize(("section", "delay_s"), [({}, 0.05), ({"slow_delay_s": 2}, 2)])
async def test_settings_say_how_slow_slow_is(section, delay_s):
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    (transport,) = register_transports(Settings(plugin_sections={"provider-demo": section}))
    transport._sleep = sleep
    await answer(request("slow"), transport)
    assert waits == [delay_s]


def test_a_misspelt_option_is_refused():
    with pytest.raises(SettingsError, match="slow_delay"):
        register_transports(Settings(plugin_sections={"provider-demo": {"slow_delay": 1}}))
