import pytest

from omniroute.api import ChatRequest, InvalidRequest, Message, Reasoning, TextPart

FLASH, LITE, PRO = "gemini-2.5-flash", "gemini-2.5-flash-lite", "models/gemini-2.5-pro-preview-06-05"
FLASH3, PRO3 = "gemini-3-flash-preview", "google/gemini-3.1-pro"
SHOWN = {"includeThoughts": True}


@pytest.fixture
def config_of(encode):
    def config(model, **reasoning):
        hi = Message(role="user", parts=(TextPart(text="hi"),))
        request = ChatRequest(model=model, messages=(hi,), reasoning=Reasoning(**reasoning) if reasoning else None)
        wire, losses = encode(request)
        return wire.get("generationConfig", {}).get("thinkingConfig"), losses

    return config


@pytest.mark.parametrize("model", [FLASH, PRO, FLASH3, PRO3, "gemini-2.0-flash", "some-model"])
def test_nothing_is_said_where_the_client_said_nothing(config_of, model):
    assert config_of(model) == (None, [])


@pytest.mark.parametrize(
    ("model", "reasoning", "config", "lost"),
    [
        (FLASH, {"budget_tokens": 2048}, {"thinkingBudget": 2048}, False),
        (FLASH, {"budget_tokens": 90_000}, {"thinkingBudget": 24_576}, True),
        (FLASH, {"effort": "minimal"}, {"thinkingBudget": 512}, True),
        (FLASH, {"effort": "low"}, {"thinkingBudget": 1024}, True),
        (FLASH, {"effort": "medium"}, {"thinkingBudget": 8192}, True),
        (FLASH, {"effort": "high"}, {"thinkingBudget": 24_576}, True),
        (FLASH, {"effort": "high", "budget_tokens": 7}, {"thinkingBudget": 7}, False),
        (LITE, {"budget_tokens": 7}, {"thinkingBudget": 512}, True),
        (PRO, {"effort": "max"}, {"thinkingBudget": 32_768}, True),
        (PRO, {"budget_tokens": 1}, {"thinkingBudget": 128}, True),
        (FLASH3, {"effort": "minimal"}, {"thinkingLevel": "minimal"}, False),
        (FLASH3, {"effort": "medium"}, {"thinkingLevel": "medium"}, False),
        (FLASH3, {"effort": "xhigh"}, {"thinkingLevel": "high"}, True),
        (FLASH3, {"budget_tokens": 512}, {"thinkingLevel": "minimal"}, True),
        (FLASH3, {"budget_tokens": 1024}, {"thinkingLevel": "low"}, True),
        (FLASH3, {"budget_tokens": 8000}, {"thinkingLevel": "medium"}, True),
        (FLASH3, {"budget_tokens": 90_000}, {"thinkingLevel": "high"}, True),
        (PRO3, {"effort": "minimal"}, {"thinkingLevel": "low"}, True),
        (PRO3, {"effort": "medium"}, {"thinkingLevel": "high"}, True),
        (PRO3, {"effort": "high"}, {"thinkingLevel": "high"}, False),
        ("gemini-flash-latest", {"effort": "low"}, {"thinkingLevel": "low"}, False),
        ("some-model", {"effort": "xhigh"}, {"thinkingLevel": "xhigh"}, False),
        ("some-model", {"budget_tokens": 5}, {"thinkingBudget": 5}, False),
        *((model, {"adaptive": True}, {}, False) for model in (FLASH, PRO, FLASH3, "some-model")),
    ],
)
def test_each_line_is_told_in_its_own_way(config_of, model, reasoning, config, lost):
    assert config_of(model, **reasoning) == ({**config, **SHOWN}, ["approximated /reasoning"] * lost)


@pytest.mark.parametrize(
    ("model", "config", "losses"),
    [
        (FLASH, {"thinkingBudget": 0}, []),
        ("some-model", {"thinkingBudget": 0}, []),
        (PRO, {"thinkingBudget": 128}, ["approximated /reasoning"]),
        (FLASH3, {"thinkingLevel": "minimal"}, ["approximated /reasoning"]),
        (PRO3, {"thinkingLevel": "low"}, ["approximated /reasoning"]),
        ("gemini-2.0-flash", None, []),
    ],
)
@pytest.mark.parametrize("off", [{"effort": "none"}, {"budget_tokens": 0}], ids=["by effort", "by budget"])
def test_thinking_is_switched_off_where_that_can_be_done(config_of, model, config, losses, off):
    assert config_of(model, **off) == (config, losses)


@pytest.mark.parametrize("model", ["gemini-2.0-flash", "gemini-1.5-pro", "gemini-2.5-flash-image-preview"])
def test_a_model_that_does_not_think_is_told_nothing(config_of, model):
    assert config_of(model, effort="high") == (None, ["dropped /reasoning"])


@pytest.mark.parametrize(
    ("summary", "config", "losses"),
    [
        (None, SHOWN, []),
        ("auto", SHOWN, []),
        ("detailed", SHOWN, ["approximated /reasoning/summary"]),
        ("omitted", {}, []),
    ],
)
def test_thoughts_are_shown_unless_the_client_wants_none(config_of, summary, config, losses):
    assert config_of(FLASH, budget_tokens=9, summary=summary) == ({"thinkingBudget": 9, **config}, losses)


@pytest.mark.parametrize(
    ("config", "reasoning"),
    [
        ({}, Reasoning(summary="omitted")),
        ({"includeThoughts": False, "thinkingBudget": -1}, Reasoning(summary="omitted")),
        ({"include_thoughts": True, "thinking_level": "high"}, Reasoning(effort="high", summary="auto")),
        ({"thinkingLevel": "XHIGH"}, Reasoning(effort="xhigh", summary="omitted")),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED", "includeThoughts": True}, Reasoning(summary="auto")),
    ],
)
def test_what_clients_say_is_read(decode, config, reasoning):
    assert decode(generationConfig={"thinkingConfig": config}).reasoning == reasoning


def test_a_budget_in_a_text_is_refused(decode):
    with pytest.raises(InvalidRequest):
        decode(generationConfig={"thinkingConfig": {"thinkingBudget": "5"}})
