"""Google's Gemini by API key.

Facts as OmniRoute 1.0.6 and 3.7.9 shipped them, windows from the CLIProxyAPI registry; compared on 2026-11-22. Prices are for
showing costs; bills are Google's. Which models there are is asked for; the list here is for who has no account yet.
"""

from collections.abc import Mapping

from omniroute.api import (
    CredentialRejected,
    FactsProvider,
    HttpResponse,
    ModelFacts,
    Price,
    ProviderFacts,
    QuotaExhausted,
    RateLimited,
    UpstreamError,
    hookimpl,
)

__all__ = ["FACTS", "Gemini", "register_providers"]

AS_OF = "OmniRoute 1.0.6"
PRO_PRICE = Price(input_usd=2, output_usd=12, cached_usd=0.25, cache_write_usd=2, reasoning_usd=18, as_of=AS_OF)
ALL_ROUND = ("tools", "vision", "reasoning")

FACTS = ProviderFacts(
    name="gemini",
    dialect="gemini",
    base_url="https://generativelanguage.googleapis.com/v1beta",
    display_name="Gemini",
    docs_url="https://ai.google.dev/api",
    terms_url="https://ai.google.dev/gemini-api/terms",
    checked="2026-11-22",
    env_keys=("GEMINI_API_KEY", "GOOGLE_API_KEY"),  # https://ai.google.dev/gemini-api/docs/api-key, 2026-11-22
    any_model=True,
    models=(
        ModelFacts(
            id="gemini-3-pro-preview",
            name="Gemini 3 Pro Preview",
            context_tokens=1_048_576,
            max_output_tokens=65_536,
            capabilities=ALL_ROUND,
            price=PRO_PRICE,
        ),
        ModelFacts(
            id="gemini-2.5-pro",
            name="Gemini 2.5 Pro",
            context_tokens=1_048_576,
            max_output_tokens=65_536,
            capabilities=ALL_ROUND,
            price=PRO_PRICE,
        ),
        ModelFacts(
            id="gemini-2.5-flash",
            name="Gemini 2.5 Flash",
            context_tokens=1_048_576,
            max_output_tokens=65_536,
            capabilities=ALL_ROUND,
            price=Price(
                input_usd=0.3, output_usd=2.5, cached_usd=0.03, cache_write_usd=0.3, reasoning_usd=3.75, as_of=AS_OF
            ),
        ),
        ModelFacts(
            id="gemini-2.5-flash-lite",
            name="Gemini 2.5 Flash Lite",
            context_tokens=1_048_576,
            max_output_tokens=65_536,
            capabilities=ALL_ROUND,
            price=Price(
                input_usd=0.15,
                output_usd=1.25,
                cached_usd=0.015,
                cache_write_usd=0.15,
                reasoning_usd=1.875,
                as_of=AS_OF,
            ),
        ),
    ),
)
DAILY = b"PerDay"
"""In the ids of quotas that are full again at midnight, Pacific time: `GenerateRequestsPerDayPerProjectPerModel-FreeTier`."""


BAD_KEY: Mapping[str, type[UpstreamError]] = {
    "api_key_invalid": CredentialRejected,
    "api_key_expired": CredentialRejected,
}
"""Both come as 400."""


class Gemini(FactsProvider):
    means = BAD_KEY

    def classify(self, response: HttpResponse) -> UpstreamError | None:
        """A day's quota is told from a minute's by its id alone, and the delay that is named is the minute's."""
        error = super().classify(response)
        if isinstance(error, RateLimited) and DAILY in response.body:
            return QuotaExhausted(error.message, status=response.status)
        return error


@hookimpl
def register_providers() -> list[Gemini]:
    return [Gemini(FACTS)]
