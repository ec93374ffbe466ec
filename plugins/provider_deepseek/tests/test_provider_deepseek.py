import msgspec
import pytest

from omniroute.api import (
    ChatRequest,
    HttpResponse,
    Message,
    ModelFacts,
    OutOfCredit,
    Overloaded,
    RateLimited,
    Raw,
    Reasoning,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UpstreamRefused,
)
from omniroute.testing import check_provider
from omniroute_provider_deepseek import FACTS, register_providers

(PROVIDER,) = register_providers()
MODEL = ModelFacts(id="deepseek-v4-pro")
USER = Message(role="user", parts=(TextPart(text="hi"),))
CALL = ToolCallPart(id="c1", name="look", arguments="{}")
RESULT = Message(role="tool", parts=(ToolResultPart(call_id="c1", parts=(TextPart(text="seen"),)),))


def test_it_passes_the_check_every_provider_must_pass():
    check_provider(PROVIDER)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param((TextPart(text="no tools"),), id="a turn without calls"),
        pytest.param((ReasoningPart(text="I look."), CALL), id="thinking and a call"),
        pytest.param((ReasoningPart(text="I look."), TextPart(text="Looking."), CALL), id="and words between"),
    ],
)
def test_a_history_that_is_whole_is_left_alone_and_can_be_relayed(parts):
    request = ChatRequest(model="m", messages=(USER, Message(role="assistant", parts=parts), RESULT))
    assert PROVIDER.adapt(request, MODEL) is request


@pytest.mark.parametrize(
    "parts",
    [pytest.param((CALL,), id="none"), pytest.param((ReasoningPart(text=""), CALL), id="nothing but a signature")],
)
def test_a_client_that_dropped_the_thinking_gets_an_answer_without_any_instead_of_a_400(parts):
    request = ChatRequest(
        model="m",
        messages=(USER, Message(role="assistant", parts=parts), RESULT),
        reasoning=Reasoning(effort="high"),
        extensions={"openai-chat": {"logprobs": Raw(b"true")}},
    )
    adapted = PROVIDER.adapt(request, MODEL)
    assert adapted.reasoning is None
    assert adapted.extensions["openai-chat"] == {"logprobs": Raw(b"true"), "thinking": Raw(b'{"type":"disabled"}')}
    assert [loss.pointer for loss in adapted.losses] == ["/reasoning"]
    assert PROVIDER.adapt(adapted, MODEL) is adapted


@pytest.mark.parametrize(
    ("status", "message", "found"),
    [
        (402, "Insufficient Balance", OutOfCredit),
        (422, "Invalid parameters", UpstreamRefused),
        (429, "Too many requests", RateLimited),
        (503, "Server overloaded", Overloaded),
    ],
)
def test_what_a_failure_means(status, message, found):
    body = msgspec.json.encode({"error": {"message": message, "type": "unknown_error", "param": None, "code": None}})
    assert type(PROVIDER.classify(HttpResponse(status=status, body=body))) is found


def test_it_has_two_prefixes():
    assert (FACTS.name, *FACTS.aliases) == ("deepseek", "ds")
