"""A small dialect of its own, whole and correct, for tests that need a translator without taking a plugin's.

Requests and answers are JSON objects whose parts are arrays, `["text", "hi"]`; streams are NDJSON with one key per line.
"""

from types import MappingProxyType

import msgspec

from omniroute.api import (
    ChatRequest,
    ChatResponse,
    CredentialPlace,
    ErrorBody,
    Frame,
    Ingress,
    InvalidRequest,
    Message,
    ModelFacts,
    Outgoing,
    PartEnd,
    PartStart,
    Raw,
    ReasoningDelta,
    ReasoningPart,
    RequestHead,
    ResponseEnd,
    ResponseStart,
    StreamBroken,
    TextDelta,
    TextPart,
    Tool,
    ToolArgumentsDelta,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
    UpstreamFailed,
    UpstreamGarbled,
    UpstreamOperation,
    Usage,
    UsageUpdate,
    extension_losses,
)

DIALECT = "toy"
KNOWN = ("model", "stream", "max", "turns", "tools", "choice")
FIELDS = msgspec.json.Decoder(dict[str, Raw])
DELTAS = {TextPart: TextDelta, ReasoningPart: ReasoningDelta, ToolCallPart: ToolArgumentsDelta}


def write_part(part):
    match part:
        case TextPart(text=text):
            return ["text", text]
        case ReasoningPart(text=text):
            return ["think", text]
        case ToolCallPart(id=call, name=name, arguments=arguments):
            return ["call", call, name, arguments]
        case ToolResultPart(call_id=call, name=name, parts=parts):
            return ["result", call, name, [write_part(inner) for inner in parts]]


def read_part(wire):
    match wire:
        case ["text", text]:
            return TextPart(text=text)
        case ["think", text]:
            return ReasoningPart(text=text)
        case ["call", call, name, arguments]:
            return ToolCallPart(id=call, name=name, arguments=arguments)
        case ["result", call, name, parts]:
            return ToolResultPart(call_id=call, name=name, parts=tuple(map(read_part, parts)))
    raise UpstreamGarbled(f"no part: {wire!r}")


def read_object(body, error):
    try:
        return FIELDS.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise error(f"no JSON object: {problem}") from problem


def read_answer(body):
    read_object(body, UpstreamGarbled)
    return msgspec.json.decode(body)


class ToyDecoder:
    def __init__(self):
        self.finish = None

    def feed(self, frame):
        event = read_answer(frame.data)
        match event:
            case {"start": [answer, model]}:
                yield ResponseStart(id=answer, model=model)
            case {"part": [index, *wire]}:
                yield PartStart(index=index, part=read_part(wire))
            case {"more": [index, kind, text]}:
                yield {"text": TextDelta, "think": ReasoningDelta, "call": ToolArgumentsDelta}[kind](
                    index=index, text=text
                )
            case {"end": index}:
                yield PartEnd(index=index)
            case {"usage": usage}:
                yield UsageUpdate(usage=msgspec.convert(usage, Usage))
            case {"finish": reason}:
                self.finish = reason
            case {"error": message}:
                raise UpstreamFailed(message)
            case _:
                raise UpstreamGarbled("no event")

    def close(self):
        if self.finish is None:
            raise StreamBroken("no finish")
        yield ResponseEnd(finish_reason=self.finish)


class ToyEncoder:
    def __init__(self):
        self.kinds = {}

    def event(self, event):
        match event:
            case ResponseStart(id=answer, model=model):
                return {"start": [answer, model]}
            case PartStart(index=index, part=part):
                self.kinds[index] = write_part(part)[0]
                return {"part": [index, *write_part(part)]}
            case TextDelta(index=index, text=text) | ReasoningDelta(index=index, text=text):
                return {"more": [index, self.kinds[index], text]}
            case ToolArgumentsDelta(index=index, text=text):
                return {"more": [index, self.kinds[index], text]}
            case PartEnd(index=index):
                return {"end": index}
            case UsageUpdate(usage=usage):
                return {"usage": usage}
            case ResponseEnd(finish_reason=reason):
                return {"finish": reason}
        return None

    def feed(self, event):
        wire = self.event(event)
        return [] if wire is None else [Frame(msgspec.json.encode(wire))]

    def close(self):
        return []

    def fail(self, error):
        return [Frame(msgspec.json.encode({"error": error.message}))]


class ToyTap:
    def __init__(self):
        self.content = False
        self.ended = False
        self.usage = None
        self.error = None
        self.decoder = ToyDecoder()

    def feed(self, frame):
        try:
            for event in self.decoder.feed(frame):
                if isinstance(event, UsageUpdate):
                    self.usage = event.usage
                self.content = self.content or isinstance(event, PartStart)
        except UpstreamFailed as error:
            self.error = error
        self.ended = self.decoder.finish is not None

    def fail(self, error):
        return ToyEncoder().fail(error)


class Toy:
    dialect = DIALECT
    framing = "ndjson"
    ingress = (
        Ingress(path="/toy/chat", operation="chat"),
        Ingress(path="/toy/count", operation="count_tokens"),
    )
    operations = MappingProxyType(
        {"chat": UpstreamOperation(path="chat"), "count_tokens": UpstreamOperation(path="count")}
    )
    credential = CredentialPlace()
    keepalive = b"\n"
    models_header = "x-toy"

    # requests

    def read_head(self, body, params, headers):
        request = self.decode_request(body, params, headers)
        return RequestHead(
            model=request.model,
            stream=request.stream,
            max_output_tokens=request.max_output_tokens,
            has_tools=bool(request.tools),
        )

    def decode_request(self, body, params, headers):
        fields = read_object(body, InvalidRequest)
        try:
            known = {name: msgspec.json.decode(fields[name]) for name in KNOWN if name in fields}
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
            raise InvalidRequest(f"no JSON object: {problem}") from problem
        return ChatRequest(
            model=known["model"],
            stream=known["stream"],
            max_output_tokens=known["max"],
            messages=tuple(
                Message(role=role, parts=tuple(map(read_part, parts))) for role, parts in known.get("turns", ())
            ),
            tools=tuple(
                Tool(name=name, description=about, parameters=Raw(msgspec.json.encode(schema)))
                for name, about, schema in known.get("tools", ())
            ),
            tool_choice=ToolChoice(mode=known["choice"]) if known.get("choice") else None,
            extensions={DIALECT: {name: value for name, value in fields.items() if name not in KNOWN}},
        )

    def encode_request(self, request):
        body = {
            "model": request.model,
            "stream": request.stream,
            "max": request.max_output_tokens,
            "turns": [[message.role, list(map(write_part, message.parts))] for message in request.messages],
            "tools": [[tool.name, tool.description, tool.parameters] for tool in request.tools],
            "choice": request.tool_choice.mode if request.tool_choice else None,
            **request.extensions.get(DIALECT, {}),
        }
        return Outgoing(body=msgspec.json.encode(body), losses=extension_losses(request, DIALECT))

    def rename_model(self, body, model):
        return msgspec.json.encode({**FIELDS.decode(body), "model": model})

    def request_headers(self, headers):
        return {}

    def default_headers(self):
        return {}

    # answers

    def response_decoder(self):
        return ToyDecoder()

    def decode_response(self, body):
        answer = read_answer(body)
        try:
            return ChatResponse(
                id=answer["id"],
                model=answer["model"],
                parts=tuple(map(read_part, answer["parts"])),
                finish_reason=answer["finish"],
                usage=self.decode_usage(body),
            )
        except KeyError as error:
            raise UpstreamGarbled("no answer") from error

    def response_encoder(self, request):
        return ToyEncoder()

    def encode_response(self, response, request):
        return msgspec.json.encode(
            {
                "id": response.id,
                "model": response.model,
                "parts": list(map(write_part, response.parts)),
                "finish": response.finish_reason,
                "usage": response.usage,
            }
        )

    def tap(self):
        return ToyTap()

    def decode_usage(self, body):
        usage = read_answer(body).get("usage")
        return None if usage is None else msgspec.convert(usage, Usage)

    # errors, models, tokens

    def encode_error(self, error, request_id):
        return ErrorBody(status=error.status, body=msgspec.json.encode({"error": error.text}))

    def encode_models(self, models):
        return msgspec.json.encode({"models": [model.id for model in models]})

    def encode_model(self, model):
        return msgspec.json.encode({"model": model.id})

    def decode_models(self, body):
        return [ModelFacts(id=model) for model in read_answer(body)["models"]]

    def decode_token_count(self, body):
        return read_answer(body)["tokens"]

    def encode_token_count(self, input_tokens):
        return msgspec.json.encode({"tokens": input_tokens})
