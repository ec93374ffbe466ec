import json

import openai.types
import pytest

from omniroute.api import (
    ChatRequest,
    ChatResponse,
    Headers,
    InvalidRequest,
    Message,
    ReasoningPart,
    Sampling,
    StreamBroken,
    TextPart,
    Usage,
)
from omniroute.testing import explode
from omniroute_translator_openai_chat import OpenAICompletions

NONE = Headers({})
LEGACY = OpenAICompletions(now=lambda: 7.0, new_id=lambda: "x")
USAGE = Usage(input_tokens=3, output_tokens=2)


def decode(**body):
    data = json.dumps({"model": "m", **body}).encode()
    LEGACY.read_head(data, {}, NONE)
    return LEGACY.decode_request(data, {}, NONE)


def asked(text, **fields):
    return ChatRequest(model="m", messages=(Message(role="user", parts=(TextPart(text=text),)),), **fields)


@pytest.mark.parametrize(
    ("body", "request_"),
    [
        pytest.param({"prompt": "hi"}, asked("hi"), id="text"),
        pytest.param({"prompt": ["hi"]}, asked("hi"), id="a list of one"),
        pytest.param(
            {
                "prompt": "hi",
                "max_tokens": 5,
                "temperature": 0.5,
                "top_p": 1,
                "stop": "x",
                "seed": 3,
                "user": "u",
                "n": 1,
                "best_of": 1,
            },
            asked(
                "hi", max_output_tokens=5, user="u", sampling=Sampling(temperature=0.5, top_p=1.0, stop=("x",), seed=3)
            ),
            id="everything that has a home",
        ),
        pytest.param({"prompt": "hi", "stream": True}, asked("hi", stream=True, include_usage=False), id="streamed"),
        pytest.param(
            {"prompt": "hi", "stream": True, "stream_options": {"include_usage": True}},
            asked("hi", stream=True),
            id="with usage",
        ),
        pytest.param({"prompt": "hi", "echo": False, "suffix": None}, asked("hi"), id="nothing asked for"),
    ],
)
def test_a_prompt_is_one_user_message(body, request_):
    assert decode(**body) == request_


def test_what_has_no_home_is_kept_for_the_loss_report():
    assert set(decode(prompt="hi", echo=True, suffix="end", logprobs=2).extensions["openai-completions"]) == {
        "echo",
        "suffix",
        "logprobs",
    }


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1]]}, "prompt"),
        ({"prompt": "a", "n": 2}, "n"),
        ({"prompt": "a", "max_tokens": 0}, "max_tokens"),
        ({"prompt": "a", "temperature": 3}, "temperature"),
    ],
)
def test_a_bad_request_names_the_field(body, param):
    with pytest.raises(InvalidRequest) as caught:
        decode(**body)
    assert caught.value.param == param


RESPONSE = ChatResponse(
    id="1",
    model="up",
    parts=(ReasoningPart(text="hm"), TextPart(text="It is "), TextPart(text="cold.")),
    finish_reason="length",
    usage=USAGE,
)


def test_a_whole_answer_is_the_sdk_s_completion():
    completion = openai.types.Completion.model_validate(
        json.loads(LEGACY.encode_response(RESPONSE, asked("hi"))), strict=True
    )
    assert (completion.choices[0].text, completion.choices[0].finish_reason) == ("It is cold.", "length")
    assert (completion.created, completion.model, completion.usage.total_tokens) == (7, "up", 5)


@pytest.mark.parametrize("include_usage", [True, False])
def test_a_stream_says_the_same_as_the_whole_answer(include_usage):
    encoder = LEGACY.response_encoder(asked("hi", stream=True, include_usage=include_usage))
    frames = [frame.data for event in explode(RESPONSE) for frame in encoder.feed(event)]
    chunks = [openai.types.Completion.construct(**json.loads(data)) for data in frames]  # as the SDK reads a stream
    assert "".join(chunk.choices[0].text for chunk in chunks) == "It is cold."
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, "length"]
    assert [chunk.usage is not None for chunk in chunks] == [False, False, include_usage]
    assert [frame.data for frame in encoder.close()] == [b"[DONE]"]


def test_a_broken_stream_ends_in_an_error():
    (frame,) = LEGACY.response_encoder(asked("hi")).fail(StreamBroken("cut"))
    assert json.loads(frame.data)["error"]["message"].startswith("cut")


def test_nobody_is_asked_in_it():
    assert LEGACY.operations == {}
    with pytest.raises(InvalidRequest, match="no upstream"):
        LEGACY.encode_request(asked("hi"))
