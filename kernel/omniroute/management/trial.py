"""Whether an account works: its upstream's list of models, and where there is none, an answer of one token."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from omniroute.contracts import Account, Call, HttpRequest, HttpResponse, ModelFacts, Provider, Translator
from omniroute.errors import (
    AccountBlocked,
    CredentialRejected,
    GatewayError,
    InvalidRequest,
    RateLimited,
    SignInRequired,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from omniroute.ids import new_ulid
from omniroute.model import ChatRequest, Message, TextPart
from omniroute.model_lists import list_request

if TYPE_CHECKING:
    from omniroute.gateway import Gateway

__all__ = ["AccountTrial", "Diagnosis", "try_account"]

Diagnosis: TypeAlias = Literal[
    "ok", "credential_rejected", "needs_login", "refresh_failed", "account_blocked", "rate_limited", "unreachable",
    "unsupported", "upstream_error", "locked",
]  # fmt: skip
NO_LIST = frozenset({404, 405, 501})
DIAGNOSES: tuple[tuple[type[GatewayError], Diagnosis], ...] = (
    (SignInRequired, "needs_login"),
    (CredentialRejected, "credential_rejected"),
    (AccountBlocked, "account_blocked"),
    (RateLimited, "rate_limited"),
    (UpstreamUnreachable, "unreachable"),
    (UpstreamTimeout, "unreachable"),
)


class AccountTrial(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    ok: bool
    diagnosis: Diagnosis
    by: Literal["models", "completion"] | None = None
    """What it was tried with; None when nothing could be sent."""
    detail: str | None = None
    models: int | None = None
    latency_s: float | None = None


async def try_account(gateway: "Gateway", account: Account) -> AccountTrial:
    """Never raises for what is wrong with the account: that is the answer."""
    if (locked := gateway.accounts.locked.get(account.id)) is not None:
        return AccountTrial(id=account.id, ok=False, diagnosis="locked", detail=locked)
    provider = gateway.registry.providers[account.provider]
    if provider.facts.transport is not None:
        detail = "it has a transport of its own, which answers model requests only"
        return AccountTrial(id=account.id, ok=False, diagnosis="unsupported", detail=detail)
    started_s = time.perf_counter()
    try:
        account = await gateway.refresher.current(account)
        trial = await _tried(gateway, provider, account)
    except GatewayError as error:
        return AccountTrial(id=account.id, ok=False, diagnosis=_diagnosis(error), detail=error.text)
    return msgspec.structs.replace(trial, latency_s=round(time.perf_counter() - started_s, 3))


async def _tried(gateway: "Gateway", provider: Provider, account: Account) -> AccountTrial:
    translator = gateway.registry.translators[provider.facts.dialect]
    if list_request(provider, translator, translator.models_query, account) is not None:

        def ask(current: Account) -> HttpRequest:
            again = list_request(provider, translator, translator.models_query, current)
            assert again is not None
            return again

        response = await _sent(gateway, provider, account, ask)
        if response.status not in NO_LIST:
            return _trial(provider, account, response, "models", _count(translator, response))
    model = _smallest(provider, account)
    if model is None:
        detail = "it lists no models, and none is known to ask"
        return AccountTrial(id=account.id, ok=False, diagnosis="unsupported", detail=detail)
    dialect = gateway.registry.translators[model.dialect or provider.facts.dialect]
    response = await _sent(gateway, provider, account, lambda current: _one_token(provider, dialect, current, model))
    return _trial(provider, account, response, "completion", None)


async def _sent(
    gateway: "Gateway", provider: Provider, account: Account, ask: Callable[[Account], HttpRequest]
) -> HttpResponse:
    """The answer; once more with new tokens where these were refused."""
    response = await gateway.control.send(_through(account, ask(account)))
    if isinstance(provider.classify(response) if response.status >= 300 else None, CredentialRejected):
        renewed = await gateway.refresher.renewed(account)
        if renewed is not None:
            return await gateway.control.send(_through(renewed, ask(renewed)))
    return response


def _through(account: Account, request: HttpRequest) -> HttpRequest:
    return request if account.proxy is None else msgspec.structs.replace(request, proxy=account.proxy.reveal())


def _one_token(provider: Provider, translator: Translator, account: Account, model: ModelFacts) -> HttpRequest:
    stream = (model.streams or provider.facts.streams) == "always"
    hello = Message(role="user", parts=(TextPart(text="Hi"),))
    asked = ChatRequest(model=model.id, messages=(hello,), max_output_tokens=1, stream=stream)
    body = translator.encode_request(provider.adapt(asked, model)).body
    headers = {"content-type": "application/json", **translator.default_headers()}
    return provider.prepare(
        Call(
            operation=translator.operations["chat"],
            account=account,
            model=model.id,
            stream=stream,
            body=body,
            headers=headers,
            credential_place=translator.credential,
            request_id=new_ulid(),
            now_s=time.time(),
        )
    )


def _trial(
    provider: Provider,
    account: Account,
    response: HttpResponse,
    by: Literal["models", "completion"],
    models: int | None,
) -> AccountTrial:
    error = provider.classify(response) if response.status != 200 else None
    if error is None or (by == "completion" and isinstance(error, UpstreamRefused | InvalidRequest)):
        return AccountTrial(id=account.id, ok=True, diagnosis="ok", by=by, models=models)  # refused, not the key
    return AccountTrial(id=account.id, ok=False, diagnosis=_diagnosis(error), by=by, detail=error.text)


def _diagnosis(error: GatewayError) -> Diagnosis:
    if error.code == "refresh_failed":
        return "refresh_failed"
    return next((diagnosis for kind, diagnosis in DIAGNOSES if isinstance(error, kind)), "upstream_error")


def _count(translator: Translator, response: HttpResponse) -> int | None:
    """None when nobody can say: one page is asked for, and there may be more."""
    if response.status != 200:
        return None
    try:
        is_all = translator.next_models_page(response.body) is None
        return len(translator.decode_models(response.body)) if is_all else None
    except GatewayError:
        return None


def _smallest(provider: Provider, account: Account) -> ModelFacts | None:
    """One that costs little to ask, by its price where that is known."""
    models = account.models if account.models is not None else provider.facts.models
    priced = [model for model in models if model.price is not None and model.price.input_usd is not None]
    return min(priced, key=lambda model: model.price.input_usd or 0.0) if priced else next(iter(models), None)  # type: ignore[union-attr]
