"""Anthropic by API key.

Facts as OmniRoute 1.0.6 and 3.7.9 shipped them, windows from the CLIProxyAPI registry; compared on 2026-11-22. Prices are for
showing costs; bills are Anthropic's. The `anthropic-version` header is the dialect's or the client's own.
"""

from omniroute.api import (
    AccountBlocked,
    FactsProvider,
    HttpResponse,
    ModelFacts,
    Price,
    ProviderFacts,
    UpstreamError,
    UpstreamRefused,
    hookimpl,
)

__all__ = ["FACTS", "Anthropic", "register_providers"]

AS_OF = "OmniRoute 1.0.6"
SONNET_PRICE = Price(input_usd=3, output_usd=15, cached_usd=1.5, cache_write_usd=3, reasoning_usd=15, as_of=AS_OF)
OPUS_4_PRICE = Price(input_usd=15, output_usd=75, cached_usd=7.5, cache_write_usd=15, reasoning_usd=112.5, as_of=AS_OF)
OPUS_45_PRICE = Price(input_usd=15, output_usd=75, cached_usd=7.5, cache_write_usd=15, reasoning_usd=75, as_of=AS_OF)
OPUS_46_PRICE = Price(
    input_usd=5, output_usd=25, cached_usd=2.5, cache_write_usd=5, reasoning_usd=25, as_of="OmniRoute 3.7.9"
)
HAIKU_PRICE = Price(input_usd=0.5, output_usd=2.5, cached_usd=0.25, cache_write_usd=0.5, reasoning_usd=2.5, as_of=AS_OF)
ALL_ROUND = ("tools", "vision", "reasoning")

FACTS = ProviderFacts(
    name="anthropic",
    dialect="anthropic",
    base_url="https://api.anthropic.com/v1",
    display_name="Anthropic",
    docs_url="https://console.anthropic.com",
    checked="2026-11-22",
    any_model=True,
    models=(
        ModelFacts(id="claude-opus-4-7", name="Claude Opus 4.7", context_tokens=1_000_000, capabilities=ALL_ROUND),
        ModelFacts(
            id="claude-opus-4-6",
            name="Claude Opus 4.6",
            context_tokens=1_000_000,
            max_output_tokens=128_000,
            capabilities=ALL_ROUND,
            price=OPUS_46_PRICE,
        ),
        ModelFacts(id="claude-sonnet-4-6", name="Claude Sonnet 4.6", context_tokens=200_000, capabilities=ALL_ROUND),
        ModelFacts(
            id="claude-opus-4-5-20251101",
            name="Claude Opus 4.5",
            context_tokens=200_000,
            max_output_tokens=64_000,
            capabilities=ALL_ROUND,
            price=OPUS_45_PRICE,
        ),
        ModelFacts(
            id="claude-sonnet-4-5-20250929",
            name="Claude Sonnet 4.5",
            context_tokens=200_000,
            max_output_tokens=64_000,
            capabilities=ALL_ROUND,
            price=SONNET_PRICE,
        ),
        ModelFacts(
            id="claude-haiku-4-5-20251001",
            name="Claude Haiku 4.5",
            context_tokens=200_000,
            max_output_tokens=64_000,
            capabilities=ALL_ROUND,
            price=HAIKU_PRICE,
        ),
        ModelFacts(
            id="claude-sonnet-4-20250514",
            name="Claude Sonnet 4",
            context_tokens=200_000,
            max_output_tokens=64_000,
            capabilities=ALL_ROUND,
            price=SONNET_PRICE,
        ),
        ModelFacts(
            id="claude-opus-4-20250514",
            name="Claude Opus 4",
            context_tokens=200_000,
            max_output_tokens=32_000,
            capabilities=ALL_ROUND,
            price=OPUS_4_PRICE,
        ),
        ModelFacts(id="claude-3-5-sonnet-20241022", name="Claude 3.5 Sonnet", price=SONNET_PRICE),
    ),
)
NO_CREDIT = "credit balance is too low"


class Anthropic(FactsProvider):
    def classify(self, response: HttpResponse) -> UpstreamError | None:
        """An empty prepaid balance comes as 400 `invalid_request_error`, told from a bad request by its words alone."""
        error = super().classify(response)
        if isinstance(error, UpstreamRefused) and NO_CREDIT in error.message:
            return AccountBlocked(error.message, status=response.status)
        return error


@hookimpl
def register_providers() -> list[Anthropic]:
    return [Anthropic(FACTS)]
