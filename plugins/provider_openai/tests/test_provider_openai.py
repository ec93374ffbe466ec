import msgspec
import pytest

from omniroute.api import ChatRequest, Message, ModelFacts, ReasoningPart, Sampling, TextPart
from omniroute.testing import check_provider
from omniroute_provider_openai import FACTS, register_providers

(PROVIDER,) = register_providers()
REQUEST = ChatRequest(
    model="m",
    messages=(Message(role="user", parts=(TextPart(text="hi"),)),),
    sampling=Sampling(temperature=0.2, top_p=0.9, presence_penalty=0.1, frequency_penalty=0.1, seed=7),
)


def test_it_passes_the_check_every_provider_must_pass():
    check_provider(PROVIDER)


@pytest.mark.parametrize("model", ["o1", "o3", "o4-mini", "gpt-5", "gpt-5.5", "gpt-5-mini", "gpt-6-sol", "gpt-10"])
def test_models_that_reason_get_no_sampling_they_would_refuse(model):
    adapted = PROVIDER.adapt(REQUEST, ModelFacts(id=model))
    assert adapted.sampling == Sampling(seed=7)
    assert len(adapted.losses) == 4
    assert PROVIDER.adapts(ModelFacts(id=model))


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1", "gpt-4-turbo", "omni-moderation-latest", "chatgpt-4o-latest"])
def test_other_models_are_left_alone(model):
    assert PROVIDER.adapt(REQUEST, ModelFacts(id=model)) is REQUEST


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-5.5"])
def test_thinking_that_a_client_brings_back_is_left_out(model):
    """Clients keep what another vendor's model thought, and the API refuses a field it does not know."""
    answered = Message(role="assistant", parts=(ReasoningPart(text="hm"), TextPart(text="ok")))
    asked = msgspec.structs.replace(REQUEST, messages=(*REQUEST.messages, answered))
    assert PROVIDER.adapts(ModelFacts(id=model))
    assert PROVIDER.adapt(asked, ModelFacts(id=model)).messages[1].parts == (TextPart(text="ok"),)


def test_a_request_without_sampling_can_be_relayed_to_any_model():
    plain = msgspec.structs.replace(REQUEST, sampling=Sampling())
    assert PROVIDER.adapt(plain, ModelFacts(id="gpt-5.5")) is plain


def test_prices_say_which_release_they_are_from():
    prices = [model.price for model in FACTS.models if model.price]
    assert len(prices) == 5
    assert {price.as_of for price in prices} == {"OmniRoute 1.0.6"}
