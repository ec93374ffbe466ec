"""OpenAI by API key.

Facts as OmniRoute 1.0.6 and 3.7.9 shipped them, compared on 2026-11-22. Prices are for showing costs; bills are OpenAI's.
"""

import re

from omniroute.api import FactsProvider, ModelFacts, Price, ProviderFacts, hookimpl

__all__ = ["FACTS", "OpenAI", "register_providers"]

AS_OF = "OmniRoute 1.0.6"
FACTS = ProviderFacts(
    name="openai",
    dialect="openai-chat",
    base_url="https://api.openai.com/v1",
    display_name="OpenAI",
    docs_url="https://platform.openai.com",
    checked="2026-11-22",
    any_model=True,
    refuses_reasoning=True,
    models=(
        ModelFacts(id="gpt-5.5", name="GPT-5.5", context_tokens=1_050_000),
        ModelFacts(id="gpt-5.4", name="GPT-5.4"),
        ModelFacts(id="gpt-5.4-mini", name="GPT-5.4 Mini"),
        ModelFacts(id="gpt-5.4-nano", name="GPT-5.4 Nano"),
        ModelFacts(id="gpt-4.1", name="GPT-4.1"),
        ModelFacts(
            id="gpt-4o",
            name="GPT-4o",
            price=Price(
                input_usd=2.5, output_usd=10, cached_usd=1.25, cache_write_usd=2.5, reasoning_usd=15, as_of=AS_OF
            ),
        ),
        ModelFacts(
            id="gpt-4o-mini",
            name="GPT-4o Mini",
            price=Price(
                input_usd=0.15, output_usd=0.6, cached_usd=0.075, cache_write_usd=0.15, reasoning_usd=0.9, as_of=AS_OF
            ),
        ),
        ModelFacts(
            id="gpt-4-turbo",
            name="GPT-4 Turbo",
            price=Price(input_usd=10, output_usd=30, cached_usd=5, cache_write_usd=10, reasoning_usd=45, as_of=AS_OF),
        ),
        ModelFacts(id="o4-mini", name="O4 mini"),
        ModelFacts(id="o3", name="O3"),
        ModelFacts(
            id="o1",
            name="O1",
            price=Price(input_usd=15, output_usd=60, cached_usd=7.5, cache_write_usd=15, reasoning_usd=90, as_of=AS_OF),
        ),
        ModelFacts(
            id="o1-mini",
            name="O1 Mini",
            price=Price(input_usd=3, output_usd=12, cached_usd=1.5, cache_write_usd=3, reasoning_usd=18, as_of=AS_OF),
        ),
    ),
)
REASONS = re.compile(r"o\d|gpt-(?:[5-9]|\d\d)")
REFUSED = ("temperature", "top_p", "presence_penalty", "frequency_penalty")


class OpenAI(FactsProvider):
    """The families that reason answer 400 to sampling fields; by name, for new ones come before this table knows them."""

    def dropped(self, model: ModelFacts) -> tuple[str, ...]:
        stated = super().dropped(model)
        return (*stated, *REFUSED) if REASONS.match(model.id) else stated


@hookimpl
def register_providers() -> list[OpenAI]:
    return [OpenAI(FACTS)]
