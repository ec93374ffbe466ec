"""GLM by API key, at Z.ai's endpoint for coding tools, which speaks Anthropic's dialect.

Facts as OmniRoute 1.0.6 and 3.7.9 shipped them, error codes from https://docs.z.ai/api-reference/api-code; compared on
2026-11-22. Prices are for showing costs. For the mainland's endpoint set `base_url` to https://open.bigmodel.cn/api/anthropic/v1.
"""

from collections.abc import Mapping, Sequence

import msgspec

from omniroute.api import (
    Account,
    AccountBlocked,
    CredentialRejected,
    FactsProvider,
    HttpRequest,
    HttpResponse,
    ModelFacts,
    OutOfCredit,
    Overloaded,
    Price,
    ProviderFacts,
    QuotaExhausted,
    QuotaPeriod,
    QuotaWindow,
    RateLimited,
    UpstreamError,
    UpstreamGarbled,
    UpstreamModelMissing,
    hookimpl,
)

__all__ = ["FACTS", "Glm", "register_providers"]


def price(input_usd: float, output_usd: float, cached_usd: float, reasoning_usd: float, as_of: str) -> Price:
    """Writing to the cache costs as much as any input."""
    return Price(
        input_usd=input_usd,
        output_usd=output_usd,
        cached_usd=cached_usd,
        cache_write_usd=input_usd,
        reasoning_usd=reasoning_usd,
        as_of=f"OmniRoute {as_of}",
    )


FACTS = ProviderFacts(
    name="glm",
    dialect="anthropic",
    base_url="https://api.z.ai/api/anthropic/v1",
    display_name="GLM Coding",
    docs_url="https://docs.z.ai/devpack/overview",
    terms_url="https://docs.z.ai/devpack/usage-policy",
    checked="2026-11-22",
    tier="cheap",
    env_keys=("ZAI_API_KEY", "GLM_API_KEY"),  # https://docs.z.ai/devpack/overview, 2026-11-22
    query="beta=true",
    operations=("chat",),
    any_model=True,
    note="A coding plan is sold for coding tools; using it for anything else may cost the account.",
    models=(
        ModelFacts(id="glm-5.1", name="GLM 5.1", context_tokens=204_800),
        ModelFacts(id="glm-5", name="GLM 5"),
        ModelFacts(id="glm-5-turbo", name="GLM 5 Turbo"),
        ModelFacts(id="glm-4.7-flash", name="GLM 4.7 Flash", price=price(0, 0, 0, 0, "3.7.9")),
        ModelFacts(id="glm-4.7", name="GLM 4.7", price=price(0.75, 3, 0.375, 4.5, "1.0.6")),
        ModelFacts(
            id="glm-4.6v",
            name="GLM 4.6V (Vision)",
            context_tokens=128_000,
            capabilities=("vision",),
            price=price(0.75, 3, 0.375, 4.5, "1.0.6"),
        ),
        ModelFacts(id="glm-4.6", name="GLM 4.6", price=price(0.5, 2, 0.25, 3, "1.0.6")),
        ModelFacts(
            id="glm-4.5v",
            name="GLM 4.5V (Vision)",
            context_tokens=16_000,
            capabilities=("vision",),
            price=price(0.6, 1.8, 0.11, 1.8, "3.7.9"),
        ),
        ModelFacts(id="glm-4.5", name="GLM 4.5", context_tokens=128_000, price=price(0.6, 2.2, 0.11, 2.2, "3.7.9")),
        ModelFacts(
            id="glm-4.5-air", name="GLM 4.5 Air", context_tokens=128_000, price=price(0.2, 1.1, 0.03, 1.1, "3.7.9")
        ),
        ModelFacts(id="glm-4-32b", name="GLM 4 32B"),
    ),
)
USAGE_URL = "https://api.z.ai/api/monitor/usage/quota/limit"
TOKENS = "TOKENS_LIMIT"
"""The other kind counts calls of the vendor's own tools, which no model needs."""
PERIODS: Mapping[tuple[int | None, int | None], QuotaPeriod] = {(3, 5): "5h", (6, 1): "weekly"}
"""Unit and number of a limit, as seen; the vendor does not say what they mean. Answers without them have the 5 hours' alone."""


class Limit(msgspec.Struct, rename="camel"):
    type: str = ""
    unit: int | None = None
    number: int | None = None
    percentage: float | None = None
    """Used."""
    next_reset_time: float | None = None
    """Unix time in milliseconds."""


class Limits(msgspec.Struct):
    limits: list[Limit] = []


class Usage(msgspec.Struct):
    data: Limits = msgspec.field(default_factory=Limits)


USAGE = msgspec.json.Decoder(Usage)


CODES: Mapping[str, type[UpstreamError]] = {
    **dict.fromkeys(("1000", "1001", "1002", "1003", "1004"), CredentialRejected),
    **dict.fromkeys(("1110", "1111", "1112", "1121", "1309", "1313"), AccountBlocked),
    "1113": OutOfCredit,
    "1211": UpstreamModelMissing,
    "1302": RateLimited,
    "1303": RateLimited,
    "1305": Overloaded,
    **dict.fromkeys(("1304", "1308", "1310"), QuotaExhausted),
}
"""The vendor's own; most of them come with status 429. The quotas are the day's, the five hours', the week's or month's."""


class Glm(FactsProvider):
    means = CODES

    def quota(self, account: Account) -> HttpRequest | None:
        if account.credential is None:
            return None
        headers = {"authorization": f"Bearer {account.credential.access.reveal()}"}
        return HttpRequest(method="GET", url=self.beside(account, USAGE_URL, home=FACTS.base_url), headers=headers)

    def read_quota(self, response: HttpResponse) -> Sequence[QuotaWindow]:
        try:
            limits = USAGE.decode(response.body).data.limits
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamGarbled("the usage answer cannot be read", why=str(error)) from error
        return tuple(window(limit) for limit in limits if limit.type == TOKENS and limit.percentage is not None)


def window(limit: Limit) -> QuotaWindow:
    assert limit.percentage is not None
    period = PERIODS.get((limit.unit, limit.number), "5h")
    return QuotaWindow(
        name=period,
        period=period,
        share_left=min(max(1 - limit.percentage / 100, 0.0), 1.0),
        resets_at_s=limit.next_reset_time and limit.next_reset_time / 1000,
    )


@hookimpl
def register_providers() -> list[Glm]:
    return [Glm(FACTS)]
