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
from omniroute_translator_openai_chat import errors, request_in, request_out, response_in, response_out
from omniroute_translator_openai_chat.chunks import UNREADABLE
from omniroute_translator_openai_chat.details import DETAILS
from omniroute_translator_openai_chat.extra_content import OURS, SIGNATURE
from omniroute_translator_openai_chat.quirks import is_odd_answer
from omniroute_translator_openai_chat.tap import ChatTap
from omniroute_translator_openai_chat.usage import usage_of
from omniroute_translator_openai_chat.wire import DIALECT, UsageWire


class Counted(msgspec.Struct):
    usage: UsageWire | None = None


COUNTED = msgspec.json.Decoder(Counted)


def fresh_id() -> str:
    return uuid.uuid4().hex[:24]


class OpenAIChat(Translator):
    """OpenAI Chat Completions. `now` (Unix seconds) and `new_id` are the only things that are not in the values given."""

    dialect = DIALECT
    framing = "sse"
    ingress = (
        Ingress(path="/v1/chat/completions", operation="chat"),
        Ingress(path="/chat/completions", operation="chat"),
    )
    operations: Mapping[Operation, UpstreamOperation] = {
        "chat": UpstreamOperation(path="chat/completions"),
        "models": UpstreamOperation(path="models", method="GET"),
    }
    credential = CredentialPlace(header="authorization", prefix="Bearer ")
    opaque_keys = frozenset({SIGNATURE, DETAILS})
    opaque_marks = (b'"%b"' % SIGNATURE.encode(),)
    carrier_marks = (b'"%b"' % OURS.encode(),)
    opaque_pattern = rb'"thought_signature"\s*+:\s*+"([^"]++)"'
    clients = "OpenAI"
    client_root = "/v1"
    image_pattern = rb'"type"\s*:\s*"image_url"'
    is_default_form = True

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
        return response_in.ChatDecoder(self._new_id)

    def decode_response(self, body: bytes) -> ChatResponse:
        return response_in.decode_response(body, self._new_id)

    def response_encoder(self, request: ChatRequest) -> Encoder:
        return response_out.ChatEncoder(request, int(self._now()), self._new_id)

    def encode_response(self, response: ChatResponse, request: ChatRequest) -> bytes:
        return response_out.encode_response(response, request, int(self._now()), self._new_id)

    def tap(self) -> Tap:
        return ChatTap()

    def needs_rewrite(self, body: bytes) -> bool:
        return is_odd_answer(body)

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
