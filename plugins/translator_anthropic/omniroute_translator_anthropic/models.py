"""Model lists in the dialect's form."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from omniroute.api import ListedModel, ModelFacts, UpstreamGarbled
from omniroute_translator_anthropic.wire import ENCODER, Malformed, Wire, read

__all__ = ["MOST_AT_ONCE", "decode_models", "encode_model", "encode_models", "next_models_page"]


class WireModel(msgspec.Struct):
    id: str
    display_name: str | None = None
    created_at: datetime | None = None
    created: int | None = None
    """Seconds, in the lists of imitations."""
    max_input_tokens: int | None = None
    max_tokens: int | None = None


class WireModels(msgspec.Struct):
    data: list[WireModel]


class WirePage(msgspec.Struct):
    has_more: bool | None = None
    last_id: str | None = None


_MODELS = msgspec.json.Decoder(WireModels)
_PAGE = msgspec.json.Decoder(WirePage)
MOST_AT_ONCE = {"limit": "1000"}


def encode_models(models: Sequence[ListedModel]) -> bytes:
    data = [_wire(model) for model in models]
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return ENCODER.encode({"data": data, "has_more": False, **ends})


def encode_model(model: ListedModel) -> bytes:
    return ENCODER.encode(_wire(model))


def _wire(model: ListedModel) -> Wire:
    """What is unknown is left out. Three fields may not be: the service documents the epoch for an unknown date, a model
    without a name of its own is called by its id, and one that can be called is `active`."""
    wire: Wire = {
        "type": "model",
        "id": model.id,
        "display_name": model.name or model.id,
        "created_at": datetime.fromtimestamp(model.created_s or 0, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
    }
    if model.context_tokens is not None:
        wire["max_input_tokens"] = model.context_tokens
    if model.max_output_tokens is not None:
        wire["max_tokens"] = model.max_output_tokens
    return wire


def decode_models(body: bytes) -> Sequence[ModelFacts]:
    try:
        models = read(_MODELS, body).data
    except Malformed as error:
        raise UpstreamGarbled(f"the upstream's model list cannot be read: {error}") from None
    return tuple(
        ModelFacts(
            id=model.id,
            name=model.display_name,
            created_s=_created_s(model),
            context_tokens=model.max_input_tokens or None,
            max_output_tokens=model.max_tokens or None,
        )
        for model in models
    )


def next_models_page(body: bytes) -> Mapping[str, str] | None:
    try:
        page = read(_PAGE, body)
    except Malformed:
        return None
    return {"after_id": page.last_id} if page.has_more and page.last_id else None


def _created_s(model: WireModel) -> int | None:
    """The epoch stands for an unknown date."""
    return (int(model.created_at.timestamp()) if model.created_at else model.created) or None
