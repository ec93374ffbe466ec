import msgspec
import pytest

from omniroute.api import (
    ChatRequest,
    CredentialRejected,
    HttpResponse,
    Message,
    ModelFacts,
    QuotaExhausted,
    RateLimited,
    Reasoning,
    TextPart,
    ToolChoice,
)
from omniroute.testing import check_provider
from omniroute_provider_qwen import FACTS, register_providers

(PROVIDER,) = register_providers()
MODEL = ModelFacts(id="coder-model")
REQUEST = ChatRequest(model="m", messages=(Message(role="user", parts=(TextPart(text="hi"),)),))


def test_it_passes_the_check_every_provider_must_pass():
    check_provider(PROVIDER)


@pytest.mark.parametrize("choice", [ToolChoice(mode="required", parallel=False), ToolChoice(mode="tool", name="look")])
def test_a_model_that_thinks_chooses_its_tools_itself(choice):
    request = msgspec.structs.replace(REQUEST, tool_choice=choice, reasoning=Reasoning(effort="high"))
    adapted = PROVIDER.adapt(request, MODEL)
    assert adapted.tool_choice == ToolChoice(mode="auto", parallel=choice.parallel)
    assert [(loss.pointer, loss.kind) for loss in adapted.losses] == [("/tool_choice", "approximated")]


@pytest.mark.parametrize(
    ("choice", "reasoning"),
    [
        (ToolChoice(mode="required"), None),
        (ToolChoice(mode="required"), Reasoning(effort="none")),
        (ToolChoice(mode="required"), Reasoning(budget_tokens=0)),
        (ToolChoice(mode="auto"), Reasoning(effort="high")),
        (None, Reasoning(effort="high")),
    ],
)
def test_anything_else_is_left_alone(choice, reasoning):
    request = msgspec.structs.replace(REQUEST, tool_choice=choice, reasoning=reasoning)
    assert PROVIDER.adapt(request, MODEL) is request


@pytest.mark.parametrize(
    ("status", "code", "found"),
    [
        (401, "invalid_access_token", CredentialRejected),
        (429, "insufficient_quota", QuotaExhausted),
        (403, "quota_exceeded", QuotaExhausted),
        (429, "rate_limit", RateLimited),
    ],
)
def test_what_a_failure_means(status, code, found):
    body = msgspec.json.encode({"error": {"code": code, "message": "no", "type": "x"}})
    assert type(PROVIDER.classify(HttpResponse(status=status, body=body))) is found


def test_one_limit_for_all_models():
    assert {PROVIDER.bucket(model) for model in FACTS.models} == {"qwen"}


def test_the_address_that_comes_with_the_token_may_only_be_the_vendors():
    assert FACTS.oauth.base_url == "{resource_url}/v1"
    assert set(FACTS.oauth.base_url_hosts) == {"qwen.ai", "aliyuncs.com"}
