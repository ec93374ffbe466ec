"""The list of models that most services have: an object with `data`, of entries with an `id`. To clients, and from upstreams.

What else an entry holds each server has put there in its own words. All that are known are read, and none is asked for.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import Raw, Struct

from omniroute.contracts import ListedModel, ModelFacts, Price
from omniroute.errors import UpstreamError, UpstreamGarbled
from omniroute.toolbox.reports import reported

__all__ = ["decode_model_list", "encode_model_list", "encode_model_list_entry"]

Number: TypeAlias = int | float | None


class TopProviderWire(Struct):
    max_completion_tokens: Number = None


class ArchitectureWire(Struct):
    input_modalities: list[str] = []


class ModelWire(Struct):
    id: str
    name: str | None = None
    created: Number = None
    context_window: Number = None
    context_length: Number = None
    max_context_length: Number = None
    max_model_len: Number = None
    max_output_tokens: Number = None
    max_completion_tokens: Number = None
    top_provider: TopProviderWire | None = None
    architecture: Raw = Raw(b"null")
    capabilities: Raw = Raw(b"null")
    supported_parameters: Raw = Raw(b"null")
    pricing: Raw = Raw(b"null")


class ProblemWire(Struct):
    """Nothing is certain about the types: a report of a failure must not fail on them."""

    message: Any = None
    type: Any = None
    code: Any = None
    param: Any = None


class ModelsWire(Struct):
    data: list[ModelWire] | None = None
    error: ProblemWire | str | None = None


MODELS = msgspec.json.Decoder(ModelsWire | list[ModelWire])
ARCHITECTURE = msgspec.json.Decoder(ArchitectureWire)
WORDS = msgspec.json.Decoder(list[str])
AMOUNTS = msgspec.json.Decoder(dict[str, str | float | None], strict=False)
PRICES = {
    "input_usd": "prompt",
    "output_usd": "completion",
    "cached_usd": "input_cache_read",
    "cache_write_usd": "input_cache_write",
    "reasoning_usd": "internal_reasoning",
}
"""Ours → the name that gateways with many vendors have given it. Theirs are texts, in dollars per token."""
PARAMETERS = {"tools": "tools", "reasoning": "reasoning", "structured_outputs": "json_schema"}
"""Request parameter that a model takes → what it shows that the model can."""
T = TypeVar("T")
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def encode_model_list_entry(model: ListedModel) -> bytes:
    """One entry alone, as a client gets it that asks for one model."""
    return msgspec.json.encode(model_json(model))


def encode_model_list(models: Sequence[ListedModel]) -> bytes:
    return msgspec.json.encode({"object": "list", "data": [model_json(model) for model in models]})


def model_json(model: ListedModel) -> dict[str, Any]:
    known = {
        "name": model.name,
        "context_window": model.context_tokens,
        "context_length": model.context_tokens,  # clients look for either
        "max_output_tokens": model.max_output_tokens,
        "capabilities": model.capabilities or None,
        "pricing": (model.price and pricing_of(model.price)) or None,
    }
    return {
        "id": model.id,
        "object": "model",
        "created": model.created_s or 0,  # clients insist on a number
        "owned_by": model.provider,
        **{name: value for name, value in known.items() if value is not None},
    }


def decode_model_list(body: bytes) -> Sequence[ModelFacts]:
    """Of an upstream; a bare list of entries will do. Raises `UpstreamGarbled`, or the error that came in its place."""
    try:
        found = MODELS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamGarbled("the upstream's model list cannot be read", why=str(error)) from error
    if isinstance(found, ModelsWire):
        if found.error is not None:
            raise problem_of(found.error)
        if found.data is None:
            raise UpstreamGarbled("the upstream's model list has no data")
        found = found.data
    return tuple(facts_of(model) for model in found if model.id)


def problem_of(error: ProblemWire | str) -> UpstreamError:
    if isinstance(error, str):
        return reported(error, words=())
    return reported(error.message, words=(error.code, error.type), code=error.code, param=error.param)


def facts_of(model: ModelWire) -> ModelFacts:
    best = model.top_provider.max_completion_tokens if model.top_provider else None
    return ModelFacts(
        id=model.id,
        name=model.name,
        created_s=count(model.created),
        context_tokens=count(
            model.context_window or model.context_length or model.max_context_length or model.max_model_len
        ),
        max_output_tokens=count(model.max_output_tokens or model.max_completion_tokens or best),
        capabilities=tuple(dict.fromkeys(capabilities_of(model))),
        price=price_of(model.pricing),
    )


def capabilities_of(model: ModelWire) -> Iterator[str]:
    yield from lenient(WORDS, model.capabilities, [])  # others describe them in objects of their own
    taken = lenient(WORDS, model.supported_parameters, [])
    yield from (can for name, can in PARAMETERS.items() if name in taken)
    if "image" in lenient(ARCHITECTURE, model.architecture, ArchitectureWire()).input_modalities:
        yield "vision"


def lenient(decoder: msgspec.json.Decoder[T], raw: Raw, otherwise: T) -> T:
    """A list is not spoilt by one field in a form of somebody's own."""
    try:
        return decoder.decode(raw)
    except UNREADABLE:
        return otherwise


def pricing_of(price: Price) -> dict[str, str]:
    found = {wire: getattr(price, ours) for ours, wire in PRICES.items()}
    return {wire: f"{Decimal(str(usd)).scaleb(-6).normalize():f}" for wire, usd in found.items() if usd is not None}


def price_of(pricing: Raw) -> Price | None:
    """Of what can be read: negative ones stand for "it depends"."""
    amounts = lenient(AMOUNTS, pricing, {})
    known: dict[str, Any] = {
        ours: usd for ours, wire in PRICES.items() if (usd := dollars(amounts.get(wire))) is not None
    }
    return Price(**known) if known else None


def dollars(per_token: str | float | None) -> float | None:
    """Per million."""
    try:
        amount = Decimal(str(per_token))
    except InvalidOperation:
        return None
    return float(amount.scaleb(6)) if amount.is_finite() and amount >= 0 else None


def count(value: Number) -> int | None:
    return (int(value) or None) if value and 0 < value < 2**63 else None
