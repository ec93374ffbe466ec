"""A generateContent request to the canonical one.

Nothing is lost on the way in: what has no canonical home rides under this dialect's name, in the request's extensions or in
the metadata of its part or tool.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Raw

from omniroute.api import (
    ChatRequest,
    Headers,
    Message,
    Part,
    ResponseFormat,
    Sampling,
    Source,
    TextPart,
    Tool,
    ToolChoice,
    check_schema,
)
from omniroute_translator_gemini.head import (
    WRAPPER,
    invalid,
    is_streamed,
    model_of,
    need_contents,
    read_config,
    request_fields,
    session_of,
)
from omniroute_translator_gemini.history import History
from omniroute_translator_gemini.parts import read_part
from omniroute_translator_gemini.schema import json_schema
from omniroute_translator_gemini.thinking import read_reasoning, reasoning_places
from omniroute_translator_gemini.wire import DIALECT, STRING, STRINGS, Fields, Malformed, Wire, dump, read

__all__ = ["CONFIG", "TOOL_CONFIG", "decode_request"]

CONFIG = "generationConfig"
TOOL_CONFIG = "toolConfig"
JSON_TYPE = "application/json"
_TEXT = b'"'
_KNOWN_EXTENSIONS = frozenset(
    {"cachedContent", "continuationToken", "labels", "safetySettings", "serviceTier", "store"}
)
_MODES = {"AUTO": "auto", "NONE": "none", "ANY": "required"}
_CONFIG_FIELDS = {
    "max_output_tokens": "maxOutputTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "stop": "stopSequences",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
"""Canonical fields → those of `generationConfig`."""
_JSON_SCHEMAS = ("responseJsonSchema", "_responseJsonSchema")
_SCHEMAS = (*_JSON_SCHEMAS, "responseSchema")


def decode_request(body: bytes, params: Mapping[str, str], headers: Headers) -> ChatRequest:
    """Raises `InvalidRequest` with the JSON pointer to what is wrong."""
    try:
        return _request(request_fields(body), params, headers)
    except Malformed as error:
        raise invalid(error) from None


def _request(fields: Fields, params: Mapping[str, str], headers: Headers) -> ChatRequest:
    need_contents(fields)
    fields.take_raw("model")
    history = History()
    system = fields.take_raw("systemInstruction")
    if system is not None and (parts := _system(system, fields.at("systemInstruction"))):
        history.messages.append(Message(role="system", parts=parts, source=Source(fields.at("systemInstruction"))))
    for raw, pointer in fields.take_items("contents"):
        history.add(raw, pointer)
    tools = tuple(tool for raw, pointer in fields.take_items("tools") for tool in _tools(Fields(raw, pointer)))
    tool_fields = fields.take_object(TOOL_CONFIG)
    choice, tool_config = _choice(tool_fields)
    config = fields.take_object(CONFIG)
    places = _places(fields, config, tool_fields)
    numbers = read_config(config)
    thinking = config.take_object("thinkingConfig") if config else None
    places |= reasoning_places(thinking)
    reasoning = read_reasoning(thinking)
    wanted = _format(config) if config else None
    extensions: dict[str, Any] = {
        **fields.rest_as_written(_KNOWN_EXTENSIONS),
        **tool_config,
        **({f"{CONFIG}/{name}": raw for name, raw in config.rest().items()} if config else {}),
        **({WRAPPER: Raw(b"{}")} if fields.pointer else {}),
    }
    return ChatRequest(
        model=model_of(params),
        messages=tuple(history.messages),
        tools=tools,
        tool_choice=choice,
        max_output_tokens=numbers.get("maxOutputTokens"),
        sampling=_sampling(numbers),
        reasoning=reasoning,
        response_format=wanted,
        stream=is_streamed(params),
        session=session_of(headers),
        extensions={DIALECT: extensions} if extensions else {},
        source=Source("", places),
    )


def _places(fields: Fields, config: Fields | None, tools: Fields | None) -> dict[str, str]:
    """Canonical fields and extensions → where they stand in the body, before `config` is read."""
    places = {"messages": fields.at("contents")}
    places |= {name: fields.at(name) for name in _KNOWN_EXTENSIONS if name in fields}
    if fields.pointer:
        places |= {name: f"{fields.pointer}/{name}" for name in fields.rest_as_written(_KNOWN_EXTENSIONS)}
    if tools is not None:
        places |= {f"{TOOL_CONFIG}/{name}": tools.at(name) for name in tools.rest()}
        places["tool_choice"] = places[f"{TOOL_CONFIG}/functionCallingConfig"] = tools.at("functionCallingConfig")
    if config is None:
        return places | {name: f"{fields.at(CONFIG)}/{camel}" for name, camel in _CONFIG_FIELDS.items()}
    places |= {f"{CONFIG}/{name}": config.at(name) for name in config.rest()}
    places |= {name: config.at(camel) for name, camel in _CONFIG_FIELDS.items()}
    schema = next((name for name in _SCHEMAS if name in config), "responseMimeType")
    places["response_format/schema"] = config.at(schema)
    places["response_format"] = config.at("responseMimeType" if "responseMimeType" in config else schema)
    return places


def _sampling(numbers: Wire) -> Sampling:
    if numbers.get("candidateCount", 1) > 1:
        raise Malformed(f"/{CONFIG}/candidateCount", "one answer per request is all there is")
    top_k = numbers.get("topK")
    return Sampling(
        temperature=numbers.get("temperature"),
        top_p=numbers.get("topP"),
        top_k=None if top_k is None else int(top_k),
        stop=tuple(numbers.get("stopSequences", ())),
        seed=numbers.get("seed"),
        presence_penalty=numbers.get("presencePenalty"),
        frequency_penalty=numbers.get("frequencyPenalty"),
    )


# --- system -----------------------------------------------------------------------------------------------------------


def _system(raw: Raw, pointer: str) -> tuple[Part, ...]:
    """A content, a list of parts, or a text."""
    if bytes(memoryview(raw)[:1]) == _TEXT:
        text = read(STRING, raw, pointer)
        return (TextPart(text=text, source=Source(pointer)),) if text else ()
    fields = Fields(raw, pointer)
    parts = [(read_part(item, at)[0], at) for item, at in fields.take_items("parts")]
    for part, at in parts:
        if not isinstance(part, TextPart):
            raise Malformed(at, "a system instruction holds text only")
    return tuple(part for part, _ in parts if isinstance(part, TextPart) and part.text)


# --- tools ------------------------------------------------------------------------------------------------------------


def _tools(fields: Fields) -> Iterator[Tool]:
    """The functions of one entry, and the tools that run at the vendor, each of which may stand beside them."""
    for raw, pointer in fields.take_items("functionDeclarations"):
        yield _function(Fields(raw, pointer))
    for name, raw in fields.rest().items():
        declaration = Raw(dump({name: raw}))
        metadata = {DIALECT: {"declaration": declaration}}
        yield Tool(name=name, kind="builtin", provider_metadata=metadata, source=Source(fields.at(name)))


def _function(fields: Fields) -> Tool:
    name = fields.need("name", STRING)
    if not name:
        raise Malformed(fields.at("name"), "a function needs a name")
    description = fields.take("description", STRING)
    parameters = fields.take_raw("parametersJsonSchema")
    if parameters is not None:
        check_schema(parameters, fields.at("parametersJsonSchema"))
    places = fields.spelt(fields.pointer)
    places["parameters"] = places.get("parametersJsonSchema", "/parametersJsonSchema") if parameters else "/parameters"
    own = fields.take_raw("parameters")
    if own is not None and parameters is not None:
        raise Malformed(fields.at("parameters"), "parametersJsonSchema is given too; a function has one of the two")
    if own is not None:
        parameters = json_schema(own, fields.at("parameters"))
    return Tool(
        name=name,
        description=description,
        parameters=parameters,
        provider_metadata=fields.metadata(),
        source=Source(fields.pointer, places),
    )


def _choice(config: Fields | None) -> tuple[ToolChoice | None, dict[str, Raw]]:
    """The choice, and what of `toolConfig` has no canonical home."""
    if config is None:
        return None, {}
    calling = config.take_object("functionCallingConfig")
    left = {f"{TOOL_CONFIG}/{name}": raw for name, raw in config.rest().items()}
    if calling is None:
        return None, left
    written = {**calling.rest()}
    mode = (calling.take("mode", STRING) or "AUTO").upper()
    names = calling.take("allowedFunctionNames", STRINGS) or []
    if mode == "ANY" and len(names) == 1 and not calling.rest():
        return ToolChoice(mode="tool", name=names[0]), left
    if mode in _MODES and not names and not calling.rest():
        return ToolChoice(mode=_MODES[mode]), left  # type: ignore[arg-type]  # the values of the table
    left[f"{TOOL_CONFIG}/functionCallingConfig"] = Raw(dump(written))
    return ToolChoice(mode="required" if mode == "ANY" else "auto"), left


# --- output -----------------------------------------------------------------------------------------------------------


def _format(config: Fields) -> ResponseFormat | None:
    """What form the answer is to have. Forms other than JSON stay where they are."""
    media_type = config.look("responseMimeType")
    kind = JSON_TYPE if media_type is None else read(STRING, media_type, config.at("responseMimeType"))
    if kind == "text/plain":
        config.take_raw("responseMimeType")
        return None
    if kind != JSON_TYPE:
        return None
    own = config.take_raw("responseSchema")
    name = next((name for name in _JSON_SCHEMAS if name in config), None)
    schema = config.take_raw(name) if name else None
    if schema is not None:
        check_schema(schema, config.at(str(name)))
    config.take_raw("responseMimeType")
    if schema is None and own is not None:
        schema = json_schema(own, config.at("responseSchema"))
    if schema is not None:
        return ResponseFormat(kind="json_schema", schema=schema)
    return ResponseFormat(kind="json_object") if media_type is not None else None
