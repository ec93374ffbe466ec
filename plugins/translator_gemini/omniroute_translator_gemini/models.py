"""Model lists in the dialect's form."""

from collections.abc import Sequence

import msgspec

from omniroute.api import ListedModel, ModelFacts, UpstreamGarbled
from omniroute_translator_gemini.wire import Malformed, Wire, dump, read

__all__ = ["decode_models", "encode_model", "encode_models"]

PREFIX = "models/"
METHODS = ("generateContent", "streamGenerateContent", "countTokens")


class WireModel(msgspec.Struct, rename="camel"):
    name: str
    display_name: str | None = None
    input_token_limit: int | None = None
    output_token_limit: int | None = None
    thinking: bool | None = None


class WireModels(msgspec.Struct):
    models: list[WireModel] = []


_MODELS = msgspec.json.Decoder(WireModels)


def encode_models(models: Sequence[ListedModel]) -> bytes:
    return dump({"models": [_wire(model) for model in models]})


def encode_model(model: ListedModel) -> bytes:
    return dump(_wire(model))


def _wire(model: ListedModel) -> Wire:
    """What is unknown is left out; a model without a name of its own is called by its id."""
    wire: Wire = {"name": f"{PREFIX}{model.id}", "displayName": model.name or model.id}
    if model.context_tokens is not None:
        wire["inputTokenLimit"] = model.context_tokens
    if model.max_output_tokens is not None:
        wire["outputTokenLimit"] = model.max_output_tokens
    wire["supportedGenerationMethods"] = METHODS
    return wire


def decode_models(body: bytes) -> Sequence[ModelFacts]:
    try:
        models = read(_MODELS, body).models
    except Malformed as error:
        raise UpstreamGarbled(f"the upstream's model list cannot be read: {error}") from None
    return tuple(
        ModelFacts(
            id=model.name.removeprefix(PREFIX),
            name=model.display_name,
            context_tokens=model.input_token_limit or None,
            max_output_tokens=model.output_token_limit or None,
            capabilities=("reasoning",) if model.thinking else (),
        )
        for model in models
    )
