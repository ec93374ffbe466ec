"""What types cannot say of a Chat Completions request: which message may follow which, names, limits."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from omniroute.testing.strict.shape import Violation

__all__ = ["check_chat"]

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
REASONS = re.compile(r"o\d|gpt-(?:[5-9]|\d\d)")
RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "n": (1, 128),
    "max_tokens": (1, float("inf")),
    "max_completion_tokens": (1, float("inf")),
    "top_logprobs": (0, 20),
}
ONLY_WITH_TOOLS = ("tool_choice", "parallel_tool_calls")


def check_chat(body: Mapping[str, Any]) -> None:
    """Raise `Violation`. The body's shape has been checked."""
    _check_messages(body["messages"])
    _check_tools(body)
    _check_limits(body)
    schema = (body.get("response_format") or {}).get("json_schema")
    if schema is not None:
        _check_name(schema["name"], "response_format.json_schema.name")


def _check_messages(messages: Sequence[Mapping[str, Any]]) -> None:
    if not messages:
        raise Violation("messages", "[] is too short")
    waiting: list[str] = []
    for position, message in enumerate(messages):
        place = f"messages.{position}"
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                raise Violation(
                    place, "messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
                )
            waiting.remove(message["tool_call_id"])
            continue
        _check_answered(waiting, place)
        if message.get("content") == []:
            raise Violation(f"{place}.content", "[] is too short")
        if message["role"] == "assistant":
            waiting = _check_assistant(message, place)
    _check_answered(waiting, "messages")


def _check_answered(waiting: Sequence[str], place: str) -> None:
    if waiting:
        raise Violation(
            place,
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'."
            f" The following did not have response messages: {', '.join(waiting)}",
        )


def _check_assistant(message: Mapping[str, Any], place: str) -> list[str]:
    """The ids of its calls."""
    calls = message.get("tool_calls")
    if calls == []:
        raise Violation(f"{place}.tool_calls", "[] is too short")
    if not calls and not any(message.get(field) for field in ("content", "refusal", "audio", "function_call")):
        raise Violation(f"{place}.content", "an assistant message needs content or tool_calls")
    for position, call in enumerate(calls or ()):
        if call["type"] == "function":
            _check_name(call["function"]["name"], f"{place}.tool_calls.{position}.function.name")
            _check_arguments(call["function"]["arguments"], f"{place}.tool_calls.{position}.function.arguments")
    ids = [call["id"] for call in calls or ()]
    if len(set(ids)) != len(ids):
        raise Violation(f"{place}.tool_calls", f"an id stands there twice: {ids}")
    return ids


def _check_arguments(arguments: str, place: str) -> None:
    try:
        fits = isinstance(msgspec.json.decode(arguments), dict)
    except msgspec.DecodeError:
        fits = False
    if not fits:
        raise Violation(place, f"{arguments!r} is no JSON object")


def _check_tools(body: Mapping[str, Any]) -> None:
    if "tools" not in body:
        for field in ONLY_WITH_TOOLS:
            if body.get(field) is not None:
                raise Violation(field, f"'{field}' is only allowed when 'tools' are specified")
        return
    if not body["tools"]:
        raise Violation("tools", "[] is too short")
    names = []
    for position, tool in enumerate(body["tools"]):
        declared = tool[tool["type"]]
        names.append(declared["name"])
        _check_name(declared["name"], f"tools.{position}.{tool['type']}.name")
        if tool["type"] == "function":
            _check_parameters(declared, f"tools.{position}.function.parameters")
    if len(set(names)) != len(names):
        raise Violation("tools", f"a name stands there twice: {names}")
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice["type"] in {"function", "custom"}:
        wanted = choice[choice["type"]]["name"]
        if wanted not in names:
            raise Violation("tool_choice", f"Tool choice {wanted!r} not found in 'tools' parameter")


def _check_parameters(declared: Mapping[str, Any], place: str) -> None:
    schema = declared.get("parameters")
    if schema is None:
        return
    if schema.get("type", "object") != "object":
        raise Violation(place, f"schema must be of type 'object', got {schema['type']!r}")
    if schema.get("type") == "object" and "properties" not in schema:
        raise Violation(place, "object schema missing properties")
    if declared.get("strict"):
        if schema.get("additionalProperties") is not False:
            raise Violation(place, "'additionalProperties' is required to be supplied and to be false")
        if set(schema.get("required", ())) != set(schema.get("properties", {})):
            raise Violation(place, "'required' is required to be an array including every key in properties")


def _check_limits(body: Mapping[str, Any]) -> None:
    for field, (least, most) in RANGES.items():
        value = body.get(field)
        if value is not None and not least <= value <= most:
            raise Violation(field, f"{value} is outside {least}…{most}")
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        raise Violation("max_tokens", "max_tokens and max_completion_tokens cannot both be set")
    stop = body.get("stop")
    if isinstance(stop, list) and not 1 <= len(stop) <= 4:
        raise Violation("stop", f"1 to 4 sequences, not {len(stop)}")
    if body.get("stream_options") is not None and not body.get("stream"):
        raise Violation("stream_options", "only allowed when 'stream' is enabled")
    if REASONS.match(body["model"]):
        if body.get("max_tokens") is not None:
            raise Violation("max_tokens", "not supported with this model; use 'max_completion_tokens' instead")
        if body.get("temperature") not in {None, 1}:
            raise Violation("temperature", "only the default (1) value is supported with this model")


def _check_name(name: str, place: str) -> None:
    if not NAME.fullmatch(name):
        raise Violation(place, f"{name!r} does not match '^[a-zA-Z0-9_-]{{1,64}}$'")
