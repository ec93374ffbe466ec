"""The translator: what the kernel asks for, each answered by the module that knows."""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence

import msgspec

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
    UpstreamGarbled,
    UpstreamOperation,
    Usage,
    decode_model_list,
    encode_model_list,
    encode_model_list_entry,
)
from omniroute_translator_openai_responses import errors, request_in, request_out, response_in, response_out
from omniroute_translator_openai_responses.events import UNREADABLE
from omniroute_translator_openai_responses.items_in import CARRIER
from omniroute_translator_openai_responses.tap import ResponsesTap
from omniroute_translator_openai_responses.usage import UsageWire, usage_of
from omniroute_translator_openai_responses.wire import DIALECT


class Counted(msgspec.Struct):
    usage: UsageWire | None = None


COUNTED = msgspec.json.Decoder(Counted)


def fresh_id() -> str:
    return uuid.uuid4().hex[:24]


class OpenAIResponses(Translator):
    """OpenAI Responses. `now` (Unix seconds) and `new_id` are the only things that are not in the values given."""

    dialect = DIALECT
    framing = "sse"
    ingress = (
        Ingress(path="/v1/responses", operation="chat"),
        Ingress(path="/responses", operation="chat"),
    )
    operations: Mapping[Operation, UpstreamOperation] = {
        "chat": UpstreamOperation(path="responses"),
        "models": UpstreamOperation(path="models", method="GET"),
    }
    credential = CredentialPlace(header="authorization", prefix="Bearer ")
    opaque_keys = frozenset({"encrypted_content"})
    carrier_marks = (CARRIER.encode(),)
    opaque_marks = (b'"encrypted_content"',)
    opaque_is_account_bound = True
    """It is encrypted for the organisation that asked."""
    opaque_pattern = rb'"encrypted_content"\s*:\s*"([^"\\]+)"'
    clients = "OpenAI"
    client_root = "/v1"
    image_pattern = rb'"type"\s*:\s*"input_image"'
    keeps_threads = True
    thread_pattern = rb'"id"\s*:\s*"(resp_[^"\\]+)"'

    def __init__(self, *, now: Callable[[], float] = time.time, new_id: Callable[[], str] = fresh_id) -> None:
        self._now = now
        self._new_id = new_id

    def read_head(self, body: bytes, params: Mapping[str, str], headers: Headers) -> RequestHead:
        return request_in.read_head(body, headers)

    def decode_request(self, body: bytes, params: Mapping[str, str], headers: Headers) -> ChatRequest:
        return request_in.decode_request(body, headers)

    def encode_request(self, request: ChatRequest) -> Outgoing:
        return request_out.encode_request(request)

    def rename_model(self, body: bytes, model: str) -> bytes:
        return request_in.rename_model(body, model)

    def response_decoder(self) -> Decoder:
        return response_in.ResponsesDecoder()

    def decode_response(self, body: bytes) -> ChatResponse:
        return response_in.decode_response(body)

    def response_encoder(self, request: ChatRequest) -> Encoder:
        return response_out.ResponsesEncoder(request, int(self._now()), self._new_id)

    def encode_response(self, response: ChatResponse, request: ChatRequest) -> bytes:
        return response_out.encode_response(response, request, int(self._now()), self._new_id)

    def tap(self) -> Tap:
        return ResponsesTap()

    def decode_usage(self, body: bytes) -> Usage | None:
        try:
            usage = COUNTED.decode(body).usage
        except UNREADABLE as error:
            raise UpstreamGarbled("the upstream's answer is not a JSON object", why=str(error)) from error
        return None if usage is None else usage_of(usage)

    def encode_error(self, error: GatewayError, request_id: str) -> ErrorBody:
        return errors.encode_error(error)

    def encode_models(self, models: Sequence[ListedModel]) -> bytes:
        return encode_model_list(models)

    def encode_model(self, model: ListedModel) -> bytes:
        return encode_model_list_entry(model)

    def decode_models(self, body: bytes) -> Sequence[ModelFacts]:
        return decode_model_list(body)
