"""GitHub Copilot by subscription: two of OpenAI's dialects by model, with a short-lived token bought with GitHub's.

Facts are in `facts`, what is left of a month in `usage`. Code is what the API wants to know of a request besides its body: whether
a person or a tool began the turn, for only the first is counted, and whether there are pictures in it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from omniroute.api import (
    Account,
    Call,
    ChatRequest,
    FactsProvider,
    HttpRequest,
    HttpResponse,
    Loss,
    ModelFacts,
    QuotaExhausted,
    QuotaWindow,
    UpstreamError,
    UpstreamModelMissing,
    hookimpl,
)
from omniroute_provider_copilot.facts import ALSO_CALLED, FACTS, GITHUB_HEADERS, INCLUDED, USAGE_URL
from omniroute_provider_copilot.usage import BASIC, PREMIUM, windows_in

__all__ = ["FACTS", "Copilot", "register_providers"]

INITIATOR = "x-initiator"
PICTURES = (b'"image_url"', b'"input_image"')
GRANT = "grant"
"""In a credential's secrets: GitHub's own token."""
CLAUDE = "claude-"
MEANS: Mapping[str, type[UpstreamError]] = {
    "model_not_supported": UpstreamModelMissing,
    "unsupported_api_for_model": UpstreamModelMissing,
    "quota_exceeded": QuotaExhausted,
}


class Turn(msgspec.Struct):
    role: str | None = None
    type: str | None = None


class Turns(msgspec.Struct):
    """A body of either dialect, as far as who spoke last."""

    messages: list[Turn] = []
    input: list[Turn] | Any = None


TURNS = msgspec.json.Decoder(Turns)
FIELDS = msgspec.json.Decoder(dict[str, Raw])


class Copilot(FactsProvider):
    means = MEANS

    def adapt(self, request: ChatRequest, model: ModelFacts) -> ChatRequest:
        request = super().adapt(request, model)
        if request.response_format is None or not model.id.startswith(CLAUDE):
            return request
        loss = Loss(pointer="/response_format", kind="dropped", reason=f"{model.id} does not take it here")
        return msgspec.structs.replace(request, response_format=None, losses=(*request.losses, loss))

    def prepare(self, call: Call) -> HttpRequest:
        request = super().prepare(call)
        headers = {
            **request.headers,
            "x-request-id": call.request_id,
            INITIATOR: request.headers.get(INITIATOR) or ("user" if _asks_anew(call.body) else "agent"),
        }
        if any(mark in call.body for mark in PICTURES):
            headers["copilot-vision-request"] = "true"
        return msgspec.structs.replace(request, headers=headers, body=_with_own_name(request.body, call.model))

    def bucket(self, model: ModelFacts) -> str:
        return BASIC if ALSO_CALLED.get(model.id, model.id) in INCLUDED else PREMIUM

    def quota(self, account: Account) -> HttpRequest | None:
        """GitHub is asked with its own token, not with the one that was bought."""
        grant = account.credential.secrets.get(GRANT) if account.credential is not None else None
        if grant is None:
            return None
        headers = {**GITHUB_HEADERS, "authorization": f"token {grant.reveal()}"}
        return HttpRequest(method="GET", url=self.beside(account, USAGE_URL, home=FACTS.base_url), headers=headers)

    def read_quota(self, response: HttpResponse) -> Sequence[QuotaWindow]:
        return windows_in(response)


def _with_own_name(body: bytes, model: str) -> bytes:
    known = ALSO_CALLED.get(model)
    if known is None:
        return body
    return msgspec.json.encode({**FIELDS.decode(body), "model": known})


def _asks_anew(body: bytes) -> bool:
    """Whether a person spoke last, and no tool; what cannot be read counts as a person's."""
    try:
        turns = TURNS.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return True
    if turns.messages:
        return turns.messages[-1].role not in {"assistant", "tool"}
    if isinstance(turns.input, list) and turns.input:
        last = turns.input[-1]
        return last.get("role") == "user" if isinstance(last, dict) else True
    return True


@hookimpl
def register_providers() -> list[Copilot]:
    return [Copilot(FACTS)]
