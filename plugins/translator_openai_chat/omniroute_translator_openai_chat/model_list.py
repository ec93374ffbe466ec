"""Model lists, to clients and from upstreams."""

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from omniroute.api import ListedModel, ModelFacts, Price, UpstreamGarbled
from omniroute_translator_openai_chat.errors import upstream_error
from omniroute_translator_openai_chat.usage import whole
from omniroute_translator_openai_chat.wire import Number, Problem


class TopProviderWire(Struct):
    max_completion_tokens: Number = None


class ArchitectureWire(Struct):
    input_modalities: list[str] = []


class ModelWire(Struct):
    """Servers name the context window each in their own way; nobody has a word for it in the dialect itself."""

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


class ModelsWire(Struct):
    data: list[ModelWire] | None = None
    error: Problem | str | None = None


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


def encode_model(model: ListedModel) -> bytes:
    return msgspec.json.encode(model_json(model))


def encode_models(models: Sequence[ListedModel]) -> bytes:
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


def decode_models(body: bytes) -> Sequence[ModelFacts]:
    try:
        found = MODELS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamGarbled("the upstream's model list cannot be read", why=str(error)) from error
    if isinstance(found, ModelsWire):
        if found.error is not None:
            raise upstream_error(found.error)
        if found.data is None:
            raise UpstreamGarbled("the upstream's model list has no data")
        found = found.data
    return tuple(facts_of(model) for model in found if model.id)


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
    return whole(value) or None
