"""Model lists in the dialect's form."""

from collections.abc import Mapping, Sequence

import msgspec

from omniroute.api import ListedModel, ModelFacts, UpstreamGarbled
from omniroute_translator_gemini.wire import Malformed, Wire, dump, read

__all__ = ["MOST_AT_ONCE", "decode_models", "encode_model", "encode_models", "next_models_page"]

PREFIX = "models/"
METHODS = ("generateContent", "streamGenerateContent", "countTokens")


class WireModel(msgspec.Struct, rename="camel"):
    name: str
    display_name: str | None = None
    input_token_limit: int | None = None
    output_token_limit: int | None = None
    thinking: bool | None = None
    supported_generation_methods: list[str] | None = None


class WireModels(msgspec.Struct):
    models: list[WireModel] = []


class WirePage(msgspec.Struct, rename="camel"):
    next_page_token: str | None = None


_MODELS = msgspec.json.Decoder(WireModels)
_PAGE = msgspec.json.Decoder(WirePage)
MOST_AT_ONCE = {"pageSize": "1000"}


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
    """Those that generate text: the service lists embedders and painters beside them."""
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
        if model.supported_generation_methods is None or METHODS[0] in model.supported_generation_methods
    )


def next_models_page(body: bytes) -> Mapping[str, str] | None:
    try:
        token = read(_PAGE, body).next_page_token
    except Malformed:
        return None
    return {"pageToken": token} if token else None
