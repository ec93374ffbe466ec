"""Acme AI: OpenAI-compatible, except that 402 means "out of credit until the hour".

Facts checked against https://docs.acme.example/api on 2026-11-20.
"""

from omniroute.api import FactsProvider, HttpResponse, ModelFacts, ProviderFacts, RateLimited, UpstreamError, hookimpl

FACTS = ProviderFacts(
    name="acme",
    dialect="openai-chat",
    auth="api-key",
    base_url="https://api.acme.example/v1",
    docs_url="https://docs.acme.example/api",
    checked="2026-11-20",
    models=(
        ModelFacts(id="acme-small", context_tokens=128_000, max_output_tokens=16_000),
        ModelFacts(
            id="acme-large",
            context_tokens=1_000_000,
            max_output_tokens=64_000,
            drops=("temperature",),  # answers 400 when it is set
        ),
    ),
)
CREDIT_RESET_S = 3600.0  # docs: "credit is topped up on the hour"


class Acme(FactsProvider):
    def classify(self, response: HttpResponse) -> UpstreamError | None:
        if response.status == 402:
            return RateLimited("out of credit", status=402, retry_after_s=CREDIT_RESET_S)
        return super().classify(response)


@hookimpl
def register_providers() -> list[Acme]:
    return [Acme(FACTS)]
