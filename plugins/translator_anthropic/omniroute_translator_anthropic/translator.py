"""The dialect, put together from its parts."""

from collections.abc import Mapping, Sequence

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
from omniroute_translator_anthropic import decode, encode, errors, head, models, whole
from omniroute_translator_anthropic.carriers import CARRIER
from omniroute_translator_anthropic.opaque import OPAQUE_KEYS, OPAQUE_MARKS, OPAQUE_PATTERN
from omniroute_translator_anthropic.stream_decoder import MessageDecoder
from omniroute_translator_anthropic.stream_encoder import PING, MessageEncoder
from omniroute_translator_anthropic.tap import MessageTap
from omniroute_translator_anthropic.wire import DIALECT

__all__ = ["AnthropicTranslator"]

VERSION_HEADER = "anthropic-version"
VERSION = "2023-06-01"
"""Sent to upstreams when the client named none; the newer 2026-10-21 refuses fields that other dialects' clients use."""
FORWARDED_HEADERS = (VERSION_HEADER, "anthropic-beta")


class AnthropicTranslator(Translator):
    """Anthropic Messages. Stateless; safe to share."""

    dialect = DIALECT
    framing = "sse"
    ingress = (
        Ingress(path="/v1/messages", operation="chat"),
        Ingress(path="/messages", operation="chat"),
        Ingress(path="/v1/messages/count_tokens", operation="count_tokens"),
        Ingress(path="/messages/count_tokens", operation="count_tokens"),
    )
    operations: Mapping[Operation, UpstreamOperation] = {
        "chat": UpstreamOperation(path="messages"),
        "count_tokens": UpstreamOperation(path="messages/count_tokens"),
        "models": UpstreamOperation(path="models", method="GET"),
    }
    credential = CredentialPlace(header="x-api-key", prefix="")
    keepalive = b"event: ping\ndata: " + PING.data + b"\n\n"
    opaque_keys = OPAQUE_KEYS
    opaque_marks = OPAQUE_MARKS
    carrier_marks = (CARRIER.encode(),)
    opaque_pattern = OPAQUE_PATTERN
    clients = "Anthropic"
    image_pattern = rb'"type"\s*:\s*"image"'
    hour_mark = b'"1h"'
    models_header = VERSION_HEADER
    models_query: Mapping[str, str] = models.MOST_AT_ONCE

    def read_head(self, body: bytes, params: Mapping[str, str], headers: Headers) -> RequestHead:
        return head.read_head(body, params, headers)

    def decode_request(self, body: bytes, params: Mapping[str, str], headers: Headers) -> ChatRequest:
        return decode.decode_request(body, params, headers)

    def encode_request(self, request: ChatRequest) -> Outgoing:
        return encode.encode_request(request)

    def rename_model(self, body: bytes, model: str) -> bytes:
        return head.rename_model(body, model)

    def request_headers(self, headers: Headers) -> Mapping[str, str]:
        return {name: value for name in FORWARDED_HEADERS if (value := headers.get(name))}

    def default_headers(self) -> Mapping[str, str]:
        return {VERSION_HEADER: VERSION}

    def response_decoder(self) -> Decoder:
        return MessageDecoder()

    def decode_response(self, body: bytes) -> ChatResponse:
        return whole.decode_response(body)

    def response_encoder(self, request: ChatRequest) -> Encoder:
        return MessageEncoder(request)

    def encode_response(self, response: ChatResponse, request: ChatRequest) -> bytes:
        return whole.encode_response(response, request.model)

    def tap(self) -> Tap:
        return MessageTap()

    def decode_usage(self, body: bytes) -> Usage | None:
        return whole.decode_usage(body)

    def encode_error(self, error: GatewayError, request_id: str) -> ErrorBody:
        return errors.encode_error(error, request_id)

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
