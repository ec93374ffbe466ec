import pytest

from omniroute_tokens_offline.families import FAMILIES, family_of


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-5", "GPT-5"),
        ("gpt-5.1-codex", "GPT-5"),
        ("openai/gpt-5-mini:free", "GPT-4.1 mini, GPT-5 mini"),
        ("gpt-5-nano-2025-08-07", "GPT-4.1 nano, GPT-5 nano"),
        ("gpt-4.1-mini", "GPT-4.1 mini, GPT-5 mini"),
        ("gpt-4o-2024-08-06", "GPT-4o, 4.1, 4.5"),
        ("chatgpt-4o-latest", "GPT-4o, 4.1, 4.5"),
        ("gpt-4o-mini", "GPT-4o mini"),
        ("o3", "o1, o3"),
        ("o3-pro", "o1, o3"),
        ("o4-mini", "o4-mini"),
        ("gpt-4-turbo", "GPT-3.5, GPT-4"),
        ("gpt-4", "GPT-3.5, GPT-4"),
        ("gpt-35-turbo", "GPT-3.5, GPT-4"),
        ("openai/gpt-oss-120b", "gpt-oss"),
        ("claude-3-5-sonnet-20241022", "Claude 3 to 4.6"),
        ("claude-3-7-sonnet-latest", "Claude 3 to 4.6"),
        ("claude-sonnet-4-20250514", "Claude 3 to 4.6"),
        ("claude-opus-4-6", "Claude 3 to 4.6"),
        ("claude-haiku-4.5", "Claude 3 to 4.6"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "Claude 3 to 4.6"),
        ("claude-opus-4-7", "Claude, from Opus 4.7 and Sonnet 5"),
        ("anthropic/claude-opus-4.8", "Claude, from Opus 4.7 and Sonnet 5"),
        ("claude-opus-4-10", "Claude, from Opus 4.7 and Sonnet 5"),
        ("claude-sonnet-5", "Claude, from Opus 4.7 and Sonnet 5"),
        ("gemini-claude-opus-4-6", "Claude 3 to 4.6"),
        ("gemini-3-pro-preview", "Gemini 3"),
        ("models/gemini-2.5-flash", "Gemini 2"),
        ("gemma3:12b", "Gemma 3"),
        ("meta-llama/Llama-3.3-70B-Instruct", "Llama 3"),
        ("llama3.2:3b", "Llama 3"),
        ("qwen/qwen3-coder:free", "Qwen 2 to 3"),
        ("qwen3-coder-plus", "Qwen 2 to 3"),
        ("qwen2.5-coder:32b", "Qwen 2 to 3"),
        ("qwen3.5-plus", "Qwen 3.5, 3.6"),
        ("deepseek-chat", "DeepSeek V3 to V4"),
        ("deepseek/deepseek-v3.2", "DeepSeek V3 to V4"),
        ("glm-4.7", "GLM 4 and 5"),
        ("zai-org/GLM-5.1", "GLM 4 and 5"),
        ("minimax-m2", "MiniMax M and Text"),
        ("MiniMax-M3", "MiniMax M and Text"),
        ("mistral-small-latest", "Mistral, with tekken"),
        ("devstral-medium", "Mistral, with tekken"),
    ],
)
def test_a_model_is_found_by_its_upstreams_name_for_it(model, family):
    found = family_of(model)
    assert found is not None
    assert found.name == family


@pytest.mark.parametrize(
    "model",
    [
        "kimi-k2-thinking", "grok-4", "claude-2.1", "claude-instant", "codellama-34b", "llama-4-scout", "qwen3.7-max",
        "qwen-turbo", "deepseek-coder-6.7b", "deepseek-r1-distill-llama-70b", "mistral-large-latest", "gpt-6", "foo1",
        "echo", "", "o365", "gpt-5/other",
    ],
)  # fmt: skip
def test_a_model_whose_tokenizer_was_not_measured_is_not_claimed(model):
    assert family_of(model) is None


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_factor_lies_where_it_was_measured(family):
    least, most = family.measured
    assert least <= family.factor <= most
    assert (family.factor == 1.0) or (least, most) != (1.0, 1.0)


def test_families_have_names_of_their_own():
    names = [family.name for family in FAMILIES]
    assert len(names) == len(set(names))
