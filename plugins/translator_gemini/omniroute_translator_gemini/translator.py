"""The dialect, put together from its parts."""

import uuid
from collections.abc import Iterator, Mapping, Sequence

from omniroute.api import (
    ChatRequest,
    ChatResponse,
    CredentialPlace,
    Decoder,
    Encoder,
    ErrorBody,
    GatewayError,
    Headers,
    Ingress,
    ListedModel,
    ModelFacts,
    Operation,
    Outgoing,
    RequestHead,
    Tap,
    Translator,
    UpstreamOperation,
    Usage,
)
from omniroute_translator_gemini import decode, encode, errors, head, models, stream_decoder, whole
from omniroute_translator_gemini.signatures import WRAPPED
from omniroute_translator_gemini.stream_decoder import GeminiDecoder, Identify
from omniroute_translator_gemini.stream_encoder import GeminiEncoder
from omniroute_translator_gemini.tap import GeminiTap
from omniroute_translator_gemini.wire import DIALECT

__all__ = ["GeminiTranslator"]

ROOTS = ("/v1beta/models", "/v1/models", "/models")
"""Where clients look for models: the vendor's two versions, and none where a client's base URL lacks it."""
KEY_HEADER = "x-goog-api-key"
SSE = "sse"
JSON_ARRAY = "json-array"


def _ingress() -> Iterator[Ingress]:
    for root in ROOTS:
        model = f"{root}/{{model}}"
        yield Ingress(path=f"{model}:generateContent", operation="chat", params={"stream": "false"})
        yield Ingress(path=f"{model}:streamGenerateContent", operation="chat", params={"stream": "true"})
        yield Ingress(path=f"{model}:countTokens", operation="count_tokens", params={"stream": "false"})
    yield Ingress(path="/v1beta/models", operation="models", method="GET")
    yield Ingress(path="/v1beta/models/{model}", operation="models", method="GET")


def fresh_id() -> str:
    return uuid.uuid4().hex[:24]


class GeminiTranslator(Translator):
    """Gemini generateContent. `new_id` is the only thing that is not in the values given: calls may come without an id."""

    dialect = DIALECT
    framing = SSE
    ingress = tuple(_ingress())
    operations: Mapping[Operation, UpstreamOperation] = {
        "chat": UpstreamOperation(
            path="models/{model}:generateContent", stream_path="models/{model}:streamGenerateContent?alt=sse"
        ),
        "count_tokens": UpstreamOperation(path="models/{model}:countTokens"),
        "models": UpstreamOperation(path="models", method="GET"),
    }
    credential = CredentialPlace(header=KEY_HEADER, prefix="")
    keepalive = b"data: {}\n\n"
    """An answer without anything new. A comment would do by the standard, but the vendor's SDKs take it for broken JSON."""
    opaque_keys = frozenset({"thought_signature"})
    carrier_marks = (WRAPPED.encode(),)
    opaque_marks = (b'"thoughtSignature"', b'"thought_signature"')
    opaque_pattern = rb'"thought(?:S|_s)ignature"\s*:\s*"([^"\\]+)"'
    clients = "Gemini"
    image_pattern = rb'"mime(?:T|_t)ype"\s*:\s*"image/'
    models_header = KEY_HEADER
    models_query: Mapping[str, str] = models.MOST_AT_ONCE

    def __init__(self, *, new_id: Identify = fresh_id) -> None:
        self._new_id = new_id

    def stream_framing(self, params: Mapping[str, str]) -> str:
        return SSE if params.get("alt") == "sse" else JSON_ARRAY

    def read_head(self, body: bytes, params: Mapping[str, str], headers: Headers) -> RequestHead:
        return head.read_head(body, params, headers)

    def decode_request(self, body: bytes, params: Mapping[str, str], headers: Headers) -> ChatRequest:
        return decode.decode_request(body, params, headers)

    def encode_request(self, request: ChatRequest) -> Outgoing:
        return encode.encode_request(request)

    def rename_model(self, body: bytes, model: str) -> bytes:
        return head.rename_model(body, model)

    def response_decoder(self) -> Decoder:
        return GeminiDecoder(self._new_id)

    def decode_response(self, body: bytes) -> ChatResponse:
        return stream_decoder.decode_response(body, self._new_id)

    def response_encoder(self, request: ChatRequest) -> Encoder:
        return GeminiEncoder(request)

    def encode_response(self, response: ChatResponse, request: ChatRequest) -> bytes:
        return whole.encode_response(response, request.model)

    def tap(self) -> Tap:
        return GeminiTap()

    def decode_usage(self, body: bytes) -> Usage | None:
        return whole.decode_usage(body)

    def encode_error(self, error: GatewayError, request_id: str) -> ErrorBody:
        return errors.encode_error(error)

    def encode_models(self, models_: Sequence[ListedModel]) -> bytes:
        return models.encode_models(models_)

    def encode_model(self, model: ListedModel) -> bytes:
        return models.encode_model(model)

    def decode_models(self, body: bytes) -> Sequence[ModelFacts]:
        return models.decode_models(body)

    def next_models_page(self, body: bytes) -> Mapping[str, str] | None:
        return models.next_models_page(body)

    def decode_token_count(self, body: bytes) -> int:
        return whole.decode_token_count(body)

    def encode_token_count(self, input_tokens: int) -> bytes:
        return whole.encode_token_count(input_tokens)
