"""Model lists, to clients and from upstreams."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from omniroute.api import ListedModel, ModelFacts, UpstreamGarbled
from omniroute_translator_openai_responses.errors import upstream_error
from omniroute_translator_openai_responses.events import Problem
from omniroute_translator_openai_responses.usage import Number, whole


class TopProviderWire(Struct):
    max_completion_tokens: Number = None


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


class ModelsWire(Struct):
    data: list[ModelWire] | None = None
    error: Problem | str | None = None


MODELS = msgspec.json.Decoder(ModelsWire | list[ModelWire])


def encode_model(model: ListedModel) -> bytes:
    return msgspec.json.encode(model_json(model))


def encode_models(models: Sequence[ListedModel]) -> bytes:
    return msgspec.json.encode({"object": "list", "data": [model_json(model) for model in models]})


def model_json(model: ListedModel) -> dict[str, Any]:
    known = {
        "name": model.name,
        "context_window": model.context_tokens,
        "max_output_tokens": model.max_output_tokens,
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
    )


def count(value: Number) -> int | None:
    return whole(value) or None
