"""OpenRouter by API key: many vendors' models behind one key, with a list that tells windows and prices.

Facts from https://openrouter.ai/docs, and as OmniRoute 1.0.6 and 3.7.9 shipped them; compared on 2026-11-22. Whose program asks
is shown in OpenRouter's public ranking by two headers: `[providers.openrouter] headers` sets others.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from omniroute.api import (
    Account,
    AccountBlocked,
    ChatRequest,
    FactsProvider,
    HttpRequest,
    HttpResponse,
    ModelFacts,
    ProviderFacts,
    QuotaExhausted,
    QuotaPeriod,
    QuotaWindow,
    RateLimited,
    UpstreamError,
    UpstreamGarbled,
    UpstreamRefused,
    hookimpl,
)

__all__ = ["FACTS", "OpenRouter", "register_providers"]

FACTS = ProviderFacts(
    name="openrouter",
    dialect="openai-chat",
    base_url="https://openrouter.ai/api/v1",
    aliases=("or",),
    display_name="OpenRouter",
    docs_url="https://openrouter.ai/docs",
    terms_url="https://openrouter.ai/terms",
    checked="2026-11-22",
    any_model=True,
    headers={"http-referer": "http://localhost:20128", "x-title": "OmniRoute"},
    models=(ModelFacts(id="openrouter/auto", name="Auto (Best Available)"),),
)
PERIODS: dict[str | None, QuotaPeriod] = {"daily": "daily", "weekly": "weekly", "monthly": "monthly"}
FREE, PER_DAY = ":free", "per-day"
FREE_BUCKET = "free models"
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Moderation(msgspec.Struct):
    reasons: list[Any] | None = None
    """Why a request was not passed on."""


class Problem(msgspec.Struct):
    metadata: Moderation | None = None


class Refusal(msgspec.Struct):
    error: Problem = msgspec.field(default_factory=Problem)


class Key(msgspec.Struct):
    usage: float | None = None
    limit: float | None = None
    limit_remaining: float | None = None
    limit_reset: str | None = None


class KeyAnswer(msgspec.Struct):
    data: Key


REFUSAL = msgspec.json.Decoder(Refusal)
KEY = msgspec.json.Decoder(KeyAnswer)


class OpenRouter(FactsProvider):
    def adapt(self, request: ChatRequest, model: ModelFacts) -> ChatRequest:
        """A budget for thinking has a place here which the dialect itself does not have."""
        request = super().adapt(request, model)
        wanted = request.reasoning
        if wanted is None or not wanted.budget_tokens or wanted.budget_tokens < 0:
            return request
        dialect = self.facts.dialect
        budget = Raw(msgspec.json.encode({"max_tokens": wanted.budget_tokens}))
        extensions = {**request.extensions, dialect: {**request.extensions.get(dialect, {}), "reasoning": budget}}
        return msgspec.structs.replace(request, reasoning=None, extensions=extensions)

    def classify(self, response: HttpResponse) -> UpstreamError | None:
        """403 is a word about the prompt when it gives reasons, and the free models share one limit a day."""
        error = super().classify(response)
        if isinstance(error, AccountBlocked) and response.status == 403 and reasons_in(response.body):
            return UpstreamRefused(error.message, status=response.status)
        if isinstance(error, RateLimited) and PER_DAY in error.message:
            return QuotaExhausted(error.message, status=response.status, retry_after_s=error.retry_after_s)
        return error

    def bucket(self, model: ModelFacts) -> str:
        return FREE_BUCKET if model.id.endswith(FREE) else model.id

    def quota(self, account: Account) -> HttpRequest | None:
        if account.credential is None:
            return None
        headers = {"authorization": f"Bearer {account.credential.access.reveal()}"}
        return HttpRequest(method="GET", url=self.url(account, "key"), headers=headers)

    def read_quota(self, response: HttpResponse) -> Sequence[QuotaWindow]:
        """The credits that a key may spend; a key without a limit has no window."""
        try:
            key = KEY.decode(response.body).data
        except UNREADABLE as error:
            raise UpstreamGarbled("the answer about the key cannot be read", why=str(error)) from error
        if not key.limit or key.limit_remaining is None:
            return ()
        window = QuotaWindow(
            name="credits",
            period=PERIODS.get(key.limit_reset),
            share_left=min(max(key.limit_remaining / key.limit, 0.0), 1.0),
            used=max(key.limit - key.limit_remaining, 0.0),
            limit=key.limit,
        )
        return (window,)


def reasons_in(body: bytes) -> bool:
    try:
        metadata = REFUSAL.decode(body).error.metadata
    except UNREADABLE:
        return False
    return metadata is not None and bool(metadata.reasons)


@hookimpl
def register_providers() -> list[OpenRouter]:
    return [OpenRouter(FACTS)]
