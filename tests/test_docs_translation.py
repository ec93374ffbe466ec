"""docs/translation.md shows what the translators do, and nothing vanishes without a word."""

from pathlib import Path

import pytest

from omniroute.testing.dialects import VOICES, installed_translators

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def docs(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import docs_translation

    return docs_translation


def test_the_tables_are_those_of_a_run(docs):
    page = docs.PAGE.read_text(encoding="utf-8")
    assert docs.rendered(page) == page, "run scripts/docs_translation.py"


def test_a_field_that_vanished_would_stop_the_run(docs):
    pair = docs.pairs()["openai-chat", "gemini"]
    plain = docs.Fields(dialect="openai-chat", base=VOICES["openai-chat"].body({}, "m", stream=False), fields=[])
    with pytest.raises(RuntimeError, match="`stream` of openai-chat is lost in silence on its way to gemini"):
        docs.word(pair, plain, docs.Field(name="`stream`", add={"stream": False}))


def test_every_pair_of_the_page_is_installed():
    assert set(VOICES) <= set(installed_translators())
