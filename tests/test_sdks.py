"""The official SDKs, newest majors, against a running gateway: both dialects in front, both behind."""

import json

import anthropic
import openai
import pytest
import pytest_asyncio

from omniroute.testing import FakeUpstream, Reply, Stream, sse

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = "What is the weather in Oslo?"
ARGUMENTS = '{"city": "Oslo",  "unit":"C"}'  # odd spacing on purpose: it must survive
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"type": "string"}},
    "required": ["city"],
}
OPENAI_TOOL = {"type": "function", "function": {"name": "weather", "description": "Look", "parameters": SCHEMA}}
ANTHROPIC_TOOL = {"name": "weather", "description": "Look", "input_schema": SCHEMA}


# --- scripted upstreams -----------------------------------------------------------------------------------------------


def chat_usage():
    return {
        "prompt_tokens": 11,
        "completion_tokens": 7,
        "total_tokens": 18,
        "prompt_tokens_details": {"cached_tokens": 4},
    }


def chat_answer(request):
    """OpenAI's side: a tool call while a tool is offered and no result is there, text otherwise."""
    body = request.json()
    assert request.header("authorization") == "Bearer upstream-key-1"
    base = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
    calls = "tools" in body and body["messages"][-1]["role"] != "tool"
    if body.get("stream"):
        chunk = {**base, "object": "chat.completion.chunk"}
        deltas = [{"role": "assistant", "content": ""}]
        if calls:
            deltas.append(
                {
                    "tool_calls": [
                        {
                            "index": 0,
                            "id": "call_1",
                            "type": "function",
                            "function": {"name": "weather", "arguments": ""},
                        }
                    ]
                }
            )
            deltas += [
                {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
                for piece in (ARGUMENTS[:9], ARGUMENTS[9:])
            ]
        else:
            deltas += [{"content": "It is "}, {"content": "cold."}]
        events = [{**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        events.append(
            {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls else "stop"}]}
        )
        if body.get("stream_options", {}).get("include_usage"):
            events.append({**chunk, "choices": [], "usage": chat_usage()})
        return Stream([sse([event]) for event in [*events, "[DONE]"]])
    message = {"role": "assistant", "content": None if calls else "It is cold.", "refusal": None}
    if calls:
        message["tool_calls"] = [
            {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ARGUMENTS}}
        ]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop", "logprobs": None}
    return Reply.json({**base, "object": "chat.completion", "choices": [choice], "usage": chat_usage()})


def messages_usage():
    return {"input_tokens": 7, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0, "output_tokens": 7}


def messages_answer(request):
    """Anthropic's side of the same."""
    assert request.header("x-api-key") == "upstream-key-2"
    if request.path.endswith("/count_tokens"):
        return Reply.json({"input_tokens": 42})
    body = request.json()
    last = body["messages"][-1]["content"]
    has_result = not isinstance(last, str) and any(block["type"] == "tool_result" for block in last)
    calls = "tools" in body and not has_result
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "stop_sequence": None}
    reason = "tool_use" if calls else "end_turn"
    if not body.get("stream"):
        # The SDKs parse `input`; its text is looked at in the stream.
        block = (
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": json.loads(ARGUMENTS)}
            if calls
            else {"type": "text", "text": "It is cold."}
        )
        return Reply.json({**message, "content": [block], "stop_reason": reason, "usage": messages_usage()})
    start = (
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}} if calls else {"type": "text", "text": ""}
    )
    deltas = (
        [{"type": "input_json_delta", "partial_json": piece} for piece in (ARGUMENTS[:9], ARGUMENTS[9:])]
        if calls
        else [{"type": "text_delta", "text": piece} for piece in ("It is ", "cold.")]
    )
    events = [
        {
            "type": "message_start",
            "message": {
                **message,
                "content": [],
                "stop_reason": None,
                "usage": {**messages_usage(), "output_tokens": 1},
            },
        },
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": start},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": 7},
        },
        {"type": "message_stop"},
    ]
    return Stream([sse([{"event": event["type"], "data": event}]) for event in events])


class World:
    def __init__(self, gateway, chat, messages):
        self.gateway, self.chat, self.messages = gateway, chat, messages
        self.openai = openai.AsyncOpenAI(base_url=gateway.base_url + "/v1", api_key=gateway.client_key, max_retries=0)
        self.anthropic = anthropic.AsyncAnthropic(base_url=gateway.base_url, api_key=gateway.client_key, max_retries=0)

    def upstream(self, model):
        return self.chat if model.startswith("chatty/") else self.messages


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(start_gateway):
    async with FakeUpstream(answer=chat_answer) as chat, FakeUpstream(answer=messages_answer) as messages:
        settings = f"""
        [providers.chatty]
        dialect = "openai-chat"
        base_url = "{chat.base_url}"
        api_key = "upstream-key-1"

        [providers.wordy]
        dialect = "anthropic"
        base_url = "{messages.base_url}"
        api_key = "upstream-key-2"

        [providers.busy]
        dialect = "openai-chat"
        base_url = "{chat.base_url}"
        api_key = "upstream-key-1"

        [providers.calm]
        dialect = "anthropic"
        base_url = "{messages.base_url}"
        api_key = "upstream-key-2"

        [combos.both]
        models = ["chatty/big", "wordy/big"]

        [combos.whole]
        models = ["busy/whole", "calm/big"]

        [combos.streamed]
        models = ["busy/streamed", "calm/big"]
        """
        async with start_gateway(settings) as gateway:
            world = World(gateway, chat, messages)
            yield world
            await world.openai.close()
            await world.anthropic.close()


BEHIND = pytest.mark.parametrize("model", ["chatty/big", "wordy/big"])


# --- OpenAI's SDK in front --------------------------------------------------------------------------------------------


@BEHIND
async def test_openai_chat(world, model):
    answer = await world.openai.chat.completions.with_raw_response.create(
        model=model, messages=[{"role": "user", "content": QUESTION}]
    )
    completion = answer.parse()
    assert completion.choices[0].message.content == "It is cold."
    assert completion.choices[0].finish_reason == "stop"
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (11, 7)
    assert completion.usage.prompt_tokens_details.cached_tokens == 4
    assert answer.headers["x-omniroute-provider"] == model.partition("/")[0]
    assert answer.headers["x-omniroute-model"] == "big"
    assert answer.headers["x-omniroute-attempts"] == "1"
    assert answer.headers["x-request-id"]


@BEHIND
async def test_openai_stream(world, model):
    stream = await world.openai.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": QUESTION}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "It is cold."
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (11, 7)
    assert len({chunk.id for chunk in chunks}) == 1


@BEHIND
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_openai_tool_round_trip(world, model, streamed):
    messages = [{"role": "user", "content": QUESTION}]
    if streamed:
        async with world.openai.chat.completions.stream(model=model, messages=messages, tools=[OPENAI_TOOL]) as stream:
            completion = await stream.get_final_completion()
    else:
        completion = await world.openai.chat.completions.create(model=model, messages=messages, tools=[OPENAI_TOOL])
    assert completion.choices[0].finish_reason == "tool_calls"
    call = completion.choices[0].message.tool_calls[0]
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments) == json.loads(ARGUMENTS)
    if streamed or model == "chatty/big":
        assert call.function.arguments == ARGUMENTS
    messages.append(
        completion.choices[0].message.model_dump(exclude_none=True, include={"role", "content", "tool_calls"})
    )
    messages.append({"role": "tool", "tool_call_id": call.id, "content": "-3 C"})
    answer = await world.openai.chat.completions.create(model=model, messages=messages, tools=[OPENAI_TOOL])
    assert answer.choices[0].message.content == "It is cold."
    sent = world.upstream(model).requests[-1].json()["messages"]
    if model == "wordy/big":
        assert sent[1]["content"] == [
            {"type": "tool_use", "id": call.id, "name": "weather", "input": json.loads(ARGUMENTS)}
        ]
        assert (sent[2]["content"][0]["tool_use_id"], sent[2]["content"][0]["content"]) == (call.id, "-3 C")
    else:
        assert sent[2] == {"role": "tool", "tool_call_id": call.id, "content": "-3 C"}


@BEHIND
async def test_openai_legacy_completions(world, model):
    answer = await world.openai.completions.create(model=model, prompt=QUESTION, max_tokens=9)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("It is cold.", "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (11, 7)
    stream = await world.openai.completions.create(model=model, prompt=QUESTION, max_tokens=9, stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == "It is cold."


async def test_openai_models(world):
    listed = [model.id async for model in world.openai.models.list()]
    assert "both" in listed
    assert "demo/echo" in listed
    assert (await world.openai.models.retrieve("demo/echo")).owned_by == "demo"


# --- Anthropic's SDK in front -----------------------------------------------------------------------------------------


@BEHIND
async def test_anthropic_message(world, model):
    answer = await world.anthropic.messages.with_raw_response.create(
        model=model, max_tokens=100, messages=[{"role": "user", "content": QUESTION}]
    )
    message = await answer.parse()
    assert [block.text for block in message.content] == ["It is cold."]
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens, message.usage.output_tokens) == (7, 4, 7)
    assert answer.headers["x-omniroute-provider"] == model.partition("/")[0]


@BEHIND
async def test_anthropic_stream(world, model):
    async with world.anthropic.messages.stream(
        model=model, max_tokens=100, messages=[{"role": "user", "content": QUESTION}]
    ) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        message = await stream.get_final_message()
    assert text == "It is cold."
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (7, 7)


@BEHIND
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_anthropic_tool_round_trip(world, model, streamed):
    messages = [{"role": "user", "content": QUESTION}]
    if streamed:
        async with world.anthropic.messages.stream(
            model=model, max_tokens=100, messages=messages, tools=[ANTHROPIC_TOOL]
        ) as stream:
            pieces = [event.partial_json async for event in stream if event.type == "input_json"]
            message = await stream.get_final_message()
        assert "".join(pieces) == ARGUMENTS
    else:
        message = await world.anthropic.messages.create(
            model=model, max_tokens=100, messages=messages, tools=[ANTHROPIC_TOOL]
        )
    assert message.stop_reason == "tool_use"
    call = message.content[-1]
    assert (call.type, call.name, call.input) == ("tool_use", "weather", json.loads(ARGUMENTS))
    messages.append(
        {
            "role": "assistant",
            "content": [
                block.model_dump(exclude_none=True, include={"type", "id", "name", "input"})
                for block in message.content
            ],
        }
    )
    messages.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "-3 C"}]})
    answer = await world.anthropic.messages.create(
        model=model, max_tokens=100, messages=messages, tools=[ANTHROPIC_TOOL]
    )
    assert answer.content[0].text == "It is cold."
    if model == "chatty/big":
        sent = world.chat.requests[-1].json()["messages"]
        assert [entry["role"] for entry in sent] == ["user", "assistant", "tool"]
        assert sent[2]["tool_call_id"] == sent[1]["tool_calls"][0]["id"]


@pytest.mark.parametrize(("model", "estimated"), [("wordy/big", None), ("chatty/big", "true")])
async def test_anthropic_token_count(world, model, estimated):
    answer = await world.anthropic.messages.with_raw_response.count_tokens(
        model=model, messages=[{"role": "user", "content": QUESTION * 10}]
    )
    assert answer.headers.get("x-omniroute-estimated") == estimated
    count = (await answer.parse()).input_tokens
    assert count == 42 if estimated is None else 50 < count < 100


async def test_anthropic_models(world):
    page = await world.anthropic.models.list()
    assert "demo/echo" in [model.id for model in page.data]


# --- errors -----------------------------------------------------------------------------------------------------------

FAILURES = pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (403, "PermissionDeniedError"),
        (404, "NotFoundError"),
        (422, "UnprocessableEntityError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
        (503, "InternalServerError"),
    ],
)


def failure(status, dialect):
    error = {"type": "some_error", "message": f"upstream says {status}"}
    body = (
        {"error": {**error, "code": None, "param": None}}
        if dialect == "chatty/big"
        else {"type": "error", "error": error}
    )
    return Reply.json(body, status, {"retry-after": "7"})


@BEHIND
@FAILURES
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_an_upstream_s_refusal_is_a_typed_exception(world, model, status, kind, stream):
    world.upstream(model).queue(*[failure(status, model)] * 2)
    with pytest.raises(openai.APIStatusError) as caught:
        await world.openai.chat.completions.create(
            model=model, messages=[{"role": "user", "content": QUESTION}], stream=stream
        )
    assert type(caught.value).__name__ == kind
    assert caught.value.status_code == status
    assert f"upstream says {status}" in caught.value.message
    assert caught.value.response.headers["retry-after"] == "7"
    with pytest.raises(anthropic.APIStatusError) as caught:
        await world.anthropic.messages.create(
            model=model, max_tokens=9, messages=[{"role": "user", "content": QUESTION}], stream=stream
        )
    assert caught.value.status_code == status
    assert caught.value.body["type"] == "error"
    assert f"upstream says {status}" in caught.value.body["error"]["message"]


async def test_a_wrong_client_key_is_refused_in_both_dialects(world):
    with pytest.raises(openai.AuthenticationError):
        await world.openai.with_options(api_key="test-not-a-key").models.list()
    with pytest.raises(anthropic.AuthenticationError):
        await world.anthropic.with_options(api_key="test-not-a-key").messages.create(
            model="chatty/big", max_tokens=9, messages=[{"role": "user", "content": QUESTION}]
        )


async def test_an_unknown_model_is_not_found_and_names_the_closest(world):
    with pytest.raises(openai.NotFoundError, match="demo/echo"):
        await world.openai.chat.completions.create(model="demo/ecko", messages=[{"role": "user", "content": QUESTION}])
    with pytest.raises(anthropic.NotFoundError, match="demo/echo"):
        await world.anthropic.messages.create(
            model="demo/ecko", max_tokens=9, messages=[{"role": "user", "content": QUESTION}]
        )


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_combo_falls_back_before_the_first_content(world, stream):
    world.chat.queue(failure(503, "chatty/big"))
    answer = await world.openai.chat.completions.with_raw_response.create(
        model="streamed" if stream else "whole", messages=[{"role": "user", "content": QUESTION}], stream=stream
    )
    assert (answer.headers["x-omniroute-provider"], answer.headers["x-omniroute-attempts"]) == ("calm", "2")


@BEHIND
async def test_a_cut_stream_is_an_error_in_both_sdks(world, model):
    def cut(request):
        stream = (chat_answer if model == "chatty/big" else messages_answer)(request)
        return Stream(list(stream.chunks)[: 3 if model == "chatty/big" else 4])

    world.upstream(model).queue(cut, cut)
    stream = await world.openai.chat.completions.create(
        model=model, messages=[{"role": "user", "content": QUESTION}], stream=True
    )
    with pytest.raises(openai.APIError, match="ended before"):
        async for _ in stream:
            pass
    with pytest.raises(anthropic.APIStatusError, match="ended before"):
        async with world.anthropic.messages.stream(
            model=model, max_tokens=9, messages=[{"role": "user", "content": QUESTION}]
        ) as messages:
            await messages.get_final_message()


async def test_keys_never_reach_the_log(world):
    assert "upstream-key" not in world.gateway.log
    assert world.gateway.client_key not in world.gateway.log
