"""Gemini generateContent."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from google.genai.types import GenerateContentResponse

from omniroute.model import Usage
from omniroute.testing.dialects.neutral import Answered, Asked, Block, Call, Finish, Voice, as_object, events, pieces
from omniroute.testing.received import ReceivedRequest
from omniroute.testing.recordings import sse
from omniroute.testing.scripts import Reply, Script, Stream
from omniroute.testing.strict import gemini

__all__ = ["GeminiVoice"]

REASONS: Mapping[Finish, str] = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "content_filter": "SAFETY",
}
LIMITS = {
    "maxOutputTokens": "max_tokens",
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "stopSequences": "stop",
    "seed": "seed",
}
MODES = {"AUTO": "auto", "ANY": "required", "NONE": "none", "VALIDATED": "auto"}
STATUSES = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}

Json = Mapping[str, Any]


class _RawCall(msgspec.Struct, frozen=True):
    """Only what must be read as the text it is."""

    args: msgspec.Raw = msgspec.Raw(b"{}")


class _RawPart(msgspec.Struct, frozen=True, rename="camel"):
    function_call: _RawCall | None = None


class _RawContent(msgspec.Struct, frozen=True):
    parts: tuple[_RawPart, ...] = ()


class _RawCandidate(msgspec.Struct, frozen=True):
    content: _RawContent = _RawContent()


class _RawAnswer(msgspec.Struct, frozen=True):
    candidates: tuple[_RawCandidate, ...] = ()


class _RawBody(msgspec.Struct, frozen=True):
    contents: tuple[_RawContent, ...] = ()


class GeminiVoice(Voice):
    dialect = "gemini"
    validate = staticmethod(gemini)
    shares = frozenset({"cached_tokens", "reasoning_tokens"})

    def path(self, model: str, *, stream: bool) -> str:
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/{model}:{verb}"

    def body(self, asked: Mapping[str, Any], model: str, *, stream: bool) -> dict[str, Any]:
        return {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], **asked}

    def streams(self, request: ReceivedRequest) -> bool:
        return ":streamGenerateContent" in request.path

    # --- the service --------------------------------------------------------------------------------------------------

    def reply(self, answer: Answered, request: ReceivedRequest) -> Script:
        model = request.path.rpartition("/models/")[2].partition(":")[0]
        if not self.streams(request):
            return Reply.json(_chunk(list(_parts(answer)), model, answer))
        assert "alt=sse" in request.target, "streams are asked for as server-sent events"
        chunks = [_chunk([part], model) for part in _streamed(answer)]
        return Stream([sse([chunk]) for chunk in [*chunks, _chunk([{"text": ""}], model, answer)]])

    def refusal(self, status: int, message: str) -> Reply:
        return Reply.json({"error": {"code": status, "message": message, "status": STATUSES[status]}}, status)

    # --- the client ---------------------------------------------------------------------------------------------------

    def read(self, body: bytes, *, stream: bool) -> Answered:
        if not stream:
            return _read_chunks([body])
        said = events(body)
        assert all(name is None for name, _ in said), "the events have names"
        return _read_chunks([data for _, data in said])

    def read_error(self, body: bytes) -> str:
        error = msgspec.json.decode(body)["error"]
        assert isinstance(error["code"], int)
        assert error["status"] == error["status"].upper()
        return str(error["message"])

    def asked(self, body: bytes) -> Asked:
        return _asked(_with_texts(body))

    def continued(self, body: Mapping[str, Any], answer: bytes, results: Sequence[str]) -> dict[str, Any]:
        [candidate] = msgspec.json.decode(answer)["candidates"]
        contents = [*body["contents"], candidate["content"]]
        calls = [part["functionCall"] for part in candidate["content"]["parts"] if "functionCall" in part]
        if calls:
            told = zip(calls, results, strict=True)
            contents.append({"role": "user", "parts": [_response_part(call, text) for call, text in told]})
        return {**body, "contents": contents}


def _response_part(call: Json, text: str) -> dict[str, Any]:
    named = {name: call[name] for name in ("id", "name") if name in call}
    return {"functionResponse": {**named, "response": {"result": text}}}


# --- the service's answers --------------------------------------------------------------------------------------------


def _parts(answer: Answered) -> Iterator[dict[str, Any]]:
    """A signature stands with the first call, or with the text where nothing is called."""
    signed = {"thoughtSignature": answer.signature} if answer.signature else {}
    if answer.reasoning:
        yield {"text": answer.reasoning, "thought": True}
    if answer.text:
        yield {"text": answer.text, **({} if answer.calls else signed)}
    for number, call in enumerate(answer.calls):
        made = {"id": call.id, "name": call.name, "args": as_object(call.arguments)}
        yield {"functionCall": made, **({} if number else signed)}


def _streamed(answer: Answered) -> Iterator[dict[str, Any]]:
    for part in _parts(answer):
        if "text" not in part:
            yield part
            continue
        *first, last = pieces(part["text"])
        for piece in first:
            yield {**part, "text": piece, "thoughtSignature": None}
        yield {**part, "text": last}


def _chunk(parts: Sequence[Json], model: str, ending: Answered | None = None) -> dict[str, Any]:
    told = [{name: value for name, value in part.items() if value is not None} for part in parts]
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": told}, "index": 0}
    chunk: dict[str, Any] = {"candidates": [candidate], "modelVersion": model, "responseId": "r-7"}
    if ending is not None:
        candidate["finishReason"] = REASONS[ending.finish]
        chunk["usageMetadata"] = _usage(ending.usage or Usage())
    return chunk


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "promptTokenCount": usage.input_tokens,
        "cachedContentTokenCount": usage.cached_tokens,
        "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
        "thoughtsTokenCount": usage.reasoning_tokens,
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }


# --- what a client reads ----------------------------------------------------------------------------------------------


def _read_chunks(bodies: Sequence[bytes]) -> Answered:
    chunks = [msgspec.json.decode(body) for body in bodies]
    for chunk, body in zip(chunks, bodies, strict=True):
        assert "error" not in chunk, f"the answer is an error: {chunk}"
        GenerateContentResponse.model_validate_json(body, by_alias=True, by_name=False)
        assert "candidates" in chunk or "usageMetadata" in chunk, f"a chunk that says nothing: {body!r}"
    assert len({(chunk["responseId"], chunk["modelVersion"]) for chunk in chunks}) == 1, "the chunks have several heads"
    candidates = [candidate for chunk in chunks for candidate in chunk.get("candidates") or ()]
    reasons = [candidate["finishReason"] for candidate in candidates if candidate.get("finishReason")]
    assert reasons == [candidates[-1].get("finishReason")], f"not one finish reason, on the last chunk: {reasons}"
    parts = [part for candidate in candidates for part in (candidate.get("content") or {}).get("parts") or ()]
    raw = [part for body in bodies for part in _raw_parts(body)]
    calls = tuple(_read_call(part, text) for part, text in zip(parts, raw, strict=True) if "functionCall" in part)
    finish: Finish = next(name for name, reason in REASONS.items() if reason == reasons[0])
    return Answered(
        reasoning="".join(part["text"] for part in parts if part.get("thought")),
        signature="".join(part.get("thoughtSignature") or "" for part in parts),
        text="".join(part.get("text") or "" for part in parts if not part.get("thought")),
        calls=calls,
        finish="tool_calls" if calls and finish == "stop" else finish,
        usage=_read_usage(chunks[-1].get("usageMetadata")),
    )


def _raw_parts(body: bytes) -> list[_RawPart]:
    answer = msgspec.json.decode(body, type=_RawAnswer)
    return [part for candidate in answer.candidates for part in candidate.content.parts]


def _read_call(part: Json, raw: _RawPart) -> Call:
    call = part["functionCall"]
    assert raw.function_call is not None
    return Call(id=call.get("id") or "", name=call["name"], arguments=bytes(raw.function_call.args).decode())


def _read_usage(usage: Json | None) -> Usage | None:
    if usage is None:
        return None
    thoughts = usage.get("thoughtsTokenCount") or 0
    read = Usage(
        input_tokens=usage["promptTokenCount"] + (usage.get("toolUsePromptTokenCount") or 0),
        output_tokens=(usage.get("candidatesTokenCount") or 0) + thoughts,
        cached_tokens=usage.get("cachedContentTokenCount") or 0,
        reasoning_tokens=thoughts,
    )
    assert usage["totalTokenCount"] == read.input_tokens + read.output_tokens
    return read


# --- what a request says ----------------------------------------------------------------------------------------------


def _with_texts(body: bytes) -> dict[str, Any]:
    """The arguments of calls as the text they were written in."""
    parsed: dict[str, Any] = msgspec.json.decode(body)
    raw = msgspec.json.decode(body, type=_RawBody)
    for content, texts in zip(parsed["contents"], raw.contents, strict=True):
        for part, text in zip(content["parts"], texts.parts, strict=True):
            if text.function_call is not None:
                part["functionCall"]["args"] = bytes(text.function_call.args).decode()
    return parsed


def _asked(body: Json) -> Asked:
    config = body.get("generationConfig") or {}
    asked = Asked(limits={LIMITS[name]: value for name, value in config.items() if name in LIMITS})
    asked.system += [part["text"] for part in (body.get("systemInstruction") or {}).get("parts", ())]
    counted = _Counted()
    for content in body["contents"]:
        asked.blocks += [block for part in content["parts"] for block in counted.blocks(content, part)]
    for tool in body.get("tools") or ():
        for declared in tool.get("functionDeclarations") or ():
            schema = declared.get("parametersJsonSchema") or declared.get("parameters") or {}
            asked.tools[declared["name"]] = _lowered(schema)
            asked.descriptions[declared["name"]] = declared.get("description") or ""
    choice = (body.get("toolConfig") or {}).get("functionCallingConfig")
    if choice is not None:
        allowed: list[str] = choice.get("allowedFunctionNames") or []
        asked.choice = f":{allowed[0]}" if len(allowed) == 1 else MODES[choice["mode"]]
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    asked.schema = None if schema is None else _lowered(schema)
    thinking = config.get("thinkingConfig") or {}
    if thinking.keys() & {"thinkingBudget", "thinkingLevel"}:
        asked.thinks = thinking.get("thinkingBudget") != 0
    return asked


def _lowered(schema: Any) -> Any:
    """Types in lower case, at schema level."""
    if not isinstance(schema, dict):
        return schema
    lowered = dict(schema)
    if isinstance(schema.get("type"), str):
        lowered["type"] = schema["type"].lower()
    if isinstance(schema.get("properties"), dict):
        lowered["properties"] = {name: _lowered(inner) for name, inner in schema["properties"].items()}
    for name in ("items", "anyOf"):
        inner = schema.get(name)
        if inner is not None:
            lowered[name] = [_lowered(each) for each in inner] if isinstance(inner, list) else _lowered(inner)
    return lowered


class _Counted:
    """Gives calls without ids one by their place; responses are paired with them per name, in order."""

    def __init__(self) -> None:
        self._made = 0
        self._waiting: dict[str, list[str]] = {}

    def blocks(self, content: Json, part: Json) -> Iterator[Block]:
        role: Any = "assistant" if content.get("role") == "model" else "user"
        if "functionCall" in part:
            call = part["functionCall"]
            self._made += 1
            made = call.get("id") or f"call {self._made}"
            self._waiting.setdefault(call["name"], []).append(made)
            signature = part.get("thoughtSignature") or ""
            yield Block(role=role, kind="call", id=made, name=call["name"], text=call["args"], signature=signature)
        elif "functionResponse" in part:
            yield self._result(part["functionResponse"])
        elif part.get("thought"):
            yield Block(role=role, kind="thinking", text=part["text"], signature=part.get("thoughtSignature") or "")
        elif "text" in part:
            yield Block(role=role, kind="text", text=part["text"], signature=part.get("thoughtSignature") or "")
        else:
            yield _media(role, part)

    def _result(self, response: Json) -> Block:
        waiting = self._waiting.get(response["name"]) or [""]
        answered = response.get("id") if response.get("id") in waiting else waiting[0]
        if answered in waiting:
            waiting.remove(answered)
        given = response["response"]
        told = next((given[name] for name in ("result", "output", "error") if given.keys() == {name}), given)
        if given == {"name": response["name"], "content": given.get("content")}:  # as one much used library puts it
            told = given["content"]
        images = [part["inlineData"]["data"] for part in response.get("parts") or () if "inlineData" in part]
        return Block(
            role="user",
            kind="result",
            id=answered or "",
            name=response["name"],
            text=told if isinstance(told, str) else msgspec.json.encode(told).decode(),
            is_error=given.keys() == {"error"},
            images=tuple(images),
        )


def _media(role: Any, part: Json) -> Block:
    blob = part.get("inlineData") or part["fileData"]
    kind: Any = {"image": "image", "audio": "audio"}.get(blob.get("mimeType", "").partition("/")[0], "file")
    return Block(role=role, kind=kind, data=blob.get("data") or blob["fileUri"])
