"""docs/providers.md is what the facts say, and the facts say enough."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SPEC = importlib.util.spec_from_file_location("docs_providers", ROOT / "scripts" / "docs_providers.py")
docs_providers = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(docs_providers)
SHIPPED = docs_providers.shipped()
UPSTREAM = [provider.facts for provider in SHIPPED if provider.facts.auth != "none"]
PAGE = (ROOT / "docs" / "providers.md").read_text(encoding="utf-8")


def test_the_page_is_what_the_facts_say():
    assert docs_providers.page(SHIPPED) == PAGE, "run scripts/docs_providers.py"


def test_every_link_on_the_page_has_its_heading():
    anchors = {
        "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c == "-")
        for title in re.findall(r"^###? (.+)$", PAGE, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors


@pytest.mark.parametrize("facts", UPSTREAM, ids=lambda facts: facts.name)
def test_a_provider_says_when_it_was_checked_against_what(facts):
    assert facts.checked
    assert facts.docs_url
    assert facts.tier != "subscription" or (facts.terms_url and facts.note)
    assert facts.status != "withdrawn" or "2026" in facts.note


def test_prices_say_what_they_are_from():
    prices = [model.price for facts in UPSTREAM for model in facts.models if model.price]
    assert len(prices) > 50
    assert all(price.as_of for price in prices)
