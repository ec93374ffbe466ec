"""Requests: encoded and decoded again, read by their head alone, renamed, and broken."""

import msgspec

from omniroute.contracts import Headers, Ingress, Translator
from omniroute.errors import InvalidRequest
from omniroute.model import ChatRequest
from omniroute.testing.check_translator.samples import REQUESTS, view_request

__all__ = ["check_requests"]

NO_HEADERS = Headers({})
ODD_VALUE = b'[1.0, 1e2, "\\u00e9", {"a" : null}]'
"""Spelt as no encoder would spell it, so that re-encoding shows."""
NO_OBJECTS = [b"", b" ", b"{", b"[]", b'"text"', b"null", b"7", b"<html>", b"\xff", b"[" * 100_000, b'{"model":1e999']
DEEP = b'{"model":"m","messages":' + b"[" * 100_000


def check_requests(translator: Translator) -> None:
    for what, request in REQUESTS.items():
        outgoing = translator.encode_request(request)
        assert outgoing == translator.encode_request(request), f"{what}: encoded twice, it differs"
        for loss in outgoing.losses:
            assert loss.pointer.startswith("/"), f"{what}: {loss} needs a JSON pointer"
            assert loss.reason, f"{what}: {loss} needs a reason"
        _check_round_trip(translator, what, request, outgoing.body)
        _check_rename(translator, what, request, outgoing.body)
    _check_extensions(translator)
    _check_bad_bodies(translator)


def _chat_ingress(translator: Translator) -> list[Ingress]:
    found = [entry for entry in translator.ingress if entry.operation == "chat"]
    assert found, f"{translator.dialect}: no ingress for chat, so no client can speak it"
    return found


def _decode(translator: Translator, body: bytes, model: str, *, stream: bool) -> ChatRequest:
    """Decoded as it came in on the path that fits: in some dialects the path says whether to stream."""
    requests = [
        translator.decode_request(body, {**entry.params, "model": model}, NO_HEADERS)
        for entry in _chat_ingress(translator)
    ]
    return next((request for request in requests if request.stream == stream), requests[0])


def _check_round_trip(translator: Translator, what: str, request: ChatRequest, body: bytes) -> None:
    decoded = _decode(translator, body, request.model, stream=request.stream)
    wanted, found = view_request(request), view_request(decoded)
    for field, value in wanted.items():
        assert found[field] == value, f"{what}: {field} was {value!r} and came back as {found[field]!r}"
    heads = [
        translator.read_head(body, {**entry.params, "model": request.model}, NO_HEADERS)
        for entry in _chat_ingress(translator)
    ]
    head = next((head for head in heads if head.stream == request.stream), heads[0])
    for field in ("model", "stream", "max_output_tokens", "session"):
        assert getattr(head, field) == getattr(decoded, field), (
            f"{what}: read_head says {field} is {getattr(head, field)!r}, decode_request {getattr(decoded, field)!r}"
        )
    assert head.has_tools == bool(request.tools), f"{what}: read_head says has_tools is {head.has_tools}"


def _check_rename(translator: Translator, what: str, request: ChatRequest, body: bytes) -> None:
    odd = b'{"x_check": ' + ODD_VALUE + b" ,\n" + body.lstrip()[1:]
    renamed = translator.rename_model(odd, "another/model")
    decoded = _decode(translator, renamed, "another/model", stream=request.stream)
    assert decoded.model == "another/model", f"{what}: renamed, it asks for {decoded.model!r}"
    assert view_request(decoded)["messages"] == view_request(request)["messages"], f"{what}: renaming changed more"
    assert ODD_VALUE in renamed, f"{what}: rename_model re-encoded a value it does not know; every other byte must stay"


def _check_extensions(translator: Translator) -> None:
    request = REQUESTS["a plain request"]
    foreign = msgspec.structs.replace(request, extensions={"another-dialect": {"x_foreign": msgspec.Raw(b"1")}})
    outgoing = translator.encode_request(foreign)
    assert b"x_foreign" not in outgoing.body, "a field of another dialect was written into this one"
    assert any(loss.pointer == "/x_foreign" for loss in outgoing.losses), "a foreign field was dropped without a Loss"
    body = b'{"x_check":' + ODD_VALUE + b"," + translator.encode_request(request).body.lstrip()[1:]
    own = _decode(translator, body, request.model, stream=False)
    again = translator.encode_request(own).body
    assert b"x_check" in again, (
        "an unknown field of this very dialect was lost between decode_request and encode_request"
    )


def _check_bad_bodies(translator: Translator) -> None:
    params = {**_chat_ingress(translator)[0].params, "model": "m"}
    for name in ("read_head", "decode_request"):
        for body in (*NO_OBJECTS, DEEP):
            shown = f"{name}({body[:30]!r})"
            try:
                getattr(translator, name)(body, params, NO_HEADERS)
            except InvalidRequest:
                continue
            except Exception as error:
                raise AssertionError(f"{shown} raises {error!r}; it must be InvalidRequest") from error
            raise AssertionError(f"{shown} accepts what is no JSON object")
