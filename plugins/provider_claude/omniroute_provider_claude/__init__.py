"""Claude by subscription: Anthropic's dialect with a token from signing in, for Claude Code as it is.

Everything is in `facts`, but for three things: the text and flags the API wants with such a token (`Claude`), windows of usage
(`usage`), and which limit a refusal is about.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from omniroute.api import (
    Account,
    Call,
    ChatRequest,
    Cools,
    FactsProvider,
    HttpRequest,
    HttpResponse,
    Message,
    ModelFacts,
    QuotaExhausted,
    QuotaWindow,
    RateLimited,
    TextPart,
    UpstreamError,
    hookimpl,
)
from omniroute_provider_claude.facts import BETA, FACTS, IDENTITY, USAGE_URL, VENDOR_TEXTS
from omniroute_provider_claude.usage import family, from_headers, instant, windows_in

__all__ = ["FACTS", "Claude", "PlanExhausted", "register_providers"]

STATUS = "anthropic-ratelimit-unified-status"
CLAIM = "anthropic-ratelimit-unified-representative-claim"
RESET = "anthropic-ratelimit-unified-reset"
REJECTED = "rejected"
ALONE = b'"system":' + msgspec.json.encode(IDENTITY)
"""As the dialect writes a single text; with these tokens the API takes a list only."""
IN_A_LIST = b'"system":[{"type":"text","text":' + msgspec.json.encode(IDENTITY) + b"}]"
FOR_ALL = frozenset({None, "five_hour", "seven_day"})
"""Claims that are about every model of the account."""


class PlanExhausted(QuotaExhausted):
    """Five hours' or a week's worth is used up, whatever the model."""

    cools: ClassVar[Cools] = "account"


class Claude(FactsProvider):
    def adapt(self, request: ChatRequest, model: ModelFacts) -> ChatRequest:
        """Clients other than the vendor's own do not bring the text that the API insists on."""
        request = super().adapt(request, model)
        if any(map(_is_vendors, request.messages)):
            return request
        identity = Message(role="system", parts=(TextPart(text=IDENTITY),))
        return msgspec.structs.replace(request, messages=(identity, *request.messages))

    def prepare(self, call: Call) -> HttpRequest:
        """The client's own flags go along with those that the token needs, and the system text is always a list."""
        request = super().prepare(call)
        flags = ",".join(filter(None, (call.headers.get(BETA), request.headers.get(BETA))))
        merged = ",".join(dict.fromkeys(flag.strip() for flag in flags.split(",")))
        body = request.body.replace(ALONE, IN_A_LIST, 1)
        return msgspec.structs.replace(request, headers={**request.headers, BETA: merged}, body=body)

    def classify(self, response: HttpResponse) -> UpstreamError | None:
        error = super().classify(response)
        if not isinstance(error, RateLimited) or response.headers.get(STATUS) != REJECTED:
            return error
        kind = PlanExhausted if response.headers.get(CLAIM) in FOR_ALL else QuotaExhausted
        wait_s = error.retry_after_s
        if wait_s is None and (resets := instant(response.headers.get(RESET))) is not None:
            wait_s = self.wait_s(resets, response.headers)
        return kind(error.message, status=response.status, retry_after_s=wait_s)

    def bucket(self, model: ModelFacts) -> str:
        return family(model.id)

    def quota(self, account: Account) -> HttpRequest | None:
        if account.credential is None:
            return None
        headers = {
            BETA: self.facts.headers.get(BETA, ""),
            "authorization": f"Bearer {account.credential.access.reveal()}",
        }
        return HttpRequest(method="GET", url=self.beside(account, USAGE_URL, home=FACTS.base_url), headers=headers)

    def read_quota(self, response: HttpResponse) -> Sequence[QuotaWindow]:
        return windows_in(response)

    def read_rate_headers(self, headers: Mapping[str, str]) -> Sequence[QuotaWindow]:
        return from_headers(headers)


def _is_vendors(message: Message) -> bool:
    return message.role == "system" and any(
        isinstance(part, TextPart) and part.text.startswith(VENDOR_TEXTS) for part in message.parts
    )


@hookimpl
def register_providers() -> list[Claude]:
    return [Claude(FACTS)]
