"""Codex by ChatGPT subscription: the Responses dialect at ChatGPT's own backend, which streams and stores nothing.

Most of it is in `facts`. Code is: which fields the backend refuses, how much a model's name says it is to think, which account
of a user pays, and how much is left (`usage`).
"""

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from omniroute.api import (
    Account,
    AccountBlocked,
    Call,
    ChatRequest,
    FactsProvider,
    HttpRequest,
    HttpResponse,
    InvalidRequest,
    Loss,
    Message,
    ModelFacts,
    QuotaWindow,
    TextPart,
    UpstreamError,
    hookimpl,
)
from omniroute_provider_codex.facts import EFFORTS, FACTS, USAGE_URL
from omniroute_provider_codex.usage import MAIN, SPARK, from_headers, windows_in

__all__ = ["FACTS", "Codex", "register_providers"]

ORIGINATOR = "omniroute"
"""What a request calls its program; the vendor's own bring their names along."""
INSTRUCTIONS = "You are a helpful assistant."
"""The backend refuses requests without any."""
EFFORT = re.compile(rf"-({'|'.join(EFFORTS)})$")
STORE, KEPT = "store", Raw(b"false")
DIALECTS = ("openai-responses", "openai-chat")
"""Whose fields reach the backend: its own, and those of the sister that mean the same."""
REFUSED = frozenset(
    {
        "background",
        "logprobs",
        "max_completion_tokens",
        "metadata",
        "n",
        "prompt_cache_retention",
        "safety_identifier",
        "stream_options",
        "top_logprobs",
        "truncation",
        "user",
    }
)
SERVICE_TIER = "service_tier"
TIERS = (None, Raw(b'"priority"'), Raw(b'"fast"'))
LIMITS = ("max_output_tokens", "user")
FIELDS = msgspec.json.Decoder(dict[str, Raw])
REASONING = msgspec.json.Decoder(dict[str, Raw] | None)
MEANS: Mapping[str, type[UpstreamError]] = {
    "usage_not_included": AccountBlocked,
    "deactivated_workspace": AccountBlocked,
}


class Codex(FactsProvider):
    means = MEANS

    # --- requests

    def adapt(self, request: ChatRequest, model: ModelFacts) -> ChatRequest:
        if request.previous_response_id is not None:
            raise InvalidRequest(
                "this backend cannot continue a stored answer",
                why="it stores none",
                fix="send the whole conversation in `input`",
                param="/previous_response_id",
            )
        adapted = super().adapt(request, model)
        extensions, refused = _extensions(adapted)
        changes = {**extensions, **_limits(adapted), **_instructions(adapted)}
        if not changes:
            return adapted
        refused += [name for name in LIMITS if name in changes]
        losses = (Loss(pointer=f"/{name}", kind="dropped", reason="the backend refuses it") for name in refused)
        return msgspec.structs.replace(adapted, **changes, losses=(*adapted.losses, *losses))

    def prepare(self, call: Call) -> HttpRequest:
        request = super().prepare(call)
        headers = {"originator": ORIGINATOR, "accept": "text/event-stream", **_of_account(call.account)}
        if call.session is not None:
            headers["session_id"] = str(uuid.uuid5(uuid.NAMESPACE_OID, call.session))
        headers |= request.headers
        if "session-id" in headers:  # newer programs write it so
            headers.pop("session_id", None)
        return msgspec.structs.replace(request, headers=headers, body=_with_effort(request.body, call.model))

    # --- answers

    def bucket(self, model: ModelFacts) -> str:
        return SPARK if SPARK in model.id else MAIN

    def quota(self, account: Account) -> HttpRequest | None:
        if account.credential is None:
            return None
        headers = {"authorization": f"Bearer {account.credential.access.reveal()}", **_of_account(account)}
        return HttpRequest(method="GET", url=self.beside(account, USAGE_URL, home=FACTS.base_url), headers=headers)

    def read_quota(self, response: HttpResponse) -> Sequence[QuotaWindow]:
        return windows_in(response)

    def read_rate_headers(self, headers: Mapping[str, str]) -> Sequence[QuotaWindow]:
        return from_headers(headers)


# --- what changes in a request ----------------------------------------------------------------------------------------


def _limits(request: ChatRequest) -> dict[str, Any]:
    return {name: None for name in LIMITS if getattr(request, name) is not None}


def _instructions(request: ChatRequest) -> dict[str, Any]:
    if any(message.role in {"system", "developer"} for message in request.messages):
        return {}
    return {"messages": (Message(role="system", parts=(TextPart(text=INSTRUCTIONS),)), *request.messages)}


def _extensions(request: ChatRequest) -> tuple[dict[str, Any], list[str]]:
    """The change, and the names of what was left out."""
    changed, refused = {}, []
    for dialect in DIALECTS:
        fields = request.extensions.get(dialect)
        if fields and (allowed := _allowed(fields)) != fields:
            changed[dialect] = allowed
            refused += sorted(fields.keys() - allowed.keys())
    return {"extensions": {**request.extensions, **changed}} if changed else {}, refused


def _allowed(fields: Mapping[str, Any]) -> dict[str, Any]:
    allowed = {name: value for name, value in fields.items() if name not in REFUSED}
    if allowed.get(SERVICE_TIER) not in TIERS:
        allowed.pop(SERVICE_TIER, None)
    return allowed | {STORE: KEPT}


def _with_effort(body: bytes, model: str) -> bytes:
    """The model's suffix as what it says; an effort the client asked for counts more."""
    found = EFFORT.search(model)
    if found is None:
        return body
    fields: dict[str, Any] = dict(FIELDS.decode(body))
    reasoning = REASONING.decode(fields.get("reasoning", b"null")) or {}
    fields["model"] = model[: found.start()]
    fields["reasoning"] = {"effort": found[1], **reasoning}
    return msgspec.json.encode(fields)


def _of_account(account: Account) -> dict[str, str]:
    """Who pays, for users who are in several workspaces."""
    known = account.credential.metadata.get("account_id") if account.credential is not None else None
    return {} if known is None else {"chatgpt-account-id": known}


@hookimpl
def register_providers() -> list[Codex]:
    return [Codex(FACTS)]
