"""What users of gateways suffer from, rule by rule: P01 to P16, P39 and P40, in every pair of dialects that it concerns."""

import asyncio
import json
from contextlib import AsyncExitStack
from itertools import product
from pathlib import Path
from typing import get_args

import httpx
import msgspec
import pytest
import pytest_asyncio

from omniroute.api import (
    ChatRequest,
    ChatResponse,
    FinishReason,
    InvalidRequest,
    Message,
    Price,
    StreamBroken,
    TextPart,
    UpstreamError,
    UpstreamGarbled,
    Usage,
    UsageUpdate,
)
from omniroute.pricing import cost_usd
from omniroute.testing import Close, FakeUpstream, Recording, Reply, Stream, WaitFor, sse
from omniroute.testing.dialects import VOICES, Answered, Asked, Block, Call, Pair, installed_translators, written

TRANSLATORS = {dialect: found for dialect, found in installed_translators().items() if dialect in VOICES}
PAIRS = {f"{c} to {u}": Pair(TRANSLATORS[c], TRANSLATORS[u]) for c, u in product(TRANSLATORS, TRANSLATORS)}
every_pair = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
every_client = pytest.mark.parametrize("client", TRANSLATORS)
every_upstream = pytest.mark.parametrize("behind", TRANSLATORS)
streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
served = pytest.mark.asyncio(loop_scope="module")

CALLS = (
    Call(id="call_a", name="read", arguments='{"path":  "a\\u00e9\\"b", "limit": null}'),
    Call(id="call_b", name="write", arguments='{"path": "", "text": "x{}"}'),
    Call(id="call_c", name="read", arguments="{}"),
)
USAGE = Usage(input_tokens=100, output_tokens=30, cached_tokens=70, cache_write_tokens=0, reasoning_tokens=0)
TEXT = "Hello there, everybody: 😀 é\u2028 all of you!"
FULL = Answered(reasoning="Let me see.", text=TEXT, calls=CALLS, finish="tool_calls", usage=USAGE)
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}, "text": {"type": "string"}}}
QUESTION = Asked(
    blocks=[Block(role="user", kind="text", text="What is here?")],
    tools={"read": SCHEMA, "write": SCHEMA},
    descriptions={"read": "Reads.", "write": "Writes."},
)


# --- without a gateway ------------------------------------------------------------------------------------------------


class Exchange:
    """One question on its way through a pair, and what its answers become."""

    def __init__(self, pair, asked=QUESTION, *, stream=False):
        self.pair, self.stream = pair, stream
        self.client, self.upstream = VOICES[pair.client.dialect], VOICES[pair.upstream.dialect]
        body = written(self.client.dialect, asked, "m")
        if stream and self.client.dialect != "gemini":
            body["stream"] = True
        target = self.client.path("m", stream=stream)
        self.request = pair.decode(msgspec.json.encode(body), target)
        self.outgoing = pair.encode(self.request)
        self.received = pair.received(self.request, self.outgoing)

    def reply(self, answer):
        """The upstream's bytes: a body, or the chunks of a stream."""
        reply = self.upstream.reply(answer, self.received)
        return reply.body if isinstance(reply, Reply) else list(reply.chunks)

    def shown(self, said):
        """The client's bytes."""
        passed = self.pair.stream if self.stream else self.pair.whole
        return passed(said, self.request, self.outgoing)

    def read(self, said):
        return self.client.read(self.shown(said), stream=self.stream)


@every_pair
def test_p01_parallel_calls_keep_their_ids_names_and_arguments(pair):
    exchange = Exchange(pair, stream=True)
    data = b"".join(exchange.reply(FULL))
    for size in (1, 7, len(data)):
        cuts = [data[start : start + size] for start in range(0, len(data), size)]
        assert exchange.read(cuts).calls == CALLS


STARTS = {
    "openai-chat": b'"type":"function"',
    "openai-responses": b"event: response.output_item.added\ndata:",
    "anthropic": b"event: content_block_start\ndata:",
    "gemini": b'"functionCall"',
}


@every_pair
def test_p02_one_call_is_one_start_and_streams_say_what_whole_answers_say(pair):
    answer = Answered(calls=CALLS, finish="tool_calls", usage=USAGE)
    exchange = Exchange(pair, stream=True)
    shown = exchange.shown(exchange.reply(answer)).replace(b'"type": "function"', b'"type":"function"')
    assert shown.count(STARTS[exchange.client.dialect]) == len(CALLS)
    whole = Exchange(pair)
    found = exchange.client.read(shown, stream=True)
    assert found.calls == whole.read(whole.reply(answer)).calls == CALLS
    assert found.finish == whole.read(whole.reply(answer)).finish


[WORDS] = QUESTION.blocks
SAID = Block(role="assistant", kind="text", text="So it is.")
CALLED = Block(role="assistant", kind="call", id="call_a", name="read", text="{}")
CALLED_NEXT = Block(role="assistant", kind="call", id="call_b", name="read", text="{}")
FOUND = Block(role="user", kind="result", id="call_a", name="read", text="found")
FOUND_NEXT = Block(role="user", kind="result", id="call_b", name="read", text="found next")
ORPHAN = Block(role="user", kind="result", id="call_gone", name="read", text="lost and found")


def body_of(blocks, client):
    return msgspec.json.encode(written(client.dialect, msgspec.structs.replace(QUESTION, blocks=blocks), "m"))


@every_client
@pytest.mark.parametrize(
    ("blocks", "stray"),
    [
        pytest.param([ORPHAN, WORDS], "call_gone", id="first"),
        pytest.param([WORDS, CALLED, FOUND, ORPHAN, WORDS], "call_gone", id="after another call"),
        pytest.param([WORDS, FOUND, CALLED, WORDS], "call_a", id="before its call"),
    ],
)
def test_p03_a_result_without_its_call_is_refused_where_it_stands(client, blocks, stray):
    body = body_of(blocks, VOICES[client])
    with pytest.raises(InvalidRequest, match="answers no call") as caught:
        PAIRS[f"{client} to {client}"].decode(body, VOICES[client].path("m", stream=False))
    place = json.loads(body)
    for step in caught.value.param.split("/")[1:]:
        place = place[int(step) if isinstance(place, list) else step]
    assert stray in json.dumps(place)
    assert caught.value.fix


@every_pair
@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param([WORDS, CALLED, FOUND, FOUND, WORDS], id="twice at once"),
        pytest.param([WORDS, CALLED, FOUND, SAID, FOUND, WORDS], id="twice, with an answer between"),
        pytest.param([WORDS, CALLED, WORDS, SAID, FOUND], id="late"),
        pytest.param([WORDS, CALLED, WORDS, CALLED_NEXT, FOUND_NEXT, FOUND, WORDS], id="late, after another call"),
    ],
)
def test_p03_a_result_apart_from_its_call_is_brought_there_or_reported(pair, blocks):
    client, upstream = VOICES[pair.client.dialect], VOICES[pair.upstream.dialect]
    request = pair.decode(body_of(blocks, client), client.path("m", stream=False))
    outgoing = pair.encode(request)
    refusal = upstream.validate(pair.received(request, outgoing))
    assert refusal is None, refusal.body
    sent = upstream.asked(outgoing.body).of("result")
    given = [block.text for block in blocks if block.kind == "result"]
    assert {result.text for result in sent} <= {*given, "(no result)"}
    assert b"found" in outgoing.body
    if sorted(result.text for result in sent) != sorted(given):
        assert outgoing.losses


SPOKEN = {
    "reasoning_content": ({"reasoning_content": "thought"}, "thought", ""),
    "reasoning": ({"reasoning": "thought"}, "thought", ""),
    "reasoning details": ({"reasoning_details": [{"type": "reasoning.text", "text": "thought"}]}, "thought", ""),
    "a list of parts": ({"content": [{"type": "text", "text": "words"}]}, "", "words"),
    "a refusal": ({"refusal": "words"}, "", "words"),
    "a think tag": ({"content": "<think>thought</think>\n\nwords"}, "thought", "words"),
}


@every_pair
@streamed
def test_p04_as_many_characters_come_out_as_went_in(pair, stream):
    """Of text, of reasoning and of arguments."""
    exchange = Exchange(pair, stream=stream)
    long = msgspec.structs.replace(FULL, reasoning="Hm… 😀 é " * 300, text=TEXT * 200)
    found = exchange.read(exchange.reply(long))
    counted = [
        (len(each.reasoning), len(each.text), [len(call.arguments) for call in each.calls]) for each in (found, long)
    ]
    assert counted[0] == counted[1]


@every_client
@streamed
@pytest.mark.parametrize(("delta", "reasoning", "text"), SPOKEN.values(), ids=SPOKEN)
def test_p04_nothing_a_model_says_vanishes(client, stream, delta, reasoning, text):
    """Servers of one dialect have many ways of putting it."""
    exchange = Exchange(Pair(TRANSLATORS[client], TRANSLATORS["openai-chat"]), stream=stream)
    base = {"id": "c1", "created": 1, "model": "m", "object": "chat.completion.chunk"}
    if stream:
        deltas = [{"role": "assistant"}, {"content": "" if text else "."}, delta]
        deltas = deltas if text else [deltas[0], delta, deltas[1]]
        events = [{**base, "choices": [{"index": 0, "delta": each, "finish_reason": None}]} for each in deltas]
        events.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        said = [sse([*events, "[DONE]"])]
    else:
        message = {"role": "assistant", "content": None if text else ".", **delta}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        said = msgspec.json.encode({**base, "object": "chat.completion", "choices": [choice]})
    found = exchange.read(said)
    assert (found.reasoning, found.text) == (reasoning, text or ".")


@every_pair
@streamed
def test_p05_arguments_are_the_text_the_model_wrote(pair, stream):
    """Nothing is added, filled in, reordered or escaped anew."""
    exchange = Exchange(pair, stream=stream)
    assert [call.arguments for call in exchange.read(exchange.reply(FULL)).calls] == [call.arguments for call in CALLS]


NAMES = ["x" * 128, "x" * 127 + "y", "fs.read", "fs/read", "fs read", "3d", "ü", "a:b", "read", "_", "😀😀"]


@every_pair
@streamed
def test_p06_tools_have_their_own_names_in_the_answer(pair, stream):
    tools = dict.fromkeys(NAMES, SCHEMA)
    asked = msgspec.structs.replace(QUESTION, tools=tools, descriptions=dict.fromkeys(NAMES, "d"))
    exchange = Exchange(pair, asked, stream=stream)
    assert exchange.upstream.validate(exchange.received) is None
    sent = list(exchange.upstream.asked(exchange.outgoing.body).tools)
    assert len(set(sent)) == len(NAMES)
    calls = tuple(Call(id=f"c{number}", name=name, arguments="{}") for number, name in enumerate(sent))
    found = exchange.read(exchange.reply(Answered(calls=calls, finish="tool_calls", usage=USAGE)))
    assert [call.name for call in found.calls] == NAMES


FINISHES = {
    "openai-chat": {"stop", "length", "content_filter"},
    "openai-responses": {"completed", "incomplete"},
    "anthropic": {"end_turn", "max_tokens", "refusal", "pause_turn", "stop_sequence"},
    "gemini": {"STOP", "MAX_TOKENS", "SAFETY", "OTHER"},
}


@every_client
@pytest.mark.parametrize(
    "reason", [reason for reason in get_args(FinishReason) if reason not in {"error", "tool_calls"}]
)
def test_p09_every_finish_reason_has_its_word(client, reason):
    translator = TRANSLATORS[client]
    request = ChatRequest(model="m", messages=(Message(role="user", parts=(TextPart(text="hi"),)),))
    response = ChatResponse(id="r", model="m", parts=(TextPart(text="ok"),), finish_reason=reason)
    body = json.loads(translator.encode_response(response, request))
    found = {
        "openai-chat": lambda: body["choices"][0]["finish_reason"],
        "openai-responses": lambda: body["status"],
        "anthropic": lambda: body["stop_reason"],
        "gemini": lambda: body["candidates"][0]["finishReason"],
    }[client]()
    assert found in FINISHES[client]


@every_pair
@streamed
def test_p09_an_answer_that_calls_finishes_with_the_calls(pair, stream):
    """Whatever word the upstream uses; being cut off wins."""
    exchange = Exchange(pair, stream=stream)
    assert exchange.read(exchange.reply(msgspec.structs.replace(FULL, finish="stop"))).finish == "tool_calls"


NOTHING = {
    "openai-chat": [
        b": comment\n\n",
        b'data: {"id":"chatcmpl-7","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":null}\n\n',
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":null}]}\n\n',
    ],
    "openai-responses": [b": comment\n\n", b'event: response.dreaming\ndata: {"type":"response.dreaming"}\n\n'],
    "anthropic": [
        b": comment\n\n",
        b'event: ping\ndata: {"type":"ping"}\n\n',
        b'event: dream\ndata: {"type":"dream"}\n\n',
    ],
    "gemini": [
        b": comment\n\n",
        b'data: {"usageMetadata":{"promptTokenCount":100},"modelVersion":"m","responseId":"r-7"}\n\n',
        b'data: {"candidates":[{"content":{"role":"model"},"index":0}],"modelVersion":"m","responseId":"r-7"}\n\n',
    ],
}


@every_pair
def test_p10_frames_that_say_nothing_end_nothing(pair):
    exchange = Exchange(pair, stream=True)
    chunks = exchange.reply(FULL)
    last = len(chunks) - 1
    odd = [
        piece
        for at, chunk in enumerate(chunks)
        for piece in ([chunk] if at == last else [chunk, *NOTHING[pair.upstream.dialect]])
    ]
    plain = exchange.read(chunks)
    assert exchange.read(odd) == plain
    assert (plain.text, plain.calls) == (TEXT, CALLS)


@every_pair
@pytest.mark.parametrize("bad", [1, 3, 4])
def test_p12_three_bad_events_are_skipped_and_no_more(pair, bad):
    exchange = Exchange(pair, stream=True)
    text = "".join(f"tok{number:02}" for number in range(60))
    chunks = exchange.reply(Answered(text=text, finish="stop", usage=USAGE))
    tenth = next(at for at, chunk in enumerate(chunks) if b"tok10" in chunk)
    broken = [*chunks[:tenth], *[b'data: {"broken\n\n'] * bad, *chunks[tenth:]]
    if bad <= 3:
        assert exchange.read(broken).text == text
        return
    with pytest.raises(UpstreamGarbled):
        exchange.read(broken)


OWN_NAMES = (b"omniroute", b"omr1.", b"b21yms4", b"provider_metadata")
"""In lower case; the third is the second in base64."""
RECORDED = [
    pytest.param(Recording.load(path), id=f"{path.parent.name}/{path.stem}")
    for path in sorted((Path(__file__).parent / "recordings/clients").glob("*/*with-results.json"))
]


@every_upstream
@pytest.mark.parametrize("recording", RECORDED)
def test_p13_no_word_of_ours_goes_upstream(recording, behind):
    found = [client for client in TRANSLATORS if _speaks(client, recording.target)]
    for client in found:
        pair = Pair(TRANSLATORS[client], TRANSLATORS[behind])
        outgoing = pair.encode(pair.decode(msgspec.json.encode(recording.body), recording.target))
        assert [name for name in OWN_NAMES if name in outgoing.body.lower()] == []


def _speaks(client, target):
    ending = {"openai-chat": "/chat/completions", "openai-responses": "/responses", "anthropic": "/messages"}
    return ending.get(client, ":streamGenerateContent") in target


@pytest.mark.parametrize("then", TRANSLATORS)
@every_pair
def test_p13_what_a_client_carried_for_another_upstream_goes_to_nobody_else(pair, then):
    exchange = Exchange(pair)
    shown = exchange.shown(exchange.reply(msgspec.structs.replace(FULL, signature="c2lnbmF0dXJl")))
    body = exchange.client.continued(written(exchange.client.dialect, QUESTION, "m"), shown, ["x", "y", "z"])
    onward = Pair(pair.client, TRANSLATORS[then])
    request = onward.decode(msgspec.json.encode(body), exchange.client.path("m", stream=False))
    outgoing = onward.encode(request)
    assert [name for name in OWN_NAMES if name in outgoing.body.lower()] == []
    if then != exchange.client.dialect:  # whose own vendor's marks are the gateway's to judge, by who made them
        assert VOICES[then].validate(onward.received(request, outgoing)) is None


SPLIT_USAGE = [
    {"input_tokens": 10, "cache_read_input_tokens": 70, "cache_creation_input_tokens": 20, "output_tokens": 1},
    {"output_tokens": 30},
    {"input_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0, "output_tokens": 30},
    {"input_tokens": None, "cache_read_input_tokens": None, "output_tokens": 30},
]


@every_client
@pytest.mark.parametrize("later", SPLIT_USAGE[1:], ids=["only what is new", "zeros for what is known", "nulls"])
def test_p15_usage_that_comes_in_two_parts_is_whole(client, later):
    """Cached and written tokens come first, the rest last; neither wipes out the other."""
    exchange = Exchange(Pair(TRANSLATORS[client], TRANSLATORS["anthropic"]), stream=True)
    events = [json.loads(chunk.partition(b"data: ")[2]) for chunk in exchange.reply(FULL)]
    for event in events:
        if event["type"] == "message_start":
            event["message"]["usage"] = SPLIT_USAGE[0]
        if event["type"] == "message_delta":
            event["usage"] = later
    data = sse([{"event": event["type"], "data": event} for event in events])
    usage = [event.usage for event in exchange.pair.events([data]) if isinstance(event, UsageUpdate)][-1]
    wanted = Usage(input_tokens=100, output_tokens=30, cached_tokens=70, cache_write_tokens=20)
    assert usage == wanted
    shown = exchange.read([data]).usage
    if shown is not None:
        assert (shown.input_tokens, shown.output_tokens, shown.cached_tokens) == (100, 30, 70)


@every_pair
def test_p15_usage_is_the_same_streamed_and_whole(pair):
    found = set()
    for stream in (False, True):
        exchange = Exchange(pair, stream=stream)
        said = exchange.reply(FULL)
        decoded = (
            [event.usage for event in pair.events(said) if isinstance(event, UsageUpdate)][-1]
            if stream
            else pair.upstream.decode_response(said).usage
        )
        found.add(msgspec.json.encode(decoded))
    assert found == {msgspec.json.encode(USAGE)}


INVOICES = {
    "openai-chat": (Price(input_usd=1.25, output_usd=10, cached_usd=0.125), 1.375),
    "openai-responses": (Price(input_usd=1.25, output_usd=10, cached_usd=0.125), 1.375),
    "anthropic": (Price(input_usd=3, output_usd=15, cached_usd=0.3, cache_write_usd=3.75), 2.40),
    "gemini": (Price(input_usd=0.3, output_usd=2.5, cached_usd=0.03), 0.34),
}
"""Prices per million tokens, and what 1.2 million in, 1 million of them from the cache, and 100 000 out come to."""


@every_upstream
@streamed
def test_p15_an_answer_costs_what_the_invoice_says_to_the_cent(behind, stream):
    price, dollars = INVOICES[behind]
    usage = Usage(input_tokens=1_200_000, output_tokens=100_000, cached_tokens=1_000_000)
    exchange = Exchange(Pair(TRANSLATORS["openai-chat"], TRANSLATORS[behind]), stream=stream)
    said = exchange.reply(Answered(text=TEXT, usage=usage))
    counted = (
        [event.usage for event in exchange.pair.events(said) if isinstance(event, UsageUpdate)][-1]
        if stream
        else TRANSLATORS[behind].decode_response(said).usage
    )
    assert round(cost_usd(price, counted), 6) == dollars


@pytest.mark.skipif("anthropic" not in TRANSLATORS, reason="the dialect that bills writes to a cache is not installed")
@streamed
def test_p15_what_is_cached_for_an_hour_costs_more_than_for_five_minutes(stream):
    """Once each, and neither as fresh input."""
    usage = {
        "input_tokens": 50_000,
        "cache_read_input_tokens": 1_000_000,
        "cache_creation_input_tokens": 300_000,
        "cache_creation": {"ephemeral_5m_input_tokens": 200_000, "ephemeral_1h_input_tokens": 100_000},
        "output_tokens": 20_000,
    }
    exchange = Exchange(Pair(TRANSLATORS["openai-chat"], TRANSLATORS["anthropic"]), stream=stream)
    said = exchange.reply(Answered(text=TEXT, usage=Usage()))
    if stream:
        events = [json.loads(chunk.partition(b"data: ")[2]) for chunk in said]
        for event in events:
            if event["type"] == "message_start":
                event["message"]["usage"] = usage
            if event["type"] == "message_delta":
                event["usage"] = {"output_tokens": 20_000}
        data = sse([{"event": event["type"], "data": event} for event in events])
        counted = [event.usage for event in exchange.pair.events([data]) if isinstance(event, UsageUpdate)][-1]
    else:
        counted = exchange.pair.upstream.decode_response(
            json.dumps({**json.loads(said), "usage": usage}).encode()
        ).usage
    price = Price(input_usd=3, output_usd=15, cached_usd=0.3, cache_write_usd=3.75, cache_write_1h_usd=6)
    assert round(cost_usd(price, counted), 6) == 2.10


# --- through a gateway ------------------------------------------------------------------------------------------------

ROLES = ("plain", "one", "other", "cut", "refused")
"""Providers of each dialect, one for each purpose: what befalls one must not cool another. Likewise the models below."""
FAILURES = ("refusal", "silence", "break")


class World:
    def __init__(self, gateway, upstreams, http):
        self.gateway, self.upstreams, self.http = gateway, upstreams, http

    def headers(self):
        return {"authorization": f"Bearer {self.gateway.client_key}", "content-type": "application/json"}

    def request(self, client, model, asked=QUESTION, *, stream=False, **fields):
        voice = VOICES[client]
        body = {**written(client, asked, model), **fields}
        if stream and client != "gemini":
            body["stream"] = True
        url = self.gateway.base_url + voice.path(model, stream=stream)
        return self.http.build_request("POST", url, content=msgspec.json.encode(body), headers=self.headers())

    async def ask(self, client, model, asked=QUESTION, *, stream=False, **fields):
        return await self.http.send(self.request(client, model, asked, stream=stream, **fields))

    async def post(self, target, body):
        url = self.gateway.base_url + target
        return await self.http.post(url, content=msgspec.json.encode(body), headers=self.headers())


class Upstream(FakeUpstream):
    """Says the plain answer to everything for which no script is queued; counts tokens where its dialect does."""

    def __init__(self, dialect):
        self.voice = VOICES[dialect]
        super().__init__(answer=self._plain, validate=self.voice.validate)

    def _plain(self, request):
        if request.path.endswith("count_tokens"):
            return Reply.json({"input_tokens": 4321})
        if request.path.endswith(":countTokens"):
            return Reply.json({"totalTokens": 4321})
        return self.voice.reply(Answered(text=TEXT, usage=USAGE), request)

    def script(self, answer, change=Stream):
        """A reply to the next request; `change` may put a stream's chunks to another use."""

        def reply(request):
            said = self.voice.reply(answer, request)
            return said if isinstance(said, Reply) else change(list(said.chunks))

        self.queue(reply)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(start_gateway):
    async with AsyncExitStack() as stack:
        upstreams, settings = {}, ""
        for dialect in TRANSLATORS:
            upstreams[dialect] = await stack.enter_async_context(Upstream(dialect))
            roles = [*ROLES, *(f"{role}-for-{client}" for role in ("first", "second") for client in TRANSLATORS)]
            for role in roles:
                settings += f'[providers.{dialect}-{role}]\ndialect = "{dialect}"\napi_key = "upstream-key-1"\n'
                settings += f'base_url = "{upstreams[dialect].base_url}"\n'
            for client, failure in product(TRANSLATORS, FAILURES):
                models = json.dumps([f"{dialect}-{role}-for-{client}/{failure}" for role in ("first", "second")])
                settings += f"[combos.{dialect}-for-{client}-after-{failure}]\nmodels = {models}\n"
        gateway = await stack.enter_async_context(start_gateway(settings))
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=30))
        yield World(gateway, upstreams, http)


@served
@every_client
async def test_p05_the_same_dialect_on_both_sides_is_the_client_s_bytes(world, client):
    """All but the model's name, and spelt as no encoder would."""
    upstream = world.upstreams[client]
    request = world.request(client, f"{client}-plain/m")
    odd = b'[1.0, 1e2, "\\u00e9", {"a" : null}]'
    body = b'{"x_odd": ' + odd + b" ,\n" + request.content.lstrip()[1:]
    request = world.http.build_request("POST", request.url, content=body, headers=world.headers())
    await world.http.send(request)
    upstream.refused.pop()  # it knows no such field; that is between it and its client
    assert odd in upstream.requests[-1].body


@served
@every_upstream
@every_client
async def test_p04_what_the_upstream_is_not_told_is_counted(world, client, behind):
    """By the answer's header and in the request's record; nothing is, where the client's bytes go on."""
    model = f"{behind}-plain/counted-{client}"
    answer = await world.ask(client, model, x_odd=1)
    assert answer.status_code == 200 or client == behind  # it knows no such field; that is between it and its client
    header = answer.headers.get("x-omniroute-loss")
    line = json.loads(await world.gateway.logged(f'"model":"{model}"'))
    if client == behind:
        world.upstreams[behind].refused.pop()
        assert (header, "losses" in line) == (None, False)
        return
    count, _, named = header.partition("; ")
    assert "dropped /x_odd" in named
    assert line["losses"] == int(count) >= 1


@served
@every_upstream
@every_client
async def test_p06_tools_have_their_own_names_in_an_error(world, client, behind):
    if client == behind:
        return  # what is relayed goes by the client's own names
    name = "fs.read/😀"
    asked = msgspec.structs.replace(QUESTION, tools={name: SCHEMA}, descriptions={name: "d"})
    upstream, before = world.upstreams[behind], len(world.upstreams[behind].requests)

    def complaint(request):
        [sent] = upstream.voice.asked(request.body).tools
        return upstream.voice.refusal(400, f"the tool {sent} is not allowed")

    upstream.queue(complaint)
    answer = await world.ask(client, f"{behind}-refused/{client}-names", asked)
    assert answer.status_code == 400
    assert f"the tool {name} is not allowed" in VOICES[client].read_error(answer.content)
    assert len(upstream.requests) == before + 1


COMPLAINTS = {
    "openai-chat": lambda message: {"error": {"message": message, "type": "invalid_request_error", "code": None}},
    "openai-responses": lambda message: {"type": "error", "code": "invalid_prompt", "message": message, "param": None},
    "anthropic": lambda message: {"type": "error", "error": {"type": "invalid_request_error", "message": message}},
    "gemini": lambda message: {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}},
}
"""The error events of streams, which are also what some upstreams answer with under status 200."""


@served
@every_upstream
@every_client
@pytest.mark.parametrize("when", ["in mid-stream", "before content", "instead of an answer", "to a whole request"])
async def test_p06_tools_have_their_own_names_in_an_error_under_status_200(world, client, behind, when):
    if client == behind:
        return  # what is relayed goes by the client's own names
    name = "fs.read/😀"
    asked = msgspec.structs.replace(QUESTION, tools={name: SCHEMA}, descriptions={name: "d"})
    upstream, begun = world.upstreams[behind], asyncio.Event()

    def complaint(request):
        [sent] = upstream.voice.asked(request.body).tools
        error = COMPLAINTS[behind](f"the tool {sent} broke off")
        event = sse([{"event": "error", "data": error} if behind == "anthropic" else error])
        if when == "in mid-stream":
            chunks = list(upstream.voice.reply(Answered(text=TEXT, usage=USAGE), request).chunks)
            return Stream([*chunks[: _first_content(chunks) + 1], WaitFor(begun), event])
        return (
            Stream([event]) if when == "before content" else Reply.json(error if "error" in error else {"error": error})
        )

    upstream.queue(complaint)
    stream = when != "to a whole request"
    request = world.request(client, f"{behind}-refused/{client}-broken", asked, stream=stream)
    answer = await world.http.send(request, stream=True)
    body = b""
    async for data in answer.aiter_raw():
        body += data
        begun.set()
    if when == "in mid-stream":
        assert answer.status_code == 200
        assert f"the tool {name} broke off" in LAST[client](data_of(body))["message"]
    else:
        assert answer.status_code >= 400
        assert f"the tool {name} broke off" in VOICES[client].read_error(body)


@served
@every_upstream
@every_client
async def test_p13_a_carrier_is_never_relayed(world, client, behind):
    """Not even to an upstream that speaks the client's own dialect."""
    world.upstreams[behind].script(msgspec.structs.replace(FULL, signature="c2lnbmF0dXJl"))
    first = await world.ask(client, f"{behind}-plain/m")
    body = VOICES[client].continued(written(client, QUESTION, f"{client}-plain/m"), first.content, ["x", "y", "z"])
    answer = await world.post(VOICES[client].path(f"{client}-plain/m", stream=False), body)
    assert answer.status_code == 200, answer.text
    assert [name for name in OWN_NAMES if name in world.upstreams[client].requests[-1].body.lower()] == []


SIGNED = {
    "anthropic": lambda signature: {
        "messages": [
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": signature},
                    {"type": "text", "text": "ok"},
                ],
            },
            {"role": "user", "content": "and?"},
        ]
    },
    "openai-responses": lambda signature: {
        "input": [
            {"role": "user", "content": "hi"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": signature},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}]},
            {"role": "user", "content": "and?"},
        ]
    },
}
SIGNS = [dialect for dialect in SIGNED if dialect in TRANSLATORS]
UNREADABLE = {
    "anthropic": {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "messages.1.content.0: Invalid `signature` in `thinking` block",
        },
    },
    "openai-responses": {
        "error": {
            "message": "The encrypted content for item rs_1 could not be verified.",
            "type": "invalid_request_error",
            "param": "input[1].encrypted_content",
            "code": "invalid_encrypted_content",
        }
    },
}


async def signed_answer(world, dialect, role, signature):
    world.upstreams[dialect].script(Answered(reasoning="hm", signature=signature, text="ok", usage=USAGE))
    assert (await world.ask(dialect, f"{dialect}-{role}/m")).status_code == 200


@served
@pytest.mark.parametrize("dialect", SIGNS)
async def test_p07_signatures_go_home_untouched_and_nowhere_else(world, dialect):
    signature = f"c2lnbmVk+/{len(dialect)}=="
    await signed_answer(world, dialect, "one", signature)
    bodies = {}
    for role in ("one", "other"):
        answer = await world.ask(dialect, f"{dialect}-{role}/m", **SIGNED[dialect](signature))
        assert answer.status_code == 200, answer.text
        bodies[role] = world.upstreams[dialect].requests[-1].body
    assert msgspec.json.encode(signature) in bodies["one"]
    assert signature.encode() not in bodies["other"]
    assert b'"signature"' not in bodies["other"]  # none is minted either
    for behind in set(TRANSLATORS) - {dialect}:
        await world.ask(dialect, f"{behind}-plain/m", **SIGNED[dialect](signature))
        assert signature.encode() not in world.upstreams[behind].requests[-1].body


@served
@pytest.mark.parametrize("dialect", SIGNS)
async def test_p08_reasoning_that_an_account_cannot_read_is_left_out_once(world, dialect):
    upstream = world.upstreams[dialect]
    before = len(upstream.requests)
    signature = f"dW5rbm93bg{len(dialect)}=="
    upstream.queue(Reply.json(UNREADABLE[dialect], 400))
    answer = await world.ask(dialect, f"{dialect}-one/m", **SIGNED[dialect](signature))
    assert answer.status_code == 200, answer.text
    first, second = upstream.requests[before:]
    assert (signature.encode() in first.body, signature.encode() in second.body) == (True, False)
    assert first.header("host") == second.header("host")

    upstream.queue(*[Reply.json(UNREADABLE[dialect], 400)] * 2)
    told = await world.ask(dialect, f"{dialect}-one/m", **SIGNED[dialect](signature))
    assert told.status_code == 400
    assert len(upstream.requests) == before + 4
    assert (await world.ask(dialect, f"{dialect}-one/m")).status_code == 200  # nobody was blamed


@served
@pytest.mark.skipif("openai-responses" not in TRANSLATORS, reason="the dialect that has threads is not installed")
@every_upstream
async def test_p08_a_thread_that_an_upstream_cannot_have_is_a_clear_400(world, behind):
    before = len(world.upstreams[behind].requests)
    answer = await world.ask("openai-responses", f"{behind}-plain/m", previous_response_id="resp_1")
    if behind == "openai-responses":
        assert answer.status_code == 200
        return
    assert answer.status_code == 400
    assert "previous_response_id" in VOICES["openai-responses"].read_error(answer.content)
    assert len(world.upstreams[behind].requests) == before


CUTS = {"openai-chat": 4, "openai-responses": 9, "anthropic": 4, "gemini": 1}
"""So many events from the end, a call is half written (or, where calls come whole, the end is missing)."""
LAST = {
    "openai-chat": lambda events: json.loads(events[-1])["error"],
    "openai-responses": lambda events: json.loads(events[-1])["response"]["error"],
    "anthropic": lambda events: json.loads(events[-1])["error"],
    "gemini": lambda events: json.loads(events[-1])["error"],
}


def data_of(body):
    return [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]


@served
@every_upstream
@every_client
async def test_p11_a_cut_stream_ends_in_an_error_of_the_client_s_dialect(world, client, behind):
    upstream, voice = world.upstreams[behind], VOICES[client]
    upstream.script(FULL, lambda chunks: Stream([*chunks[: -CUTS[behind]], Close()], end=False))
    model = f"{behind}-cut/{client}"
    answer = await world.ask(client, model, stream=True)
    assert answer.status_code == 200
    events = data_of(answer.content)
    error = LAST[client](events)
    assert error["message"]
    assert error["retryable"] is True
    assert b"[DONE]" not in answer.content
    with pytest.raises(AssertionError):  # no reader takes it for whole
        voice.read(answer.content, stream=True)
    assert not [event for event in events if finishes(json.loads(event))]
    assert "Hello" in answer.text
    line = json.loads(await world.gateway.logged(f'"model":"{model}"'))
    assert line["outcome"] == "error"


def finishes(event):
    """Whether it would be the end of a good answer, or of a call with half its arguments."""
    if event.get("type") in {"response.completed", "response.incomplete", "message_delta", "message_stop"}:
        return True
    if event.get("type") == "response.output_item.done" and event["item"]["type"] == "function_call":
        return event["item"]["arguments"] not in {call.arguments for call in CALLS}
    return any(
        choice.get("finish_reason") or choice.get("finishReason")
        for choice in [*event.get("choices", ()), *event.get("candidates", ())]
    )


@every_pair
def test_p11_an_end_without_a_marker_is_a_broken_stream(pair):
    exchange = Exchange(pair, stream=True)
    chunks = exchange.reply(FULL)
    with pytest.raises(StreamBroken):
        exchange.shown(chunks[: -CUTS[pair.upstream.dialect]])
    with pytest.raises(StreamBroken):
        exchange.shown([])


BITS = [f"{piece:03}aa" for piece in range(24)]
"""Each is what one event of a stream says, and stands nowhere else; so words are cut wherever events end."""
SPOKEN_BITS = Answered(
    reasoning="".join(BITS[:8]),
    text="".join(BITS[8:16]),
    calls=(Call(id="call_a", name="read", arguments='{"a":"' + "".join(BITS[16:])[1:] + '"}'),),
    finish="tool_calls",
    usage=USAGE,
)
ENDLESS_S = 20.0
"""Something is held back that nothing will ever follow."""


def halves(chunk):
    return [chunk[: len(chunk) // 2], chunk[len(chunk) // 2 :]]


@served
@every_upstream
@every_client
@pytest.mark.parametrize("cut", [lambda chunk: [chunk], halves], ids=["whole events", "events in halves"])
async def test_p14_nothing_waits_for_what_comes_after_it(world, client, behind, cut):
    """The upstream says nothing more until the client has seen all that it has said: words, thoughts, arguments."""
    shown = {bit[1:].encode(): asyncio.Event() for bit in BITS}
    late = set(BITS[16:]) if "gemini" in {client, behind} else set()  # whose calls come whole
    early = [bit[1:].encode() for bit in BITS if bit not in late]
    gated = []

    def halting(chunks):
        def steps():
            for chunk in chunks:
                yield from cut(chunk)
                for bit in early:
                    if bit in chunk and not shown[bit].is_set():
                        gated.append(bit)
                        yield WaitFor(shown[bit])

        return Stream(steps())

    world.upstreams[behind].script(SPOKEN_BITS, halting)
    answer = await world.http.send(world.request(client, f"{behind}-plain/m", stream=True), stream=True)
    body = b""
    async with asyncio.timeout(ENDLESS_S):
        async for data in answer.aiter_raw():
            body += data
            for bit, event in shown.items():
                if bit in body:
                    event.set()
    said = VOICES[client].read(body, stream=True)
    assert (said.reasoning, said.text, said.calls[0].arguments) == (
        SPOKEN_BITS.reasoning,
        SPOKEN_BITS.text,
        SPOKEN_BITS.calls[0].arguments,
    )
    assert len(gated) > len(early) // 2
    assert "content-encoding" not in answer.headers
    assert answer.headers["x-accel-buffering"] == "no"


COUNTED = {
    "anthropic": "/v1/messages/count_tokens",
    "gemini": "/v1beta/models/{model}:countTokens",
}
LONG = "several words more, and then some again"


def growing():
    """Each asks for more than the one before."""
    [words] = QUESTION.blocks
    call = Block(role="assistant", kind="call", id="call_a", name="read", text=json.dumps({"path": LONG}))
    result = Block(role="user", kind="result", id="call_a", name="read", text=LONG)
    bare = Asked(blocks=[words])
    yield bare
    yield msgspec.structs.replace(bare, system=[LONG])
    yield msgspec.structs.replace(bare, system=[LONG], tools=QUESTION.tools, descriptions=QUESTION.descriptions)
    yield msgspec.structs.replace(
        QUESTION, system=[LONG], blocks=[words, call, msgspec.structs.replace(result, text="")]
    )
    yield msgspec.structs.replace(QUESTION, system=[LONG], blocks=[words, call, result])
    yield msgspec.structs.replace(
        QUESTION, system=[LONG], blocks=[words, call, result, msgspec.structs.replace(words, text=LONG)]
    )


@served
@every_upstream
@pytest.mark.parametrize("client", [client for client in COUNTED if client in TRANSLATORS])
async def test_p16_every_model_has_a_token_count_of_all_there_is(world, client, behind):
    model = f"{behind}-plain/m"
    counts = []
    for asked in growing():
        body = written(client, asked, model)
        body.pop("max_tokens", None)
        if client == "gemini":
            body = {"generateContentRequest": {"model": f"models/{model}", **body}}
        answer = await world.post(COUNTED[client].replace("{model}", model), body)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        counts.append(found["input_tokens"] if client == "anthropic" else found["totalTokens"])
    if client == behind:
        assert set(counts) == {4321}  # the upstream's own
    else:
        assert counts == sorted(set(counts))
        assert 1 <= counts[0] <= 30


@served
@every_upstream
@every_client
@pytest.mark.parametrize("failure", ["refusal", "silence"])
async def test_p39_before_content_the_next_candidate_answers(world, client, behind, failure):
    upstream = world.upstreams[behind]
    before = len(upstream.requests)
    if failure == "refusal":
        upstream.queue(Reply.json({"error": {"message": "down", "type": "api_error"}}, 503))
    else:
        upstream.script(
            Answered(text=TEXT, usage=USAGE),
            lambda chunks: Stream([*chunks[: _first_content(chunks)], Close()], end=False),
        )
    answer = await world.ask(client, f"{behind}-for-{client}-after-{failure}", stream=True)
    assert answer.status_code == 200, answer.text
    assert VOICES[client].read(answer.content, stream=True).text == TEXT
    assert len(upstream.requests) == before + 2
    assert answer.headers["x-omniroute-provider"] == f"{behind}-second-for-{client}"


def _first_content(chunks):
    return next(at for at, chunk in enumerate(chunks) if b"Hello" in chunk)


@served
@every_upstream
@every_client
async def test_p39_after_content_nobody_else_is_asked(world, client, behind):
    upstream = world.upstreams[behind]
    answer = Answered(text=TEXT, usage=USAGE)
    upstream.script(answer, lambda chunks: Stream([*chunks[: _first_content(chunks) + 1], Close()], end=False))
    before = len(upstream.requests)
    shown = await world.ask(client, f"{behind}-for-{client}-after-break", stream=True)
    assert len(upstream.requests) == before + 1
    assert "Hello" in shown.text
    assert LAST[client](data_of(shown.content))["message"]


@served
@every_upstream
@every_client
@streamed
async def test_p40_a_refusal_before_the_stream_is_told_with_its_status(world, client, behind, stream):
    upstream = world.upstreams[behind]
    upstream.queue(upstream.voice.refusal(400, "that is not allowed"))
    answer = await world.ask(client, f"{behind}-refused/{client}", stream=stream)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
    assert "that is not allowed" in VOICES[client].read_error(answer.content)


def test_every_rule_is_here():
    rules = [*range(1, 17), 39, 40]
    assert [rule for rule in rules if not any(name.startswith(f"test_p{rule:02}_") for name in globals())] == []
    assert issubclass(StreamBroken, UpstreamError)
