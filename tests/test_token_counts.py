"""Token counts of a running gateway for upstreams that have none: estimated offline, and labelled so."""

import base64
import struct

import anthropic
import pytest
import pytest_asyncio

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS = """
[providers.chatty]
dialect = "openai-chat"
base_url = "http://127.0.0.1:9/v1"
api_key = "test-key-1"
"""
"""Nothing listens there: an estimate asks nobody."""

HELLO = "hello world"  # two tokens in every vocabulary of OpenAI's
ASKED = {"role": "user", "content": HELLO}
PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 1024, 1024) + b"\x08\x02\0\0\0"
).decode()
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
THINKING = {"type": "thinking", "thinking": HELLO, "signature": "c2lnbmVk"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "hello", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": HELLO}]}
TOOL = {"name": "hello", "description": HELLO, "input_schema": {"type": "object"}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def count(start_gateway):
    """(tokens, the label) of a request."""
    async with start_gateway(SETTINGS) as gateway:
        client = anthropic.AsyncAnthropic(base_url=gateway.base_url, api_key=gateway.client_key, max_retries=0)

        async def ask(model: str, *messages: dict, **fields) -> tuple[int, str | None]:
            answer = await client.messages.with_raw_response.count_tokens(model=model, messages=messages, **fields)
            return (await answer.parse()).input_tokens, answer.headers.get("x-omniroute-estimated")

        yield ask
        await client.close()


@pytest.mark.parametrize(
    ("messages", "fields", "tokens"),
    [
        pytest.param([], {}, 0, id="nothing more"),
        pytest.param([], {"system": HELLO}, 3 + 2, id="system text"),
        pytest.param([{"role": "assistant", "content": HELLO}, ASKED], {}, 2 * (3 + 2), id="further turns"),
        pytest.param(
            [], {"tools": [TOOL]}, 10 + 1 + 2 + 5, id="a tool: what stands around it, name, description, schema"
        ),
        pytest.param([{"role": "user", "content": [IMAGE]}], {}, 3 + 765, id="an image"),
        pytest.param(
            [{"role": "assistant", "content": [THINKING, CALL]}, {"role": "user", "content": [RESULT]}],
            {},
            3 + 2 + 1 + 1 + 3 + 2,
            id="thinking, a call with empty arguments, its result",
        ),
    ],
)
async def test_everything_the_model_reads_is_counted_with_its_own_vocabulary(count, messages, fields, tokens):
    assert await count("chatty/gpt-4o", ASKED, *messages, **fields) == (3 + 3 + 2 + tokens, "true")


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        pytest.param("chatty/gpt-4", 3 + 3 + 2000, id="exact"),
        pytest.param("chatty/claude-opus-4-6", 3 + 4 + 2400, id="by a measured factor"),
        pytest.param("chatty/unheard-of", 4 + 3000, id="four characters a token"),
    ],
)
async def test_the_model_that_would_answer_decides_who_counts(count, model, tokens):
    text = " ".join([HELLO] * 1000)
    assert await count(model, {"role": "user", "content": text}) == (tokens, "true")
