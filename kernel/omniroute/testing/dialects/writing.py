"""What is asked for, as each dialect's clients write it: the way back from `Voice.asked`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec

from omniroute.testing.dialects.neutral import Asked, Block

__all__ = ["written"]

Wire = dict[str, Any]


def written(dialect: str, asked: Asked, model: str, *, terse: bool = False) -> Wire:
    """A request's body; `terse` writes a single text as a string where the dialect has both forms.

    Raises `KeyError` for another dialect than the four.
    """
    return _WRITERS[dialect](asked, model, terse)


def _limits(asked: Asked, names: Mapping[str, str]) -> Wire:
    return {names[name]: value for name, value in asked.limits.items() if name in names}


def _runs(blocks: Sequence[Block]) -> Iterator[tuple[str, list[Block]]]:
    """Turns: (`user`, `assistant` or `results`, their blocks)."""

    def turn(block: Block) -> str:
        return "results" if block.kind == "result" else block.role

    for kind, run in groupby(blocks, key=turn):
        yield kind, list(run)


def _url(block: Block) -> str:
    return block.data if block.data.startswith("http") else f"data:image/png;base64,{block.data}"


# --- Chat Completions -------------------------------------------------------------------------------------------------


def _chat(asked: Asked, model: str, terse: bool) -> Wire:
    messages: list[Wire] = [{"role": "system", "content": text} for text in asked.system]
    for kind, run in _runs(asked.blocks):
        if kind == "results":
            messages += [{"role": "tool", "tool_call_id": block.id, "content": block.text} for block in run]
        else:
            messages.append(_chat_turn(kind, run, terse))
    tools = [
        {"type": "function", "function": {"name": name, "description": asked.descriptions[name], "parameters": schema}}
        for name, schema in asked.tools.items()
    ]
    limits = _limits(asked, {name: name for name in ("max_tokens", "temperature", "top_p", "stop", "seed")})
    body: Wire = {"model": model, "messages": messages, **limits, **({"tools": tools} if tools else {})}
    if asked.choice is not None:
        named = {"type": "function", "function": {"name": asked.choice[1:]}}
        body["tool_choice"] = named if asked.choice.startswith(":") else asked.choice
    if asked.schema is not None:
        schema = {"name": "answer", "schema": asked.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _chat_turn(role: str, run: Sequence[Block], terse: bool) -> Wire:
    calls = [
        {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": block.text}}
        for block in run
        if block.kind == "call"
    ]
    parts = [
        {"type": "text", "text": block.text}
        if block.kind == "text"
        else {"type": "image_url", "image_url": {"url": _url(block)}}
        for block in run
        if block.kind != "call"
    ]
    content: Any = run[0].text if terse and len(parts) == 1 and "text" in parts[0] else parts
    return {
        "role": role,
        **({"content": content} if parts else {}),
        **({"tool_calls": calls} if calls else {}),
    }


# --- Responses --------------------------------------------------------------------------------------------------------


def _responses(asked: Asked, model: str, terse: bool) -> Wire:
    items: list[Wire] = [{"role": "developer", "content": text} for text in asked.system[1:]]
    for kind, run in _runs(asked.blocks):
        items += _response_items(kind, run, terse)
    tools = [
        {
            "type": "function",
            "name": name,
            "description": asked.descriptions[name],
            "parameters": schema,
            "strict": False,
        }
        for name, schema in asked.tools.items()
    ]
    names = {"max_tokens": "max_output_tokens", "temperature": "temperature", "top_p": "top_p"}
    body: Wire = {"model": model, "input": items, **_limits(asked, names), **({"tools": tools} if tools else {})}
    if asked.system:
        body["instructions"] = asked.system[0]
    if asked.choice is not None:
        named = {"type": "function", "name": asked.choice[1:]}
        body["tool_choice"] = named if asked.choice.startswith(":") else asked.choice
    if asked.schema is not None:
        body["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": asked.schema}}
    return body


def _response_items(kind: str, run: Sequence[Block], terse: bool) -> Iterator[Wire]:
    said = [block for block in run if block.kind in {"text", "image"}]
    if said:
        text = "output_text" if kind == "assistant" else "input_text"
        parts = [
            {"type": text, "text": block.text}
            if block.kind == "text"
            else {"type": "input_image", "image_url": _url(block), "detail": "auto"}
            for block in said
        ]
        content: Any = said[0].text if terse and len(said) == 1 and said[0].kind == "text" else parts
        yield {"type": "message", "role": kind, "content": content}
    for block in run:
        if block.kind == "call":
            yield {"type": "function_call", "call_id": block.id, "name": block.name, "arguments": block.text}
        elif block.kind == "result":
            yield {"type": "function_call_output", "call_id": block.id, "output": block.text}


# --- Messages ---------------------------------------------------------------------------------------------------------


def _messages(asked: Asked, model: str, terse: bool) -> Wire:
    messages: list[Wire] = []
    for block in asked.blocks:
        if not messages or messages[-1]["role"] != block.role:
            messages.append({"role": block.role, "content": []})
        messages[-1]["content"].append(_message_block(block))
    for message in messages:
        [first, *others] = message["content"]
        if terse and not others and first["type"] == "text":
            message["content"] = first["text"]
    names = {"max_tokens": "max_tokens", "temperature": "temperature", "top_p": "top_p", "top_k": "top_k"}
    body: Wire = {
        "model": model,
        "max_tokens": 4000,
        "messages": messages,
        **_limits(asked, {**names, "stop": "stop_sequences"}),
    }
    if asked.system:
        texts = [{"type": "text", "text": text} for text in asked.system]
        body["system"] = asked.system[0] if terse and len(texts) == 1 else texts
    if asked.tools:
        body["tools"] = [
            {"name": name, "description": asked.descriptions[name], "input_schema": schema}
            for name, schema in asked.tools.items()
        ]
    if asked.choice is not None:
        named = {"type": "tool", "name": asked.choice[1:]}
        kind = "any" if asked.choice == "required" else asked.choice
        body["tool_choice"] = named if asked.choice.startswith(":") else {"type": kind}
    if asked.schema is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": asked.schema}}
    return body


def _message_block(block: Block) -> Wire:
    match block.kind:
        case "text":
            return {"type": "text", "text": block.text}
        case "call":
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": msgspec.Raw(block.text.encode())}
        case "result":
            failed = {"is_error": True} if block.is_error else {}
            return {"type": "tool_result", "tool_use_id": block.id, "content": block.text, **failed}
        case _:
            data = {"type": "base64", "media_type": "image/png", "data": block.data}
            source = {"type": "url", "url": block.data} if block.data.startswith("http") else data
            return {"type": "image", "source": source}


# --- generateContent --------------------------------------------------------------------------------------------------


def _gemini(asked: Asked, model: str, terse: bool) -> Wire:
    contents: list[Wire] = []
    for block in asked.blocks:
        role = "model" if block.role == "assistant" else "user"
        if not contents or contents[-1]["role"] != role:
            contents.append({"role": role, "parts": []})
        contents[-1]["parts"].append(_gemini_part(block))
    names = {
        "max_tokens": "maxOutputTokens",
        "temperature": "temperature",
        "top_p": "topP",
        "top_k": "topK",
        "stop": "stopSequences",
        "seed": "seed",
    }
    config = _limits(asked, names)
    if asked.schema is not None:
        config |= {"responseMimeType": "application/json", "responseJsonSchema": asked.schema}
    body: Wire = {"contents": contents, **({"generationConfig": config} if config else {})}
    if asked.system:
        body["systemInstruction"] = {"parts": [{"text": text} for text in asked.system]}
    if asked.tools:
        declared = [
            {"name": name, "description": asked.descriptions[name], "parametersJsonSchema": schema}
            for name, schema in asked.tools.items()
        ]
        body["tools"] = [{"functionDeclarations": declared}]
    if asked.choice is not None:
        mode = {"auto": "AUTO", "none": "NONE"}.get(asked.choice, "ANY")
        only = {"allowedFunctionNames": [asked.choice[1:]]} if asked.choice.startswith(":") else {}
        body["toolConfig"] = {"functionCallingConfig": {"mode": mode, **only}}
    return body


def _gemini_part(block: Block) -> Wire:
    match block.kind:
        case "text":
            return {"text": block.text}
        case "call":
            return {"functionCall": {"id": block.id, "name": block.name, "args": msgspec.Raw(block.text.encode())}}
        case "result":
            response = {"error" if block.is_error else "result": block.text}
            return {"functionResponse": {"id": block.id, "name": block.name, "response": response}}
        case _:
            if block.data.startswith("http"):
                return {"fileData": {"mimeType": "image/png", "fileUri": block.data}}
            return {"inlineData": {"mimeType": "image/png", "data": block.data}}


_WRITERS: Mapping[str, Callable[[Asked, str, bool], Wire]] = {
    "openai-chat": _chat,
    "openai-responses": _responses,
    "anthropic": _messages,
    "gemini": _gemini,
}
