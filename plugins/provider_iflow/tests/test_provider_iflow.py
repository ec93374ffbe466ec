import hashlib
import hmac

import msgspec
import pytest

from omniroute.api import (
    Account,
    Call,
    ChatRequest,
    Credential,
    CredentialPlace,
    Message,
    ModelFacts,
    Raw,
    Reasoning,
    Secret,
    TextPart,
    UpstreamOperation,
)
from omniroute.testing import check_provider
from omniroute_provider_iflow import FACTS, register_providers

(PROVIDER,) = register_providers()
KEY = "test-key-1"
CALL = Call(
    operation=UpstreamOperation(path="chat/completions"),
    account=Account(provider="iflow", name="a", base_url=FACTS.base_url, credential=Credential(access=Secret(KEY))),
    model="kimi-k2",
    stream=True,
    body=b"{}",
    headers={"user-agent": "omniroute"},
    credential_place=CredentialPlace(),
    request_id="r-1",
    session="s-1",
    now_s=1_800_000_000.1239,
)


def test_it_passes_the_check_every_provider_must_pass():
    check_provider(PROVIDER)


def test_a_request_is_signed_with_the_users_own_key():
    headers = PROVIDER.prepare(CALL).headers
    signed = f"iFlow-Cli:{headers['session-id']}:1800000000123".encode()
    assert headers["x-iflow-timestamp"] == "1800000000123"
    assert headers["x-iflow-signature"] == hmac.new(KEY.encode(), signed, hashlib.sha256).hexdigest()
    assert headers["user-agent"] == "iFlow-Cli"
    assert headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("other", "same"),
    [({"request_id": "r-2"}, True), ({"session": "s-2"}, False), ({"session": None, "request_id": "r-2"}, False)],
)
def test_a_conversation_is_one_session(other, same):
    first, second = (
        PROVIDER.prepare(call).headers["session-id"] for call in (CALL, msgspec.structs.replace(CALL, **other))
    )
    assert first.startswith("session-")
    assert (first == second) is same


@pytest.mark.parametrize(
    ("model", "reasoning", "fields"),
    [
        (
            "glm-4.7",
            Reasoning(effort="high"),
            {"chat_template_kwargs": Raw(b'{"enable_thinking":true,"clear_thinking":false}')},
        ),
        ("minimax-m2.1", Reasoning(budget_tokens=1024), {"reasoning_split": Raw(b"true")}),
        ("glm-4.7", Reasoning(effort="none"), {}),
    ],
)
def test_thinking_is_asked_for_as_the_family_wants_it(model, reasoning, fields):
    request = ChatRequest(
        model="m", messages=(Message(role="user", parts=(TextPart(text="hi"),)),), reasoning=reasoning
    )
    adapted = PROVIDER.adapt(request, ModelFacts(id=model))
    assert (adapted.reasoning, adapted.extensions) == (None, {"openai-chat": fields})
    assert PROVIDER.adapt(request, ModelFacts(id="kimi-k2")) is request


def test_a_model_that_takes_no_system_text_gets_it_from_the_user():
    [glm] = [model for model in FACTS.models if model.id == "glm-4.7"]
    system = Message(role="system", parts=(TextPart(text="Be brief."),))
    request = ChatRequest(model="m", messages=(system, Message(role="user", parts=(TextPart(text="hi"),))))
    [turn] = PROVIDER.adapt(request, glm).messages
    assert [part.text for part in turn.parts] == ["[System Instructions]\nBe brief.", "[User Message]\n", "hi"]


def test_it_says_that_it_was_withdrawn():
    assert FACTS.status == "withdrawn"
    assert "April 2026" in FACTS.note
