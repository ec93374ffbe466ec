"""`/v1/completions`, the text-in, text-out form from before chat. Clients only: no upstream is asked in it.

One prompt becomes one user message, the answer's text one choice. Source: the SDK's `openai.types.completion` (3.54).
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from omniroute.api import (
    ChatRequest,
    ChatResponse,
    Encoder,
    Event,
    FinishReason,
    Frame,
    GatewayError,
    Headers,
    Ingress,
    InvalidRequest,
    Message,
    Operation,
    Outgoing,
    RequestHead,
    ResponseEnd,
    ResponseStart,
    Sampling,
    Source,
    TextDelta,
    TextPart,
    UpstreamOperation,
    Usage,
    UsageUpdate,
)
from omniroute_translator_openai_chat.errors import error_frame
from omniroute_translator_openai_chat.invalid import decode
from omniroute_translator_openai_chat.request_in import FIELDS
from omniroute_translator_openai_chat.translator import OpenAIChat, fresh_id
from omniroute_translator_openai_chat.usage import usage_json

DIALECT = "openai-completions"
FINISH: dict[FinishReason, str] = {"length": "length", "content_filter": "content_filter", "refusal": "content_filter"}
One = Annotated[int, Meta(ge=1, le=1)]


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class CompletionWire(msgspec.Struct):
    model: Annotated[str, Meta(min_length=1)]
    prompt: Raw
    max_tokens: Annotated[int, Meta(ge=1, lt=2**31)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    n: One | None = None
    best_of: One | None = None


WIRE = msgspec.json.Decoder(CompletionWire)
PROMPT = msgspec.json.Decoder(str | list[str])
PLACE = Source("/prompt")
FIELDS_ELSEWHERE = Source("", {"max_output_tokens": "/max_tokens", "messages": "/prompt"})
CANONICAL = frozenset(CompletionWire.__struct_fields__)


class OpenAICompletions(OpenAIChat):
    """Errors, model names and lists are those of the chat dialect; requests and answers are its own."""

    dialect = DIALECT
    ingress = (
        Ingress(path="/v1/completions", operation="chat"),
        Ingress(path="/completions", operation="chat"),
    )
    operations: Mapping[Operation, UpstreamOperation] = {}
    is_default_form = False

    def __init__(self, *, now: Callable[[], float] = time.time, new_id: Callable[[], str] = fresh_id) -> None:
        super().__init__(now=now, new_id=new_id)

    def read_head(self, body: bytes, params: Mapping[str, str], headers: Headers) -> RequestHead:
        wire = decode(WIRE, body)
        prompt_of(wire)
        return RequestHead(
            model=wire.model,
            stream=bool(wire.stream),
            session=headers.get("x-session-id"),
            max_output_tokens=wire.max_tokens,
        )

    def decode_request(self, body: bytes, params: Mapping[str, str], headers: Headers) -> ChatRequest:
        wire = decode(WIRE, body)
        extensions: dict[str, Any] = {
            name: value
            for name, value in decode(FIELDS, body).items()
            if name not in CANONICAL and bytes(value) not in {b"null", b"false"}
        }
        return ChatRequest(
            model=wire.model,
            messages=(Message(role="user", parts=(TextPart(text=prompt_of(wire), source=PLACE),), source=PLACE),),
            max_output_tokens=wire.max_tokens,
            sampling=Sampling(
                temperature=wire.temperature,
                top_p=wire.top_p,
                stop=(wire.stop,) if isinstance(wire.stop, str) else tuple(wire.stop or ()),
                seed=wire.seed,
                presence_penalty=wire.presence_penalty,
                frequency_penalty=wire.frequency_penalty,
            ),
            stream=bool(wire.stream),
            include_usage=not wire.stream or bool(wire.stream_options and wire.stream_options.include_usage),
            user=wire.user,
            session=headers.get("x-session-id"),
            extensions={DIALECT: extensions} if extensions else {},
            source=FIELDS_ELSEWHERE,
        )

    def encode_request(self, request: ChatRequest) -> Outgoing:
        raise InvalidRequest(f"no upstream is asked in {DIALECT}", fix="let the provider speak openai-chat")

    def response_encoder(self, request: ChatRequest) -> Encoder:
        return CompletionEncoder(request, int(self._now()), self._new_id)

    def encode_response(self, response: ChatResponse, request: ChatRequest) -> bytes:
        text = "".join(part.text for part in response.parts if isinstance(part, TextPart))
        return chunk(
            response.id or f"cmpl-{self._new_id()}",
            response.model,
            int(self._now()),
            text,
            FINISH.get(response.finish_reason, "stop"),
            response.usage or Usage(),
        )


def prompt_of(wire: CompletionWire) -> str:
    """The one prompt there may be. Raises `InvalidRequest` for several, and for tokens instead of text."""
    try:
        prompt = PROMPT.decode(wire.prompt)
    except msgspec.ValidationError:
        raise InvalidRequest(
            "prompt is not text", why="token ids mean nothing to other models", param="prompt"
        ) from None
    prompts = [prompt] if isinstance(prompt, str) else prompt
    if len(prompts) != 1 or not prompts[0]:
        raise InvalidRequest("prompt must be one text that is not empty", fix="send one request each", param="prompt")
    return prompts[0]


def chunk(id_: str, model: str, created: int, text: str, finish: str | None, usage: Usage | None) -> bytes:
    """A completion object: the whole answer, or a piece of a stream."""
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
    body: dict[str, Any] = {"id": id_, "object": "text_completion", "created": created, "model": model}
    body["choices"] = [choice]
    if usage is not None:
        body["usage"] = usage_json(usage)
    return msgspec.json.encode(body)


class CompletionEncoder:
    """Text goes out as it comes; reasoning has no place in this form."""

    def __init__(self, request: ChatRequest, created: int, new_id: Callable[[], str]) -> None:
        self._id = f"cmpl-{new_id()}"
        self._model = request.model
        self._created = created
        self._usage: Usage | None = None
        self._shows_usage = request.include_usage

    def feed(self, event: Event) -> Iterable[Frame]:
        match event:
            case ResponseStart(id=id_, model=model):
                self._id, self._model = id_ or self._id, model or self._model
            case TextDelta(text=text):
                yield Frame(chunk(self._id, self._model, self._created, text, None, None))
            case UsageUpdate(usage=usage):
                self._usage = usage
            case ResponseEnd(finish_reason=reason):
                usage_shown = (self._usage or Usage()) if self._shows_usage else None
                finish = FINISH.get(reason, "stop")
                yield Frame(chunk(self._id, self._model, self._created, "", finish, usage_shown))
            case _:
                pass

    def close(self) -> Iterable[Frame]:
        yield Frame(b"[DONE]")

    def fail(self, error: GatewayError) -> Iterable[Frame]:
        yield error_frame(error)
