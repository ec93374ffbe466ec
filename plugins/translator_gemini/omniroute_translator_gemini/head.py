"""The top level of a request: what routing needs, without a look into contents, tools or the system instruction.

The model and whether to stream stand in the path. Ranges are the ones the service documents; a bad value is refused here and
never forwarded.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from omniroute.api import Headers, InvalidRequest, RequestHead
from omniroute_translator_gemini.wire import STRINGS, Fields, Malformed, Wire, dump, read_object

__all__ = [
    "WRAPPER",
    "invalid",
    "is_streamed",
    "model_of",
    "need_contents",
    "read_config",
    "read_head",
    "rename_model",
    "request_fields",
    "session_of",
]

SESSION_HEADERS = ("x-session-id", "x-session-affinity")
WRAPPER = "generateContentRequest"
"""Where the body of a token count may hold a whole request."""
OPENING = ("systemInstruction", "tools")
_MODELS = "models/"
_FILLED = re.compile(rb"\s*(?:\[\s*[^\s\]]|\{)")

FIXES = {
    "/contents": "send at least one content with a role and parts",
    "/generationConfig/maxOutputTokens": "send the most tokens the answer may have, an integer of at least 1",
    "/generationConfig/temperature": "send a number from 0 to 2, or leave it out",
    "/generationConfig/topP": "send a number from 0 to 1, or leave it out",
    "/generationConfig/topK": "send a number of at least 1, or leave it out",
    "/generationConfig/candidateCount": "leave it out, or ask several times",
}

_Int32 = Annotated[int, Meta(ge=-(2**31), lt=2**31)]
_Count = Annotated[int, Meta(ge=1, lt=2**31)]
_Penalty = Annotated[float, Meta(ge=-2, le=2)]
_CONFIG: Mapping[str, msgspec.json.Decoder[Any]] = {
    "maxOutputTokens": msgspec.json.Decoder(_Count),
    "temperature": msgspec.json.Decoder(Annotated[float, Meta(ge=0, le=2)]),
    "topP": msgspec.json.Decoder(Annotated[float, Meta(ge=0, le=1)]),
    "topK": msgspec.json.Decoder(Annotated[float, Meta(ge=1, lt=2**31)]),
    "stopSequences": STRINGS,
    "seed": msgspec.json.Decoder(_Int32),
    "presencePenalty": msgspec.json.Decoder(_Penalty),
    "frequencyPenalty": msgspec.json.Decoder(_Penalty),
    "candidateCount": msgspec.json.Decoder(_Count),
}
"""The fields of `generationConfig` that are numbers and stop sequences."""


def invalid(error: Malformed) -> InvalidRequest:
    """The client's fault, with the pointer to it."""
    pointer = error.pointer
    return InvalidRequest(str(error), param=pointer or None, fix=error.fix or FIXES.get(pointer))


def model_of(params: Mapping[str, str]) -> str:
    """The model in the path. Raises `Malformed`."""
    model = params.get("model", "").removeprefix(_MODELS)
    if not model:
        raise Malformed("", "the path names no model")
    return model


def is_streamed(params: Mapping[str, str]) -> bool:
    return params.get("stream") == "true"


def request_fields(body: bytes) -> Fields:
    """The request's own fields; those of the whole request inside, where the body of a token count holds one."""
    fields = Fields(body, "")
    return fields.take_object(WRAPPER) or fields


def read_config(fields: Fields | None) -> Wire:
    """The numbers and stop sequences of `generationConfig`, taken out of `fields` and checked."""
    if fields is None:
        return {}
    taken = {name: fields.take(name, decoder) for name, decoder in _CONFIG.items()}
    return {name: value for name, value in taken.items() if value is not None}


def need_contents(fields: Fields) -> None:
    """Raises `Malformed` unless there is a content."""
    if not _is_filled(fields.look("contents")):
        raise Malformed(fields.at("contents"), "Expected a list of at least one content")


def read_head(body: bytes, params: Mapping[str, str], headers: Headers) -> RequestHead:
    try:
        fields = request_fields(body)
        need_contents(fields)
        config = read_config(fields.take_object("generationConfig"))
        return RequestHead(
            model=model_of(params),
            stream=is_streamed(params),
            session=session_of(headers),
            max_output_tokens=config.get("maxOutputTokens"),
            has_tools=_is_filled(fields.look("tools")),
            opening=tuple(raw for name in OPENING if (raw := fields.look(name)) is not None),
            turns=fields.look("contents"),
        )
    except Malformed as error:
        raise invalid(error) from None


def _is_filled(raw: Raw | None) -> bool:
    return raw is not None and _FILLED.match(memoryview(raw)) is not None


def session_of(headers: Headers) -> str | None:
    """The client's name for this conversation. The dialect itself has none."""
    return next((value for name in SESSION_HEADERS if (value := headers.get(name))), None)


def rename_model(body: bytes, model: str) -> bytes:
    """The body as it is, for it names no model; but for the request inside that of a token count, which does."""
    try:
        fields = read_object(body)
        wrapped = next((name for name in fields if name in (WRAPPER, "generate_content_request")), None)
        if wrapped is None:
            return body
        inner = read_object(fields[wrapped], f"/{wrapped}")
    except Malformed as error:
        raise invalid(error) from None
    inner["model"] = Raw(dump(f"{_MODELS}{model}"))
    fields[wrapped] = Raw(dump(inner))
    return dump(fields)
