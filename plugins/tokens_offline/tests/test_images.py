import pytest

from omniroute_tokens_offline import OfflineCounter

COUNTER = OfflineCounter()


@pytest.mark.parametrize(
    ("model", "size", "detail", "tokens"),
    [
        # examples of OpenAI's docs
        pytest.param("gpt-4o", (1024, 1024), "high", 765, id="four tiles"),
        pytest.param("gpt-4o", (2048, 4096), "high", 1105, id="six tiles"),
        pytest.param("gpt-4o", (4096, 8192), "low", 85, id="low detail"),
        pytest.param("gpt-4.1-mini", (1024, 1024), None, 1659, id="1,024 patches, times 1.62"),
        pytest.param("gpt-4.1-mini", (8000, 8000), None, 2489, id="no more than 1,536 patches"),
        pytest.param("gpt-4o", None, None, 1445, id="the most tiles there can be"),
        pytest.param("gpt-4o", (100, 100), None, 255, id="one tile"),
        pytest.param("gpt-5", (512, 512), None, 210, id="another price"),
        # of Anthropic's: patches of 28 px, up to 1568
        pytest.param("claude-opus-4-6", (200, 200), None, 64, id="patches of 28"),
        pytest.param("claude-opus-4-6", (8000, 8000), None, 1568, id="scaled down"),
        pytest.param("claude-opus-4-6", (3136, 100), None, 112, id="a long one is scaled by its long edge"),
        pytest.param("claude-opus-4-7", (2000, 1500), None, 3888, id="finer"),
        pytest.param("claude-opus-4-7", None, None, 4784, id="unknown"),
        # of Google's
        pytest.param("gemini-2.5-pro", (384, 384), None, 258, id="small"),
        pytest.param("gemini-2.5-pro", (769, 500), None, 516, id="two tiles of 768"),
        pytest.param("gemini-2.5-pro", None, None, 1032, id="a screenshot"),
        pytest.param("gemini-3-pro-preview", (4000, 3000), None, 1120, id="the same for all"),
        pytest.param("gemini-3-pro-preview", (4000, 3000), "low", 280, id="or low"),
        pytest.param("deepseek-chat", (100, 100), None, None, id="nothing published"),
    ],
)
def test_an_image_costs_what_its_vendor_says(model, size, detail, tokens):
    assert COUNTER.count_image(model, size, detail) == tokens
