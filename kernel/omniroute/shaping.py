"""A client's request in a candidate's dialect: the very bytes where nothing has to change, encoded anew otherwise."""

import time
from collections.abc import Mapping

import msgspec

from omniroute.contracts import Call, HttpRequest, Outgoing, UpstreamOperation
from omniroute.errors import InvalidRequest, TranslationRefused
from omniroute.exchange import Exchange
from omniroute.losses import in_source
from omniroute.model import ChatRequest, Loss
from omniroute.passport import Passports, has_carrier, without_signatures
from omniroute.routing import Candidate
from omniroute.translating import encoded

__all__ = ["Shaped", "shape"]

MAX_NAMED = 10


class Shaped(msgspec.Struct, kw_only=True):
    """A request in the candidate's dialect."""

    http: HttpRequest
    outgoing: Outgoing
    request: ChatRequest | None
    """As it was encoded; None when the client's bytes are relayed."""


def shape(
    exchange: Exchange,
    candidate: Candidate,
    operation: UpstreamOperation,
    headers: Mapping[str, str],
    passports: Passports,
) -> Shaped:
    """Raises `InvalidRequest` for what this candidate's dialect cannot say, `TranslationRefused` for a loss under `strict`."""
    assert exchange.head is not None
    head, upstream, model = exchange.head, candidate.translator, candidate.model.id
    said = candidate.model.streams or candidate.provider.facts.streams
    stream = head.stream if said == "asked" else said == "always" and exchange.operation == "chat"
    same = upstream is exchange.translator
    request: ChatRequest | None = None
    if same and stream == head.stream and _can_be_relayed(exchange, candidate, passports):
        body = exchange.body if model == head.model else upstream.rename_model(exchange.body, model)
        outgoing = Outgoing(body=body)
    else:
        request = _request(exchange, candidate, passports)
        request = msgspec.structs.replace(request, model=model, stream=stream, include_usage=True)
        outgoing = encoded(upstream, request)
        if outgoing.losses and exchange.loss_policy == "strict":
            raise _refused(exchange, candidate, outgoing.losses)
    call = Call(
        operation=operation,
        account=candidate.account,
        model=model,
        stream=stream,
        body=outgoing.body,
        headers=_own_headers(exchange, candidate, headers) if same else headers,
        credential_place=candidate.place,
        request_id=exchange.request_id,
        session=head.session,
        now_s=time.time(),
    )
    http = candidate.provider.prepare(call)
    if candidate.account.proxy is not None:
        http = msgspec.structs.replace(http, proxy=candidate.account.proxy.reveal())
    return Shaped(http=http, outgoing=outgoing, request=request)


def _own_headers(exchange: Exchange, candidate: Candidate, headers: Mapping[str, str]) -> Mapping[str, str]:
    """With those of a client that speaks the upstream's own dialect."""
    sent, forwards = exchange.headers, candidate.provider.facts.forwards
    own = candidate.translator.request_headers(sent)
    if not forwards:
        return {**headers, **own} if own else headers
    return {**headers, **{name: value for name in forwards if (value := sent.get(name)) is not None}, **own}


def _can_be_relayed(exchange: Exchange, candidate: Candidate, passports: Passports) -> bool:
    if exchange.without_signatures or has_carrier(exchange.body, candidate.translator.carrier_marks):
        return False
    reader = candidate.target
    if passports.has_others(reader) and passports.has_foreign(exchange.translator.dialect, exchange.body, reader):
        return False
    if not candidate.adapts:
        return True
    asked = exchange.request()
    return candidate.provider.adapt(asked, candidate.model) is asked


def _request(exchange: Exchange, candidate: Candidate, passports: Passports) -> ChatRequest:
    asked = exchange.request()
    if asked.previous_response_id is not None and not candidate.translator.keeps_threads:
        raise InvalidRequest(
            "previous_response_id cannot be continued by the upstream of this model",
            why="only upstreams that store answers themselves can go on from one",
            fix="send the whole conversation in `input`, with store false",
            param="/previous_response_id",
        )
    if exchange.without_signatures:
        asked = without_signatures(asked, passports.any, unsigned_too=True)
    elif passports.has_others(candidate.target):
        asked = without_signatures(asked, passports.foreign_to(candidate.target))
    if not candidate.adapts:
        return asked
    adapted = candidate.provider.adapt(asked, candidate.model)
    known = len(asked.losses)
    if len(adapted.losses) == known:
        return adapted
    losses = (*asked.losses, *in_source(adapted.losses[known:], asked))
    return msgspec.structs.replace(adapted, losses=losses)


def _refused(exchange: Exchange, candidate: Candidate, losses: tuple[Loss, ...]) -> TranslationRefused:
    named = ", ".join(f"{loss.pointer} ({loss.kind})" for loss in losses[:MAX_NAMED])
    more = f" and {len(losses) - MAX_NAMED} more" if len(losses) > MAX_NAMED else ""
    return TranslationRefused(
        f"request not sent: translation would lose {len(losses)} thing{'s' if len(losses) > 1 else ''}",
        why=f"{exchange.translator.dialect} to {candidate.translator.dialect} cannot carry {named}{more}",
        fix='allow it with loss = "warn" or "allow", or ask for a model whose provider speaks your dialect',
        param=losses[0].pointer,
    )
